"""Layer normalization (Ba et al. 2016), used in transformers."""

import math
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors
from tinyalex.methods.results import python_number
from tinyalex.ops.broadcasting import unbroadcast
from tinyalex.tensor import Tensor


def layer_norm_naive(x: np.ndarray, w: np.ndarray, b: np.ndarray, eps: float) -> np.ndarray:
    """For each row of x (N, D): the formula on a list of its values."""
    y = np.zeros_like(x)
    for n, values in enumerate(x.tolist()):
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        y[n] = [(v - mean) / math.sqrt(variance + eps) for v in values] * w + b
    return y


class LayerNorm(Function):
    """Each sample with mean 0 and variance 1 over its last axes, scaled and shifted.

        z  = (x - mean) / sqrt(var + eps)
        y  = w*z + b
        dw = sum of dy*z          db = sum of dy          over the samples
        dx = (dz - mean of dz - z * mean of dz*z) / sqrt(var + eps)      with dz = w*dy

    x, y (..., D) where D is the shape of w and b, possibly several axes. Means are over
    the axes of D: batch normalization with samples in the place of channels.
    """

    def forward(
        self, x: Array, w: Array | None, b: Array | None, *, axes: tuple[int, ...], eps: float
    ) -> Array:
        centred = x - x.mean(axis=axes, keepdims=True)
        variance = (centred * centred).mean(axis=axes, keepdims=True)
        self.std = device.xp(x).sqrt(variance + eps)
        self.z, self.w, self.b, self.axes = centred / self.std, w, b, axes
        y = self.z if w is None else self.z * w
        return y if b is None else y + b

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        z, w, b = self.z, self.w, self.b
        dw = None if w is None else unbroadcast(dy * z, w)
        db = None if b is None else unbroadcast(dy, b)
        dz = dy if w is None else dy * w
        mean, product = (a.mean(axis=self.axes, keepdims=True) for a in (dz, dz * z))
        return (dz - mean - z * product) / self.std, dw, db


def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Normalize over the last axes, multiply by weight, and add bias.

    normalized_shape  the sizes of these axes, which are the shape of weight and bias

    >>> layer_norm([[1.0, 3.0], [5.0, 7.0]], 2, eps=0.0).numpy().tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """
    op = "layer_norm"
    x, w, b = float_tensors(op, optional=("weight", "bias"), input=input, weight=weight, bias=bias)
    is_size = isinstance(normalized_shape, (int, np.integer))
    shape = (normalized_shape,) if is_size else tuple(normalized_shape)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ValueError(
            f"{op}: normalized_shape={normalized_shape} must be the last sizes of input {x.shape}."
        )
    for name, t in (("weight", w), ("bias", b)):
        if t is not None and t.shape != shape:
            raise ValueError(f"{op}: {name} has shape {t.shape}, expected {shape}.")
    return LayerNorm.apply(x, w, b, axes=tuple(range(-len(shape), 0)), eps=python_number(eps))
