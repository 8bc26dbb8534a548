"""Average pooling to a size that is asked for, whatever the image's."""

import math
from collections.abc import Iterator
from typing import Any

from tinyalex import kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors, pair, with_batch
from tinyalex.functional.pooling import avg_pool2d
from tinyalex.kernels.window import Pair
from tinyalex.tensor import Tensor


class AdaptiveAvgPool2d(Function):
    """y[n, c, i, j] = the mean of rows floor(i*H/OH) to ceil((i+1)*H/OH) of x and of columns likewise; dx = dy / count, added up.

    x (N, C, H, W) -> y (N, C, OH, OW). The windows cover x evenly; where H is no multiple of OH they differ in size and may overlap.
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
            seen = dx[window]
            seen += dy[:, :, i, j, None, None] / math.prod(seen.shape[2:])
        return dx

    def windows(self, out: tuple[int, ...]) -> Iterator[tuple[int, int, Any]]:
        rows, cols = (
            [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
            for size, count in zip(self.shape[2:], out, strict=True)
        )
        for i, row in enumerate(rows):
            for j, col in enumerate(cols):
                yield i, j, (slice(None), slice(None), row, col)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Tensor:
    """The mean of each of OH x OW windows that cover the image evenly, whatever its size.

    input (N, C, H, W) or (C, H, W); output_size: a number, or a pair in which None keeps the input's size.

    >>> adaptive_avg_pool2d([[[1.0, 3.0, 5.0]]], (1, 2)).numpy().tolist()
    [[[2.0, 4.0]]]
    """
    (x,) = float_tensors("adaptive_avg_pool2d", input=input)
    x, unbatched = with_batch("adaptive_avg_pool2d", x, 4, "N, C, H, W")
    sizes = output_size
    if isinstance(output_size, (tuple, list)):
        if len(output_size) != 2:
            raise TypeError(
                f"adaptive_avg_pool2d: output_size is a whole number or a pair of them, got {output_size!r}."
            )
        sizes = tuple(
            own if size is None else size
            for size, own in zip(output_size, x.shape[2:], strict=True)
        )
    out = pair("adaptive_avg_pool2d", "output_size", sizes, 0)
    if 0 in x.shape[1:]:
        raise ValueError(f"adaptive_avg_pool2d: input has shape {x.shape}; only N may be 0.")
    if out == x.shape[2:]:
        y = x.reshape(x.shape)  # each mean is of one number
    elif 0 not in out and all(
        size % count == 0 for size, count in zip(x.shape[2:], out, strict=True)
    ):
        kernel = (
            x.shape[2] // out[0],
            x.shape[3] // out[1],
        )  # equal windows side by side: average pooling proper
        y = avg_pool2d(x, kernel)
    else:
        y = AdaptiveAvgPool2d.apply(x, out=out)
    return y.reshape(y.shape[1:]) if unbatched else y
