"""Sliding windows in NumPy, a tap at a time: what all windows see through one of their KH*KW taps is a slice of the image."""

from collections.abc import Iterator

import numpy as np

Pair = tuple[int, int]


def _span(
    tap: int, size: int, out: int, stride: int, padding: int, dilation: int
) -> tuple[slice, slice]:
    """The outputs that see the image (and not its padding) through one tap of the window, and the pixels they see."""
    offset = tap * dilation - padding
    first = max(0, -(offset // stride))
    last = min(out, (size - 1 - offset) // stride + 1)
    if last <= first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + offset
    return slice(first, last), slice(start, start + (last - first - 1) * stride + 1, stride)


def taps(
    image: Pair, out: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Iterator[tuple]:
    """(u, v), output slices and pixel slices for each tap of the window."""
    (h, w), (oh, ow) = image, out
    across = [_span(v, w, ow, stride[1], padding[1], dilation[1]) for v in range(kernel[1])]
    for u in range(kernel[0]):
        out_rows, pixel_rows = _span(u, h, oh, stride[0], padding[0], dilation[0])
        for v, (out_cols, pixel_cols) in enumerate(across):
            yield (u, v), (..., out_rows, out_cols), (..., pixel_rows, pixel_cols)


def row_taps(
    x: np.ndarray,
    y: np.ndarray,
    rows: slice,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> Iterator[tuple]:
    """(tap, pixels, outputs): which outputs of some rows of y see the image through each tap of the window, and which pixels they see."""
    above = (
        rows.start * stride[0]
    )  # a window over some rows is the whole one over an image that begins further down
    top = (padding[0] - above, padding[1])
    for (u, v), out, pixels in taps(
        x.shape[2:], (rows.stop - rows.start, y.shape[3]), kernel, stride, top, dilation
    ):
        yield u * kernel[1] + v, x[pixels], (slice(None), slice(None), *out[1:])


def windows_on(
    rows: slice, out: int, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> tuple[slice, Pair]:
    """Which rows of the `out` rows of windows reach some rows of the image, and the padding if those rows are all of the image."""
    above = rows.start + padding[0]
    first = max(0, -(((kernel[0] - 1) * dilation[0] - above) // stride[0]))
    last = min(out, (rows.stop - 1 + padding[0]) // stride[0] + 1)
    return slice(first, max(first, last)), (above - first * stride[0], padding[1])
