"""Patterns of which elements are wrong, if others are right: a mask, a border.

Each returns its explanation and advice, or None if it does not fit.
"""

import numpy as np

from tinyalex.gradient_check.case import Case

MAX_WRONG = 0.75
"""Of all elements. If more are wrong, the few others may be right by chance."""

MIN_SIGNS = 8
"""In fewer elements, the signs may agree with a mistake by chance."""


def not_masked(case: Case) -> str | None:
    wrong = case.wrong
    tiny = 1e-9 * np.abs(case.analytic).max(initial=0)
    if wrong.all() or not (np.abs(case.numeric[wrong]) <= tiny).all():
        return None
    return (
        f"{wrong.sum()} elements should be 0 and are not; the others are right. forward omits them "
        "(a mask, a maximum that is elsewhere, an ignored class): backward must set their "
        "gradients to 0."
    )


def missing_elements(case: Case) -> str | None:
    wrong = case.wrong
    if wrong.all() or case.analytic[wrong].any():
        return None
    return (
        f"{wrong.sum()} elements are 0 and should not be; the others are right. Does backward "
        "write their gradients to other indices, or overwrite them? Is a mask too strict, or a "
        "border left out?"
    )


def other_mask(case: Case) -> str | None:
    a, n = case.analytic[case.wrong], case.numeric[case.wrong]
    tiny = 1e-9 * np.abs(case.numeric).max(initial=0)
    missing, extra = (a == 0) & (np.abs(n) > tiny), (a != 0) & (np.abs(n) <= tiny)
    if not (missing.any() and extra.any() and (missing | extra).all()):
        return None
    return (
        f"{missing.sum()} elements are 0 and should not be, and {extra.sum()} should be 0 and are "
        "not: backward selects other elements than forward (the opposite mask, a new random one, "
        "rows and columns exchanged). Store the selection in forward."
    )


def masked_by_sign(case: Case) -> str | None:
    wrong = case.wrong
    for name, array in (("the input", case.x), ("the output", case.y)):
        if array is None or array.shape != wrong.shape or array.size < MIN_SIGNS:
            continue
        for symbol, mask in (("<", array < 0), (">", array > 0)):
            if np.array_equal(wrong, mask) and 1 < mask.sum() < mask.size - 1:
                return (
                    f"The wrong elements are exactly those where {name} is {symbol} 0. forward "
                    "treats them in another way (a mask, a maximum): backward must use the same "
                    "mask, with the derivative of each part."
                )
    return None


def border(case: Case) -> str | None:
    wrong = case.wrong
    for axis, size in enumerate(wrong.shape):
        indices = set(np.unique(np.nonzero(wrong)[axis]))
        if size > 4 and not wrong.all() and indices <= {0, size - 1}:
            return (
                f"Only elements at the border of axis {axis} are wrong. Check padding, and windows "
                "that extend past the edge."
            )
    return None


def some_elements(case: Case) -> str | None:
    wrong = case.wrong
    if wrong.sum() > MAX_WRONG * wrong.size:
        return None
    return (
        f"{wrong.sum()} of {wrong.size} elements are wrong, the others are right: what do the "
        "wrong ones have in common? The gradient of an element that is used several times is the "
        "sum over all uses: += instead of = (np.add.at for indices)."
    )
