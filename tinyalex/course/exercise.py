"""The exercises: their files, and what a check.py defines."""

import ast
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Mistake:
    """A common mistake: replacements of code in the solution, and a hint.

    needs  a regular expression: an exception is attributed to this mistake only if the
           learner's source matches, since other mistakes raise the same
    """

    name: str
    instead: dict[str, str]
    hint: str
    needs: str = ""

    def __add__(self, other: "Mistake") -> "Mistake":
        return Mistake(
            f"{self.name}, {other.name}",
            other.instead | self.instead,
            f"There are two mistakes. {self.hint} And: {other.hint}",
        )

    def apply(self, solution: str) -> str:
        for right, wrong in self.instead.items():
            if (count := solution.count(right)) != 1:
                raise ValueError(f"{self.name}: expected {right!r} once, found it {count} times.")
            solution = solution.replace(right, wrong)
        return solution


class Checks(Protocol):
    """What a check.py defines.

    HINTS            three, each more detailed than the one before
    CASES            (description, inputs by name), simple ones first
    RESULTS          the names of the returned values
    gradient         (learner's module) -> the arguments of gradcheck, or None
    WRITES_BACKWARD  if False, gradcheck's hints, all about backward, are not shown

    It may define as well, for answers that no mistake explains:

    PROBES           inputs for which no two mistakes have the same results: random
                     values, and constants that no product of others equals
    EXPLANATIONS     what finds the mistake in the results: a Formula, Regions, Limits,
                     or any other Explanation
    """

    HINTS: list[str]
    CASES: list[tuple[str, dict[str, Any]]]
    RESULTS: tuple[str, ...]
    MISTAKES: list[Mistake]
    WRITES_BACKWARD: bool
    gradient: Callable[[Any], tuple[Any, list[Any]]] | None

    def answer(self, module: Any, /, **inputs: Any) -> Any:
        """Call the function of the learner or of the solution."""


class Exercise:
    """Number and name, the files in its folder, and `file`, the learner's copy."""

    def __init__(self, folder: Path) -> None:
        number, _, self.name = folder.name.partition("_")
        self.number = int(number)
        parts = ("exercise", "solution", "check")
        self.task, self.solution, self.checks = (folder / f"{part}.py" for part in parts)
        self.file = _learner_folder() / f"{folder.name}.py"

    @property
    def title(self) -> str:
        """The first line of the docstring, without the number."""
        doc = ast.get_docstring(ast.parse(self.task.read_text(encoding="utf-8"))) or ""
        return doc.splitlines()[0].partition(": ")[2].rstrip(".")

    @property
    def started(self) -> bool:
        return self.file.exists() and self.file.read_bytes() != self.task.read_bytes()

    @property
    def shown(self) -> str:
        """The learner's file, as written in messages."""
        return self.file.as_posix()

    def load_solution(self, mistake: Mistake | None = None) -> ModuleType:
        """The solution, with the mistake in it if one is given."""
        source = self.solution.read_text(encoding="utf-8")
        return load(self.solution, (mistake.apply(source) if mistake else source).encode())


def _learner_folder() -> Path:
    """my/ in the nearest folder that has my/ with exercises or is the repository."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        lessons = folder / "lessons" / "exercises"
        is_repository = (folder / "pyproject.toml").exists() and lessons.is_dir()
        if is_repository or any((folder / "my").glob("[0-9][0-9]_*.py")):
            return Path(os.path.relpath(folder / "my"))
    return Path("my")


def exercises() -> list[Exercise]:
    """All exercises, in order. ValueError if there are none."""
    for root in (REPOSITORY, Path.cwd()):
        if folders := sorted((root / "lessons" / "exercises").glob("[0-9]*_*/")):
            return [Exercise(folder) for folder in folders]
    raise ValueError(
        "the exercises are not in the installed package. Clone tinyalex's repository, and run "
        "this command in its folder."
    )


def find(number: int) -> Exercise:
    known = {exercise.number: exercise for exercise in exercises()}
    if number not in known:
        raise ValueError(
            f"lesson {number} has no exercise; expected one of {', '.join(map(str, known))}."
        )
    return known[number]


def load(file: Path, source: bytes | None = None) -> Any:
    """The file as a new module, not cached, since the learner edits it."""
    module = ModuleType(file.stem)
    code = compile(file.read_bytes() if source is None else source, str(file), "exec")
    exec(code, module.__dict__)
    return module
