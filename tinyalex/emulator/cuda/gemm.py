"""Matrix multiplication as in cuBLAS, by NumPy on the GPUs' memory.

Matrices are in Fortran order: column j starts at element j * ld.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex.emulator.cuda import memory, work_records
from tinyalex.emulator.cuda.api import Status, object_of
from tinyalex.emulator.cuda.runtime.devices import thread
from tinyalex.emulator.cuda.runtime.streams import submit
from tinyalex.emulator.cuda.statistics import statistics

INVALID_VALUE = 7
MAPPING_ERROR = 11
INTERNAL_ERROR = 14

TF32_TENSOR_OP_MATH = 3
"""cublasMath_t."""

DISALLOW_REDUCED_PRECISION_REDUCTION = 16
"""A flag of cublasMath_t. Without it, cuBLAS may add partial sums in the dtype of c."""

ON_DEVICE = 1
"""cublasPointerMode_t: alpha and beta are in the GPU's memory."""


@dataclass(eq=False)
class Library:
    """A cuBLAS handle: its device and settings."""

    device: int
    stream: int = 0
    math_mode: int = 0
    pointer_mode: int = 0


@dataclass(frozen=True)
class Matrix:
    """A matrix in memory, or its transpose: `operation` 1, or 2 for the conjugate."""

    address: int
    dtype: Any
    ld: int
    operation: int = 0

    def at(self, offset: int) -> "Matrix":
        """The matrix `offset` elements further on."""
        size = np.dtype(self.dtype).itemsize
        return Matrix(self.address + offset * size, self.dtype, self.ld, self.operation)

    def stored(self, rows: int, columns: int) -> np.ndarray:
        """The memory as an array (rows, columns), without the operation."""
        dtype = np.dtype(self.dtype)
        if self.ld < max(1, rows):
            raise Status(
                INVALID_VALUE,
                f"a matrix of {rows} rows: expected a leading dimension of at least "
                f"{max(1, rows)}, got {self.ld}",
            )
        if rows == 0 or columns == 0:
            return np.zeros((rows, columns), dtype)
        size = ((columns - 1) * self.ld + rows) * dtype.itemsize
        try:
            memory.require("a matrix", self.address, size, thread.device)
        except Status as status:
            raise Status(MAPPING_ERROR, status.message) from None
        flat = memory.array(self.address, size // dtype.itemsize, dtype)
        strides = dtype.itemsize, self.ld * dtype.itemsize
        return np.lib.stride_tricks.as_strided(flat, (rows, columns), strides)

    def operand(self, rows: int, columns: int) -> Callable[[], np.ndarray]:
        """A function that reads op(matrix), of shape (rows, columns).

        It is called when the work is done: the memory may not have been written yet.
        """
        if not self.operation:
            stored = self.stored(rows, columns)
            return lambda: stored
        transposed = self.stored(columns, rows).T
        return transposed.conj if self.operation == 2 else lambda: transposed


def gemm(
    handle: int,
    m: int,
    n: int,
    k: int,
    alpha: int,
    a: Matrix,
    b: Matrix,
    beta: int,
    c: Matrix,
    scalars: Any,
    tf32: bool = False,
    batch: int = 1,
) -> None:
    """c = alpha * op(a) @ op(b) + beta * c, with op(a) (m, k) and op(b) (k, n).

    batch  the number of products that are counted with this one, as one: those of the
           same call. 0 for the others of the call
    """
    blas = of_this_device(handle)
    if min(m, n, k) < 0:
        raise Status(INVALID_VALUE, f"expected sizes of at least 0, got m={m}, n={n}, k={k}")
    factors = read_scalars(blas, scalars, alpha, beta)
    x, y, out = a.operand(m, k), b.operand(k, n), c.stored(m, n)
    in_parts = c.dtype == np.float16 and not blas.math_mode & DISALLOW_REDUCED_PRECISION_REDUCTION
    tf32 = tf32 or (blas.math_mode == TF32_TENSOR_OP_MATH and np.dtype(a.dtype) == np.float32)

    def count() -> None:
        if batch:
            statistics.gemms += 1
            dtypes = a.dtype, b.dtype, c.dtype
            work_records.note(lambda: work_records.multiplications(batch, m, n, k, *dtypes))

    def multiply() -> None:
        _multiply(x(), y(), out, *factors(), tf32=tf32, in_parts=in_parts)

    submit(blas.stream, "gemm", multiply, count=count)


def _multiply(
    x: np.ndarray,
    y: np.ndarray,
    out: np.ndarray,
    alpha: Any,
    beta: Any,
    *,
    tf32: bool,
    in_parts: bool,
) -> None:
    """out = alpha * x @ y + beta * out. Half precision is accumulated in float32; if
    in_parts, two partial sums are rounded to half precision.

    Matrices with a factor of 0 are not read: they may contain NaN.
    """
    wide = np.result_type(alpha.dtype, np.float32 if x.dtype == np.float16 else x.dtype)
    result = np.zeros(out.shape, wide)
    if alpha:
        x, y = x.astype(wide, copy=False), y.astype(wide, copy=False)
        if tf32:
            x, y = _rounded_to_tf32(x), _rounded_to_tf32(y)
        if in_parts and x.shape[1] > 1:
            k = x.shape[1] // 2
            parts = (x[:, :k] @ y[:k]).astype(out.dtype), (x[:, k:] @ y[k:]).astype(out.dtype)
            result = alpha * np.add(*parts).astype(wide)
        else:
            result = alpha * (x @ y)
    out[...] = result + beta * out if beta else result


def read_scalars(blas: Library, dtype: Any, *addresses: int) -> Callable[[], list[Any]]:
    """Reads alpha and beta: from the host now, from the GPU when the work is done."""

    def read() -> list[Any]:
        return [memory.array(address, 1, dtype)[0] for address in addresses]

    if blas.pointer_mode == ON_DEVICE:
        return read
    values = read()
    return lambda: values


def _rounded_to_tf32(x: np.ndarray) -> np.ndarray:
    """float32 rounded to 10 bits of mantissa, to nearest even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0xFFF + (bits >> 13 & 1)) & np.uint32(0xFFFFE000)).view(np.float32)


def of_this_device(handle: int) -> Library:
    blas = object_of(handle, Library)
    if blas.device != thread.device:
        raise Status(
            INTERNAL_ERROR,
            f"the handle belongs to GPU {blas.device}, but GPU {thread.device} is current",
        )
    return blas
