"""Hints: the kind of mistake in a wrong gradient.

`diagnose` compares the whole analytic gradient with the whole numerical one. It tries
the patterns of common mistakes, the simplest first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations, permutations
from math import prod

import numpy as np


@dataclass(frozen=True)
class Hint:
    """`kind` is the name of the pattern, `text` its explanation and advice."""

    kind: str
    text: str


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


MAX_SHIFTS = 9
"""Shifts by more are not tried."""

MIN_SLICE = 4
"""Elements of a slice that are fitted with two constants."""

RTOL = 1e-3
"""Relative difference of equal elements."""

MAX_WRONG = 0.75
"""Of all elements. If more are wrong, the few others may be right by chance."""

MIN_SIGNS = 8
"""In fewer elements, the signs may agree with a mistake by chance."""


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


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to the error of finite differences."""
    return bool(np.allclose(a, b, rtol=RTOL, atol=1e-5 * np.abs(b).max(initial=0)))


def not_finite(case: Case) -> str | None:
    bad = ~np.isfinite(case.analytic)
    if not bad.any():
        return None
    return (
        f"{bad.sum()} of {bad.size} elements are NaN or infinite: a division by 0, the log of 0, "
        "or 0 * inf in backward."
    )


def zero(case: Case) -> str | None:
    if case.analytic.any():
        return None
    return (
        "The gradient is zero, but the output does depend on it. Does backward omit this input, or "
        "return None? Is the graph cut by .detach(), .data or .numpy()?"
    )


def sign(case: Case) -> str | None:
    if not close(-case.analytic, case.numeric):
        return None
    return (
        "Every element has the opposite sign. A minus is missing, or one too many: the derivative "
        "of x - y with respect to y is -1."
    )


def cotangent_missing(case: Case) -> str | None:
    """For elementwise operations only."""
    dy = case.cotangent
    if dy.shape != case.analytic.shape or not close(case.analytic * dy, case.numeric):
        return None
    return (
        "Every element would be right if multiplied by grad_output: this is the derivative of the "
        "operation itself, which the chain rule multiplies by the upstream gradient."
    )


def factor(case: Case) -> str | None:
    ratio = _ratio(case.analytic, case.numeric)
    if ratio is None:
        return None
    inverse = 1 / ratio
    is_fraction = round(inverse) > 1 and _is_integer(inverse)
    shown = f"1/{inverse:.0f}" if is_fraction else f"{ratio:.6g}"
    return f"Every element is {shown} times the correct value. {_cause(ratio, case.shapes)}"


def _ratio(a: np.ndarray, n: np.ndarray) -> float | None:
    """The factor by which all of `a` differs from `n`, if there is one other than 1."""
    if not n.any():
        return None
    ratio = float((a * n).sum() / (n * n).sum())
    return ratio if close(a, ratio * n) and abs(ratio - 1) > RTOL else None


def _is_integer(x: float) -> bool:
    return abs(x - round(x)) < 1e-3 * abs(x)


def _cause(ratio: float, shapes: dict[str, tuple[int, ...]]) -> str:
    count = ratio if ratio > 1 else 1 / ratio
    if count > 1.5 and _is_integer(count):
        count = round(count)
        sizes = [
            f"{_product(shape, axes)}the size of {name} along {_axes(axes)}"
            for name, shape in shapes.items()
            for axes in _subsets(len(shape))
            if prod(shape[i] for i in axes) == count and all(shape[i] > 1 for i in axes)
        ]
        if sizes:
            missing_mean = "the 1/N of a mean is missing in backward"
            extra_mean = "backward computes a mean instead of a sum over uses"
            return f"{count} is {sizes[0]}: {missing_mean if ratio > 1 else extra_mean}."
        if count == 2:
            return "The derivative of x**2 is 2*x: is the 2 missing, or applied twice?"
    return "A constant factor of forward is missing in backward, or applied twice."


def _product(shape: tuple[int, ...], axes: tuple[int, ...]) -> str:
    """The sizes of several axes, such as "2 * 3, "."""
    return f"{' * '.join(str(shape[i]) for i in axes)}, " if len(axes) > 1 else ""


def _axes(axes: tuple[int, ...]) -> str:
    return f"ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}"


def _subsets(ndim: int) -> Iterator[tuple[int, ...]]:
    """All non-empty sets of axes."""
    for length in range(1, ndim + 1):
        yield from combinations(range(ndim), length)


