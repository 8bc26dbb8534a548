"""Average pooling to a given output size, for images of any size."""

import math
from collections.abc import Iterator
from typing import Any

from tinyalex import kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors, pair, with_batch
from tinyalex.functional.pooling import avg_pool2d
from tinyalex.kernels.geometry import Pair
from tinyalex.tensor import Tensor


class AdaptiveAvgPool2d(Function):
    """y[n, c, i, j] = mean of x[n, c, top:bottom, left:right]
       top, bottom = floor(i*H / OH), ceil((i+1)*H / OH); left and right likewise
       dx          = sum of dy / count over the windows that contain the pixel

    x (N, C, H, W) -> y (N, C, OH, OW). If OH does not divide H, windows differ in size
    and may overlap.
    """

    def forward(self, x: Array, *, out: Pair) -> Array:
        self.shape = x.shape
        y = kernels.of(x).activation((*x.shape[:2], *out), x.dtype)
        for i, j, window in self.windows(out):
            y[:, :, i, j] = x[window].mean(axis=(2, 3))
        return y

    def backward(self, dy: Array) -> Array:
        dx = kernels.of(dy).activation(self.shape, dy.dtype)
        dx.fill(0)
        for i, j, window in self.windows(dy.shape[2:]):
            part = dx[window]
            part += dy[:, :, i, j, None, None] / math.prod(part.shape[2:])
        return dx

    def windows(self, out: tuple[int, ...]) -> Iterator[tuple[int, int, Any]]:
        """(i, j, the index of its window) for each output position."""
        rows, cols = (
            [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
            for size, count in zip(self.shape[2:], out, strict=True)
        )
        for i, row in enumerate(rows):
            for j, col in enumerate(cols):
                yield i, j, (slice(None), slice(None), row, col)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Tensor:
    """The means of OH x OW windows that cover the image evenly.

    input        (N, C, H, W) or (C, H, W)
    output_size  OH and OW: an integer, or a pair, where None means the input's size

    >>> adaptive_avg_pool2d([[[1.0, 3.0, 5.0]]], (1, 2)).numpy().tolist()
    [[[2.0, 4.0]]]
    """
    op = "adaptive_avg_pool2d"
    (x,) = float_tensors(op, input=input)
    x, unbatched = with_batch(op, x)
    h, w = x.shape[2:]
    sizes = output_size
    if isinstance(output_size, (tuple, list)):
        if len(output_size) != 2:
            raise TypeError(f"{op}: output_size must be an integer or a pair, got {output_size!r}.")
        pairs = zip(output_size, (h, w), strict=True)
        sizes = tuple(own if size is None else size for size, own in pairs)
    out = pair(op, "output_size", sizes, 0)
    if 0 in x.shape[1:]:
        raise ValueError(f"{op}: input has shape {x.shape}; only N may be 0.")
    if out == (h, w):
        y = x.reshape(x.shape)  # each window is one pixel
    elif 0 not in out and h % out[0] == w % out[1] == 0:
        y = avg_pool2d(x, (h // out[0], w // out[1]))  # equal windows without overlap
    else:
        y = AdaptiveAvgPool2d.apply(x, out=out)
    return y.reshape(y.shape[1:]) if unbatched else y
