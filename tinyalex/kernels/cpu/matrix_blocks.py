"""Matrix multiplication in blocks that BLAS does not pack, for linear layers.

All compute out = a @ b for (M, K) and (K, N), and use `np.matmul` for whole matrices
whose sizes have no divisors near the size of a block.
"""

import numpy as np

from tinyalex import device

ROW_MAJOR_TERMS, ROW_MAJOR_PRODUCT = 512, 128
"""Few columns, a row-major `a`: terms of a block, and elements of its product."""

COLUMN_MAJOR_BLOCK = 64
"""Few columns, a column-major `a`: rows and terms of a block."""

SHORT_SUM_BLOCK = 16, 256
"""Rows and columns of a block where sums are short."""


def few_columns_row_major(
    a: np.ndarray, b: np.ndarray, out: np.ndarray, scratch: device.Scratch
) -> None:
    """out = the sum over s of a[:, s] @ b[s], for a row-major `a`."""
    (rows, terms), columns = a.shape, b.shape[1]
    r = block_size(rows, row_major_rows(columns))
    k = block_size(terms, ROW_MAJOR_TERMS)
    if not (r and k):
        np.matmul(a, b, out=out)
        return
    factors = np.ascontiguousarray(b).reshape(terms // k, k, columns)
    blocks = split_axis(split_axis(a, 1, k), 0, r).swapaxes(1, 2)
    partial = scratch.take("partial sums", (rows // r, terms // k, r, columns), out.dtype)
    np.matmul(blocks, factors, out=partial)
    split_axis(out, 0, r)[...] = partial.sum(axis=1)


def row_major_rows(columns: int) -> int:
    """Rows of a block: a power of two, of which many numbers of rows are multiples."""
    return max(8, 1 << (ROW_MAJOR_PRODUCT // columns).bit_length() - 1)


def few_columns_column_major(
    a: np.ndarray, b: np.ndarray, out: np.ndarray, scratch: device.Scratch
) -> None:
    """out.T = the sum over s of b[s].T @ a[:, s].T, for a column-major `a`."""
    (rows, terms), columns = a.shape, b.shape[1]
    r, k = block_size(rows, COLUMN_MAJOR_BLOCK), block_size(terms, COLUMN_MAJOR_BLOCK)
    if not (r and k):
        np.matmul(a, b, out=out)
        return
    factors = np.ascontiguousarray(split_axis(b.T, 1, k).swapaxes(0, 1))
    blocks = split_axis(split_axis(a.T, 1, r), 0, k).swapaxes(1, 2)
    total = np.zeros((rows // r, columns, r), out.dtype)
    partial = scratch.take("partial sums", total.shape, out.dtype)
    for factor, block in zip(factors, blocks, strict=True):
        np.matmul(factor, block, out=partial)
        total += partial
    split_axis(out, 0, r)[...] = total.swapaxes(1, 2)


def short_sums(a: np.ndarray, b: np.ndarray, out: np.ndarray, scratch: device.Scratch) -> None:
    """out[i, j] = a[i] @ b[j] by blocks. Blocks of `b` are copied to contiguous memory.

    Their strides, often powers of two, would cause cache associativity conflicts.
    """
    (rows, terms), columns = a.shape, b.shape[1]
    r, c = block_size(rows, SHORT_SUM_BLOCK[0]), block_size(columns, SHORT_SUM_BLOCK[1])
    if not (r and c):
        np.matmul(a, b, out=out)
        return
    blocks = scratch.take("blocks", (columns // c, terms, c), b.dtype)
    blocks[...] = split_axis(b, 1, c).swapaxes(0, 1)
    target = split_axis(split_axis(out, 1, c), 0, r).swapaxes(1, 2)
    np.matmul(split_axis(a, 0, r)[:, None], blocks, out=target)


def block_size(n: int, most: int) -> int:
    """The largest divisor of n up to `most`; 0 if it is below a quarter of that."""
    found = next((size for size in range(min(n, most), 0, -1) if n % size == 0), 0)
    return found if 4 * found >= most else 0


def split_axis(m: np.ndarray, axis: int, size: int) -> np.ndarray:
    """A view with an axis split in two: blocks, and the elements of a block."""
    shape = *m.shape[:axis], m.shape[axis] // size, size, *m.shape[axis + 1 :]
    return m.reshape(shape, copy=False)
