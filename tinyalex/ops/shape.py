"""Operations that preserve values: changes of shape, dtype or device."""

from typing import Any

from tinyalex import device as devices
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.graph_tensor import Form
from tinyalex.ops.broadcasting import unbroadcast


class Reshape(Function):
    """The same elements, in C order, with another shape; one size may be -1."""

    def forward(self, x: Array, *, shape: tuple[int, ...]) -> Array:
        self.shape = x.shape
        try:
            return x.reshape(shape)
        except ValueError:
            raise ValueError(
                f"reshape: {x.size} elements of shape {x.shape} do not fit into shape {shape}. "
                f"The product of its sizes must be {x.size}; one of them may be -1."
            ) from None

    def backward(self, dy: Array) -> Array:
        return dy.reshape(self.shape)


class Transpose(Function):
    """Axis i of y is axis axes[i] of x; without `axes` their order is reversed."""

    def forward(self, x: Array, *, axes: tuple[int, ...] | None) -> Array:
        axes = tuple(reversed(range(x.ndim))) if axes is None else axes
        self.axes = tuple(axis + x.ndim if axis < 0 else axis for axis in axes)
        if sorted(self.axes) != list(range(x.ndim)):
            raise ValueError(
                f"transpose: {axes} does not name each axis of a tensor of shape {x.shape} once. "
                f"Expected a permutation of 0 to {x.ndim - 1}."
            )
        return x.transpose(self.axes)

    def backward(self, dy: Array) -> Array:
        return dy.transpose(sorted(range(len(self.axes)), key=self.axes.__getitem__))


class Expand(Function):
    """x, repeated along new axes and those of size 1. The gradients are added."""

    def forward(self, x: Array, *, shape: tuple[int, ...]) -> Array:
        self.form = Form.of(x)
        try:
            return devices.xp(x).broadcast_to(x, shape)
        except ValueError:
            raise ValueError(
                f"expand: shape {x.shape} does not expand to {shape}. From the last axis on, each "
                "size must be kept (-1 keeps it too) or be 1; new axes come first."
            ) from None

    def backward(self, dy: Array) -> Array:
        return unbroadcast(dy, self.form)


class Cast(Function):
    """x with another floating dtype. The gradient has the dtype of x."""

    def forward(self, x: Array, *, dtype: Any) -> Array:
        self.dtype = x.dtype
        return x.astype(dtype)

    def backward(self, dy: Array) -> Array:
        return dy.astype(self.dtype)


class Move(Function):
    """x on another device. The gradient is moved back to the device of x."""

    def forward(self, x: Array, *, device: str) -> Array:
        self.device = devices.of(x)
        return devices.to(x, device)

    def backward(self, dy: Array) -> Array:
        return devices.to(dy, self.device)
