"""Matrices made ready for the products of compiled loops: torch's own SGEMM where it exports one."""

import ctypes
import functools
from pathlib import Path

import numpy as np
import torch

from lowbit.layers.loops.layout import AS_IS, B_MATRIX, HALF, PACKED, PLAIN, ROW_MAJOR, TRANSPOSED, Product

MKL = {PACKED: "cblas_sgemm_compute", HALF: "cblas_gemm_bf16bf16f32"}  # what multiplies each kind of product


@functools.cache
def mkl() -> ctypes.CDLL | None:
    """The library inside torch that exports MKL's products; none where torch was built without."""
    for file in sorted((Path(torch.__file__).parent / "lib").glob("*torch_cpu*")):
        try:
            library = ctypes.CDLL(str(file))
            names = (*MKL.values(), "cblas_sgemm_pack", "cblas_sgemm_pack_get_size")
            if all(hasattr(library, name) for name in names):
                library.cblas_sgemm_pack_get_size.restype = ctypes.c_size_t
                return library
        except OSError:
            continue
    return None


@functools.cache
def function(kind: int) -> int:
    """The address of what multiplies."""
    if kind in MKL:
        return ctypes.cast(getattr(mkl(), MKL[kind]), ctypes.c_void_p).value
    from scipy.linalg import cython_blas

    capsule, api = cython_blas.__pyx_capi__["sgemm"], ctypes.pythonapi
    name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", api))
    return pointer(capsule, name(capsule))


def prepare(w: np.ndarray, batch: int, kind: int, slots: int = 1) -> Product:
    """A matrix (inputs outputs), or the transpose of one, for products with `batch` rows.

    Where these are rounded, as many steps of them are kept as there are `slots`.
    """
    inputs, outputs = w.shape
    none, nothing = np.empty((0, 0), np.float32), np.empty((0, 0, 0), np.uint16)
    empty = Product(
        kind,
        function(kind),
        inputs,
        outputs,
        none,
        none.reshape(0),
        nothing.reshape(0, 0),
        AS_IS,
        np.float32(1),
        nothing,
    )
    if kind == HALF:
        turned = not w.flags.c_contiguous
        source = torch.from_numpy(np.ascontiguousarray(w.T if turned else w))
        scale = max(abs(float(end)) for end in source.aminmax()) or 1.0
        return empty._replace(
            half=(source / scale).bfloat16().view(torch.uint16).numpy(),
            turn=TRANSPOSED if turned else AS_IS,
            scale=np.float32(scale),
            rounded=np.empty((slots, batch, inputs), np.uint16),
        )
    if kind == PACKED:
        return empty._replace(packed=_pack(w, batch))
    return empty._replace(plain=np.ascontiguousarray(w))


def turned(w: Product) -> Product:
    """The transpose of a matrix in bfloat16, whose numbers stay where they are."""
    slots, batch, _ = w.rounded.shape
    turn = AS_IS if w.turn == TRANSPOSED else TRANSPOSED
    return w._replace(
        inputs=w.outputs, outputs=w.inputs, turn=turn, rounded=np.empty((slots, batch, w.outputs), np.uint16)
    )


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


def outer(d: Product, h: Product, first: int) -> torch.Tensor:
    """The sum over all steps from the `first` of what `d` rounded, (batch outputs), times what `h` did."""
    left, right = d.rounded[first:], h.rounded[first:]
    total = torch.zeros(d.inputs, h.inputs)
    m, n, k = *total.shape, left.shape[0] * left.shape[1]
    a, b, c = map(ctypes.c_void_p, (left.ctypes.data, right.ctypes.data, total.data_ptr()))
    modes, whole = (int(mode) for mode in (ROW_MAJOR, TRANSPOSED, AS_IS)), ctypes.c_float(1)
    mkl().cblas_gemm_bf16bf16f32(*modes, m, n, k, whole, a, m, b, n, whole, c, n)
    return total


def best() -> int:
    """The fastest exact product of this machine."""
    return PLAIN if mkl() is None else PACKED
