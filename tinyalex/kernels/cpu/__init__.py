"""The primitives on the CPU, in NumPy. They take arrays with any strides.

An activation looks like (N, C, H, W) to everybody and lies as (H, W, N, C) in memory: pooling, normalisation and ReLU then work
on whole rows of N*C numbers, which is what NumPy's loops are fast on. Within a tile of a convolution the images come last,
(C, H, W, T), so that a shifted view of the image is a few long runs.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.kernels.cpu.channel_sums import ChannelSums
from tinyalex.kernels.cpu.columns import col2im as col2im
from tinyalex.kernels.cpu.columns import im2col as im2col
from tinyalex.kernels.cpu.convolution.rowwise import WholeRows, whole_rows
from tinyalex.kernels.cpu.convolution.winograd import Winograd, setting, winograd
from tinyalex.kernels.cpu.gemm import matmul as matmul
from tinyalex.kernels.cpu.layout import for_rows, row_blocks
from tinyalex.kernels.cpu.memory import empty
from tinyalex.kernels.cpu.pooling import avg_pool as avg_pool
from tinyalex.kernels.cpu.pooling import avg_pool_backward as avg_pool_backward
from tinyalex.kernels.cpu.pooling import max_pool as max_pool
from tinyalex.kernels.cpu.pooling import max_pool_backward as max_pool_backward
from tinyalex.kernels.cpu.windows import Pair

# Memory order


def ready(x: np.ndarray) -> np.ndarray:
    """`x` in a memory order that the primitives take: on the CPU any will do."""
    return x


def activation(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array (N, C, ...) for a layer's output, in the memory order that layers are fast on: (..., N, C), but (C, N)."""
    n, c, *space = shape
    if not space:
        return empty((c, n), dtype).T
    return np.moveaxis(empty((*space, n, c), dtype), (-2, -1), (0, 1))


def like(x: np.ndarray) -> np.ndarray:
    """An uninitialised array of x's shape and dtype that lies in memory as x does."""
    order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    return empty(tuple(x.shape[axis] for axis in order), x.dtype).transpose(np.argsort(order))


def columns(
    scratch, name: str, rows: tuple[int, ...], images: int, out: Pair, dtype: np.dtype
) -> np.ndarray:
    """An uninitialised array (*rows, T, OH, OW) in scratch memory, that `matrix` can view as one column a position."""
    oh, ow = out
    return np.moveaxis(scratch.take(name, (*rows, oh, ow, images), dtype), -1, -3)


def positions(
    scratch, name: str, channels: int, images: int, out: Pair, dtype: np.dtype
) -> np.ndarray:
    """Like `columns` with rows = (channels,), but lying in memory as activations do, one row a position."""
    oh, ow = out
    return np.moveaxis(scratch.take(name, (oh, ow, images, channels), dtype), (-1, -2), (0, 1))


def matrix(a: np.ndarray) -> np.ndarray:
    """An array (*rows, T, OH, OW) from `columns` or `positions` as (rows, positions), in the same memory."""
    *rows, t, oh, ow = a.shape
    return np.moveaxis(a, -3, -1).reshape(math.prod(rows), oh * ow * t, copy=False)


def from_columns(
    product: np.ndarray, bias: np.ndarray | None, y: np.ndarray, relu: bool = False
) -> None:
    """y[n, o, i, j] = product[o, n, i, j] + bias[o]; with `relu`, 0 where that is negative."""
    product = product.swapaxes(0, 1)
    # One bias for each number of a row of N*C: NumPy would else loop over one image's channels at a time.
    per_row = np.zeros(product.shape[:2], product.dtype)
    if bias is not None:
        per_row += bias
    np.add(product, per_row[..., None, None], out=y)
    if relu:
        np.maximum(y, np.zeros_like(per_row)[..., None, None], out=y)


def to_columns(dy: np.ndarray, product: np.ndarray, y: np.ndarray | None = None) -> None:
    """product[o, n, i, j] = dy[n, o, i, j]; with y, the output of a ReLU, where that is positive or NaN, else dy * 0."""
    if y is None:
        product[...] = dy.swapaxes(0, 1)
    else:
        relu_backward(dy, y, product.swapaxes(0, 1))


# Convolution


def fast_conv(
    x: np.ndarray, w: np.ndarray, window: Any, out: Pair, groups: int, want_dx: bool
) -> Winograd | WholeRows | None:
    """A faster way to convolve x (N, C, H, W) with w (O, C/G, KH, KW) than tiles of images, if there is one for these shapes."""
    if setting() == "off":
        return None
    return winograd(x, w, window, out, groups) or (
        None if want_dx else whole_rows(x, w, window, out, groups)
    )


