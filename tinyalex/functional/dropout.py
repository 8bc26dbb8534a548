"""Dropout (section 4.2)."""

from typing import Any

import numpy as np

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import check_probability, float_tensors
from tinyalex.tensor import Tensor


def dropout_naive(x: np.ndarray, mask: np.ndarray, p: float) -> np.ndarray:
    """x / (1 - p) where the mask is true, else 0, in a loop."""
    pairs = zip(x.ravel(), mask.ravel(), strict=True)
    return np.array([v / (1 - p) if keep else 0.0 for v, keep in pairs], x.dtype).reshape(x.shape)


def scale_of(p: float) -> float:
    """1 / (1 - p); if p is 1, all elements are dropped."""
    return 1 / (1 - p) if p < 1 else 0.0


def next_draw(x: Array) -> tuple[tuple[int, int], Array, int, int]:
    """key, step, call and first sample: what the next mask of samples x depends on."""
    _, call = device.draw("dropout")
    return device.key("dropout"), device.step_array(device.of(x)), call, device.first_sample()


class Dropout(Function):
    """y = x * mask / (1 - p).  dx = dy * mask / (1 - p)

    Each element of mask is 1 with probability 1 - p, else 0. This is inverted dropout:
    scaling in training makes evaluation the identity. (The paper multiplies by 1 - p in
    evaluation instead; the expectation is the same.) Axis 0 is the batch: a sample's
    mask depends on the seed, the step, the call and its index in the whole batch.
    Stores the mask, one byte per element.
    """

    def forward(self, x: Array, *, p: float) -> Array:
        k, xp = kernels.of(x), device.xp(x)
        samples = k.ready(x).reshape(x.shape or (1,))
        y, self.mask = k.like(samples), xp.empty(samples.shape, bool)
        self.scale = scale_of(p)
        k.dropout(samples, self.mask, y, 1 - p, self.scale, *next_draw(x))
        return y.reshape(x.shape)

    def backward(self, dy: Array) -> Array:
        k = kernels.of(dy)
        dx = k.like(dy)
        k.scale_kept(k.ready(dy), self.mask.reshape(dy.shape), dx, self.scale)
        return dx


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability `p`, and divide the others by 1 - p.

    Returns `input` if not `training`. `inplace` has no effect.
    """
    check_probability("dropout", "p", p)
    (x,) = float_tensors("dropout", input=input)
    return Dropout.apply(x, p=p) if training and p > 0 else x


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each channel with probability `p`, and divide the others by 1 - p.

    input (N, C, H, W). Neighbouring pixels are similar: if only some were dropped, the
    others would still tell the next layer their values (Tompson et al. 2015).

    Returns `input` if not `training`. `inplace` has no effect.
    """
    check_probability("dropout2d", "p", p)
    (x,) = float_tensors("dropout2d", input=input)
    if x.ndim != 4:
        raise ValueError(f"dropout2d: input has shape {x.shape}, expected (N, C, H, W).")
    with device.on_device_of(x.data):
        ones = device.xp(x.data).ones((*x.shape[:2], 1, 1), x.dtype)
        return x * dropout(ones, p) if training and p > 0 else x
