"""Patterns of a whole gradient: a factor, an order of axes, a shift, a missing term.

Each returns its explanation and advice, or None if it does not fit.
"""

from itertools import permutations
from math import prod

import numpy as np

from tinyalex.gradient_check.case import RTOL, Case, axes_text, close, subsets

MAX_SHIFTS = 9
"""Shifts by more are not tried."""

MIN_SLICE = 4
"""Elements of a slice that are fitted with two constants."""


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
            f"{_product(shape, axes)}the size of {name} along {axes_text(axes)}"
            for name, shape in shapes.items()
            for axes in subsets(len(shape))
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
    for axes in subsets(case.analytic.ndim):
        if len(axes) <= 4 and close(np.flip(case.analytic, axes), case.numeric):
            return (
                f"The gradient is right after np.flip along {axes_text(axes)}: backward runs "
                "through a window or an index in the opposite direction."
                f"{_kernel(case.analytic.ndim, axes)}"
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
        for axes in subsets(array.ndim) if array.ndim <= 4 else ():
            if _matches(case, name, np.flip(array, axes)):
                return (
                    f"This would be the right gradient if {name} were reversed along "
                    f"{axes_text(axes)}. backward uses it in the opposite direction to forward, or "
                    f"in the same one where it must be reversed.{_kernel(array.ndim, axes)}"
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
    for axes in reversed(list(subsets(difference.ndim))):
        mean = np.broadcast_to(difference.mean(axis=axes, keepdims=True), difference.shape)
        count = prod(difference.shape[axis] for axis in axes)
        if count > 1 and 1 not in (difference.shape[a] for a in axes) and close(difference, mean):
            same = "it" if len(axes) == 1 else "them"
            return (
                f"All elements along {axes_text(axes)} differ by the same amount: a term that they "
                f"share is missing, such as the mean or the sum along {same}. If forward subtracts "
                "a mean, backward treats it as a constant, although each element changes it."
            )
    return None


def constant_statistics(case: Case) -> str | None:
    """Of a normalization: what is missing has the form a + b*x in each slice."""
    if case.x is None or case.x.shape != case.analytic.shape:
        return None
    difference = case.analytic - case.numeric
    for axes in reversed(list(subsets(difference.ndim))):
        count = prod(case.x.shape[axis] for axis in axes)
        if count < MIN_SLICE or 1 in (case.x.shape[axis] for axis in axes):
            continue
        x = np.moveaxis(case.x, axes, range(len(axes))).reshape(count, -1)
        d = np.moveaxis(difference, axes, range(len(axes))).reshape(count, -1)
        where = f"along {axes_text(axes)}"
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
