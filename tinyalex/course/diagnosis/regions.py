"""Elementwise results, explained region by region.

Where x > 0, ReLU's gradient is dy; elsewhere it is 0. In each region the learner's
result is compared with simple expressions of the arrays.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tinyalex.course.diagnosis.attempt import Attempt, Trial, equal

Arrays = dict[str, np.ndarray]


class Part(NamedTuple):
    """The elements of one trial in one region."""

    got: np.ndarray
    right: np.ndarray
    arrays: Arrays


class Regions:
    """The right result of an exercise in each region.

    result   its name
    regions  the condition in words: (its name in `arrays`, the right expression)
    arrays   (inputs) -> arrays of the result's shape by name; bool ones are conditions
    remarks  for the expression of a wrong result in a region, a remark
    """

    def __init__(
        self,
        result: str,
        regions: dict[str, tuple[str, str]],
        arrays: Callable[[dict[str, Any]], Arrays],
        remarks: dict[str, str] | None = None,
    ) -> None:
        self.result, self.regions, self.arrays = result, regions, arrays
        self.remarks = remarks or {}

    def explain(self, attempt: Attempt) -> str | None:
        name = self.result
        if attempt.result != name or any(
            trial.got[name].shape != trial.right[name].shape for trial in attempt.trials
        ):
            return None
        right: list[str] = []
        wrong: dict[tuple[str, str], list[str]] = {}
        for words, (condition, expected) in self.regions.items():
            parts = [self._within(condition, trial) for trial in attempt.trials]
            if all(equal(part.got, part.right) for part in parts):
                right.append(words)
            else:
                with np.errstate(all="ignore"):
                    found = _identified([part for part in parts if part.got.size])
                wrong.setdefault((found, expected), []).append(words)
        if not wrong or not (right or any(found for found, _ in wrong)):
            return None
        return self._described(right, wrong)

    def _within(self, condition: str, trial: Trial) -> Part:
        arrays = self.arrays(trial.inputs)
        inside = arrays[condition]
        return Part(
            trial.got[self.result][inside].astype(float),
            trial.right[self.result][inside],
            {name: a[inside] for name, a in arrays.items() if a.dtype != bool},
        )

    def _described(self, right: list[str], wrong: dict[tuple[str, str], list[str]]) -> str:
        name, found = self.result, {text for text, _ in wrong}
        if not right and len(found) == 1:
            expected = ", ".join(f"{e} {' and '.join(words)}" for (_, e), words in wrong.items())
            sentences = [f"Your {name} is {found.pop()} everywhere. It should be {expected}."]
        else:
            sentences = []
            for (text, expected), words in wrong.items():
                where = " and ".join(words)
                is_ = text or "something else"
                sentences.append(
                    f"{where[0].upper()}{where[1:]}, your {name} is {is_}; it should be {expected}."
                )
        if right:
            sentences.append(f"It is right {' and '.join(right)}.")
        remarks = [self.remarks[text] for text, _ in wrong if text in self.remarks]
        return " ".join([*sentences, *dict.fromkeys(remarks)])


def _identified(parts: list[Part]) -> str:
    """The expression that is the learner's result in one region; empty if unknown."""
    got = np.concatenate([part.got for part in parts])
    arrays = {n: np.concatenate([part.arrays[n] for part in parts]) for n in parts[0].arrays}
    for text, value in _expressions(arrays, got):
        if equal(value, got):
            return text
    for name, a in arrays.items():
        if (got == np.where(got == 0, 0, a)).all():
            return f"{name} at some elements and 0 at others"
    for name in arrays:
        factors = [_factor(part.got, part.arrays[name]) for part in parts if part.got.size > 1]
        if factors and None not in factors:
            shown = ", ".join(f"{factor:.4g}" for factor in factors[:2])
            return f"{name} times a number that differs from case to case ({shown}, ...)"
    return ""


def _factor(got: np.ndarray, a: np.ndarray) -> float | None:
    factor = float((a * got).sum() / (a * a).sum()) if a.any() else 0.0
    return factor if equal(factor * a, got) else None


def _expressions(arrays: Arrays, got: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Expressions that a learner may have computed, simple ones first."""
    yield "0", np.zeros_like(got)
    for name, a in arrays.items():
        yield name, a
    if got.size > 1 and np.isfinite(got).all():
        yield f"{got[0]:g}", np.full_like(got, got[0])
    elif not np.isfinite(got).any():
        yield "nan or inf", got
    for name, a in arrays.items():
        yield f"-{name}", -a
        yield f"abs({name})", np.abs(a)
        yield f"the larger of {name} and 0", np.maximum(a, 0)
        yield f"the smaller of {name} and 0", np.minimum(a, 0)
        yield f"the sign of {name}", np.sign(a)
        yield f"1 where {name} > 0, else 0", (a > 0).astype(float)
        yield f"1 where {name} < 0, else 0", (a < 0).astype(float)
        yield f"{name} squared", a * a
        yield f"1 / {name}", 1 / a
    names = list(arrays)
    for i, one in enumerate(names):
        for two in names[i + 1 :]:
            a, b = arrays[one], arrays[two]
            yield f"{one} * {two}", a * b
            yield f"{one} / {two}", a / b
            yield f"{two} / {one}", b / a
            yield f"{one} + {two}", a + b
            yield f"{one} - {two}", a - b
            yield f"{two} - {one}", b - a
            yield f"-{one} * {two}", -a * b
            yield f"the larger of {one} * {two} and 0", np.maximum(a * b, 0)
    for name, a in arrays.items():
        if got.size > 1:
            if factor := _factor(got, a):
                yield f"{factor:.6g} * {name}", factor * a
            shift = got[0] - a[0]
            yield f"{name} {'+' if shift > 0 else '-'} {abs(shift):.6g}", a + shift
