"""Where the exercises are, and where the learner writes."""

import ast
import os
from pathlib import Path
from types import ModuleType
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent.parent


class Exercise:
    """Its files: `task`, `solution` and `checks` are the three in its folder, `file` is the learner's."""

    def __init__(self, folder: Path) -> None:
        number, _, self.name = folder.name.partition("_")
        self.number, self.task, self.solution, self.checks = (
            int(number),
            *(folder / f"{part}.py" for part in ("exercise", "solution", "check")),
        )
        self.file = my() / f"{folder.name}.py"

    @property
    def title(self) -> str:
        """The first line of its docstring, without the number."""
        doc = ast.get_docstring(ast.parse(self.task.read_text(encoding="utf-8"))) or self.name
        return doc.splitlines()[0].partition(": ")[2].rstrip(".")

    @property
    def started(self) -> bool:
        return self.file.exists() and self.file.read_bytes() != self.task.read_bytes()

    @property
    def shown(self) -> str:
        """The learner's file as it is called in what is said to the learner."""
        return self.file.as_posix()


def my() -> Path:
    """Where the learner writes, as seen from here: the first my/ from here upwards that has exercises in it, or the repository's.

    Elsewhere it is my/ in the current folder.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        repository = (folder / "pyproject.toml").exists() and (
            folder / "lessons" / "exercises"
        ).is_dir()
        if repository or any((folder / "my").glob("[0-9][0-9]_*.py")):
            return Path(os.path.relpath(folder / "my"))
    return Path("my")


def exercises() -> list[Exercise]:
    """All of them, in order. ValueError where there are none."""
    for root in (REPOSITORY, Path.cwd()):
        if folders := sorted((root / "lessons" / "exercises").glob("[0-9]*_*/")):
            return [Exercise(folder) for folder in folders]
    raise ValueError(
        "the exercises are not in the installed package, but beside it in tinyalex's repository. Clone that, and run this in its folder."
    )


def find(number: int) -> Exercise:
    known = {exercise.number: exercise for exercise in exercises()}
    if number not in known:
        raise ValueError(
            f"lesson {number} has no exercise. There are {', '.join(map(str, known))}."
        )
    return known[number]


def load(file: Path, source: bytes | None = None) -> Any:
    """The file as a module of its own: none is kept, since files that were just edited must be read again."""
    module = ModuleType(file.stem)
    code = compile(file.read_bytes() if source is None else source, str(file), "exec")
    exec(code, module.__dict__)
    return module
