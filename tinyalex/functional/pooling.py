"""Max and average pooling. The paper's windows overlap (section 3.4)."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors, output_size, pair, with_batch
from tinyalex.kernels.geometry import Pair, Shape, Window
from tinyalex.tensor import Tensor


def max_pool2d_naive(x: np.ndarray, window: Window, out: Pair) -> np.ndarray:
    """In loops: the maximum of each window's pixels inside the image."""
    return _pool_naive(x, window, out, max)


def avg_pool2d_naive(x: np.ndarray, window: Window, out: Pair) -> np.ndarray:
    """In loops: the mean of each window's pixels inside the image."""
    return _pool_naive(x, window, out, lambda seen: sum(seen) / len(seen))


def _pool_naive(
    x: np.ndarray, window: Window, out: Pair, reduce: Callable[[list], float]
) -> np.ndarray:
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
    """y[n, c, i, j] = max over u, v of x[n, c, row, col]
       row, col      = i*stride + u*dilation - padding, j*stride + v*dilation - padding

    x (N, C, H, W) -> y (N, C, OH, OW). The backward pass adds each window's gradient to
    its maximum; a pixel may be the maximum of several overlapping windows.

    Stores the kernel offset of each maximum, one byte per output (four for windows of
    more than 255 pixels). With `relu`, the result is relu(y); where it is 0, the offset
    is one that no pixel has, so that none gets the gradient.
    """

    def forward(self, x: Array, *, window: Window, out: Pair, relu: bool = False) -> Array:
        k = kernels.of(x)
        x = k.ready(x)
        y = k.activation((*x.shape[:2], *out), x.dtype)
        offset_type = np.uint8 if window.kernel[0] * window.kernel[1] <= 255 else np.int32
        argmax = k.activation(y.shape, offset_type) if self.needs_input_grad[0] else None
        self.shape, self.window, self.argmax = x.shape, window, argmax
        k.max_pool(x, y, argmax, *window, relu)
        return y

    def backward(self, dy: Array) -> Array:
        k = kernels.of(dy)
        dx = k.activation(self.shape, dy.dtype)
        k.max_pool_backward(k.ready(dy), self.argmax, dx, *self.window)
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
    """The maximum of each window; padding counts as -inf.

    input      (N, C, H, W) or (C, H, W)
    stride     the kernel size if None
    padding    at most half the kernel size
    ceil_mode  round output sizes up
    relu       the result is relu(max_pool2d(...))

    >>> x = [[[1.0, 5.0, 2.0], [0.0, 3.0, 4.0], [7.0, 6.0, 8.0]]]
    >>> max_pool2d(x, 2, stride=1).numpy().tolist()
    [[[5.0, 5.0], [7.0, 8.0]]]
    """
    arguments = input, kernel_size, stride, padding, dilation, ceil_mode
    x, unbatched, window, out = _pooling("max_pool2d", *arguments)
    y = MaxPool2d.apply(x, window=window, out=out, relu=relu)
    return y.reshape(y.shape[1:]) if unbatched else y


class AvgPool2d(Function):
    """y[n, c, i, j] = 1/divisor[i, j] * sum over u, v of x[n, c, row, col]
       row, col      = i*stride + u - padding, j*stride + v - padding

    x (N, C, H, W) -> y (N, C, OH, OW). Each pixel of a window gets dy / divisor.
    """

    def forward(self, x: Array, *, window: Window, out: Pair, divisor: Array) -> Array:
        self.shape, self.window, self.divisor = x.shape, window, divisor
        k = kernels.of(x)
        y = k.activation((*x.shape[:2], *out), x.dtype)
        k.avg_pool(k.ready(x), y, divisor, *window[:3])
        return y

    def backward(self, dy: Array) -> Array:
        k = kernels.of(dy)
        dx = k.activation(self.shape, dy.dtype)
        k.avg_pool_backward(k.ready(dy), self.divisor, dx, *self.window[:3])
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

    count_include_pad  divide by the window size including padding, not by the number
                       of pixels
    divisor_override   divide by this instead
    """
    arguments = input, kernel_size, stride, padding, 1, ceil_mode
    x, unbatched, window, out = _pooling("avg_pool2d", *arguments)
    if divisor_override == 0:
        raise ValueError(
            "avg_pool2d: divisor_override must not be 0. Leave it out to divide by the size of "
            "the window."
        )
    border = window.padding if count_include_pad else (0, 0)
    sizes = x.shape[2:], window, out, border, divisor_override
    divisor = _divisor(*sizes, str(x.dtype), x.device)
    y = AvgPool2d.apply(x, window=window, out=out, divisor=divisor)
    return y.reshape(y.shape[1:]) if unbatched else y


@cache  # unlimited: CUDA graphs keep the addresses
def _divisor(
    image: Shape,
    window: Window,
    out: Pair,
    border: Pair,
    override: int | None,
    dtype: str,
    device_name: str,
) -> Array:
    """(OH, OW): the override, or each window's pixels in the image and `border`."""
    if override is not None:
        return device.to(np.full(out, override, dtype), device_name)
    counts = []
    for axis in range(2):
        first = np.arange(out[axis]) * window.stride[axis] - window.padding[axis]
        end = np.minimum(first + window.kernel[axis], image[axis] + border[axis])
        counts.append(end - np.maximum(first, -border[axis]))
    return device.to((counts[0][:, None] * counts[1]).astype(dtype), device_name)


def _pooling(
    op: str,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
) -> tuple[Tensor, bool, Window, Pair]:
    """(x (N, C, H, W), whether N was added, the window, the output size)."""
    (x,) = float_tensors(op, input=input)
    x, unbatched = with_batch(op, x)
    kernel = pair(op, "kernel_size", kernel_size, 1)
    before = pair(op, "padding", padding, 0)
    if any(2 * p > size for p, size in zip(before, kernel, strict=True)):
        raise ValueError(
            f"{op}: padding {before} is more than half of kernel_size {kernel}: "
            "a window could consist of padding only. Use less padding."
        )
    step = kernel if stride is None or stride == () else pair(op, "stride", stride, 1)
    window = Window(kernel, step, before, pair(op, "dilation", dilation, 1))
    out = output_size(op, x.shape[2:], window, before, ceil_mode, starts_inside=True)
    return x, unbatched, window, out
