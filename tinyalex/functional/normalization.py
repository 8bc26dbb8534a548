"""Response normalization across channels (section 3.3) and within a channel."""

from typing import Any

import numpy as np

from tinyalex import kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import at_least_one, check_groups, float_tensors, with_batch
from tinyalex.kernels.geometry import Norm, Shape
from tinyalex.tensor import Tensor


def local_response_norm_naive(
    x: np.ndarray, size: int, a: float, beta: float, k: float, groups: int = 1
) -> np.ndarray:
    """The formula of `LocalResponseNorm` in loops."""
    y = np.zeros_like(x)
    channels, width = x.shape[1], x.shape[1] // groups
    for c in range(channels):
        first = c // width * width  # the first channel of the group
        s = np.full_like(x[:, c], k)
        for j in range(max(first, c - size // 2), min(first + width, c + (size - 1) // 2 + 1)):
            s += a * x[:, j] ** 2
        y[:, c] = x[:, c] * s**-beta
    return y


class LocalResponseNorm(Function):
    """Response normalization across channels (section 3.3).

        s[c]  = k + a * (sum of x[j]**2 over the `size` channels j around c)
        y[c]  = x[c] * s[c]**-beta
        dx[c] = dy[c] * s[c]**-beta - 2*a*beta * x[c] * (sum of dy[j] * y[j] / s[j])

    The last sum is over the channels j whose window contains c: raising x[c] lowers the
    magnitude of y[j]. x, y (N, C, ...). Windows end at the edges of each group.
    """

    def forward(
        self, x: Array, *, size: int, a: float, beta: float, k: float, groups: int
    ) -> Array:
        kernel = kernels.of(x)
        x = kernel.ready(x)
        y, s = kernel.activation(x.shape, x.dtype), kernel.activation(x.shape, x.dtype)
        self.x, self.y, self.s = x, y, s
        self.size, self.a, self.beta, self.groups = size, a, beta, groups
        kernel.lrn(x, y, s, size, a, beta, k, groups)
        return y

    def backward(self, dy: Array) -> Array:
        kernel = kernels.of(dy)
        dx = kernel.activation(dy.shape, dy.dtype)
        options = self.size, self.a, self.beta, self.groups
        kernel.lrn_backward(kernel.ready(dy), self.x, self.y, self.s, dx, *options)
        return dx


def local_response_norm(
    input: Any,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    alpha_mode: str = "mean",
    groups: int = 1,
) -> Tensor:
    """input / (k + alpha * mean of x**2 over `size` neighbouring channels) ** beta.

    input (N, C, ...) with at least three axes. The paper's values are size=5,
    alpha=1e-4, beta=0.75, k=2 with alpha_mode="sum".

    alpha_mode  "mean": alpha multiplies the mean over the window, zeros beyond the
                edges included, as in torch, Caffe and the 2012 code; "sum": it
                multiplies the sum, as in the paper's formula and TensorFlow
    groups      windows end at the edges of each group of channels, as on the paper's
                two GPUs

    >>> x = [[[1.0], [2.0], [3.0]]]
    >>> y = local_response_norm(x, 3, alpha=1.0, beta=1.0, alpha_mode="sum")
    >>> round(y[0, 1, 0].item(), 4)
    0.1333
    """
    op = "local_response_norm"
    (x,) = float_tensors(op, input=input)
    if x.ndim < 3:
        raise ValueError(
            f"{op}: input has shape {x.shape}, expected (N, C, ...) with at least three axes."
        )
    options = size, alpha, beta, k
    norm = lrn_options(x.shape, *options, alpha_mode=alpha_mode, groups=groups)
    return LocalResponseNorm.apply(x, **norm._asdict())


def lrn_options(
    shape: Shape,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    alpha_mode: str = "mean",
    groups: int = 1,
) -> Norm:
    """The options of `local_response_norm` of an array of this shape, checked."""
    op = "local_response_norm"
    check_groups(op, groups, shape[1], f"channels of an array {shape}")
    return Norm(size, _factor(op, alpha, alpha_mode, size, size), beta, k, groups)


def spatial_response_norm_naive(
    x: np.ndarray, size: int, a: float, beta: float, k: float
) -> np.ndarray:
    """The formula of `SpatialResponseNorm` in loops."""
    y = np.zeros_like(x)
    before, after = size // 2, (size - 1) // 2
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            window = x[:, :, max(0, i - before) : i + after + 1, max(0, j - before) : j + after + 1]
            y[:, :, i, j] = x[:, :, i, j] * (k + a * (window**2).sum(axis=(2, 3))) ** -beta
    return y


class SpatialResponseNorm(Function):
    """Response normalization within a channel (`cnorm2` in the 2012 code).

        s[p]  = k + a * (sum of x[q]**2 over the size x size pixels q around pixel p)
        y[p]  = x[p] * s[p]**-beta
        dx[p] = dy[p] * s[p]**-beta - 2*a*beta * x[p] * (sum of dy[q] * y[q] / s[q])

    The last sum is over the pixels q whose window contains p. x, y (N, C, H, W).
    Windows end at the edges of the image.
    """

    def forward(self, x: Array, *, size: int, a: float, beta: float, k: float) -> Array:
        kernel = kernels.of(x)
        x = kernel.ready(x)
        y, s = kernel.activation(x.shape, x.dtype), kernel.activation(x.shape, x.dtype)
        self.x, self.y, self.s, self.size, self.a, self.beta = x, y, s, size, a, beta
        kernel.spatial_norm(x, y, s, size, a, beta, k)
        return y

    def backward(self, dy: Array) -> Array:
        kernel = kernels.of(dy)
        dx = kernel.activation(dy.shape, dy.dtype)
        options = self.size, self.a, self.beta
        kernel.spatial_norm_backward(kernel.ready(dy), self.x, self.y, self.s, dx, *options)
        return dx


def spatial_response_norm(
    input: Any,
    size: int,
    alpha: float = 1e-3,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    alpha_mode: str = "mean",
) -> Tensor:
    """input / (k + alpha * mean of x**2 over size x size neighbouring pixels) ** beta.

    input (N, C, H, W) or (C, H, W); alpha_mode as in `local_response_norm`. The
    defaults are the 2012 code's, which has size=5.
    """
    op = "spatial_response_norm"
    (x,) = float_tensors(op, input=input)
    x, unbatched = with_batch(op, x)
    a = _factor(op, alpha, alpha_mode, size, size * size)
    y = SpatialResponseNorm.apply(x, size=size, a=a, beta=beta, k=k)
    return y.reshape(y.shape[1:]) if unbatched else y


def _factor(op: str, alpha: float, alpha_mode: str, size: int, count: int) -> float:
    """The factor of the sum over a window of `count` elements."""
    at_least_one(op, "size", size)
    if alpha_mode not in ("mean", "sum"):
        raise ValueError(
            f"{op}: alpha_mode must be 'mean' (torch, Caffe) or 'sum' (the paper's formula), "
            f"got {alpha_mode!r}."
        )
    return alpha / count if alpha_mode == "mean" else alpha
