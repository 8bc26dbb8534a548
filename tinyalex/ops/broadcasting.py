"""Broadcasting and its adjoint, the sum over the axes that were repeated."""

from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.graph_tensor import Form


def unbroadcast(grad: Array, like: Array | Form) -> Array:
    """`grad` in the shape and dtype of an input that was broadcast or promoted.

    The gradients of all uses of an element are added: `grad` is summed over the axes
    that broadcasting has prepended, or stretched from 1.
    """
    added = grad.ndim - len(like.shape)
    stretched = [i for i in range(added, grad.ndim) if like.shape[i - added] == 1 != grad.shape[i]]
    if added or stretched:
        grad = sum_over(grad, (*range(added), *stretched), keepdims=True).reshape(like.shape)
    return grad.astype(like.dtype, copy=False)


def sum_over(x: Array, axis: Any, keepdims: bool = False) -> Array:
    """The sum of a floating array, in its dtype; of float16, computed in float32."""
    total = x.sum(axis=axis, keepdims=keepdims, dtype=device.sum_dtype(x.dtype))
    return device.asarray(total).astype(x.dtype, copy=False)


def broadcast_back(dy: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """A reduction's gradient `dy`, repeated along the reduced axes."""
    kept = tuple(1 if i in axes else size for i, size in enumerate(shape))
    return device.xp(dy).broadcast_to(dy.reshape(kept), shape)


def broadcastable_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether an array of this shape can be broadcast to the target's."""
    return broadcastable(shape, target) and np.broadcast_shapes(shape, target) == target


def broadcastable(*shapes: tuple[int, ...]) -> bool:
    """Whether arrays of these shapes can be broadcast to a common shape."""
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True
