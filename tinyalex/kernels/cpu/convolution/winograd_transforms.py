"""The Toom-Cook matrices, and transforms of tiles with them.

`winograd.py` explains their use. `matrices(2, 3)` is Winograd's F(2, 3).
"""

from fractions import Fraction
from functools import cache

import numpy as np

from tinyalex.device import Scratch

POINTS = [Fraction(p) for p in ("0", "1", "-1", "1/2", "-2", "-1/2", "2")]
"""The evaluation points besides infinity: small values and their reciprocals, whose
powers stay near 1."""

ONE = POINTS.index(Fraction(1))
"""The index of the point 1, all of whose powers are 1."""


@cache
def matrices(m: int, r: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AT (m, a), G (a, r) and BT (a, a), a = m + r - 1, from exact fractions.

    The rows of AT.T and G are powers of the points; BT is the inverse transpose of the
    square matrix of powers. Each row of G is balanced with that of BT: both get the
    same sum of magnitudes. AT is not balanced, so that its column for the point 1 is
    all ones.
    """
    a = m + r - 1
    points = POINTS[: a - 1]
    at, g, square = (_powers(points, count) for count in (m, r, a))
    bt = _inverse_transposed(square)
    evaluated, weights, tiles = np.array(at, float).T, np.array(g, float), np.array(bt, float)
    balance = np.sqrt(np.abs(weights).sum(axis=1) / np.abs(tiles).sum(axis=1))[:, None]
    return evaluated, weights / balance, tiles * balance


@cache
def filter_matrix(m: int, r: int) -> np.ndarray:
    """G kron G (points, r*r): G w GT is its product with the r*r elements of w."""
    _, g, _ = matrices(m, r)
    return np.kron(g, g)


def _powers(points: list[Fraction], count: int) -> list[list[Fraction]]:
    """A row 1, p, p**2, ... for each point; at infinity only the highest power."""
    finite = [[p**k for k in range(count)] for p in points]
    return [*finite, [Fraction(k == count - 1) for k in range(count)]]


def _inverse_transposed(matrix: list[list[Fraction]]) -> list[list[Fraction]]:
    """By Gauss-Jordan elimination."""
    size = len(matrix)
    rows = [
        [*column, *(Fraction(i == j) for j in range(size))]
        for i, column in enumerate(zip(*matrix, strict=True))
    ]
    for i in range(size):
        pivot = next(k for k in range(i, size) if rows[k][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for k in range(size):
            if k != i and rows[k][i]:
                rows[k] = [x - rows[k][i] * y for x, y in zip(rows[k], rows[i], strict=True)]
    return [row[size:] for row in rows]


def tiles_to_points(
    x: np.ndarray,
    t: np.ndarray,
    step: int,
    offset: int,
    v: np.ndarray,
    scratch: Scratch,
    first: int = 0,
) -> None:
    """v[a, b, i, j] = t @ (the tile at (first + i, j)) @ t.T, zeros outside of x.

    Tiles are t.shape[1] pixels square and `step` apart, the first at -offset. x
    (H, W, R), v (A, A, rows, columns, R), where R counts images times channels. A row
    of tiles is one call: with many short calls, threads would wait for the GIL.
    """
    height, width, count = x.shape
    (size, reach), across = t.shape, v.shape[3]
    half = scratch.take("half", (size, (across - 1) * step + reach, count), x.dtype)
    half[:, :offset] = half[:, offset + width :] = 0
    inside = half[:, offset : offset + width].swapaxes(0, 1)
    a, b, c = half.strides
    strides = a, b * step, b, c
    tiles = np.lib.stride_tricks.as_strided(half, (size, across, reach, count), strides)
    for i in range(v.shape[2]):
        rows, cols = _clipped((first + i) * step - offset, reach, height)
        np.matmul(t[:, cols], x[rows, : len(inside)].swapaxes(0, 1), out=inside)
        np.matmul(t, tiles, out=v[:, :, i].swapaxes(1, 2))


def points_to_tiles(m: np.ndarray, at: np.ndarray, y: np.ndarray, scratch: Scratch) -> None:
    """y = at @ m[:, :, i, j] @ at.T for each tile (i, j).

    m (A, A, rows, columns, R), y (H, W, R).
    """
    height, width, count = y.shape
    (step, size), across = at.shape, m.shape[3]
    half = scratch.take("half", (size, across, step, count), y.dtype)
    inside = half.reshape(size, across * step, count)[:, :width].swapaxes(0, 1)
    for i in range(m.shape[2]):
        rows = slice(i * step, min(height, (i + 1) * step))
        np.matmul(at, m[:, :, i].swapaxes(1, 2), out=half)
        np.matmul(at[: rows.stop - rows.start], inside, out=y[rows].swapaxes(0, 1))


def _clipped(start: int, count: int, size: int) -> tuple[slice, slice]:
    """The pixels of a tile that are inside the image; their indices in the tile."""
    first, last = max(0, start), max(0, min(size, start + count))
    return slice(first, max(first, last)), slice(first - start, max(first, last) - start)
