"""Products of matrices in NumPy: shared between the cores like everything else, and in pieces that BLAS is fast on.

BLAS has threads of its own, but they keep a core busy for some 20 ms after each product, waiting for the next one; the threads that share
the tiles of a batch would wait for them.

And before it multiplies, BLAS copies both matrices into an order of its own. Where each number is used often, that costs little. But the
weights of a linear layer are used once a sample: with 32 samples the copy takes as long as the product. OpenBLAS has kernels that do
without, on processors with AVX-512, for products of up to a million multiplications. There, larger ones are cut into such pieces:

    few columns    out    = the sum over s of a[:, s] @ b[s]      x @ w.T and dy @ w of a linear layer, seen from the longer side
    short sums     out[j] = a @ b[j], a piece of the columns      its dy.T @ x
    small b        out[i] = a[i] @ b, a piece of the rows         convolutions
    small out      out    = the sum over s of a[:, s] @ b[s]      the gradient of their filters
"""

import numpy as np

from tinyalex import device

TINY = 1 << 18
"""Multiplications for which BLAS does not wake its own threads."""

SMALL = 1 << 24
"""Multiplications that one thread has done sooner than others are woken."""

UNCOPIED = 1_000_000
"""Multiplications up to which OpenBLAS copies nothing."""

PIECE = 1 << 19
"""Multiplications of a piece where columns are few."""

BLOCK = 256, 64
"""Rows and columns of a piece where sums are short."""

FEW = 32
"""Columns, or terms of a sum, for which a linear layer is cut. With more, the copy is a small part of the work."""

LONG = 512
"""Terms of a partial sum, of which there are several where columns are few."""

LEAST_ROWS, LEAST_TERMS = 44, 64
"""Of a piece, where b is not cut, or `out` is not. Were there fewer, these would be so large that they are fetched anew each time."""


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a @ b for matrices, each core making a part of the longer side of `out`, or of its rows as they lie where sums are short."""
    (rows, columns), terms = out.shape, len(b)
    large = rows * columns * terms > SMALL and device.blas_multiplies_without_packing()
    short_sums = large and 1 < terms <= FEW and min(out.shape) >= BLOCK[0]
    if (out.strides[0] < out.strides[1]) if short_sums else (rows < columns):
        a, b, out = b.T, a.T, out.T
    few_columns = large and terms > LONG and 1 < b.shape[1] <= FEW
    if few_columns:
        b = np.ascontiguousarray(b)

    def some_rows(lo: int, hi: int, scratch: device.Scratch) -> None:
        if short_sums:
            _short_sums(a[lo:hi], b, out[lo:hi], scratch)
        elif few_columns:
            _few_columns(a[lo:hi], b, out[lo:hi], scratch)
        elif terms == 1:
            np.multiply(
                a[lo:hi], b, out=out[lo:hi]
            )  # which BLAS is not asked for, and NumPy's own loop for products is slow
        else:
            matmul_stack(a[lo:hi], b, out[lo:hi])

    if rows * columns * terms <= TINY:
        np.matmul(a, b, out=out)
    else:
        partial_sums = terms // (LONG // 2) * b.shape[1] * b.itemsize if few_columns else 0
        device.for_tiles(out, partial_sums, some_rows, single_threaded=rows * columns * terms <= SMALL)


def matmul_stack(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a @ b for stacks of matrices, (..., M, K) and (..., K, N)."""
    rows, (terms, columns) = a.shape[-2], b.shape[-2:]
    if (
        rows * terms * columns > UNCOPIED >= LEAST_ROWS * terms * columns
        and device.blas_multiplies_without_packing()
    ):
        size = _divisor(rows, UNCOPIED // (terms * columns)) or rows
        a, b, out = _cut(a, a.ndim - 2, size), b[..., None, :, :], _cut(out, out.ndim - 2, size)
    np.matmul(a, b, out=out)


def sum_of_products(a: np.ndarray, b: np.ndarray, scratch: device.Scratch) -> np.ndarray:
    """The sum of all a[i] @ b[i]. a (stack, M, K), b (stack, K, N)"""
    (_, rows, terms), columns = a.shape, b.shape[2]
    size = terms
    if (
        rows * terms * columns > UNCOPIED >= LEAST_TERMS * rows * columns
        and device.blas_multiplies_without_packing()
    ):
        size = _divisor(terms, UNCOPIED // (rows * columns)) or terms
    total, partial = (
        np.zeros((rows, columns), a.dtype),
        scratch.take("partial sums", (terms // size, rows, columns), a.dtype),
    )
    for left, right in zip(a, b, strict=True):
        np.matmul(_cut(left, 1, size).swapaxes(0, 1), _cut(right, 0, size), out=partial)
        total += partial.sum(axis=0)
    return total


def _few_columns(a: np.ndarray, b: np.ndarray, out: np.ndarray, scratch: device.Scratch) -> None:
    """The pieces of `a` follow each other as they lie in memory, so that it is read in one go; there are more rows in one that is read
    by columns."""
    (rows, terms), columns = a.shape, b.shape[1]
    by_rows = a.strides[0] > a.strides[1]
    k = _divisor(terms, LONG if by_rows else LONG // 2)
    r = _divisor(rows, min(128, PIECE // (k * columns))) if k else 0
    if not r:
        np.matmul(a, b, out=out)
        return
    order = (0, 1, 2, 3) if by_rows else (1, 0, 2, 3)
    shape = rows // r, terms // k, r, columns
    partial = scratch.take(
        "partial sums", tuple(shape[axis] for axis in order), out.dtype
    ).transpose(order)
    np.matmul(_cut(_cut(a, 1, k), 0, r).swapaxes(1, 2), _cut(b, 0, k), out=partial)
    _cut(out, 0, r)[...] = partial.sum(axis=1)


def _short_sums(a: np.ndarray, b: np.ndarray, out: np.ndarray, scratch: device.Scratch) -> None:
    """Columns are copied together first: each begins far from the next, often by a power of two, for which a cache has few places."""
    (rows, terms), columns = a.shape, b.shape[1]
    r, c = _divisor(rows, BLOCK[0]), _divisor(columns, BLOCK[1])
    if not (r and c):
        np.matmul(a, b, out=out)
        return
    pieces = scratch.take("columns", (columns // c, terms, c), b.dtype)
    pieces[...] = _cut(b, 1, c).swapaxes(0, 1)
    np.matmul(_cut(a, 0, r)[:, None], pieces, out=_cut(_cut(out, 1, c), 0, r).swapaxes(1, 2))


def _divisor(n: int, most: int) -> int:
    """The largest divisor of n up to `most`; 0 where that would leave small pieces."""
    found = next((size for size in range(min(n, most), 0, -1) if n % size == 0), 0)
    return found if 4 * found >= most else 0


def _cut(m: np.ndarray, axis: int, size: int) -> np.ndarray:
    """An axis as two: pieces, and what is in a piece."""
    return m.reshape(*m.shape[:axis], m.shape[axis] // size, size, *m.shape[axis + 1 :], copy=False)
