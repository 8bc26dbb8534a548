"""The lessons: their form, that what they claim is so, and that they become notebooks. SEEDS=3 runs each with three seeds."""

import ast
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

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


# Their form


@every_lesson
def test_a_lesson_has_less_than_200_lines_and_begins_with_its_question(name):
    assert len(TEXTS[name].splitlines()) < 200
    title = ast.get_docstring(ast.parse(TEXTS[name])).splitlines()[0]
    assert re.fullmatch(rf"# {int(name[:2])}\. .+\?", title), title


@every_lesson
def test_a_lesson_is_cells_of_text_and_code_from_a_question_to_exercises(name):
    kinds = [kind for kind, _ in cells(TEXTS[name])]
    assert set(kinds) == {"markdown", "code"}
    assert TEXTS[name].startswith("# %% [markdown]\n")
    last = cells(TEXTS[name])[-1]
    assert last[0] == "markdown"
    assert "## Exercises" in last[1]
    assert len(re.findall(r"^# \d\. ", last[1], re.MULTILINE)) in (2, 3)


@every_lesson
def test_a_lesson_asks_for_a_prediction_breaks_something_claims_something_and_draws_one_figure(
    name,
):
    text = TEXTS[name]
    assert "Before you run this" in text
    assert "## Break it" in text
    assert text.count("lesson.claim(") >= 3
    assert text.count(f'lesson.show(figure, "{name}")') == text.count("lesson.show(") == 1


@every_lesson
def test_the_readme_lists_a_lesson_with_its_question(name):
    question = re.search(r"^# \d+\. (.*)$", TEXTS[name], re.MULTILINE)[1]
    assert f"| [{int(name[:2])}](lessons/{name}.py) | {question} |" in (
        REPOSITORY / "README.md"
    ).read_text(encoding="utf-8")


def test_lessons_have_numbers_of_their_own():
    assert len({name[:2] for name in LESSONS}) == len(LESSONS)


# Running them


def sources(name):
    """Lessons that look at images run with drawn ones, and with real ones where there are some."""
    return ("drawn", "real") if re.search(r"lesson\.(images|photos)\(", TEXTS[name]) else ("",)


def surroundings(folder, images):
    """The environment of a lesson that finds real images, or none."""
    env = {
        name: value
        for name, value in os.environ.items()
        if images == "real" or name != "TINYALEX_DATA"
    }
    return env | {
        "TINYALEX_CACHE": str(folder / "nothing"),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONIOENCODING": "utf-8",
    }


@pytest.mark.lessons
@pytest.mark.parametrize(
    ("name", "images"), [(name, images) for name in LESSONS for images in sources(name)]
)
def test_what_a_lesson_claims_is_so(name, images, tmp_path, request, tell):
    if images == "real":
        request.getfixturevalue("real_data")
    seconds = []
    for seed in range(int(os.environ.get("SEEDS", "1"))):
        command = [sys.executable, "-W", "error", str(LESSONS[name]), "--seed", str(seed)]
        began = time.perf_counter()
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=surroundings(tmp_path, images),
        )
        seconds.append(time.perf_counter() - began)
        assert result.returncode == 0, f"seed {seed}\n{result.stdout}\n{result.stderr}"
        assert result.stderr == ""
    assert (tmp_path / "runs" / "lessons" / f"{name}.png").stat().st_size > 10_000
    tell(f"{name:<24} {images:<6} {' '.join(f'{s:6.1f}' for s in seconds)} s")


# Notebooks


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory):
    """The lessons as notebooks, by name."""
    folder = tmp_path_factory.mktemp("notebooks")
    script = REPOSITORY / "lessons" / "notebooks.py"
    command = [
        sys.executable,
        str(script),
        "--source",
        "https://example.org/tinyalex",
        "--output",
        str(folder),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return {
        file.stem: json.loads(file.read_text(encoding="utf-8"))["cells"]
        for file in folder.glob("*.ipynb")
    }


def source(cell):
    return "".join(cell["source"])


@pytest.mark.lessons
def test_every_lesson_becomes_a_notebook_of_the_same_cells(notebooks):
    assert notebooks.keys() == LESSONS.keys()
    for name, made in notebooks.items():
        assert [cell["cell_type"] for cell in made] == [
            "code",
            *(kind for kind, _ in cells(TEXTS[name])),
        ]
        assert source(made[1]).startswith(f"# {int(name[:2])}. ")
        assert not any(
            line.startswith(("# %%", '"""'))
            for cell in made
            for line in cell["source"]
            if cell["cell_type"] == "markdown"
        )


@pytest.mark.lessons
def test_the_first_cell_installs_on_colab_only_and_asks_for_no_cupy(notebooks, monkeypatch):
    (first,) = {source(made[0]) for made in notebooks.values()}
    ran = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: ran.append(command))
    exec(first, {})
    assert ran == []
    monkeypatch.setitem(sys.modules, "google.colab", object())
    exec(first, {})
    assert ran == [
        [sys.executable, "-m", "pip", "install", "--quiet", "git+https://example.org/tinyalex"]
    ]


KERNEL = """
import sys, types
shown = []
display = types.SimpleNamespace(Image=lambda path: path, display=shown.append)
sys.modules |= {"ipykernel": types.ModuleType("ipykernel"), "IPython": types.SimpleNamespace(version_info=(9, 0)), "IPython.display": display}
sys.argv = ["ipykernel_launcher.py", "-f", "kernel.json"]
CELLS = CELLS_HERE
names = {"__name__": "__main__", "__doc__": "of the kernel"}
for cell in CELLS:
    exec(cell, names)
print(shown)
"""
"""As much of a notebook's kernel as a lesson notices: its command line, and a place to show pictures."""


@pytest.mark.lessons
def test_a_notebook_runs_cell_by_cell_and_shows_its_figure(notebooks, tmp_path):
    name = min(notebooks)
    code = [source(cell) for cell in notebooks[name] if cell["cell_type"] == "code"]
    program = KERNEL.replace("CELLS_HERE", repr(code))
    command = [sys.executable, "-W", "error", "-c", program]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=surroundings(tmp_path, "drawn")
    )
    assert result.returncode == 0, result.stderr
    assert Path(ast.literal_eval(result.stdout.splitlines()[-1])[0]).name == f"{name}.png"
