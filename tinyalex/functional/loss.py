"""Softmax and cross-entropy in one operation.

The paper's network "maximizes the multinomial logistic regression objective" (section
3.5). Combined, they do not overflow, and the gradient is p - t.
"""

import math
import operator
from typing import Any

import numpy as np

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors
from tinyalex.functional.class_targets import ClassArguments, class_arguments, flat, reduced
from tinyalex.functional.softmax import log_probabilities
from tinyalex.methods.results import python_number
from tinyalex.tensor import Tensor


def cross_entropy_naive(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,): minus the log of the probability of each sample's class, in loops."""
    losses = []
    for row, label in zip(logits, labels, strict=True):
        total = sum(math.exp(logit - max(row)) for logit in row)
        losses.append(math.log(total) + max(row) - row[label])
    return np.array(losses, logits.dtype)


class SoftmaxCrossEntropy(Function):
    """Cross-entropy with one class index per sample. With p = softmax(x), t = t[n],

        loss[n] = -w[t] * log p[n, t]
        dx[n]   = dloss[n] * w[t] * (p[n] - onehot(t))

    x (N, C) logits, t (N,) class indices, w (C,) class weights -> loss (N,). Fills
    `counts` (N,) with the weight of each sample: w[t], or 0 where t is `ignore`.
    """

    total: Array | None = None

    def forward(self, x: Array, t: Array, w: Array, *, ignore: int, counts: Array) -> Array:
        k, xp = kernels.of(x), device.xp(x)
        self.t, self.counts, self.p = k.ready(t), counts, xp.empty(x.shape, x.dtype)
        loss = xp.empty(len(x), x.dtype)
        k.cross_entropy(k.ready(x), self.t, w, self.p, loss, counts, ignore)
        return loss

    def backward(self, dloss: Array) -> tuple[Array, None, None]:
        k = kernels.of(dloss)
        dx = device.xp(dloss).empty(self.p.shape, self.p.dtype)
        k.cross_entropy_backward(k.ready(dloss), self.p, self.t, self.counts, dx, self.total)
        return dx, None, None


class MeanCrossEntropy(SoftmaxCrossEntropy):
    """The weighted mean of the losses of `SoftmaxCrossEntropy`.

        total = sum of counts
        loss  = (sum of loss[n]) / total
        dx[n] = dloss / total * w[t] * (p[n] - onehot(t)), 0 if total is 0

    Arguments as of `SoftmaxCrossEntropy` -> loss ().
    """

    def forward(self, x: Array, t: Array, w: Array, *, ignore: int, counts: Array) -> Array:
        xp, losses = device.xp(x), super().forward(x, t, w, ignore=ignore, counts=counts)
        loss, self.total = xp.empty((), x.dtype), xp.empty((), device.sum_dtype(x.dtype))
        kernels.of(x).weighted_mean(losses, counts, loss, self.total)
        return loss


class SoftCrossEntropy(Function):
    """Cross-entropy with probabilities as targets. With p = softmax(x) and q = w * t,

        loss[n] = -(sum over c of q[n, c] * log p[n, c])
        dx[n]   = dloss[n] * (p[n] * (sum of q[n]) - q[n])
        dt[n]   = -dloss[n] * w * log p[n]

    x (N, C) logits, t (N, C) probabilities, w (C,) class weights -> loss (N,).
    """

    def forward(self, x: Array, t: Array, w: Array) -> Array:
        self.w, self.q = w, t * w
        self.log_p = log_probabilities(x, 1)
        return -(self.q * self.log_p).sum(axis=1)

    def backward(self, dloss: Array) -> tuple[Array | None, Array | None, None]:
        want_dx, want_dt, _ = self.needs_input_grad
        dloss = dloss[:, None]
        p = device.xp(dloss).exp(self.log_p)
        dx = dloss * (p * self.q.sum(axis=1, keepdims=True) - self.q) if want_dx else None
        return dx, -dloss * self.w * self.log_p if want_dt else None, None


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The negative log-likelihood of the target class under softmax(input).

    input            logits (N, C); (C,) for a single sample; (N, C, d1, ...) with a
                     target at each of the N*d1*... positions
    target           class indices, integers (N,), () or (N, d1, ...); or probabilities
                     of input's shape, which get a gradient too
    weight           (C,) weights of the classes
    ignore_index     samples of this class have loss and weight 0 (class indices only)
    reduction        "mean" (weighted), "sum", or "none": one loss per class index
    label_smoothing  the fraction of each target that is spread evenly over all classes

    A class index out of range raises ValueError on the CPU. On a GPU the loss is NaN:
    checking the indices would require synchronisation.

    >>> round(cross_entropy([[0.0] * 10], [3]).item(), 4)  # equal probabilities: ln 10
    2.3026
    """
    op = "cross_entropy"
    arguments = class_arguments(op, input, target, weight, reduction)
    label_smoothing = python_number(label_smoothing)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{op}: label_smoothing must be from 0 to 1, got {label_smoothing!r}.")
    if arguments.target.dtype.kind == "f":
        losses, counts = _of_probabilities(arguments, label_smoothing)
    else:
        is_mean = reduction == "mean" and not label_smoothing
        function = MeanCrossEntropy if is_mean else SoftmaxCrossEntropy
        ignore = operator.index(ignore_index)
        losses, counts = _of_indices(function, arguments, ignore, label_smoothing)
        if is_mean:
            return losses  # of shape ()
    return reduced(losses, counts, arguments.positions, reduction)


def _of_indices(
    function: type[SoftmaxCrossEntropy], arguments: ClassArguments, ignore: int, smoothing: float
) -> tuple[Tensor, Array]:
    """(losses or their mean, weights of the samples) for class indices."""
    labels, logits, w = arguments.labels(ignore), flat(arguments.x), arguments.weights
    with device.on_device_of(w):
        xp = device.xp(w)
        counts = xp.empty(len(labels), w.dtype)
        losses = function.apply(logits, labels, w, ignore=ignore, counts=counts)
        if smoothing:
            uniform = xp.where((labels != ignore)[:, None], w / len(w), 0)
            uniform = uniform.astype(w.dtype, copy=False)
            smooth = SoftCrossEntropy.apply(logits, uniform, xp.ones_like(w))
            losses = losses * (1 - smoothing) + smooth * smoothing
    return losses, counts


def _of_probabilities(arguments: ClassArguments, smoothing: float) -> tuple[Tensor, Array]:
    """(losses, weights of the samples) for probabilities."""
    x, t, w = arguments.x, arguments.target, arguments.weights
    if t.shape != x.shape:
        raise ValueError(
            f"cross_entropy: target has shape {t.shape}, but probabilities need the shape of "
            f"input, {x.shape}. For class indices, give integers: target.astype('int64')."
        )
    x, t = float_tensors("cross_entropy", input=x, target=t)
    if smoothing:
        t = t * (1 - smoothing) + smoothing / len(w)
    losses = SoftCrossEntropy.apply(flat(x), flat(t), w)
    with device.on_device_of(w):
        return losses, device.xp(w).ones(losses.shape, w.dtype)
