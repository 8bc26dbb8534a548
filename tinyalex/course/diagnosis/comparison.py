"""Differences between the results of a learner's function and the expected ones."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from tinyalex.course.formatting import MAX_SHOWN_ELEMENTS
from tinyalex.tensor import Tensor

RTOL = 1e-6
"""Correct answers may sum in another order, so last digits may differ."""


@dataclass
class Outcome:
    """The result or exception of a call, and its inputs after the call."""

    inputs: dict[str, Any]
    returned: Any = None
    error: BaseException | None = None


class Difference(NamedTuple):
    """`advice` is certain if it explains all differences."""

    kind: str
    name: str
    text: str
    advice: str
    certain: bool = False


def difference(expected: Outcome, got: Outcome, names: tuple[str, ...]) -> Difference | None:
    """The first difference between two calls without exceptions."""
    count = len(names)
    rights, values = (x.returned if count > 1 else (x.returned,) for x in (expected, got))
    if not isinstance(values, (tuple, list)) or len(values) != count:
        text = f"expected {count} values, ({', '.join(names)}), got {_kind_of(got.returned)}"
        advice = "Return them in this order, separated by commas."
        return Difference("form", "returned", text, advice)
    for name, right, value in zip(names, rights, values, strict=True):
        if found := _value_difference(np.asarray(right), value):
            kind, text, advice = found
            certain = kind == "values" and _is_rounded(np.asarray(right), np.asarray(value))
            by_hand = _advice_by_hand(expected.inputs)
            return Difference(kind, name, text, advice or by_hand, certain)
    for name, right in expected.inputs.items():
        value = got.inputs[name]
        if isinstance(right, np.ndarray) and not (
            value.shape == right.shape and close(value, right).all()
        ):
            advice = (
                "The caller still needs its values. Work on a copy: `a = a * 2` makes a new array, "
                "`a *= 2` and `a[...] = ` do not."
            )
            return Difference("input", f"input {name}", "was modified", advice)
    return None


def values_of(outcome: Outcome, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The results that are numbers or arrays of numbers, by name."""
    returned = outcome.returned if len(names) > 1 else (outcome.returned,)
    if not isinstance(returned, (tuple, list)) or len(returned) != len(names):
        return {}
    return {
        name: np.asarray(value)
        for name, value in zip(names, returned, strict=True)
        if isinstance(value, (np.ndarray, np.generic, int, float))
        and np.asarray(value).dtype.kind in "biuf"
    }


def alike(expected: Outcome, got: Outcome, names: tuple[str, ...]) -> bool:
    """Whether two calls returned equal values or raised the same type of exception.

    IndexErrors must have the same message: there are several kinds.
    """
    if not (expected.error or got.error):
        return difference(expected, got, names) is None
    if isinstance(expected.error, IndexError) and _words(expected.error) != _words(got.error):
        return False
    return type(expected.error) is type(got.error)


def _words(error: BaseException | None) -> str:
    return re.sub(r"-?\d+", "", str(error))


def _value_difference(right: np.ndarray, value: Any) -> tuple[str, str, str] | None:
    """(kind, difference, advice) of one returned value."""
    unlike = f"expected {_kind_of(right)}, got {_kind_of(value)}"
    if value is None:
        return "form", unlike, "Is a `return` missing?"
    if isinstance(value, (list, tuple)):
        return "form", unlike, _advice_on_sequence(right, value)
    if not isinstance(value, (np.ndarray, np.generic, int, float)):
        return "form", unlike, "Work with NumPy arrays."
    value = np.asarray(value)
    if value.shape != right.shape:
        return "form", unlike, _advice_on_shape(right, value)
    if value.dtype == bool != right.dtype:
        advice = (
            "A comparison such as `a > 0` gives an array of bool. Multiply by it, in brackets, "
            "or select with np.where."
        )
        return "form", "expected numbers, got an array of bool", advice
    if value.dtype.kind not in "biuf":
        return "form", f"expected numbers, got an array of {value.dtype}", "Print its elements."
    matches = close(value, right)
    if not matches.all():
        index = tuple(map(int, np.unravel_index(matches.argmin(), matches.shape)))
        at = f"at {list(index)}: " if index else ""
        a, b = f"{right[index]:.6g}", f"{value[index]:.6g}"
        if a == b:
            a, b = f"{right[index]:.12g}", f"{value[index]:.12g}"
        share = (
            f"   ({matches.sum()} of {matches.size} elements are right)" if matches.size > 1 else ""
        )
        return "values", f"{at}expected {a}, got {b}{share}", _advice(value, right)
    if right.ndim and value.dtype != right.dtype:
        text = f"the values are right, but expected {right.dtype}, got {value.dtype}"
        return "form", text, _advice_on_dtype(value)
    return None


