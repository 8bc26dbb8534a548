"""The primitives on a GPU, as in `kernels/cpu`, which documents them.

Each launches the kernel of the same name in a .cu file. They accept C-contiguous arrays
only; `ready(x)` returns one.

An activation is stored in C order, (N, C, H, W). Within a tile of a convolution the
images precede the positions, (C, KH, KW, T, OH, OW): neighbours in memory are then
neighbours in the image.
"""

import math
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array, Scratch, cublas
from tinyalex.kernels.cuda import selection
from tinyalex.kernels.cuda.launching import BLOCK_THREADS, launch, ready
from tinyalex.kernels.cuda.updates import adam_update as adam_update
from tinyalex.kernels.cuda.updates import find_not_finite as find_not_finite
from tinyalex.kernels.cuda.updates import sgd_update as sgd_update
from tinyalex.kernels.cuda.updates import update_loss_scale as update_loss_scale
from tinyalex.kernels.geometry import ConvFunction, ConvShape, Pair, no_offset

TILE_ROWS, TILE_COLUMNS = BLOCK_THREADS // 4, BLOCK_THREADS
"""ROWS and COLUMNS of implicit_gemm.cu."""

WEIGHT_GRAD_BLOCKS, MIN_SEGMENT_POSITIONS = 256, 64
"""The positions of a weight gradient are divided into segments, which have blocks of
their own: about two blocks per multiprocessor of a large GPU. Shorter segments would
cost more in the sum over segments."""


def activation(shape: tuple[int, ...], dtype: Any) -> Array:
    import cupy

    return cupy.empty(shape, dtype)


def as_activation(x: Array, shape: tuple[int, ...]) -> Array:
    return x.reshape(shape)


def like(x: Array) -> Array:
    return activation(x.shape, x.dtype)


def column_dtype(dtype: Any) -> np.dtype:
    return np.dtype(dtype)


def columns(
    scratch: Scratch, name: str, rows: tuple[int, ...], images: int, out: Pair, dtype: Any
) -> Array:
    return scratch.take(name, (*rows, images, *out), dtype)


def positions(
    scratch: Scratch, name: str, channels: int, images: int, out: Pair, dtype: Any
) -> Array:
    return scratch.take(name, (channels, images, *out), dtype)


def matrix(a: Array) -> Array:
    return a.reshape(math.prod(a.shape[:-3]), math.prod(a.shape[-3:]))


def row_sums(a: Array) -> Array:
    return a.sum(axis=1, dtype=device.sum_dtype(a.dtype))


def matmul(a: Array, b: Array, out: Array) -> None:
    cublas.multiply(a, b, out)


def matmul_in_tile(a: Array, b: Array, out: Array) -> None:
    target = out if out.flags.c_contiguous else like(out)
    stacks = (x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:]) for x in (a, b, target))
    cublas.multiply(*stacks)
    if target is not out:
        out[...] = target


def product(x: Array, y: Array) -> Array:
    if not x.dtype == y.dtype == np.float16:
        return x @ y
    if x.size == y.size and x.shape[-1:] == (x.size,):
        # CuPy computes dot products without cuBLAS, and adds in their dtype.
        return (x.astype(np.float32) @ y.astype(np.float32)).astype(np.float16)
    with cublas.float32_sums():
        return x @ y


def matmul_transposed(a: Array, b: Array, out: Array) -> None:
    matmul(a, b.swapaxes(-1, -2), out)


