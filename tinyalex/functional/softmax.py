"""softmax and its logarithm, along any axis."""

import math
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import axis_of, float_tensors
from tinyalex.tensor import Tensor


def softmax_naive(x: np.ndarray) -> np.ndarray:
    """Along the last axis of x (N, C), in loops."""
    rows = []
    for row in x:
        powers = [math.exp(number - max(row)) for number in row]
        rows.append([power / sum(powers) for power in powers])
    return np.array(rows, x.dtype)


class Softmax(Function):
    """y = exp(x) / (sum of exp(x) along an axis).  dx = y * (dy - sum of dy*y along it)

    The largest x is taken out first: it changes nothing, and keeps exp in range. Raising one x lowers every other y: that is the sum.
    """

    def forward(self, x: Array, *, axis: int) -> Array:
        self.axis = axis
        powers = device.xp(x).exp(x - x.max(axis=axis, keepdims=True))
        self.y = powers / powers.sum(axis=axis, keepdims=True)
        return self.y

    def backward(self, dy: Array) -> Array:
        return self.y * (dy - (dy * self.y).sum(axis=self.axis, keepdims=True))


class LogSoftmax(Function):
    """y = x - log(sum of exp(x) along an axis).  dx = dy - exp(y) * (sum of dy along it)

    Not the logarithm of softmax: that would be log(0) where a probability is too small for a float.
    """

    def forward(self, x: Array, *, axis: int) -> Array:
        self.axis = axis
        self.y = log_probabilities(x, axis)
        return self.y

    def backward(self, dy: Array) -> Array:
        return dy - device.xp(dy).exp(self.y) * dy.sum(axis=self.axis, keepdims=True)


def log_probabilities(x: Array, axis: int) -> Array:
    """The logarithm of softmax, with the largest x taken out so that exp stays in range."""
    xp = device.xp(x)
    x = x - x.max(axis=axis, keepdims=True)
    return x - xp.log(xp.exp(x).sum(axis=axis, keepdims=True))


def softmax(input: Any, dim: int) -> Tensor:
    """exp(input), divided by its sum along axis `dim`: positive numbers that add up to 1.

    >>> softmax([0.0, 0.0], 0).numpy().tolist()
    [0.5, 0.5]
    """
    return _along("softmax", Softmax, input, dim)


def log_softmax(input: Any, dim: int) -> Tensor:
    """The logarithm of softmax(input, dim), right also where softmax is too small for a float."""
    return _along("log_softmax", LogSoftmax, input, dim)


def _along(op: str, function: type[Function], input: Any, dim: int) -> Tensor:
    (x,) = float_tensors(op, input=input)
    axis = axis_of(op, "dim", dim, x.shape or (1,))
    if x.size == 0:
        return x * 1.0
    if x.ndim == 0:
        return function.apply(x.reshape(1), axis=0).reshape(())
    return function.apply(x, axis=axis)
