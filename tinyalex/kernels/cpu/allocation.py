"""Uninitialized arrays from the memory pool, and the memory order of activations."""

import math
from typing import Any

import numpy as np

from tinyalex.device.memory_pool import MIN_POOLED_BYTES, empty


def activation(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialized array (N, C, ...), stored as (..., N, C); (N, C) as (C, N)."""
    return as_activation(empty((math.prod(shape),), dtype), shape)


def as_activation(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A flat array as an array of this shape, in the memory order of `activation`."""
    n, c, *space = shape
    if not space:
        return x.reshape(c, n).T
    k = len(space)
    return x.reshape(*space, n, c).transpose(k, k + 1, *range(k))


def like(x: np.ndarray) -> np.ndarray:
    """An uninitialized array with the shape, dtype and memory order of `x`."""
    if x.nbytes < MIN_POOLED_BYTES:
        return np.empty_like(x, subok=False)
    order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    return empty(tuple(x.shape[axis] for axis in order), x.dtype).transpose(np.argsort(order))


def ready(x: np.ndarray) -> np.ndarray:
    """`x` in a memory order that the primitives accept: on the CPU, any."""
    return x
