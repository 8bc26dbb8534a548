"""Convolution whose matrix product is the output itself, in the memory where it stays.

A tile of images has its product in a place of its own, from where it must be copied: activations lie as (OH, OW, N, O) in memory, and some
of the N are not one piece. Some of the OH are. So a tile here is some rows of the output, for all images at once: `col` has a column for
every position in them, and then

    forward     y[lo:hi]   = col.T @ w.T          (positions, O): written where y lies
    backward    dw.T      += col @ dy[lo:hi]      (C*KH*KW, O): read from where dy lies

The bias is one weight more, of an input that is always 1: a last row of ones in `col`. So db is the last row of what dw.T comes from.

Rows of windows overlap, and with them what tiles would add to dx; so this is for who needs no dx: the first layer, and inference. And the
images are turned as a whole, so that they need their memory twice: it is for few channels, where most of the time goes into copies.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from tinyalex import device
from tinyalex.device.tiles import TILE_BYTES
from tinyalex.kernels.patches import all_that_windows_see, windows
from tinyalex.kernels.rows import as_rows, below_relu
from tinyalex.kernels.taps import Pair

FEW_CHANNELS = 8
"""With more, the product takes so long that a copy of its result does not matter."""


def whole_rows(x: np.ndarray, w: np.ndarray, window: Any, out: Pair, groups: int) -> "WholeRows | None":
    """How to convolve x (N, C, H, W) with w (O, C/G, KH, KW), or None where tiles of images serve better.

    Every worker needs rows of its own, and a row's columns room in a tile.
    """
    found = WholeRows(window, out)
    fits = found.bytes_each(len(x), w) <= TILE_BYTES and out[0] >= 2 * device.workers()
    return found if groups == 1 and x.shape[1] <= FEW_CHANNELS and window.kernel != (1, 1) and fits else None


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
        seen, rows = self.arranged(x), as_rows(y)
        nothing = np.zeros(rows.shape[2], y.dtype)

        def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
            here = rows[lo:hi]
            np.matmul(self.columns(seen, lo, hi, scratch).T, taps, out=here.reshape(-1, len(w), copy=False))
            if relu:
                np.maximum(here, nothing, out=here)

        device.for_tiles(rows, self.bytes_each(len(x), w), tile)
        return seen if keep else None

    def backward(
        self, dy: np.ndarray, w: np.ndarray, seen: np.ndarray, y: np.ndarray | None, dx: None, want_dw: bool
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(dw, db), if they are wanted; dx never is. With y, the output after ReLU, dy counts where y is positive (or NaN)."""
        if not want_dw:
            return None, None
        rows = as_rows(dy)

        def tile(lo: int, hi: int, scratch: device.Scratch) -> np.ndarray:
            slope = rows[lo:hi] if y is None else below_relu(rows[lo:hi], as_rows(y)[lo:hi], scratch)
            return self.columns(seen, lo, hi, scratch) @ slope.reshape(-1, len(w))

        dtaps = device.for_tiles(rows, self.bytes_each(seen.shape[1], w), tile)
        return np.ascontiguousarray(dtaps[:-1].T).reshape(w.shape), dtaps[-1]

    def arranged(self, x: np.ndarray) -> np.ndarray:
        """All that windows see of x, (C, N, rows, columns), where the images lie last in memory: what `columns` copies in long runs."""
        seen, image = all_that_windows_see(x, self.window.kernel, self.out, *self.window[1:])
        inside = x.swapaxes(0, 1)[:, :, : image.shape[2], : image.shape[3]]

        def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
            image[:, :, lo:hi] = inside[:, :, lo:hi]

        device.for_tiles(np.moveaxis(image, 2, 0), 0, tile)
        return seen

    def columns(self, seen: np.ndarray, lo: int, hi: int, scratch: device.Scratch) -> np.ndarray:
        """(C*KH*KW + 1, positions in rows lo..hi of the output), the last row all ones."""
        kernel, stride, _, dilation = self.window
        (c, n), out = seen.shape[:2], (hi - lo, self.out[1])
        count = c * math.prod(kernel)
        col = scratch.take("columns", (count + 1, math.prod(out) * n), seen.dtype)
        col[count] = 1
        place = np.moveaxis(col[:count].reshape(c, *kernel, *out, n), -1, -3)
        place[...] = windows(seen[:, :, lo * stride[0] :], kernel, out, stride, dilation)
        return col

    def bytes_each(self, images: int, w: np.ndarray) -> int:
        """Of the columns of one row of the output, of that row, and in backward of what is left of its gradient below a ReLU."""
        return (w[0].size + 1 + 2 * len(w)) * self.out[1] * images * w.itemsize
