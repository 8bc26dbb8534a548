"""Binary cross-entropy: one logit for each of several independent classes."""

import math
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
from tinyalex.ops.broadcasting import broadcastable_to
from tinyalex.tensor import Tensor


def binary_cross_entropy_with_logits_naive(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Element by element, with p = sigmoid(x); overflows for large -x."""
    losses = []
    for logit, target in zip(x.ravel().tolist(), t.ravel().tolist(), strict=True):
        p = 1 / (1 + math.exp(-logit))
        losses.append(-target * math.log(p) - (1 - target) * math.log(1 - p))
    return np.array(losses, x.dtype).reshape(x.shape)


class BinaryCrossEntropyWithLogits(Function):
    """With p = sigmoid(x), and a factor c of the positive class,

        loss = -c*t * log p - (1 - t) * log(1 - p)

    As log p = -s and log(1 - p) = -x - s with s = log(1 + e**-x),

        loss = (1 - t) * x + q * s              q = 1 + (c - 1) * t
        dx   = dloss * (1 - t - q * (1 - p))    for c = 1: dloss * (p - t)
        dt   = dloss * (-x + (c - 1) * s)

    s = max(-x, 0) + log(1 + e**-|x|): the exponent is never positive, so that nothing
    overflows, and log1p is accurate where e**-|x| is much smaller than 1.

    x, t, loss of any shape; c broadcasts to it.
    """

    def forward(self, x: Array, t: Array, c: Array) -> Array:
        xp = device.xp(x)
        power = xp.exp(-abs(x))
        self.x, self.t, self.c, self.q = x, t, c, 1 + (c - 1) * t
        self.s = xp.maximum(-x, 0) + xp.log1p(power)
        self.one_minus_p = xp.where(x < 0, xp.ones((), x.dtype), power) / (1 + power)
        return (1 - t) * x + self.q * self.s

    def backward(self, dloss: Array) -> tuple[Array, Array, None]:
        dx = dloss * (1 - self.t - self.q * self.one_minus_p)
        dt = dloss * ((self.c - 1) * self.s - self.x)
        return dx, dt, None


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Tensor:
    """The cross-entropy between target and sigmoid(input), computed without overflow.

    target      probabilities of the shape of input
    weight      factors of the losses, broadcast to input
    reduction   "mean" (divided by the number of losses), "sum" or "none"
    pos_weight  factors of the positive class, broadcast to input: above 1 for classes
                that are rare

    >>> round(binary_cross_entropy_with_logits([0.0], [1.0]).item(), 4)  # ln 2
    0.6931
    """
    op = "binary_cross_entropy_with_logits"
    x, t, w, c = float_tensors(
        op,
        optional=("weight", "pos_weight"),
        input=input,
        target=target,
        weight=weight,
        pos_weight=pos_weight,
    )
    check_reduction(op, reduction)
    check_same_shape(op, x, t)
    for name, factors in (("weight", w), ("pos_weight", c)):
        if factors is not None and not broadcastable_to(factors.shape, x.shape):
            raise ValueError(
                f"{op}: {name} has shape {factors.shape}, which does not broadcast to that of "
                f"input, {x.shape}. Give one factor, or one for each entry of the last axis."
            )
    with device.on_device_of(x.data):
        factor = device.xp(x.data).ones((), x.dtype) if c is None else c.data
    losses = BinaryCrossEntropyWithLogits.apply(x, t, factor)
    return reduce_losses(losses if w is None else losses * w, reduction)
