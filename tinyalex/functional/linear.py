"""The fully connected layer."""

import math
from typing import Any

import numpy as np

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import check_bias, check_probability, float_tensors
from tinyalex.functional.dropout import next_draw, scale_of
from tinyalex.ops.broadcasting import sum_over
from tinyalex.tensor import Tensor


def linear_naive(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    """In loops: each output is the dot product of a row of w and a sample, plus b."""
    y = np.zeros((len(x), len(w)), x.dtype)
    for n in range(len(x)):
        for o in range(len(w)):
            for i in range(w.shape[1]):
                y[n, o] += w[o, i] * x[n, i]
            y[n, o] += 0 if b is None else b[o]
    return y


class Linear(Function):
    """y = x @ w.T + b

    x (..., in), w (out, in), b (out,) -> y (..., out). With the leading axes flattened:

        dx = dy @ w      dw = dy.T @ x      db = sum of dy over the samples

    With `relu`, the result is relu(y). It is stored, and dy is 0 where it is <= 0. With
    `relu` and `dropout`, that is true of dropout(relu(y)): no mask is stored. Where the
    result is NaN, dy passes.
    """

    def forward(
        self, x: Array, w: Array, b: Array | None, *, relu: bool = False, dropout: float = 0.0
    ) -> Array:
        k = kernels.of(x)
        self.x, self.w = x.reshape(math.prod(x.shape[:-1]), w.shape[1]), w
        y = k.activation((len(self.x), len(w)), x.dtype)
        k.matmul(self.x, w.T, out=y)
        self.y, self.scale = y if relu else None, scale_of(dropout)
        result = y.reshape(*x.shape[:-1], len(w))
        if dropout:
            k.bias_relu_dropout(result, b, 1 - dropout, self.scale, *next_draw(x))
        elif relu or b is not None:
            k.bias_relu(y, b, relu)
        return result

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        want_dx, want_dw, want_db = self.needs_input_grad
        k = kernels.of(dy)
        dz, db = dy.reshape(len(self.x), len(self.w)), None
        if self.y is not None:
            upstream, dz = k.ready(dz), k.like(self.y)
            db = device.xp(dy).empty(len(self.w), dy.dtype)
            k.bias_relu_backward(upstream, self.y, dz, db, self.scale)
        elif want_db:
            db = sum_over(dz, 0)
        dx, dw = (k.like(a) if want else None for a, want in ((self.x, want_dx), (self.w, want_dw)))
        if dx is not None:
            k.matmul(dz, self.w, out=dx)
            dx = dx.reshape(*dy.shape[:-1], self.w.shape[1])
        if dw is not None:
            k.matmul(dz.T, self.x, out=dw)
        return dx, dw, db if want_db else None


def linear(
    input: Any, weight: Any, bias: Any = None, *, relu: bool = False, dropout: float = 0.0
) -> Tensor:
    """input @ weight.T + bias.

    input (..., in) with any leading axes, weight (out, in), bias (out,) -> (..., out).

    relu     the result is relu(linear(...)), computed in one pass
    dropout  with relu: it is dropout(relu(linear(...)), p=dropout), in one pass too

    >>> weight, bias = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, 10.0]
    >>> linear([1.0, 2.0], weight, bias).numpy().tolist()
    [1.0, 2.0, 13.0]
    """
    x, w, b = float_tensors("linear", optional=("bias",), input=input, weight=weight, bias=bias)
    if w.ndim != 2:
        raise ValueError(f"linear: weight has shape {w.shape}, expected (out, in).")
    if x.ndim == 0 or x.shape[-1] != w.shape[1]:
        raise ValueError(
            f"linear: input has shape {x.shape}, but weight {w.shape} expects {w.shape[1]} "
            "features in its last axis."
        )
    check_bias("linear", w, b)
    check_probability("linear", "dropout", dropout)
    if dropout and not relu:
        raise ValueError(
            f"linear: dropout={dropout!r} needs relu=True. Apply dropout to the result instead."
        )
    return Linear.apply(x, w, b, relu=relu, dropout=dropout)
