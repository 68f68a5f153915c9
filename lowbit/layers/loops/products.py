"""Matrices prepared for the products of compiled loops: torch's own SGEMM where it exports one."""

import ctypes
import functools
from pathlib import Path

import numpy as np
import torch

from lowbit.layers.loops.layout import AS_IS, B_MATRIX, HALF, PACKED, PLAIN, ROW_MAJOR, TRANSPOSED, Product

MKL = {PACKED: "cblas_sgemm_compute", HALF: "cblas_gemm_bf16bf16f32"}  # the function of each kind of product


@functools.cache
def mkl() -> ctypes.CDLL | None:
    """The library inside torch that exports MKL's products; none where torch was built without."""
    for file in sorted((Path(torch.__file__).parent / "lib").glob("*torch_cpu*")):
        try:
            library = ctypes.CDLL(str(file))
        except OSError:
            continue
        if all(hasattr(library, name) for name in (*MKL.values(), "cblas_sgemm_pack", "cblas_sgemm_pack_get_size")):
            library.cblas_sgemm_pack_get_size.restype = ctypes.c_size_t
            return library
    return None


@functools.cache
def function(kind: int) -> int:
    """The address of the product of a kind."""
    if kind in MKL:
        return ctypes.cast(getattr(mkl(), MKL[kind]), ctypes.c_void_p).value
    from scipy.linalg import cython_blas

    capsule, api = cython_blas.__pyx_capi__["sgemm"], ctypes.pythonapi
    name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", api))
    return pointer(capsule, name(capsule))


def prepare(w: np.ndarray, batch: int, kind: int, slots: int = 1) -> Product:
    """A matrix (inputs outputs), or the transpose of one, for products with `batch` rows.

    A product on bfloat16 stores its rounded operands of the last `slots` steps.
    """
    inputs, outputs = w.shape
    numbers, half, rounded = np.empty(0, np.float32), np.empty((0, 0), np.uint16), np.empty((0, 0, 0), np.uint16)
    product = Product(kind, function(kind), inputs, outputs, numbers, half, AS_IS, np.float32(1), rounded)
    if kind == PLAIN:
        return product._replace(matrix=np.ascontiguousarray(w).reshape(-1))
    turn = AS_IS if w.flags.c_contiguous else TRANSPOSED
    source = np.ascontiguousarray(w if turn == AS_IS else w.T)
    if kind == HALF:
        numbers = torch.from_numpy(source)
        scale = max(abs(float(end)) for end in numbers.aminmax()) or 1.0
        return product._replace(
            half=(numbers / scale).bfloat16().view(torch.uint16).numpy(),
            turn=turn,
            scale=np.float32(scale),
            rounded=np.empty((slots, batch, inputs), np.uint16),
        )
    library, sizes = mkl(), (batch, outputs, inputs)
    packed = torch.empty(library.cblas_sgemm_pack_get_size(int(B_MATRIX), *sizes) // 4 + 1).numpy()
    modes, one = (int(mode) for mode in (ROW_MAJOR, B_MATRIX, turn)), ctypes.c_float(1)
    address, target = map(ctypes.c_void_p, (source.ctypes.data, packed.ctypes.data))
    library.cblas_sgemm_pack(*modes, *sizes, one, address, source.shape[1], target)
    return product._replace(matrix=packed)


def transposed(w: Product) -> Product:
    """The transpose of a matrix in bfloat16, on the same memory."""
    slots, batch, _ = w.rounded.shape
    turn = AS_IS if w.turn == TRANSPOSED else TRANSPOSED
    rounded = np.empty((slots, batch, w.outputs), np.uint16)
    return w._replace(inputs=w.outputs, outputs=w.inputs, turn=turn, rounded=rounded)


def outer(d: Product, h: Product, first: int) -> torch.Tensor:
    """The sum over all steps from `first` on of the rounded operands of `d`, (batch outputs), times those of `h`."""
    gradients, right = d.rounded[first:], h.rounded[first:]
    total = torch.zeros(d.inputs, h.inputs)
    m, n, k = *total.shape, gradients.shape[0] * gradients.shape[1]
    a, b, c = map(ctypes.c_void_p, (gradients.ctypes.data, right.ctypes.data, total.data_ptr()))
    modes, one = (int(mode) for mode in (ROW_MAJOR, TRANSPOSED, AS_IS)), ctypes.c_float(1)
    mkl().cblas_gemm_bf16bf16f32(*modes, m, n, k, one, a, m, b, n, one, c, n)
    return total


def best() -> int:
    """The fastest exact product of this machine."""
    return PLAIN if mkl() is None else PACKED
