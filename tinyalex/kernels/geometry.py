"""The shapes of sliding windows, as convolution and pooling pass them to kernels."""

from typing import Any, ClassVar, NamedTuple

import numpy as np

from tinyalex.function import Function

Pair = tuple[int, int]
"""A value for rows and one for columns."""

Shape = tuple[int, ...]


class Window(NamedTuple):
    """A sliding window: output i reads i*stride + u*dilation - padding, u < kernel.

    `padding` counts the zeros before the first row and column; those after the last
    follow from the output size.
    """

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair = (1, 1)


def no_offset(dtype: Any) -> int:
    """The argmax of a window none of whose elements gets a gradient."""
    return int(np.iinfo(dtype).max)


class ConvShape(NamedTuple):
    """The shapes of a convolution: x (N, C, H, W), w (O, C/G, KH, KW), out (OH, OW)."""

    x: Shape
    w: Shape
    window: Window
    out: Pair
    groups: int


class Norm(NamedTuple):
    """The options of `LocalResponseNorm`."""

    size: int
    a: float
    beta: float
    k: float
    groups: int


class ConvFunction(Function):
    """A convolution algorithm, which stores its own residuals for the backward pass:

    forward(self, x, w, b, *, shape: ConvShape, relu=False) -> y
    backward(self, dy) -> dx, dw, db
    """

    name = ""
    im2col: ClassVar[type["ConvFunction"]]
    """The algorithm for all values. It and `implicit` are set in
    `functional/convolution.py`, because kernels do not import functions."""
    implicit: ClassVar[type["ConvFunction"]]

    @classmethod
    def describe(cls, shape: ConvShape) -> str:
        """The algorithm as `Module.summary` prints it."""
        return cls.name
