"""What the functions of this package ask of their arguments, and what they say when they do not get it."""

import operator
from typing import Any, NamedTuple

from tinyalex.tensor import Tensor, as_tensor

Pair = tuple[int, int]


def pair(op: str, name: str, value: Any, least: int) -> Pair:
    """A whole number, or two of them for rows and columns, each `least` or more. As in torch, `(n,)` is n."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    try:
        first, second = values * 2 if len(values) == 1 else values
        numbers = operator.index(first), operator.index(second)
    except (TypeError, ValueError):
        raise TypeError(
            f"{op}: {name} is a whole number or a pair of them, got {value!r}."
        ) from None
    if min(numbers) < least:
        raise ValueError(f"{op}: {name} must be {least} or more, got {value!r}.")
    return numbers


def at_least_one(op: str, name: str, value: Any) -> None:
    """ValueError or TypeError unless `value` is a whole number from 1 on."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{op}: {name} is a whole number, got {value!r}.") from None
    if number < 1:
        raise ValueError(f"{op}: {name} must be 1 or more, got {value!r}.")


def float_tensors(op: str, *, optional: str = "", **arguments: Any) -> list[Any]:
    """The arguments as tensors of one floating dtype. None stays None for the one that is `optional`."""
    for name, x in arguments.items():
        if x is None and name != optional:
            raise TypeError(f"{op}: {name} is None. Give a tensor or an array.")
    tensors = {name: None if x is None else as_tensor(x) for name, x in arguments.items()}
    first: tuple[str, Tensor] | None = None
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if tensor.dtype.kind != "f":
            raise TypeError(
                f"{op}: {name} is {tensor.dtype}, but must be floating. Convert it: {name}.astype('float32')."
            )
        if first is not None and tensor.dtype != first[1].dtype:
            raise TypeError(
                f"{op}: {first[0]} is {first[1].dtype}, but {name} is {tensor.dtype}. Convert one of them with astype, or a whole "
                "module with module.to(dtype)."
            )
        first = first or (name, tensor)
    return list(tensors.values())


def with_batch(op: str, x: Tensor, ndim: int, letters: str) -> tuple[Tensor, bool]:
    """(x as a batch, whether it came without one). `letters` name the axes of a batch in the message."""
    if x.ndim == ndim:
        return x, False
    if x.ndim == ndim - 1:
        return x.reshape(1, *x.shape), True
    raise ValueError(
        f"{op}: input has shape {x.shape}, expected ({letters}), or the same without N for a single image."
    )


def axis_of(op: str, name: str, axis: Any, shape: tuple[int, ...]) -> int:
    """An axis of `shape`, counted from 0; negative numbers count from the end."""
    try:
        return range(len(shape))[operator.index(axis)]
    except IndexError:
        raise ValueError(
            f"{op}: {name}={axis} is no axis of a tensor of shape {shape}, which has the axes 0 to {len(shape) - 1}."
        ) from None
    except TypeError:
        raise TypeError(f"{op}: {name} is a whole number, got {axis!r}.") from None


class Window(NamedTuple):
    """Rows and columns each. `padding` is what comes before the first row and column; what comes after only shows in the size."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair = (1, 1)

    def reach(self, axis: int) -> int:
        """How many pixels the window spans."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1


def output_size(
    op: str,
    size: tuple[int, ...],
    window: Window,
    after: Pair,
    ceil_mode: bool = False,
    inside: bool = False,
) -> Pair:
    """(OH, OW) for an image of `size` with `after` more rows and columns of padding behind it.

    ceil_mode  round up: the last window may hang over the edge
    inside     ... but it must begin before the padding behind the image does (pooling asks that, or it would see nothing)
    ValueError if not even one window fits.
    """
    out = []
    for axis in range(2):
        room = size[axis] + window.padding[axis] + after[axis] - window.reach(axis)
        stride = window.stride[axis]
        count = (-(-room // stride) if ceil_mode else room // stride) + 1
        if ceil_mode and inside and (count - 1) * stride >= size[axis] + window.padding[axis]:
            count -= 1
        if count < 1 or (room < 0 and not inside):
            raise ValueError(
                f"{op}: a window of {window.reach(0)} x {window.reach(1)} pixels does not fit into an image of {size[0]} x {size[1]} "
                f"with padding {window.padding}. Use a larger image or padding, or a smaller kernel."
            )
        out.append(count)
    return out[0], out[1]