def _advice(value: np.ndarray, right: np.ndarray) -> str:
    if _is_rounded(right, value):
        return _advice_on_dtype(value)
    if not np.isfinite(value).all():
        return (
            "nan and inf come from 0 / 0, the log of 0 and exp of a large number: print the "
            "arguments."
        )
    return ""


def _is_rounded(right: np.ndarray, value: np.ndarray) -> bool:
    is_integer = value.dtype.kind in "iu" and np.isfinite(right).all()
    return bool(is_integer and (value == np.trunc(right)).all())


def _advice_on_dtype(value: np.ndarray) -> str:
    kept = "np.zeros_like(x) and np.zeros(shape, x.dtype) keep x's."
    return f"Your array has dtype {value.dtype}: {kept}"


def _advice_on_sequence(right: np.ndarray, value: Sequence[Any]) -> str:
    if right.ndim == 0:
        return "Return a number: what in the last line makes several values?"
    if isinstance(value, tuple):
        return (
            "Return one array. Does a comma after a value make a tuple, or does a function return "
            "several arrays, as np.where(condition) and np.nonzero do?"
        )
    return "Make it an array, with np.array or np.stack."


def _advice_on_shape(right: np.ndarray, value: np.ndarray) -> str:
    if right.ndim == 0:
        return (
            "A single number is expected. Is one element to be selected with an index, or are all "
            "to be summed or multiplied?"
        )
    if value.ndim == 0:
        return (
            "This is one number: a sum, mean or maximum without `axis` is that of all elements. "
            "Which axes should it be over?"
        )
    if value.size == right.size and value.ndim == right.ndim <= 4:
        for axes in permutations(range(value.ndim)):
            moved = value.transpose(axes)
            if moved.shape == right.shape and close(moved, right).all():
                return (
                    f"The values are right after .transpose{axes}: the axes are in another order."
                )
    if value.size == right.size and close(value.ravel(), right.ravel()).all():
        if [n for n in value.shape if n > 1] == [n for n in right.shape if n > 1]:
            extra = "many" if value.ndim > right.ndim else "few"
            return (
                f"The values are right, but there are too {extra} axes of size 1: "
                "sum(..., keepdims=True) keeps a summed axis, with size 1; without it the axis is "
                "removed."
            )
        return "The values are right, and in the right order: .reshape gives them the right shape."
    if value.ndim > right.ndim:
        return (
            f"It has {value.ndim} axes for {right.ndim}: is an axis not summed or not indexed, or "
            "kept by keepdims=True?"
        )
    if value.ndim < right.ndim:
        return (
            f"It has {value.ndim} axes for {right.ndim}: does a sum or an index remove an axis? "
            "a[mask] with a bool array also returns its elements along one axis."
        )
    if value.size < right.size:
        return (
            "Elements are missing: does a slice or a mask select only a part? a[mask] has only the "
            "selected elements; np.where(mask, a, 0) keeps the shape."
        )
    return "Print the shape after each line: where is it not what you expect?"


def _advice_by_hand(inputs: dict[str, Any]) -> str:
    if all(x.size <= MAX_SHOWN_ELEMENTS for x in inputs.values() if isinstance(x, np.ndarray)):
        return "Compute this element by hand from the formula: which term differs?"
    return "The inputs are too large to show. Try arrays of ones, and print this element."


def close(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if np.array_equal(a, b):
        return np.ones(np.shape(b), bool)
    scale = np.abs(b[np.isfinite(b)]).max(initial=0)
    return np.isclose(a, b, rtol=RTOL, atol=1e-9 * scale, equal_nan=True)


def _kind_of(x: Any) -> str:
    if isinstance(x, (np.ndarray, np.generic)):
        return f"an array of shape {x.shape}" if x.ndim else "a number"
    if isinstance(x, (tuple, list)):
        return f"a {type(x).__name__} of {len(x)}"
    return "None" if x is None else "a Tensor" if isinstance(x, Tensor) else f"a {type(x).__name__}"
