"""A learner's way through the exercises: start, hint, status."""

import json
import shutil

from tinyalex.learning.comparing import wrapped
from tinyalex.learning.folders import Exercise, exercises, load
from tinyalex.learning.judging import check

HINTS_SEEN = ".hints.json"

STATES = {
    "syntax": "Python cannot read it",
    "crash": "stops with an error",
    "endless": "does not come to an end",
    "missing": "its name is gone",
    "form": "wrong shape or type",
    "values": "wrong numbers",
    "input": "changes what it is given",
    "gradient": "wrong gradient",
}
"""Kinds of verdicts, short."""


def start(exercise: Exercise) -> str:
    """Put the exercise into my/, unless it is there. ValueError if it has been worked on: that is never written over."""
    if exercise.started:
        raise ValueError(
            f"{exercise.shown} has your work in it, and stays as it is. To begin again, rename or delete it, and start again."
        )
    where = (
        f"is there already, untouched: {exercise.shown}"
        if exercise.file.exists()
        else f"is in {exercise.shown}"
    )
    exercise.file.parent.mkdir(exist_ok=True)
    shutil.copyfile(exercise.task, exercise.file)
    return (
        f"Exercise {exercise.number}: {exercise.title}.\n"
        f"It {where}. Read it, write what is missing, then `tinyalex learn check {exercise.number}`."
    )


def hint(exercise: Exercise, level: int | None = None) -> str:
    """The hint of that level, or the next one that has not been seen."""
    hints = load(exercise.checks).HINTS
    file = exercise.file.parent / HINTS_SEEN
    seen = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if level is None:
        level = min(seen.get(exercise.name, 0) + 1, len(hints))
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({**seen, exercise.name: level}), encoding="utf-8")
    after = (
        f"More: tinyalex learn hint {exercise.number}"
        if level < len(hints)
        else f"That was the last. A right answer: tinyalex learn solution {exercise.number}"
    )
    return f"{wrapped(f'Hint {level} of {len(hints)}: {hints[level - 1]}')}\n\n{after}"


def status() -> str:
    """A line for each exercise. Those with something written are checked, which can take a while."""
    lines = []
    for exercise in exercises():
        kind = check(exercise).kind
        word = {"right": "passes", "not started": "not begun", "not written": "begun"}
        lines.append(
            f"{exercise.number:3}  {exercise.title:<60}  {word.get(kind, f'begun ({STATES.get(kind)})')}"
        )
    return "\n".join(lines)
