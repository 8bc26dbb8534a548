"""Convolution whose matrix product is the output itself, in the memory where it stays.

A tile of images has its product in a place of its own, from where it must be copied: activations lie as (OH, OW, N, O) in memory, and some
of the N are not one piece. A row of the output is. So a product here is a row, for all images at once. And of the columns of im2col only
the part that belongs to one row of the image is made,

    strips[h] = what the windows' rows see of row h     (KW*C, OW*N)

since the rows that a window sees follow each other: strips[i*stride : i*stride + KH] are all columns of row i of the output, in the memory
where they lie, KH/stride times less of it than im2col's.

    forward     y[i]   = columns[i].T @ w.T          (OW*N, O)
    backward    dw.T  += columns[i] @ dy[i]          (KH*KW*C, O)

The bias is one weight more, of an input that is always 1: a last row of ones in each strip, of which the window's first is used. So db is
in what dw.T comes from.

What windows of several rows would add to dx overlaps, so this is for who needs no dx: the first layer, and inference. And it is for few
channels, where the copies take most of the time.
"""

from typing import Any, NamedTuple

import numpy as np

from tinyalex import device
from tinyalex.kernels.cpu.gemm import matmul_stack, sum_of_products
from tinyalex.kernels.cpu.layout import as_rows, below_relu
from tinyalex.kernels.cpu.memory import empty
from tinyalex.kernels.cpu.windows import Pair

FEW_CHANNELS = 8
"""With more, the product takes so long that a copy of its result does not matter."""


def whole_rows(
    x: np.ndarray, w: np.ndarray, window: Any, out: Pair, groups: int
) -> "WholeRows | None":
    """How to convolve x (N, C, H, W) with w (O, C/G, KH, KW), or None where tiles of images serve better.

    Every worker needs rows of its own, a window must see rows that lie side by side, and strips shall not be much larger than y.
    """
    few = x.shape[1] <= FEW_CHANNELS and x.shape[1] * window.kernel[1] * window.stride[0] < 2 * len(
        w
    )
    plain = groups == 1 and window.dilation[0] == 1 and window.kernel != (1, 1)
    return WholeRows(window, out) if plain and few and out[0] >= 2 * device.workers() else None


class WholeRows(NamedTuple):
    """How to convolve images (N, C, H, W) with filters (O, C, KH, KW)."""

    window: Any
    out: Pair

    def forward(
        self,
        x: np.ndarray,
        w: np.ndarray,
        b: np.ndarray | None,
        y: np.ndarray,
        relu: bool,
        keep: bool,
    ) -> np.ndarray | None:
        """y = the convolution of x with w, plus b; with `relu`, 0 where that is negative. What is to be kept for `backward` is returned."""
        o, c, kh, kw = w.shape
        taps = np.zeros((kh, kw * c + 1, o), w.dtype)
        taps[:, :-1] = w.transpose(2, 3, 1, 0).reshape(kh, kw * c, o)
        if b is not None:
            taps[0, -1] = b
        strips = self.strips(x)
        columns, rows = self.columns(strips), as_rows(y)
        nothing = np.zeros(rows.shape[2], y.dtype)

        def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
            here = rows[lo:hi]
            matmul_stack(
                columns[lo:hi].swapaxes(1, 2),
                taps.reshape(-1, o),
                here.reshape(hi - lo, -1, o, copy=False),
            )
            if relu:
                np.maximum(here, nothing, out=here)

        device.for_tiles(rows, rows[0].nbytes, tile)
        return strips if keep else None

    def backward(
        self,
        dy: np.ndarray,
        w: np.ndarray,
        strips: np.ndarray,
        y: np.ndarray | None,
        dx: None,
        want_dw: bool,
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(dw, db), if they are wanted; dx never is. With y, the output after ReLU, dy counts where y is positive (or NaN)."""
        if not want_dw:
            return None, None
        o, c, kh, kw = w.shape
        columns, rows = self.columns(strips), as_rows(dy)

        def tile(lo: int, hi: int, scratch: device.Scratch) -> np.ndarray:
            slope = (
                rows[lo:hi] if y is None else below_relu(rows[lo:hi], as_rows(y)[lo:hi], scratch)
            )
            return sum_of_products(columns[lo:hi], slope.reshape(hi - lo, -1, o), scratch)

        dtaps = device.for_tiles(rows, rows[0].nbytes, tile).reshape(kh, kw * c + 1, o)
        dw = dtaps[:, :-1].reshape(kh, kw, c, o).transpose(3, 2, 0, 1)
        return np.ascontiguousarray(dw), dtaps[0, -1]

    def strips(self, x: np.ndarray) -> np.ndarray:
        """(rows that windows see, KW*C + 1, OW*N), the last of the axis in the middle all ones."""
        (n, c, h, w), (kh, kw), (oh, ow) = x.shape, self.window.kernel, self.out
        (down, across), (top, left), apart = (
            self.window.stride,
            self.window.padding,
            self.window.dilation[1],
        )
        width = (ow - 1) * across + (kw - 1) * apart + 1
        strips = empty(((oh - 1) * down + kh, kw * c + 1, ow * n), x.dtype)

        def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
            # Images last, (row, column, C, N), so that a shifted view is a few long runs.
            padded = scratch.take("padded rows", (hi - lo, width, c, n), x.dtype)
            padded.fill(0)
            inside = range(max(lo, top), min(hi, top + h))
            if inside:
                image = padded[inside[0] - lo : inside[-1] + 1 - lo, left : left + w]
                # Images lie far apart, often by a power of two, for which a cache has few places: first a row of all is brought together.
                together = scratch.take("rows", (len(inside), c, n, image.shape[1]), x.dtype)
                together[...] = x[
                    :, :, inside[0] - top : inside[-1] + 1 - top, : image.shape[1]
                ].transpose(2, 1, 0, 3)
                image[...] = together.transpose(0, 3, 1, 2)
            row, column, channel, item = padded.strides
            steps = row, column * apart, channel, column * across, item
            seen = np.lib.stride_tricks.as_strided(padded, (hi - lo, kw, c, ow, n), steps)
            strips[lo:hi, :-1].reshape(seen.shape, copy=False)[...] = seen
            strips[lo:hi, -1] = 1

        device.for_tiles(strips, width * c * n * x.itemsize, tile)
        return strips

    def columns(self, strips: np.ndarray) -> np.ndarray:
        """The strips that a row of the output sees as a matrix, for each of them: (OH, KH*(KW*C + 1), OW*N), in the same memory."""
        kh, (row, tap, position) = self.window.kernel[0], strips.strides
        shape = self.out[0], kh * strips.shape[1], strips.shape[2]
        return np.lib.stride_tricks.as_strided(
            strips, shape, (row * self.window.stride[0], tap, position)
        )