# Local response normalisation


def lrn(x, y, s, size: int, a: float, beta: float, k: float, groups: int) -> None:
    """s = k + a * (sum of x**2 over `size` channels), y = x * s**-beta. x, y, s: (N, C, ...)."""

    def some_rows(own: slice) -> None:
        sums = ChannelSums(x, size, groups, before=size // 2)
        for xr, yr, sr in _rows_of_channels(own, x, y, s):
            terms = sums.terms(xr.shape)
            np.multiply(sums.grouped(xr), sums.grouped(xr), out=terms)
            np.multiply(sums.of_windows(), a, out=sums.grouped(sr))
            sr += k
            np.divide(xr, _power(sr, beta, out=yr), out=yr)

    for_rows(x, x.nbytes, some_rows)


def lrn_backward(dy, x, y, s, dx, size: int, a: float, beta: float, groups: int) -> None:
    """dx = dy * s**-beta - 2*a*beta * x * (sum of dy*y/s over the channels whose window holds this one)."""

    def some_rows(own: slice) -> None:
        sums = ChannelSums(x, size, groups, before=(size - 1) // 2)
        for dyr, xr, yr, sr, dxr in _rows_of_channels(own, dy, x, y, s, dx):
            terms = sums.terms(xr.shape)
            np.multiply(sums.grouped(dyr), sums.grouped(yr), out=terms)
            terms /= sums.grouped(sr)
            np.multiply(sums.of_windows(), -2 * a * beta, out=sums.grouped(dxr))
            dxr *= xr
            direct = _power(sr, beta)
            dxr += np.divide(dyr, direct, out=direct)

    for_rows(x, x.nbytes, some_rows)


def spatial_norm(
    x: np.ndarray, y: np.ndarray, s: np.ndarray, size: int, a: float, beta: float, k: float
) -> None:
    """s = k + a * (sum of x**2 over size x size places of the same map), y = x * s**-beta. x, y, s: (N, C, H, W)."""
    # The sum over a window is average pooling with a divisor of 1.
    avg_pool(x * x, s, np.ones(x.shape[2:], x.dtype), (size, size), (1, 1), (size // 2, size // 2))
    s *= a
    s += k
    np.divide(x, _power(s, beta, out=y), out=y)


def spatial_norm_backward(dy, x, y, s, dx, size: int, a: float, beta: float) -> None:
    """dx = dy * s**-beta - 2*a*beta * x * (sum of dy*y/s over the places whose window holds this one)."""
    # And the sum over the windows that hold a place is that pooling's backward pass.
    avg_pool_backward(
        dy * y / s, np.ones(x.shape[2:], x.dtype), dx, (size, size), (1, 1), (size // 2, size // 2)
    )
    dx *= x
    dx *= -2 * a * beta
    dx += dy / _power(s, beta)


def _rows_of_channels(own: slice, *arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Some rows at a time of arrays (N, C, H, ...), seen as (H, ..., N, C), which is how activations lie."""
    for rows in row_blocks(arrays[0], own):
        yield tuple(np.moveaxis(a[:, :, rows], (0, 1), (-2, -1)) for a in arrays)


def _power(s: np.ndarray, beta: float, out: np.ndarray | None = None) -> np.ndarray:
    """s**beta. The paper's 0.75 is two square roots, ten times as fast as the general power."""
    if beta != 0.75:
        return np.power(s, beta, out=out)
    root = np.sqrt(s, out=out)
    root *= s
    return np.sqrt(root, out=root)


# Activation


def relu(x: np.ndarray, y: np.ndarray) -> None:
    """y = max(0, x). y may be x."""
    # NumPy's loop is four times as fast with an array of zeros as with a single one. An activation repeats one row of them.
    if x.ndim < 3:
        np.maximum(x, np.zeros_like(x), out=y)
    else:
        nothing = np.zeros(x.shape[:2], x.dtype)[(..., *[None] * (x.ndim - 2))]
        for_rows(x, x.nbytes, lambda rows: np.maximum(x[:, :, rows], nothing, out=y[:, :, rows]))


def relu_backward(dy: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
    """dx = dy where y is positive or NaN, else dy * 0: NaN, if dy is infinite."""

    def part(where: Any) -> None:
        np.multiply(dy[where], np.logical_not(y[where] <= 0), out=dx[where])

    if y.ndim < 3:
        part(...)
    else:
        for_rows(y, y.nbytes, lambda rows: part((slice(None), slice(None), rows)))


# Loss


def check_labels(labels: np.ndarray, ignore: int, classes: int) -> None:
    """ValueError unless all labels but `ignore` are from 0 to classes - 1."""
    valid = labels[labels != ignore]
    if valid.size and not (0 <= valid.min() and valid.max() < classes):
        raise ValueError(
            f"cross_entropy: target holds {valid.min()} to {valid.max()}, but input has the classes 0 to {classes - 1}. "
            f"Number the classes from 0, and give the rest the label ignore_index={ignore}."
        )


def cross_entropy(
    x, t, w, p: np.ndarray, loss: np.ndarray, weight: np.ndarray, ignore: int
) -> None:
    """p = softmax(x), weight = w[t] (0 where t is `ignore`), loss = -weight * log p[t]. x, p (N, C), t, loss, weight (N,), w (C,)."""
    counted = t != ignore
    t = np.where(counted, t, 0)
    weight[...] = np.where(counted, w[t], 0)
    x = x - x.max(axis=1, keepdims=True)
    log_p = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    np.exp(log_p, out=p)
    loss[...] = np.where(counted, -weight * log_p[np.arange(len(x)), t], 0)


def cross_entropy_backward(
    dloss: np.ndarray, p: np.ndarray, t: np.ndarray, weight: np.ndarray, dx: np.ndarray
) -> None:
    """dx = dloss * weight * (p - onehot(t)). dx, p (N, C), the others (N,)."""
    dx[...] = p
    dx[np.arange(len(p)), t.clip(0, p.shape[1] - 1)] -= (
        1  # a label that is ignored has a weight of 0
    )
    dx *= (dloss * weight)[:, None]


# Random numbers


def random_mask(
    mask: np.ndarray, keep: float, key: tuple[int, int], step: int, call: int, first: int
) -> None:
    """mask[i] = a random bit for each unit of sample first + i, True with probability `keep`.

    A unit takes 32 bits: of the uint64 words that belong to its sample, word unit // 2, the lower half first.
    """
    units = math.prod(mask.shape[1:])
    words = device.random_words(key, step, call, range(first, first + len(mask)), -(-units // 2))
    drawn = words.astype("<u8", copy=False).view("<u4")[:, :units]
    mask[...] = (drawn < min(round(keep * 2**32), 2**32)).reshape(mask.shape)


# Training


SMALL_UPDATE = 1 << 15
"""Numbers that one thread has updated sooner than others are woken."""


def sgd_update(
    w: np.ndarray, velocity: np.ndarray, grad: np.ndarray, lr: float, momentum: float, decay: float
) -> None:
    """velocity = momentum * velocity - decay * lr * w - lr * grad, then w += velocity, both in place (section 5)."""
    arrays = w, velocity, grad
    if all(a.flags.c_contiguous for a in arrays):
        w, velocity, grad = (a.reshape(-1) for a in arrays)
    else:
        w, velocity, grad = map(np.atleast_1d, arrays)

    def block(lo: int, hi: int, scratch: device.Scratch) -> None:
        part, v, change = (
            w[lo:hi],
            velocity[lo:hi],
            scratch.take("change", (hi - lo, *w.shape[1:]), w.dtype),
        )
        v *= momentum
        if decay:
            v -= np.multiply(part, decay * lr, out=change)
        v -= np.multiply(grad[lo:hi], lr, out=change)
        part += v

    # One tile, and not `alone`: without a matrix product there is no need to hold BLAS to one thread.
    device.for_tiles(
        w, 8 * w[:1].nbytes, block, tiles=[(0, len(w))] if w.size <= SMALL_UPDATE else None
    )


def augment(
    images, mean, out: np.ndarray, moves: np.ndarray, colour: np.ndarray | None, scale: float
) -> None:
    """out[n] = (images[n] - mean + colour[n]) * scale, moved up by moves[n, 0] and left by moves[n, 1], mirrored where moves[n, 2].

    What moves in is 0. images (N, C, H, W) of any type, mean (C, H, W) or (C, 1, 1), out (N, C, OH, OW) floating, moves (N, 3) int32,
    colour (N, C) or None for no shift.
    """
    out.fill(0)
    (h, w), (oh, ow) = images.shape[2:], out.shape[2:]
    mean = mean.astype(out.dtype, copy=False)
    for n, (top, left, flip) in enumerate(moves.tolist()):
        rows, cols = slice(max(top, 0), min(top + oh, h)), slice(max(left, 0), min(left + ow, w))
        target = out[n, :, :, ::-1] if flip else out[n]
        seen = (images[n] - mean)[:, rows, cols]
        if colour is not None:
            seen += colour[n, :, None, None]
        target[:, rows.start - top : rows.stop - top, cols.start - left : cols.stop - left] = seen
    if scale != 1:
        out *= scale
