"""Checks of the functions' arguments: tensors, integers, pairs, axes; and the size of an output."""

import operator
from typing import Any

from tinyalex.kernels.window import Pair, Shape, Window
from tinyalex.tensor import Tensor, as_tensor


def pair(op: str, name: str, value: Any, least: int) -> Pair:
    """An integer, or two of them for rows and columns, each at least `least`. `(n,)` is n, as in torch."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    try:
        first, second = values * 2 if len(values) == 1 else values
        numbers = operator.index(first), operator.index(second)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: {name} is an integer or a pair of them, got {value!r}.") from None
    if min(numbers) < least:
        raise ValueError(f"{op}: {name} must be at least {least}, got {value!r}.")
    return numbers


def at_least_one(op: str, name: str, value: Any) -> None:
    """Raises TypeError or ValueError unless `value` is an integer of at least 1."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{op}: {name} is an integer, got {value!r}.") from None
    if number < 1:
        raise ValueError(f"{op}: {name} must be at least 1, got {value!r}.")


def float_tensors(op: str, *, optional: str = "", **arguments: Any) -> list[Any]:
    """The arguments as tensors of one floating dtype. The `optional` one may be None, and stays it."""
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
                f"{op}: {name} is {tensor.dtype}, but must be floating. "
                f"Convert it: {name}.astype('float32')."
            )
        if first is not None and tensor.dtype != first[1].dtype:
            raise TypeError(
                f"{op}: {first[0]} is {first[1].dtype}, but {name} is {tensor.dtype}. "
                "Convert one of them with astype, or a whole module with module.to(dtype)."
            )
        first = first or (name, tensor)
    return list(tensors.values())


def with_batch(op: str, x: Tensor, ndim: int, letters: str) -> tuple[Tensor, bool]:
    """(x with a batch dimension, whether that was added). `letters` name the axes in the message."""
    if x.ndim == ndim:
        return x, False
    if x.ndim == ndim - 1:
        return x.reshape(1, *x.shape), True
    raise ValueError(
        f"{op}: input has shape {x.shape}, expected ({letters}), "
        "or the same without N for a single image."
    )


def axis_of(op: str, name: str, axis: Any, shape: Shape) -> int:
    """An axis of `shape`, counted from 0; negative ones count from the end."""
    try:
        return range(len(shape))[operator.index(axis)]
    except IndexError:
        raise ValueError(
            f"{op}: {name}={axis} is no axis of a tensor of shape {shape}, "
            f"which has the axes 0 to {len(shape) - 1}."
        ) from None
    except TypeError:
        raise TypeError(f"{op}: {name} is an integer, got {axis!r}.") from None


def output_size(
    op: str,
    size: Shape,
    window: Window,
    after: Pair,
    ceil_mode: bool = False,
    starts_inside: bool = False,
) -> Pair:
    """(OH, OW) for an image of `size`, padded by `after` rows and columns at its end.

        OH = floor((H + padding before and after - dilation*(KH-1) - 1) / stride) + 1

    ceil_mode      round up: the last window may extend past the edge
    starts_inside  ... but must start before the padding at the end does, as pooling requires

    Raises ValueError if no window fits.
    """
    reach = [d * (size - 1) + 1 for d, size in zip(window.dilation, window.kernel, strict=True)]
    out = []
    for axis in range(2):
        padded = size[axis] + window.padding[axis]
        room, stride = padded + after[axis] - reach[axis], window.stride[axis]
        count = (-(-room // stride) if ceil_mode else room // stride) + 1
        if ceil_mode and starts_inside and (count - 1) * stride >= padded:
            count -= 1
        if count < 1 or (room < 0 and not starts_inside):
            raise ValueError(
                f"{op}: a window of {reach[0]} x {reach[1]} pixels does not fit into an image of "
                f"{size[0]} x {size[1]} with padding {window.padding}. "
                "Use a larger image or padding, or a smaller kernel."
            )
        out.append(count)
    return out[0], out[1]
