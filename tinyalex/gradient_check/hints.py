"""What kind of mistake a wrong gradient looks like.

`diagnose` compares a whole gradient from backward() with the whole one from finite differences, tries the patterns that common mistakes
leave, simplest first, and says which it is and what to look for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, permutations
from math import prod

import numpy as np


@dataclass(frozen=True)
class Hint:
    """`kind` is the pattern's name, `text` what it means and what to do."""

    kind: str
    text: str


@dataclass(frozen=True)
class Case:
    """A wrong gradient, and what it can be compared with.

    analytic, numeric  backward's gradient, and that of finite differences
    wrong              bool: where they differ
    others             the numeric gradients of the other inputs, by name
    shapes             the shapes of all inputs and of the output, by name
    cotangent          the gradient from above that both belong to, of the output's shape
    """

    analytic: np.ndarray
    numeric: np.ndarray
    wrong: np.ndarray
    others: dict[str, np.ndarray]
    shapes: dict[str, tuple[int, ...]]
    cotangent: np.ndarray


def diagnose(case: Case) -> Hint:
    for pattern in PATTERNS:
        if hint := pattern(case):
            return hint
    return Hint(
        "none",
        "No simple pattern: neither a factor, nor a sign, an order of axes, a shift or a mask. Try the smallest input that still fails, "
        "and follow the formula of backward term by term at the element named above.",
    )


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal as far as a mistake's pattern goes: finite differences have an error of their own."""
    return bool(np.allclose(a, b, rtol=1e-3, atol=1e-5 * np.abs(b).max(initial=0)))


def not_finite(case: Case) -> Hint | None:
    bad = ~np.isfinite(case.analytic)
    if not bad.any():
        return None
    return Hint(
        "not finite",
        f"{bad.sum()} of {bad.size} elements are nan or inf: a division by 0, the log of 0, or 0 * inf in backward.",
    )


def zero(case: Case) -> Hint | None:
    if case.analytic.any():
        return None
    return Hint(
        "zero",
        "The gradient is zero, but the output does depend on it. Has backward forgotten this input, or returned None? "
        "Is the computation cut off by .detach(), .data or .numpy()?",
    )


def sign(case: Case) -> Hint | None:
    if not close(-case.analytic, case.numeric):
        return None
    return Hint(
        "sign",
        "Every element has the opposite sign. A minus is lost, or one too many: the slope of x - y along y is -1.",
    )


def cotangent_forgotten(case: Case) -> Hint | None:
    """Where each input has an output of its own, and only there."""
    if case.cotangent.shape != case.analytic.shape or not close(
        case.analytic * case.cotangent, case.numeric
    ):
        return None
    return Hint(
        "cotangent",
        "Every element would be right if it were multiplied by grad_output: this is the slope of the operation alone, and the chain rule "
        "multiplies it by the slope of all that follows.",
    )


def factor(case: Case) -> Hint | None:
    ratio = _ratio(case.analytic, case.numeric)
    if ratio is None:
        return None
    return Hint(
        "factor",
        f"Every element is {_number(ratio)} times what it should be. {_meaning(ratio, case.shapes)}",
    )


def _ratio(a: np.ndarray, n: np.ndarray) -> float | None:
    """The number that n was multiplied with to become a, if it is a single one and not 1."""
    if not n.any():
        return None
    ratio = float((a * n).sum() / (n * n).sum())
    return ratio if close(a, ratio * n) and abs(ratio - 1) > 1e-6 else None


def _number(ratio: float) -> str:
    inverse = 1 / ratio
    return (
        f"1/{inverse:.0f}"
        if abs(ratio) < 1 and abs(inverse - round(inverse)) < 1e-3 * abs(inverse)
        else f"{ratio:.6g}"
    )


