"""Convolution with a quarter of the multiplications: Winograd's minimal filtering.

Two polynomials of degree m - 1 and r - 1 can be multiplied coefficient by coefficient,
with m*r multiplications, or by their values: the result has m + r - 1 coefficients, so
m + r - 1 points determine it, with one multiplication each (Toom 1963, Cook 1966).
Correlation is the transpose of that. So m outputs of a filter of r elements take
m + r - 1 multiplications,

    y = AT @ ((G @ w) * (BT @ x))          x: m + r - 1 values, w: r, y: m

and in two dimensions (m + r - 1)**2 instead of (m*r)**2: 49 instead of 225 for 5 x 5
outputs of a 3 x 3 filter (Winograd 1980; Lavin and Gray 2016). The sum over channels is
taken before AT, so that all tiles at one point p are one matrix multiplication:

    U[p] = (G w GT)[p]          (C, O)             the filters, once
    V[p] = (BT x B)[p]          (tiles, C)         tiles that overlap by r - 1 pixels
    M[p] = V[p] @ U[p]          (tiles, O)         most of the work
    y    = AT M A               m x m outputs a tile

The backward pass is the adjoint: with D = A dy AT,  dU[p] = V[p].T @ D[p]  and
dw = GT dU G;  dx is the convolution of dy with the mirrored filters.

Transforms are small matrix multiplications over pixels stored as
(H, W, images, channels), whose rows hold all channels of all images at a position. They
are memory-bound: some rows of tiles are transformed, multiplied and transformed back
while in the cache.

Rounding errors grow with m: y has a relative l2 error of at most 5e-6 against float64
(tests/test_winograd.py). They are relative to the largest value of a tile: for images,
filters and gradients with a few values far larger than the others, infinite or NaN,
im2col is used instead (winograd_range.py).
"""

import math

import numpy as np

from tinyalex import device
from tinyalex.kernels.cpu.activation import masked, relu_backward
from tinyalex.kernels.cpu.allocation import activation, empty, like
from tinyalex.kernels.cpu.convolution.filter_cache import cached, invalidate
from tinyalex.kernels.cpu.convolution.winograd_range import (
    MAX_GRADIENT_RATIO,
    filters_in_range,
    pixels_in_range,
)
from tinyalex.kernels.cpu.convolution.winograd_tiling import Tiling
from tinyalex.kernels.cpu.convolution.winograd_transforms import (
    ONE,
    filter_matrix,
    matrices,
    points_to_tiles,
    tiles_to_points,
)
from tinyalex.kernels.cpu.gemm import MIN_PARALLEL_MADDS, matmul, stacked_matmul
from tinyalex.kernels.cpu.layout import as_hwnc
from tinyalex.kernels.geometry import ConvFunction, ConvShape

MIN_TILE_IMAGES = 32
"""Images in a tile of the batch: fewer make matrices small, more take memory."""

MAX_STRIP_ROWS = 256
"""Rows of the matrices multiplied at once (at least a row of tiles): fewer make BLAS
slow, more exceed the cache."""


