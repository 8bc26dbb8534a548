"""What is said about a learner's answer: how it differs from the solution's, and which mistake makes it differ so."""

import copy
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinyalex.gradient_check.check import gradcheck
from tinyalex.learning.comparing import (
    Outcome,
    advice_on,
    alike,
    describe,
    difference,
    row,
    wrapped,
)
from tinyalex.learning.folders import Exercise, exercises, load

SECONDS = 20.0
"""How long an answer may take."""

COMMON = 12
"""How many of an exercise's mistakes are also tried in pairs, the first ones: of many pairs some fit by chance."""

EXACT = (
    *(
        "not finite",
        "zero",
        "sign",
        "factor",
        "cotangent",
        "exchanged",
        "transposed",
        "reversed",
        "shifted",
        "reordered",
    ),
    *("not masked", "missing elements"),
)
"""Kinds of gradcheck's hints that describe a whole wrong gradient. The others guess at a cause, which the code may not have."""


@dataclass(frozen=True)
class Mistake:
    """What people write instead of pieces of the solution, {right: wrong}, and what to tell them.

    needs  a regular expression: an error is put down to this only if the learner's source has it, since other causes raise the same
    """

    name: str
    instead: dict[str, str]
    hint: str
    needs: str = ""

    def __add__(self, other: "Mistake") -> "Mistake":
        instead = {**other.instead, **self.instead}
        return Mistake(
            f"{self.name}, {other.name}",
            instead,
            f"Two things at once. {self.hint} And: {other.hint}",
        )


@dataclass(frozen=True)
class Verdict:
    """`kind`: right, not started, not written, syntax, crash, endless, missing, form, values, input or gradient. `text` is for the learner.

    mistake  the name of the Mistake whose hint is in the text, if one fits
    """

    kind: str
    text: str
    mistake: str = ""


def check(exercise: Exercise, seconds: float | None = None) -> Verdict:
    """What there is to say about my/NN_name.py."""
    number, file = exercise.number, exercise.shown
    if not exercise.file.exists():
        return Verdict(
            "not started", f"There is no {file} yet. Begin with: tinyalex learn start {number}"
        )
    if not exercise.started:
        return Verdict(
            "not started",
            f"{file} is as you got it: write what is missing, and check again. To begin: tinyalex learn hint {number}",
        )
    outcome: list[Verdict | BaseException] = []

    def judge() -> None:
        try:
            outcome.append(_Judge(exercise).verdict())
        except BaseException as error:
            outcome.append(error)

    # In a thread, since nothing else can leave a loop that does not end, and say where it is. It ends with the program.
    thread = threading.Thread(target=judge, daemon=True)
    thread.start()
    thread.join(seconds or SECONDS)
    if not outcome:
        return _endless(exercise, thread, seconds or SECONDS)
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _endless(exercise: Exercise, thread: threading.Thread, seconds: float) -> Verdict:
    frame = sys._current_frames().get(thread.ident or 0)
    lines = list(_own_lines(traceback.walk_stack(frame), exercise.file)) if frame else []
    where = [("where", line) for line in lines[:1]]
    return _verdict(
        exercise,
        "endless",
        [("stopped", f"still running after {seconds:g} seconds"), *where],
        "Is there a loop that never ends? In a `while`, something must change that its condition looks at. If it is only slow: are "
        "numbers computed again and again that could be kept?",
    )


def _own_lines(frames: Any, file: Path) -> Iterator[str]:
    """The lines of the learner's file that are being executed, as "my/05_im2col.py, line 12: x = 1"."""
    for frame in traceback.StackSummary.extract(frames):
        if frame.filename == str(file):
            yield f"{file.as_posix()}, line {frame.lineno}: {frame.line}"


