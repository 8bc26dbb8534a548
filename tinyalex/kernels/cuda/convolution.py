"""Convolution on a GPU, with columns and without."""

import math
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array, Scratch, cublas
from tinyalex.kernels.cuda.launching import BLOCK_THREADS, launch
from tinyalex.kernels.geometry import Pair

TILE_ROWS, TILE_COLUMNS = BLOCK_THREADS // 4, BLOCK_THREADS
"""ROWS and COLUMNS of implicit_gemm.cu."""

SEGMENT_BLOCKS, MIN_MATMUL_POSITIONS, MIN_SUM_POSITIONS = 256, 64, 4 * BLOCK_THREADS
"""The positions of a sum over positions are divided into segments, which have blocks of
their own: together about two blocks per multiprocessor of a large GPU. Segments shorter
than the minimum would cost more in the sum over segments."""

MAX_KEPT_SHARE, MAX_ALL_KEPT_SHARE = 32, 4
"""Columns are kept for the backward pass if they are at most 1/32 of the GPU's memory,
and all columns that are kept at a time at most a quarter of it. Those of a captured
step are in the graph's memory, and do not count."""

_kept_bytes: Counter[str] = Counter()
"""Of the columns that are kept now, by device."""


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


def keep_columns(col: Array) -> bool:
    name, size = device.of(col), col.nbytes
    total = _memory_bytes(name)
    kept = _kept_bytes[name] + size
    if size > total // MAX_KEPT_SHARE or kept > total // MAX_ALL_KEPT_SHARE:
        return False
    _kept_bytes[name] = kept
    weakref.finalize(col, _kept_bytes.subtract, {name: size}).atexit = False
    return True


@cache
def _memory_bytes(name: str) -> int:
    return device.memory(name)["total"]


def matmul_in_tile(a: Array, b: Array, out: Array) -> None:
    target = out if out.flags.c_contiguous else device.xp(out).empty(out.shape, out.dtype)
    stacks = (x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:]) for x in (a, b, target))
    cublas.multiply(*stacks)
    if target is not out:
        out[...] = target


def matmul_transposed(a: Array, b: Array, out: Array) -> None:
    cublas.multiply(a, b.swapaxes(-1, -2), out)


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


def from_columns_lrn(
    product: Array,
    bias: Array | None,
    y: Array,
    z: Array,
    s: Array,
    size: int,
    a: float,
    beta: float,
    k: float,
    groups: int,
) -> None:
    images, filters, *out = y.shape
    pointer = product if bias is None else bias  # not read without a bias
    sizes = images, filters, math.prod(out), bias is not None, filters // groups, size
    arguments = product, pointer, y, z, s, *sizes, a, beta, k
    launch("normalized_columns.cu", "from_columns_lrn", y.size, *arguments)


def to_columns(
    dy: Array, product: Array, y: Array | None = None, sums: Array | None = None
) -> None:
    pointer = dy if y is None else y  # not read without a ReLU
    with _sums_of_segments(dy, sums) as (threads, parts, sizes):
        arguments = dy, pointer, product, parts, *sizes, y is not None
        launch("columns.cu", "to_columns", threads, *arguments)


def to_columns_lrn(
    dz: Array,
    y: Array,
    z: Array,
    s: Array,
    product: Array,
    sums: Array | None,
    size: int,
    a: float,
    beta: float,
    k: float,
    groups: int,
) -> None:
    width = y.shape[1] // groups
    with _sums_of_segments(dz, sums) as (threads, parts, sizes):
        arguments = dz, y, z, s, product, parts, *sizes, width, size, a, beta
        launch("normalized_columns.cu", "to_columns_lrn", threads, *arguments)


@contextmanager
def _sums_of_segments(
    dy: Array, sums: Array | None
) -> Iterator[tuple[int, Array, tuple[int, ...]]]:
    """(threads, sums of the segments, (N, O, P, length of a segment)) of a launch. The
    sums are added after it."""
    images, filters, *out = dy.shape
    positions, xp = images * math.prod(out), device.xp(dy)
    segments = _segments(filters, positions, MIN_SUM_POSITIONS)
    parts = sums if segments == 1 else None
    if parts is None:
        parts = xp.empty((segments, filters), device.sum_dtype(dy.dtype))
    sizes = images, filters, math.prod(out), -(-positions // segments)
    yield segments * filters * BLOCK_THREADS, parts, sizes
    if sums is not None and parts is not sums:
        xp.sum(parts, axis=0, out=sums)


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
    segments = _segments(tiles, positions, MIN_MATMUL_POSITIONS)
    length = -(-positions // segments)
    parts = device.xp(dw).empty((segments, *dw.shape), device.sum_dtype(dw.dtype))
    threads = segments * tiles * BLOCK_THREADS
    launch("implicit_gemm.cu", "conv2d_weight_grad", threads, x, dy, parts, *sizes, length)
    device.xp(dw).sum(parts, axis=0, dtype=parts.dtype, out=dw)


def _conv_sizes(x: Array, w: Array, y: Array) -> tuple[int, ...]:
    """N, C, H, W, O, KH, KW, OH, OW."""
    return *x.shape, len(w), *w.shape[2:], *y.shape[2:]


def _segments(blocks: int, positions: int, min_positions: int) -> int:
    """The segments of `positions` of a kernel with `blocks` blocks per segment."""
    return max(1, min(SEGMENT_BLOCKS // blocks, positions // min_positions))


def _tiles(groups: int, rows: int, columns: int) -> int:
    """The tiles of `groups` matrices, which have `rows` rows together."""
    return groups * -(-(rows // groups) // TILE_ROWS) * -(-columns // TILE_COLUMNS)
