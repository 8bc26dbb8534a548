"""Leaky ReLU (Maas et al. 2013): a ReLU with a small gradient where x is negative."""

from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors
from tinyalex.methods.results import python_number
from tinyalex.tensor import Tensor


def leaky_relu_naive(x: np.ndarray, a: float) -> np.ndarray:
    """x if it is positive, else a*x, element by element."""
    return np.array([v if v > 0 else a * v for v in x.ravel()], x.dtype).reshape(x.shape)


class LeakyReLU(Function):
    """y = x where x > 0, else a*x.  dx = dy where x > 0, else a*dy

    Stores which x are positive: if a <= 0, the sign of y does not determine it.
    """

    def forward(self, x: Array, *, a: float) -> Array:
        self.positive, self.a = x > 0, a
        return device.xp(x).where(self.positive, x, a * x)

    def backward(self, dy: Array) -> Array:
        return device.xp(dy).where(self.positive, dy, self.a * dy)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """input where it is positive, else negative_slope * input. `inplace` has no effect.

    >>> leaky_relu([-1.0, 0.0, 2.0], 0.5).numpy().tolist()
    [-0.5, 0.0, 2.0]
    """
    (x,) = float_tensors("leaky_relu", input=input)
    return LeakyReLU.apply(x, a=python_number(negative_slope))
