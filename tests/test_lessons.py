"""The lessons: their form, their claims, and their conversion to notebooks.

SEEDS=3 runs each lesson with three seeds.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tinyalex.emulator.kernels import compiling

REPOSITORY = Path(__file__).resolve().parent.parent
LESSONS = {file.stem: file for file in sorted((REPOSITORY / "lessons").glob("[0-9]*.py"))}
TEXTS = {name: file.read_text(encoding="utf-8") for name, file in LESSONS.items()}
every_lesson = pytest.mark.parametrize("name", LESSONS)


CELL = re.compile(
    r"^# %%(?: (?P<title>answer|claims|plot))?(?P<text> \[markdown\])?\n", re.MULTILINE
)

MAX_READ_LINES = 90
"""Of code in a lesson's cells without a title, which the reader is asked to read."""


def cells(text):
    """(title, kind, text) of each cell, kind being "markdown" or "code"."""
    starts = list(CELL.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    return [
        (start["title"], "markdown" if start["text"] else "code", text[start.end() : end])
        for start, end in zip(starts, ends, strict=True)
    ]


def code_lines(body):
    """The lines of code, without blank ones, comments and docstrings."""
    tree = ast.parse(body)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = [n.body[0] for n in ast.walk(tree) if isinstance(n, documented) and ast.get_docstring(n)]
    omitted = {line for doc in docs for line in range(doc.lineno, doc.end_lineno + 1)}
    lines = enumerate(body.splitlines(), 1)
    return [
        line
        for number, line in lines
        if number not in omitted and line.strip() and not line.strip().startswith("#")
    ]


# Form


@every_lesson
def test_powers_in_the_text_are_formulas(name):
    """In Markdown, a**2 + a**4 is bold text."""
    for _, kind, text in cells(TEXTS[name]):
        if kind == "markdown":
            lines = [line for line in text.splitlines() if not line.startswith("#     ")]
            prose = re.sub(r"`[^`]*`|\$\$.*?\$\$|\$[^$]*\$", "", "\n".join(lines), flags=re.S)
            assert re.findall(r"[\w)|]\*\*[\w(].*", prose) == []


@every_lesson
def test_each_cell_is_plain_or_an_answer_claims_or_a_plot(name):
    assert TEXTS[name].count("# %%") == len(cells(TEXTS[name]))
    for title, kind, body in cells(TEXTS[name]):
        assert (title == "answer") <= (kind == "markdown"), body
        assert (title in ("claims", "plot")) <= (kind == "code"), body
        assert ("lesson.claim(" in body) <= (title == "claims"), body
        assert ("lesson.show(" in body) == (title == "plot"), body


@every_lesson
def test_a_lesson_begins_with_its_question_and_ends_with_exercises(name):
    title = ast.get_docstring(ast.parse(TEXTS[name])).splitlines()[0]
    assert re.fullmatch(rf"# {int(name[:2])}\. .+[?]", title), title
    assert TEXTS[name].startswith("# %% [markdown]\n")
    last, kind, body = cells(TEXTS[name])[-1]
    assert (last, kind) == (None, "markdown")
    assert "## Exercises" in body
    assert len(re.findall(r"^# \d\. ", body, re.MULTILINE)) in (2, 3, 4)


@every_lesson
def test_a_lesson_has_a_formula_a_prediction_a_fault_claims_and_figures(name):
    text = TEXTS[name]
    lines = re.findall(r"^(?:# )?\$\$$", text, re.MULTILINE)
    assert len(lines) >= 2, "no formula on lines of its own, between two lines of $$"
    assert "**Before you run this:**" in text
    assert "## Break it" in text
    assert text.count("lesson.claim(") >= 3
    figures = re.findall(r'lesson\.show\(figure, "(.+)"\)', text)
    assert figures[0] == name
    assert len(set(figures)) == len(figures) == text.count("lesson.show(")
    assert all(re.fullmatch(rf"{name}(_[a-z_]+)?", figure) for figure in figures)


@every_lesson
def test_a_question_is_answered_after_the_code_that_it_asks_about(name):
    parts = cells(TEXTS[name])
    for i, (_, _, body) in enumerate(parts):
        if "**Before you run this:**" in body:
            (title, kind, _), *rest = parts[i + 1 :]
            assert (title, kind) == (None, "code"), f"after: {body}"
            following = [title for title, _, _ in rest if title not in (None, "plot")]
            between = [kind for title, kind, _ in rest[: [t for t, _, _ in rest].index("answer")]]
            assert following[0] == "answer", f"claims before the answer to: {body}"
            assert "markdown" not in between, f"text before the answer to: {body}"


@every_lesson
def test_a_lesson_asks_to_read_little_code(name):
    read = [
        line
        for title, kind, body in cells(TEXTS[name])
        if kind == "code" and title is None
        for line in code_lines(body)
    ]
    assert len(read) <= MAX_READ_LINES


def test_the_numbers_of_lessons_are_unique():
    assert len({name[:2] for name in LESSONS}) == len(LESSONS)


# Running


def sources(name):
    """Synthetic images, and real ones if present, for a lesson that uses images.

    Images that only --full uses do not count.
    """
    uses = re.search(r"^(?!.*args\.full).*lesson\.(images|photos)\(", TEXTS[name], re.MULTILINE)
    return ("synthetic", "real") if uses else ("",)


def environment(folder, images):
    """Environment variables with which a lesson finds real images, or does not."""
    env = dict(os.environ)
    if images != "real":
        env.pop("TINYALEX_DATA", None)
    cache = {"TINYALEX_CACHE": str(folder / "empty")}
    return env | cache | {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8"}


EXECUTED = REPOSITORY / "runs" / "notebooks" / "executed"
"""The notebooks with the outputs of these tests, from which `make site` takes them."""


def as_notebook(name):
    """The command that runs a lesson cell by cell, with warnings as errors."""
    script = str(REPOSITORY / "lessons" / "notebooks.py")
    return [sys.executable, script, "--execute", name, "--output", str(EXECUTED)]


def as_script(name, seed):
    return [sys.executable, "-W", "error", str(LESSONS[name]), "--seed", str(seed)]


@pytest.mark.lessons
@pytest.mark.parametrize(
    ("name", "images"), [(name, images) for name in LESSONS for images in sources(name)]
)
def test_the_claims_of_a_lesson_hold(name, images, tmp_path, request, tell):
    """With synthetic images and seed 0 as a notebook, otherwise as a script."""
    if images == "real":
        request.getfixturevalue("real_data")
    seconds = []
    for seed in range(int(os.environ.get("SEEDS", "1"))):
        notebook = images != "real" and seed == 0
        command = as_notebook(name) if notebook else as_script(name, seed)
        env = environment(tmp_path, images)
        start = time.perf_counter()
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
        seconds.append(time.perf_counter() - start)
        assert result.returncode == 0, f"seed {seed}\n{result.stdout}\n{result.stderr}"
        assert result.stderr == ""
        if notebook:
            check_outputs(name, json.loads((EXECUTED / f"{name}.ipynb").read_text("utf-8")))
    assert (tmp_path / "runs" / "lessons" / f"{name}.png").stat().st_size > 10_000
    tell(f"{name:<24} {images:<9} {' '.join(f'{s:6.1f}' for s in seconds)} s")


def check_outputs(name, notebook):
    """Each claim is printed by its cell, and each figure is shown by its cell."""
    for cell in notebook["cells"]:
        outputs = cell.get("outputs", [])
        printed = "".join(source(o, "text") for o in outputs if o["output_type"] == "stream")
        claims = len(re.findall(r"^(?:✓|–) ", printed, re.MULTILINE))
        assert ("lesson.claim(" in source(cell)) <= (claims > 0), source(cell)
        images = [o for o in outputs if "image/png" in o.get("data", {})]
        assert len(images) == source(cell).count("lesson.show("), source(cell)
    assert source(notebook["cells"][0]).startswith(f"# {int(name[:2])}. ")


def source(cell, key="source"):
    return "".join(cell[key])


TRAIN_LONG = {"00_learning", "07_relu", "14_augmentation", "16_can_it_learn", "17_cifar10"}
"""Lessons that train networks for too long on emulated GPUs."""

MANY_LAUNCHES = {
    "01_gradient",
    "10_dropout",
    "11_softmax_loss",
    "12_initialization",
    "13_momentum",
    "21_imagenet",
}
"""Lessons with tens of thousands of short kernels: minutes each on emulated GPUs."""


@pytest.mark.emulated
@pytest.mark.parametrize("name", [name for name in LESSONS if name not in MANY_LAUNCHES])
def test_a_lesson_runs_on_cuda(name, tmp_path):
    program = [REPOSITORY / "tests" / "short_lesson.py"] if name in TRAIN_LONG else []
    command = [sys.executable, "-W", "error", *program, LESSONS[name], "--device", "cuda"]
    env = environment(tmp_path, "synthetic")
    env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], os.environ["PYTHONPATH"]])
    env["TINYALEX_CACHE"] = str(compiling.build_folder().parent)
    result = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=tmp_path, env=env
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"