def _meaning(ratio: float, shapes: dict[str, tuple[int, ...]]) -> str:
    count = ratio if ratio > 1 else 1 / ratio
    if count > 1.5 and abs(count - round(count)) < 1e-3 * count:
        count = round(count)
        sizes = [
            f"{' * '.join(str(shape[i]) for i in axes)}, the size of {name} along {_axes(axes)}"
            for name, shape in shapes.items()
            for length in range(1, len(shape) + 1)
            for axes in combinations(range(len(shape)), length)
            if prod(shape[i] for i in axes) == count and all(shape[i] > 1 for i in axes)
        ]
        if sizes:
            lost = (
                "the 1/N of a mean is lost in backward"
                if ratio > 1
                else "backward takes a mean where uses add up: sum instead"
            )
            return f"{count} is {sizes[0]}: {lost}."
        if count == 2:
            return "The slope of a square is 2x: is a 2 lost, or there twice?"
    return "A constant factor of forward is lost in backward, or there twice."


def _axes(axes: tuple[int, ...]) -> str:
    return f"ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}"


def exchanged(case: Case) -> Hint | None:
    for name, other in case.others.items():
        if other.shape == case.analytic.shape and close(case.analytic, other):
            return Hint(
                "exchanged",
                f"This is the gradient of {name}. backward returns the gradients in another order than forward takes the inputs.",
            )
    return None


def transposed(case: Case) -> Hint | None:
    a = case.analytic
    for axes in list(permutations(range(a.ndim)))[1:] if a.ndim <= 4 else []:
        if a.transpose(axes).shape == a.shape and close(a.transpose(axes), case.numeric):
            return Hint(
                "transposed",
                f"The gradient is right after .transpose{axes}: two axes are exchanged in backward.",
            )
    return None


def reversed_(case: Case) -> Hint | None:
    a = case.analytic
    for axes in _subsets(a.ndim):
        if close(np.flip(a, axes), case.numeric):
            return Hint(
                "reversed",
                f"The gradient is right after np.flip along {_axes(axes)}: a window or an index runs the other way in backward.",
            )
    return None


def _subsets(ndim: int) -> Iterator[tuple[int, ...]]:
    for length in range(1, min(ndim, 4) + 1):
        yield from combinations(range(ndim), length)