class Winograd(ConvFunction):
    """Winograd's algorithm, in float32. Arguments as `functional.Conv2d`.

    Stores x and w, for dw the transformed tiles V (two to four times as large as x, but
    expensive to recompute) and, with `relu`, y. If x or w is out of range
    (winograd_range.py), im2col computes y and the gradients; if dy is, the gradients.
    """

    def forward(
        self,
        x: np.ndarray,
        w: np.ndarray,
        b: np.ndarray | None,
        *,
        shape: ConvShape,
        relu: bool = False,
    ) -> np.ndarray:
        tiling = Tiling.of(shape)
        y = activation((len(x), len(w), *shape.out), x.dtype)
        training = any(self.needs_input_grad[1:])
        tiles: dict[tuple[int, int], np.ndarray] = {}
        self.tiling, self.shape, self.x, self.w, self.v = tiling, shape, x, w, tiles
        self.y = y if relu else None
        self.fallback: ConvFunction | None = None  # computed y, and computes the gradients
        u = forward_filters(tiling, w, training)
        if u is None:
            return self.forward_by_im2col(b, relu)
        channels = x.shape[1] * tiling.stride**2
        out_of_range: list[int] = []

        def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
            pixels = tiling.fold_pixels(x[lo:hi], scratch)
            if not pixels_in_range(pixels, hi - lo):
                out_of_range.append(lo)
                return
            v = None
            if training:
                v = tiles[lo, hi] = empty(tiling.points((hi - lo) * channels), x.dtype)
            convolve(tiling, pixels, u, b, as_hwnc(y[lo:hi]), scratch, v, relu)

        device.for_tiles(
            x,
            tiling.bytes_each(channels + len(w)),
            tile,
            min_tile=MIN_TILE_IMAGES,
            single_threaded=is_small(tiling, x, w),
        )
        return self.forward_by_im2col(b, relu) if out_of_range else y

    def backward(self, dy: np.ndarray) -> tuple[np.ndarray | None, ...]:
        if self.fallback is not None:
            return self.fallback.backward(dy)
        want_dx, want_dw, want_db = self.needs_input_grad
        tiling, w, y, tiles = self.tiling, self.w, self.y, self.v
        at, _, _ = matrices(tiling.m, tiling.r)
        a = np.ascontiguousarray(at.T).astype(w.dtype)
        gg = filter_matrix(tiling.m, tiling.r).astype(w.dtype)
        filters, channels = dy.shape[1], w.shape[1] * tiling.stride**2
        adjoint = tiling.transposed()
        dx = activation(self.shape.x, dy.dtype) if want_dx else None
        u = transform_filters(tiling, tiling.fold_filters(w), mirrored=True) if want_dx else None
        out_of_range: list[int] = []

        def tile(lo: int, hi: int, scratch: device.Scratch) -> tuple[np.ndarray, np.ndarray] | None:
            upstream = as_hwnc(dy[lo:hi])
            if y is not None:
                upstream = masked(upstream, as_hwnc(y[lo:hi]), scratch)
            if not pixels_in_range(upstream, hi - lo, MAX_GRADIENT_RATIO):
                out_of_range.append(lo)
                return None
            if dx is not None and u is not None:
                count = (hi - lo) * channels * tiling.groups
                if tiling.stride == 1:
                    convolve(adjoint, upstream, u, None, as_hwnc(dx[lo:hi]), scratch)
                else:
                    folded = scratch.take("folded", (*tiling.image, count), dx.dtype)
                    convolve(adjoint, upstream, u, None, folded, scratch)
                    tiling.unfold_pixels(folded, dx[lo:hi])
            if not tiles:
                return None
            d = scratch.take("products", tiling.points(upstream.shape[2]), dy.dtype)
            tiles_to_points(upstream, a, tiling.m, 0, d, scratch)
            group = tiling.groups, filters // tiling.groups, channels
            du = scratch.take("weights", (tiling.size**2, *group), dy.dtype)
            d_points, v_points = (tiling.by_group(p, hi - lo) for p in (d, tiles[lo, hi]))
            stacked_matmul(d_points.swapaxes(2, 3), v_points, du)
            # a's row for the point 1 is all ones: d there is the sum over a tile.
            db = d[ONE, ONE].reshape(-1, filters).sum(axis=0)
            return du.reshape(len(gg), -1).T @ gg, db

        sums = device.for_tiles(
            dy,
            adjoint.bytes_each(channels * tiling.groups + filters),
            tile,
            min_tile=MIN_TILE_IMAGES,
            single_threaded=is_small(tiling, dy, w),
            tiles=sorted(tiles) or None,
        )
        if out_of_range:
            return self.backward_by_im2col(dy)
        dw, db = sums or (None, None)
        if dw is not None:
            dw = tiling.unfold_filters(dw.reshape(filters, channels, -1))
        return dx, dw if want_dw else None, db if want_db else None

    # Values out of range (winograd_range.py)

    def forward_by_im2col(self, b: np.ndarray | None, relu: bool) -> np.ndarray:
        self.v = {}
        self.fallback = function = self.im2col()
        function.needs_input_grad = self.needs_input_grad
        return function.forward(self.x, self.w, b, shape=self.shape, relu=relu)

    def backward_by_im2col(self, dy: np.ndarray) -> tuple[np.ndarray | None, ...]:
        function = self.im2col()
        function.needs_input_grad = self.needs_input_grad
        function.forward(self.x, self.w, None, shape=self.shape)
        if self.y is None:
            return function.backward(dy)
        upstream = like(dy)
        relu_backward(dy, self.y, upstream)
        return function.backward(upstream)

    @classmethod
    def describe(cls, shape: ConvShape) -> str:
        tiling = Tiling.of(shape)
        return f"Winograd F({tiling.m}x{tiling.m}, {tiling.r}x{tiling.r})"


