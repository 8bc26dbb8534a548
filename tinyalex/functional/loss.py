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
from tinyalex.functional.softmax import log_probabilities
from tinyalex.tensor import Tensor, as_tensor


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

    def forward(self, x: Array, t: Array, w: Array, *, ignore: int, counts: Array) -> Array:
        k, xp = kernels.of(x), device.xp(x)
        self.t, self.counts, self.p = k.ready(t), counts, xp.empty(x.shape, x.dtype)
        loss = xp.empty(len(x), x.dtype)
        k.cross_entropy(k.ready(x), self.t, w, self.p, loss, counts, ignore)
        return loss

    def backward(self, dloss: Array) -> tuple[Array, None, None]:
        k = kernels.of(dloss)
        dx = device.xp(dloss).empty(self.p.shape, self.p.dtype)
        k.cross_entropy_backward(k.ready(dloss), self.p, self.t, self.counts, dx)
        return dx, None, None


class WeightedMean(Function):
    """y = (sum of x) / (sum of counts).  dx = dy / (sum of counts), 0 if that is 0"""

    def forward(self, x: Array, counts: Array) -> Array:
        self.shape, self.total = x.shape, counts.sum()
        return x.sum() / self.total

    def backward(self, dy: Array) -> tuple[Array, None]:
        xp = device.xp(dy)
        share = xp.where(self.total == 0, xp.zeros_like(dy), dy / self.total)
        return xp.broadcast_to(share, self.shape), None


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
    x, w = float_tensors(op, optional=("weight",), input=input, weight=weight)
    if isinstance(target, (list, tuple, int)):
        target = Tensor(np.asarray(target), device=x.device)  # integers stay integers
    t = as_tensor(target)
    device.common(op, [x.data, t.data, None if w is None else w.data])
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{op}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}.")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{op}: label_smoothing must be from 0 to 1, got {label_smoothing!r}.")
    if x.ndim == 0:
        raise ValueError(f"{op}: input has shape (), expected logits (N, C), (C,) or (N, C, ...).")
    if x.ndim == 1:
        classes, positions = len(x), x.shape[:0]
    else:
        classes, positions = x.shape[1], (len(x), *x.shape[2:])
    if w is not None and w.shape != (classes,):
        raise ValueError(
            f"{op}: weight has shape {w.shape}, but input {x.shape} has {classes} classes. "
            f"Give it the shape ({classes},)."
        )
    with device.on(x.device):
        if w is None:
            weights = device.xp(x.data).ones(classes, x.dtype)
        else:
            weights = kernels.of(w.data).ready(w.data)
    if t.dtype.kind == "f":
        losses, counts = _of_probabilities(x, t, weights, label_smoothing)
    else:
        ignore = operator.index(ignore_index)
        losses, counts = _of_indices(x, t, weights, positions, ignore, label_smoothing)
    if reduction == "none":
        return losses.reshape(positions)
    if reduction == "sum":
        return losses.sum()
    return WeightedMean.apply(losses, counts)


def _flat(x: Tensor) -> Tensor:
    """Logits or probabilities as (positions, C)."""
    if x.ndim <= 2:
        return x.reshape(-1, x.shape[-1])
    return x.transpose(0, *range(2, x.ndim), 1).reshape(-1, x.shape[1])


def _of_indices(
    x: Tensor, t: Tensor, w: Array, positions: tuple[int, ...], ignore: int, smoothing: float
) -> tuple[Tensor, Array]:
    """(losses, weights of the samples) for class indices."""
    classes, labels = len(w), t.data
    if t.shape != positions:
        raise ValueError(
            f"cross_entropy: target has shape {t.shape}, but input {x.shape} expects {positions}, "
            "one class index per sample."
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"cross_entropy: target is {t.dtype}, expected class indices from 0 to {classes - 1}, "
            "or probabilities."
        )
    kernels.of(labels).check_labels(labels, ignore, classes)
    with device.on_device_of(w):
        xp, logits = device.xp(w), _flat(x)
        labels = labels.reshape(-1).astype(np.int64, copy=False)
        counts = xp.empty(len(labels), w.dtype)
        losses = SoftmaxCrossEntropy.apply(logits, labels, w, ignore=ignore, counts=counts)
        if smoothing:
            uniform = xp.where((labels != ignore)[:, None], w / classes, 0)
            uniform = uniform.astype(w.dtype, copy=False)
            smooth = SoftCrossEntropy.apply(logits, uniform, xp.ones_like(w))
            losses = losses * (1 - smoothing) + smooth * smoothing
    return losses, counts


def _of_probabilities(x: Tensor, t: Tensor, w: Array, smoothing: float) -> tuple[Tensor, Array]:
    """(losses, weights of the samples) for probabilities."""
    if t.shape != x.shape:
        raise ValueError(
            f"cross_entropy: target has shape {t.shape}, but probabilities need the shape of "
            f"input, {x.shape}. For class indices, give integers: target.astype('int64')."
        )
    float_tensors("cross_entropy", input=x, target=t)
    if smoothing:
        t = t * (1 - smoothing) + smoothing / len(w)
    losses = SoftCrossEntropy.apply(_flat(x), _flat(t), w)
    with device.on_device_of(w):
        return losses, device.xp(w).ones(losses.shape, w.dtype)
