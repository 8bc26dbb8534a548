"""Operations that move numbers and change none: reshape, transpose, a change of dtype, and of device."""

from typing import Any

from tinyalex import device as devices
from tinyalex.device import Array
from tinyalex.function import Function


class Reshape(Function):
    """The same numbers in C order under another shape; one size may be -1."""

    def forward(self, x: Array, *, shape: tuple[int, ...]) -> Array:
        self.shape = x.shape
        try:
            return x.reshape(shape)
        except ValueError:
            raise ValueError(
                f"reshape: {x.size} numbers of shape {x.shape} do not fit into shape {shape}. Its sizes must multiply to {x.size}; "
                "one of them may be -1, to be worked out."
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
                f"transpose: {axes} does not name each axis of a tensor of shape {x.shape} once: give {x.ndim} axes from 0 on."
            )
        return x.transpose(self.axes)

    def backward(self, dy: Array) -> Array:
        return dy.transpose(sorted(range(len(self.axes)), key=self.axes.__getitem__))


class Cast(Function):
    """x with another floating dtype. The gradient comes back in the old one."""

    def forward(self, x: Array, *, dtype: Any) -> Array:
        self.dtype = x.dtype
        return x.astype(dtype)

    def backward(self, dy: Array) -> Array:
        return dy.astype(self.dtype)


class Move(Function):
    """x on another device. The gradient comes back to the one where x lies."""

    def forward(self, x: Array, *, device: str) -> Array:
        self.device = devices.of(x)
        return devices.to(x, device)

    def backward(self, dy: Array) -> Array:
        return devices.to(dy, self.device)
