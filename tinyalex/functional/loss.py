"""Softmax and cross-entropy in one operation (section 3.5: "maximizes the multinomial logistic regression objective").

Taken together they are simpler and safer than apart: exp never overflows, log never sees 0, and the gradient is p - t.
"""

import math
import operator
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.checks import float_tensors
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

    x (N, C) logits, t (N,) class indices, w (C,) the classes' weights -> (N,) losses. The weight of a sample with t = `ignore` is 0.
    """

    def forward(self, x: Array, t: Array, w: Array, *, ignore: int) -> Array:
        xp = device.xp(x)
        self.samples, counted = xp.arange(len(x)), t != ignore
        self.t = xp.where(counted, t, 0)
        self.weight = xp.where(counted, w[self.t], 0).astype(x.dtype, copy=False)
        log_p = log_probabilities(x, 1)
        self.p = xp.exp(log_p)
        return xp.where(counted, -self.weight * log_p[self.samples, self.t], 0).astype(x.dtype, copy=False)

    def backward(self, dloss: Array) -> tuple[Array, None, None]:
        dx = self.p.copy()
        dx[self.samples, self.t] -= 1
        dx *= (dloss * self.weight)[:, None]
        return dx, None, None


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

    >>> round(cross_entropy([[0.0] * 10], [3]).item(), 4)  # knowing nothing about ten classes costs ln 10
    2.3026
    """
    x, w = float_tensors("cross_entropy", optional="weight", input=input, weight=weight)
    t = as_tensor(np.asarray(target) if isinstance(target, (list, tuple, int)) else target)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"cross_entropy: reduction is 'mean', 'sum' or 'none', got {reduction!r}.")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is a share from 0 to 1, got {label_smoothing!r}.")
    if x.ndim == 0:
        raise ValueError("cross_entropy: input has shape (), expected logits (N, C), (C,) or (N, C, ...).")
    classes = x.shape[0 if x.ndim == 1 else 1]
    if w is not None and w.shape != (classes,):
        raise ValueError(
            f"cross_entropy: weight has shape {w.shape}, but input {x.shape} has {classes} classes. Give it ({classes},)."
        )
    w = device.xp(x.data).ones(classes, x.dtype) if w is None else w.data
    places = x.shape[:0] if x.ndim == 1 else (x.shape[0], *x.shape[2:])
    if t.dtype.kind == "f":
        losses, total = _soft(x, t, w, label_smoothing)
    else:
        losses, total = _hard(x, t, w, places, operator.index(ignore_index), label_smoothing)
    if reduction == "none":
        return losses.reshape(places)
    if reduction == "sum":
        return losses.sum()
    # The mean of no sample at all is no number, but it depends on none of them: its gradient is 0.
    return losses.sum() / total if total else losses.sum() * 0.0 + math.nan


def _rows(x: Tensor) -> Tensor:
    """Logits or probabilities with a class axis, as (places, C)."""
    if x.ndim <= 2:
        return x.reshape(-1, x.shape[-1])
    return x.transpose(0, *range(2, x.ndim), 1).reshape(-1, x.shape[1])


def _hard(x: Tensor, t: Tensor, w: Array, places: tuple[int, ...], ignore: int, smoothing: float) -> tuple[Tensor, float]:
    """(losses, what a mean divides by) for class indices."""
    classes, labels = len(w), t.data
    if t.shape != places:
        raise ValueError(
            f"cross_entropy: target has shape {t.shape}, but input {x.shape} expects {places}, one class index a sample."
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: target is {t.dtype}, expected class indices from 0 to {classes - 1}, or probabilities.")
    counted = labels != ignore
    valid = labels[counted]
    if valid.size and not (0 <= valid.min() and valid.max() < classes):
        raise ValueError(
            f"cross_entropy: target holds {valid.min()} to {valid.max()}, but input {x.shape} has the classes 0 to {classes - 1}."
        )
    rows, labels = _rows(x), labels.reshape(-1)
    losses = SoftmaxCrossEntropy.apply(rows, labels, w, ignore=ignore)
    if smoothing:
        everywhere = device.xp(w).where((labels != ignore)[:, None], w / classes, 0).astype(w.dtype, copy=False)
        losses = losses * (1 - smoothing) + SoftCrossEntropy.apply(rows, everywhere, device.xp(w).ones_like(w)) * smoothing
    return losses, w[valid.astype(int)].sum().item()


def _soft(x: Tensor, t: Tensor, w: Array, smoothing: float) -> tuple[Tensor, float]:
    """(losses, what a mean divides by) for probabilities."""
    if t.shape != x.shape:
        raise ValueError(
            f"cross_entropy: target has shape {t.shape}, but probabilities need that of input, {x.shape}. "
            "For class indices, give whole numbers: target.astype('int64')."
        )
    float_tensors("cross_entropy", input=x, target=t)
    if smoothing:
        t = t * (1 - smoothing) + smoothing / len(w)
    return SoftCrossEntropy.apply(_rows(x), _rows(t), w), x.size / len(w)
