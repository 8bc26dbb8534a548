"""Matrix multiplication in parallel, in blocks that BLAS does not pack.

Workers partition the matrices, instead of BLAS's own threads: those spin for about
20 ms after each call, waiting for the next one, and would contend with the workers. A
batch of one image has no workers: BLAS's threads multiply, vectors among others.

Before it multiplies, BLAS packs both matrices into a layout of its own. That is cheap
where each element is used often, but a linear layer uses each weight once per sample:
for 32 samples, packing takes as long as multiplying. On processors with AVX-512,
OpenBLAS has kernels without packing, for up to a million multiply-adds. There,
multiplications are partitioned (M rows, K terms, N columns); blas_choice.py says what
is done elsewhere:

| regime      | condition                      | partition          | used by          |
|-------------|--------------------------------|--------------------|------------------|
| serial      | M*K*N <= MAX_SERIAL_MADDS      | none               |                  |
| outer       | K = 1                          | rows of out        |                  |
| vector      | N = 1                          | none: BLAS's own   | linear, N = 1    |
| short sums  | K <= MAX_THIN, M and N large   | blocks of out      | linear: dw       |
| few columns | N <= MAX_THIN, K > MIN_TERMS   | rows, terms of a   | linear: y, dx    |
| small b     | MIN_BLOCK_ROWS*K*N unpacked    | rows of a          | convolutions     |
| small out   | M*MIN_BLOCK_TERMS*N unpacked   | terms of the sum   | convolutions: dw |
| whole       | all others                     | a block per worker |                  |
"""

import numpy as np

from tinyalex import device
from tinyalex.kernels.cpu import blas_choice
from tinyalex.kernels.cpu.half_precision import in_float32
from tinyalex.kernels.cpu.matrix_blocks import (
    COLUMN_MAJOR_BLOCK,
    ROW_MAJOR_TERMS,
    SHORT_SUM_BLOCK,
    block_size,
    few_columns_column_major,
    few_columns_row_major,
    row_major_rows,
    short_sums,
    split_axis,
)

MAX_SERIAL_MADDS = 1 << 18
"""Multiply-adds up to which BLAS does not wake its own threads."""

MIN_PARALLEL_MADDS, MIN_PARALLEL_MATRIX_BYTES = 1 << 25, 8 << 20
"""Multiply-adds, or bytes of the larger matrix, above which several workers are faster
than one. With few columns, reading the matrix takes longest."""

MAX_UNPACKED_MADDS = 1_000_000
"""Multiply-adds up to which OpenBLAS multiplies without packing."""

MAX_THIN = 32
"""Columns, or terms of a sum, up to which packing dominates a linear layer."""

MIN_TERMS = 512
"""Terms of a sum from which few columns are partitioned."""

MIN_SHORT_SUMS = 256
"""The least rows and columns of `out` for which short sums are partitioned."""

MIN_BLOCK_ROWS, MIN_BLOCK_TERMS = 44, 64
"""The smallest blocks of `small b` and `small out`. With smaller ones, the matrix that
is not partitioned is too large for the cache."""


@in_float32("out")
def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a @ b for matrices (M, K) and (K, N)."""
    (rows, columns), terms = out.shape, len(b)
    madds = rows * columns * terms
    size = max(a.nbytes, b.nbytes)
    large = madds > MIN_PARALLEL_MADDS or size > MIN_PARALLEL_MATRIX_BYTES
    thin_sums = large and 1 < terms <= MAX_THIN and min(out.shape) >= MIN_SHORT_SUMS
    in_short_sums = thin_sums and blas_choice.in_blocks().short_sums
    # The workers divide the rows of `out`: its longer side, or for short sums its
    # contiguous rows.
    if (out.strides[0] < out.strides[1]) if in_short_sums else (rows < columns):
        a, b, out = b.T, a.T, out.T
    if madds <= MAX_SERIAL_MADDS:
        np.matmul(a, b, out=out)
        return
    columns, partial_sums, multiple = b.shape[1], 0, 1
    if columns == 1:
        # Unlike np.dot, np.matmul keeps the GIL if there are at most 500 rows.
        out[:, 0] = np.dot(a, b[:, 0])
        return
    multiply = _row_blocks
    if terms == 1:
        multiply = _outer
    elif in_short_sums:
        multiply, multiple = short_sums, SHORT_SUM_BLOCK[0]
    elif large and terms > MIN_TERMS and columns <= MAX_THIN:
        row_major = a.strides[0] > a.strides[1]
        if row_major and blas_choice.in_blocks().row_major:
            multiply, partial_sums = few_columns_row_major, terms // ROW_MAJOR_TERMS
            multiple = row_major_rows(columns)
        elif not row_major and blas_choice.in_blocks().column_major:
            multiply, partial_sums = few_columns_column_major, 2
            multiple = COLUMN_MAJOR_BLOCK

    def run(lo: int, hi: int, scratch: device.Scratch) -> None:
        multiply(a[lo:hi], b, out[lo:hi], scratch)

    device.for_tiles(
        out,
        partial_sums * columns * out.itemsize,
        run,
        multiple=multiple,
        single_threaded=not large,
    )


def product(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x @ y for vectors, matrices and stacks of them. float16 is added in float32."""
    if x.dtype == y.dtype == np.float16:
        return np.asarray(x.astype(np.float32) @ y.astype(np.float32)).astype(np.float16)
    return x @ y


def _outer(a: np.ndarray, b: np.ndarray, out: np.ndarray, scratch: device.Scratch) -> None:
    np.multiply(a, b, out=out)  # np.matmul does not call BLAS for this, and is slow


def _row_blocks(a: np.ndarray, b: np.ndarray, out: np.ndarray, scratch: device.Scratch) -> None:
    stacked_matmul(a, b, out)


def stacked_matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a @ b for stacks (..., M, K) and (..., K, N). Regime `small b`."""
    rows, (terms, columns) = a.shape[-2], b.shape[-2:]
    # BLAS does not pack the matrix of a product with a vector.
    if columns > 1 and _unpacked(rows, MIN_BLOCK_ROWS, terms * columns):
        size = block_size(rows, MAX_UNPACKED_MADDS // (terms * columns)) or rows
        a, out = split_axis(a, a.ndim - 2, size), split_axis(out, out.ndim - 2, size)
        b = b[..., None, :, :]
    np.matmul(a, b, out=out)


def sum_of_matmuls(a: np.ndarray, b: np.ndarray, scratch: device.Scratch) -> np.ndarray:
    """The sum of all a[i] @ b[i]: (stack, M, K), (stack, K, N). Regime `small out`."""
    (_, rows, terms), columns = a.shape, b.shape[2]
    if terms == 0:  # an empty batch
        return np.zeros((rows, columns), a.dtype)
    size = terms
    if _unpacked(terms, MIN_BLOCK_TERMS, rows * columns):
        size = block_size(terms, MAX_UNPACKED_MADDS // (rows * columns)) or terms
    total = np.zeros((rows, columns), a.dtype)
    partial = scratch.take("partial sums", (terms // size, rows, columns), a.dtype)
    for left, right in zip(a, b, strict=True):
        blocks = split_axis(left, 1, size).swapaxes(0, 1), split_axis(right, 0, size)
        np.matmul(*blocks, out=partial)
        total += partial.sum(axis=0)
    return total


def _unpacked(length: int, min_block: int, madds_each: int) -> bool:
    """Whether partitioning an axis avoids packing, with large enough blocks."""
    too_large = length * madds_each > MAX_UNPACKED_MADDS
    fits = min_block * madds_each <= MAX_UNPACKED_MADDS
    return too_large and fits and blas_choice.in_blocks().small
