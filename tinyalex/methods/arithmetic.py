"""Operators, comparisons, and functions of single elements."""

import operator
from collections.abc import Callable
from typing import Any, Self

from tinyalex import device as devices
from tinyalex import ops
from tinyalex.function import Function
from tinyalex.graph_tensor import GraphTensor
from tinyalex.methods.results import binary, constant, python_number
from tinyalex.modes import is_grad_enabled, no_grad

Method = Callable[[Any, Any], Any]


def _operators(op: type[Function]) -> tuple[Method, Method]:
    """The methods that compute `self op other` and `other op self`."""

    def method(self: GraphTensor, other: Any) -> Any:
        _check_not_text(op, other)
        return binary(op, self, other)

    def reflected(self: GraphTensor, other: Any) -> Any:
        _check_not_text(op, other)
        return binary(op, other, self)

    return method, reflected


def _check_not_text(op: type[Function], other: Any) -> None:
    if isinstance(other, (str, bytes)):  # Python would repeat a text x times
        raise TypeError(
            f"{op.__name__}: unsupported operand, expected a tensor, an array or a number, got a "
            f"{type(other).__name__}."
        )


def _comparison(symbol: str, op: type[Function]) -> Method:
    """The method that compares each element, and returns a tensor of bools."""

    def method(self: GraphTensor, other: Any) -> Any:
        with no_grad():
            result = binary(op, self, other)
        if result is NotImplemented:
            # Python would answer False to ==, without a message.
            raise TypeError(
                f"{symbol}: a tensor can be compared with tensors, arrays and numbers, not with a "
                f"{type(other).__name__}. Use `is` to ask for the same object, or for None."
            )
        return result

    return method


def _without_gradient(op: type[Function]) -> tuple[Method, Method]:
    """As `_operators`, for operations whose results have no gradient."""
    return tuple(no_grad()(method) for method in _operators(op))  # type: ignore[return-value]


def _in_place(operation: Method) -> Method:
    """`x += y` is x = x + y; but for a parameter within no_grad, it changes `.data`."""

    def method(self: GraphTensor, other: Any) -> Any:
        result = operation(self, other)
        if is_grad_enabled() or not self.requires_grad or self.creator is not None:
            return result
        if result.shape != self.shape:
            raise ValueError(
                f"in-place update: a result of shape {result.shape} does not fit into the tensor "
                f"of shape {self.shape}. Reduce the other operand."
            )
        self.data = result.data.astype(self.dtype, copy=False)
        return self

    return method


def _named(operation: Method) -> Method:
    """A method of the same meaning as an operator, with its errors: x.mul(y)."""

    def method(self: GraphTensor, other: Any) -> Any:
        return operation(self, other)

    return _documented(method, operation.__name__, operation.__doc__)


def _function(op: type[Function]) -> Callable[[Any], Any]:
    """A method without arguments: x.exp()."""

    def method(self: GraphTensor) -> Any:
        return op.apply(self)

    return _documented(method, op.__name__.lower(), op.__doc__)


def _documented(method: Callable[..., Any], name: str, doc: str | None) -> Callable[..., Any]:
    method.__name__, method.__qualname__, method.__doc__ = name, f"Tensor.{name}", doc
    return method


def _larger_or_smaller(op: type[Function]) -> Method:
    def method(self: GraphTensor, other: Any) -> Any:
        result = binary(op, self, other)
        if result is NotImplemented:
            raise TypeError(
                f"{method.__name__}: expected a tensor, an array or a number, got a "
                f"{type(other).__name__}."
            )
        return result

    doc = "The larger (or smaller) of two elements. Equal ones share the gradient."
    return _documented(method, op.__name__.lower(), doc)


