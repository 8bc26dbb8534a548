"""The lessons: their form, their claims, and their conversion to notebooks.

SEEDS=3 runs each lesson with three seeds.
"""

import ast
import json
import os
import re
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


def cells(text):
    """(kind, text) of each cell, kind being "markdown" or "code"."""
    parts = re.split(r"^# %%(.*)\n", text, flags=re.MULTILINE)
    return [
        (kind.strip().strip("[]") or "code", body)
        for kind, body in zip(parts[1::2], parts[2::2], strict=True)
    ]


# Form


@every_lesson
def test_a_lesson_has_at_most_260_lines_and_begins_with_its_question(name):
    assert len(TEXTS[name].splitlines()) <= 260
    title = ast.get_docstring(ast.parse(TEXTS[name])).splitlines()[0]
    assert re.fullmatch(rf"# {int(name[:2])}\. .+\?", title), title


@every_lesson
def test_a_lesson_has_markdown_and_code_cells_and_ends_with_exercises(name):
    kinds = [kind for kind, _ in cells(TEXTS[name])]
    assert set(kinds) == {"markdown", "code"}
    assert TEXTS[name].startswith("# %% [markdown]\n")
    last = cells(TEXTS[name])[-1]
    assert last[0] == "markdown"
    assert "## Exercises" in last[1]
    assert len(re.findall(r"^# \d\. ", last[1], re.MULTILINE)) in (2, 3)


@every_lesson
def test_a_lesson_has_a_prediction_a_fault_claims_and_one_figure(name):
    text = TEXTS[name]
    assert "Before you run this" in text
    assert "## Break it" in text
    assert text.count("lesson.claim(") >= 3
    assert text.count(f'lesson.show(figure, "{name}")') == text.count("lesson.show(") == 1


def test_the_numbers_of_lessons_are_unique():
    assert len({name[:2] for name in LESSONS}) == len(LESSONS)


# Running


def sources(name):
    """Synthetic images, and real ones if present, for a lesson that uses images."""
    return ("synthetic", "real") if re.search(r"lesson\.(images|photos)\(", TEXTS[name]) else ("",)


def environment(folder, images):
    """Environment variables with which a lesson finds real images, or does not."""
    env = dict(os.environ)
    if images != "real":
        env.pop("TINYALEX_DATA", None)
    cache = {"TINYALEX_CACHE": str(folder / "empty")}
    return env | cache | {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8"}


@pytest.mark.lessons
@pytest.mark.parametrize(
    ("name", "images"), [(name, images) for name in LESSONS for images in sources(name)]
)
def test_the_claims_of_a_lesson_hold(name, images, tmp_path, request, tell):
    if images == "real":
        request.getfixturevalue("real_data")
    seconds = []
    for seed in range(int(os.environ.get("SEEDS", "1"))):
        command = [sys.executable, "-W", "error", str(LESSONS[name]), "--seed", str(seed)]
        env = environment(tmp_path, images)
        start = time.perf_counter()
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
        seconds.append(time.perf_counter() - start)
        assert result.returncode == 0, f"seed {seed}\n{result.stdout}\n{result.stderr}"
        assert result.stderr == ""
    assert (tmp_path / "runs" / "lessons" / f"{name}.png").stat().st_size > 10_000
    tell(f"{name:<24} {images:<9} {' '.join(f'{s:6.1f}' for s in seconds)} s")


TRAIN_LONG = {"07_relu", "10_dropout", "12_initialization", "13_momentum", "14_augmentation"}
"""Lessons that train networks for too long on emulated GPUs."""


@pytest.mark.emulated
@every_lesson
def test_a_lesson_runs_on_cuda(name, tmp_path):
    program = [REPOSITORY / "tests" / "short_lesson.py"] if name in TRAIN_LONG else []
    command = [sys.executable, "-W", "error", *program, LESSONS[name], "--device", "cuda"]
    env = environment(tmp_path, "synthetic")
    env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], os.environ["PYTHONPATH"]])
    env["TINYALEX_CACHE"] = str(compiling.cache_folder().parent)
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


def source(cell):
    return "".join(cell["source"])


@pytest.mark.lessons
def test_a_notebook_has_the_cells_of_its_lesson(notebooks):
    assert notebooks.keys() == LESSONS.keys()
    for name, notebook in notebooks.items():
        kinds = [kind for kind, _ in cells(TEXTS[name])]
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


KERNEL = """
import sys, types
shown = []
display = types.SimpleNamespace(Image=lambda path: path, display=shown.append)
sys.modules["ipykernel"] = types.ModuleType("ipykernel")
sys.modules["IPython"] = types.SimpleNamespace(version_info=(9, 0))
sys.modules["IPython.display"] = display
sys.argv = ["ipykernel_launcher.py", "-f", "kernel.json"]
CELLS = CELLS_HERE
names = {"__name__": "__main__", "__doc__": "of the kernel"}
for cell in CELLS:
    exec(cell, names)
print(shown)
"""
"""What lessons use of a notebook kernel: its command line and `display`."""


@pytest.mark.lessons
def test_a_notebook_runs_cell_by_cell_and_shows_its_figure(notebooks, tmp_path):
    name = min(notebooks)
    code = [source(cell) for cell in notebooks[name] if cell["cell_type"] == "code"]
    program = KERNEL.replace("CELLS_HERE", repr(code))
    command = [sys.executable, "-W", "error", "-c", program]
    env = environment(tmp_path, "synthetic")
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert result.returncode == 0, result.stderr
    assert Path(ast.literal_eval(result.stdout.splitlines()[-1])[0]).name == f"{name}.png"
