"""The primitives on a GPU: each one launch of the kernel of that name in a .cu file beside this one.

They take C-contiguous arrays and raise on anything else: `ready(x)` makes one. An activation lies in memory as it looks, (N, C, H, W).
Within a tile of a convolution the images stand before the positions, (C, KH, KW, T, OH, OW), so that a column's neighbours in memory are
its neighbours in the image.
"""

import math
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.kernels.cuda.launching import BLOCK, launch
from tinyalex.kernels.window import ConvShape, Pair

# Memory order


def ready(x: Array) -> Array:
    """`x` in a memory order that the primitives take: itself if it is C-contiguous, else a copy that is."""
    return device.xp(x).ascontiguousarray(x)


def activation(shape: tuple[int, ...], dtype: Any) -> Array:
    """An uninitialised array (N, C, ...) for a layer's output."""
    import cupy

    return cupy.empty(shape, dtype)


def like(x: Array) -> Array:
    """An uninitialised C-contiguous array of x's shape and dtype."""
    import cupy

    return cupy.empty(x.shape, x.dtype)


def columns(scratch, name: str, rows: tuple[int, ...], images: int, out: Pair, dtype: Any) -> Array:
    """An uninitialised array (*rows, T, OH, OW) in scratch memory, that `matrix` can view as one column a position."""
    return scratch.take(name, (*rows, images, *out), dtype)


def positions(scratch, name: str, channels: int, images: int, out: Pair, dtype: Any) -> Array:
    """Like `columns` with rows = (channels,)."""
    return scratch.take(name, (channels, images, *out), dtype)


def matrix(a: Array) -> Array:
    """An array (*rows, T, OH, OW) from `columns` or `positions` as (rows, positions), in the same memory."""
    return a.reshape(math.prod(a.shape[:-3]), math.prod(a.shape[-3:]))


def from_columns(product: Array, bias: Array | None, y: Array, relu: bool = False) -> None:
    """y[n, o, i, j] = product[o, n, i, j] + bias[o]; with `relu`, 0 where that is negative."""
    images, o, *out = y.shape
    pointer = product if bias is None else bias  # which is not read where there is no bias
    launch(
        "columns.cu",
        "from_columns",
        y.size,
        product,
        pointer,
        y,
        images,
        o,
        math.prod(out),
        bias is not None,
        relu,
    )


def to_columns(dy: Array, product: Array, y: Array | None = None) -> None:
    """product[o, n, i, j] = dy[n, o, i, j]; with y, the output of a ReLU, where that is positive or NaN, else 0."""
    images, o, *out = dy.shape
    launch(
        "columns.cu",
        "to_columns",
        dy.size,
        dy,
        dy if y is None else y,
        product,
        images,
        o,
        math.prod(out),
        y is not None,
    )


def matmul(a: Array, b: Array, out: Array) -> None:
    """out = a @ b for matrices, which cuBLAS also reads transposed."""
    device.xp(a).matmul(a, b, out=out)


# Convolution


