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
from tinyalex.device import Array, cublas
from tinyalex.kernels.cuda import selection
from tinyalex.kernels.cuda.convolution import col2im as col2im
from tinyalex.kernels.cuda.convolution import column_dtype as column_dtype
from tinyalex.kernels.cuda.convolution import columns as columns
from tinyalex.kernels.cuda.convolution import conv2d as conv2d
from tinyalex.kernels.cuda.convolution import conv2d_input_grad as conv2d_input_grad
from tinyalex.kernels.cuda.convolution import conv2d_weight_grad as conv2d_weight_grad
from tinyalex.kernels.cuda.convolution import from_columns as from_columns
from tinyalex.kernels.cuda.convolution import from_columns_lrn as from_columns_lrn
from tinyalex.kernels.cuda.convolution import im2col as im2col
from tinyalex.kernels.cuda.convolution import keep_columns as keep_columns
from tinyalex.kernels.cuda.convolution import matmul_in_tile as matmul_in_tile
from tinyalex.kernels.cuda.convolution import matmul_transposed as matmul_transposed
from tinyalex.kernels.cuda.convolution import matrix as matrix
from tinyalex.kernels.cuda.convolution import positions as positions
from tinyalex.kernels.cuda.convolution import to_columns as to_columns
from tinyalex.kernels.cuda.convolution import to_columns_lrn as to_columns_lrn
from tinyalex.kernels.cuda.launching import BLOCK_THREADS, launch, ready
from tinyalex.kernels.cuda.updates import adam_update as adam_update
from tinyalex.kernels.cuda.updates import find_not_finite as find_not_finite
from tinyalex.kernels.cuda.updates import sgd_update as sgd_update
from tinyalex.kernels.cuda.updates import update_loss_scale as update_loss_scale
from tinyalex.kernels.geometry import ConvFunction, ConvShape, Pair, no_offset


def activation(shape: tuple[int, ...], dtype: Any) -> Array:
    import cupy

    return cupy.empty(shape, dtype)


def as_activation(x: Array, shape: tuple[int, ...]) -> Array:
    return x.reshape(shape)


def like(x: Array) -> Array:
    return activation(x.shape, x.dtype)


def matmul(a: Array, b: Array, out: Array) -> None:
    cublas.multiply(a, b, out)


def product(x: Array, y: Array) -> Array:
    if not x.dtype == y.dtype == np.float16:
        return x @ y
    if x.size == y.size and x.shape[-1:] == (x.size,):
        # CuPy computes dot products without cuBLAS, and adds in their dtype.
        return (x.astype(np.float32) @ y.astype(np.float32)).astype(np.float16)
    with cublas.float32_sums():
        return x @ y


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


def bias_relu_backward(dy: Array, y: Array, dz: Array, dbias: Array, scale: float = 1.0) -> None:
    threads = -(-y.shape[1] // 32) * BLOCK_THREADS
    launch("linear.cu", "bias_relu_backward", threads, dy, y, dz, dbias, *y.shape, scale)


def bias_relu_dropout(
    y: Array,
    bias: Array | None,
    keep: float,
    scale: float,
    key: tuple[int, int],
    step: Array,
    call: int,
    first: int,
) -> None:
    threads, numbers = _drawing(y, keep, scale, key, first)
    pointer = y if bias is None else ready(bias)  # not read without a bias
    arguments = y, pointer, y.shape[-1], bias is not None, *numbers, step, call
    launch("dropout.cu", "bias_relu_dropout", threads, *arguments)


def error_function(x: Array, y: Array) -> None:
    launch("error_function.cu", "error_function", x.size, x, y, x.size)


def check_labels(op: str, labels: Array, ignore: int, classes: int) -> None:
    """No check, which would synchronise. The loss of an invalid label is NaN."""


def cross_entropy(
    x: Array, t: Array, w: Array, p: Array, loss: Array, weight: Array, ignore: int
) -> None:
    n, classes = x.shape
    launch("loss.cu", "cross_entropy", n * BLOCK_THREADS, x, t, w, p, loss, weight, classes, ignore)


def cross_entropy_backward(
    dloss: Array, p: Array, t: Array, weight: Array, dx: Array, total: Array | None = None
) -> None:
    mean = total is not None
    if total is None:
        total = device.xp(p).empty((), device.sum_dtype(p.dtype))  # not read
    arguments = dloss, p, t, weight, total, dx, *p.shape, mean
    launch("loss.cu", "cross_entropy_backward", p.size, *arguments)


def find_errors(x: Array, t: Array, wrong: Array) -> None:
    n, classes = x.shape
    launch("loss.cu", "find_errors", n * BLOCK_THREADS, x, t, wrong, classes)


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
    threads, numbers = _drawing(x, keep, scale, key, first)
    launch("dropout.cu", "dropout", threads, x, mask, y, *numbers, step, call)


def _drawing(
    x: Array, keep: float, scale: float, key: tuple[int, int], first: int
) -> tuple[int, tuple[Any, ...]]:
    """The threads that draw a mask for x, and their arguments `samples` to `key1`."""
    samples, units = len(x), math.prod(x.shape[1:])
    octets = -(-units // 8)
    threshold = min(round(keep * 2**32), 2**32)
    return samples * octets, (samples, units, octets, first, scale, threshold, *key)


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
