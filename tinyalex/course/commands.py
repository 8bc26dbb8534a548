"""`tinyalex learn start`, `hint` and `status`."""

import json
import shutil
from pathlib import Path

from tinyalex.course.exercise import Exercise, exercises, load
from tinyalex.course.formatting import wrapped
from tinyalex.course.verdict import check
from tinyalex.serialization import atomic_write

SHOWN_HINTS_FILE = ".hints.json"

STATES = {
    "right": "passes",
    "not started": "not started",
    "not written": "started",
    "syntax": "syntax error",
    "crash": "raises an exception",
    "endless": "does not finish",
    "missing": "a name is missing",
    "form": "wrong shape or type",
    "values": "wrong values",
    "input": "modifies its input",
    "gradient": "wrong gradient",
}
"""Text for each kind of verdict."""


def start(exercise: Exercise) -> str:
    """Copy the exercise to my/. ValueError if it has been edited there."""
    number, file = exercise.number, exercise.shown
    if exercise.started:
        raise ValueError(
            f"{file} has been edited and is not overwritten. To restart, rename or delete it first."
        )
    existed = " (already there, unchanged)" if exercise.file.exists() else ""
    exercise.file.parent.mkdir(exist_ok=True)
    shutil.copyfile(exercise.task, exercise.file)
    return (
        f"Exercise {number}: {exercise.title}.\nIt is in {file}{existed}. "
        f"Read it, write the missing code, then run: tinyalex learn check {number}"
    )


def hint(exercise: Exercise, level: int | None = None) -> str:
    """The hint of that level; by default the next, after the last one shown."""
    hints = load(exercise.checks).HINTS
    file = exercise.file.parent / SHOWN_HINTS_FILE
    shown = _shown_hints(file)
    if level is None:
        level = min(shown.get(exercise.name, 0) + 1, len(hints))
        file.parent.mkdir(exist_ok=True)
        with atomic_write(file) as unfinished:
            unfinished.write_text(json.dumps({**shown, exercise.name: level}), encoding="utf-8")
    after = (
        f"Next hint: tinyalex learn hint {exercise.number}"
        if level < len(hints)
        else f"That was the last hint. A solution: tinyalex learn solution {exercise.number}"
    )
    return f"{wrapped(f'Hint {level} of {len(hints)}: {hints[level - 1]}')}\n\n{after}"


def _shown_hints(file: Path) -> dict[str, int]:
    """The level of the last hint shown, by exercise; none if the file is damaged."""
    try:
        shown = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return shown if isinstance(shown, dict) else {}


def status() -> str:
    """A line for each exercise. Edited exercises are checked, which takes time."""
    return "\n".join(f"{e.number:3}  {e.title:<60}  {STATES[check(e).kind]}" for e in exercises())
