"""cat: concatenation along an axis."""

from collections.abc import Sequence
from typing import Any

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors
from tinyalex.ops.reduction import axis_of
from tinyalex.tensor import Tensor


class Cat(Function):
    """y = the inputs, concatenated. The gradient of an input is its slice of dy."""

    def forward(self, *arrays: Array, axis: int) -> Array:
        self.axis, self.sizes = axis, [a.shape[axis] for a in arrays]
        return device.xp(arrays[0]).concatenate(arrays, axis)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        parts, start = [], 0
        for size in self.sizes:
            parts.append(dy[(slice(None),) * self.axis + (slice(start, start + size),)])
            start += size
        return tuple(parts)


def cat(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """The tensors, concatenated along axis `dim`.

    Dtypes, and the sizes of other axes, must be equal. As in torch, tensors of shape
    (0,) are skipped.

    >>> cat([[[1.0, 2.0]], [[3.0, 4.0]]], 1).numpy().tolist()
    [[1.0, 2.0, 3.0, 4.0]]
    """
    if not isinstance(tensors, (list, tuple)) or not tensors:
        raise ValueError(f"cat: expected a list of at least one tensor, got {tensors!r}.")
    named = {f"tensor {i}": t for i, t in enumerate(tensors)}
    parts = float_tensors("cat", integers=True, **named)
    full = [(i, part) for i, part in enumerate(parts) if part.shape != (0,)] or [(0, parts[0])]
    index, first = full[0]
    if first.ndim == 0:
        raise ValueError("cat: tensors of shape () have no axis. Reshape them to (1,).")
    axis = axis_of("cat", "dim", dim, first.shape)

    def without_axis(shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[:axis] + shape[axis + 1 :]

    for i, part in full:
        if part.ndim != first.ndim or without_axis(part.shape) != without_axis(first.shape):
            raise ValueError(
                f"cat: along dim={dim}, tensor {i} of shape {part.shape} does not match tensor "
                f"{index} of shape {first.shape}. All other axes must have the same sizes."
            )
    return Cat.apply(*(part for _, part in full), axis=axis)
