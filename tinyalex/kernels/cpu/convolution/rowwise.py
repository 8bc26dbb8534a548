"""Convolution by rows of the output, for few channels and where dx is not needed.

im2col copies the result of a tile of images to the output: activations are stored as
(OH, OW, N, O), where a tile of images is not contiguous. A row of the output is, so
each matrix multiplication here writes one row for all images, in place. For each row h
of the image, its elements of im2col's columns are stored,

    strips[h] = the pixels of row h in each window     (KW*C, OW*N)

since a window has consecutive rows: strips[i*stride : i*stride + KH] are all columns
of row i of the output, contiguous, in KH/stride times less memory than im2col's.

    forward     y[i]   = columns[i].T @ w.T          (OW*N, O)
    backward    dw.T  += columns[i] @ dy[i]          (KH*KW*C, O)

The bias is the weight of an additional input that is always 1: each strip ends with a
row of ones, and only the one in a window's first strip has a weight. dw.T contains db.
"""

import numpy as np

from tinyalex import device
from tinyalex.kernels.cpu.activation import masked
from tinyalex.kernels.cpu.allocation import activation, empty
from tinyalex.kernels.cpu.gemm import MIN_PARALLEL_MADDS, stacked_matmul, sum_of_matmuls
from tinyalex.kernels.cpu.layout import MIN_PARALLEL_BYTES, as_hwnc
from tinyalex.kernels.geometry import ConvFunction, ConvShape


class RowWise(ConvFunction):
    """Convolution by rows. Arguments as `functional.Conv2d`; x gets no gradient.

    Stores the strips and, with `relu`, y.
    """

    name = "row-wise"

    def forward(
        self,
        x: np.ndarray,
        w: np.ndarray,
        b: np.ndarray | None,
        *,
        shape: ConvShape,
        relu: bool = False,
    ) -> np.ndarray:
        o, c, kh, kw = w.shape
        y = activation((len(x), o, *shape.out), x.dtype)
        weights = np.zeros((kh, kw * c + 1, o), w.dtype)
        weights[:, :-1] = w.transpose(2, 3, 1, 0).reshape(kh, kw * c, o)
        if b is not None:
            weights[0, -1] = b
        strips = make_strips(x, shape)
        self.shape, self.strips, self.y = shape, strips, y if relu else None
        columns, rows = columns_of(strips, shape), as_hwnc(y)
        zeros = np.zeros(rows.shape[2], y.dtype)

        def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
            here = rows[lo:hi]
            out = here.reshape(hi - lo, -1, o, copy=False)
            stacked_matmul(columns[lo:hi].swapaxes(1, 2), weights.reshape(-1, o), out)
            if relu:
                np.maximum(here, zeros, out=here)

        small = y.size * w[0].size <= MIN_PARALLEL_MADDS
        device.for_tiles(rows, rows[0].nbytes, tile, single_threaded=small)
        return y

    def backward(self, dy: np.ndarray) -> tuple[np.ndarray | None, ...]:
        _, want_dw, want_db = self.needs_input_grad
        o, c, kh, kw = self.shape.w
        columns, rows, y = columns_of(self.strips, self.shape), as_hwnc(dy), self.y

        def tile(lo: int, hi: int, scratch: device.Scratch) -> np.ndarray:
            upstream = rows[lo:hi]
            if y is not None:
                upstream = masked(upstream, as_hwnc(y)[lo:hi], scratch)
            return sum_of_matmuls(columns[lo:hi], upstream.reshape(hi - lo, -1, o), scratch)

        total = device.for_tiles(rows, rows[0].nbytes, tile).reshape(kh, kw * c + 1, o)
        dw = total[:, :-1].reshape(kh, kw, c, o).transpose(3, 2, 0, 1)
        db = total[0, -1] if want_db else None
        return None, np.ascontiguousarray(dw) if want_dw else None, db


def make_strips(x: np.ndarray, shape: ConvShape) -> np.ndarray:
    """(rows that windows read, KW*C + 1, OW*N), with ones at the end of axis 1."""
    (n, c, h, w), (kh, kw), (oh, ow) = x.shape, shape.window.kernel, shape.out
    (down, across), (top, left) = shape.window.stride, shape.window.padding
    gap = shape.window.dilation[1]
    width = (ow - 1) * across + (kw - 1) * gap + 1
    strips = empty(((oh - 1) * down + kh, kw * c + 1, ow * n), x.dtype)

    def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
        # With the images last, a shifted view consists of long contiguous runs.
        padded = scratch.take("padded rows", (hi - lo, width, c, n), x.dtype)
        padded.fill(0)
        inside = range(max(lo, top), min(hi, top + h))
        if inside:
            image = padded[inside[0] - lo : inside[-1] + 1 - lo, left : left + w]
            # Copied in two steps: images are far apart in memory, often by a power of
            # two, which causes cache associativity conflicts.
            gathered = scratch.take("rows", (len(inside), c, n, image.shape[1]), x.dtype)
            rows = x[:, :, inside[0] - top : inside[-1] + 1 - top, : image.shape[1]]
            gathered[...] = rows.transpose(2, 1, 0, 3)
            image[...] = gathered.transpose(0, 3, 1, 2)
        row, column, channel, item = padded.strides
        strides = row, column * gap, channel, column * across, item
        seen = np.lib.stride_tricks.as_strided(padded, (hi - lo, kw, c, ow, n), strides)
        strips[lo:hi, :-1].reshape(seen.shape, copy=False)[...] = seen
        strips[lo:hi, -1] = 1

    small = strips.nbytes <= MIN_PARALLEL_BYTES
    device.for_tiles(strips, width * c * n * x.itemsize, tile, single_threaded=small)
    return strips


def columns_of(strips: np.ndarray, shape: ConvShape) -> np.ndarray:
    """A view of the strips: for each row of the output (KH*(KW*C + 1), OW*N)."""
    kh, (row, term, position) = shape.window.kernel[0], strips.strides
    matrices = shape.out[0], kh * strips.shape[1], strips.shape[2]
    strides = row * shape.window.stride[0], term, position
    return np.lib.stride_tricks.as_strided(strips, matrices, strides)