def im2col(x: Array, col: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> None:
    sizes = *x.shape, *kernel, *col.shape[4:], *stride, *padding, *dilation
    launch("columns.cu", "im2col", x.shape[1] * math.prod(col.shape[3:]), x, col, *sizes)


def col2im(col: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> None:
    sizes = *x.shape, *kernel, *col.shape[4:], *stride, *padding, *dilation
    launch("columns.cu", "col2im", x.size, col, x, *sizes)


def from_columns(product: Array, bias: Array | None, y: Array, relu: bool = False) -> None:
    images, filters, *out = y.shape
    sizes, has_bias = (images, filters, math.prod(out)), bias is not None
    pointer = product if bias is None else bias  # not read without a bias
    launch("columns.cu", "from_columns", y.size, product, pointer, y, *sizes, has_bias, relu)


def to_columns(dy: Array, product: Array, y: Array | None = None) -> None:
    images, filters, *out = dy.shape
    sizes, relu = (images, filters, math.prod(out)), y is not None
    pointer = dy if y is None else y  # not read without a ReLU
    launch("columns.cu", "to_columns", dy.size, dy, pointer, product, *sizes, relu)


def conv2d(
    x: Array,
    w: Array,
    bias: Array | None,
    y: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    relu: bool = False,
) -> None:
    sizes = *_conv_sizes(x, w, y), *stride, *padding, *dilation, groups
    blocks = _tiles(groups, len(w), len(y) * math.prod(y.shape[2:]))
    has_bias, pointer = bias is not None, w if bias is None else bias  # not read without a bias
    arguments = x, w, pointer, y, *sizes, has_bias, relu
    launch("implicit_gemm.cu", "conv2d", blocks * BLOCK_THREADS, *arguments)


def conv2d_input_grad(
    dy: Array, w: Array, dx: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> None:
    sizes = *_conv_sizes(dx, w, dy), *stride, *padding, *dilation, groups
    blocks = _tiles(groups, dx.shape[1], len(dx) * math.prod(dx.shape[2:]))
    launch("implicit_gemm.cu", "conv2d_input_grad", blocks * BLOCK_THREADS, dy, w, dx, *sizes)


def conv2d_weight_grad(
    x: Array, dy: Array, dw: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> None:
    sizes = *_conv_sizes(x, dw, dy), *stride, *padding, *dilation, groups
    positions = len(dy) * math.prod(dy.shape[2:])
    tiles = _tiles(groups, len(dw), math.prod(dw.shape[1:]))
    segments = max(1, min(WEIGHT_GRAD_BLOCKS // tiles, positions // MIN_SEGMENT_POSITIONS))
    length = -(-positions // segments)
    parts = device.xp(dw).empty((segments, *dw.shape), device.sum_dtype(dw.dtype))
    threads = segments * tiles * BLOCK_THREADS
    launch("implicit_gemm.cu", "conv2d_weight_grad", threads, x, dy, parts, *sizes, length)
    device.xp(dw).sum(parts, axis=0, dtype=parts.dtype, out=dw)


def _conv_sizes(x: Array, w: Array, y: Array) -> tuple[int, ...]:
    """N, C, H, W, O, KH, KW, OH, OW."""
    return *x.shape, len(w), *w.shape[2:], *y.shape[2:]


def _tiles(groups: int, rows: int, columns: int) -> int:
    """The tiles of `groups` matrices, which have `rows` rows together."""
    return groups * -(-(rows // groups) // TILE_ROWS) * -(-columns // TILE_COLUMNS)


def convolution_algorithm(
    shape: ConvShape, dtype: Any, name: str, wants_dx: bool
) -> type[ConvFunction] | None:
    return selection.convolution_algorithm(shape, dtype, name, wants_dx)


def max_pool(
    x: Array,
    y: Array,
    argmax: Array | None,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    relu: bool = False,
) -> None:
    if argmax is None:
        argmax = device.xp(y).empty(y.shape, np.uint8)
    sizes = *_sizes(x, y, kernel), *stride, *padding, *dilation
    launch("pooling.cu", "max_pool", y.size, x, y, argmax, *sizes, relu, no_offset(argmax.dtype))


def max_pool_backward(
    dy: Array, argmax: Array, dx: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None:
    sizes = *_sizes(dx, dy, kernel), *stride, *padding, *dilation
    launch("pooling.cu", "max_pool_backward", dx.size, dy, argmax, dx, *sizes)


def avg_pool(x: Array, y: Array, divisor: Array, kernel: Pair, stride: Pair, padding: Pair) -> None:
    sizes = *_sizes(x, y, kernel), *stride, *padding
    launch("pooling.cu", "avg_pool", y.size, x, y, divisor, *sizes)


def avg_pool_backward(
    dy: Array, divisor: Array, dx: Array, kernel: Pair, stride: Pair, padding: Pair
) -> None:
    sizes = *_sizes(dx, dy, kernel), *stride, *padding
    launch("pooling.cu", "avg_pool_backward", dx.size, dy, dx, divisor, *sizes)


def _sizes(x: Array, y: Array, kernel: Pair) -> tuple[int, ...]:
    """maps, H, W, KH, KW, OH, OW."""
    n, c, h, w = x.shape
    return n * c, h, w, *kernel, *y.shape[2:]


def lrn(
    x: Array, y: Array, s: Array, size: int, a: float, beta: float, k: float, groups: int
) -> None:
    n, c, *space = x.shape
    sizes = n, c, math.prod(space), c // groups, size
    launch("normalization.cu", "lrn", x.size, x, y, s, *sizes, a, beta, k)


def lrn_backward(
    dy: Array,
    x: Array,
    y: Array,
    s: Array,
    dx: Array,
    size: int,
    a: float,
    beta: float,
    groups: int,
) -> None:
    n, c, *space = x.shape
    sizes = n, c, math.prod(space), c // groups, size
    launch("normalization.cu", "lrn_backward", x.size, dy, x, y, s, dx, *sizes, a, beta)


def spatial_norm(x: Array, y: Array, s: Array, size: int, a: float, beta: float, k: float) -> None:
    n, c, h, w = x.shape
    launch("normalization.cu", "spatial_norm", x.size, x, y, s, n * c, h, w, size, a, beta, k)


def spatial_norm_backward(
    dy: Array, x: Array, y: Array, s: Array, dx: Array, size: int, a: float, beta: float
) -> None:
    n, c, h, w = x.shape
    sizes = n * c, h, w, size
    launch("normalization.cu", "spatial_norm_backward", x.size, dy, x, y, s, dx, *sizes, a, beta)


def relu(x: Array, y: Array) -> None:
    launch("activation.cu", "relu", x.size, x, y, x.size)


def relu_backward(dy: Array, y: Array, dx: Array) -> None:
    launch("activation.cu", "relu_backward", dy.size, dy, y, dx, dy.size)


def bias_relu(y: Array, bias: Array | None, relu: bool) -> None:
    pointer = y if bias is None else ready(bias)  # not read without a bias
    launch("linear.cu", "bias_relu", y.size, y, pointer, *y.shape, bias is not None, relu)


def bias_relu_backward(dy: Array, y: Array, dz: Array, dbias: Array) -> None:
    threads = -(-y.shape[1] // 32) * BLOCK_THREADS
    launch("linear.cu", "bias_relu_backward", threads, dy, y, dz, dbias, *y.shape)


def error_function(x: Array, y: Array) -> None:
    launch("error_function.cu", "error_function", x.size, x, y, x.size)


def check_labels(op: str, labels: Array, ignore: int, classes: int) -> None:
    """No check, which would synchronise. The loss of an invalid label is NaN."""


def cross_entropy(
    x: Array, t: Array, w: Array, p: Array, loss: Array, weight: Array, ignore: int
) -> None:
    n, classes = x.shape
    launch("loss.cu", "cross_entropy", n * BLOCK_THREADS, x, t, w, p, loss, weight, classes, ignore)


def cross_entropy_backward(dloss: Array, p: Array, t: Array, weight: Array, dx: Array) -> None:
    launch("loss.cu", "cross_entropy_backward", p.size, dloss, p, t, weight, dx, *p.shape)


def weighted_mean(x: Array, counts: Array, y: Array, total: Array) -> None:
    launch("loss.cu", "weighted_mean", BLOCK_THREADS, x, counts, y, total, len(x))


def weighted_mean_backward(dy: Array, total: Array, dx: Array) -> None:
    launch("loss.cu", "weighted_mean_backward", len(dx), dy, total, dx, len(dx))


def dropout(
    x: Array,
    mask: Array,
    y: Array,
    keep: float,
    scale: float,
    key: tuple[int, int],
    step: Array,
    call: int,
    first: int,
) -> None:
    samples, units = len(x), math.prod(x.shape[1:])
    octets = -(-units // 8)
    sizes, threshold = (samples, units, octets, first), min(round(keep * 2**32), 2**32)
    numbers = scale, threshold, *key, step, call
    launch("dropout.cu", "dropout", samples * octets, x, mask, y, *sizes, *numbers)


def scale_kept(x: Array, mask: Array, y: Array, scale: float) -> None:
    launch("dropout.cu", "scale_kept", x.size, x, mask, y, x.size, scale)


def augment(
    images: Array, mean: Array, out: Array, moves: Array, colour: Array | None, scale: float
) -> None:
    if images.dtype not in (np.uint8, np.float32):
        images = images.astype(np.float32)
    sizes = *images.shape, *out.shape[2:]
    flags = mean.size != images.shape[1], colour is not None
    pointer = mean if colour is None else colour  # not read without colour noise
    launch(
        "augmentation.cu", "augment", out.size,
        images, mean, out, moves, pointer, *sizes, *flags, scale,
    )  # fmt: skip
