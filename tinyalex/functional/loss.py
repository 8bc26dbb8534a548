"""Softmax and cross-entropy in one operation (section 3.5: "maximizes the multinomial logistic regression objective").

Taken together they are simpler and safer than apart: exp never overflows, log never sees 0, and the gradient is p - t.
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
    """(N,): minus the log of the probability that softmax gives to each sample's class, in loops."""
    losses = []
    for row, label in zip(logits, labels, strict=True):
        total = sum(math.exp(logit - max(row)) for logit in row)
        losses.append(math.log(total) + max(row) - row[label])
    return np.array(losses, logits.dtype)


class SoftmaxCrossEntropy(Function):
    """Cross-entropy with one right class a sample. With p = softmax(x),

        loss[n] = -w[t] * log p[n, t]                        where t is t[n], the sample's class
        dx[n]   = dloss[n] * w[t] * (p[n] - onehot(t))

    x (N, C) logits, t (N,) class indices, w (C,) the classes' weights -> (N,) losses. `counts` (N,) is filled with w[t]: how much each
    sample counts, 0 where t is `ignore`.
    """

    def forward(self, x: Array, t: Array, w: Array, *, ignore: int, counts: Array) -> Array:
        k = kernels.of(x)
        self.t, self.counts, self.p = k.ready(t), counts, device.xp(x).empty(x.shape, x.dtype)
        loss = device.xp(x).empty(len(x), x.dtype)
        k.cross_entropy(k.ready(x), self.t, w, self.p, loss, counts, ignore)
        return loss

    def backward(self, dloss: Array) -> tuple[Array, None, None]:
        k = kernels.of(dloss)
        dx = device.xp(dloss).empty(self.p.shape, self.p.dtype)
        k.cross_entropy_backward(k.ready(dloss), self.p, self.t, self.counts, dx)
        return dx, None, None


class WeightedMean(Function):
    """y = (sum of x) / (sum of counts).  dx = dy / (sum of counts)

    The mean of no sample at all is no number, but it depends on none of them: its gradient is 0.
    """

    def forward(self, x: Array, counts: Array) -> Array:
        self.shape, self.total = x.shape, counts.sum()
        return x.sum() / self.total

    def backward(self, dy: Array) -> tuple[Array, None]:
        xp = device.xp(dy)
        share = xp.where(self.total == 0, xp.zeros_like(dy), dy / self.total)
        return xp.broadcast_to(share, self.shape), None


class SoftCrossEntropy(Function):
    """Cross-entropy with a share t[n, c] for each class. With p = softmax(x) and q = w * t,

        loss[n] = -(sum over c of q[n, c] * log p[n, c])
        dx[n]   = dloss[n] * (p[n] * (sum of q[n]) - q[n])
        dt[n]   = -dloss[n] * w * log p[n]

    x (N, C) logits, t (N, C) shares, w (C,) the classes' weights -> (N,) losses.
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
    """Minus the log of the probability that softmax(input) gives to the right class.

    input            (N, C) logits; (C,) for a single sample; (N, C, d1, ...) with a class for each of the N*d1*... places
    target           class indices, whole numbers (N,), () or (N, d1, ...); or probabilities of input's shape, which get a gradient too
    weight           (C,): how much each class counts
    ignore_index     samples of this class do not count, nor does the mean count them (class indices only)
    reduction        "mean" (over what counts, by its weight), "sum", or "none": losses of the indices' shape
    label_smoothing  share of each target that is spread evenly over all classes

    Class indices that do not exist are an error on the CPU. On a GPU they make the loss NaN: to look at them, Python would have to wait.

    >>> round(cross_entropy([[0.0] * 10], [3]).item(), 4)  # knowing nothing about ten classes costs ln 10
    2.3026
    """
    x, w = float_tensors("cross_entropy", optional="weight", input=input, weight=weight)
    t = (
        Tensor(np.asarray(target), device=x.device)
        if isinstance(target, (list, tuple, int))
        else as_tensor(target)
    )
    device.common("cross_entropy", [x.data, t.data, None if w is None else w.data])
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"cross_entropy: reduction is 'mean', 'sum' or 'none', got {reduction!r}.")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(
            f"cross_entropy: label_smoothing is a share from 0 to 1, got {label_smoothing!r}."
        )
    if x.ndim == 0:
        raise ValueError(
            "cross_entropy: input has shape (), expected logits (N, C), (C,) or (N, C, ...)."
        )
    classes = x.shape[0 if x.ndim == 1 else 1]
    if w is not None and w.shape != (classes,):
        raise ValueError(
            f"cross_entropy: weight has shape {w.shape}, but input {x.shape} has {classes} classes. Give it ({classes},)."
        )
    with device.on(x.device):
        w = (
            device.xp(x.data).ones(classes, x.dtype)
            if w is None
            else kernels.of(w.data).ready(w.data)
        )
    places = x.shape[:0] if x.ndim == 1 else (x.shape[0], *x.shape[2:])
    if t.dtype.kind == "f":
        losses, counts = _soft(x, t, w, label_smoothing)
    else:
        losses, counts = _hard(x, t, w, places, operator.index(ignore_index), label_smoothing)
    if reduction == "none":
        return losses.reshape(places)
    if reduction == "sum":
        return losses.sum()
    return WeightedMean.apply(losses, counts)


def _rows(x: Tensor) -> Tensor:
    """Logits or probabilities with a class axis, as (places, C)."""
    if x.ndim <= 2:
        return x.reshape(-1, x.shape[-1])
    return x.transpose(0, *range(2, x.ndim), 1).reshape(-1, x.shape[1])


def _hard(
    x: Tensor, t: Tensor, w: Array, places: tuple[int, ...], ignore: int, smoothing: float
) -> tuple[Tensor, Array]:
    """(losses, how much each counts) for class indices."""
    classes, labels = len(w), t.data
    if t.shape != places:
        raise ValueError(
            f"cross_entropy: target has shape {t.shape}, but input {x.shape} expects {places}, one class index a sample."
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"cross_entropy: target is {t.dtype}, expected class indices from 0 to {classes - 1}, or probabilities."
        )
    kernels.of(labels).check_labels(labels, ignore, classes)
    with device.on_device_of(w):
        xp, rows, labels = device.xp(w), _rows(x), labels.reshape(-1).astype(np.int64, copy=False)
        counts = xp.empty(len(labels), w.dtype)
        losses = SoftmaxCrossEntropy.apply(rows, labels, w, ignore=ignore, counts=counts)
        if smoothing:
            everywhere = xp.where((labels != ignore)[:, None], w / classes, 0).astype(
                w.dtype, copy=False
            )
            losses = (
                losses * (1 - smoothing)
                + SoftCrossEntropy.apply(rows, everywhere, xp.ones_like(w)) * smoothing
            )
    return losses, counts


def _soft(x: Tensor, t: Tensor, w: Array, smoothing: float) -> tuple[Tensor, Array]:
    """(losses, how much each counts) for probabilities."""
    if t.shape != x.shape:
        raise ValueError(
            f"cross_entropy: target has shape {t.shape}, but probabilities need that of input, {x.shape}. "
            "For class indices, give whole numbers: target.astype('int64')."
        )
    float_tensors("cross_entropy", input=x, target=t)
    if smoothing:
        t = t * (1 - smoothing) + smoothing / len(w)
    losses = SoftCrossEntropy.apply(_rows(x), _rows(t), w)
    with device.on_device_of(w):
        return losses, device.xp(w).ones(losses.shape, w.dtype)
