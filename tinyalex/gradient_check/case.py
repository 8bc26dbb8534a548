"""A wrong gradient, with the data to compare it with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

RTOL = 1e-3
"""Relative difference of equal elements."""


@dataclass(frozen=True)
class Case:
    """A wrong gradient, and the data to compare it with.

    analytic, numeric  the gradients from backward() and from finite differences
    wrong              bool: where they differ
    others             the numerical gradients of the other inputs, by name
    shapes             the shapes of all inputs and of the output, by name
    cotangent          the upstream gradient of both, of the output's shape
    x, y               the input itself and the output; None if unknown
    inputs             the other inputs, by name
    matches            (name, array): whether `analytic` is the gradient with this array
                       in place of that input
    """

    analytic: np.ndarray
    numeric: np.ndarray
    wrong: np.ndarray
    others: dict[str, np.ndarray]
    shapes: dict[str, tuple[int, ...]]
    cotangent: np.ndarray
    x: np.ndarray | None = None
    y: np.ndarray | None = None
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    matches: Callable[[str, np.ndarray], bool] = lambda name, array: False


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to the error of finite differences."""
    return bool(np.allclose(a, b, rtol=RTOL, atol=1e-5 * np.abs(b).max(initial=0)))


def subsets(ndim: int) -> Iterator[tuple[int, ...]]:
    """All non-empty sets of axes."""
    for length in range(1, ndim + 1):
        yield from combinations(range(ndim), length)


def axes_text(axes: tuple[int, ...]) -> str:
    return f"ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}"