def shifted(case: Case) -> Hint | None:
    a, n = case.analytic, case.numeric
    for axis in range(a.ndim):
        size = a.shape[axis]
        for shift in [s for k in range(1, size) for s in (k, -k) if size - k >= max(2, size // 2)]:
            inside = [slice(None)] * a.ndim
            inside[axis] = slice(shift, None) if shift > 0 else slice(None, shift)
            moved = np.roll(a, shift, axis)
            if n[tuple(inside)].any() and close(moved[tuple(inside)], n[tuple(inside)]):
                text = f"The gradient is right after np.roll by {shift} along axis {axis}: an offset (padding, a window's start) is off."
                return Hint("shifted", text)
    return None


def reordered(case: Case) -> Hint | None:
    if case.analytic.size < 4 or not close(
        np.sort(case.analytic, axis=None), np.sort(case.numeric, axis=None)
    ):
        return None
    return Hint(
        "reordered",
        "The right numbers are there, but in other places: a reshape that runs by columns (order='F'), an index, or a permutation that is "
        "not undone.",
    )


def missing_zero(case: Case) -> Hint | None:
    wrong = case.wrong
    tiny = 1e-9 * np.abs(case.analytic).max(initial=0)
    if wrong.all() or not (np.abs(case.numeric[wrong]) <= tiny).all():
        return None
    return Hint(
        "lets through",
        f"{wrong.sum()} elements should be 0 and are not; the others are right. forward cuts them off (a mask, a maximum that they "
        "lose, a class that is ignored): backward must cut the same ones.",
    )


def zero_in_places(case: Case) -> Hint | None:
    wrong = case.wrong
    if wrong.all() or case.analytic[wrong].any():
        return None
    return Hint(
        "lost places",
        f"{wrong.sum()} elements are 0 and should not be; the others are right. Does backward write their gradients elsewhere, or over "
        "each other? Is a mask too strict, or an edge left out?",
    )


def other_mask(case: Case) -> Hint | None:
    a, n = case.analytic[case.wrong], case.numeric[case.wrong]
    tiny = 1e-9 * np.abs(case.numeric).max(initial=0)
    lost, extra = (a == 0) & (np.abs(n) > tiny), (a != 0) & (np.abs(n) <= tiny)
    if not (lost.any() and extra.any() and (lost | extra).all()):
        return None
    return Hint(
        "other mask",
        f"{lost.sum()} elements are 0 and should not be, and {extra.sum()} should be 0 and are not: backward chooses other elements than "
        "forward (the opposite mask, a new random one, rows and columns exchanged). Keep forward's choice, and use that.",
    )


def factor_by_slice(case: Case) -> Hint | None:
    a, n = case.analytic, case.numeric
    for axis in range(a.ndim):
        if 1 < a.shape[axis] < a.size:
            slices = [(np.take(a, i, axis), np.take(n, i, axis)) for i in range(a.shape[axis])]
            ratios = [_ratio(x, y) or (1.0 if close(x, y) else None) for x, y in slices if y.any()]
            if len(ratios) > 1 and None not in ratios:
                shown = ", ".join(f"{r:.4g}" for r in ratios[:4] if r is not None)
                return Hint(
                    "factor by slice",
                    f"Along axis {axis}, each slice has a factor of its own ({shown}{', ...' if len(ratios) > 4 else ''}). What differs "
                    "from slice to slice: the gradient from above, a weight, a count? It is lost in backward, or there twice.",
                )
    return None


def common_term(case: Case) -> Hint | None:
    off = case.analytic - case.numeric
    for axis in range(off.ndim):
        if off.shape[axis] > 1 and close(
            off, np.broadcast_to(off.mean(axis=axis, keepdims=True), off.shape)
        ):
            return Hint(
                "common term",
                f"All elements along axis {axis} are off by the same amount: a term that they share is missing, as the mean or the sum "
                "over that axis.",
            )
    return None


def border(case: Case) -> Hint | None:
    wrong = case.wrong
    if wrong.all():
        return None
    for axis in range(wrong.ndim):
        where = np.unique(np.nonzero(wrong)[axis])
        if wrong.shape[axis] > 4 and set(where) <= {0, wrong.shape[axis] - 1}:
            return Hint(
                "border",
                f"Only elements at the border of axis {axis} are wrong. Look at padding, and at windows that hang over the edge.",
            )
    return None


def lost_uses(case: Case) -> Hint | None:
    wrong = case.wrong
    if wrong.all() and case.analytic.size > 1:
        return None
    return Hint(
        "some elements",
        f"{wrong.sum()} of {wrong.size} elements are wrong, the others are right: what do the wrong ones have in common? A number that is "
        "used several times collects the gradients of all its uses: += and not = (np.add.at for indices).",
    )


def wrong_term(case: Case) -> Hint | None:
    a, n = case.analytic.ravel(), case.numeric.ravel()
    scale = float(np.linalg.norm(a) * np.linalg.norm(n))
    alike = float(a @ n) / scale if scale else 0.0
    if alike < max(0.3, 3 / np.sqrt(a.size)) and not (
        a.size >= 8 and (a * n > 0).all()
    ):  # as alike as unrelated ones by chance
        return None
    return Hint(
        "wrong term",
        f"The two gradients point roughly the same way (cosine {alike:.4f}, the same sign at {(a * n > 0).sum()} of {a.size}): the "
        "main term is there. Is a factor wrong that depends on the element (x for 1/x, y for y * (1 - y))? Is a term missing, such as how "
        "each element changes the outputs of its neighbours?",
    )


PATTERNS: list[Callable[[Case], Hint | None]] = [
    not_finite,
    zero,
    sign,
    cotangent_forgotten,
    factor,
    exchanged,
    missing_zero,
    zero_in_places,
    other_mask,
    transposed,
    reversed_,
    shifted,
    reordered,
    border,
    factor_by_slice,
    common_term,
    lost_uses,
    wrong_term,
]
