"""Argument checks, and the output size of a sliding window."""

import operator
from typing import Any

import numpy as np

from tinyalex.kernels.geometry import Pair, Shape, Window
from tinyalex.modes import cast_inputs
from tinyalex.tensor import Tensor, wrap


def pair(op: str, name: str, value: Any, minimum: int) -> Pair:
    """(rows, columns), each at least `minimum`, from a pair, n or (n,), as in torch."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    try:
        first, second = values * 2 if len(values) == 1 else values
        numbers = operator.index(first), operator.index(second)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: {name} must be an integer or a pair, got {value!r}.") from None
    if min(numbers) < minimum:
        raise ValueError(f"{op}: {name} must be at least {minimum}, got {value!r}.")
    return numbers


def at_least_one(op: str, name: str, value: Any) -> None:
    """Raises TypeError or ValueError unless `value` is an integer of at least 1."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{op}: {name} must be an integer, got {value!r}.") from None
    if number < 1:
        raise ValueError(f"{op}: {name} must be at least 1, got {value!r}.")


def check_groups(op: str, groups: Any, count: int, what: str) -> None:
    """Raises TypeError or ValueError unless `groups` is a divisor of `count`."""
    at_least_one(op, "groups", groups)
    if count % groups:
        raise ValueError(
            f"{op}: groups={groups!r} does not divide the {count} {what}. Use a divisor."
        )


def check_bias(op: str, w: Tensor, b: Tensor | None) -> None:
    """Raises ValueError unless there is one bias for each output of the weight."""
    if b is not None and b.shape != (len(w),):
        raise ValueError(
            f"{op}: bias has shape {b.shape}, but weight {w.shape} has {len(w)} outputs. "
            f"Give it the shape ({len(w)},)."
        )


def float_tensors(
    op: str, *, optional: tuple[str, ...] = (), integers: bool = False, **arguments: Any
) -> list[Any]:
    """The arguments as tensors of one floating dtype. Only `optional` may be None.

    integers  whether the dtype may also be one of integers or bools
    """
    for name, x in arguments.items():
        if x is None and name not in optional:
            raise TypeError(f"{op}: {name} is None. Give a tensor or an array.")
    tensors = cast_inputs(op, [None if x is None else wrap(x) for x in arguments.values()])
    first: tuple[str, Tensor] | None = None
    for name, tensor in zip(arguments, tensors, strict=True):
        if tensor is None:
            continue
        if tensor.dtype.kind != "f" and not integers:
            raise TypeError(
                f"{op}: {name} is {tensor.dtype}, but must be floating. "
                f"Convert it: {name}.astype('float32')."
            )
        first = first or (name, tensor)
        if tensor.dtype != first[1].dtype:
            raise TypeError(
                f"{op}: {first[0]} is {first[1].dtype}, but {name} is {tensor.dtype}. "
                "Convert one of them with astype, or a whole module with module.to(dtype)."
                + " As in NumPy, integers / 255 are float64; x.float() / 255 is float32."
                * (first[1].dtype == np.float64)
            )
    return list(tensors)


def check_reduction(op: str, reduction: Any) -> None:
    """Raises ValueError unless `reduction` is "mean", "sum" or "none"."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{op}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}.")


def check_probability(op: str, name: str, p: float) -> None:
    """Raises ValueError unless p is from 0 to 1."""
    if not 0 <= p <= 1:
        raise ValueError(f"{op}: {name} must be a probability from 0 to 1, got {p!r}.")


def check_same_shape(op: str, x: Tensor, t: Tensor) -> None:
    """Raises ValueError unless the target has the shape of the input."""
    if x.shape != t.shape:
        raise ValueError(
            f"{op}: input has shape {x.shape}, but target has {t.shape}. Reshape one of them: "
            f"target.reshape({x.shape}); they are not broadcast."
        )


def reduce_losses(losses: Tensor, reduction: str) -> Tensor:
    """The mean or the sum of the losses, or all of them for "none"."""
    return losses if reduction == "none" else getattr(losses, reduction)()


def with_batch(op: str, x: Tensor) -> tuple[Tensor, bool]:
    """(x as (N, C, H, W), whether the batch dimension was added)."""
    if x.ndim == 4:
        return x, False
    if x.ndim == 3:
        return x.reshape(1, *x.shape), True
    raise ValueError(
        f"{op}: input has shape {x.shape}, expected (N, C, H, W), or (C, H, W) for a single image."
    )


def output_size(
    op: str,
    size: Shape,
    window: Window,
    after: Pair,
    ceil_mode: bool = False,
    starts_inside: bool = False,
) -> Pair:
    """(OH, OW) for an image of `size`, padded by `after` (rows, columns) at its end.

        OH = floor((H + padding before and after - dilation*(KH-1) - 1) / stride) + 1

    ceil_mode      round up: the last window may extend past the edge
    starts_inside  ... but must start before the padding at the end, as in pooling
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
