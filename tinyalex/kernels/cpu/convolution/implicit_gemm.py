"""The convolution of kernels/cuda/implicit_gemm.cu in NumPy, as its formulas.

A reference: `functional.Conv2d` is faster on a CPU. Patches are a view of the padded
image, (G, C/G, KH, KW, N, OH, OW); only `conv2d_input_grad` stores columns. Half
precision is summed in single precision.
"""

import numpy as np

from tinyalex.kernels.cpu.columns import col2im, patches
from tinyalex.kernels.geometry import Pair


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    y: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    relu: bool = False,
) -> None:
    """y[n, o, i, j] = bias[o] + sum over c, u, v of w[o, c, u, v] * x[n, c, i', j']

    where i' = i*stride + u*dilation - padding, and j' likewise; with `relu`, its ReLU.
    x (N, C, H, W), w (O, C/G, KH, KW), bias (O,), y (N, O, OH, OW). Filters of group g
    read the channels of group g.
    """
    col = by_group(patches(x, w.shape[2:], y.shape[2:], stride, padding, dilation), groups)
    total = product("gocuv,gcuvnij->ngoij", by_group(w, groups), col).reshape(y.shape)
    if bias is not None:
        total += bias[:, None, None]
    y[...] = np.maximum(total, 0) if relu else total


def conv2d_input_grad(
    dy: np.ndarray,
    w: np.ndarray,
    dx: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """The gradient of `conv2d` for x: dy (N, O, OH, OW), dx (N, C, H, W)."""
    upstream = by_group(dy.swapaxes(0, 1), groups)
    col = product("gocuv,gonij->gcuvnij", by_group(w, groups), upstream)
    col = col.reshape(dx.shape[1], *col.shape[2:])
    col2im(col, dx, w.shape[2:], stride, padding, dilation)


def conv2d_weight_grad(
    x: np.ndarray,
    dy: np.ndarray,
    dw: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """The gradient of `conv2d` for w: dy (N, O, OH, OW), dw (O, C/G, KH, KW)."""
    col = by_group(patches(x, dw.shape[2:], dy.shape[2:], stride, padding, dilation), groups)
    upstream = by_group(dy.swapaxes(0, 1), groups)
    dw[...] = product("gonij,gcuvnij->gocuv", upstream, col).reshape(dw.shape)


def product(subscripts: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum(subscripts, a, b, dtype=np.result_type(a, np.float32))


def by_group(a: np.ndarray, groups: int) -> np.ndarray:
    """A view (G, rows/G, ...) of an array (rows, ...)."""
    return a.reshape(groups, len(a) // groups, *a.shape[1:], copy=False)
