"""ReLU in NumPy."""

import numpy as np

from tinyalex.device import Scratch
from tinyalex.kernels.cpu.layout import parallel_rows, row_blocks
from tinyalex.kernels.cpu.masking import zero_where


def relu(x: np.ndarray, y: np.ndarray) -> None:
    """y = max(0, x). y may be x."""
    # np.maximum is four times as fast with an array of zeros as with a scalar.
    if x.ndim < 3:
        np.maximum(x, np.zeros_like(x), out=y)
    else:
        zeros = np.zeros(x.shape[:2], x.dtype)[(..., *[None] * (x.ndim - 2))]
        parallel_rows(x, x.nbytes, lambda rows: np.maximum(x[:, :, rows], zeros, out=y[:, :, rows]))


def relu_backward(dy: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
    """dx = relu_grad(dy, y)."""

    def run(own: slice) -> None:
        for rows in row_blocks(y, own):
            where = slice(None), slice(None), rows
            relu_grad(dy[where], y[where], dx[where])

    if y.ndim < 3:
        relu_grad(dy, y, dx)
    else:
        parallel_rows(y, y.nbytes, run)


def relu_grad(dy: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    """out = dy where y > 0 or y is NaN, else 0, where y is the output of a ReLU."""
    zero_where(y <= 0, dy, out)


MASK_ELEMENTS = 1 << 16
"""Elements per call of `relu_grad` in `masked`, few enough to stay in the cache."""


def masked(dy: np.ndarray, y: np.ndarray, scratch: Scratch) -> np.ndarray:
    """relu_grad(dy, y) of arrays (H, W, N*C), in scratch memory."""
    out = scratch.take("masked", dy.shape, dy.dtype)
    step = max(1, MASK_ELEMENTS // max(1, dy.shape[2]))
    for i in range(len(dy)):
        for j in range(0, dy.shape[1], step):
            part = i, slice(j, j + step)
            relu_grad(dy[part], y[part], out[part])
    return out
