"""Dropout (section 4.2)."""

from typing import Any

import numpy as np

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors
from tinyalex.tensor import Tensor


def dropout_naive(x: np.ndarray, mask: np.ndarray, p: float) -> np.ndarray:
    """x / (1 - p) where the mask says to keep a number, else 0, one after the other."""
    kept = [
        number / (1 - p) if keep else 0.0
        for number, keep in zip(x.ravel(), mask.ravel(), strict=True)
    ]
    return np.array(kept, x.dtype).reshape(x.shape)


class Dropout(Function):
    """y = x * mask / (1 - p), where each element of mask is 1 with probability 1 - p, else 0.  dx = dy * mask / (1 - p)

    The inverted form: what is kept is scaled up in training, so that nothing needs to be done in testing. (The paper multiplies by
    1 - p in testing instead; the expectation is the same.) Axis 0 counts samples: a sample's mask depends on the seed, the step, and
    its place in the batch. Keeps the mask, one byte a number.
    """

    def forward(self, x: Array, *, p: float) -> Array:
        self.mask = device.xp(x).empty(x.shape or (1,), bool)
        kernels.of(x).random_mask(
            self.mask, 1 - p, device.key("dropout"), *device.draw("dropout"), first=0
        )
        self.mask = self.mask.reshape(x.shape)
        self.scale = 1 / (1 - p) if p < 1 else 0.0
        return x * self.mask * self.scale

    def backward(self, dy: Array) -> Array:
        return dy * self.mask * self.scale


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Put each number to 0 with probability `p`, and divide the others by 1 - p; nothing happens unless `training`.

    `inplace` is accepted as torch has it, and makes no difference here.
    """
    if not 0 <= p <= 1:
        raise ValueError(
            f"dropout: p is the probability of dropping a number, from 0 to 1, got {p!r}."
        )
    (x,) = float_tensors("dropout", input=input)
    return Dropout.apply(x, p=p) if training and p > 0 else x
