"""Products of matrices in NumPy, shared between the cores like everything else.

BLAS has threads of its own, but they keep a core busy for some 20 ms after each product, waiting for the next one; the threads that share
the tiles of a batch would wait for them.
"""

import numpy as np

from tinyalex import device

SMALL = 1 << 18
"""Multiplications that one thread does sooner than others are woken."""


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a @ b for matrices, each core making a part of the longer side of `out`."""
    rows, columns = out.shape
    product = np.multiply if a.shape[1] == 1 else np.matmul  # which BLAS is not asked for, and NumPy's own loop is slow

    def some_rows(lo: int, hi: int, scratch: device.Scratch) -> None:
        product(a[lo:hi], b, out=out[lo:hi])

    def some_columns(lo: int, hi: int, scratch: device.Scratch) -> None:
        product(a, b[:, lo:hi], out=out[:, lo:hi])

    if rows * columns * a.shape[1] <= SMALL:
        np.matmul(a, b, out=out)
    elif rows >= columns:
        device.for_tiles(out, 0, some_rows)
    else:
        device.for_tiles(out.T, 0, some_columns)
