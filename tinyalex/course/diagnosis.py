"""Find the known mistake that explains a wrong answer."""

import copy
import re
from functools import cache
from itertools import combinations
from types import ModuleType

import numpy as np

from tinyalex.course.comparison import Outcome, alike
from tinyalex.course.exercise import Checks, Exercise, Mistake
from tinyalex.gradient_check.check import gradcheck

MAX_PAIRED_MISTAKES = 12
"""Only the first ones are tried in pairs: of many pairs some match by chance."""

EXACT_HINTS = {
    *("not finite", "zero", "sign", "factor", "cotangent", "exchanged", "transposed"),
    *("reversed", "shifted", "reordered", "not masked", "missing elements"),
}
"""Kinds of gradcheck's hints that describe a whole gradient. Others guess a cause."""


def run_case(checks: Checks, module: ModuleType, case: int) -> Outcome:
    """Call the module's function with copies of the case's inputs."""
    inputs = copy.deepcopy(checks.CASES[case][1])
    try:
        with np.errstate(all="ignore"):
            return Outcome(inputs, checks.answer(module, **inputs))
    except BaseException as error:
        return Outcome(inputs, error=error)


def find_mistake(
    exercise: Exercise, checks: Checks, learner: ModuleType, failing: int, got: Outcome
) -> Mistake | None:
    """The mistake with which the solution has the same results as the learner's code.

    Results must agree in the case `failing` and all before. Of several mistakes, the
    one that agrees in most later cases is returned. If there is none, pairs are tried:
    each of the two must change this case's result, and the pair must agree in all
    cases. Exceptions contain too little information to try pairs.
    """
    solution = exercise.load_solution()
    count = len(checks.CASES)

    @cache
    def learners(case: int) -> Outcome:
        if case == failing:
            return got
        return run_case(checks, solution if case < failing else learner, case)

    def agrees(mistake: Mistake, case: int, expected: Outcome | None = None) -> bool:
        outcome = run_case(checks, exercise.load_solution(mistake), case)
        return alike(outcome, expected or learners(case), checks.RESULTS)

    source = exercise.file.read_text(encoding="utf-8", errors="replace")
    known = [m for m in checks.MISTAKES if not got.error or re.search(m.needs, source)]
    fitting = [m for m in known if all(agrees(m, case) for case in range(failing, -1, -1))]
    if len(fitting) > 1:
        later = range(failing + 1, count)
        return max(fitting, key=lambda m: sum(agrees(m, case) for case in later))
    if fitting or got.error:
        return fitting[0] if fitting else None
    right = run_case(checks, solution, failing)
    changing = [m for m in known[:MAX_PAIRED_MISTAKES] if not agrees(m, failing, right)]
    for a, b in combinations(changing, 2):
        try:
            if all(agrees(a + b, case) for case in (failing, *range(count))):
                return a + b
        except (ValueError, SyntaxError):  # both change the same code
            continue
    return None


def gradcheck_hints(checks: Checks, learner: ModuleType) -> str:
    """gradcheck's hints for a wrong backward pass that no known mistake explains."""
    if checks.gradient is None or not checks.WRITES_BACKWARD:
        return ""
    try:
        report = gradcheck(*checks.gradient(learner), raise_exception=False)
    except Exception:
        return ""
    return " ".join(
        "The gradient check, on other values, reports for the gradient of "
        f"{row.name.removeprefix('input ')}: {row.hint.text}"
        for row in report.rows
        if row.hint and row.hint.kind in EXACT_HINTS
    )
