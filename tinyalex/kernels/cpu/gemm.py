"""Matrix multiplication in parallel, in blocks that BLAS does not pack.

Workers partition the matrices, instead of BLAS's own threads: those spin for about
20 ms after each call, waiting for the next one, and would contend with the workers.

Before it multiplies, BLAS packs both matrices into a layout of its own. That is cheap
where each element is used often, but a linear layer uses each weight once per sample:
for 32 samples, packing takes as long as multiplying. On processors with AVX-512,
OpenBLAS has kernels without packing, for up to a million multiply-adds. There,
multiplications are partitioned (M rows, K terms, N columns):

| regime      | condition                      | partition          | used by          |
|-------------|--------------------------------|--------------------|------------------|
| serial      | M*K*N <= MAX_SERIAL_MADDS      | none               |                  |
| outer       | K = 1                          | rows of out        |                  |
| vector      | N = 1, a is row-major          | rows of a          | linear: y, N = 1 |
| short sums  | K <= MAX_THIN, M and N large   | blocks of out      | linear: dw       |
| few columns | N <= MAX_THIN, K > MIN_TERMS   | rows, terms of a   | linear: y, dx    |
| small b     | MIN_BLOCK_ROWS*K*N unpacked    | rows of a          | convolutions     |
| small out   | M*MIN_BLOCK_TERMS*N unpacked   | terms of the sum   | convolutions: dw |
| whole       | all others, or no AVX-512      | a block per worker |                  |
"""

import numpy as np

from tinyalex import device
from tinyalex.kernels.cpu.half_precision import in_float32

MAX_SERIAL_MADDS = 1 << 18
"""Multiply-adds up to which BLAS does not wake its own threads."""

MIN_PARALLEL_MADDS, MIN_PARALLEL_BYTES = 1 << 24, 8 << 20
"""Multiply-adds, or bytes of the larger matrix, above which several workers are faster
than one. With few columns, reading the matrix takes longest."""

MAX_UNPACKED_MADDS = 1_000_000
"""Multiply-adds up to which OpenBLAS multiplies without packing."""

MAX_THIN = 32
"""Columns, or terms of a sum, up to which packing dominates a linear layer."""

MIN_TERMS = 512
"""Terms of a sum from which few columns are partitioned."""

ROW_MAJOR_TERMS, ROW_MAJOR_PRODUCT = 512, 128
"""Few columns, a row-major `a`: terms of a block, and elements of its product."""

COLUMN_MAJOR_BLOCK = 64
"""Few columns, a column-major `a`: rows and terms of a block."""

SHORT_SUM_BLOCK = 16, 256
"""Rows and columns of a block where sums are short."""

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
    large = madds > MIN_PARALLEL_MADDS or max(a.nbytes, b.nbytes) > MIN_PARALLEL_BYTES
    unpacked = large and device.blas_multiplies_without_packing()
    short_sums = unpacked and 1 < terms <= MAX_THIN and min(out.shape) >= MIN_SHORT_SUMS
    # The workers divide the rows of `out`: its longer side, or for short sums its
    # contiguous rows.
    if (out.strides[0] < out.strides[1]) if short_sums else (rows < columns):
        a, b, out = b.T, a.T, out.T
    if madds <= MAX_SERIAL_MADDS:
        np.matmul(a, b, out=out)
        return
    columns, partial_sums, multiple = b.shape[1], 0, 1
    multiply = _row_blocks
    if terms == 1:
        multiply = _outer
    elif columns == 1 and a.strides[0] > a.strides[1]:
        multiply = _vector
    elif short_sums:
        multiply, multiple = _short_sums, SHORT_SUM_BLOCK[0]
    elif unpacked and terms > MIN_TERMS and 1 < columns <= MAX_THIN:
        if a.strides[0] > a.strides[1]:
            multiply, partial_sums = _few_columns_row_major, terms // ROW_MAJOR_TERMS
            multiple = _row_major_rows(columns)
        else:
            multiply, partial_sums = _few_columns_column_major, 2
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


def _vector(a: np.ndarray, b: np.ndarray, out: np.ndarray, scratch: device.Scratch) -> None:
    # Unlike np.dot, np.matmul keeps the GIL if there are at most 500 rows.
    out[:, 0] = np.dot(a, b[:, 0])


def _row_blocks(a: np.ndarray, b: np.ndarray, out: np.ndarray, scratch: device.Scratch) -> None:
    stacked_matmul(a, b, out)


