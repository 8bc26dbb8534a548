"""Tensor: an array, its gradient, and the Function that made it."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyalex import device as devices
from tinyalex import function, ops
from tinyalex.device import Array
from tinyalex.function import Function, GraphTensor

GradHook = Callable[[Array], Array | None]
Operator = Callable[["Tensor", Any], "Tensor"]


def _operators(op: type[Function]) -> tuple[Operator, Operator]:
    """The methods that compute `self op other` and `other op self`."""

    def method(self: "Tensor", other: Any) -> "Tensor":
        return _binary(op, self, other)

    def reflected(self: "Tensor", other: Any) -> "Tensor":
        return _binary(op, other, self)

    return method, reflected


class Tensor(GraphTensor):
    """An array with a gradient and the graph of operations that computed it.

    array          Python numbers and lists become float32; an array keeps its dtype and
                   is copied only to another device or from the other byte order
    requires_grad  whether `backward` computes `.grad`; floating dtypes only
    device         "cpu", "cuda" or "cuda:1"; if None, tensors and GPU arrays stay on
                   their device, other values are copied to `device.default()`

    `.data` is the array, `.grad` an array of the same shape and dtype, or None.
    Arithmetic promotes dtypes as NumPy does. Derivatives are first order only.

    >>> x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([[2., 4.],
           [6., 8.]], dtype=float32)
    """

    __array_ufunc__ = None  # ndarray + Tensor calls Tensor.__radd__, not once per element

    def __init__(self, array: Any, requires_grad: bool = False, device: str | None = None) -> None:
        source = array.data if isinstance(array, Tensor) else array
        data = devices.asarray(source) if devices.is_array(source) else _from_python(source)
        if data.dtype.kind not in "fiub":
            raise TypeError(
                f"Tensor: {data.dtype} is not supported, expected a floating, integer or bool "
                "dtype. Convert the array first; of complex numbers, give real and imaginary parts."
            )
        if device is not None:
            if device != devices.of(data):
                data = devices.to(data, devices.check(device))
        elif not isinstance(array, Tensor) and devices.of(data) == "cpu":
            data = devices.to(data, devices.default())
        if requires_grad and data.dtype.kind != "f":
            raise TypeError(
                f"Tensor: requires_grad=True needs a floating dtype, got {data.dtype}. "
                "Convert the array first: array.astype('float32')."
            )
        self._data: Array = data
        self.version = 0
        self.grad: Array | None = None
        self.requires_grad = requires_grad
        self.creator: Function | None = None
        self.hooks: list[GradHook] = []

    # Properties

    @property
    def data(self) -> Array:
        """The array.

        Assignments, also `x.data -= 1`, increment `.version`, as do optimizers.
        `backward` raises RuntimeError if the version of a tensor that needs a gradient
        is another than in the forward pass: operations may have stored the array.

        Not detected are changes of elements: `x.data[0] = 1`, `np.add(x.data, 1,
        out=x.data)`, or through other arrays and tensors that share memory, such as
        those of `numpy()` and `detach()`; nor any change of a tensor that needs no
        gradient, such as a batch of images. Increment `x.version` after such a change.
        """
        return self._data

    @data.setter
    def data(self, array: Array) -> None:
        # Replacing the array of a result does no harm: the graph keeps its own.
        if self.creator is None or array is self._data:
            self.version += 1
        self._data = array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def device(self) -> str:
        return devices.of(self.data)

    @property
    def result_class(self) -> "type[Tensor]":
        """The class of an operation's output, also for a subclass such as Parameter."""
        return Tensor

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        name = type(self).__name__
        values = np.array2string(self.numpy(), separator=", ", prefix=f"{name}(")
        origin = ", requires_grad=True" if self.requires_grad else ""
        if self.creator is not None:
            origin = f", creator={type(self.creator).__name__}"
        return f"{name}({values}, dtype={self.dtype}{origin})"

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.item())

    def item(self) -> float:
        """The only element, as a Python number. Raises ValueError if there are more."""
        if self.size != 1:
            raise ValueError(
                f"item(): expected one element, got a tensor of shape {self.shape}. "
                "Reduce it first, or use .numpy()."
            )
        return self.data.item()

    def numpy(self) -> np.ndarray:
        """The data as a C-contiguous NumPy array, which may share memory with it."""
        return devices.to_numpy(self.data)

    # The graph

    def backward(self, grad: "Tensor | Array | None" = None, retain_graph: bool = False) -> None:
        """Add the gradient of sum(self * grad) to the `.grad` of each leaf.

        grad          array (or tensor) of this tensor's shape; by default 1, for a
                      tensor of one element
        retain_graph  keep the graph for a second backward()
        """
        if not self.requires_grad:
            raise RuntimeError(
                "backward: this tensor needs no gradient: no input had requires_grad=True, or "
                "it was computed within no_grad()."
            )
        with devices.on_device_of(self.data):
            if grad is None:
                if self.size != 1:
                    raise ValueError(
                        f"backward: expected a tensor of one element, got shape {self.shape}. "
                        "Reduce it, as in y.sum().backward(), or pass grad=, an array of its shape."
                    )
                dy = devices.asarray(devices.xp(self.data).ones_like(self.data))
            else:
                given = grad if isinstance(grad, Tensor) else Tensor(grad, device=self.device)
                dy = devices.asarray(given.data, self.dtype)
            devices.common("backward: grad", [self.data, dy])
            if dy.shape != self.shape:
                raise ValueError(
                    f"backward: grad has shape {dy.shape}, but the tensor has shape "
                    f"{self.shape}. Give it the same shape."
                )
            dy = dy.copy() if self.creator is None else dy
        function.backward(self, dy, retain_graph)

    def accumulate_grad(self, grad: Array) -> None:
        """Pass a leaf's complete gradient through the hooks, then add it to `.grad`."""
        with devices.on_device_of(grad):
            for hook in list(self.hooks):
                changed = hook(grad)
                if changed is not None:
                    changed = devices.asarray(changed) if devices.is_array(changed) else changed
                    _check_hook_result(changed, grad)
                    grad = changed
            self.grad = grad if self.grad is None else devices.asarray(self.grad + grad)

    def register_hook(self, fn: GradHook) -> Callable[[], None]:
        """Call `fn(gradient)` once per backward pass, when the gradient is complete.

        An array that `fn` returns replaces the gradient. Returns a function that
        removes the hook. Raises ValueError for a tensor that is not a leaf.
        """
        if self.creator is not None or not self.requires_grad:
            raise ValueError(
                "register_hook: expected a leaf with requires_grad=True; other tensors have no "
                "gradient."
            )
        self.hooks.append(fn)
        return lambda: self.hooks.remove(fn)

    def detach(self) -> "Tensor":
        """A tensor with the same array, without the graph."""
        return Tensor(self)

    def to(self, device: str) -> "Tensor":
        """The tensor on `device`, itself if it is there. Its gradient is moved back."""
        name = devices.check(device)
        return self if name == self.device else ops.Move.apply(self, device=name)

    def astype(self, dtype: Any) -> "Tensor":
        """The tensor in another dtype. Gradients pass between floating dtypes only."""
        dtype = np.dtype(dtype).newbyteorder("=")
        if dtype.kind == "f":
            return ops.Cast.apply(self, dtype=dtype)
        with devices.on_device_of(self.data):
            return Tensor(self.data.astype(dtype), device=self.device)

    # Arithmetic

    __add__, __radd__ = _operators(ops.Add)
    __sub__, __rsub__ = _operators(ops.Subtract)
    __mul__, __rmul__ = _operators(ops.Multiply)
    __truediv__, __rtruediv__ = _operators(ops.Divide)
    __pow__, __rpow__ = _operators(ops.Power)
    __matmul__, __rmatmul__ = _operators(ops.MatMul)

    def __neg__(self) -> "Tensor":
        if self.dtype == bool:
            raise TypeError("-: not defined for a bool tensor. Convert it: -x.astype('float32').")
        return self * -1

    def exp(self) -> "Tensor":
        return ops.Exp.apply(self)

    def log(self) -> "Tensor":
        return ops.Log.apply(self)

    def tanh(self) -> "Tensor":
        return ops.Tanh.apply(self)

    # Reductions: axis is an integer, a tuple of integers, or None for all axes

    def sum(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        return ops.Sum.apply(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        return ops.Mean.apply(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        """The maximum. Equal maxima share the gradient evenly."""
        return ops.Max.apply(self, axis=axis, keepdims=keepdims)

    # Shape

    def reshape(self, *shape: Any) -> "Tensor":
        """The same elements, in C order: `reshape(2, 3)` or `reshape((2, -1))`."""
        return ops.Reshape.apply(self, shape=_integers(shape))

    def transpose(self, *axes: Any) -> "Tensor":
        """Axis i of the result is axis axes[i] of this tensor; reversed by default."""
        return ops.Transpose.apply(self, axes=_integers(axes) if axes else None)

    @property
    def T(self) -> "Tensor":  # noqa: N802 - NumPy's name
        return self.transpose()

    def __getitem__(self, index: Any) -> "Tensor":
        return ops.Index.apply(self, index=_without_tensors(index))


def as_tensor(x: Any) -> Tensor:
    """`x` itself if it is a tensor, else Tensor(x)."""
    return x if isinstance(x, Tensor) else Tensor(x)


def _from_python(values: Any) -> Array:
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":  # NumPy would convert "1" to 1.0, and None to NaN
            raise TypeError(f"its dtype would be {array.dtype}")
        return array.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise type(error)(
            "Tensor: expected a number, a regular nested list of numbers, or an array, "
            f"got {values!r} ({error})."
        ) from None


def _check_hook_result(changed: Any, grad: Array) -> None:
    is_array = devices.is_array(changed)
    if not is_array or (changed.shape, changed.dtype) != (grad.shape, grad.dtype):
        got = f"{changed.dtype} {changed.shape}" if is_array else f"a {type(changed).__name__}"
        raise ValueError(
            f"register_hook: the hook must return None, or an array {grad.dtype} {grad.shape} "
            f"that replaces the gradient, got {got}."
        )


def _binary(op: type[Function], x: Any, y: Any) -> Any:
    """`op` on two operands. Python numbers do not change the dtype of the result."""
    for operand in (x, y):
        known = isinstance(operand, (Tensor, int, float, list, tuple))
        if not known and not devices.is_array(operand):
            return NotImplemented
    device = (x if isinstance(x, Tensor) else y).device
    return op.apply(_operand(x, device), _operand(y, device))


def _operand(x: Any, device: str) -> Any:
    """Lists become tensors on the other operand's device; arrays, Tensor(x)."""
    if isinstance(x, (list, tuple)):
        return Tensor(x, device=device)
    return as_tensor(x) if devices.is_array(x) and x.shape else x


def _integers(arguments: tuple) -> tuple[int, ...]:
    """The integers of f(2, 3) or f((2, 3))."""
    if len(arguments) == 1 and isinstance(arguments[0], (tuple, list)):
        (arguments,) = arguments
    return tuple(map(operator.index, arguments))


def _without_tensors(index: Any) -> Any:
    if isinstance(index, Tensor):
        return index.data
    return tuple(map(_without_tensors, index)) if isinstance(index, tuple) else index
