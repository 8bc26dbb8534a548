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
the filters mirrored. The price is rounding: the points' powers differ in size, the more the larger m is. tests/test_winograd.py holds
y to an error of 5e-6 (l2, relative, against float64) in the setting "fast", and of 2e-6 in "accurate".
"""

import os
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from tinyalex import device

POINTS = [Fraction(p) for p in ("0", "1", "-1", "1/2", "-2", "-1/2", "2")]
"""Where polynomials are evaluated, besides infinity: small numbers and their reciprocals, whose powers stay near 1."""

SIZES = {"fast": {3: 5, 5: 4}, "accurate": {3: 2, 5: 2}, "off": {}}
"""m for each r, by the name of the setting. 13 x 13 maps are 3 tiles of 5, conv1's 55 x 55 are 11; 27 x 27 are 7 tiles of 4."""

_setting: list[str] = []


def use(setting: str) -> None:
    """Choose between "fast", "accurate" (smaller tiles, a tenth of the rounding) and "off" (im2col and one product, on every shape).

    A process begins with what the environment variable TINYALEX_WINOGRAD says, or with "fast".
    """
    if setting not in SIZES:
        raise ValueError(f"winograd.use: expected one of {', '.join(SIZES)}, got {setting!r}.")
    _setting[:] = [setting]


def setting() -> str:
    """What is in use."""
    if not _setting:
        use(os.environ.get("TINYALEX_WINOGRAD") or "fast")
    return _setting[0]


