"""The exercise of a lesson: its task, the commands, and folded hints and solution."""

import ast

import plain_text

from tinyalex.course.exercise import Exercise, exercises, load

COMMANDS = """\
tinyalex learn start {number}       # copies the exercise to my/
tinyalex learn check {number}       # explains what is wrong with your answer
tinyalex learn hint {number}        # the next of three hints
tinyalex learn solution {number}    # a correct answer"""


def markdown(number: int) -> str:
    """The section of exercise `number` as MyST Markdown; "" if there is none."""
    found = [exercise for exercise in exercises() if exercise.number == number]
    return section(found[0]) if found else ""


def section(exercise: Exercise) -> str:
    source = exercise.task.read_text(encoding="utf-8")
    task = ast.get_docstring(ast.parse(source)) or ""
    hints = [plain_text.to_markdown(hint) for hint in load(exercise.checks).HINTS]
    solution = exercise.solution.read_text(encoding="utf-8").strip()
    return "\n\n".join(
        [
            f"## Exercise {exercise.number}: {exercise.title}",
            plain_text.to_markdown(task.partition("\n")[2]),
            f"```text\n{COMMANDS.format(number=exercise.number)}\n```",
            f"```python\n{without_module_docstring(source)}\n```",
            *(dropdown(f"Hint {i}", hint) for i, hint in enumerate(hints, 1)),
            dropdown("Solution", f"```python\n{solution}\n```"),
        ]
    )


def without_module_docstring(source: str) -> str:
    first = ast.parse(source).body[0]
    assert isinstance(first, ast.Expr)
    return "\n".join(source.splitlines()[first.end_lineno :]).strip()


def dropdown(title: str, text: str) -> str:
    return f"::::{{dropdown}} {title}\n:class-container: exercise\n\n{text}\n::::"