class Arithmetic(GraphTensor):
    __add__, __radd__ = _operators(ops.Add)
    __sub__, __rsub__ = _operators(ops.Subtract)
    __mul__, __rmul__ = _operators(ops.Multiply)
    __truediv__, __rtruediv__ = _operators(ops.Divide)
    __pow__, __rpow__ = _operators(ops.Power)
    __mod__, __rmod__ = _operators(ops.Remainder)
    __matmul__, __rmatmul__ = _operators(ops.MatMul)
    __floordiv__, __rfloordiv__ = _without_gradient(ops.FloorDivide)

    __iadd__ = _in_place(operator.add)
    __isub__ = _in_place(operator.sub)
    __imul__ = _in_place(operator.mul)
    __itruediv__ = _in_place(operator.truediv)
    __ifloordiv__ = _in_place(operator.floordiv)
    __imod__ = _in_place(operator.mod)
    __ipow__ = _in_place(operator.pow)

    __eq__ = _comparison("==", ops.Equal)
    __ne__ = _comparison("!=", ops.NotEqual)
    __lt__ = _comparison("<", ops.Less)
    __le__ = _comparison("<=", ops.LessEqual)
    __gt__ = _comparison(">", ops.Greater)
    __ge__ = _comparison(">=", ops.GreaterEqual)
    __hash__ = GraphTensor.__hash__  # by identity: tensors are keys of dicts

    __and__, __rand__ = _without_gradient(ops.And)
    __or__, __ror__ = _without_gradient(ops.Or)
    __xor__, __rxor__ = _without_gradient(ops.Xor)

    sub, mul, div = map(_named, (operator.sub, operator.mul, operator.truediv))
    pow, remainder, matmul = map(_named, (operator.pow, operator.mod, operator.matmul))
    eq, ne, lt = map(_named, (operator.eq, operator.ne, operator.lt))
    le, gt, ge = map(_named, (operator.le, operator.gt, operator.ge))
    mm = bmm = mv = dot = matmul

    def add(self, other: Any, *, alpha: float = 1) -> Any:
        """self + alpha * other"""
        return self + (other if alpha == 1 else other * alpha)

    def __pos__(self) -> Any:
        return self

    def __neg__(self) -> Any:
        if self.dtype == bool:
            raise TypeError("-: not defined for a bool tensor. Convert it: -x.astype('float32').")
        return self * -1

    def __invert__(self) -> Any:
        """The opposite of each bool; of integers, the opposite of each bit."""
        return constant(self, operator.invert)

    exp, log, log1p = map(_function, (ops.Exp, ops.Log, ops.Log1p))
    sqrt, rsqrt, square = map(_function, (ops.Sqrt, ops.Rsqrt, ops.Square))
    abs, sign = map(_function, (ops.Abs, ops.Sign))
    sin, cos, tanh = map(_function, (ops.Sin, ops.Cos, ops.Tanh))
    floor, ceil, round = map(_function, (ops.Floor, ops.Ceil, ops.Round))
    maximum, minimum = map(_larger_or_smaller, (ops.Maximum, ops.Minimum))
    __abs__, neg = abs, __neg__

    def logical_and(self, other: Any) -> Any:
        """Whether both elements are True, or not zero."""
        return (self != 0) & _is_nonzero(other, self)

    def logical_or(self, other: Any) -> Any:
        """Whether one of two elements is True, or not zero."""
        return (self != 0) | _is_nonzero(other, self)

    def logical_not(self) -> Any:
        """Whether the element is False, or zero."""
        return self == 0

    def clamp(self, min: Any = None, max: Any = None) -> Any:
        """The elements, limited to min ... max: numbers, or None for no limit."""
        min, max = python_number(min), python_number(max)
        for name, limit in (("min", min), ("max", max)):
            if not isinstance(limit, (int, float, type(None))):
                raise TypeError(
                    f"clamp: limits must be numbers or None, got a {type(limit).__name__} for "
                    f"{name}. For tensors, use ta.{'maximum' if name == 'min' else 'minimum'}."
                )
        if min is None and max is None:
            raise ValueError("clamp: give min, max or both.")
        return ops.Clamp.apply(self, low=min, high=max)

    clip = clamp

    def masked_fill(self, mask: Any, value: Any) -> Any:
        """`value`, a number, where the mask is True, the tensor elsewhere."""
        value = python_number(value)
        if isinstance(value, float) and self.dtype.kind != "f" and not value.is_integer():
            raise TypeError(
                f"masked_fill: expected an integer for a tensor of {self.dtype}, got {value}. "
                "Convert the tensor: x.float()."
            )
        if isinstance(value, (int, float)):
            value = constant(self, lambda x: devices.xp(x).full((), value, x.dtype))
        elif not isinstance(value, GraphTensor) or value.data.ndim:
            raise TypeError(
                "masked_fill: value must be a number or a tensor of shape (). For other tensors, "
                "use ta.where(mask, value, x)."
            )
        return ops.Where.apply(mask, value, self)

    def isnan(self) -> Self:
        return constant(self, lambda x: devices.xp(x).isnan(x))

    def isinf(self) -> Self:
        return constant(self, lambda x: devices.xp(x).isinf(x))

    def isfinite(self) -> Self:
        return constant(self, lambda x: devices.xp(x).isfinite(x))

    def isclose(
        self, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
    ) -> Self:
        """Whether |self - other| <= atol + rtol * |other|."""
        if rtol < 0 or atol < 0:
            raise ValueError(f"isclose: tolerances must not be negative, got {rtol} and {atol}.")
        y = other.data if isinstance(other, GraphTensor) else other
        return constant(self, lambda x: devices.xp(x).isclose(x, y, rtol, atol, equal_nan))

    def allclose(
        self, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
    ) -> bool:
        """Whether `isclose` holds for all elements."""
        return bool(self.isclose(other, rtol, atol, equal_nan).data.all())

    def equal(self, other: Any) -> bool:
        """Whether shapes and all elements are equal."""
        if not isinstance(other, GraphTensor):
            other = self.result_class(other, device=devices.of(self.data))
        return self.shape == other.data.shape and bool((self == other).data.all())


def _is_nonzero(x: Any, like: GraphTensor) -> Any:
    return (like.result_class(x) if isinstance(x, (list, tuple)) else x) != 0
