"""x[index]: slices, integers, arrays of them, masks, None and ..., as in NumPy."""

import copy
from typing import Any

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function


class Index(Function):
    """y = x[index]. The gradients of an element selected several times are added."""

    def forward(self, x: Array, *, index: Any) -> Array:
        index = index_for(x, index)
        if self.needs_input_grad[0]:
            # The caller may change the index before the backward pass.
            self.like, self.index = x, _copied(index)
        return x[index]

    def backward(self, dy: Array) -> Array:
        xp = device.xp(dy)
        dx = xp.zeros_like(self.like)
        if _may_repeat(self.index):
            xp.add.at(dx, self.index, dy)
        else:
            dx[self.index] = dy
        return dx


def index_for(x: Array, index: Any) -> Any:
    """The index, with its arrays on the device of `x`."""
    if isinstance(index, tuple):
        return tuple(index_for(x, part) for part in index)
    return device.to(index, device.of(x)) if device.is_array(index) and index.ndim > 0 else index


def _may_repeat(index: Any) -> bool:
    """Whether the index may repeat an element, as sequences and integer arrays may."""
    parts = index if isinstance(index, tuple) else (index,)
    return not all(
        _is_basic(p) or (device.is_array(p) and (p.ndim == 0 or p.dtype == bool)) for p in parts
    )


def _copied(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(map(_copied, index))
    return index if _is_basic(index) else copy.deepcopy(index)


def _is_basic(part: Any) -> bool:
    return part is None or part is Ellipsis or isinstance(part, (int, slice))
