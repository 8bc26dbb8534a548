"""cuBLAS: its functions for matrices of one type, and of several."""

import ctypes
from typing import Any

import numpy as np

from tinyalex.emulator.cuda import memory, work_queue
from tinyalex.emulator.cuda.api import (
    Handle,
    Pointer,
    Size,
    Status,
    add,
    api,
    new_handle,
    object_of,
    release_handle,
    store,
    store_wide,
)
from tinyalex.emulator.cuda.gemm import Library, Matrix, gemm, of_this_device, read_scalars
from tinyalex.emulator.cuda.runtime.devices import thread
from tinyalex.emulator.cuda.runtime.streams import submit, wait_for
from tinyalex.emulator.cuda.wheel import cuda_major

NOT_SUPPORTED = 15

DTYPES: dict[int, Any] = {
    0: np.float32,
    1: np.float64,
    2: np.float16,
    4: np.complex64,
    5: np.complex128,
}
"""cudaDataType."""

COMPUTE_32F_FAST_TF32 = 77
SCALARS: dict[int, Any] = {64: np.float16, 65: np.float16, 70: np.float64, 71: np.float64}
"""The type of alpha and beta by cublasComputeType; others compute in float32."""


# Functions of one type: cublasSgemm_v2, cublasDgemm_v2 and so on


def _add_typed(letter: str, dtype: Any) -> None:
    def typed_gemm(
        handle: Handle,
        transa: int,
        transb: int,
        m: int,
        n: int,
        k: int,
        alpha: Pointer,
        a: Pointer,
        lda: int,
        b: Pointer,
        ldb: int,
        beta: Pointer,
        c: Pointer,
        ldc: int,
    ) -> None:
        left, right = Matrix(a, dtype, lda, transa), Matrix(b, dtype, ldb, transb)
        gemm(handle, m, n, k, alpha, left, right, beta, Matrix(c, dtype, ldc), dtype)

    def batched(
        handle: Handle,
        transa: int,
        transb: int,
        m: int,
        n: int,
        k: int,
        alpha: Pointer,
        a: Pointer,
        lda: int,
        b: Pointer,
        ldb: int,
        beta: Pointer,
        c: Pointer,
        ldc: int,
        count: int,
    ) -> None:
        for pointers in (a, b, c):
            memory.require("the pointers of a batch", pointers, 8 * count, thread.device)
        # The pointers are read by the GPU, and may not have been computed yet. This is
        # no synchronisation of the program.
        stream = object_of(handle, Library).stream
        wait_for(submit(stream, "pointers", lambda: None))
        tables = [(ctypes.c_size_t * count).from_address(pointers) for pointers in (a, b, c)]
        for x, y, out in zip(*tables, strict=True):
            typed_gemm(handle, transa, transb, m, n, k, alpha, x, lda, y, ldb, beta, out, ldc)

    def strided(
        handle: Handle,
        transa: int,
        transb: int,
        m: int,
        n: int,
        k: int,
        alpha: Pointer,
        a: Pointer,
        lda: int,
        stride_a: Handle,
        b: Pointer,
        ldb: int,
        stride_b: Handle,
        beta: Pointer,
        c: Pointer,
        ldc: int,
        stride_c: Handle,
        count: int,
    ) -> None:
        left, right = Matrix(a, dtype, lda, transa), Matrix(b, dtype, ldb, transb)
        out = Matrix(c, dtype, ldc)
        for i in range(count):
            x, y, z = left.at(i * stride_a), right.at(i * stride_b), out.at(i * stride_c)
            gemm(handle, m, n, k, alpha, x, y, beta, z, dtype, batch=0 if i else count)

    def geam(
        handle: Handle,
        transa: int,
        transb: int,
        m: int,
        n: int,
        alpha: Pointer,
        a: Pointer,
        lda: int,
        beta: Pointer,
        b: Pointer,
        ldb: int,
        c: Pointer,
        ldc: int,
    ) -> None:
        """c = alpha * op(a) + beta * op(b). A matrix with factor 0 is not read."""
        blas, out = of_this_device(handle), Matrix(c, dtype, ldc).stored(m, n)
        left, right = Matrix(a, dtype, lda, transa), Matrix(b, dtype, ldb, transb)
        factors = read_scalars(blas, dtype, alpha, beta)

        def add_matrices() -> None:
            terms = zip(factors(), (left, right), strict=True)
            used = [factor * matrix.operand(m, n)() for factor, matrix in terms if factor]
            out[...] = sum(used, np.zeros((m, n), dtype))

        submit(blas.stream, "geam", add_matrices)

    def dot(
        handle: Handle, n: int, x: Pointer, incx: int, y: Pointer, incy: int, result: Pointer
    ) -> None:
        left = Matrix(x, dtype, max(incx, 1)).stored(1, n)[0]
        right = Matrix(y, dtype, max(incy, 1)).stored(1, n)[0]
        out = memory.array(result, 1, dtype)

        def multiply() -> None:
            out[...] = left @ right

        task = submit(of_this_device(handle).stream, "dot", multiply)
        if memory.find(result) is None:  # a result for the host
            work_queue.count_wait(thread.device)
            wait_for(task)

    add(f"cublas{letter}gemm_v2", typed_gemm)
    add(f"cublas{letter}gemmBatched", batched)
    add(f"cublas{letter}gemmStridedBatched", strided)
    add(f"cublas{letter}geam", geam)
    add(f"cublas{letter}dot{'u' if letter in 'CZ' else ''}_v2", dot)