@cache
def matrices(m: int, r: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AT (m, a), G (a, r) and BT (a, a) with a = m + r - 1, in float64 from exact fractions.

    Evaluating at the points gives AT and G their rows of powers; BT is the inverse transpose of the square one. Each row of G is balanced
    with that of BT: both then have the same sum of magnitudes. AT is left alone, so that its column for the point 1 is all ones.
    """
    a = m + r - 1
    points = POINTS[: a - 1]
    at, g, square = (_powers(points, count) for count in (m, r, a))
    bt = _inverse_transposed(square)
    evaluated, weights, tiles = np.array(at, float).T, np.array(g, float), np.array(bt, float)
    balance = np.sqrt(np.abs(weights).sum(axis=1) / np.abs(tiles).sum(axis=1))[:, None]
    return evaluated, weights / balance, tiles * balance


def _powers(points: list[Fraction], count: int) -> list[list[Fraction]]:
    """A row 1, p, p**2, ... for each point; at infinity only the highest power is left."""
    return [[p**k for k in range(count)] for p in points] + [[Fraction(k == count - 1) for k in range(count)]]


def _inverse_transposed(matrix: list[list[Fraction]]) -> list[list[Fraction]]:
    """By Gauss and Jordan."""
    size = len(matrix)
    rows = [[*column, *(Fraction(i == j) for j in range(size))] for i, column in enumerate(zip(*matrix, strict=True))]
    for i in range(size):
        pivot = next(k for k in range(i, size) if rows[k][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for k in range(size):
            if k != i and rows[k][i]:
                rows[k] = [x - rows[k][i] * y for x, y in zip(rows[k], rows[i], strict=True)]
    return [row[size:] for row in rows]


# Tiles of an image


def forward_transform(x: np.ndarray, t: np.ndarray, step: int, offset: int, v: np.ndarray, scratch: device.Scratch) -> None:
    """v[a, b, i, j] = t @ (the tile at (i, j)) @ t.T for every tile: t.shape[1] pixels square, `step` apart, the first at -offset.

    x (H, W, R), v (A, A, tiles down, tiles across, R), where R counts images times channels. Tiles hang over the edges; there is zero.
    """
    height, width, count = x.shape
    size, reach = t.shape
    half = scratch.take("half transformed", (size, width, count), x.dtype)
    for i in range(v.shape[2]):
        rows, taps = _clipped(i * step - offset, reach, height)
        np.matmul(t[:, taps], x[rows].swapaxes(0, 1), out=half.swapaxes(0, 1))
        for j in range(v.shape[3]):
            cols, taps = _clipped(j * step - offset, reach, width)
            np.matmul(t[:, taps], half[:, cols], out=v[:, :, i, j])


def backward_transform(m: np.ndarray, at: np.ndarray, y: np.ndarray, scratch: device.Scratch) -> None:
    """y = at @ m[..., i, j] @ at.T at every tile (i, j). m (A, A, tiles down, tiles across, R), y (H, W, R)."""
    height, width, count = y.shape
    step, size = at.shape
    half = scratch.take("half transformed", (size, width, count), y.dtype)
    for i in range(m.shape[2]):
        for j in range(m.shape[3]):
            cols = slice(j * step, min(width, (j + 1) * step))
            np.matmul(at[: cols.stop - cols.start], m[:, :, i, j], out=half[:, cols])
        rows = slice(i * step, min(height, (i + 1) * step))
        np.matmul(at[: rows.stop - rows.start], half.swapaxes(0, 1), out=y[rows].swapaxes(0, 1))


def _clipped(start: int, count: int, size: int) -> tuple[slice, slice]:
    """Which pixels of start .. start + count lie in the image, and which of the count these are."""
    first, last = max(0, start), max(0, min(size, start + count))
    return slice(first, max(first, last)), slice(first - start, max(first, last) - start)


# A convolution


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

    def forward(self, x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray) -> None:
        """y = the convolution of x with w, plus b."""
        channels = x.shape[1] * self.fold**2

        def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
            self.convolve(self.pixels(x[lo:hi], scratch), u, b, _rows(y[lo:hi]), scratch)

        u = self.transformed(self.taps(w))
        device.for_tiles(x, self.bytes_each(channels + len(w)), tile, least=IMAGES)

    def backward_x(self, dy: np.ndarray, w: np.ndarray, dx: np.ndarray) -> None:
        """dx = the convolution of dy with the mirrored filters, inputs and outputs exchanged within each group."""
        turned = self._replace(border=self.r - 1 - (self.border if self.fold == 1 else 0), fold=1, image=self.out, out=self.image)
        taps = self.taps(w)[::-1, ::-1]  # (r, r, C/G, O)
        grouped = taps.reshape(*taps.shape[:3], self.groups, -1)  # (r, r, C/G, G, O/G)
        u = turned.transformed(grouped.transpose(0, 1, 4, 3, 2).reshape(*taps.shape[:2], -1, taps.shape[2] * self.groups))
        channels = dx.shape[1] * self.fold**2

        def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
            if self.fold == 1:
                turned.convolve(_rows(dy[lo:hi]), u, None, _rows(dx[lo:hi]), scratch)
                return
            folded = scratch.take("folded", (*self.image, (hi - lo) * channels), dx.dtype)
            turned.convolve(_rows(dy[lo:hi]), u, None, folded, scratch)
            self.unfold(folded, dx[lo:hi])

        device.for_tiles(dy, turned.bytes_each(channels + dy.shape[1]), tile, least=IMAGES)

    def backward_w(self, x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(dw, db), from D = A dy AT."""
        at, g, bt = matrices(self.m, self.r)
        a, bt = np.ascontiguousarray(at.T).astype(x.dtype), bt.astype(x.dtype)
        channels, filters = x.shape[1] * self.fold**2, dy.shape[1]

        def tile(lo: int, hi: int, scratch: device.Scratch) -> tuple[np.ndarray, np.ndarray]:
            v, d = self.points("tiles", scratch, (hi - lo) * channels), self.points("products", scratch, (hi - lo) * filters)
            forward_transform(self.pixels(x[lo:hi], scratch), bt, self.m, self.offset(), v, scratch)
            forward_transform(_rows(dy[lo:hi]), a, self.m, 0, d, scratch)
            du = np.matmul(self.by_group(v, hi - lo).swapaxes(2, 3), self.by_group(d, hi - lo))
            return du, d[ONE, ONE].reshape(-1, filters).sum(axis=0)  # a's row for the point 1 is all ones: the sum of a tile

        du, db = device.for_tiles(x, self.bytes_each(channels + filters), tile, least=IMAGES)
        dtaps = np.kron(g, g).T.astype(x.dtype) @ du.reshape(self.size**2, -1)
        dtaps = dtaps.reshape(self.r, self.r, self.groups, channels // self.groups, -1).swapaxes(2, 3)
        return self.untaps(dtaps.reshape(self.r, self.r, channels // self.groups, filters)), db

    def convolve(self, x: np.ndarray, u: np.ndarray, b: np.ndarray | None, y: np.ndarray, scratch: device.Scratch) -> None:
        """y (OH, OW, n*O) from x (H, W, n*C): transform, multiply, transform back."""
        at, _, bt = (a.astype(x.dtype) for a in matrices(self.m, self.r))
        n = x.shape[2] // (u.shape[1] * u.shape[2])
        v, m = self.points("tiles", scratch, x.shape[2]), self.points("products", scratch, y.shape[2])
        forward_transform(x, bt, self.m, self.offset(), v, scratch)
        np.matmul(self.by_group(v, n), u, out=self.by_group(m, n))
        if b is not None:
            everywhere = m[ONE, ONE].reshape(
                -1, len(b)
            )  # at's column for the point 1 is all ones: each output gets what is added here
            everywhere += b
        backward_transform(m, at, y, scratch)

    # Shapes

    def offset(self) -> int:
        """Zeros before the first pixel that is convolved; folding has put them into the image already."""
        return self.border if self.fold == 1 else 0

    def points(self, name: str, scratch: device.Scratch, count: int) -> np.ndarray:
        return scratch.take(name, (self.size, self.size, *self.tiles(), count), np.float32)

    def by_group(self, v: np.ndarray, n: int) -> np.ndarray:
        """(A, A, tiles down, tiles across, n*C) as (points, G, tiles*n, C/G), in the same memory."""
        down, across = self.tiles()
        return v.reshape(self.size**2, down * across * n, self.groups, -1).swapaxes(1, 2)

    def bytes_each(self, channels: int) -> int:
        down, across = self.tiles()
        return 4 * self.size**2 * down * across * channels

    # Weights

    def transformed(self, taps: np.ndarray) -> np.ndarray:
        """U (points, G, C/G, O/G) of filters (r, r, C/G, O)."""
        _, g, _ = matrices(self.m, self.r)
        _, _, c, o = taps.shape
        flat = np.ascontiguousarray(taps.reshape(self.r, self.r, c, self.groups, -1).swapaxes(2, 3)).reshape(self.r**2, -1)
        return (np.kron(g, g).astype(taps.dtype) @ flat).reshape(self.size**2, self.groups, c, o // self.groups)

    def taps(self, w: np.ndarray) -> np.ndarray:
        """Filters (O, C/G, K, K) as (r, r, C/G*s*s, O)."""
        o, c, k, _ = w.shape
        s, r = self.fold, self.r
        if s == 1:
            return w.transpose(2, 3, 1, 0)
        square = np.zeros((o, c, r * s, r * s), w.dtype)
        square[:, :, :k, :k] = w
        return square.reshape(o, c, r, s, r, s).transpose(2, 4, 1, 3, 5, 0).reshape(r, r, c * s * s, o)

    def untaps(self, taps: np.ndarray) -> np.ndarray:
        """The other way: (r, r, C/G*s*s, O) as (O, C/G, K, K)."""
        s, r, k = self.fold, self.r, self.kernel
        c, o = taps.shape[2] // s**2, taps.shape[3]
        square = taps.reshape(r, r, c, s, s, o).transpose(5, 2, 0, 3, 1, 4).reshape(o, c, r * s, r * s)
        return np.ascontiguousarray(square[:, :, :k, :k])

    # Pixels

    def pixels(self, x: np.ndarray, scratch: device.Scratch) -> np.ndarray:
        """Images (n, C, H, W) as (H, W, n*C); with strides folded, (H', W', n*C*s*s)."""
        if self.fold == 1:
            return _rows(x)
        (n, c, *_), s, (h, w) = x.shape, self.fold, self.image
        folded = scratch.take("folded", (h, w, n, c, s, s), x.dtype)
        padded = scratch.take("padded", (c, h * s, w * s), x.dtype)
        padded.fill(0)
        inside = padded[:, self.border : self.border + x.shape[2], self.border : self.border + x.shape[3]]
        for i in range(n):
            inside[...] = x[i, :, : inside.shape[1], : inside.shape[2]]
            folded[:, :, i] = padded.reshape(c, h, s, w, s).transpose(1, 3, 0, 2, 4)
        return folded.reshape(h, w, n * c * s * s)

    def unfold(self, folded: np.ndarray, x: np.ndarray) -> None:
        """The other way: x (n, C, H, W) from (H', W', n*C*s*s). What no window has seen is 0."""
        (n, c, *_), s, (h, w) = x.shape, self.fold, self.image
        whole = folded.reshape(h, w, n, c, s, s).transpose(2, 3, 0, 4, 1, 5).reshape(n, c, h * s, w * s)
        seen = whole[:, :, self.border : self.border + x.shape[2], self.border : self.border + x.shape[3]]
        x.fill(0)
        x[:, :, : seen.shape[2], : seen.shape[3]] = seen


def winograd(x: np.ndarray, w: np.ndarray, window: Any, out: tuple[int, int], groups: int) -> Winograd | None:
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
    return found if len(x) * down * wide >= MANY_TILES and min(channels, filters) >= MANY_CHANNELS else None


MANY_TILES, MANY_CHANNELS = 64, 16
"""With fewer tiles, transforming the weights costs more than it saves; with fewer channels, transforming the tiles does."""

IMAGES = 16
"""In a tile of the batch, if there are so many: fewer make the transforms' products too small, more only need memory."""

ONE = POINTS.index(Fraction(1))


def _rows(x: np.ndarray) -> np.ndarray:
    """Images (n, C, H, W) as (H, W, n*C): in the same memory if they lie like an activation, else a copy."""
    n, c, h, w = x.shape
    return np.ascontiguousarray(x.transpose(2, 3, 0, 1)).reshape(h, w, n * c) if not _lies_so(x) else _merged(x)


def _lies_so(x: np.ndarray) -> bool:
    """Whether the numbers of all channels of all images lie side by side at each place."""
    n, c, *_ = x.shape
    return (c == 1 or x.strides[1] == x.itemsize) and (n == 1 or x.strides[0] == c * x.itemsize)


def _merged(x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    return np.lib.stride_tricks.as_strided(x, (h, w, n * c), (x.strides[2], x.strides[3], x.itemsize), writeable=True)
