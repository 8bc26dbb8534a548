"""Max and average pooling; windows may overlap, as the paper's do (section 3.4: 3 x 3 windows, stride 2)."""

from functools import lru_cache
from typing import Any

import numpy as np

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import Pair, Window, float_tensors, output_size, pair, with_batch
from tinyalex.tensor import Tensor


def max_pool2d_naive(x: np.ndarray, window: Window, out: Pair) -> np.ndarray:
    """The largest number that each window sees, in loops; outside of the image there is -inf."""
    return _pool_naive(x, window, out, max)


def avg_pool2d_naive(x: np.ndarray, window: Window, out: Pair) -> np.ndarray:
    """The mean of what each window sees of the image (count_include_pad=False), in loops."""
    return _pool_naive(x, window, out, lambda seen: sum(seen) / len(seen))


def _pool_naive(x: np.ndarray, window: Window, out: Pair, reduce: Any) -> np.ndarray:
    n_images, channels, h, w = x.shape
    y = np.zeros((n_images, channels, *out), x.dtype)
    for n in range(n_images):
        for c in range(channels):
            for i in range(out[0]):
                for j in range(out[1]):
                    seen = []
                    for u in range(window.kernel[0]):
                        for v in range(window.kernel[1]):
                            row = i * window.stride[0] + u * window.dilation[0] - window.padding[0]
                            col = j * window.stride[1] + v * window.dilation[1] - window.padding[1]
                            if 0 <= row < h and 0 <= col < w:
                                seen.append(x[n, c, row, col])
                    y[n, c, i, j] = reduce(seen)
    return y


class MaxPool2d(Function):
    """y[n, c, i, j] = max over u, v of x[n, c, i*stride + u*dilation - padding, j*stride + v*dilation - padding]

    x (N, C, H, W) -> y (N, C, OH, OW). Keeps which tap of each window won, one byte an output (four, if a window has
    more than 256 taps). In backward the winner gets the window's gradient, and a pixel that wins in several overlapping windows gets the
    sum of theirs. With `relu`, y is max(0, what is above), and dy counts where y is positive (or NaN); y is kept, too.
    """

    def forward(self, x: Array, *, window: Window, out: Pair, relu: bool = False) -> Array:
        k = kernels.of(x)
        x = k.ready(x)
        y = k.activation((*x.shape[:2], *out), x.dtype)
        taps = np.uint8 if window.kernel[0] * window.kernel[1] <= 256 else np.int32
        argmax = k.activation(y.shape, taps) if self.needs_input_grad[0] else None
        self.shape, self.window = x.shape, window
        self.argmax: Any = argmax
        self.y = y if relu else None
        k.max_pool(x, y, argmax, *window)
        if relu:
            k.relu(y, y)
        return y

    def backward(self, dy: Array) -> Array:
        k = kernels.of(dy)
        dy = k.ready(dy)
        dx = k.activation(self.shape, dy.dtype)
        slope = dy
        if self.y is not None:
            slope = k.activation(dy.shape, dy.dtype)
            k.relu_backward(dy, self.y, slope)
        k.max_pool_backward(slope, self.argmax, dx, *self.window)
        return dx


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    relu: bool = False,
) -> Tensor:
    """The largest number in each window; padding counts as -inf.

    input (N, C, H, W) or (C, H, W); stride: the kernel's size if None; padding: at most half the kernel; ceil_mode: round sizes up;
    relu: max(0, the result), what `relu(max_pool2d(...))` gives.

    >>> max_pool2d([[[1.0, 5.0, 2.0], [0.0, 3.0, 4.0], [7.0, 6.0, 8.0]]], 2, stride=1).numpy().tolist()
    [[[5.0, 5.0], [7.0, 8.0]]]
    """
    x, unbatched, window, out = _pooling(
        "max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode
    )
    y = MaxPool2d.apply(x, window=window, out=out, relu=relu)
    return y.reshape(y.shape[1:]) if unbatched else y


class AvgPool2d(Function):
    """y[n, c, i, j] = (sum over u, v of x[n, c, i*stride + u - padding, j*stride + v - padding]) / divisor[i, j]

    x (N, C, H, W) -> y (N, C, OH, OW). Every pixel of a window gets the same share of its gradient, dy / divisor.
    """

    def forward(self, x: Array, *, window: Window, out: Pair, divisor: Array) -> Array:
        self.shape, self.window, self.divisor = x.shape, window, divisor
        k = kernels.of(x)
        x = k.ready(x)
        y = k.activation((*x.shape[:2], *out), x.dtype)
        k.avg_pool(x, y, divisor, window.kernel, window.stride, window.padding)
        return y

    def backward(self, dy: Array) -> Array:
        k = kernels.of(dy)
        dy = k.ready(dy)
        dx = k.activation(self.shape, dy.dtype)
        k.avg_pool_backward(
            dy, self.divisor, dx, self.window.kernel, self.window.stride, self.window.padding
        )
        return dx


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window. Arguments as in `max_pool2d`.

    count_include_pad: divide by the whole window where it lies in the padding, instead of by what it sees of the image.
    divisor_override: divide by this instead.
    """
    x, unbatched, window, out = _pooling(
        "avg_pool2d", input, kernel_size, stride, padding, 1, ceil_mode
    )
    if divisor_override is not None and divisor_override == 0:
        raise ValueError(
            "avg_pool2d: divisor_override must not be 0. Leave it out to divide by the size of the window."
        )
    divisor = _divisor(
        x.shape[2:], window, out, bool(count_include_pad), divisor_override, str(x.dtype), x.device
    )
    y = AvgPool2d.apply(x, window=window, out=out, divisor=divisor)
    return y.reshape(y.shape[1:]) if unbatched else y


@lru_cache(64)  # a network asks for the same few in every step
def _divisor(
    image: Pair,
    window: Window,
    out: Pair,
    include_pad: bool,
    override: int | None,
    dtype: str,
    place: str,
) -> Array:
    """(OH, OW): how many numbers each window's sum is divided by."""
    if override is not None:
        return device.to(np.full(out, override, dtype), place)
    counts = []
    for axis in range(2):
        first = np.arange(out[axis]) * window.stride[axis] - window.padding[axis]
        border = window.padding[axis] if include_pad else 0
        end = np.minimum(first + window.kernel[axis], image[axis] + border)
        counts.append(end - np.maximum(first, -border))
    return device.to((counts[0][:, None] * counts[1]).astype(dtype), place)


def _pooling(
    op: str, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Tensor, bool, Window, Pair]:
    (x,) = float_tensors(op, input=input)
    x, unbatched = with_batch(op, x, 4, "N, C, H, W")
    kernel = pair(op, "kernel_size", kernel_size, 1)
    before = pair(op, "padding", padding, 0)
    if any(2 * p > size for p, size in zip(before, kernel, strict=True)):
        raise ValueError(
            f"{op}: padding {before} is more than half of kernel_size {kernel}: a window could see nothing else. Use less."
        )
    step = kernel if stride is None or stride == () else pair(op, "stride", stride, 1)
    window = Window(kernel, step, before, pair(op, "dilation", dilation, 1))
    return (
        x,
        unbatched,
        window,
        output_size(op, x.shape[2:], window, before, ceil_mode, inside=True),
    )
