"""Softmax and cross-entropy in one operation (section 3.5: "maximizes the multinomial logistic regression objective").

Taken together they are simpler and safer than apart: exp never overflows, log never sees 0, and the gradient is p - t.
"""

import math
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.checks import float_tensors
from tinyalex.tensor import Tensor


def cross_entropy_naive(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,): minus the log of the probability that softmax gives to each sample's class, in loops."""
    losses = []
    for row, label in zip(logits, labels, strict=True):
        total = sum(math.exp(logit - max(row)) for logit in row)
        losses.append(math.log(total) + max(row) - row[label])
    return np.array(losses, logits.dtype)


def log_probabilities(x: Array) -> Array:
    """The logarithm of softmax over axis 1: x - log(sum of exp(x)), with the largest x taken out so that exp stays in range."""
    xp = device.xp(x)
    x = x - x.max(axis=1, keepdims=True)
    return x - xp.log(xp.exp(x).sum(axis=1, keepdims=True))


class SoftmaxCrossEntropy(Function):
    """p = exp(x) / sum of exp(x),   loss[n] = -log p[n, t[n]]

    x (N, C) logits, t (N,) class indices -> (N,) losses. With 1[c = t] for the target as a row of zeros and a one,

        dx[n, c] = dloss[n] * (p[n, c] - 1[c = t[n]])
    """

    def forward(self, x: Array, t: Array) -> Array:
        self.samples, self.t = device.xp(x).arange(len(x)), t
        log_p = log_probabilities(x)
        self.p = device.xp(x).exp(log_p)
        return -log_p[self.samples, t]

    def backward(self, dloss: Array) -> tuple[Array, None]:
        dx = self.p.copy()
        dx[self.samples, self.t] -= 1
        dx *= dloss[:, None]
        return dx, None


def cross_entropy(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Minus the log of the probability that softmax(input) gives to the right class.

    input      (N, C) logits
    target     (N,) class indices, whole numbers from 0 to C - 1
    reduction  "mean" (over the batch, as the paper's objective), "sum", or "none": (N,)

    >>> round(cross_entropy([[0.0] * 10], [3]).item(), 4)  # knowing nothing about ten classes costs ln 10
    2.3026
    """
    (x,) = float_tensors("cross_entropy", input=input)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"cross_entropy: reduction is 'mean', 'sum' or 'none', got {reduction!r}.")
    if x.ndim != 2:
        raise ValueError(f"cross_entropy: input has shape {x.shape}, expected logits (N, C).")
    losses = SoftmaxCrossEntropy.apply(x, _labels(x, target))
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


def _labels(x: Tensor, target: Any) -> Array:
    t = device.asarray(target.data if isinstance(target, Tensor) else target)
    n, classes = x.shape
    if t.shape != (n,):
        raise ValueError(
            f"cross_entropy: target has shape {t.shape}, but input {x.shape} expects ({n},), one class index a sample."
        )
    if t.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: target is {t.dtype}, expected whole numbers: class indices from 0 to {classes - 1}.")
    if t.size and not (0 <= t.min() and t.max() < classes):
        raise ValueError(
            f"cross_entropy: target holds {t.min()} to {t.max()}, but input {x.shape} has the classes 0 to {classes - 1}."
        )
    return t
