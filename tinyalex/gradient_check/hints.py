"""Hints: the kind of mistake in a wrong gradient.

`diagnose` compares the whole analytic gradient with the whole numerical one. It tries
the patterns of common mistakes (whole_gradient.py, some_elements.py), the simplest
first.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tinyalex.gradient_check import some_elements, whole_gradient
from tinyalex.gradient_check.case import Case, close


@dataclass(frozen=True)
class Hint:
    """`kind` is the name of the pattern, `text` its explanation and advice."""

    kind: str
    text: str


def diagnose(case: Case) -> Hint:
    nearly_right = close(case.analytic, case.numeric)
    for kind, pattern in PATTERNS.items():
        if nearly_right and kind in OF_WHOLE_GRADIENTS:
            continue
        if text := pattern(case):
            return Hint(kind, text)
    return Hint(
        "none",
        "No simple pattern: neither a factor, a sign, an order of axes, a shift nor a mask. Try "
        "the smallest input that still fails, and compare backward with its formula term by term.",
    )


PATTERNS: dict[str, Callable[[Case], str | None]] = {
    "not finite": whole_gradient.not_finite,
    "zero": whole_gradient.zero,
    "sign": whole_gradient.sign,
    "cotangent": whole_gradient.cotangent_missing,
    "factor": whole_gradient.factor,
    "exchanged": whole_gradient.exchanged,
    "not masked": some_elements.not_masked,
    "missing elements": some_elements.missing_elements,
    "other mask": some_elements.other_mask,
    "transposed": whole_gradient.transposed,
    "reversed": whole_gradient.reversed_,
    "shifted": whole_gradient.shifted,
    "reordered": whole_gradient.reordered,
    "masked by sign": some_elements.masked_by_sign,
    "other input": whole_gradient.other_input_changed,
    "border": some_elements.border,
    "factor by slice": whole_gradient.factor_by_slice,
    "common term": whole_gradient.common_term,
    "constant statistics": whole_gradient.constant_statistics,
    "some elements": some_elements.some_elements,
    "wrong term": whole_gradient.wrong_term,
}

OF_WHOLE_GRADIENTS = {
    *("cotangent", "factor", "exchanged", "transposed", "reversed", "shifted", "reordered"),
    "factor by slice",
}
"""Patterns that compare all elements by `close`. A gradient whose error is smaller than
RTOL may fit them by chance."""

GUESSES = {"none", "some elements", "wrong term"}
"""The kinds of hints that describe a gradient too little to name the mistake."""
