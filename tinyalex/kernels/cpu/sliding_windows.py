"""Sliding windows in NumPy, one kernel offset at a time.

The pixels of all windows at one of the KH*KW offsets are a strided slice of the image.
"""

from collections.abc import Iterator

import numpy as np

from tinyalex.kernels.geometry import Pair

Index = tuple[slice, ...]


def offset_slices(
    x: np.ndarray,
    y: np.ndarray,
    rows: slice,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> Iterator[tuple[int, np.ndarray, Index]]:
    """For each kernel offset u*KW + v: (offset, pixels at that offset, their outputs).

    The windows are those of the given rows of y. Outputs whose pixel is in the padding
    are omitted.
    """
    # Starting at a later row of y is the same as shifting the image up.
    top = padding[0] - rows.start * stride[0]
    (_, _, h, w), ow = x.shape, y.shape[3]
    every = slice(None), slice(None)
    across = [_span(v, w, ow, stride[1], padding[1], dilation[1]) for v in range(kernel[1])]
    for u in range(kernel[0]):
        out_rows, in_rows = _span(u, h, rows.stop - rows.start, stride[0], top, dilation[0])
        for v, (out_cols, in_cols) in enumerate(across):
            yield u * kernel[1] + v, x[*every, in_rows, in_cols], (*every, out_rows, out_cols)


def _span(
    offset: int, size: int, out: int, stride: int, padding: int, dilation: int
) -> tuple[slice, slice]:
    """Along one axis: (outputs with a pixel at a kernel offset, those pixels)."""
    start = offset * dilation - padding
    first = max(0, -(start // stride))
    last = min(out, (size - 1 - start) // stride + 1)
    if last <= first:
        return slice(0, 0), slice(0, 0)
    pixel = first * stride + start
    return slice(first, last), slice(pixel, pixel + (last - first - 1) * stride + 1, stride)


def windows_over(
    rows: slice, out: int, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> tuple[slice, Pair]:
    """(output rows whose windows overlap `rows` of the image, their padding there)"""
    above = rows.start + padding[0]
    first = max(0, -(((kernel[0] - 1) * dilation[0] - above) // stride[0]))
    last = min(out, (rows.stop - 1 + padding[0]) // stride[0] + 1)
    return slice(first, max(first, last)), (above - first * stride[0], padding[1])
