"""HWNC layout: activations (N, C, H, W) stored as (H, W, N, C), and loops over rows."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from tinyalex import device

BLOCK_ELEMENTS = 1 << 18
"""Elements per step of a loop over rows: they stay in a core's cache, and the steps are
long enough that workers do not wait for the GIL."""

MIN_PARALLEL_BYTES = 3 << 20
"""Up to this size a single thread is faster: workers would wait for the GIL."""


def to_hwnc(x: np.ndarray) -> np.ndarray:
    """`x` (N, C, H, W) itself if it is stored as (H, W, N, C), else a copy that is."""
    n, c, *_ = x.shape
    is_hwnc = (c == 1 or x.strides[1] == x.itemsize) and (n == 1 or x.strides[0] == c * x.itemsize)
    return x if is_hwnc else np.ascontiguousarray(x.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)


def as_hwnc(x: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) as (H, W, N*C): a view if in HWNC layout, else a copy."""
    n, c, h, w = x.shape
    return to_hwnc(x).transpose(2, 3, 0, 1).reshape((h, w, n * c), copy=False)


def parallel_rows(a: np.ndarray, size: int, body: Callable[[slice], None]) -> None:
    """Call `body` with the rows (axis 2) of an activation, partitioned among workers.

    Each worker then reads and writes contiguous memory. `size` is the size in bytes of
    the largest array that the loop reads.
    """

    def run(lo: int, hi: int, scratch: device.Scratch) -> None:
        body(slice(lo, hi))

    device.for_tiles(a.swapaxes(0, 2), 0, run, single_threaded=size <= MIN_PARALLEL_BYTES)


def row_blocks(a: np.ndarray, rows: slice) -> Iterator[slice]:
    """Rows (axis 2) of an activation in blocks of about BLOCK_ELEMENTS."""
    n, c, _, *rest = a.shape
    step = max(1, BLOCK_ELEMENTS // max(1, n * c * math.prod(rest)))
    starts = range(rows.start, rows.stop, step)
    return (slice(first, min(first + step, rows.stop)) for first in starts)
