"""Convolution with a quarter of the products: Winograd's minimal filtering, as small matrix products in NumPy.

Two polynomials of degree m - 1 and r - 1 can be multiplied coefficient by coefficient, with m*r products, or by way of their values: their
product has m + r - 1 coefficients, so m + r - 1 points fix it, and at each point one product is enough (Toom 1963, Cook 1966). Correlation
is the transpose of that multiplication. So m outputs of a filter of r taps take m + r - 1 products,

    y = AT @ ((G @ w) * (BT @ x))          x: m + r - 1 numbers, w: r, y: m

and in two dimensions, with the matrices on both sides, (m + r - 1)**2 instead of (m*r)**2: 49 instead of 225 for 5 x 5 outputs of a 3 x 3
filter (Winograd 1980; Lavin and Gray 2016 for networks). The sum over channels comes between the products and AT, so that the products of
all tiles at one of the points are one product of matrices:

    U[p] = (G w GT)[p]          (C, O)             of the weights, once
    V[p] = (BT x B)[p]          (tiles, C)         of every tile of m + r - 1 pixels, which overlap by r - 1
    M[p] = V[p] @ U[p]          (tiles, O)         where the work is
    y    = AT M A               m x m outputs a tile

Backward is the same machine turned round: with D = A dy AT,  dU[p] = V[p].T @ D[p] and dw = GT dU G; and dx is the convolution of dy with
the filters mirrored. V is kept for it, two to four times as large as x, because to make it again costs more than to fetch it.

Transforms are small matrix products too, over pixels that lie in memory as (H, W, images, channels): one row of a matrix is what all
channels of all images have at a place. They move little and compute little, so they must not wait for memory: some rows of tiles are
transformed, multiplied and transformed back while they are in the cache.

The price is rounding: the points' powers differ in size, the more the larger m is. tests/test_winograd.py holds
y to an error of 5e-6 (l2, relative, against float64) in the setting "fast", and of 2e-6 in "accurate".
"""

import math
import os
from typing import Any, NamedTuple

import numpy as np

from tinyalex import device
from tinyalex.kernels.cpu.convolution.filter_cache import forget, remembered
from tinyalex.kernels.cpu.convolution.toom_cook import (
    ONE,
    backward_transform,
    forward_transform,
    matrices,
)
from tinyalex.kernels.cpu.gemm import SMALL, matmul, matmul_stack
from tinyalex.kernels.cpu.layout import as_rows, below_relu
from tinyalex.kernels.cpu.memory import empty

SIZES = {"fast": {3: 5, 5: 4}, "accurate": {3: 2, 5: 2}, "off": {}}
"""m for each r, by the name of the setting. 13 x 13 maps are 3 tiles of 5, conv1's 55 x 55 are 11; 27 x 27 are 7 tiles of 4."""

_setting: list[str] = []


def use(setting: str) -> None:
    """Choose between "fast", "accurate" (smaller tiles, less rounding) and "off" (im2col and one product, a tile of images at a time).

    A process begins with what the environment variable TINYALEX_WINOGRAD says, or with "fast". Where an image is infinite or NaN, so is
    the whole tile that it lies in, not just what a window sees.
    """
    if setting not in SIZES:
        raise ValueError(f"winograd.use: expected one of {', '.join(SIZES)}, got {setting!r}.")
    _setting[:] = [setting]


def setting() -> str:
    """What is in use."""
    if not _setting:
        use(os.environ.get("TINYALEX_WINOGRAD") or "fast")
    return _setting[0]


Kept = dict[tuple[int, int], np.ndarray]
"""What forward keeps for backward: the transformed tiles V of images [lo, hi)."""


