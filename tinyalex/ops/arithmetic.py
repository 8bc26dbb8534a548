"""Operations of two arrays or numbers, with broadcasting; where and clamp."""

import operator
from typing import Any

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.graph_tensor import Form
from tinyalex.ops.broadcasting import broadcastable, unbroadcast


class Binary(Function):
    """z = value(x, y), elementwise. A subclass defines `value(x, y)` and the gradients
    `dx(dz, x, y)` and `dy(dz, x, y)` in the shape of z."""

    value: Any
    dx: Any
    dy: Any
    is_linear = False
    """Whether the gradients do not depend on x and y, which are then not stored."""

    def forward(self, x: Any, y: Any) -> Array:
        self.x, self.y = (_form(x), _form(y)) if self.is_linear else (x, y)
        try:
            return self.value(x, y)
        except ValueError:
            shapes = device.asarray(x).shape, device.asarray(y).shape
            if broadcastable(*shapes):
                raise
            raise ValueError(
                f"{type(self).__name__}: shapes {shapes[0]} and {shapes[1]} do not broadcast. From "
                "the last axis on, sizes must be equal, or one of them 1 or missing. Reshape one "
                "of the two."
            ) from None

    def backward(self, dz: Array) -> tuple[Array | None, Array | None]:
        x, y = self.x, self.y
        want_dx, want_dy = self.needs_input_grad
        dx = unbroadcast(self.dx(dz, x, y), x) if want_dx else None
        dy = unbroadcast(self.dy(dz, x, y), y) if want_dy else None
        return dx, dy


class Add(Binary):
    """z = x + y"""

    value = staticmethod(operator.add)
    is_linear = True

    def dx(self, dz: Array, x: Any, y: Any) -> Array:
        return dz

    def dy(self, dz: Array, x: Any, y: Any) -> Array:
        return dz


class Subtract(Binary):
    """z = x - y"""

    value = staticmethod(operator.sub)
    is_linear = True

    def dx(self, dz: Array, x: Any, y: Any) -> Array:
        return dz

    def dy(self, dz: Array, x: Any, y: Any) -> Array:
        return -dz


class Multiply(Binary):
    """z = x * y"""

    value = staticmethod(operator.mul)

    def dx(self, dz: Array, x: Any, y: Any) -> Array:
        return dz * y

    def dy(self, dz: Array, x: Any, y: Any) -> Array:
        return dz * x


class Divide(Binary):
    """z = x / y"""

    value = staticmethod(operator.truediv)

    def dx(self, dz: Array, x: Any, y: Any) -> Array:
        return dz / y

    def dy(self, dz: Array, x: Any, y: Any) -> Array:
        return -dz * (x / y) / y  # y*y could overflow


class Power(Binary):
    """z = x ** y

    dx = dz * y * x**(y-1), and 0 where y is 0
    dy = dz * z * log(x), and 0 where x is 0 and y >= 0
    """

    value = staticmethod(operator.pow)

    def dx(self, dz: Array, x: Any, y: Any) -> Array:
        xp = device.xp(dz)
        if not device.is_array(y):
            return xp.zeros_like(dz) if y == 0 else dz * y * x ** (y - 1)
        return xp.where(y == 0, 0, dz * y * x ** (y - 1)).astype(dz.dtype, copy=False)

    def dy(self, dz: Array, x: Any, y: Any) -> Array:
        xp = device.xp(dz)
        grad = dz * x**y * xp.log(device.asarray(x, dz.dtype, like=dz))
        is_constant = (device.asarray(x, like=dz) == 0) & (y >= 0)
        return xp.where(is_constant, 0, grad).astype(dz.dtype, copy=False)


