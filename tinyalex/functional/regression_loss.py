"""Losses of regressions: squared and absolute errors."""

from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import (
    check_reduction,
    check_same_shape,
    float_tensors,
    reduce_losses,
)
from tinyalex.tensor import Tensor


def mse_loss_naive(x: np.ndarray, t: np.ndarray) -> float:
    """The mean of the squared differences, in a loop."""
    return sum((v - u) ** 2 for v, u in zip(x.flat, t.flat, strict=True)) / x.size


class MSELoss(Function):
    """Squared errors: loss = (x - t)**2.  dx = 2 * (x - t) * dloss, dt = -dx"""

    def forward(self, x: Array, t: Array) -> Array:
        self.difference = x - t
        return self.difference * self.difference

    def backward(self, dloss: Array) -> tuple[Array, Array]:
        dx = 2 * self.difference * dloss
        return dx, -dx


def mse_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Tensor:
    """The mean of (input - target)**2.

    target     of the shape of input, to which it is not broadcast
    reduction  "mean", "sum" or "none"
    weight     factors of the squares; the mean is then divided by their sum

    >>> mse_loss([1.0, 2.0], [1.0, 4.0]).item()
    2.0
    """
    return _loss("mse_loss", MSELoss, input, target, reduction, weight)


def l1_loss_naive(x: np.ndarray, t: np.ndarray) -> float:
    """The mean of the absolute differences, in a loop."""
    return sum(abs(v - u) for v, u in zip(x.flat, t.flat, strict=True)) / x.size


class L1Loss(Function):
    """Absolute errors: loss = |x - t|.  dx = sign(x - t) * dloss, dt = -dx

    The gradient is 0 where x = t.
    """

    def forward(self, x: Array, t: Array) -> Array:
        self.difference = x - t
        return abs(self.difference)

    def backward(self, dloss: Array) -> tuple[Array, Array]:
        dx = device.xp(dloss).sign(self.difference) * dloss
        return dx, -dx


def l1_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Tensor:
    """The mean of |input - target|; arguments as those of `mse_loss`.

    >>> l1_loss([1.0, 2.0], [1.0, 4.0]).item()
    1.0
    """
    return _loss("l1_loss", L1Loss, input, target, reduction, weight)


def _loss(
    op: str, function: type[Function], input: Any, target: Any, reduction: str, weight: Any
) -> Tensor:
    x, t, w = float_tensors(op, optional=("weight",), input=input, target=target, weight=weight)
    check_reduction(op, reduction)
    check_same_shape(op, x, t)
    losses = function.apply(x, t)
    if w is None:
        return reduce_losses(losses, reduction)
    check_same_shape(op, x, w)
    if reduction == "mean":
        return (losses * w).sum() / w.sum()
    return reduce_losses(losses * w, reduction)