# Notebooks


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory):
    """The cells of each lesson's notebook, by name."""
    folder = tmp_path_factory.mktemp("notebooks")
    script = REPOSITORY / "lessons" / "notebooks.py"
    options = ["--source", "https://example.org/tinyalex", "--output", str(folder)]
    subprocess.run([sys.executable, str(script), *options], check=True, capture_output=True)
    return {
        file.stem: json.loads(file.read_text(encoding="utf-8"))["cells"]
        for file in folder.glob("*.ipynb")
    }


@pytest.mark.lessons
def test_a_notebook_has_the_cells_of_its_lesson(notebooks):
    assert notebooks.keys() == LESSONS.keys()
    for name, notebook in notebooks.items():
        kinds = [kind for _, kind, _ in cells(TEXTS[name])]
        assert [cell["cell_type"] for cell in notebook] == ["code", *kinds]
        assert source(notebook[1]).startswith(f"# {int(name[:2])}. ")
        markdown = [cell for cell in notebook if cell["cell_type"] == "markdown"]
        lines = [line for cell in markdown for line in cell["source"]]
        assert not any(line.startswith(("# %%", '"""')) for line in lines)


@pytest.mark.lessons
def test_the_first_cell_installs_on_colab_only_and_does_not_require_cupy(notebooks, monkeypatch):
    (first,) = {source(notebook[0]) for notebook in notebooks.values()}
    ran = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: ran.append(command))
    exec(first, {})
    assert ran == []
    monkeypatch.setitem(sys.modules, "google.colab", object())
    exec(first, {})
    repository = "git+https://example.org/tinyalex"
    assert ran == [[sys.executable, "-m", "pip", "install", "--quiet", repository]]