for _letter, _dtype in zip(
    "SDCZ", (np.float32, np.float64, np.complex64, np.complex128), strict=True
):
    _add_typed(_letter, _dtype)


# Functions of mixed types


def _dtype_of(number: int) -> Any:
    if number not in DTYPES:
        raise Status(NOT_SUPPORTED, f"matrices of cudaDataType {number} are not emulated")
    return DTYPES[number]


def _scalar_dtype(compute: int, c_dtype: Any) -> Any:
    real = SCALARS.get(compute, np.float32)
    return np.result_type(real, np.complex64) if np.dtype(c_dtype).kind == "c" else real


@api
def cublasGemmEx(
    handle: Handle,
    transa: int,
    transb: int,
    m: int,
    n: int,
    k: int,
    alpha: Pointer,
    a: Pointer,
    a_type: int,
    lda: int,
    b: Pointer,
    b_type: int,
    ldb: int,
    beta: Pointer,
    c: Pointer,
    c_type: int,
    ldc: int,
    compute: int,
    algorithm: int,
) -> None:
    left, right = (
        Matrix(a, _dtype_of(a_type), lda, transa),
        Matrix(b, _dtype_of(b_type), ldb, transb),
    )
    out = Matrix(c, _dtype_of(c_type), ldc)
    scalars, tf32 = _scalar_dtype(compute, out.dtype), compute == COMPUTE_32F_FAST_TF32
    gemm(handle, m, n, k, alpha, left, right, beta, out, scalars, tf32)


@api
def cublasGemmStridedBatchedEx(
    handle: Handle,
    transa: int,
    transb: int,
    m: int,
    n: int,
    k: int,
    alpha: Pointer,
    a: Pointer,
    a_type: int,
    lda: int,
    stride_a: Handle,
    b: Pointer,
    b_type: int,
    ldb: int,
    stride_b: Handle,
    beta: Pointer,
    c: Pointer,
    c_type: int,
    ldc: int,
    stride_c: Handle,
    count: int,
    compute: int,
    algorithm: int,
) -> None:
    left, right = (
        Matrix(a, _dtype_of(a_type), lda, transa),
        Matrix(b, _dtype_of(b_type), ldb, transb),
    )
    out = Matrix(c, _dtype_of(c_type), ldc)
    scalars, tf32 = _scalar_dtype(compute, out.dtype), compute == COMPUTE_32F_FAST_TF32
    for i in range(count):
        x, y, z = left.at(i * stride_a), right.at(i * stride_b), out.at(i * stride_c)
        batch = 0 if i else count
        gemm(handle, m, n, k, alpha, x, y, beta, z, scalars, tf32, batch)


@api
def cublasSgemmEx(
    handle: Handle,
    transa: int,
    transb: int,
    m: int,
    n: int,
    k: int,
    alpha: Pointer,
    a: Pointer,
    a_type: int,
    lda: int,
    b: Pointer,
    b_type: int,
    ldb: int,
    beta: Pointer,
    c: Pointer,
    c_type: int,
    ldc: int,
) -> None:
    left, right = (
        Matrix(a, _dtype_of(a_type), lda, transa),
        Matrix(b, _dtype_of(b_type), ldb, transb),
    )
    out = Matrix(c, _dtype_of(c_type), ldc)
    gemm(handle, m, n, k, alpha, left, right, beta, out, np.float32)


# Handles


@api
def cublasCreate_v2(handle: Pointer) -> None:
    store_wide(handle, new_handle(Library(thread.device)))


@api
def cublasDestroy_v2(handle: Handle) -> None:
    release_handle(handle, Library)


@api
def cublasGetVersion_v2(handle: Handle, version: Pointer) -> None:
    store(version, 10000 * cuda_major())


@api
def cublasSetStream_v2(handle: Handle, stream: Handle) -> None:
    object_of(handle, Library).stream = stream


@api
def cublasGetStream_v2(handle: Handle, stream: Pointer) -> None:
    store_wide(stream, object_of(handle, Library).stream)


@api
def cublasSetWorkspace_v2(handle: Handle, workspace: Pointer, size: Size) -> None:
    """It is not needed, but must be memory of the GPU."""
    memory.require("the workspace", workspace, size, of_this_device(handle).device)


@api
def cublasSetMathMode(handle: Handle, mode: int) -> None:
    object_of(handle, Library).math_mode = mode


@api
def cublasGetMathMode(handle: Handle, mode: Pointer) -> None:
    store(mode, object_of(handle, Library).math_mode)


@api
def cublasSetPointerMode_v2(handle: Handle, mode: int) -> None:
    object_of(handle, Library).pointer_mode = mode


@api
def cublasGetPointerMode_v2(handle: Handle, mode: Pointer) -> None:
    store(mode, object_of(handle, Library).pointer_mode)
