"""x[index]: slices, whole numbers, arrays of them, masks, None and ..., as NumPy has them."""

from typing import Any

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function


class Index(Function):
    """y = x[index]. A number that is picked twice collects both gradients."""

    def forward(self, x: Array, *, index: Any) -> Array:
        self.like, self.index = x, index
        return x[index]

    def backward(self, dy: Array) -> Array:
        xp = device.xp(dy)
        dx = xp.zeros_like(self.like)
        if _may_repeat(self.index):
            xp.add.at(dx, self.index, dy)
        else:
            dx[self.index] = dy
        return dx


def _may_repeat(index: Any) -> bool:
    """Whether an index can pick a number twice: lists and arrays of whole numbers can; slices, numbers and masks cannot."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(p, list) or (device.is_array(p) and p.ndim > 0 and p.dtype != bool) for p in parts)