def exchanged(case: Case) -> str | None:
    for name, other in case.others.items():
        if other.shape == case.analytic.shape and close(case.analytic, other):
            return (
                f"This is the gradient of {name}. backward must return the gradients in the order "
                "of forward's inputs."
            )
    return None


def transposed(case: Case) -> str | None:
    a = case.analytic
    for axes in list(permutations(range(a.ndim)))[1:] if a.ndim <= 4 else []:
        if a.transpose(axes).shape == a.shape and close(a.transpose(axes), case.numeric):
            return f"The gradient is right after .transpose{axes}: backward exchanges two axes."
    return None


def reversed_(case: Case) -> str | None:
    for axes in _subsets(case.analytic.ndim):
        if len(axes) <= 4 and close(np.flip(case.analytic, axes), case.numeric):
            return (
                f"The gradient is right after np.flip along {_axes(axes)}: backward runs through a "
                f"window or an index in the opposite direction.{_kernel(case.analytic.ndim, axes)}"
            )
    return None


def _kernel(ndim: int, axes: tuple[int, ...]) -> str:
    """A remark on convolutions, if the axes may be those of a kernel."""
    if ndim < 3 or min(axes) < 2:
        return ""
    return (
        " If this is a convolution's kernel: dw is a correlation of x with dy, without a flip; dx "
        "is a correlation of dy with the kernel flipped along its axes."
    )


def other_input_changed(case: Case) -> str | None:
    """The gradient for another input that is reversed, transposed or shifted."""
    for name, array in case.inputs.items():
        if array.size < 2:
            continue
        for axes in _subsets(array.ndim) if array.ndim <= 4 else ():
            if _matches(case, name, np.flip(array, axes)):
                return (
                    f"This would be the right gradient if {name} were reversed along "
                    f"{_axes(axes)}. backward uses it in the opposite direction to forward, or in "
                    f"the same one where it must be reversed.{_kernel(array.ndim, axes)}"
                )
        for axes in list(permutations(range(array.ndim)))[1:] if array.ndim <= 4 else ():
            moved = array.transpose(axes)
            if moved.shape == array.shape and _matches(case, name, moved):
                return (
                    f"This would be the right gradient for {name}.transpose{axes}: backward uses "
                    f"{name} with exchanged axes, or without the exchange that it needs."
                )
        for shift in range(1, min(array.shape[0], MAX_SHIFTS)) if array.ndim else ():
            if _matches(case, name, np.roll(array, shift, axis=0)):
                return (
                    f"This would be the right gradient if {name} were shifted by {shift} along "
                    "axis 0, as by np.roll: backward uses the part of another group or index."
                )
    return None


def _matches(case: Case, name: str, array: np.ndarray) -> bool:
    return not np.array_equal(array, case.inputs[name]) and case.matches(name, array)