def stacked_matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a @ b for stacks (..., M, K) and (..., K, N). Regime `small b`."""
    rows, (terms, columns) = a.shape[-2], b.shape[-2:]
    # BLAS does not pack the matrix of a product with a vector.
    if columns > 1 and _unpacked(rows, MIN_BLOCK_ROWS, terms * columns):
        size = _block_size(rows, MAX_UNPACKED_MADDS // (terms * columns)) or rows
        a, out = _split_axis(a, a.ndim - 2, size), _split_axis(out, out.ndim - 2, size)
        b = b[..., None, :, :]
    np.matmul(a, b, out=out)


def sum_of_matmuls(a: np.ndarray, b: np.ndarray, scratch: device.Scratch) -> np.ndarray:
    """The sum of all a[i] @ b[i]: (stack, M, K), (stack, K, N). Regime `small out`."""
    (_, rows, terms), columns = a.shape, b.shape[2]
    if terms == 0:  # an empty batch
        return np.zeros((rows, columns), a.dtype)
    size = terms
    if _unpacked(terms, MIN_BLOCK_TERMS, rows * columns):
        size = _block_size(terms, MAX_UNPACKED_MADDS // (rows * columns)) or terms
    total = np.zeros((rows, columns), a.dtype)
    partial = scratch.take("partial sums", (terms // size, rows, columns), a.dtype)
    for left, right in zip(a, b, strict=True):
        blocks = _split_axis(left, 1, size).swapaxes(0, 1), _split_axis(right, 0, size)
        np.matmul(*blocks, out=partial)
        total += partial.sum(axis=0)
    return total


def _unpacked(length: int, min_block: int, madds_each: int) -> bool:
    """Whether partitioning an axis avoids packing, with large enough blocks."""
    too_large = length * madds_each > MAX_UNPACKED_MADDS
    fits = min_block * madds_each <= MAX_UNPACKED_MADDS
    return too_large and fits and device.blas_multiplies_without_packing()


def _few_columns_row_major(
    a: np.ndarray, b: np.ndarray, out: np.ndarray, scratch: device.Scratch
) -> None:
    """out = the sum over s of a[:, s] @ b[s], for a row-major `a`."""
    (rows, terms), columns = a.shape, b.shape[1]
    r = _block_size(rows, _row_major_rows(columns))
    k = _block_size(terms, ROW_MAJOR_TERMS)
    if not (r and k):
        np.matmul(a, b, out=out)
        return
    factors = np.ascontiguousarray(b).reshape(terms // k, k, columns)
    blocks = _split_axis(_split_axis(a, 1, k), 0, r).swapaxes(1, 2)
    partial = scratch.take("partial sums", (rows // r, terms // k, r, columns), out.dtype)
    np.matmul(blocks, factors, out=partial)
    _split_axis(out, 0, r)[...] = partial.sum(axis=1)


def _row_major_rows(columns: int) -> int:
    """Rows of a block: a power of two, of which many numbers of rows are multiples."""
    return max(8, 1 << (ROW_MAJOR_PRODUCT // columns).bit_length() - 1)


def _few_columns_column_major(
    a: np.ndarray, b: np.ndarray, out: np.ndarray, scratch: device.Scratch
) -> None:
    """out.T = the sum over s of b[s].T @ a[:, s].T, for a column-major `a`."""
    (rows, terms), columns = a.shape, b.shape[1]
    r, k = _block_size(rows, COLUMN_MAJOR_BLOCK), _block_size(terms, COLUMN_MAJOR_BLOCK)
    if not (r and k):
        np.matmul(a, b, out=out)
        return
    factors = np.ascontiguousarray(_split_axis(b.T, 1, k).swapaxes(0, 1))
    blocks = _split_axis(_split_axis(a.T, 1, r), 0, k).swapaxes(1, 2)
    total = np.zeros((rows // r, columns, r), out.dtype)
    partial = scratch.take("partial sums", total.shape, out.dtype)
    for factor, block in zip(factors, blocks, strict=True):
        np.matmul(factor, block, out=partial)
        total += partial
    _split_axis(out, 0, r)[...] = total.swapaxes(1, 2)


def _short_sums(a: np.ndarray, b: np.ndarray, out: np.ndarray, scratch: device.Scratch) -> None:
    """out[i, j] = a[i] @ b[j] by blocks. Blocks of `b` are copied to contiguous memory.

    Their strides, often powers of two, would cause cache associativity conflicts.
    """
    (rows, terms), columns = a.shape, b.shape[1]
    r, c = _block_size(rows, SHORT_SUM_BLOCK[0]), _block_size(columns, SHORT_SUM_BLOCK[1])
    if not (r and c):
        np.matmul(a, b, out=out)
        return
    blocks = scratch.take("blocks", (columns // c, terms, c), b.dtype)
    blocks[...] = _split_axis(b, 1, c).swapaxes(0, 1)
    target = _split_axis(_split_axis(out, 1, c), 0, r).swapaxes(1, 2)
    np.matmul(_split_axis(a, 0, r)[:, None], blocks, out=target)


def _block_size(n: int, most: int) -> int:
    """The largest divisor of n up to `most`; 0 if it is below a quarter of that."""
    found = next((size for size in range(min(n, most), 0, -1) if n % size == 0), 0)
    return found if 4 * found >= most else 0


def _split_axis(m: np.ndarray, axis: int, size: int) -> np.ndarray:
    """A view with an axis split in two: blocks, and the elements of a block."""
    shape = *m.shape[:axis], m.shape[axis] // size, size, *m.shape[axis + 1 :]
    return m.reshape(shape, copy=False)
