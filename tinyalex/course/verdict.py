"""The verdict on a learner's answer."""

import sys
import threading
import traceback
from dataclasses import dataclass
from types import FrameType, ModuleType

from tinyalex.course.diagnosis.clues import clues, lines_that_modify
from tinyalex.course.diagnosis.comparison import Difference, difference
from tinyalex.course.diagnosis.crash import advice_on, values_at
from tinyalex.course.diagnosis.search import explain, find_mistake, run_case
from tinyalex.course.exercise import Checks, Exercise, Mistake, exercises, load
from tinyalex.course.formatting import Rows, describe, row, wrapped
from tinyalex.course.milestones import MILESTONES
from tinyalex.gradient_check.check import gradcheck

MAX_SECONDS = 20.0


@dataclass(frozen=True)
class Verdict:
    kind: str
    """right, not started, not written, or what is wrong: a key of commands.STATES"""
    text: str
    mistake: str = ""
    """The name of the Mistake that explains the answer."""


def check(exercise: Exercise, seconds: float = MAX_SECONDS) -> Verdict:
    """The verdict on the learner's file, which may run for `seconds`.

    The diagnosis of a wrong answer may take longer, so the code is endless only if the
    same call of it is still running a tenth of this time later.
    """
    if not exercise.file.exists():
        create = f"Create it with: tinyalex learn start {exercise.number}"
        return Verdict("not started", f"There is no {exercise.shown} yet. {create}")
    if not exercise.started:
        return Verdict("not started", f"{exercise.shown} is unchanged. {_to_write(exercise)}")
    outcome: list[Verdict | BaseException] = []

    def judge() -> None:
        try:
            outcome.append(_judge(exercise))
        except BaseException as error:
            outcome.append(error)

    # An endless loop cannot be stopped; a daemon thread does not prevent the exit.
    thread = threading.Thread(target=judge, daemon=True)
    thread.start()
    thread.join(seconds)
    while not outcome:
        call, where = _position(exercise, thread)
        thread.join(seconds / 10)
        if not outcome and call and call is _position(exercise, thread)[0]:
            return _endless(exercise, where, seconds)
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _judge(exercise: Exercise) -> Verdict:
    checks: Checks = load(exercise.checks)
    solution = exercise.load_solution()
    try:
        learner = load(exercise.file)
    except BaseException as error:
        return _crash(exercise, error, [])
    for case, (description, inputs) in enumerate(checks.CASES):
        got = run_case(checks, learner, case)
        tried = describe(description, inputs)
        if isinstance(got.error, AttributeError) and got.error.obj is learner:
            missing = [("missing", f"{exercise.shown} has no {got.error.name}")]
            advice = "Was it renamed, or indented into another definition? Keep its name."
            return _not_right(exercise, "missing", missing, advice)
        if got.error:
            mistake = find_mistake(exercise, checks, learner, case, got)
            return _crash(exercise, got.error, tried, mistake)
        if found := difference(run_case(checks, solution, case), got, checks.RESULTS):
            mistake = None
            advice = found.advice
            if not found.certain:
                mistake = find_mistake(exercise, checks, learner, case, got)
            if not (mistake or found.certain):
                advice = _advice(exercise, checks, learner, case, found)
            shown = [*tried, (found.name, found.text)]
            return _not_right(exercise, found.kind, shown, advice, mistake)
    return _check_gradient(exercise, checks, learner)


def _advice(
    exercise: Exercise, checks: Checks, learner: ModuleType, case: int, found: Difference
) -> str:
    """Advice on a difference that no known mistake explains."""
    source = exercise.file.read_text(encoding="utf-8", errors="replace")
    if found.kind == "input":
        lines = [f"Line {line}: {code}" for line, code in lines_that_modify(source)]
        return "\n\n".join([found.advice, *lines])
    explained = explain(exercise, checks, learner, case, found.name)
    return " ".join([explained or found.advice, *clues(source)])


