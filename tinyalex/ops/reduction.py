"""sum, mean and max over one axis, several, or all of them."""

import math

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function

Axis = int | tuple[int, ...] | None


def spread(dy: Array, shape: tuple[int, ...], axis: Axis) -> Array:
    """`dy`, a reduction's gradient with or without the reduced axes, repeated along them to `shape`."""
    xp = device.xp(dy)
    return xp.broadcast_to(dy.reshape(_kept(shape, axis)), shape)


def _kept(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """`shape` with 1 for each reduced axis: what keepdims=True gives."""
    reduced = _reduced(shape, axis)
    return tuple(1 if i in reduced else size for i, size in enumerate(shape))


def _reduced(shape: tuple[int, ...], axis: Axis) -> set[int]:
    if axis is None:
        return set(range(len(shape)))
    return {a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))}


class Sum(Function):
    """y = the sum of x along `axis`. Each number of x gets the gradient of the sum it went into."""

    def forward(self, x: Array, *, axis: Axis, keepdims: bool) -> Array:
        self.shape, self.axis = x.shape, axis
        return x.sum(axis=axis, keepdims=keepdims)

    def backward(self, dy: Array) -> Array:
        return spread(dy, self.shape, self.axis)


class Mean(Function):
    """y = the sum of x along `axis` / count. dx = dy / count"""

    def forward(self, x: Array, *, axis: Axis, keepdims: bool) -> Array:
        self.shape, self.axis = x.shape, axis
        self.count = math.prod(x.shape[a] for a in _reduced(x.shape, axis))
        return x.mean(axis=axis, keepdims=keepdims)

    def backward(self, dy: Array) -> Array:
        return spread(dy / self.count, self.shape, self.axis) if self.count else spread(dy, self.shape, self.axis)


class Max(Function):
    """y = the largest number of x along `axis`. The gradient is shared evenly where several are largest (torch's amax does so)."""

    def forward(self, x: Array, *, axis: Axis, keepdims: bool) -> Array:
        self.axis = axis
        y = x.max(axis=axis, keepdims=True)
        self.won = (x == y) | (x != x)
        return y if keepdims else y.reshape([s for i, s in enumerate(x.shape) if i not in _reduced(x.shape, axis)])

    def backward(self, dy: Array) -> Array:
        share = self.won / self.won.sum(axis=self.axis, keepdims=True)
        return spread(dy, self.won.shape, self.axis) * share.astype(dy.dtype)