class Remainder(Binary):
    """z = x - floor(x / y) * y, which has the sign of y

    dx = dz
    dy = -dz * floor(x / y)
    """

    value = staticmethod(operator.mod)

    def dx(self, dz: Array, x: Any, y: Any) -> Array:
        return dz

    def dy(self, dz: Array, x: Any, y: Any) -> Array:
        return -dz * (x // y)


class Maximum(Binary):
    """z = the larger of x and y. Equal ones share the gradient evenly, as in torch.

    dx = dz where x > y, dz / 2 where x = y, else 0
    dy = dz - dx
    """

    def value(self, x: Any, y: Any) -> Array:
        return _library(x, y).maximum(x, y)

    def dx(self, dz: Array, x: Any, y: Any) -> Array:
        return dz * self.share(x > y, x == y).astype(dz.dtype)

    def dy(self, dz: Array, x: Any, y: Any) -> Array:
        return dz * self.share(y > x, x == y).astype(dz.dtype)

    @staticmethod
    def share(larger: Array, equal: Array) -> Array:
        return larger + 0.5 * equal


class Minimum(Maximum):
    """z = the smaller of x and y. The gradients are those of Maximum, with < for >."""

    def value(self, x: Any, y: Any) -> Array:
        return _library(x, y).minimum(x, y)

    def dx(self, dz: Array, x: Any, y: Any) -> Array:
        return super().dy(dz, x, y)

    def dy(self, dz: Array, x: Any, y: Any) -> Array:
        return super().dx(dz, x, y)


def without_gradient(name: str, value: Any) -> type[Binary]:
    """An operation without a gradient: its results are bools, or constant in steps."""
    return type(name, (Binary,), {"value": staticmethod(value)})


Equal = without_gradient("Equal", operator.eq)
NotEqual = without_gradient("NotEqual", operator.ne)
Less = without_gradient("Less", operator.lt)
LessEqual = without_gradient("LessEqual", operator.le)
Greater = without_gradient("Greater", operator.gt)
GreaterEqual = without_gradient("GreaterEqual", operator.ge)
And = without_gradient("And", operator.and_)
Or = without_gradient("Or", operator.or_)
Xor = without_gradient("Xor", operator.xor)
FloorDivide = without_gradient("FloorDivide", operator.floordiv)


class Where(Function):
    """z = x where the condition holds, else y

    dx = dz where the condition holds, else 0
    dy = dz - dx
    """

    def forward(self, condition: Array, x: Any, y: Any) -> Array:
        self.condition, self.x, self.y = condition, _form(x), _form(y)
        shapes = [device.asarray(a).shape for a in (condition, x, y)]
        if not broadcastable(*shapes):
            raise ValueError(
                f"where: shapes {shapes[0]}, {shapes[1]} and {shapes[2]} do not broadcast. From "
                "the last axis on, sizes must be equal, or 1 or missing. Reshape them."
            )
        return device.xp(condition).where(condition, x, y)

    def backward(self, dz: Array) -> tuple[None, Array | None, Array | None]:
        xp, (_, want_dx, want_dy) = device.xp(dz), self.needs_input_grad
        zero = xp.zeros((), dz.dtype)
        dx = unbroadcast(xp.where(self.condition, dz, zero), self.x) if want_dx else None
        dy = unbroadcast(xp.where(self.condition, zero, dz), self.y) if want_dy else None
        return None, dx, dy


class Clamp(Function):
    """y = x, limited to low ... high, of which one may be None

    dx = dy where low <= x <= high, else 0
    """

    def forward(self, x: Array, *, low: float | None, high: float | None) -> Array:
        self.inside = device.xp(x).ones(x.shape, bool)
        if low is not None:
            self.inside &= x >= low
        if high is not None:
            self.inside &= x <= high
        return device.xp(x).clip(x, low, high)

    def backward(self, dy: Array) -> Array:
        return dy * self.inside


class MatMul(Function):
    """z = x @ y: matrix multiplication over the last two axes; the others broadcast

    dx = dz @ y.T      dy = x.T @ dz

    As in NumPy, x may be a row vector (k,), and y a column vector (k,).
    """

    def forward(self, x: Array, y: Array) -> Array:
        self.x, self.y = x, y = device.asarray(x, like=y), device.asarray(y, like=x)
        try:
            return kernels.of(x).product(x, y)
        except ValueError:
            raise ValueError(
                f"MatMul: shapes {x.shape} and {y.shape} do not match. Expected "
                "(..., n, k) @ (..., k, m), where either may be a vector (k,). "
                "Transpose or reshape one of the two."
            ) from None

    def backward(self, dz: Array) -> tuple[Array | None, Array | None]:
        x, y = self.x, self.y
        if y.ndim == 1:
            y, dz = y[:, None], dz[..., None]
        if x.ndim == 1:
            x, dz = x[None, :], dz[..., None, :]
        (want_dx, want_dy), product = self.needs_input_grad, kernels.of(dz).product
        dx = unbroadcast(product(dz, y.swapaxes(-1, -2)), x) if want_dx else None
        dy = unbroadcast(product(x.swapaxes(-1, -2), dz), y) if want_dy else None
        return (
            None if dx is None else dx.reshape(self.x.shape),
            None if dy is None else dy.reshape(self.y.shape),
        )


def _form(x: Any) -> Any:
    """The form of an array; of a number None, which needs no gradient."""
    return Form.of(x) if device.is_array(x) else None


def _library(x: Any, y: Any) -> Any:
    """The array library of the one that is an array, or of both."""
    return device.xp(x if device.is_array(x) else y)
