"""Losses of classifications: their arguments, and the mean over the samples."""

from typing import Any, NamedTuple

import numpy as np

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import check_reduction, float_tensors
from tinyalex.tensor import Tensor, wrap


class ClassArguments(NamedTuple):
    """The checked arguments of a loss."""

    op: str
    x: Tensor
    """(N, C), (C,) for a single sample, or (N, C, d1, ...)."""
    target: Tensor
    weights: Array
    """(C,)"""
    positions: tuple[int, ...]
    """The shape of class indices: (N,), () or (N, d1, ...)."""

    def labels(self, ignore: int) -> Array:
        """The target as int64 class indices, one for each row of `flat(x)`."""
        labels, classes = self.target.data, len(self.weights)
        if self.target.shape != self.positions:
            raise ValueError(
                f"{self.op}: target has shape {self.target.shape}, but input {self.x.shape} "
                f"expects {self.positions}, one class index per sample."
            )
        if labels.dtype.kind not in "iu":
            others = ", or probabilities" if self.op == "cross_entropy" else ""
            raise TypeError(
                f"{self.op}: target is {labels.dtype}, expected class indices from 0 to "
                f"{classes - 1}{others}."
            )
        kernels.of(labels).check_labels(self.op, labels, ignore, classes)
        with device.on_device_of(labels):
            return labels.reshape(-1).astype(np.int64, copy=False)


def class_arguments(
    op: str, input: Any, target: Any, weight: Any, reduction: str
) -> ClassArguments:
    """The arguments as tensors; raises TypeError or ValueError if they do not match."""
    x, w = float_tensors(op, optional=("weight",), input=input, weight=weight)
    if isinstance(target, (list, tuple, int)):
        values = np.asarray(target)  # integers stay integers
        values = values.astype(x.dtype) if values.dtype.kind == "f" else values
        target = Tensor(values, device=x.device)
    t = wrap(target)
    device.common(op, [x.data, t.data, None if w is None else w.data])
    check_reduction(op, reduction)
    if x.ndim == 0:
        raise ValueError(f"{op}: input has shape (), expected (N, C), (C,) or (N, C, ...).")
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
            weights = device.shared_ones((classes,), x.dtype, x.device)
        else:
            weights = kernels.of(w.data).ready(w.data)
    return ClassArguments(op, x, t, weights, positions)


def flat(x: Tensor) -> Tensor:
    """(N, C, d1, ...) as (positions, C)."""
    if x.ndim <= 2:
        return x.reshape(-1, x.shape[-1])
    return x.transpose(0, *range(2, x.ndim), 1).reshape(-1, x.shape[1])


class WeightedMean(Function):
    """y = (sum of x) / (sum of counts).  dx = dy / (sum of counts), 0 if that is 0

    x, counts (N,) -> y (). The sums of half precision are computed and kept in single.
    """

    def forward(self, x: Array, counts: Array) -> Array:
        k, xp = kernels.of(x), device.xp(x)
        self.n, y = len(x), xp.empty((), x.dtype)
        self.total = xp.empty((), device.sum_dtype(x.dtype))
        k.weighted_mean(k.ready(x), counts, y, self.total)
        return y

    def backward(self, dy: Array) -> tuple[Array, None]:
        dx = device.xp(dy).empty(self.n, dy.dtype)
        kernels.of(dy).weighted_mean_backward(dy, self.total, dx)
        return dx, None


def reduced(losses: Tensor, counts: Array, positions: tuple[int, ...], reduction: str) -> Tensor:
    """The weighted mean or the sum of the losses, or all of them for "none"."""
    if reduction == "none":
        return losses.reshape(positions)
    return losses.sum() if reduction == "sum" else WeightedMean.apply(losses, counts)
