"""normalize: vectors of length 1, as for cosine similarity."""

import math
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors
from tinyalex.ops.reduction import axis_of
from tinyalex.tensor import Tensor


def normalize_naive(x: np.ndarray) -> np.ndarray:
    """Each row of x (N, D), divided by its length."""
    rows = [[v / math.sqrt(sum(u * u for u in row)) for v in row] for row in x.tolist()]
    return np.array(rows, x.dtype)


class Normalize(Function):
    """y = x / n with n = sqrt(sum of x**2).  dx = (dy - y * (sum of dy*y)) / n

    Sums run along an axis. Moving x along itself does not change y: the gradient has no
    such component. Where n < eps, y = x / eps and dx = dy / eps.
    """

    def forward(self, x: Array, *, axis: int, eps: float) -> Array:
        xp = device.xp(x)
        length = xp.sqrt((x * x).sum(axis=axis, keepdims=True))
        self.axis, self.is_short = axis, length < eps
        self.n = xp.maximum(length, x.dtype.type(eps))
        self.y = x / self.n
        return self.y

    def backward(self, dy: Array) -> Array:
        along = (dy * self.y).sum(axis=self.axis, keepdims=True)
        return (dy - self.y * device.xp(dy).where(self.is_short, 0, along)) / self.n


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """input, divided by its Euclidean length along axis `dim`, or by `eps` if that is
    larger. Other norms than p=2 are not supported.

    >>> normalize([[3.0, 4.0]]).numpy().round(3).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    (x,) = float_tensors("normalize", input=input)
    if p != 2:
        raise ValueError(f"normalize: expected p=2, the Euclidean length, got {p!r}.")
    return Normalize.apply(x, axis=axis_of("normalize", "dim", dim, x.shape), eps=eps)