class Winograd(NamedTuple):
    """How to convolve images (N, C, H, W) with filters (O, C/G, K, K), worked out from a layer's shapes.

    Strides are folded into channels first: with stride s, the s x s pixels of a square become s*s channels of one pixel, the filter's taps
    likewise, and conv1's 11 x 11 window at stride 4 is a 3 x 3 window at stride 1 on 48 channels.
    """

    m: int
    r: int
    fold: int
    """The stride s."""
    kernel: int
    """K, which is r unless strides are folded."""
    groups: int
    border: int
    """Zeros before the first row and column, in pixels of the image itself."""
    image: tuple[int, int]
    """What is convolved, after folding."""
    out: tuple[int, int]

    @property
    def size(self) -> int:
        """Points on a side of a tile."""
        return self.m + self.r - 1

    def tiles(self) -> tuple[int, int]:
        """How many, down and across."""
        return -(-self.out[0] // self.m), -(-self.out[1] // self.m)

    # Forward and backward

    def forward(
        self,
        x: np.ndarray,
        w: np.ndarray,
        b: np.ndarray | None,
        y: np.ndarray,
        relu: bool,
        keep: bool,
    ) -> Kept:
        """y = the convolution of x with w, plus b; with `relu`, 0 where that is negative. What is to be kept for `backward` is returned."""
        if keep:
            forget(w)
        how = (self.m, self.r, self.fold, self.kernel, self.groups)
        u = self.for_forward(w) if keep else remembered(w, how, self.for_forward)
        channels, kept = x.shape[1] * self.fold**2, {}

        def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
            v = None
            if keep:
                v = kept[lo, hi] = empty(self.points((hi - lo) * channels), x.dtype)
            self.convolve(self.pixels(x[lo:hi], scratch), u, b, as_rows(y[lo:hi]), scratch, v, relu)

        device.for_tiles(
            x, self.bytes_each(channels + len(w)), tile, min_tile=IMAGES, single_threaded=self.is_little(x, w)
        )
        return kept

    def backward(
        self,
        dy: np.ndarray,
        w: np.ndarray,
        kept: Kept,
        y: np.ndarray | None,
        dx: np.ndarray | None,
        want_dw: bool,
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(dw, db), if they are wanted, from D = A dy AT. And dx = the convolution of dy with the mirrored filters, inputs and outputs
        exchanged in each group.

        With y, the output after ReLU, dy counts where y is positive (or NaN).
        """
        at, g, _ = matrices(self.m, self.r)
        a, gg = np.ascontiguousarray(at.T).astype(w.dtype), np.kron(g, g).astype(w.dtype)
        filters, channels = dy.shape[1], w.shape[1] * self.fold**2
        turned = self._replace(
            border=self.r - 1 - self.offset(), fold=1, image=self.out, out=self.image
        )
        u: Any = None if dx is None else self.transformed(self.taps(w), mirrored=True)
        little = self.is_little(dy, w)

        def tile(lo: int, hi: int, scratch: device.Scratch) -> tuple[np.ndarray, np.ndarray] | None:
            slope = (
                as_rows(dy[lo:hi])
                if y is None
                else below_relu(as_rows(dy[lo:hi]), as_rows(y[lo:hi]), scratch)
            )
            if dx is not None:
                folded = (
                    as_rows(dx[lo:hi])
                    if self.fold == 1
                    else scratch.take(
                        "folded", (*self.image, (hi - lo) * dx.shape[1] * self.fold**2), dx.dtype
                    )
                )
                turned.convolve(slope, u, None, folded, scratch)
                if self.fold > 1:
                    self.unfold(folded, dx[lo:hi])
            if not want_dw:
                return None
            d = scratch.take("products", self.points(slope.shape[2]), dy.dtype)
            forward_transform(slope, a, self.m, 0, d, scratch)
            du = scratch.take(
                "weights", (self.size**2, self.groups, filters // self.groups, channels), dy.dtype
            )
            matmul_stack(
                self.by_group(d, hi - lo).swapaxes(2, 3), self.by_group(kept[lo, hi], hi - lo), du
            )
            db = (
                d[ONE, ONE].reshape(-1, filters).sum(axis=0)
            )  # a's row for the point 1 is all ones: the sum of a tile
            return du.reshape(len(gg), -1).T @ gg, db

        if not want_dw:
            device.for_tiles(
                dy,
                turned.bytes_each(channels * self.groups + filters),
                tile,
                min_tile=IMAGES,
                single_threaded=little,
            )
            return None, None
        dtaps, db = device.for_tiles(dy, 0, tile, tiles=sorted(kept), single_threaded=little)
        return self.untaps(dtaps.reshape(filters, channels, -1)), db

    def convolve(
        self,
        x: np.ndarray,
        u: np.ndarray,
        b: np.ndarray | None,
        y: np.ndarray,
        scratch: device.Scratch,
        v: np.ndarray | None = None,
        relu: bool = False,
    ) -> None:
        """y (OH, OW, n*O) from x (H, W, n*C): transform, into `v` if it is given, multiply with u (points, G, C/G, O/G), transform back.

        Some rows of tiles at a time, so that what is made of them stays in the cache until it is used.
        """
        at, _, bt = (a.astype(x.dtype) for a in matrices(self.m, self.r))
        n = x.shape[2] // (u.shape[1] * u.shape[2])
        down, across = self.tiles()
        strip = max(1, ROWS // (across * n))
        nothing = np.zeros(
            y.shape[2], y.dtype
        )  # a row: NumPy's loops are not as fast with a single number
        for first in range(0, down, strip):
            count = min(strip, down - first)
            here = (
                scratch.take("tiles", (self.size, self.size, count, across, x.shape[2]), x.dtype)
                if v is None
                else v[:, :, first : first + count]
            )
            forward_transform(x, bt, self.m, self.offset(), here, scratch, first)
            m = scratch.take("products", (self.size, self.size, count, across, y.shape[2]), x.dtype)
            matmul_stack(self.by_group(here, n), u, self.by_group(m, n))
            if b is not None:
                # at's column for the point 1 is all ones: what is added here, each output of the tile gets.
                everywhere = m[ONE, ONE].reshape(-1, len(b))
                everywhere += b
            rows = y[first * self.m : (first + count) * self.m]
            backward_transform(m, at, rows, scratch)
            if relu:
                np.maximum(rows, nothing, out=rows)

    # Shapes

    def offset(self) -> int:
        """Zeros before the first pixel that is convolved; folding has put them into the image already."""
        return self.border if self.fold == 1 else 0

    def points(self, count: int) -> tuple[int, ...]:
        """The shape of all transformed tiles with `count` numbers a pixel."""
        return (self.size, self.size, *self.tiles(), count)

    def by_group(self, v: np.ndarray, n: int) -> np.ndarray:
        """(A, A, tiles down, tiles across, n*C) as (points, G, tiles*n, C/G), in the same memory."""
        _, _, down, across, count = v.shape
        return (
            _flat_points(v)
            .reshape(self.size**2, down * across * n, self.groups, count // (n * self.groups))
            .swapaxes(1, 2)
        )

    def bytes_each(self, channels: int) -> int:
        """Of transformed tiles, for an image of so many channels in float32."""
        return 4 * math.prod(self.points(channels))

    def is_little(self, images: np.ndarray, w: np.ndarray) -> bool:
        """Whether so few numbers are multiplied that one thread does it."""
        return math.prod(self.points(len(images))) * w.shape[0] * w.shape[1] * self.fold**2 <= SMALL

    # Weights

    def for_forward(self, w: np.ndarray) -> np.ndarray:
        """U (points, G, C/G, O/G). BLAS wants both matrices by rows, and the filters are turned for that, which are smaller than U."""
        return self.transformed(self.taps(w).swapaxes(1, 2))

    def transformed(self, taps: np.ndarray, mirrored: bool = False) -> np.ndarray:
        """U (points, G, O/G, C/G) of filters (G, O/G, C/G, r*r); or the two in the middle the other way round."""
        _, g, _ = matrices(self.m, self.r)
        gg = np.kron(g, g).astype(taps.dtype)
        u = empty((len(gg), *taps.shape[:3]), taps.dtype)
        mirror = np.ascontiguousarray(gg[:, ::-1])
        matmul(
            mirror if mirrored else gg,
            taps.reshape(-1, taps.shape[3]).T,
            out=u.reshape(len(gg), -1),
        )
        return u

    def taps(self, w: np.ndarray) -> np.ndarray:
        """Filters (O, C/G, K, K) as (G, O/G, C/G*s*s, r*r)."""
        o, c, k, _ = w.shape
        s, r, groups = self.fold, self.r, self.groups
        if s == 1:
            return w.reshape(groups, o // groups, c, r * r)
        square = np.zeros((o, c, r * s, r * s), w.dtype)
        square[:, :, :k, :k] = w
        return (
            square.reshape(o, c, r, s, r, s)
            .transpose(0, 1, 3, 5, 2, 4)
            .reshape(groups, o // groups, c * s * s, r * r)
        )

    def untaps(self, taps: np.ndarray) -> np.ndarray:
        """The other way: (O, C/G*s*s, r*r), whatever the groups, as (O, C/G, K, K)."""
        s, r, k = self.fold, self.r, self.kernel
        o, c = len(taps), taps.shape[1] // s**2
        square = (
            taps.reshape(o, c, s, s, r, r).transpose(0, 1, 4, 2, 5, 3).reshape(o, c, r * s, r * s)
        )
        return np.ascontiguousarray(square[:, :, :k, :k])

    # Pixels

    def pixels(self, x: np.ndarray, scratch: device.Scratch) -> np.ndarray:
        """Images (n, C, H, W) as (H, W, n*C); with strides folded, (H', W', n*C*s*s)."""
        if self.fold == 1:
            return as_rows(x)
        (n, c, *_), s, (h, w) = x.shape, self.fold, self.image
        folded = scratch.take("folded", (h, w, n, c, s, s), x.dtype)
        padded = scratch.take("padded", (c, h * s, w * s), x.dtype)
        padded.fill(0)
        inside = padded[
            :, self.border : self.border + x.shape[2], self.border : self.border + x.shape[3]
        ]
        # The s pixels of a square's row stay together; as one wide number they are moved at once, conv1's in a third of the time.
        row = WIDE.get(s, x.dtype)
        squares, target = padded.reshape(c, h, s, w, s).view(row), folded.view(row)
        for i in range(n):
            inside[...] = x[i, :, : inside.shape[1], : inside.shape[2]]
            target[:, :, i] = squares.transpose(1, 3, 0, 2, 4)
        return folded.reshape(h, w, n * c * s * s)

    def unfold(self, folded: np.ndarray, x: np.ndarray) -> None:
        """The other way: x (n, C, H, W) from (H', W', n*C*s*s). What no window has seen is 0."""
        (n, c, *_), s, (h, w) = x.shape, self.fold, self.image
        whole = (
            folded.reshape(h, w, n, c, s, s).transpose(2, 3, 0, 4, 1, 5).reshape(n, c, h * s, w * s)
        )
        seen = whole[
            :, :, self.border : self.border + x.shape[2], self.border : self.border + x.shape[3]
        ]
        x.fill(0)
        x[:, :, : seen.shape[2], : seen.shape[3]] = seen


def winograd(
    x: np.ndarray, w: np.ndarray, window: Any, out: tuple[int, int], groups: int
) -> Winograd | None:
    """How to convolve x (N, C, H, W) with w (O, C/G, K, K), or None where im2col serves better or is asked for.

    float32 only: whoever computes in float64 wants the digits. Few channels, few tiles or another window are im2col's.
    """
    (k, other), (s, across), (border, left) = w.shape[2:], window.stride, window.padding
    r = -(-k // s)
    m = SIZES[setting()].get(r)
    if (
        m is None
        or x.dtype != np.float32
        or k != other
        or s != across
        or border != left
        or window.dilation != (1, 1)
        or border >= k
    ):
        return None
    image = x.shape[2:] if s == 1 else (out[0] + r - 1, out[1] + r - 1)
    found = Winograd(m, r, s, k, groups, border, image, out)
    down, wide = found.tiles()
    channels, filters = w.shape[1] * s * s, len(w) // groups
    return (
        found
        if len(x) * down * wide >= MANY_TILES and min(channels, filters) >= MANY_CHANNELS
        else None
    )


MANY_TILES, MANY_CHANNELS = 64, 16
"""With fewer tiles, transforming the weights costs more than it saves; with fewer channels, transforming the tiles does."""

IMAGES = 32
"""In a tile of the batch, if there are so many for each core: fewer make the products too small, more only need memory."""

ROWS = 256
"""Of the matrices that are multiplied, at most, but a whole row of tiles: fewer make BLAS slow, more do not stay in the cache."""

WIDE = {2: np.complex64, 4: np.complex128}
"""Types of as many bytes as so many numbers of float32."""


def _flat_points(v: np.ndarray) -> np.ndarray:
    """(A, A, ...) as (A*A, ...) without a copy: also of some rows of tiles, which reshape() alone would not take for one axis."""
    shape, strides = (v.shape[0] * v.shape[1], *v.shape[2:]), v.strides[1:]
    return np.lib.stride_tricks.as_strided(v, shape, strides, writeable=True)
