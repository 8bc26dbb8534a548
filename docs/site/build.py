#!/usr/bin/env python3
"""Build the site, which opens from disk: runs/site/html/index.html.

    python docs/site/build.py [--notebooks FOLDER] [--output FOLDER]

Needs the extra `site`, and the executed notebooks of all lessons: `make site` runs
those that are missing. The pages' sources are written to runs/site/source: README.md,
docs/, the lessons with their outputs and exercises, and the reference.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import lesson_pages
import nbformat
import reference_pages
from links import REPOSITORY, Links, documents

HERE = Path(__file__).resolve().parent

GUIDES = [
    "training",
    "cifar",
    "architecture",
    "cuda",
    "emulator",
    "scaling",
    "benchmarks",
    "security",
]
COURSE = ["lessons/index", "glossary", "symptoms"]
PROJECT = ["contributing", "changelog", "security-policy", "benchmark-programs"]

CARDS_BEFORE = "## Requirements\n"
"""The heading of README.md above which the cards are shown."""

CARDS = """\
::::::{{grid}} 1 1 3 3
:gutter: 3

:::::{{grid-item-card}} Lessons
:link: lessons/index
:link-type: doc
{lessons} questions, each answered by an experiment that you predict, run and check
:::::

:::::{{grid-item-card}} Layers
:link: reference/layers/index
:link-type: doc
Formula, shapes, naive version, forward and backward pass of every layer
:::::

:::::{{grid-item-card}} Training
:link: training
:link-type: doc
CIFAR-10, ImageNet, and networks of your own
:::::
::::::

"""


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    runs = REPOSITORY / "runs"
    p.add_argument("--notebooks", metavar="FOLDER", type=Path, default=runs / "notebooks/executed")
    p.add_argument("--output", metavar="FOLDER", type=Path, default=runs / "site")
    args = p.parse_args()
    source, html = args.output / "source", args.output / "html"
    # Nothing of an earlier build remains: viewcode would omit the modules of pages that
    # are not read again.
    for folder in (source, html):
        shutil.rmtree(folder, ignore_errors=True)
    write_sources(source, args.notebooks)
    # -W: a warning is an error, after all pages are built.
    options = ["-b", "html", "-E", "-j", "auto", "-W", "-q"]
    folders = ["-c", HERE, "-d", args.output / "cache", source, html]
    command = ["-m", "sphinx", *options, *folders]
    failed = subprocess.run([sys.executable, *map(str, command)]).returncode
    if failed:
        sys.exit(failed)
    print(f"site: {html / 'index.html'}")


def write_sources(folder: Path, notebooks: Path) -> None:
    """The sources of all pages."""
    links = Links(reference_pages.source_pages(), folder)
    for file, page in documents().items():
        if not file.startswith("lessons/"):
            text = with_navigation((REPOSITORY / file).read_text(encoding="utf-8"), page)
            write(folder / f"{page}.md", links.rewrite(text, file, page))
    for lesson in sorted((REPOSITORY / "lessons").glob("[0-9]*.py")):
        page = f"lessons/{lesson.stem}"
        notebook = lesson_pages.page(notebooks / f"{lesson.stem}.ipynb", lesson)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = links.rewrite(cell.source, f"lessons/{lesson.name}", page)
        write(folder / f"{page}.ipynb", nbformat.writes(notebook))
    write_downloads(folder / "downloads")
    for page, text in reference_pages.pages().items():
        write(folder / f"{page}.rst", text)


def write_downloads(folder: Path) -> None:
    """The lessons as scripts, and as notebooks without outputs, to be predicted."""
    script = REPOSITORY / "lessons" / "notebooks.py"
    command = [sys.executable, script, "--output", folder]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    for lesson in (REPOSITORY / "lessons").glob("[0-9]*.py"):
        shutil.copy2(lesson, folder)


def with_navigation(text: str, page: str) -> str:
    """The text with the navigation that this page adds."""
    if page == "lessons/index":
        lessons = [name for file, name in documents().items() if file.startswith("lessons/")]
        return text + contents("", [name.removeprefix("lessons/") for name in lessons])
    if page != "index":
        return text
    pages = set(documents().values())
    shown = {*COURSE, *GUIDES, *PROJECT, "index"}
    others = sorted(name for name in pages - shown if not name.startswith("lessons/"))
    parts = {
        "Course": COURSE,
        "Reference": [f"reference/{name}" for name in ("layers/index", *reference_pages.PACKAGES)]
        + ["genindex"],
        "Guides": [*GUIDES, *others],
        "Project": PROJECT,
    }
    lessons = sum(name.startswith("lessons/") for name in pages) - 1
    if CARDS_BEFORE not in text:
        raise ValueError(f"README.md has no heading {CARDS_BEFORE!r}, above which the cards are.")
    text = text.replace(CARDS_BEFORE, CARDS.format(lessons=lessons) + CARDS_BEFORE, 1)
    return text + "".join(contents(*part) for part in parts.items())


def contents(caption: str, names: list[str]) -> str:
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["", "", "```{toctree}", *options, "", *names, "```", ""])


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
