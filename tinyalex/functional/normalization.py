"""Response normalisation: across channels, the paper's LRN (section 3.3); and over places of the same map, from the 2012 code."""

from typing import Any

import numpy as np

from tinyalex import kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors, with_batch
from tinyalex.tensor import Tensor


def local_response_norm_naive(
    x: np.ndarray, size: int, a: float, beta: float, k: float, groups: int = 1
) -> np.ndarray:
    """The formula of `LocalResponseNorm` in loops, for reading and for tests."""
    y = np.zeros_like(x)
    channels, width = x.shape[1], x.shape[1] // groups
    for c in range(channels):
        first = c // width * width  # of the channel's own group
        s = np.full_like(x[:, c], k)
        for j in range(max(first, c - size // 2), min(first + width, c + (size - 1) // 2 + 1)):
            s += a * x[:, j] ** 2
        y[:, c] = x[:, c] * s**-beta
    return y


class LocalResponseNorm(Function):
    """Response normalisation across channels (section 3.3).

        s[c]  = k + a * sum of x[j]**2 over the `size` channels j around c
        y[c]  = x[c] * s[c]**-beta
        dx[c] = dy[c] * s[c]**-beta  -  2*a*beta * x[c] * sum of dy[j] * y[j] / s[j] over the channels j that look at c

    x, y, dy, dx: (N, C, ...). Windows end at the first and last channel of each of the `groups`. The second term is the competition:
    raising x[c] lowers every neighbour's y.
    """

    def forward(
        self, x: Array, *, size: int, a: float, beta: float, k: float, groups: int
    ) -> Array:
        kernel = kernels.of(x)
        x = kernel.ready(x)
        y, s = kernel.activation(x.shape, x.dtype), kernel.activation(x.shape, x.dtype)
        self.x, self.y, self.s, self.size, self.a, self.beta, self.groups = (
            x,
            y,
            s,
            size,
            a,
            beta,
            groups,
        )
        kernel.lrn(x, y, s, size, a, beta, k, groups)
        return y

    def backward(self, dy: Array) -> Array:
        kernel = kernels.of(dy)
        dy = kernel.ready(dy)
        dx = kernel.activation(dy.shape, dy.dtype)
        kernel.lrn_backward(
            dy, self.x, self.y, self.s, dx, self.size, self.a, self.beta, self.groups
        )
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
    """Divide each number by (k + alpha * the mean of the squares of `size` neighbouring channels) ** beta.

    input (N, C, ...) with three axes or more. The paper's values are size=5, alpha=1e-4, beta=0.75, k=2 with alpha_mode="sum".
    alpha_mode  "mean": alpha multiplies the mean over the window, as in torch, Caffe and the 2012 code (zeros count at the edges);
                "sum": it multiplies the sum, as in the paper's formula and TensorFlow
    groups      windows end at the edges of each of so many equal groups of channels, as on the paper's two GPUs

    >>> round(local_response_norm([[[1.0], [2.0], [3.0]]], 3, alpha=1.0, beta=1.0, alpha_mode="sum").numpy()[0, 1, 0].item(), 4)
    0.1333
    """
    (x,) = float_tensors("local_response_norm", input=input)
    if x.ndim < 3:
        raise ValueError(
            f"local_response_norm: input has shape {x.shape}, expected (N, C, ...) with three axes or more."
        )
    a = _alpha("local_response_norm", size, size, alpha, alpha_mode)
    if not isinstance(groups, (int, np.integer)) or groups < 1 or x.shape[1] % groups:
        raise ValueError(
            f"local_response_norm: groups={groups!r} does not divide the {x.shape[1]} channels of input {x.shape}."
        )
    return LocalResponseNorm.apply(x, size=size, a=a, beta=beta, k=k, groups=groups)


def spatial_response_norm_naive(
    x: np.ndarray, size: int, a: float, beta: float, k: float
) -> np.ndarray:
    """The formula of `SpatialResponseNorm` in loops, for reading and for tests."""
    y = np.zeros_like(x)
    before, after = size // 2, (size - 1) // 2
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            window = x[:, :, max(0, i - before) : i + after + 1, max(0, j - before) : j + after + 1]
            y[:, :, i, j] = x[:, :, i, j] * (k + a * (window**2).sum(axis=(2, 3))) ** -beta
    return y


class SpatialResponseNorm(Function):
    """Response normalisation within each map, over the places around each one (the 2012 code's `cnorm2` layers; not in the paper).

        s[i, j]  = k + a * sum of x[u, v]**2 over the size x size places (u, v) around (i, j)
        y[i, j]  = x[i, j] * s[i, j]**-beta
        dx[i, j] = dy[i, j] * s[i, j]**-beta  -  2*a*beta * x[i, j] * sum of dy[u, v] * y[u, v] / s[u, v] over (u, v) that look at (i, j)

    x, y, dy, dx: (N, C, H, W). Windows end at the border.
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
        kernel.spatial_norm_backward(
            kernel.ready(dy), self.x, self.y, self.s, dx, self.size, self.a, self.beta
        )
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
    """Divide each number by (k + alpha * the mean of the squares of the size x size places around it in its map) ** beta.

    input (N, C, H, W) or (C, H, W). The defaults are the 2012 code's, which has size=5. alpha_mode as in `local_response_norm`.
    """
    (x,) = float_tensors("spatial_response_norm", input=input)
    x, unbatched = with_batch("spatial_response_norm", x, 4, "N, C, H, W")
    a = _alpha("spatial_response_norm", size, size * size, alpha, alpha_mode)
    y = SpatialResponseNorm.apply(x, size=size, a=a, beta=beta, k=k)
    return y.reshape(y.shape[1:]) if unbatched else y


def _alpha(op: str, size: Any, count: int, alpha: float, alpha_mode: str) -> float:
    """What the sum over a window of `count` numbers is multiplied with."""
    if not isinstance(size, (int, np.integer)) or size < 1:
        raise ValueError(f"{op}: size is a whole number from 1 on, got {size!r}. The paper's is 5.")
    if alpha_mode not in ("mean", "sum"):
        raise ValueError(
            f"{op}: alpha_mode is 'mean' (torch, Caffe) or 'sum' (the paper's formula), got {alpha_mode!r}."
        )
    return alpha / count if alpha_mode == "mean" else alpha
