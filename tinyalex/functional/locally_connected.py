"""The locally connected layer: a convolution whose weights are not shared."""

import math
from typing import Any

import numpy as np

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors, output_size, pair, with_batch
from tinyalex.functional.convolution import rounded
from tinyalex.kernels.geometry import Pair, Shape, Window
from tinyalex.tensor import Tensor


def locally_connected2d_naive(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
) -> np.ndarray:
    """In loops: each output is the dot product of a patch and a filter of its own."""
    n_images, c, h, w_ = x.shape
    oh, ow, o, _, kh, kw = w.shape
    padded = np.zeros((n_images, c, h + 2 * padding[0], w_ + 2 * padding[1]), x.dtype)
    padded[:, :, padding[0] : padding[0] + h, padding[1] : padding[1] + w_] = x
    y = np.zeros((n_images, o, oh, ow), x.dtype)
    for n in range(n_images):
        for f in range(o):
            for i in range(oh):
                for j in range(ow):
                    top, left = i * stride[0], j * stride[1]
                    patch = padded[n, :, top : top + kh, left : left + kw]
                    y[n, f, i, j] = (w[i, j, f] * patch).sum()
                    y[n, f, i, j] += 0 if b is None else b[i, j, f]
    return y


class LocallyConnected2d(Function):
    """One small matrix multiplication for each output position, by im2col.

        y[n, o, i, j] = b[i, j, o]
                        + sum over c, u, v of w[i, j, o, c, u, v] * x[n, c, row, col]
        row, col      = i*stride + u - padding, j*stride + v - padding

    x (N, C, H, W), w (OH, OW, O, C, KH, KW), b (OH, OW, O) -> y (N, O, OH, OW).
    `w[i, j]` is the weight of a convolution that is evaluated at position (i, j) only.
    A tile of T images becomes `col` (C*KH*KW, T) for each position. Then, for each
    position,

        forward    y    = col.T @ w.T     (T, O)
        backward   dw  += dy.T @ col.T    a weight is used once for each image
                   dcol = w.T @ dy.T      col2im adds each patch to its pixels of dx

    Multiply-adds are those of a convolution; parameters are OH*OW times as many.
    """

    def forward(self, x: Array, w: Array, b: Array | None, *, window: Window) -> Array:
        k, xp = kernels.of(x), device.xp(x)
        x, self.out = k.ready(x), w.shape[:2]
        self.x, self.w, self.window = x, w, window
        y = k.activation((len(x), w.shape[2], *self.out), x.dtype)

        def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
            col = self.columns(scratch, hi - lo)
            k.im2col(x[lo:hi], col, *window)
            out = xp.moveaxis(y[lo:hi], (2, 3), (0, 1))  # a view (OH, OW, T, O)
            k.matmul_in_tile(by_position(col).swapaxes(2, 3), as_columns(w), out=out)
            if b is not None:
                out += b[:, :, None]

        device.for_tiles(x, self.bytes_each(), tile)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        x, w, window = self.x, self.w, self.window
        want_dx, want_dw, want_db = self.needs_input_grad
        k, xp, wide = kernels.of(dy), device.xp(dy), device.sum_dtype(dy.dtype)
        dx = k.activation(x.shape, dy.dtype) if want_dx else None

        def tile(lo: int, hi: int, scratch: device.Scratch) -> tuple[Array | None, Array | None]:
            col = self.columns(scratch, hi - lo)
            dproduct = xp.moveaxis(dy[lo:hi], (2, 3, 1), (0, 1, 2))  # (OH, OW, O, T)
            dw = db = None
            if want_dw:
                k.im2col(x[lo:hi], col, *window)
                dw = xp.empty(w.shape, wide)
                k.matmul_in_tile(dproduct, by_position(col).swapaxes(2, 3), out=as_rows(dw))
            if want_db:
                db = dproduct.sum(axis=3, dtype=wide)
            if dx is not None:
                k.matmul_in_tile(as_columns(w), dproduct, out=by_position(col))
                k.col2im(col, dx[lo:hi], *window)
            return dw, db

        dw, db = device.for_tiles(x, self.bytes_each(), tile)
        return dx, *rounded(dy.dtype, dw, db)

    def columns(self, scratch: device.Scratch, images: int) -> Array:
        """A tile's patches (C, KH, KW, T, OH, OW)."""
        k, rows = kernels.of(self.x), self.w.shape[3:]
        return k.columns(scratch, "columns", rows, images, self.out, self.x.dtype)

    def bytes_each(self) -> int:
        """Bytes of an image's workspace."""
        oh, ow, filters, *patch = self.w.shape
        dtype = kernels.of(self.x).column_dtype(self.x.dtype)
        return oh * ow * (math.prod(patch) + filters) * dtype.itemsize


def by_position(col: Array) -> Array:
    """Patches (C, KH, KW, T, OH, OW) as a view (OH, OW, C*KH*KW, T)."""
    c, kh, kw, *rest = col.shape
    return device.xp(col).moveaxis(col.reshape(c * kh * kw, *rest), (2, 3), (0, 1))


def as_rows(w: Array) -> Array:
    """The filters of each position as rows: (OH, OW, O, C*KH*KW)."""
    return w.reshape(*w.shape[:3], math.prod(w.shape[3:]))


def as_columns(w: Array) -> Array:
    """The filters of each position as columns: (OH, OW, C*KH*KW, O)."""
    return as_rows(w).swapaxes(2, 3)


def locally_connected2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0
) -> Tensor:
    """A convolution with a weight of its own at each output position.

    input (N, C, H, W) or (C, H, W), weight (OH, OW, O, C, KH, KW), bias (OH, OW, O)
    -> (N, O, OH, OW), all of one floating dtype. stride and padding are integers, or
    pairs for rows and columns. Images of one size only fit the weight.

    >>> import numpy as np
    >>> x, w = np.ones((2, 3, 6, 6), "f"), np.ones((6, 6, 8, 3, 3, 3), "f")
    >>> locally_connected2d(x, w, padding=1).shape
    (2, 8, 6, 6)
    """
    op = "locally_connected2d"
    x, w, b = float_tensors(op, optional=("bias",), input=input, weight=weight, bias=bias)
    x, unbatched = with_batch(op, x)
    if w.ndim != 6 or 0 in w.shape:
        raise ValueError(
            f"{op}: weight has shape {w.shape}, expected (OH, OW, O, C, KH, KW), not empty."
        )
    if x.shape[1] != w.shape[3]:
        raise ValueError(
            f"{op}: input has {x.shape[1]} channels, but weight {w.shape} expects {w.shape[3]}."
        )
    if b is not None and b.shape != w.shape[:3]:
        raise ValueError(
            f"{op}: bias has shape {b.shape}, but weight {w.shape} expects {w.shape[:3]}."
        )
    window, out = local_window(op, x.shape[2:], w.shape[4:], stride, padding)
    if out != w.shape[:2]:
        raise ValueError(
            f"{op}: weight {w.shape} has filters for {w.shape[0]} x {w.shape[1]} positions, but "
            f"input {x.shape} has {out[0]} x {out[1]}. Use images of the size for which the "
            "weight was made."
        )
    y = LocallyConnected2d.apply(x, w, b, window=window)
    return y.reshape(y.shape[1:]) if unbatched else y


def local_window(
    op: str, size: Shape, kernel: Shape, stride: Any, padding: Any
) -> tuple[Window, Pair]:
    """The window, and its (OH, OW) positions in images of `size` (H, W)."""
    both = pair(op, "padding", padding, 0)
    window = Window((kernel[0], kernel[1]), pair(op, "stride", stride, 1), both)
    return window, output_size(op, size, window, both)
