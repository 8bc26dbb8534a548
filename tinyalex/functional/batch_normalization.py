"""Batch normalization (Ioffe and Szegedy 2015, arXiv:1502.03167), which the networks of
2012 do not have."""

import math
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors
from tinyalex.methods.results import python_number
from tinyalex.tensor import Tensor, wrap


def batch_norm_naive(x: np.ndarray, w: np.ndarray, b: np.ndarray, eps: float) -> np.ndarray:
    """In training, the formula for the values of each channel of x (N, C, ...)."""
    y = np.zeros_like(x)
    for c in range(x.shape[1]):
        values = x[:, c].ravel().tolist()
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        normalized = [w[c] * (v - mean) / math.sqrt(variance + eps) + b[c] for v in values]
        y[:, c] = np.reshape(normalized, x[:, c].shape)
    return y


class BatchNorm(Function):
    """Each channel with mean 0 and variance 1, then scaled and shifted.

        z  = (x - mean) / sqrt(var + eps)
        y  = w*z + b
        dw = sum of dy*z          db = sum of dy

    x, y (N, C, ...), all others (C,): one value for each channel, and sums run over its
    m values in the batch. In evaluation, mean and var are constants:

        dx = w*dy / sqrt(var + eps)

    In training they are those of the batch, and depend on x. Raising x raises the mean,
    which lowers all z, and changes the variance, which scales them:

        mean = (sum of x) / m         var = (sum of (x - mean)**2) / m
        dx   = w * (dy - db/m - z*dw/m) / sqrt(var + eps)

    Without w and b, w = 1 and b = 0. In training, fills `mean` and `var`.
    """

    def forward(
        self,
        x: Array,
        w: Array | None,
        b: Array | None,
        *,
        mean: Array,
        var: Array,
        eps: float,
        training: bool,
    ) -> Array:
        if training:
            mean[...] = channel_mean(x)
            var[...] = channel_mean((x - across(mean, x)) ** 2)
        self.w, self.training = w, training
        self.std = device.xp(x).sqrt(var + eps)
        self.z = (x - across(mean, x)) / across(self.std, x)
        y = self.z if w is None else self.z * across(w, x)
        return y if b is None else y + across(b, x)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        want_dx, want_dw, want_db = self.needs_input_grad
        m = dy.size // dy.shape[1]
        dw, db = channel_mean(dy * self.z) * m, channel_mean(dy) * m
        dx = None
        if want_dx:
            scale = 1 / self.std if self.w is None else self.w / self.std
            dz = dy - across(db / m, dy) - self.z * across(dw / m, dy) if self.training else dy
            dx = dz * across(scale, dy)
        return dx, dw if want_dw else None, db if want_db else None


def channel_mean(x: Array) -> Array:
    """The mean of each channel of (N, C, ...), one axis after the other: a sum over all
    of them at once has a larger rounding error."""
    while x.ndim > 2:
        x = x.mean(axis=-1)
    return x.mean(axis=0)


def across(values: Array, x: Array) -> Array:
    """Values of the channels, (C,), in a shape that broadcasts to x (N, C, ...)."""
    return values.reshape(-1, *[1] * (x.ndim - 2))


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel of input (N, C, ...), multiply by weight, and add bias.

    training  True: normalize by the mean and variance of the batch, and update the
              running ones in place, unless they are None:
              running = (1 - momentum) * running + momentum * (the batch's),
              where the variance is divided by m - 1 instead of m
              False: normalize by the running ones

    >>> batch_norm([[1.0], [3.0]], None, None, training=True, eps=0.0).numpy().tolist()
    [[-1.0], [1.0]]
    """
    op = "batch_norm"
    x, *channels = float_tensors(
        op,
        optional=("weight", "bias", "running_mean", "running_var"),
        input=input,
        weight=weight,
        bias=bias,
        running_mean=running_mean,
        running_var=running_var,
    )
    if x.ndim < 2:
        raise ValueError(f"{op}: input has shape {x.shape}, expected (N, C) or (N, C, ...).")
    for name, t in zip(("weight", "bias", "running_mean", "running_var"), channels, strict=True):
        if t is not None and t.shape != x.shape[1:2]:
            raise ValueError(
                f"{op}: {name} has shape {t.shape}, but input {x.shape} has {x.shape[1]} channels. "
                f"Give it the shape ({x.shape[1]},)."
            )
    w, b, mean, var = channels
    eps = python_number(eps)
    m = x.size // max(1, x.shape[1])
    if training and m < 2:
        raise ValueError(
            f"{op}: input {x.shape} has {m} value in each channel, whose variance is 0. In "
            "training, give a larger batch; for a single image, call model.eval() first."
        )
    if not training and (mean is None or var is None):
        raise ValueError(
            f"{op}: with training=False, running_mean and running_var must not be None. Give "
            "both, or training=True."
        )
    if not training:
        return BatchNorm.apply(x, w, b, mean=mean.data, var=var.data, eps=eps, training=False)
    with device.on_device_of(x.data):
        new_mean, new_var = device.xp(x.data).empty((2, x.shape[1]), x.dtype)
        y = BatchNorm.apply(x, w, b, mean=new_mean, var=new_var, eps=eps, training=True)
        # The arguments themselves: within `autocast`, `mean` and `var` may be copies.
        for running, new in ((running_mean, new_mean), (running_var, new_var * (m / (m - 1)))):
            if running is not None:
                values = wrap(running).data
                values[...] += momentum * (new - values)
    return y
