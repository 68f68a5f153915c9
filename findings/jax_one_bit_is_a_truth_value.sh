#!/usr/bin/env bash
# jax 0.10.2 (0.12.0.1 does the same): jnp.int1 is a truth value, and products of int4 stay in 4 bits.
#
# One would guess that casting binary weights of -1 and +1 to int1 keeps two values apart. On a CPU both become 1,
# as in a cast to bool, and the sign, which is all there was, is gone, silently; ml_dtypes, whose type it is, keeps
# 0 and -1. The products of int4 vectors are int4 and wrap at 8, eager and compiled; of int8 they are int8. Asking
# for wide sums by `preferred_element_type=jnp.int32` raises for int4 on a CPU.
#
# It matters since storing binary weights in one bit and products of small codes are what these types are there for.
# The remedy is int8 codes and `jnp.dot(a, b, preferred_element_type=jnp.int32)`.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 ml_dtypes==0.6.0 jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'PY'
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

print("jax", jax.__version__, "ml_dtypes", ml_dtypes.__version__)
weights = np.array([-1.0, 1.0, 1.0, -1.0], np.float32)
one_bit = np.asarray(jnp.asarray(weights).astype(jnp.int1)).astype(np.int32)
print("weights", weights.tolist(), "as jnp.int1:", one_bit.tolist())
assert np.unique(one_bit).size == 1, "minus one and plus one are the same"
two_bits = np.asarray(jnp.asarray(weights).astype(jnp.int2)).astype(np.int32)
assert (two_bits == weights).all(), "int2 keeps them"

sizes = (7, 10, 100, 1000)
for kind, bits in ((jnp.int4, 4), (jnp.int8, 8)):
    dots = []
    for size in sizes:
        a, b = jnp.ones((2, size), kind), jnp.ones(size, kind)
        dots.append(int((a @ b)[0].astype(jnp.int32)))
        assert int(jax.jit(jnp.matmul)(a, b)[0].astype(jnp.int32)) == dots[-1]
        half = 2 ** (bits - 1)
        assert dots[-1] == (size + half) % (2 * half) - half
    print(f"products of {sizes} ones with as many, {jnp.dtype(kind).name}: {dots}, as {(a @ b).dtype}")
wide = jnp.dot(jnp.ones(1000, jnp.int8), jnp.ones(1000, jnp.int8), preferred_element_type=jnp.int32)
print("int8 with preferred_element_type=int32:", int(wide))
assert int(wide) == 1000
PY
