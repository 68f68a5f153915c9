"""The matrix product of one step, called from compiled loops: torch's own SGEMM where it exports one."""

import ctypes
import functools
from pathlib import Path
from typing import NamedTuple

import llvmlite.binding as llvm
import numpy as np
import torch
from numba import types

from lowbit.kernels.loops.compiled import inner, no_type_check

CHUNK = 25  # steps whose rounded gradients fit the cache
PLAIN, PACKED, HALF = 0, 1, 2  # SciPy's BLAS through numpy.dot; MKL on a packed matrix; MKL on bfloat16

# Of the C interface to BLAS.
ROW_MAJOR, AS_IS, TRANSPOSED, PACK, B_MATRIX = (np.int32(number) for number in (101, 111, 112, 151, 162))

N, F, P = types.int32, types.float32, types.intp
SYMBOLS = {
    "cblas_sgemm_compute": types.void(N, N, N, N, N, N, P, N, P, N, F, P, N),
    "cblas_gemm_bf16bf16f32": types.void(N, N, N, N, N, N, F, P, N, P, N, F, P, N),
}
EXTERNAL = {name: types.ExternalFunction(name, signature) for name, signature in SYMBOLS.items()}
_compute, _half = EXTERNAL.values()


class Product(NamedTuple):
    """A matrix `w` (inputs outputs) ready to be multiplied by rows; only what `kind` needs is filled."""

    kind: int
    inputs: int
    outputs: int
    plain: np.ndarray  # (inputs outputs)
    packed: np.ndarray  # what MKL made of it
    half: np.ndarray  # (inputs outputs) or, where `turn` says so, (outputs inputs): bfloat16, at scale 1
    turn: np.int32
    scale: np.float32
    rounded: np.ndarray  # (batch inputs), bfloat16: room for what is multiplied


@functools.cache
def mkl() -> ctypes.CDLL | None:
    """The library inside torch that exports MKL's products; none where torch was built without."""
    for file in sorted((Path(torch.__file__).parent / "lib").glob("*torch_cpu*")):
        try:
            library = ctypes.CDLL(str(file))
            names = (*SYMBOLS, "cblas_sgemm_pack", "cblas_sgemm_pack_get_size")
            if all(hasattr(library, name) for name in names):
                library.cblas_sgemm_pack_get_size.restype = ctypes.c_size_t
                return library
        except OSError:
            continue
    return None


def link() -> None:
    """Tells the compiler where the products are; those that are nowhere get an address that is never called."""
    library = mkl()
    for name in SYMBOLS:
        entry = getattr(library, name) if library else ctypes.pythonapi.Py_IsInitialized
        llvm.add_symbol(name, ctypes.cast(entry, ctypes.c_void_p).value)


link()


def prepare(w: np.ndarray, batch: int, kind: int) -> Product:
    """A matrix (inputs outputs), or the transpose of one, for products with `batch` rows."""
    inputs, outputs = w.shape
    none, nothing = np.empty((0, 0), np.float32), np.empty((0, 0), np.uint16)
    empty = Product(kind, inputs, outputs, none, none.reshape(0), nothing, AS_IS, np.float32(1), nothing)
    if kind == HALF:
        turned = not w.flags.c_contiguous
        source = torch.from_numpy(np.ascontiguousarray(w.T if turned else w))
        scale = max(abs(float(end)) for end in source.aminmax()) or 1.0
        return empty._replace(
            half=(source / scale).bfloat16().view(torch.uint16).numpy(),
            turn=TRANSPOSED if turned else AS_IS,
            scale=np.float32(scale),
            rounded=np.empty((batch, inputs), np.uint16),
        )
    if kind == PACKED:
        return empty._replace(packed=_pack(w, batch))
    return empty._replace(plain=np.ascontiguousarray(w))


def _pack(w: np.ndarray, batch: int) -> np.ndarray:
    library, (inputs, outputs) = mkl(), w.shape
    size = library.cblas_sgemm_pack_get_size(int(B_MATRIX), batch, outputs, inputs)
    packed = torch.empty(size // 4 + 1).numpy()
    turned = not w.flags.c_contiguous
    source = np.ascontiguousarray(w.T if turned else w)
    library.cblas_sgemm_pack(
        *(int(ROW_MAJOR), int(B_MATRIX), int(TRANSPOSED if turned else AS_IS)),
        *(batch, outputs, inputs),
        ctypes.c_float(1),
        ctypes.c_void_p(source.ctypes.data),
        source.shape[1],
        ctypes.c_void_p(packed.ctypes.data),
    )
    return packed


@inner
@no_type_check
def multiply(x, w, out):
    """`out` = `x` @ `w`, (batch outputs)."""
    m, n, k = np.int32(len(x)), np.int32(w.outputs), np.int32(w.inputs)
    source, target, zero = x.ctypes.data, out.ctypes.data, np.float32(0)
    if w.kind == PACKED:
        _compute(ROW_MAJOR, AS_IS, PACK, m, n, k, source, k, w.packed.ctypes.data, n, zero, target, n)
    elif w.kind == HALF:
        to_half(x, w.rounded)
        rounded, half = w.rounded.ctypes.data, w.half.ctypes.data
        stride = np.int32(w.half.shape[1])
        _half(ROW_MAJOR, AS_IS, w.turn, m, n, k, w.scale, rounded, k, half, stride, zero, target, n)
    else:
        np.dot(x, w.plain, out)


@inner
@no_type_check
def to_half(x, rounded):
    """bfloat16 of `x`, to the nearest, ties to even."""
    for i in range(len(x)):
        bits, row = x[i].view(np.uint32), rounded[i]
        for j in range(len(row)):
            u = bits[j]
            row[j] = np.uint16((u + np.uint32(0x7FFF) + ((u >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


def outer(d: torch.Tensor, h: torch.Tensor, kind: int) -> torch.Tensor:
    """The sum over all steps of `d` (steps batch outputs) times `h` (steps batch inputs)."""
    if kind != HALF:
        return d.flatten(0, 1).T @ h.flatten(0, 1)
    total = torch.zeros(d.shape[2], h.shape[2])
    m, n, whole = *total.shape, ctypes.c_float(1)
    for left, right in zip(d.split(CHUNK), h.split(CHUNK), strict=True):
        left, right = left.flatten(0, 1).bfloat16(), right.flatten(0, 1).bfloat16()
        at = (ctypes.c_void_p(each.data_ptr()) for each in (left, right, total))
        a, b, c = at
        modes = (int(mode) for mode in (ROW_MAJOR, TRANSPOSED, AS_IS))
        mkl().cblas_gemm_bf16bf16f32(*modes, m, n, len(left), whole, a, m, b, n, whole, c, n)
    return total


def best() -> int:
    """The fastest exact product of this machine."""
    return PLAIN if mkl() is None else PACKED