def convolve(
    tiling: Tiling,
    x: np.ndarray,
    u: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    scratch: device.Scratch,
    v: np.ndarray | None = None,
    relu: bool = False,
) -> None:
    """y (OH, OW, n*O) from pixels x (H, W, n*C) and filters u (points, G, C/G, O/G).

    The transformed tiles are stored in `v` if given.
    """
    at, _, bt = (a.astype(x.dtype) for a in matrices(tiling.m, tiling.r))
    n = x.shape[2] // (u.shape[1] * u.shape[2])
    down, across = tiling.tiles()
    strip = max(1, MAX_STRIP_ROWS // (across * n))
    square = tiling.size, tiling.size
    zeros = np.zeros(y.shape[2], y.dtype)  # NumPy's loops are slower with a scalar
    for first in range(0, down, strip):
        count = min(strip, down - first)
        if v is None:
            here = scratch.take("tiles", (*square, count, across, x.shape[2]), x.dtype)
        else:
            here = v[:, :, first : first + count]
        tiles_to_points(x, bt, tiling.m, tiling.offset(), here, scratch, first)
        m = scratch.take("products", (*square, count, across, y.shape[2]), x.dtype)
        stacked_matmul(tiling.by_group(here, n), u, tiling.by_group(m, n))  # M[p] = V[p] @ U[p]
        if b is not None:
            # The column of `at` for the point 1 is all ones: this adds to each output.
            bias = m[ONE, ONE].reshape(-1, len(b))
            bias += b
        rows = y[first * tiling.m : (first + count) * tiling.m]
        points_to_tiles(m, at, rows, scratch)
        if relu:
            np.maximum(rows, zeros, out=rows)


def forward_filters(tiling: Tiling, w: np.ndarray, training: bool) -> np.ndarray | None:
    """U (points, G, C/G, O/G) for the forward pass, cached unless w is trained.

    None if w is out of range.
    """

    def compute(w: np.ndarray) -> np.ndarray | None:
        folded = tiling.fold_filters(w)
        if not filters_in_range(folded):
            return None
        # Row-major for BLAS; transposed before the transform, which enlarges it.
        return transform_filters(tiling, folded.swapaxes(1, 2))

    if training:
        invalidate(w)
        return compute(w)
    return cached(w, (tiling.m, tiling.r, tiling.stride, tiling.kernel, tiling.groups), compute)


def transform_filters(tiling: Tiling, w: np.ndarray, mirrored: bool = False) -> np.ndarray:
    """G w GT (points, G, A, B) of filters (G, A, B, r*r)."""
    gg = filter_matrix(tiling.m, tiling.r)
    gg = np.ascontiguousarray(gg[:, ::-1] if mirrored else gg, w.dtype)
    u = empty((len(gg), *w.shape[:3]), w.dtype)
    matmul(gg, w.reshape(-1, w.shape[3]).T, out=u.reshape(len(gg), -1))
    return u


def is_small(tiling: Tiling, images: np.ndarray, w: np.ndarray) -> bool:
    """Whether a single thread multiplies faster than several."""
    madds = math.prod(tiling.points(len(images))) * w.shape[0] * w.shape[1] * tiling.stride**2
    return madds <= MIN_PARALLEL_MADDS