def _check_gradient(exercise: Exercise, checks: Checks, learner: ModuleType) -> Verdict:
    """The verdict on an answer that is right in all cases."""
    agreement = ""
    if checks.gradient:
        try:
            report = gradcheck(*checks.gradient(learner), raise_exception=False)
        except Exception as error:
            return _crash(exercise, error, [("tried", "the gradient check")])
        # Not report.ok, which also requires that float32 stays float32.
        if not report.rows or not all(row.ok for row in report.rows):
            tried = [("tried", "the gradient check; all cases are right")]
            return _not_right(exercise, "gradient", tried, str(report))
        count = sum(row.checked for row in report.rows)
        agreement = f" The gradient check agrees in {count} elements."
    later = [e.number for e in exercises() if e.number > exercise.number]
    after = f"Next: tinyalex learn start {later[0]}" if later else "That was the last exercise."
    if exercise.number in MILESTONES:
        together = f"tinyalex learn assemble {exercise.number}"
        after += f"\nOr train a network that is made of your answers: {together}"
    return Verdict(
        "right",
        f"Exercise {exercise.number}, {exercise.name}: right in all {len(checks.CASES)} cases."
        f"{agreement}\n{after}",
    )


def _crash(
    exercise: Exercise, error: BaseException, tried: Rows, mistake: Mistake | None = None
) -> Verdict:
    where = _where(exercise, traceback.extract_tb(error.__traceback__))
    if isinstance(error, NotImplementedError) and where:
        return Verdict("not written", f"{where[0][1]}\n{_to_write(exercise)}")
    if isinstance(error, SyntaxError) and error.filename in (None, str(exercise.file)):
        line = f", line {error.lineno}: {(error.text or '').strip()}" if error.lineno else ""
        return _not_right(
            exercise,
            "syntax",
            [("syntax error", error.msg), ("where", f"{exercise.shown}{line}")],
            "If this line looks right, read the one above it: is a bracket or a colon missing, or "
            "is the indentation different?",
        )
    advice = advice_on(error)
    if not where:
        advice = "Keep the names and the order of the arguments as in the exercise."
    raised = ("raised", f"{type(error).__name__}: {error}")
    found = [*tried, raised, *where, *values_at(str(exercise.file), error)]
    return _not_right(exercise, "crash", found, advice, mistake)


def _position(exercise: Exercise, thread: threading.Thread) -> tuple[FrameType | None, Rows]:
    """The call of the learner's code that the thread executes, and its current line."""
    frame = innermost = sys._current_frames().get(thread.ident or 0)
    call = None
    while frame:
        if frame.f_code.co_filename == str(exercise.file):
            call = frame
        frame = frame.f_back
    return call, _where(exercise, traceback.extract_stack(innermost)) if call else []


def _endless(exercise: Exercise, where: Rows, seconds: float) -> Verdict:
    return _not_right(
        exercise,
        "endless",
        [("stopped", f"after {seconds:g} seconds"), *where],
        "Is there a loop that never ends? A `while` loop must change what its condition reads. If "
        "the code is only slow: does it compute the same values again and again?",
    )


def _where(exercise: Exercise, stack: traceback.StackSummary) -> Rows:
    """The last executed line of the learner's file."""
    lines = [frame for frame in stack if frame.filename == str(exercise.file)]
    return [("where", f"{exercise.shown}, line {x.lineno}: {x.line}") for x in lines[-1:]]


def _to_write(exercise: Exercise) -> str:
    return f"Write the missing code, then check. Help: tinyalex learn hint {exercise.number}"


def _not_right(
    exercise: Exercise, kind: str, found: Rows, advice: str, mistake: Mistake | None = None
) -> Verdict:
    """A verdict with a table of findings, and the mistake's hint or the advice."""
    number = exercise.number
    width = max(len(label) for label, _ in found) + 2
    table = "\n".join(row(label, text, width) for label, text in found)
    text = (
        f"Exercise {number}, {exercise.name}: not right yet.\n\n{table}\n\n"
        f"{wrapped(mistake.hint if mistake else advice)}\n\n"
        f"Next: change {exercise.shown}, then tinyalex learn check {number}. "
        f"Stuck? tinyalex learn hint {number}"
    )
    return Verdict(kind, text, mistake.name if mistake else "")
