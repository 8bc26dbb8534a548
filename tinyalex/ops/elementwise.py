"""Functions of one variable: y = f(x) for each element, dx = dy * f'(x).

Each is a line of a table: f, and its derivative as a function of x or of y. Only this
one of the two arrays is stored for the backward pass.
"""

from collections.abc import Callable
from types import ModuleType

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function

Formula = Callable[[ModuleType, Array], Array]
"""A function of (xp, x) or (xp, y), where xp is NumPy or CuPy."""


class OfX(Function):
    """y = f(x).  dx = dy * derivative(x)"""

    f: Formula
    derivative: Formula

    def forward(self, x: Array) -> Array:
        self.x = x
        return self.f(device.xp(x), x)

    def backward(self, dy: Array) -> Array:
        return dy * self.derivative(device.xp(dy), self.x)


class OfY(OfX):
    """y = f(x).  dx = dy * derivative(y)"""

    def forward(self, x: Array) -> Array:
        self.y = self.f(device.xp(x), x)
        return self.y

    def backward(self, dy: Array) -> Array:
        return dy * self.derivative(device.xp(dy), self.y)


def in_x(name: str, f: Formula, derivative: Formula) -> type[OfX]:
    return _operation(name, OfX, f, derivative)


def in_y(name: str, f: Formula, derivative: Formula) -> type[OfX]:
    return _operation(name, OfY, f, derivative)


def _operation(name: str, base: type[OfX], f: Formula, derivative: Formula) -> type[OfX]:
    return type(name, (base,), {"f": staticmethod(f), "derivative": staticmethod(derivative)})


# fmt: off
#                          y = f(x)                           the derivative
Exp = in_y("Exp",          lambda xp, x: xp.exp(x),           lambda xp, y: y)
Log = in_x("Log",          lambda xp, x: xp.log(x),           lambda xp, x: 1 / x)
Log1p = in_x("Log1p",      lambda xp, x: xp.log1p(x),         lambda xp, x: 1 / (1 + x))
Sqrt = in_y("Sqrt",        lambda xp, x: xp.sqrt(x),          lambda xp, y: 0.5 / y)
Rsqrt = in_y("Rsqrt",      lambda xp, x: 1 / xp.sqrt(x),      lambda xp, y: -0.5 * y**3)
Square = in_x("Square",    lambda xp, x: x * x,               lambda xp, x: 2 * x)
Abs = in_x("Abs",          lambda xp, x: abs(x),              lambda xp, x: xp.sign(x))
Sin = in_x("Sin",          lambda xp, x: xp.sin(x),           lambda xp, x: xp.cos(x))
Cos = in_x("Cos",          lambda xp, x: xp.cos(x),           lambda xp, x: -xp.sin(x))
Sign = in_y("Sign",        lambda xp, x: xp.sign(x),          lambda xp, y: xp.zeros_like(y))
Floor = in_y("Floor",      lambda xp, x: xp.floor(x),         lambda xp, y: xp.zeros_like(y))
Ceil = in_y("Ceil",        lambda xp, x: xp.ceil(x),          lambda xp, y: xp.zeros_like(y))
Round = in_y("Round",      lambda xp, x: xp.round(x),         lambda xp, y: xp.zeros_like(y))
# fmt: on


class Tanh(OfY):
    """y = tanh(x).  dx = dy * (1 - y**2)"""

    f = staticmethod(lambda xp, x: xp.tanh(x))
    derivative = staticmethod(lambda xp, y: 1 - y * y)
