"""Simple relations between a wrong result and the right one."""

from collections.abc import Callable
from itertools import permutations

import numpy as np

from tinyalex.course.diagnosis.attempt import Attempt, equal

MIN_ELEMENTS = 6
"""In smaller results a relation may be a coincidence."""

MAX_ELEMENTS = 10_000


def relation(attempt: Attempt) -> str | None:
    """A sentence on the relation that holds in every trial with a wrong result."""
    name = attempt.result
    pairs = [
        (trial.got[name].astype(float), trial.right[name].astype(float))
        for trial in attempt.trials
        if not trial.is_right(name) and trial.right[name].size <= MAX_ELEMENTS
    ]
    if any(got.shape != right.shape for got, right in pairs):
        return None
    if sum(got.size for got, _ in pairs) < MIN_ELEMENTS:
        return None
    for words, holds in RELATIONS.items():
        if all(holds(got, right) for got, right in pairs):
            return f"Wherever your {name} is wrong, it {words}."
    if factor := _common_factor(pairs):
        return f"Wherever your {name} is wrong, it is {factor:.6g} times the right one."
    return None


def _common_factor(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float | None:
    got, right = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    factor = float((got * right).sum() / (right * right).sum()) if right.any() else 0.0
    return factor if factor and equal(got, factor * right) else None


def _reordered(got: np.ndarray, right: np.ndarray) -> bool:
    return equal(np.sort(got, axis=None), np.sort(right, axis=None))


def _transposed(got: np.ndarray, right: np.ndarray) -> bool:
    orders = list(permutations(range(got.ndim)))[1:] if got.ndim <= 4 else []
    moved = (got.transpose(order) for order in orders)
    return any(a.shape == right.shape and equal(a, right) for a in moved)


RELATIONS: dict[str, Callable[[np.ndarray, np.ndarray], bool]] = {
    "is 0": lambda got, right: not got.any(),
    "has the opposite sign": lambda got, right: equal(-got, right),
    "has the right values, but two axes are exchanged": _transposed,
    "has the right values in another order": _reordered,
}
