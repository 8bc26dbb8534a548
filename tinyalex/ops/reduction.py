"""sum, mean and max over one axis, several, or all of them."""

import math

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function

Axis = int | tuple[int, ...] | None


def axes_of(op: str, axis: Axis, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes to reduce, counted from 0. A tensor of shape () has none, but lets axis 0 be named, as in torch."""
    if axis is None:
        return tuple(range(len(shape)))
    try:
        axes = tuple(
            range(len(shape) or 1)[a] for a in (axis if isinstance(axis, tuple) else (axis,))
        )
    except IndexError:
        raise ValueError(
            f"{op}: axis={axis} is no axis of a tensor of shape {shape}, which has {len(shape)} of them."
        ) from None
    if len(set(axes)) < len(axes):
        raise ValueError(f"{op}: axis={axis} names an axis of a tensor of shape {shape} twice.")
    return axes if shape else ()


def spread(dy: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """`dy`, a reduction's gradient with or without the reduced axes, repeated along them to `shape`."""
    kept = tuple(1 if i in axes else size for i, size in enumerate(shape))
    return device.xp(dy).broadcast_to(dy.reshape(kept), shape)


class Sum(Function):
    """y = the sum of x along `axis`. Each number of x gets the gradient of the sum it went into."""

    def forward(self, x: Array, *, axis: Axis, keepdims: bool) -> Array:
        self.shape, self.axes = x.shape, axes_of("sum", axis, x.shape)
        return x.sum(axis=self.axes, keepdims=keepdims)

    def backward(self, dy: Array) -> Array:
        return spread(dy, self.shape, self.axes)


class Mean(Function):
    """y = the sum of x along `axis` / count. dx = dy / count"""

    def forward(self, x: Array, *, axis: Axis, keepdims: bool) -> Array:
        if x.dtype.kind != "f":
            raise TypeError(
                f"mean: the tensor is {x.dtype}, but must be floating. Convert it: .astype('float32')."
            )
        self.shape, self.axes = x.shape, axes_of("mean", axis, x.shape)
        self.count = math.prod(x.shape[a] for a in self.axes)
        return device.asarray(x.sum(axis=self.axes, keepdims=keepdims)) / self.count

    def backward(self, dy: Array) -> Array:
        return spread(dy / self.count, self.shape, self.axes)


class Max(Function):
    """y = the largest number of x along `axis`. The gradient is shared evenly where several are largest (torch's amax does so)."""

    def forward(self, x: Array, *, axis: Axis, keepdims: bool) -> Array:
        self.axes = axes_of("max", axis, x.shape)
        if any(x.shape[a] == 0 for a in self.axes):
            raise ValueError(
                f"max: a tensor of shape {x.shape} has no numbers along axis={axis}, and so no largest one."
            )
        y = x.max(axis=self.axes, keepdims=True)
        self.won = x == y
        return (
            y
            if keepdims
            else y.reshape([size for i, size in enumerate(x.shape) if i not in self.axes])
        )

    def backward(self, dy: Array) -> Array:
        share = self.won / self.won.sum(axis=self.axes, keepdims=True)
        return spread(dy, self.won.shape, self.axes) * share.astype(dy.dtype)
