"""sum, mean and max over one axis, several, or all of them."""

import math
import operator
from typing import Any

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.ops.broadcasting import broadcast_back


def axis_of(op: str, name: str, axis: Any, shape: tuple[int, ...]) -> int:
    """`axis` of `shape`, as a non-negative integer. () has an axis 0, as in torch."""
    ndim = len(shape) or 1
    try:
        return range(ndim)[operator.index(axis)]
    except IndexError:
        raise ValueError(
            f"{op}: {name}={axis} is out of range for a tensor of shape {shape}. "
            f"Use {-ndim} to {ndim - 1}."
        ) from None
    except TypeError:
        raise TypeError(f"{op}: {name} must be an integer, got {axis!r}.") from None


def axes_of(op: str, axis: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes to reduce, as non-negative integers: one, several, or all if None."""
    if axis is None:
        return tuple(range(len(shape)))
    several = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(axis_of(op, "axis", a, shape) for a in several)
    if len(set(axes)) < len(axes):
        raise ValueError(
            f"{op}: axis={axis} names an axis of a tensor of shape {shape} twice. Name each once."
        )
    return axes if shape else ()


class Sum(Function):
    """y = sum of x along `axis`.  dx = dy"""

    def forward(self, x: Array, *, axis: Any, keepdims: Any) -> Array:
        self.shape, self.axes = x.shape, axes_of("sum", axis, x.shape)
        return x.sum(axis=self.axes, keepdims=keepdims)

    def backward(self, dy: Array) -> Array:
        return broadcast_back(dy, self.shape, self.axes)


class Mean(Function):
    """y = (sum of x along `axis`) / count.  dx = dy / count"""

    def forward(self, x: Array, *, axis: Any, keepdims: Any) -> Array:
        if x.dtype.kind != "f":
            raise TypeError(
                f"mean: the tensor is {x.dtype}, but must be floating. "
                "Convert it: .astype('float32')."
            )
        self.shape, self.axes = x.shape, axes_of("mean", axis, x.shape)
        self.count = math.prod(x.shape[a] for a in self.axes)
        return device.asarray(x.sum(axis=self.axes, keepdims=keepdims)) / self.count

    def backward(self, dy: Array) -> Array:
        return broadcast_back(dy / self.count, self.shape, self.axes)


class Max(Function):
    """y = max of x along `axis`.  dx = dy / (number of maxima) at the maxima, else 0

    Equal maxima share the gradient evenly, as in torch.amax.
    """

    def forward(self, x: Array, *, axis: Any, keepdims: Any) -> Array:
        self.axes = axes_of("max", axis, x.shape)
        if any(x.shape[a] == 0 for a in self.axes):
            raise ValueError(
                f"max: a tensor of shape {x.shape} has no elements along axis={axis}, "
                "and so no maximum."
            )
        y = x.max(axis=self.axes, keepdims=True)
        self.is_max = x == y
        if keepdims:
            return y
        return y.reshape([size for i, size in enumerate(x.shape) if i not in self.axes])

    def backward(self, dy: Array) -> Array:
        share = self.is_max / self.is_max.sum(axis=self.axes, keepdims=True)
        return broadcast_back(dy, self.is_max.shape, self.axes) * share.astype(dy.dtype)
