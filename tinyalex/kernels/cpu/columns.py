"""im2col and col2im in NumPy, and the arrays between them and a matrix multiplication.

Within a tile the images are the last axis in memory, (C, KH, KW, OH, OW, T), so that a
shifted view of the image consists of long contiguous runs.

BLAS has no float16: the columns and products of float16 images are float32.
"""

import math
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Scratch
from tinyalex.kernels.cpu.activation import relu_grad
from tinyalex.kernels.geometry import Pair


def column_dtype(dtype: Any) -> np.dtype:
    """The dtype of `columns` and `positions` for images of `dtype`."""
    return device.sum_dtype(dtype)


def columns(
    scratch: Scratch, name: str, rows: tuple[int, ...], images: int, out: Pair, dtype: Any
) -> np.ndarray:
    """An uninitialized array (*rows, T, OH, OW) in scratch memory."""
    oh, ow = out
    wide = column_dtype(dtype)
    return np.moveaxis(scratch.take(name, (*rows, oh, ow, images), wide), -1, -3)


def positions(
    scratch: Scratch, name: str, channels: int, images: int, out: Pair, dtype: Any
) -> np.ndarray:
    """An uninitialized array (channels, T, OH, OW) in an activation's memory order."""
    oh, ow = out
    wide = column_dtype(dtype)
    return np.moveaxis(scratch.take(name, (oh, ow, images, channels), wide), (-1, -2), (0, 1))


def matrix(a: np.ndarray) -> np.ndarray:
    """A view (rows, positions) of an array from `columns` or `positions`."""
    *rows, t, oh, ow = a.shape
    return np.moveaxis(a, -3, -1).reshape(math.prod(rows), oh * ow * t, copy=False)


def keep_columns(col: np.ndarray) -> bool:
    """Whether the caller should keep a whole batch's columns for the backward pass.

    Not on the CPU, where the tiles of a worker share one buffer that fits in the cache.
    """
    return False


def matmul_in_tile(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a @ b for stacks of matrices (..., M, K) and (..., K, N)."""
    np.matmul(a, b, out=out)


def matmul_transposed(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a @ b.T for stacks, by (b @ a.T).T, twice as fast if a has few rows."""
    product = np.empty((*b.shape[:-1], a.shape[-2]), a.dtype)
    matmul_in_tile(b, a.swapaxes(-1, -2), out=product)
    out[...] = product.swapaxes(-1, -2)


def im2col(
    x: np.ndarray, col: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None:
    """Patches to columns, x (N, C, H, W) to col (C, KH, KW, N, OH, OW).

    col[c, u, v, n, i, j] = x[n, c, i', j'], or 0 outside of x, where
    i' = i*stride + u*dilation - padding, and j' likewise.
    """
    col[...] = patches(x, kernel, col.shape[4:], stride, padding, dilation)


def col2im(
    col: np.ndarray, x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None:
    """The adjoint of `im2col`: a pixel is the sum of the elements that copy it."""
    wide = device.sum_dtype(col.dtype)
    padded, image = _padded(x, kernel, col.shape[4:], stride, padding, dilation, wide)
    rows, cols = ((size - 1) * step + 1 for size, step in zip(col.shape[4:], stride, strict=True))
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            top, left = u * dilation[0], v * dilation[1]
            seen = padded[:, :, top : top + rows : stride[0], left : left + cols : stride[1]]
            seen += col[:, u, v]
    if image.shape[2:] != x.shape[2:]:
        x.fill(0)  # pixels that no window reaches
    x[:, :, : image.shape[2], : image.shape[3]] = image.swapaxes(0, 1)


def _padded(
    x: np.ndarray,
    kernel: tuple[int, ...],
    out: tuple[int, ...],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    dtype: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """(zeros (C, N, rows, cols) that span all windows, their view with x's pixels)"""
    n, c, h, w = x.shape
    rows, cols = (
        (count - 1) * step + (size - 1) * gap + 1
        for count, step, size, gap in zip(out, stride, kernel, dilation, strict=True)
    )
    padded = np.moveaxis(np.zeros((c, rows, cols, n), dtype), -1, 1)
    return padded, padded[:, :, padding[0] : padding[0] + h, padding[1] : padding[1] + w]


def patches(
    x: np.ndarray,
    kernel: tuple[int, ...],
    out: tuple[int, ...],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> np.ndarray:
    """A view (C, KH, KW, N, OH, OW) of a padded copy of x."""
    padded, image = _padded(x, kernel, out, stride, padding, dilation, x.dtype)
    image[...] = x.swapaxes(0, 1)[:, :, : image.shape[2], : image.shape[3]]
    c, n, h, w = padded.strides
    steps = (c, h * dilation[0], w * dilation[1], n, h * stride[0], w * stride[1])
    shape = padded.shape[0], *kernel, padded.shape[1], *out
    return np.lib.stride_tricks.as_strided(padded, shape, steps)


def from_columns(
    product: np.ndarray, bias: np.ndarray | None, y: np.ndarray, relu: bool = False
) -> None:
    """y[n, o, i, j] = product[o, n, i, j] + bias[o]; with `relu`, its ReLU."""
    product = product.swapaxes(0, 1)
    # Repeated for each image, so that NumPy loops over rows of N*C elements.
    row = np.zeros(product.shape[:2], product.dtype)
    if bias is not None:
        row += bias
    np.add(product, row[..., None, None], out=y)
    if relu:
        np.maximum(y, np.zeros_like(row)[..., None, None], out=y)


def to_columns(
    dy: np.ndarray,
    product: np.ndarray,
    y: np.ndarray | None = None,
    sums: np.ndarray | None = None,
) -> None:
    """product[o, n, i, j] = dy[n, o, i, j]; with y, of relu_grad(dy, y).

    sums (O,): the sum of product[o], in float32 for half precision.
    """
    if y is None:
        product[...] = dy.swapaxes(0, 1)
    else:
        relu_grad(dy.astype(product.dtype, copy=False), y, product.swapaxes(0, 1))
    if sums is not None:
        rows = np.moveaxis(product, 1, -1).reshape(len(product), -1)  # a view in a tile
        np.matmul(rows, np.ones(rows.shape[1], rows.dtype), out=sums)  # faster than NumPy's sum