def shifted(case: Case) -> str | None:
    a, n = case.analytic, case.numeric
    for axis in range(a.ndim):
        size = a.shape[axis]
        for shift in [s for k in range(1, size) for s in (k, -k) if size - k >= max(2, size // 2)]:
            inside = [slice(None)] * a.ndim
            inside[axis] = slice(shift, None) if shift > 0 else slice(None, shift)
            moved, expected = np.roll(a, shift, axis)[tuple(inside)], n[tuple(inside)]
            if expected.any() and close(moved, expected):
                return (
                    f"The gradient is right after np.roll by {shift} along axis {axis}: an offset "
                    "(padding, the start of a window) is wrong."
                )
    return None


def reordered(case: Case) -> str | None:
    a, n = (np.sort(gradient, axis=None) for gradient in (case.analytic, case.numeric))
    if a.size < 4 or not close(a, n):
        return None
    return (
        "The values are right, but at other indices: a reshape in column-major order (order='F'), "
        "a wrong index, or a permutation that is not inverted."
    )


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


def factor_by_slice(case: Case) -> str | None:
    a, n = case.analytic, case.numeric
    for axis in range(a.ndim):
        if not 1 < a.shape[axis] < a.size:
            continue
        slices = [(np.take(a, i, axis), np.take(n, i, axis)) for i in range(a.shape[axis])]
        ratios = [_ratio(x, y) or (1.0 if close(x, y) else None) for x, y in slices if y.any()]
        if len(ratios) > 1 and None not in ratios:
            shown = [f"{ratio:.4g}" for ratio in ratios[:4]] + ["..."] * (len(ratios) > 4)
            return (
                f"Along axis {axis}, each slice has its own factor ({', '.join(shown)}). What "
                "differs between the slices: the upstream gradient, a weight, a count? It is "
                "missing in backward, or applied twice."
            )
    return None


def common_term(case: Case) -> str | None:
    difference = case.analytic - case.numeric
    for axes in reversed(list(_subsets(difference.ndim))):
        mean = np.broadcast_to(difference.mean(axis=axes, keepdims=True), difference.shape)
        count = prod(difference.shape[axis] for axis in axes)
        if count > 1 and 1 not in (difference.shape[a] for a in axes) and close(difference, mean):
            same = "it" if len(axes) == 1 else "them"
            return (
                f"All elements along {_axes(axes)} differ by the same amount: a term that they "
                f"share is missing, such as the mean or the sum along {same}. If forward subtracts "
                "a mean, backward treats it as a constant, although each element changes it."
            )
    return None


def constant_statistics(case: Case) -> str | None:
    """Of a normalization: what is missing has the form a + b*x in each slice."""
    if case.x is None or case.x.shape != case.analytic.shape:
        return None
    difference = case.analytic - case.numeric
    for axes in reversed(list(_subsets(difference.ndim))):
        count = prod(case.x.shape[axis] for axis in axes)
        if count < MIN_SLICE or 1 in (case.x.shape[axis] for axis in axes):
            continue
        x = np.moveaxis(case.x, axes, range(len(axes))).reshape(count, -1)
        d = np.moveaxis(difference, axes, range(len(axes))).reshape(count, -1)
        where = f"along {_axes(axes)}"
        if close(_projected(d, [x]), d):
            return (
                f"What is missing is proportional to the input {where}: backward treats a "
                "statistic that forward divides by (a norm, a mean square) as a constant, although "
                "each element changes it."
            )
        if close(_projected(d, [np.ones_like(x), x]), d):
            if np.abs(d.mean(axis=0)).max() < 1e-4 * np.abs(d).max():
                return (
                    f"What is missing is proportional to the centred input {where}: backward "
                    "treats the variance that forward divides by as a constant, although each "
                    "element changes it. The term of the mean is right."
                )
            return (
                f"What is missing is a + b*x with constants a and b {where}: backward treats the "
                "mean and the variance of a normalization as constants, although each element "
                "changes both. Two terms are missing."
            )
    return None


def _projected(d: np.ndarray, basis: list[np.ndarray]) -> np.ndarray:
    """Each column of d, projected on the columns of the basis with the same index."""
    result = np.empty_like(d)
    for i in range(d.shape[1]):
        columns = np.stack([b[:, i] for b in basis], axis=1)
        factors, *_ = np.linalg.lstsq(columns, d[:, i], rcond=None)
        result[:, i] = columns @ factors
    return result


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


def wrong_term(case: Case) -> str | None:
    a, n = case.analytic.ravel(), case.numeric.ravel()
    scale = float(np.linalg.norm(a) * np.linalg.norm(n))
    cosine = float(a @ n) / scale if scale else 0.0
    same_sign = (a * n > 0).sum()
    by_chance = cosine < max(0.3, 3 / np.sqrt(a.size))  # as for unrelated gradients
    if by_chance and not (a.size >= 8 and same_sign == a.size):
        return None
    return (
        f"The two gradients have similar directions (cosine {cosine:.4f}, the same sign at "
        f"{same_sign} of {a.size}): the main term is present. Is a factor wrong that depends on "
        "the element (x for 1/x, y for y * (1 - y))? Is a term missing, such as the effect of each "
        "element on neighbouring outputs?"
    )


PATTERNS: dict[str, Callable[[Case], str | None]] = {
    "not finite": not_finite,
    "zero": zero,
    "sign": sign,
    "cotangent": cotangent_missing,
    "factor": factor,
    "exchanged": exchanged,
    "not masked": not_masked,
    "missing elements": missing_elements,
    "other mask": other_mask,
    "transposed": transposed,
    "reversed": reversed_,
    "shifted": shifted,
    "reordered": reordered,
    "masked by sign": masked_by_sign,
    "other input": other_input_changed,
    "border": border,
    "factor by slice": factor_by_slice,
    "common term": common_term,
    "constant statistics": constant_statistics,
    "some elements": some_elements,
    "wrong term": wrong_term,
}

OF_WHOLE_GRADIENTS = {
    *("cotangent", "factor", "exchanged", "transposed", "reversed", "shifted", "reordered"),
    "factor by slice",
}
"""Patterns that compare all elements by `close`. A gradient whose error is smaller than
RTOL may fit them by chance."""

GUESSES = {"none", "some elements", "wrong term"}
"""The kinds of hints that describe a gradient too little to name the mistake."""
