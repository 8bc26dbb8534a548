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
    if rows < columns:
        a, b, out = b.T, a.T, out.T

    def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
        np.matmul(a[lo:hi], b, out=out[lo:hi])

    if rows * columns * a.shape[1] <= SMALL:
        np.matmul(a, b, out=out)
    else:
        device.for_tiles(out, 0, tile)
