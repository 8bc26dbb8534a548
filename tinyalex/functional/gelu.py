"""GELU, the Gaussian error linear unit (Hendrycks and Gimpel 2016)."""

import math
from typing import Any

import numpy as np

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors
from tinyalex.tensor import Tensor


def gelu_naive(x: np.ndarray, approximate: str = "none") -> np.ndarray:
    """x * P(X <= x) for a standard normal variable X, element by element."""

    def probability(v: float) -> float:
        if approximate == "tanh":
            return (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) / 2
        return (1 + math.erf(v / math.sqrt(2))) / 2

    return np.array([v * probability(v) for v in x.ravel()], x.dtype).reshape(x.shape)


class GELU(Function):
    """y = x * p(x).  dx = dy * (p + x * dp/dx)

    p is the normal distribution function, or an approximation of it by tanh:

        p = (1 + erf(x / sqrt(2))) / 2        dp/dx = exp(-x**2 / 2) / sqrt(2*pi)

        p = (1 + tanh(u)) / 2                 dp/dx = (1 - tanh(u)**2) / 2 * du/dx
        u = c * (x + 0.044715 * x**3)         du/dx = c * (1 + 3 * 0.044715 * x**2)
        c = sqrt(2/pi)
    """

    def forward(self, x: Array, *, approximate: bool) -> Array:
        self.x, self.approximate = x, approximate
        self.p = (1 + (tanh_of_cubic(x) if approximate else erf(x / math.sqrt(2)))) / 2
        return x * self.p

    def backward(self, dy: Array) -> Array:
        x = self.x
        if self.approximate:
            du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
            dp = 2 * self.p * (1 - self.p) * du  # tanh(u) is 2*p - 1
        else:
            dp = device.xp(x).exp(-x * x / 2) / math.sqrt(2 * math.pi)
        return dy * (self.p + x * dp)


def tanh_of_cubic(x: Array) -> Array:
    return device.xp(x).tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))


def erf(x: Array) -> Array:
    k = kernels.of(x)
    x = k.ready(x)
    y = k.like(x)
    k.error_function(x, y)
    return y


def gelu(input: Any, approximate: str = "none") -> Tensor:
    """input * Phi(input), where Phi is the distribution function of N(0, 1).

    approximate  "none", or "tanh" for an approximation by tanh

    >>> [round(v, 4) for v in gelu([-1.0, 0.0, 1.0]).numpy().tolist()]
    [-0.1587, 0.0, 0.8413]
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}.")
    (x,) = float_tensors("gelu", input=input)
    return GELU.apply(x, approximate=approximate == "tanh")
