#!/usr/bin/env bash
# ml_dtypes 0.6.0 gives numpy the types int2 and int4, which look made for ternary codes: sums wrap in 2 or 4 bits.
#
# One would guess that numpy widens while it sums, as it does for int8 (the sum of an int8 array is an int64). For
# these types sum, cumsum, mean, var and dot stay in the type, silently. `a @ b` widens to int8 and wraps there,
# so that `a @ b` and `np.dot(a, b)` are two numbers for the same two vectors.
#
# It matters since counts are what one takes of low-bit codes: the sum of ternary weights of a row, the share of
# zeros by a mean, a product of codes with codes. The remedy is `codes.astype(np.int32)` before any sum.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 ml_dtypes==0.6.0
"$work/venv/bin/python" - <<'PY'
import ml_dtypes
import numpy as np

print("numpy", np.__version__, "ml_dtypes", ml_dtypes.__version__)
for kind, total in ((np.int8, 10), (ml_dtypes.int4, -6), (ml_dtypes.int2, -2)):
    ones = np.ones(10).astype(kind)
    wide = np.ones(300).astype(kind)
    name = np.dtype(kind).name
    print(f"{name}: ten ones sum to {ones.sum()} as {ones.sum().dtype}, their mean is {ones.mean()}", end=", ")
    print(f"a @ a = {ones @ ones}, np.dot(a, a) = {np.dot(ones, ones)}; with 300 ones a @ a = {wide @ wide}")
    assert int(ones.sum()) == total
    assert int(wide @ wide) == 44  # 300 - 256: the product wraps in 8 bits, for int8 as well
    assert ones.astype(np.int32) @ ones.astype(np.int32) == 10
for kind in (ml_dtypes.int4, ml_dtypes.int2):
    ones = np.ones(10).astype(kind)
    assert int(ones.mean()) == 0  # the sum has wrapped, and the mean is cut to a whole number
    assert int(np.dot(ones, ones)) != int(ones @ ones) == 10
    assert ones.sum().dtype == np.dot(ones, ones).dtype == ones.dtype

weights = np.random.default_rng(0).integers(-1, 2, (4, 1000))
codes = weights.astype(ml_dtypes.int2)
true, wrapped = weights.sum(1), codes.sum(1).astype(int)
print("row sums of ternary weights", true.tolist(), "and by int2", wrapped.tolist())
assert (codes.astype(int) == weights).all(), "the codes themselves hold"
assert (wrapped == (true + 2) % 4 - 2).all()
assert (wrapped != true).all()
print("mean of |codes|, the share of weights that are not zero:", np.abs(weights).mean(), "and by int4", end=" ")
share = (codes * codes).astype(ml_dtypes.int4).mean()
print(share)
assert int(share) == 0
PY
