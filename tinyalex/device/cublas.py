"""Matrix multiplication by cuBLAS, called directly.

CuPy refuses to multiply while a stream captures a graph. It also sets the stream of
cuBLAS before each multiplication, which resets cuBLAS's workspace. Here the stream is
set only if it has changed.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import numpy as np

from tinyalex.device.arrays import Array, current, gpu_library, of

DATA_TYPES = {"float32": 0, "float64": 1, "float16": 2}
"""cudaDataType, by dtype."""

COMPUTE_32F, COMPUTE_64F, COMPUTE_32F_FAST_TF32 = 68, 70, 77
"""cublasComputeType_t."""

DISALLOW_REDUCED_PRECISION_REDUCTION = 16
"""A flag of cublasMath_t."""

DEFAULT_ALGORITHM = -1
"""cublasGemmAlgo_t."""


def multiply(a: Array, b: Array, out: Array) -> None:
    """out = a @ b for matrices (M, K) and (K, N) on the current GPU, or stacks of as
    many matrices, (G, M, K) and (G, K, N).

    a and b have one dtype: float16, float32 or float64. The matrices, or their
    transposes, are C-contiguous; others are copied. out is C-contiguous, of the same
    dtype, or float32 for float16. Sums of float16 are float32.
    """
    _check(a, b, out)
    if a.size == 0 or b.size == 0:
        out.fill(0)
        return
    compute: int = COMPUTE_32F
    number: Any = ctypes.c_float
    if a.dtype.name == "float64":
        compute, number = COMPUTE_64F, ctypes.c_double
    elif a.dtype.name == "float32" and may_use_tf32():
        compute = COMPUTE_32F_FAST_TF32
    # What is C-contiguous here is the transpose to cuBLAS: out.T = b.T @ a.T.
    *stack, m, n = out.shape
    left, right, result = map(_Matrix, (b, a, out))
    with float32_sums() if out.dtype == np.float16 else nullcontext():
        _call(
            "cublasGemmStridedBatchedEx" if stack else "cublasGemmEx",
            _handle(), left.operation, right.operation, n, m, a.shape[-1],
            ctypes.byref(number(1)), *left.arguments, *right.arguments,
            ctypes.byref(number(0)), *result.arguments, *stack, compute, DEFAULT_ALGORITHM,
        )  # fmt: skip


@contextmanager
def float32_sums() -> Iterator[None]:
    """A context in which all sums of float16, also CuPy's, are float32.
    Without it, cuBLAS may divide a sum and add the parts in float16."""
    handle, before = _handle(), ctypes.c_int()
    _call("cublasGetMathMode", handle, ctypes.byref(before))
    _call("cublasSetMathMode", handle, before.value | DISALLOW_REDUCED_PRECISION_REDUCTION)
    try:
        yield
    finally:
        _call("cublasSetMathMode", handle, before.value)


@contextmanager
def workspace(memory: Any) -> Iterator[None]:
    """A context in which cuBLAS uses `memory`, in the current stream and this thread.

    Without it, cuBLAS may allocate a workspace at a multiplication, and share it
    between streams.
    """
    handle = _handle()
    _call("cublasSetWorkspace_v2", handle, memory.data.ptr, memory.nbytes)
    try:
        yield
    finally:
        _call("cublasSetStream_v2", handle, 0)  # resets the workspace


def _check(a: Array, b: Array, out: Array) -> None:
    """cuBLAS knows addresses only, and would read or write beyond the arrays."""
    names = [of(x) for x in (a, b, out)]
    if set(names) != {current()}:
        raise ValueError(
            f"cublas.multiply: expected arrays on the current GPU, {current()}, got "
            f"{names[0]} @ {names[1]} = {names[2]}. Move them with device.to(x, name), and call "
            "it in device.on(name)."
        )
    match = {a.ndim, b.ndim, out.ndim} in ({2}, {3})
    match = match and b.shape == (*a.shape[:-2], a.shape[-1], b.shape[-1])
    if not match or out.shape != (*a.shape[:-1], b.shape[-1]):
        raise ValueError(
            "cublas.multiply: expected (M, K) @ (K, N) = (M, N), or stacks of such matrices, got "
            f"{a.shape} @ {b.shape} = {out.shape}."
        )
    is_wider = a.dtype == np.float16 and out.dtype == np.float32
    match = a.dtype == b.dtype and (out.dtype == a.dtype or is_wider)
    if not match or a.dtype.name not in DATA_TYPES:
        raise TypeError(
            "cublas.multiply: expected one dtype, float16, float32 or float64, got "
            f"{a.dtype} @ {b.dtype} = {out.dtype}."
        )
    if not out.flags.c_contiguous:
        raise ValueError(
            f"cublas.multiply: out must be C-contiguous, got shape {out.shape} with strides "
            f"{out.strides}."
        )


class _Matrix:
    """A matrix, or a stack, as cuBLAS takes it: `operation` is 0 if its transpose is
    stored in Fortran order, as in a C-contiguous array, and 1 if the matrix is."""

    def __init__(self, x: Any) -> None:
        flags = x.flags if x.ndim == 2 else x[0].flags
        if not (flags.c_contiguous or flags.f_contiguous) or x.strides[0] < 0:
            x = x.copy()
            flags = x.flags
        self.array = x  # the copy must exist until it is used
        self.operation = int(not flags.c_contiguous)
        ld = x.shape[-1] if self.operation == 0 else x.shape[-2]
        between = [x.strides[0] // x.itemsize] if x.ndim == 3 else []
        self.arguments = x.data.ptr, DATA_TYPES[x.dtype.name], ld, *between


def may_use_tf32() -> bool:
    """The setting of `device.allow_tf32`, which CuPy has too."""
    from cupy._core import _routines_linalg as linalg

    return bool(linalg.get_compute_type(np.dtype(np.float32)) == linalg.COMPUTE_TYPE_TF32)


def _handle() -> int:
    """CuPy's handle for this thread and the current GPU, in the current stream."""
    cuda = gpu_library().cuda
    handle: int = cuda.device.get_cublas_handle()
    before = ctypes.c_void_p()
    _call("cublasGetStream_v2", handle, ctypes.byref(before))
    stream = cuda.get_current_stream().ptr
    if (before.value or 0) != stream:
        _call("cublasSetStream_v2", handle, stream)
    return handle


