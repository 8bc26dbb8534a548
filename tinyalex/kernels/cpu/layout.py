"""Activations as rows: all channels of all images at a place of the map lie side by side in memory, (H, W, N, C)."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from tinyalex import device


def _lies_in_rows(x: np.ndarray) -> bool:
    """Whether the numbers of all channels of all images (N, C, H, W) lie side by side at each place, as in an activation."""
    n, c, *_ = x.shape
    return (c == 1 or x.strides[1] == x.itemsize) and (n == 1 or x.strides[0] == c * x.itemsize)


def in_rows(x: np.ndarray) -> np.ndarray:
    """`x` itself if it lies so, else a copy that does."""
    return (
        x
        if _lies_in_rows(x)
        else np.ascontiguousarray(x.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)
    )


_BLOCK = 1 << 18
"""Numbers that a step of a loop over rows works on: few enough to stay in a core's cache, enough for two threads not to wait for Python."""


def row_blocks(a: np.ndarray, rows: slice) -> Iterator[slice]:
    """Some rows of an activation (axis 2), a few at a time."""
    n, c, _, *rest = a.shape
    step = max(1, _BLOCK // max(1, n * c * math.prod(rest)))
    return (
        slice(first, min(first + step, rows.stop)) for first in range(rows.start, rows.stop, step)
    )


SMALL = 4 << 20
"""Bytes that one thread goes through sooner than several: in many short loops, after each of which threads wait for Python's lock."""


def for_rows(a: np.ndarray, size: int, body: Callable[[slice], None]) -> None:
    """Call `body` with the rows of an activation (axis 2), each core with a part of them, if there are so many.

    size: bytes of the largest array that it goes through.
    """

    def some_rows(lo: int, hi: int, scratch: device.Scratch) -> None:
        body(slice(lo, hi))

    device.for_tiles(np.moveaxis(a, 2, 0), 0, some_rows, single_threaded=size <= SMALL)


def as_rows(x: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) as (H, W, N*C): in the same memory if they lie like an activation, else a copy."""
    x = in_rows(x)
    n, c, h, w = x.shape
    return np.lib.stride_tricks.as_strided(
        x, (h, w, n * c), (x.strides[2], x.strides[3], x.itemsize), writeable=True
    )


def below_relu(dy: np.ndarray, y: np.ndarray, scratch: device.Scratch) -> np.ndarray:
    """dy where y is positive or NaN, else dy * 0. (H, W, N*C), a row of the map at a time"""
    slope, off = scratch.take("slope", dy.shape, dy.dtype), scratch.take("off", dy.shape[1:], bool)
    for i in range(len(dy)):
        np.less_equal(y[i], 0, out=off)
        np.multiply(dy[i], np.logical_not(off, out=off), out=slope[i])
    return slope
