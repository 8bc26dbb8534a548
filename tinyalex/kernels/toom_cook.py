"""The matrices of Toom and Cook: the product of two polynomials by way of their values, exactly.

winograd.py says what they are for. A lesson may print them: `matrices(2, 3)` is Winograd's F(2, 3).
"""

from fractions import Fraction
from functools import cache

import numpy as np

POINTS = [Fraction(p) for p in ("0", "1", "-1", "1/2", "-2", "-1/2", "2")]
"""Where polynomials are evaluated, besides infinity: small numbers and their reciprocals, whose powers stay near 1."""

ONE = POINTS.index(Fraction(1))
"""The place of the point 1, where every power is 1."""


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