def lesson_in(folder, *cells):
    """A copy of notebooks.py that converts one lesson, 01_made, of these cells."""
    (folder / "tinyalex").mkdir()
    (folder / "tinyalex" / "module.py").touch()
    (folder / "tinyalex" / "kernel.cu").touch()
    (folder / "lessons").mkdir()
    shutil.copy(REPOSITORY / "lessons" / "notebooks.py", folder / "lessons")
    text = "\n".join(f"# %%\n{cell}" for cell in cells)
    (folder / "lessons" / "01_made.py").write_text(text, encoding="utf-8")
    return folder / "lessons" / "01_made.py"


def execute(lesson, *names):
    """Run `notebooks.py --execute`, next to the lesson."""
    command = [sys.executable, "notebooks.py", "--execute", *names]
    return subprocess.run(command, capture_output=True, text=True, cwd=lesson.parent)


def stored(lesson):
    return lesson.parent.parent / "runs" / "notebooks" / "executed" / "01_made.ipynb"


@pytest.mark.lessons
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("assert 1 + 1 == 3", "AssertionError"),
        ("import warnings\nwarnings.warn('attention')", "UserWarning: attention"),
        ("import sys\nprint('oops', file=sys.stderr)", "writes to stderr:\noops"),
    ],
    ids=["exception", "warning", "stderr"],
)
def test_a_notebook_that_fails_or_warns_is_not_stored(code, reason, tmp_path):
    lesson = lesson_in(tmp_path, "print(1)", code)
    result = execute(lesson, "01_made")
    assert result.returncode == 1
    assert reason in result.stderr
    assert "\x1b" not in result.stderr
    assert not stored(lesson).exists()


@pytest.mark.lessons
def test_only_notebooks_that_are_older_than_their_sources_are_executed(tmp_path):
    lesson = lesson_in(tmp_path, "1 + 1")
    assert "01_made" in execute(lesson).stdout
    assert execute(lesson).stdout == ""
    for newer in (lesson, *(tmp_path / "tinyalex").iterdir()):
        now = stored(lesson).stat().st_mtime
        os.utime(newer, (now + 1, now + 1))
        assert "01_made" in execute(lesson).stdout
        os.utime(newer, (now - 1, now - 1))
        assert execute(lesson).stdout == ""


@pytest.mark.lessons
def test_a_lesson_that_does_not_exist_is_named(tmp_path):
    result = execute(lesson_in(tmp_path, "1 + 1"), "02_made")
    assert result.returncode == 2
    assert "no lesson is named 02_made; expected one of 01_made" in result.stderr
