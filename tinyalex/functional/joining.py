"""cat: tensors one behind the other along an axis."""

from collections.abc import Sequence
from typing import Any

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import axis_of, float_tensors
from tinyalex.tensor import Tensor


class Cat(Function):
    """y = the inputs one behind the other; each gets back its own part of dy."""

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
    """The tensors one behind the other along axis `dim`; all other axes must agree. As in torch, one of shape (0,) fits everywhere.

    >>> cat([[[1.0, 2.0]], [[3.0, 4.0]]], 1).numpy().tolist()
    [[1.0, 2.0, 3.0, 4.0]]
    """
    if not isinstance(tensors, (list, tuple)) or not tensors:
        raise ValueError(f"cat: expected a list of one tensor or more, got {tensors!r}.")
    parts = float_tensors("cat", **{f"tensor {i}": t for i, t in enumerate(tensors)})
    full = [(i, part) for i, part in enumerate(parts) if part.shape != (0,)] or [(0, parts[0])]
    (at, first), *_ = full
    if first.ndim == 0:
        raise ValueError(
            "cat: numbers (tensors of shape ()) have no axis to be joined along. Reshape them to (1,)."
        )
    axis = axis_of("cat", "dim", dim, first.shape)
    for i, part in full:
        if (
            part.ndim != first.ndim
            or part.shape[:axis] + part.shape[axis + 1 :]
            != first.shape[:axis] + first.shape[axis + 1 :]
        ):
            raise ValueError(
                f"cat: along dim={dim}, tensor {i} of shape {part.shape} does not fit tensor {at} of shape {first.shape}: "
                "all other axes must have the same sizes."
            )
    return Cat.apply(*(part for _, part in full), axis=axis)
