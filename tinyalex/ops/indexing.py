"""x[index]: slices, whole numbers, arrays of them, masks, None and ..., as NumPy has them."""

from typing import Any

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function


class Index(Function):
    """y = x[index]. A number that is picked twice collects both gradients."""

    def forward(self, x: Array, *, index: Any) -> Array:
        self.like, self.index = x, _beside(index, x)
        return x[self.index]

    def backward(self, dy: Array) -> Array:
        xp = device.xp(dy)
        dx = xp.zeros_like(self.like)
        if _may_repeat(self.index):
            xp.add.at(dx, self.index, dy)
        else:
            dx[self.index] = dy
        return dx


def _beside(index: Any, x: Array) -> Any:
    """The index, its arrays moved to where `x` lies."""
    if isinstance(index, tuple):
        return tuple(_beside(part, x) for part in index)
    return device.to(index, device.of(x)) if device.is_array(index) and index.ndim > 0 else index


def _may_repeat(index: Any) -> bool:
    """Whether an index can pick a number twice: lists and arrays of whole numbers can; slices, numbers and masks cannot."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(
        isinstance(p, list) or (device.is_array(p) and p.ndim > 0 and p.dtype != bool)
        for p in parts
    )
