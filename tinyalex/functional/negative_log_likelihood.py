"""The negative log-likelihood of classes, from log-probabilities."""

import operator
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.class_targets import class_arguments, flat, reduced
from tinyalex.tensor import Tensor


def nll_loss_naive(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,): minus the log-probability of each sample's class, in a loop."""
    return np.array([-row[label] for row, label in zip(x, labels, strict=True)], x.dtype)


class NLLLoss(Function):
    """With t = t[n], the class of sample n,

        loss[n]  = -w[t] * x[n, t]
        dx[n, t] = -w[t] * dloss[n], and 0 for the other classes

    x (N, C) log-probabilities, t (N,) class indices, w (C,) class weights -> loss (N,).
    Fills `counts` (N,) with the weight of each sample: w[t], or 0 where t is `ignore`.
    """

    def forward(self, x: Array, t: Array, w: Array, *, ignore: int, counts: Array) -> Array:
        xp = device.xp(x)
        counted, exists = t != ignore, (t >= 0) & (t < x.shape[1])
        self.at = xp.arange(len(x)), xp.where(exists, t, 0)
        # A class that does not exist gets NaN: an error would require synchronisation.
        counts[...] = xp.where(counted, xp.where(exists, w[self.at[1]], xp.nan), 0)
        self.like, self.counts = x, counts
        return xp.where(counted, -counts * x[self.at], 0).astype(x.dtype, copy=False)

    def backward(self, dloss: Array) -> tuple[Array, None, None]:
        dx = device.xp(dloss).zeros_like(self.like)
        dx[self.at] = -self.counts * dloss
        return dx, None, None


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-probability of the target class: the loss after `log_softmax`.

    input         log-probabilities (N, C); (C,) for a single sample; (N, C, d1, ...)
                  with a target at each of the N*d1*... positions
    target        class indices, integers (N,), () or (N, d1, ...)
    weight        (C,) weights of the classes
    ignore_index  samples of this class have loss and weight 0
    reduction     "mean" (weighted), "sum", or "none": one loss per class index

    A class index out of range raises ValueError on the CPU. On a GPU the loss is NaN.

    >>> nll_loss([[-1.0, -2.0], [-3.0, -4.0]], [0, 1]).item()
    2.5
    """
    arguments = class_arguments("nll_loss", input, target, weight, reduction)
    ignore, w = operator.index(ignore_index), arguments.weights
    labels = arguments.labels(ignore)
    with device.on_device_of(w):
        counts = device.xp(w).empty(len(labels), w.dtype)
        losses = NLLLoss.apply(flat(arguments.x), labels, w, ignore=ignore, counts=counts)
    return reduced(losses, counts, arguments.positions, reduction)
