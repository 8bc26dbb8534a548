"""Convolution whose matrix product is the output itself, in the memory where it stays.

A tile of images has its product in a place of its own, from where it must be copied: activations lie as (OH, OW, N, O) in memory, and some
of the N are not one piece. Some of the OH are. So a tile here is some rows of the output, for all images at once: `col` has a column for
every position in them, and then

    forward     y[lo:hi]   = col.T @ w.T          (positions, O): written where y lies
    backward    dw.T      += col @ dy[lo:hi]      (C*KH*KW, O): read from where dy lies

The bias is one weight more, of an input that is always 1: a last row of ones in `col`. So db is the last row of what dw.T comes from.

Rows of windows overlap, and with them what tiles would add to dx; so this is for who needs no dx: the first layer, and inference.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from tinyalex import device
from tinyalex.kernels.patches import im2col
from tinyalex.kernels.rows import as_rows, below_relu
from tinyalex.kernels.taps import Pair


class WholeRows(NamedTuple):
    """How to convolve images (N, C, H, W) with filters (O, C, KH, KW)."""

    window: Any
    out: Pair

    def forward(
        self, x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, relu: bool, keep: bool
    ) -> np.ndarray | None:
        """y = the convolution of x with w, plus b; with `relu`, 0 where that is negative. What is to be kept for `backward` is returned."""
        taps = np.zeros((w[0].size + 1, len(w)), w.dtype)
        taps[:-1] = w.reshape(len(w), -1).T
        if b is not None:
            taps[-1] = b
        rows = as_rows(y)
        nothing = np.zeros(rows.shape[2], y.dtype)

        def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
            here = rows[lo:hi]
            np.matmul(self.columns(x, lo, hi, scratch).T, taps, out=here.reshape(-1, len(w), copy=False))
            if relu:
                np.maximum(here, nothing, out=here)

        device.for_tiles(rows, self.bytes_each(x, w), tile)
        return x if keep else None

    def backward(
        self, dy: np.ndarray, w: np.ndarray, x: np.ndarray, y: np.ndarray | None, dx: None, want_dw: bool
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(dw, db), if they are wanted. With y, the output after ReLU, dy counts where y is positive (or NaN)."""
        if not want_dw:
            return None, None
        rows = as_rows(dy)

        def tile(lo: int, hi: int, scratch: device.Scratch) -> np.ndarray:
            slope = rows[lo:hi] if y is None else below_relu(rows[lo:hi], as_rows(y)[lo:hi], scratch)
            return self.columns(x, lo, hi, scratch) @ slope.reshape(-1, len(w))

        dtaps = device.for_tiles(rows, self.bytes_each(x, w), tile)
        return np.ascontiguousarray(dtaps[:-1].T).reshape(w.shape), dtaps[-1]

    def columns(self, x: np.ndarray, lo: int, hi: int, scratch: device.Scratch) -> np.ndarray:
        """(C*KH*KW + 1, positions in rows lo..hi of the output), the last row all ones."""
        window, (n, c) = self.window, x.shape[:2]
        count = c * math.prod(window.kernel)
        col = scratch.take("columns", (count + 1, (hi - lo) * self.out[1] * n), x.dtype)
        col[count] = 1
        # The windows of some rows are those of an image that begins where the first of them does.
        top = lo * window.stride[0] - window.padding[0]
        bottom = top + (hi - lo - 1) * window.stride[0] + (window.kernel[0] - 1) * window.dilation[0] + 1
        seen, above = x[:, :, max(0, top) : max(0, bottom)], max(0, -top)
        place = np.moveaxis(col[:count].reshape(c, *window.kernel, hi - lo, self.out[1], n), -1, -3)
        im2col(seen, place, window.kernel, window.stride, (above, window.padding[1]), window.dilation)
        return col

    def bytes_each(self, x: np.ndarray, w: np.ndarray) -> int:
        """Of the columns of one row of the output."""
        return (w[0].size + 1) * self.out[1] * len(x) * x.itemsize
