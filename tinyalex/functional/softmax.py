"""softmax and its logarithm, along any axis."""

import math
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors
from tinyalex.ops.reduction import axis_of
from tinyalex.tensor import Tensor, tensor_method


def softmax_naive(x: np.ndarray) -> np.ndarray:
    """Along the last axis of x (N, C), in loops."""
    rows = []
    for row in x:
        powers = [math.exp(v - max(row)) for v in row]
        rows.append([power / sum(powers) for power in powers])
    return np.array(rows, x.dtype)


class Softmax(Function):
    """y = exp(x) / (sum of exp(x)).  dx = y * (dy - (sum of dy*y)), sums along an axis

    The maximum of x is subtracted first: y is unchanged, and exp does not overflow.
    """

    def forward(self, x: Array, *, axis: int) -> Array:
        self.axis = axis
        powers = device.xp(x).exp(x - x.max(axis=axis, keepdims=True))
        self.y = powers / powers.sum(axis=axis, keepdims=True)
        return self.y

    def backward(self, dy: Array) -> Array:
        return self.y * (dy - (dy * self.y).sum(axis=self.axis, keepdims=True))


class LogSoftmax(Function):
    """y = x - log(sum of exp(x)).  dx = dy - exp(y) * (sum of dy), sums along an axis

    log(softmax(x)) would be -inf where a probability underflows.
    """

    def forward(self, x: Array, *, axis: int) -> Array:
        self.axis = axis
        self.y = log_probabilities(x, axis)
        return self.y

    def backward(self, dy: Array) -> Array:
        return dy - device.xp(dy).exp(self.y) * dy.sum(axis=self.axis, keepdims=True)


def log_probabilities(x: Array, axis: int) -> Array:
    """The logarithm of softmax."""
    xp = device.xp(x)
    x = x - x.max(axis=axis, keepdims=True)
    return x - xp.log(xp.exp(x).sum(axis=axis, keepdims=True))


@tensor_method
def softmax(input: Any, dim: int) -> Tensor:
    """exp(input), divided by its sum along axis `dim`.

    >>> softmax([0.0, 0.0], 0).numpy().tolist()
    [0.5, 0.5]
    """
    return _along("softmax", Softmax, input, dim)


@tensor_method
def log_softmax(input: Any, dim: int) -> Tensor:
    """The logarithm of softmax(input, dim), computed without underflow."""
    return _along("log_softmax", LogSoftmax, input, dim)


def _along(op: str, function: type[Function], input: Any, dim: int) -> Tensor:
    (x,) = float_tensors(op, input=input)
    axis = axis_of(op, "dim", dim, x.shape)
    if x.size == 0:
        return x * 1.0
    if x.ndim == 0:
        return function.apply(x.reshape(1), axis=0).reshape(())
    return function.apply(x, axis=axis)