def _call(name: str, *arguments: Any) -> None:
    if status := getattr(_library(), name)(*arguments):
        raise RuntimeError(f"{name}: cuBLAS returned the status {status}.")


@cache
def _library() -> Any:
    """The library that CuPy has loaded for its handle."""
    major = gpu_library().cuda.runtime.runtimeGetVersion() // 1000
    windows = os.name == "nt"
    library = ctypes.CDLL(f"cublas64_{major}.dll" if windows else f"libcublas.so.{major}")
    integer, pointer = ctypes.c_int, ctypes.c_void_p
    sizes: list[Any] = [pointer, *[integer] * 5]
    matrix: list[Any] = [pointer, integer, integer]
    library.cublasGemmEx.argtypes = [
        *sizes, pointer, *matrix, *matrix, pointer, *matrix, integer, integer
    ]  # fmt: skip
    stack = [*matrix, ctypes.c_longlong]
    library.cublasGemmStridedBatchedEx.argtypes = [
        *sizes, pointer, *stack, *stack, pointer, *stack, *[integer] * 3
    ]  # fmt: skip
    library.cublasGetMathMode.argtypes = [pointer, pointer]
    library.cublasSetMathMode.argtypes = [pointer, integer]
    library.cublasSetWorkspace_v2.argtypes = [pointer, pointer, ctypes.c_size_t]
    library.cublasGetStream_v2.argtypes = library.cublasSetStream_v2.argtypes = [pointer, pointer]
    return library