@dataclass
class _Judge:
    exercise: Exercise
    plan: Any = field(init=False)

    def verdict(self) -> Verdict:
        exercise = self.exercise
        self.plan = plan = load(exercise.checks)
        try:
            module = load(exercise.file)
        except BaseException as error:
            return self._crash(error, [])
        right = load(exercise.solution)
        for i, (words, inputs) in enumerate(plan.CASES):
            got = self._try(module, inputs)
            tried = describe(words, inputs)
            if isinstance(got.error, AttributeError) and got.error.obj is module:
                missing = [("missing", f"{exercise.shown} has no {got.error.name}")]
                advice = "Was it renamed, or is it indented so that it is part of something else? The name must stay."
                return _verdict(exercise, "missing", missing, advice)
            if got.error:
                return self._crash(got.error, tried, self._fitting(i, got, module))
            if unlike := difference(self._try(right, inputs), got, plan.RESULTS):
                mistake = self._fitting(i, got, module)
                kind, found, advice = unlike
                more = self._from_gradcheck(module) if kind == "values" and not mistake else ""
                text = mistake.hint if mistake else " ".join(filter(None, [advice, more]))
                return _verdict(exercise, kind, [*tried, found], text, mistake)
        return self._gradient(module)

    def _try(self, module: ModuleType, inputs: dict[str, Any]) -> Outcome:
        inputs = copy.deepcopy(inputs)
        try:
            with np.errstate(all="ignore"):
                return Outcome(inputs, self.plan.answer(module, **inputs))
        except BaseException as error:
            return Outcome(inputs, error=error)

    def _fitting(self, failing: int, got: Outcome, module: ModuleType) -> Mistake | None:
        """The mistake with which the solution does as the learner's does, in this case and in those before it.

        If several do, it is the one that goes on doing so in most of the cases after it. If none does, it may be two at once: they
        must do so in all cases, and each of them must change what comes out in this one. Of an exception too little can be compared
        to believe in two.
        """
        cases = [inputs for _, inputs in self.plan.CASES]
        right = load(self.exercise.solution)
        learners = cache(
            lambda i: got if i == failing else self._try(right if i < failing else module, cases[i])
        )

        def same(mistake: Mistake, i: int) -> bool:
            return alike(
                self._try(with_mistake(self.exercise, mistake), cases[i]),
                learners(i),
                self.plan.RESULTS,
            )

        source = self.exercise.file.read_text(encoding="utf-8", errors="replace")
        mistakes = [m for m in self.plan.MISTAKES if not got.error or re.search(m.needs, source)]
        fitting = [m for m in mistakes if all(same(m, i) for i in range(failing, -1, -1))]
        if len(fitting) > 1:
            return max(
                fitting, key=lambda m: sum(same(m, i) for i in range(failing + 1, len(cases)))
            )
        if fitting or got.error:
            return fitting[0] if fitting else None
        expected = self._try(right, cases[failing])
        changing = [
            m
            for m in mistakes[:COMMON]
            if not alike(
                self._try(with_mistake(self.exercise, m), cases[failing]),
                expected,
                self.plan.RESULTS,
            )
        ]
        for a, b in combinations(changing, 2):
            try:
                if all(same(a + b, i) for i in (failing, *range(len(cases)))):
                    return a + b
            except (ValueError, SyntaxError):  # two that change the same piece
                continue
        return None

    def _from_gradcheck(self, module: ModuleType) -> str:
        """What gradcheck makes of a wrong backward pass that is none of the known ones."""
        if not getattr(self.plan, "WRITES_BACKWARD", True):
            return ""
        try:
            report = gradcheck(*self.plan.gradient(module), raise_exception=False)
        except Exception:
            return ""
        hints = [
            (r.name.removeprefix("input "), r.hint.text)
            for r in report.rows
            if r.hint and r.hint.kind in EXACT
        ]
        return " ".join(
            f"The gradient check, with other numbers, says of the gradient of {name}: {text}"
            for name, text in hints
        )

    def _gradient(self, module: ModuleType) -> Verdict:
        exercise, count = self.exercise, len(self.plan.CASES)
        checked = ""
        if hasattr(self.plan, "gradient"):
            try:
                report = gradcheck(*self.plan.gradient(module), raise_exception=False)
            except Exception as error:
                return self._crash(error, [("tried", "the gradient check")])
            if not report.rows or not all(
                row.ok for row in report.rows
            ):  # float32 need not stay float32 here
                return _verdict(
                    exercise,
                    "gradient",
                    [("tried", "the gradient check; all cases are right")],
                    str(report),
                )
            checked = f" The gradient check agrees at each of {sum(row.checked for row in report.rows)} numbers."
        following = [e.number for e in exercises() if e.number > exercise.number]
        after = (
            f"Next: tinyalex learn start {following[0]}"
            if following
            else "That was the last exercise."
        )
        return Verdict(
            "right",
            f"Exercise {exercise.number}, {exercise.name}: right, in all of {count} cases.{checked}\n{after}",
        )

    def _crash(
        self, error: BaseException, tried: list[tuple[str, str]], mistake: Mistake | None = None
    ) -> Verdict:
        exercise, file = self.exercise, self.exercise.shown
        lines = list(_own_lines(traceback.walk_tb(error.__traceback__), exercise.file))
        if isinstance(error, NotImplementedError) and lines:
            return Verdict(
                "not written",
                f"{lines[-1]}\nThis is still to be written: put your code in its place, and check again. "
                f"To begin: tinyalex learn hint {exercise.number}",
            )
        if isinstance(error, SyntaxError) and error.filename in (None, str(exercise.file)):
            line = f", line {error.lineno}: {(error.text or '').strip()}" if error.lineno else ""
            return _verdict(
                exercise,
                "syntax",
                [("cannot read", f"{error.msg}"), ("where", f"{file}{line}")],
                "Python could not read the file. If this line looks right, look at the one above it: a bracket that is not closed, a "
                "colon that is missing, an indentation that differs.",
            )
        name = type(error).__name__
        found = [*tried, ("stopped", f"{name}: {error}"), *[("where", line) for line in lines[-1:]]]
        if mistake:
            return _verdict(exercise, "crash", found, mistake.hint, mistake)
        if not lines:
            return _verdict(
                exercise,
                "crash",
                found,
                "Names, arguments and their order must be as the exercise has them.",
            )
        return _verdict(exercise, "crash", found, advice_on(error))


def with_mistake(exercise: Exercise, mistake: Mistake) -> ModuleType:
    """The solution with that mistake in it."""
    source = exercise.solution.read_text(encoding="utf-8")
    for right, wrong in mistake.instead.items():
        if source.count(right) != 1:
            raise ValueError(
                f"{exercise.name}, {mistake.name}: {right!r} is {source.count(right)} times in the solution, expected once."
            )
        source = source.replace(right, wrong)
    return load(exercise.solution, source.encode())


def _verdict(
    exercise: Exercise,
    kind: str,
    found: list[tuple[str, str]],
    advice: str,
    mistake: Mistake | None = None,
) -> Verdict:
    width = max(len(label) for label, _ in found) + 2
    text = [
        f"Exercise {exercise.number}, {exercise.name}: not right yet.",
        "",
        *[row(label, what, width) for label, what in found],
        "",
        wrapped(advice),
        "",
        f"Next: change {exercise.shown}, and tinyalex learn check {exercise.number}. Stuck? tinyalex learn hint {exercise.number}",
    ]
    return Verdict(kind, "\n".join(text), mistake.name if mistake else "")
