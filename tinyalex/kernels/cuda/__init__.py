"""The primitives on a GPU, as in `kernels/cpu`, which documents them.

Each launches the kernel of the same name in a .cu file. They accept C-contiguous arrays
only; `ready(x)` returns one.

An activation is stored in C order, (N, C, H, W). Within a tile of a convolution the
images precede the positions, (C, KH, KW, T, OH, OW): neighbours in memory are then
neighbours in the image.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array, Scratch, cublas
from tinyalex.kernels.cuda.launching import BLOCK_THREADS, launch
from tinyalex.kernels.cuda.source_files import ARRAYS
from tinyalex.kernels.geometry import ConvShape, Pair, no_offset


def activation(shape: tuple[int, ...], dtype: Any) -> Array:
    import cupy

    return cupy.empty(shape, dtype)


def as_activation(x: Array, shape: tuple[int, ...]) -> Array:
    return x.reshape(shape)


def like(x: Array) -> Array:
    return activation(x.shape, x.dtype)


def ready(x: Array) -> Array:
    """`x` itself if it is C-contiguous, else a copy that is."""
    # Not ascontiguousarray alone, which makes 0-d arrays 1-d.
    return x if x.flags.c_contiguous else device.xp(x).ascontiguousarray(x)


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


matmul_in_tile = matmul


def product(x: Array, y: Array) -> Array:
    is_dot = x.size == y.size and x.shape[-1:] == (x.size,)
    if is_dot and x.dtype == y.dtype == np.float16:
        # CuPy computes dot products without cuBLAS, and adds in their dtype.
        return (x.astype(np.float32) @ y.astype(np.float32)).astype(np.float16)
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


def convolution_algorithm(shape: ConvShape, dtype: Any, wants_dx: bool) -> None:
    """None for im2col, the only algorithm on a GPU."""


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


def random_mask(
    mask: Array, keep: float, key: tuple[int, int], step: Array, call: int, first: int
) -> None:
    samples, units = len(mask), math.prod(mask.shape[1:])
    blocks = -(-units // 8)
    threshold = min(round(keep * 2**32), 2**32)
    counters = first, threshold, *key, step, call
    launch("dropout.cu", "random_mask", samples * blocks, mask, samples, units, blocks, *counters)


def scale_kept(x: Array, mask: Array, y: Array, scale: float) -> None:
    launch("dropout.cu", "scale_kept", x.size, x, mask, y, x.size, scale)


def sgd_update(
    weights: list[Array],
    velocities: list[Array],
    grads: list[Array],
    options: Array,
    scaling: Array | None = None,
) -> None:
    is_scaled = scaling is not None
    pointer = options if scaling is None else scaling.astype(options.dtype, copy=False)
    for i, n, parts in _parts(weights, velocities, grads):
        rows = options[i : i + ARRAYS]
        launch("sgd.cu", "sgd_update", n, *parts, rows, pointer, n, is_scaled)


def adam_update(
    weights: list[Array],
    means: list[Array],
    squares: list[Array],
    grads: list[Array],
    options: Array,
) -> None:
    for i, n, parts in _parts(weights, means, squares, grads):
        launch("adam.cu", "adam_update", n, *parts, options[i : i + ARRAYS], n)


def find_not_finite(grads: list[Array], state: Array) -> None:
    for _, n, parts in _parts(grads):
        launch("loss_scale.cu", "find_not_finite", n, *parts, state, n)


def update_loss_scale(state: Array, growth: float, backoff: float, interval: int) -> None:
    launch("loss_scale.cu", "update_loss_scale", 1, state, growth, backoff, interval)


def _parts(*lists: list[Array]) -> Iterator[tuple[int, int, list[list[Array]]]]:
    """For each launch: the index of its first arrays, their number of elements, and at
    most ARRAYS arrays of each list."""
    for i in range(0, len(lists[0]), ARRAYS):
        parts = [[ready(a) for a in arrays[i : i + ARRAYS]] for arrays in lists]
        yield i, sum(a.size for a in parts[0]), parts


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
