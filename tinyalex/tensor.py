"""Tensor: an array, its gradient, and the Function that made it."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from tinyalex import device as devices
from tinyalex import function
from tinyalex.device import Array
from tinyalex.equivalents import attribute_error
from tinyalex.methods import Conversions, Reductions
from tinyalex.methods.reductions import ValuesAndIndices

GradHook = Callable[[Array], Array | None]


class Tensor(Reductions, Conversions):
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

    _data: Array
    grad: Array | None = None
    hooks: tuple[GradHook, ...] = ()

    __array_ufunc__ = None  # ndarray + Tensor calls Tensor.__radd__, not once per element

    def __init__(self, array: Any, requires_grad: bool = False, device: str | None = None) -> None:
        source = array.data if isinstance(array, Tensor) else array
        data = (
            devices.asarray(source)
            if devices.is_array(source)
            else from_python(source).astype(np.float32)
        )
        _check_dtype(data)
        if device is not None:
            if device != devices.of(data):
                data = devices.to(data, devices.check(device))
        elif not isinstance(array, Tensor) and devices.of(data) == "cpu":
            data = devices.to(data, devices.default())
        if not isinstance(requires_grad, (bool, np.bool_)):
            raise TypeError(
                f"Tensor: requires_grad must be a bool, got {requires_grad!r}. For a tensor of a "
                "shape, use ta.zeros(2, 3)."
            )
        if requires_grad:
            _check_differentiable(data)
        self._data = data
        self.requires_grad = requires_grad

    # Properties

    @property
    def data(self) -> Array:
        """The array. An assigned tensor is replaced by its array.

        Assignments, also `x.data -= 1`, increment `.version`, as do optimizers.
        `backward` raises RuntimeError if the version of a tensor that needs a gradient
        differs from that in the forward pass: operations may have stored the array.

        Not detected are changes of elements: `x.data[0] = 1`, `np.add(x.data, 1,
        out=x.data)`, or through other arrays and tensors that share memory, such as
        those of `numpy()` and `detach()`; nor any change of a tensor that needs no
        gradient, such as a batch of images. Increment `x.version` after such a change.
        """
        return self._data

    @data.setter
    def data(self, value: "Array | Tensor") -> None:
        array = value._data if isinstance(value, Tensor) else value
        if not devices.is_array(array):
            raise TypeError(
                f"data: expected an array or a tensor, got a {type(array).__name__}. "
                "Use np.asarray."
            )
        array = devices.asarray(array)
        # Replacing the array of a result does no harm: the graph keeps its own.
        if self.creator is None or array is self._data:
            self.version += 1
        self._data = array

    @property
    def device(self) -> devices.Device:  # type: ignore[override]
        return devices.Device(devices.of(self._data))

    @property
    def result_class(self) -> "type[Tensor]":
        """The class of an operation's output, also for a subclass such as Parameter."""
        return Tensor

    def result(self, array: Array) -> "Tensor":
        """`array`, computed from this tensor, as a tensor that needs no gradient."""
        _check_dtype(array)
        # __init__ would take as long as an operation on a few elements.
        tensor = self.result_class.__new__(self.result_class)
        tensor._data = devices.asarray(array)
        return tensor

    def __repr__(self) -> str:
        name = type(self).__name__
        values = np.array2string(self.numpy(), separator=", ", prefix=f"{name}(")
        origin = ", requires_grad=True" if self.requires_grad else ""
        if self.creator is not None:
            origin = f", creator={type(self.creator).__name__}"
        return f"{name}({values}, dtype={self.dtype}{origin})"

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
                given = (
                    grad if isinstance(grad, Tensor) else Tensor(grad, device=devices.of(self.data))
                )
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
        _check_differentiable(self._data)  # requires_grad may have been assigned
        if not self.hooks and self.grad is None:
            self.grad = grad
            return
        with devices.on_device_of(grad):
            for hook in self.hooks:
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
        self.hooks += (fn,)
        registered = [fn]

        def remove() -> None:
            if registered:  # a second call has no effect
                i = self.hooks.index(registered.pop())
                self.hooks = self.hooks[:i] + self.hooks[i + 1 :]

        return remove

    def detach(self) -> "Tensor":
        """A tensor with the same array, without the graph."""
        return Tensor(self)

    def requires_grad_(self, requires_grad: bool = True) -> "Tensor":
        """Set `requires_grad` of a leaf, and return the tensor."""
        if self.creator is not None:
            raise ValueError(
                "requires_grad_: expected a leaf; this tensor is the result of an operation. Use "
                "x.detach().requires_grad_()."
            )
        if requires_grad:
            _check_differentiable(self.data)
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor is not the result of an operation with a gradient."""
        return self.creator is None

    def _unpackable(self, values: "Tensor", pair: Callable[[], ValuesAndIndices]) -> "Tensor":
        return Unpackable(values, pair)

    def __getattr__(self, name: str) -> Any:
        raise attribute_error("Tensor", name, self)


class Unpackable(Tensor):
    """The result of x.max(1): a tensor that unpacks as torch's result.

    >>> x = Tensor([[1.0, 2.0], [4.0, 3.0]])
    >>> x.max(1).numpy().tolist()
    [2.0, 4.0]
    >>> values, indices = x.max(1)
    >>> indices.numpy().tolist()
    [1, 0]
    """

    def __init__(self, tensor: Tensor, pair: Callable[[], ValuesAndIndices]) -> None:
        super().__init__(tensor)
        self.requires_grad, self.creator = tensor.requires_grad, tensor.creator
        self._pair = pair

    @property
    def values(self) -> Tensor:
        return self._pair().values

    @property
    def indices(self) -> Tensor:
        return self._pair().indices

    def __iter__(self) -> Iterator[Any]:
        return iter(self._pair())

    def __getitem__(self, index: Any) -> Tensor:
        if isinstance(index, int) and index in (0, 1):
            warnings.warn(
                f"max: out.max(1)[{index}] is element {index} of the maxima, as in NumPy. For "
                f"torch's values and indices, use out.max(dim=1)[{index}]; for the element, "
                f"out.max(axis=1)[{index}].",
                stacklevel=2,
            )
        return super().__getitem__(index)


AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Tensor])


def tensor_method(function: AnyFunction) -> AnyFunction:
    """A decorator of functions in `functional`: relu(x) can be written x.relu() too."""
    setattr(Tensor, function.__name__, function)
    return function


def wrap(x: Any) -> Tensor:
    """`x` itself if it is a tensor, else Tensor(x)."""
    return x if isinstance(x, Tensor) else Tensor(x)


def from_python(values: Any) -> Array:
    """Numbers as an array. Raises TypeError or ValueError for other values."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":  # NumPy would convert "1" to 1.0, and None to NaN
            advice = "; give real and imaginary parts" * (array.dtype.kind == "c")
            raise TypeError(f"its dtype would be {array.dtype}{advice}")
        return array
    except (TypeError, ValueError) as error:
        raise type(error)(
            "Tensor: expected a number, a regular nested list of numbers, or an array, "
            f"got {values!r} ({error})."
        ) from None


def _check_dtype(data: Array) -> None:
    if data.dtype.kind not in "fiub":
        raise TypeError(
            f"Tensor: {data.dtype} is not supported, expected a floating, integer or bool dtype. "
            "Convert the array first; of complex numbers, give real and imaginary parts."
        )


def _check_differentiable(data: Array) -> None:
    if data.dtype.kind != "f":
        raise TypeError(
            f"Tensor: requires_grad=True needs a floating dtype, got {data.dtype}. "
            "Convert the array first: array.astype('float32')."
        )


def _check_hook_result(changed: Any, grad: Array) -> None:
    is_array = devices.is_array(changed)
    if not is_array or (changed.shape, changed.dtype) != (grad.shape, grad.dtype):
        got = f"{changed.dtype} {changed.shape}" if is_array else f"a {type(changed).__name__}"
        raise ValueError(
            f"register_hook: the hook must return None, or an array {grad.dtype} {grad.shape} "
            f"that replaces the gradient, got {got}."
        )
