"""ReLU, tanh and sigmoid (section 3.1)."""

import math
from typing import Any

import numpy as np

from tinyalex import device, kernels, ops
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors
from tinyalex.tensor import Tensor, tensor_method


def relu_naive(x: np.ndarray) -> np.ndarray:
    """max(0, x), element by element."""
    return np.array([max(0.0, v) for v in x.ravel()], x.dtype).reshape(x.shape)


class ReLU(Function):
    """y = max(0, x).  dx = dy where x > 0, else 0

    Stores y, which is positive where x is. Where x is NaN, dx = dy, as in torch.
    """

    def forward(self, x: Array) -> Array:
        k = kernels.of(x)
        x = k.ready(x)
        self.y = k.like(x)
        k.relu(x, self.y)
        return self.y

    def backward(self, dy: Array) -> Array:
        k = kernels.of(dy)
        dx = k.like(self.y)
        k.relu_backward(k.ready(dy), self.y, dx)
        return dx


@tensor_method
def relu(input: Any, inplace: bool = False) -> Tensor:
    """max(0, input), for any shape. `inplace` has no effect.

    >>> relu([-1.0, 0.0, 2.0]).numpy().tolist()
    [0.0, 0.0, 2.0]
    """
    return ReLU.apply(*float_tensors("relu", input=input))


def tanh_naive(x: np.ndarray) -> np.ndarray:
    """(e**x - e**-x) / (e**x + e**-x), element by element."""
    powers = [(math.exp(v), math.exp(-v)) for v in x.ravel()]
    return np.array([(p - q) / (p + q) for p, q in powers], x.dtype).reshape(x.shape)


def tanh(input: Any) -> Tensor:
    """The hyperbolic tangent, for any shape.  dx = dy * (1 - y**2)"""
    return ops.Tanh.apply(*float_tensors("tanh", input=input))


def sigmoid_naive(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e**-x), element by element."""
    return np.array([1 / (1 + math.exp(-v)) for v in x.ravel()], x.dtype).reshape(x.shape)


class Sigmoid(Function):
    """y = 1 / (1 + e**-x).  dx = dy * y * (1 - y)"""

    def forward(self, x: Array) -> Array:
        xp = device.xp(x)
        power = xp.exp(-abs(x))  # at most 1, while e**-x could overflow
        self.y = xp.where(x < 0, power, xp.ones((), x.dtype)) / (1 + power)
        return self.y

    def backward(self, dy: Array) -> Array:
        return dy * self.y * (1 - self.y)


@tensor_method
def sigmoid(input: Any) -> Tensor:
    """1 / (1 + e**-input), for any shape."""
    return Sigmoid.apply(*float_tensors("sigmoid", input=input))
