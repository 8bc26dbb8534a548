"""A wrong result, fitted by the terms of the right formula.

If right = a + b, and the learner's results are a + r*b with the same r, or the same
formula of r, in all trials, then the second term has the wrong factor r.
"""

from typing import Any

import numpy as np

from tinyalex.course.diagnosis import factors
from tinyalex.course.diagnosis.attempt import Trial, equal
from tinyalex.course.diagnosis.expression import Node, Operation, Sum, evaluate, write

ORDINALS = ("first", "second", "third", "fourth", "fifth")


def explain(
    right: Node,
    result: str,
    trials: list[Trial],
    values: list[dict[str, Any]],
    operations: dict[str, Operation],
) -> str | None:
    """The wrong factors of the terms of `right`, if the results consist of these terms.

    `values` are those of the variables and constants of the right formula, by trial.
    """
    terms = right.terms if isinstance(right, Sum) else ((1, right),)
    ratios, constants = [], []
    for trial, names in zip(trials, values, strict=True):
        shape = trial.right[result].shape
        if result not in trial.got or trial.got[result].shape != shape:
            return None
        columns = [
            np.broadcast_to(sign * evaluate(term, names, operations), shape).ravel()
            for sign, term in terms
        ]
        matrix = np.stack(columns, axis=1)
        if len(matrix) <= len(terms) or np.linalg.matrix_rank(matrix) < len(terms):
            continue
        got = trial.got[result].astype(float).ravel()
        if not np.isfinite(got).all():
            return None
        fitted, *_ = np.linalg.lstsq(matrix, got, rcond=None)
        if not equal(matrix @ fitted, got):
            return None
        ratios.append(fitted)
        constants.append(
            {n: float(x) for n, x in names.items() if np.ndim(x) == 0 and not callable(x)}
        )
    if len(ratios) < 2 or not np.any(np.abs(ratios) > 1e-9):
        return None
    return _described([term for _, term in terms], np.transpose(ratios), constants)


def _described(
    terms: list[Node], ratios: np.ndarray, constants: list[dict[str, float]]
) -> str | None:
    positive = {n for n in constants[0] if all(0 < c[n] != 1 for c in constants)}
    known = [{n: c[n] for n in sorted(positive)} for c in constants]
    wrong, right = [], []
    for i, (term, ratio) in enumerate(zip(terms, ratios, strict=True)):
        name = f"The {ORDINALS[i]} term, `{write(term)}`," if len(terms) > 1 else f"`{write(term)}`"
        if np.allclose(ratio, 1, rtol=1e-6):
            right.append(ORDINALS[i])
        elif np.allclose(ratio, 0, atol=1e-9):
            wrong.append(f"{name} is missing.")
        elif identified := factors.identify(list(ratio), known):
            factor = factors.write(*identified)
            wrong.append(f"{name} is {factor} times what it should be.{_cause(*identified)}")
        else:
            wrong.append(
                f"{name} is {ratio[0]:.4g} times what it should be in one case, and "
                f"{ratio[1]:.4g} times in another."
            )
    if right and wrong:
        wrong.append(
            f"The {' and the '.join(right)} term {'is' if len(right) == 1 else 'are'} right."
        )
    return " ".join(wrong) or None


def _cause(number: float, powers: factors.Powers) -> str:
    missing = " and ".join(f"`{name}`" for name, exponent in powers.items() if exponent < 0)
    extra = " and ".join(f"`{name}`" for name, exponent in powers.items() if exponent > 0)
    text = " Its sign is wrong." if number < 0 else ""
    text += f" Is {missing} missing?" if missing else ""
    return text + (f" Is {extra} multiplied too often?" if extra else "")