def im2col(x: Array, col: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> None:
    """col[c, u, v, n, i, j] = x[n, c, i*stride + u*dilation - padding, j*stride + v*dilation - padding], 0 outside of x.

    x (N, C, H, W), col (C, KH, KW, N, OH, OW).
    """
    threads = x.shape[1] * math.prod(col.shape[3:])
    launch(
        "columns.cu",
        "im2col",
        threads,
        x,
        col,
        *x.shape,
        *kernel,
        *col.shape[4:],
        *stride,
        *padding,
        *dilation,
    )


def col2im(col: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> None:
    """The adjoint of `im2col`: x[n, c, h, w] = the sum of all col[c, u, v, n, i, j] that im2col copies that pixel to."""
    launch(
        "columns.cu",
        "col2im",
        x.size,
        col,
        x,
        *x.shape,
        *kernel,
        *col.shape[4:],
        *stride,
        *padding,
        *dilation,
    )


def convolution_algorithm(shape: ConvShape, dtype: Any, wants_dx: bool) -> None:
    """The algorithm for a convolution; None for im2col, the only one on a GPU."""


# Pooling


def max_pool(
    x: Array,
    y: Array,
    argmax: Array | None,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> None:
    """y = the largest number in each window, argmax = the tap u*KW + v that it was found at first.

    NaN counts as largest, and of several NaN the last is taken.

    x (N, C, H, W), y (N, C, OH, OW), argmax like y, uint8 or int32, or None where nobody will ask.
    """
    n, c, *image = x.shape
    if argmax is None:
        argmax = device.xp(y).empty(y.shape, np.uint8)
    geometry = (*kernel, *y.shape[2:], *stride, *padding, *dilation)
    launch("pooling.cu", "max_pool", y.size, x, y, argmax, n * c, *image, *geometry)


def max_pool_backward(
    dy: Array, argmax: Array, dx: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None:
    """dx[pixel] = the sum of dy over all windows whose maximum it was: windows overlap, so a pixel can win several."""
    n, c, *image = dx.shape
    geometry = (*kernel, *dy.shape[2:], *stride, *padding, *dilation)
    launch("pooling.cu", "max_pool_backward", dx.size, dy, argmax, dx, n * c, *image, *geometry)


def avg_pool(x: Array, y: Array, divisor: Array, kernel: Pair, stride: Pair, padding: Pair) -> None:
    """y = the sum over each window / divisor. x (N, C, H, W), y (N, C, OH, OW), divisor (OH, OW)."""
    n, c, *image = x.shape
    launch(
        "pooling.cu",
        "avg_pool",
        y.size,
        x,
        y,
        divisor,
        n * c,
        *image,
        *kernel,
        *y.shape[2:],
        *stride,
        *padding,
    )


def avg_pool_backward(
    dy: Array, divisor: Array, dx: Array, kernel: Pair, stride: Pair, padding: Pair
) -> None:
    """dx[pixel] = the sum of dy / divisor over all windows that contain it."""
    n, c, *image = dx.shape
    launch(
        "pooling.cu",
        "avg_pool_backward",
        dx.size,
        dy,
        dx,
        divisor,
        n * c,
        *image,
        *kernel,
        *dy.shape[2:],
        *stride,
        *padding,
    )


# Response normalisation


def lrn(
    x: Array, y: Array, s: Array, size: int, a: float, beta: float, k: float, groups: int
) -> None:
    """s = k + a * (sum of x**2 over `size` channels), y = x * s**-beta. x, y, s: (N, C, ...)."""
    n, c, *space = x.shape
    launch(
        "normalization.cu",
        "lrn",
        x.size,
        x,
        y,
        s,
        n,
        c,
        math.prod(space),
        c // groups,
        size,
        a,
        beta,
        k,
    )


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
    """dx = dy * s**-beta - 2*a*beta * x * (sum of dy*y/s over the channels whose window holds this one)."""
    n, c, *space = x.shape
    launch(
        "normalization.cu",
        "lrn_backward",
        x.size,
        dy,
        x,
        y,
        s,
        dx,
        n,
        c,
        math.prod(space),
        c // groups,
        size,
        a,
        beta,
    )


def spatial_norm(x: Array, y: Array, s: Array, size: int, a: float, beta: float, k: float) -> None:
    """s = k + a * (sum of x**2 over size x size places of the same map), y = x * s**-beta. x, y, s: (N, C, H, W)."""
    n, c, h, w = x.shape
    launch("normalization.cu", "spatial_norm", x.size, x, y, s, n * c, h, w, size, a, beta, k)


def spatial_norm_backward(
    dy: Array, x: Array, y: Array, s: Array, dx: Array, size: int, a: float, beta: float
) -> None:
    """dx = dy * s**-beta - 2*a*beta * x * (sum of dy*y/s over the places whose window holds this one)."""
    n, c, h, w = x.shape
    launch(
        "normalization.cu",
        "spatial_norm_backward",
        x.size,
        dy,
        x,
        y,
        s,
        dx,
        n * c,
        h,
        w,
        size,
        a,
        beta,
    )


# Activation


def relu(x: Array, y: Array) -> None:
    """y = max(0, x). y may be x."""
    launch("activation.cu", "relu", x.size, x, y, x.size)


def relu_backward(dy: Array, y: Array, dx: Array) -> None:
    """dx = dy where y is positive or NaN, else 0."""
    launch("activation.cu", "relu_backward", dy.size, dy, y, dx, dy.size)


# Loss


def check_labels(labels: Array, ignore: int, classes: int) -> None:
    """Nothing: the host would have to wait for the device to see a label. One that does not exist makes its loss NaN instead."""


def cross_entropy(
    x: Array, t: Array, w: Array, p: Array, loss: Array, weight: Array, ignore: int
) -> None:
    """p = softmax(x), weight = w[t] (0 where t is `ignore`), loss = -weight * log p[t]. x, p (N, C), t, loss, weight (N,), w (C,)."""
    n, classes = x.shape
    launch("loss.cu", "cross_entropy", n * BLOCK, x, t, w, p, loss, weight, classes, ignore)


def cross_entropy_backward(dloss: Array, p: Array, t: Array, weight: Array, dx: Array) -> None:
    """dx = dloss * weight * (p - onehot(t)). dx, p (N, C), the others (N,)."""
    launch("loss.cu", "cross_entropy_backward", p.size, dloss, p, t, weight, dx, *p.shape)


# Random numbers


def random_mask(
    mask: Array, keep: float, key: tuple[int, int], step: int, call: int, first: int
) -> None:
    """mask[i] = a random bit for each unit of sample first + i, True with probability `keep`; the same bits as on the CPU.

    A unit takes 32 bits: of the uint64 words that belong to its sample, word unit // 2, the lower half first.
    """
    samples, units = len(mask), math.prod(mask.shape[1:])
    blocks = -(-units // 8)
    threshold = min(round(keep * 2**32), 2**32)
    launch(
        "dropout.cu",
        "random_mask",
        samples * blocks,
        mask,
        samples,
        units,
        blocks,
        first,
        threshold,
        *key,
        step,
        call,
    )


# Training


def sgd_update(
    w: Array, velocity: Array, grad: Array, lr: float, momentum: float, decay: float
) -> None:
    """velocity = momentum * velocity - decay * lr * w - lr * grad, then w += velocity, both in place (section 5)."""
    launch("sgd.cu", "sgd_update", w.size, w, velocity, ready(grad), w.size, lr, momentum, decay)


def augment(
    images: Array, mean: Array, out: Array, moves: Array, colour: Array | None, scale: float
) -> None:
    """out[n] = (images[n] - mean + colour[n]) * scale, moved up by moves[n, 0] and left by moves[n, 1], mirrored where moves[n, 2].

    What moves in is 0. images (N, C, H, W) of any type, mean (C, H, W) or (C, 1, 1), out (N, C, OH, OW) floating, moves (N, 3) int32,
    colour (N, C) or None for no shift.
    """
    if images.dtype not in (np.uint8, np.float32):
        images = images.astype(np.float32)
    n, c, h, w = images.shape
    whole = mean.size != c
    pointer = mean if colour is None else colour  # which is not read where there is no shift
    geometry = (n, c, h, w, *out.shape[2:])
    launch(
        "augmentation.cu",
        "augment",
        out.size,
        images,
        mean,
        out,
        moves,
        pointer,
        *geometry,
        whole,
        colour is not None,
        scale,
    )
