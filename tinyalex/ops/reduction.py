"""sum, mean, variance, norm, max and min over one axis, several, or all; cumsum."""

import math
import operator
from typing import Any

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.ops.broadcasting import broadcast_back, sum_over


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


def check_floating(op: str, x: Array) -> None:
    """Raises TypeError for integers and bools."""
    if x.dtype.kind != "f":
        raise TypeError(
            f"{op}: the tensor is {x.dtype}, but must be floating. Convert it: .astype('float32')."
        )


class Sum(Function):
    """y = sum of x along `axis`.  dx = dy"""

    def forward(self, x: Array, *, axis: Any, keepdims: Any) -> Array:
        self.shape, self.axes = x.shape, axes_of("sum", axis, x.shape)
        if x.dtype.kind != "f":
            return x.sum(axis=self.axes, keepdims=keepdims)
        return sum_over(x, self.axes, keepdims)

    def backward(self, dy: Array) -> Array:
        return broadcast_back(dy, self.shape, self.axes)


class Mean(Function):
    """y = (sum of x along `axis`) / count.  dx = dy / count"""

    def forward(self, x: Array, *, axis: Any, keepdims: Any) -> Array:
        check_floating("mean", x)
        self.shape, self.axes = x.shape, axes_of("mean", axis, x.shape)
        self.count = _count(x.shape, self.axes)
        total = x.sum(axis=self.axes, keepdims=keepdims, dtype=device.sum_dtype(x.dtype))
        return (device.asarray(total) / self.count).astype(x.dtype, copy=False)

    def backward(self, dy: Array) -> Array:
        return broadcast_back(dy / self.count, self.shape, self.axes)


class Var(Function):
    """y = (sum of (x - mean)**2 along `axis`) / (count - correction)

    dx = dy * 2 * (x - mean) / (count - correction)

    A correction of 1 gives the unbiased estimate of a distribution's variance.
    """

    def forward(self, x: Array, *, axis: Any, keepdims: Any, correction: float) -> Array:
        check_floating(type(self).__name__.lower(), x)
        self.shape, self.axes = x.shape, axes_of(type(self).__name__.lower(), axis, x.shape)
        wide = device.sum_dtype(x.dtype)
        total = x.sum(axis=self.axes, keepdims=True, dtype=wide)
        self.centred = x - (total / max(1, _count(x.shape, self.axes))).astype(x.dtype, copy=False)
        self.count = max(0, _count(x.shape, self.axes) - correction)
        squares = self.centred * self.centred
        total = squares.sum(axis=self.axes, keepdims=keepdims, dtype=wide)
        return (device.asarray(total) / self.count).astype(x.dtype, copy=False)

    def backward(self, dy: Array) -> Array:
        return broadcast_back(2 * dy, self.shape, self.axes) * self.centred / self.count


class Std(Var):
    """y = the square root of Var.  dx = dy / (2*y) * (dx of Var), and 0 where y is 0"""

    def forward(self, x: Array, **options: Any) -> Array:
        self.y = device.xp(x).sqrt(super().forward(x, **options))
        return self.y

    def backward(self, dy: Array) -> Array:
        return super().backward(_divide_or_zero(dy, 2 * self.y))


class Norm(Function):
    """y = sqrt(sum of x**2 along `axis`).  dx = dy * x / y, and 0 where y is 0"""

    def forward(self, x: Array, *, axis: Any, keepdims: Any) -> Array:
        check_floating("norm", x)
        self.x, self.axes = x, axes_of("norm", axis, x.shape)
        wide = x.astype(device.sum_dtype(x.dtype), copy=False)
        y = device.xp(x).sqrt((wide * wide).sum(axis=self.axes, keepdims=keepdims))
        self.y = device.asarray(y).astype(x.dtype, copy=False)
        return self.y

    def backward(self, dy: Array) -> Array:
        return self.x * broadcast_back(_divide_or_zero(dy, self.y), self.x.shape, self.axes)


class PNorm(Function):
    """y = (sum of |x|**p along `axis`)**(1/p).  dx = dy * sign(x) * (|x| / y)**(p - 1),
    and 0 where x is 0"""

    def forward(self, x: Array, *, axis: Any, keepdims: Any, p: float) -> Array:
        check_floating("norm", x)
        self.x, self.axes, self.p = x, axes_of("norm", axis, x.shape), p
        wide = x.astype(device.sum_dtype(x.dtype), copy=False)
        y = (abs(wide) ** p).sum(axis=self.axes, keepdims=keepdims) ** (1 / p)
        self.y = device.asarray(y).astype(x.dtype, copy=False)
        return self.y

    def backward(self, dy: Array) -> Array:
        xp, x = device.xp(dy), self.x
        y = broadcast_back(self.y, x.shape, self.axes)
        share = xp.where(x == 0, 0, abs(_divide_or_zero(x, y)) ** (self.p - 1))
        dx = broadcast_back(dy, x.shape, self.axes) * xp.sign(x) * share
        return dx.astype(dy.dtype, copy=False)


class Max(Function):
    """y = max of x along `axis`.  dx = dy / (number of maxima) at the maxima, else 0

    Equal maxima share the gradient evenly, as in torch.amax.
    """

    name = "max"

    def forward(self, x: Array, *, axis: Any, keepdims: Any) -> Array:
        self.axes = axes_of(self.name, axis, x.shape)
        if any(x.shape[a] == 0 for a in self.axes):
            raise ValueError(
                f"{self.name}: a tensor of shape {x.shape} has no elements along axis={axis}, "
                f"and so no {self.name}imum."
            )
        y = getattr(x, self.name)(axis=self.axes, keepdims=True)
        self.is_max = x == y
        if keepdims:
            return y
        return y.reshape([size for i, size in enumerate(x.shape) if i not in self.axes])

    def backward(self, dy: Array) -> Array:
        share = self.is_max / self.is_max.sum(axis=self.axes, keepdims=True)
        return broadcast_back(dy, self.is_max.shape, self.axes) * share.astype(dy.dtype)


class Min(Max):
    """y = min of x along `axis`. The gradient is that of Max, at the minima."""

    name = "min"


class CumSum(Function):
    """y[i] = sum of x[j] for j <= i.  dx[j] = sum of dy[i] for i >= j, along `axis`"""

    def forward(self, x: Array, *, axis: int) -> Array:
        self.axis = axis
        return _cumulative_sum(x, axis).reshape(x.shape)

    def backward(self, dy: Array) -> Array:
        if dy.ndim == 0:
            return dy
        xp = device.xp(dy)
        return xp.flip(_cumulative_sum(xp.flip(dy, self.axis), self.axis), self.axis)


def _cumulative_sum(x: Array, axis: int) -> Array:
    """Of float16, computed in float32."""
    if x.dtype.kind != "f":
        return x.cumsum(axis=axis)
    return x.cumsum(axis=axis, dtype=device.sum_dtype(x.dtype)).astype(x.dtype, copy=False)


def _count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    """The number of elements that are reduced to one."""
    return math.prod(shape[a] for a in axes)


def _divide_or_zero(a: Array, b: Array) -> Array:
    return device.xp(b).where(b == 0, 0, a / b).astype(a.dtype, copy=False)
