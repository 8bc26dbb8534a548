"""Tensor: an array, its gradient, and the Function that made it."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyalex import device as devices
from tinyalex import function, ops
from tinyalex.device import Array
from tinyalex.function import Function, GraphTensor


class Tensor(GraphTensor):
    """An array that remembers how it was made.

    array          Python numbers and lists become float32; an array keeps its dtype and is not copied, unless it has to move
    requires_grad  whether `backward` fills `.grad`; floating dtypes only
    device         "cpu", "cuda" or "cuda:1"; None: where a GPU's array lies, else the default device, which is the CPU unless
                   `device.set_default` has said another

    `.data` is the array, `.grad` an array of the same shape and dtype, or None. Arithmetic promotes dtypes as NumPy does. Derivatives
    are first order, and editing `.data` in place behind the graph's back is not noticed.

    >>> x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([[2., 4.],
           [6., 8.]], dtype=float32)
    """

    __array_ufunc__ = (
        None  # ndarray + Tensor asks Tensor.__radd__ instead of looping over the elements
    )

    def __init__(self, array: Any, requires_grad: bool = False, device: str | None = None) -> None:
        numbers = array.data if isinstance(array, Tensor) else array
        self.data: Array = (
            devices.asarray(numbers) if devices.is_array(numbers) else _from_python(numbers)
        )
        if self.data.dtype.kind not in "fiub":
            raise TypeError(
                f"Tensor: {self.data.dtype} is not supported. tinyalex computes with real numbers: floating (float32 to learn), whole, or "
                "bool. Of complex numbers, give the real and imaginary parts."
            )
        if device is not None and device != self.device:
            self.data = devices.to(self.data, devices.check(device))
        elif (
            device is None
            and not isinstance(array, Tensor)
            and self.device == "cpu" != devices.default()
        ):
            self.data = devices.to(self.data, devices.default())
        self.grad: Array | None = None
        self.creator: Function | None = None
        self.hooks: list[Callable[[Array], Array | None]] = []
        if requires_grad and self.data.dtype.kind != "f":
            raise TypeError(
                f"Tensor: requires_grad=True needs a floating dtype, got {self.dtype}. Convert the array first: array.astype('float32')."
            )
        self.requires_grad = requires_grad

    # What it is

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
        """What an operation on this tensor makes: a Tensor, also where a subclass such as Parameter goes in."""
        return Tensor

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len(): a tensor of shape () is one number and has no length.")
        return len(self.data)

    def __repr__(self) -> str:
        numbers = np.array2string(devices.to_numpy(self.data), separator=", ", prefix="Tensor(")
        made_by = (
            f", made by {type(self.creator).__name__}"
            if self.creator
            else ", requires_grad=True"
            if self.requires_grad
            else ""
        )
        return f"Tensor({numbers}, dtype={self.dtype}{made_by})"

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.item())

    def item(self) -> float:
        """The one number in it, as a Python number. ValueError if there are more."""
        if self.size != 1:
            raise ValueError(
                f"item(): expected one number, got a tensor of shape {self.shape}. Reduce it first, or use .numpy()."
            )
        return self.data.item()

    def numpy(self) -> np.ndarray:
        """The numbers as a C-contiguous NumPy array. It may share memory with the tensor."""
        return devices.to_numpy(self.data)

    # The graph

    def backward(self, grad: Array | None = None, retain_graph: bool = False) -> None:
        """Add the derivative of this tensor, weighted by `grad`, to `.grad` of every leaf it was made from.

        grad          array (or tensor) of this tensor's shape; may be left out where that is one number, and is then 1
        retain_graph  keep what a second backward() through the same operations needs
        """
        if not self.requires_grad:
            raise RuntimeError(
                "backward: nothing this tensor was made from has requires_grad=True, so there is no gradient to compute."
            )
        if grad is None:
            if self.size != 1:
                raise ValueError(
                    f"backward: a tensor of shape {self.shape} is not one number. Reduce it, as in y.sum().backward(), "
                    "or pass grad=, an array of its shape to weight its elements with."
                )
            with devices.on_device_of(self.data):
                grad = devices.xp(self.data).ones_like(self.data)
        grad = devices.asarray(as_tensor(grad).data, self.dtype)
        devices.common("backward: grad", [self.data, grad])
        if grad.shape != self.shape:
            raise ValueError(
                f"backward: grad has shape {grad.shape}, but the tensor has shape {self.shape}. Give it the same shape."
            )
        with devices.on_device_of(grad):
            grad = grad.copy() if self.creator is None else grad
        function.backward(self, grad, retain_graph)

    def accumulate_grad(self, grad: Array) -> None:
        """Take in a complete gradient of this leaf: call the hooks, then add it to what earlier backward passes left in `.grad`."""
        for hook in list(self.hooks):
            changed = hook(grad)
            if changed is None:
                continue
            if not devices.is_array(changed) or (changed.shape, changed.dtype) != (
                grad.shape,
                grad.dtype,
            ):
                got = (
                    f"{changed.dtype} {changed.shape}"
                    if devices.is_array(changed)
                    else f"a {type(changed).__name__}"
                )
                raise ValueError(
                    f"a gradient's hook must return None or an array {grad.dtype} {grad.shape} in its place, got {got}."
                )
            grad = devices.asarray(changed)
        with devices.on_device_of(grad):
            self.grad = grad if self.grad is None else devices.asarray(self.grad + grad)

    def register_hook(self, fn: Callable[[Array], Array | None]) -> Callable[[], None]:
        """Call `fn(gradient)` once in each backward pass, when this leaf's gradient is complete.

        What `fn` returns takes the gradient's place, unless it is None. ValueError for a tensor that is not a leaf. Returns a function
        that takes the hook away again.
        """
        if self.creator is not None or not self.requires_grad:
            raise ValueError(
                "register_hook: only a leaf with requires_grad=True collects a gradient that a hook can see."
            )
        self.hooks.append(fn)
        return lambda: self.hooks.remove(fn)

    def detach(self) -> "Tensor":
        """The same array without its history."""
        return Tensor(self)

    def to(self, device: str) -> "Tensor":
        """This tensor on a device: itself, if it lies there already. The gradient comes back to where the tensor was."""
        name = devices.check(device)
        return self if name == self.device else ops.Move.apply(self, device=name)

    def astype(self, dtype: Any) -> "Tensor":
        """The tensor in another dtype. Gradients come back through it between floating dtypes only."""
        dtype = np.dtype(dtype)
        if dtype.kind != "f":
            with devices.on_device_of(self.data):
                return Tensor(self.data.astype(dtype), device=self.device)
        return ops.Cast.apply(self, dtype=dtype)

    # Arithmetic

    def __add__(self, other: Any) -> "Tensor":
        return _binary(ops.Add, self, other)

    def __sub__(self, other: Any) -> "Tensor":
        return _binary(ops.Subtract, self, other)

    def __mul__(self, other: Any) -> "Tensor":
        return _binary(ops.Multiply, self, other)

    def __truediv__(self, other: Any) -> "Tensor":
        return _binary(ops.Divide, self, other)

    def __pow__(self, other: Any) -> "Tensor":
        return _binary(ops.Power, self, other)

    def __matmul__(self, other: Any) -> "Tensor":
        return _binary(ops.MatMul, self, other)

    def __radd__(self, other: Any) -> "Tensor":
        return _binary(ops.Add, other, self)

    def __rsub__(self, other: Any) -> "Tensor":
        return _binary(ops.Subtract, other, self)

    def __rmul__(self, other: Any) -> "Tensor":
        return _binary(ops.Multiply, other, self)

    def __rtruediv__(self, other: Any) -> "Tensor":
        return _binary(ops.Divide, other, self)

    def __rpow__(self, other: Any) -> "Tensor":
        return _binary(ops.Power, other, self)

    def __rmatmul__(self, other: Any) -> "Tensor":
        return _binary(ops.MatMul, other, self)

    def __neg__(self) -> "Tensor":
        if self.dtype == bool:
            raise TypeError(
                "-: a bool tensor has no negative. Convert it first: -x.astype('float32')."
            )
        return self * -1

    def exp(self) -> "Tensor":
        return ops.Exp.apply(self)

    def log(self) -> "Tensor":
        return ops.Log.apply(self)

    def tanh(self) -> "Tensor":
        return ops.Tanh.apply(self)

    # Reductions: axis is None (all), a number, or a tuple of them

    def sum(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        return ops.Sum.apply(self, axis=_axis(axis), keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        return ops.Mean.apply(self, axis=_axis(axis), keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        """The largest numbers. Where several are equally large they share the gradient evenly."""
        return ops.Max.apply(self, axis=_axis(axis), keepdims=keepdims)

    # Shape

    def reshape(self, *shape: Any) -> "Tensor":
        """The same numbers in C order under another shape: `reshape(2, 3)` or `reshape((2, -1))`."""
        return ops.Reshape.apply(self, shape=_several(shape))

    def transpose(self, *axes: Any) -> "Tensor":
        """Axis i of the result is axis axes[i] of this one; without axes their order is reversed, as NumPy has it."""
        return ops.Transpose.apply(self, axes=_several(axes) if axes else None)

    @property
    def T(self) -> "Tensor":  # noqa: N802 - NumPy's name
        return self.transpose()

    def __getitem__(self, index: Any) -> "Tensor":
        return ops.Index.apply(self, index=_plain_index(index))


def as_tensor(x: Any) -> Tensor:
    """`x` itself if it is a tensor, else a tensor of it."""
    return x if isinstance(x, Tensor) else Tensor(x)


def _from_python(numbers: Any) -> Array:
    try:
        raw = np.asarray(numbers)
        if raw.dtype.kind not in "fiub":  # NumPy would read "1" as 1.0, and None as NaN
            raise TypeError(f"it holds {raw.dtype}")
        array = raw.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"Tensor: expected numbers, a regular list of numbers, or an array, got {numbers!r} ({error})."
        ) from None
    return devices.asarray(array)


def _binary(op: type[Function], x: Any, y: Any) -> Any:
    """`op` on two operands. Python numbers stay Python numbers, so that they do not change the other one's dtype."""
    for operand in (x, y):
        if not isinstance(operand, (Tensor, int, float)) and not devices.is_array(operand):
            if not isinstance(operand, (list, tuple)):
                return NotImplemented
    place = (x if isinstance(x, Tensor) else y).device
    return op.apply(*(_operand(v, place) for v in (x, y)))


def _operand(v: Any, place: str) -> Any:
    """Lists become tensors beside the other operand, arrays where tensors are made by default; numbers stay numbers."""
    if isinstance(v, (list, tuple)):
        return Tensor(v, device=place)
    return as_tensor(v) if devices.is_array(v) and v.shape else v


def _axis(axis: Any) -> Any:
    return tuple(map(operator.index, axis)) if isinstance(axis, (tuple, list)) else axis


def _several(numbers: tuple) -> tuple[int, ...]:
    """`f(2, 3)` and `f((2, 3))` mean the same."""
    numbers = (
        tuple(numbers[0])
        if len(numbers) == 1 and isinstance(numbers[0], (tuple, list))
        else numbers
    )
    return tuple(map(operator.index, numbers))


def _plain_index(index: Any) -> Any:
    if isinstance(index, Tensor):
        return index.data
    return tuple(map(_plain_index, index)) if isinstance(index, tuple) else index
