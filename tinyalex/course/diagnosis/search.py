"""Find the known mistake that explains a wrong answer."""

import copy
import re
from functools import cache
from itertools import combinations, permutations
from types import ModuleType
from typing import Any

import numpy as np

from tinyalex.course.diagnosis.attempt import Attempt, Trial, equal
from tinyalex.course.diagnosis.comparison import Outcome, alike, values_of
from tinyalex.course.diagnosis.relation import relation
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
    return run(checks, module, checks.CASES[case][1])


def run(checks: Checks, module: ModuleType, inputs: dict[str, Any]) -> Outcome:
    inputs = copy.deepcopy(inputs)
    try:
        with np.errstate(all="ignore"):
            return Outcome(inputs, checks.answer(module, **inputs))
    except BaseException as error:
        return Outcome(inputs, error=error)


def find_mistake(
    exercise: Exercise, checks: Checks, learner: ModuleType, failing: int, got: Outcome
) -> Mistake | None:
    """The mistake with which the solution has the same results as the learner's code.

    Results must agree in the case `failing`, in all before, and in the probes if the
    checks have some: those are inputs for which no two mistakes have the same results.
    Of several mistakes, the one that agrees in most later cases is returned. If there
    is none, pairs are tried: each of the two must change this case's result, and the
    pair must agree in all cases. Exceptions contain too little information to try
    pairs.
    """
    solution = exercise.load_solution()
    probes = getattr(checks, "PROBES", []) if got.error is None else []
    inputs = [inputs for _, inputs in checks.CASES] + probes
    earlier = [*range(failing, -1, -1), *range(len(checks.CASES), len(inputs))]

    @cache
    def learners(case: int) -> Outcome:
        if case == failing:
            return got
        return run(checks, solution if case < failing else learner, inputs[case])

    def agrees(mistake: Mistake, case: int, expected: Outcome | None = None) -> bool:
        outcome = run(checks, exercise.load_solution(mistake), inputs[case])
        return alike(outcome, expected or learners(case), checks.RESULTS)

    source = exercise.file.read_text(encoding="utf-8", errors="replace")
    known = [m for m in checks.MISTAKES if not got.error or re.search(m.needs, source)]
    fitting = [m for m in known if all(agrees(m, case) for case in earlier)]
    if len(fitting) > 1:
        later = range(failing + 1, len(checks.CASES))
        return max(fitting, key=lambda m: sum(agrees(m, case) for case in later))
    if fitting or got.error:
        return fitting[0] if fitting else None
    right = run_case(checks, solution, failing)
    changing = [m for m in known[:MAX_PAIRED_MISTAKES] if not agrees(m, failing, right)]
    for a, b in combinations(changing, 2):
        try:
            if all(agrees(a + b, case) for case in (failing, *range(len(inputs)))):
                return a + b
        except (ValueError, SyntaxError):  # both change the same code
            continue
    return None


def explain(
    exercise: Exercise, checks: Checks, learner: ModuleType, failing: int, result: str
) -> str | None:
    """What the results show to be wrong, by the explanations that the checks list.

    `result` is the name of the first wrong result in the case `failing`.
    """
    solution = exercise.load_solution()

    def trial(inputs: dict[str, Any]) -> Trial | None:
        right, got = (
            values_of(run(checks, module, inputs), checks.RESULTS) for module in (solution, learner)
        )
        return Trial(inputs, right, got) if result in right and result in got else None

    failed = checks.CASES[failing][1]
    first, again = trial(failed), trial(failed)
    if first is None or again is None:
        return None
    if not equal(again.got[result], first.got[result]):
        return (
            "Two calls with the same arguments return different values: is something random, or "
            "kept from one call to the next?"
        )
    cases = [inputs for case, (_, inputs) in enumerate(checks.CASES) if case != failing]
    others = [*getattr(checks, "PROBES", []), *cases]
    trials = [first, *(found for inputs in others if (found := trial(inputs)))]
    source = exercise.file.read_text(encoding="utf-8", errors="replace")
    attempt = Attempt(result, trials, source, trial)
    if text := _exchanged(attempt):
        return text
    for explanation in getattr(checks, "EXPLANATIONS", []):
        if text := explanation.explain(attempt):
            return str(text)
    return gradcheck_hints(checks, learner) or relation(attempt)


def _exchanged(attempt: Attempt) -> str | None:
    names = list(attempt.trials[0].right)
    for order in list(permutations(names))[1:]:
        if all(
            other in trial.got and equal(trial.got[other], trial.right[name])
            for trial in attempt.trials
            for name, other in zip(names, order, strict=True)
        ):
            return f"All values are right, but in another order: return {', '.join(names)}."
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
