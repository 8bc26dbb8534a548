"""pad: numbers around a tensor, or a border cut off."""

import operator
from typing import Any

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import float_tensors
from tinyalex.tensor import Tensor


class Pad(Function):
    """y = x in the middle of a larger array of `value`s; dx = the middle of dy. A negative width cuts off instead."""

    def forward(self, x: Array, *, widths: tuple[tuple[int, int], ...], value: float) -> Array:
        self.shape = x.shape
        y = device.xp(x).full(
            [n + before + after for n, (before, after) in zip(x.shape, widths, strict=True)],
            value,
            x.dtype,
        )
        # The part of x that is still in y, and where it lies there.
        self.inner = tuple(
            slice(max(0, -b), n - max(0, -a)) for n, (b, a) in zip(x.shape, widths, strict=True)
        )
        self.outer = tuple(
            slice(max(0, b), n - max(0, a)) for n, (b, a) in zip(y.shape, widths, strict=True)
        )
        y[self.outer] = x[self.inner]
        return y

    def backward(self, dy: Array) -> Array:
        dx = device.xp(dy).zeros(self.shape, dy.dtype)
        dx[self.inner] = dy[self.outer]
        return dx


def pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """`input` with a border of `value` (0 if None).

    pad  widths as torch has them, two an axis, the last axis first: (left, right, top, bottom) for images. Negative ones cut off.

    >>> pad([[1.0]], (1, 0, 0, 1)).numpy().tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    (x,) = float_tensors("pad", input=input)
    if mode != "constant":
        raise ValueError(
            f"pad: mode={mode!r} is not supported; tinyalex pads with mode='constant' only."
        )
    try:
        numbers = [operator.index(n) for n in pad]
    except TypeError:
        raise TypeError(
            f"pad: expected whole numbers, two an axis, the last axis first, got {pad!r}."
        ) from None
    if len(numbers) % 2 or len(numbers) > 2 * x.ndim:
        raise ValueError(
            f"pad: expected an even count of widths, at most {2 * x.ndim} for an input of shape {x.shape}, got {pad!r}. "
            "They are two an axis, the last axis first."
        )
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    widths = tuple([(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1])
    for axis, (n, (before, after)) in enumerate(zip(x.shape, widths, strict=True)):
        if n + before + after < 0 or -before > n or -after > n:
            raise ValueError(
                f"pad: {(before, after)} cuts more off axis {axis} than the {n} an input of shape {x.shape} has."
            )
    return Pad.apply(x, widths=widths, value=0.0 if value is None else value)
