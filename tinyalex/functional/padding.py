"""pad: adds a border of a constant value to a tensor, or removes a border."""

import operator
from typing import Any

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors
from tinyalex.tensor import Tensor


class Pad(Function):
    """y = x with a border of `value`.  dx = dy without the border"""

    def forward(self, x: Array, *, widths: tuple[tuple[int, int], ...], value: float) -> Array:
        self.shape = x.shape
        sizes = [n + before + after for n, (before, after) in zip(x.shape, widths, strict=True)]
        y = device.xp(x).full(sizes, value, x.dtype)
        # The slice of x that is copied, and the slice of y that receives it.
        self.inner, self.outer = (
            tuple(
                slice(max(0, sign * before), n - max(0, sign * after))
                for n, (before, after) in zip(shape, widths, strict=True)
            )
            for shape, sign in ((x.shape, -1), (y.shape, 1))
        )
        y[self.outer] = x[self.inner]
        return y

    def backward(self, dy: Array) -> Array:
        dx = device.xp(dy).zeros(self.shape, dy.dtype)
        dx[self.inner] = dy[self.outer]
        return dx


def pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """`input` with a border of `value` (0 if None).

    pad  the widths, two per axis, the last axis first, as in torch: (left, right, top,
         bottom) for images. Negative widths remove a border.

    >>> pad([[1.0]], (1, 0, 0, 1)).numpy().tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    (x,) = float_tensors("pad", input=input)
    if mode != "constant":
        raise ValueError(f"pad: mode={mode!r} is not supported. Use mode='constant'.")
    order = "two per axis, the last axis first"
    try:
        numbers = [operator.index(n) for n in pad]
    except TypeError:
        raise TypeError(f"pad: expected integers, {order}, got {pad!r}.") from None
    if len(numbers) % 2 or len(numbers) > 2 * x.ndim:
        raise ValueError(
            f"pad: expected an even number of widths, at most {2 * x.ndim} for an input of shape "
            f"{x.shape}, got {pad!r}. Give {order}."
        )
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    widths = tuple([(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1])
    for axis, (n, (before, after)) in enumerate(zip(x.shape, widths, strict=True)):
        if n + before + after < 0 or -before > n or -after > n:
            raise ValueError(
                f"pad: {(before, after)} removes more than the {n} elements of axis {axis} of an "
                f"input of shape {x.shape}."
            )
    return Pad.apply(x, widths=widths, value=0.0 if value is None else value)
