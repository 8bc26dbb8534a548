#!/usr/bin/env python3
"""Convert the lessons to notebooks: runs/notebooks/NN_name.ipynb.

    python lessons/notebooks.py [--source URL] [--output FOLDER]
    python lessons/notebooks.py --execute [NAME ...] [--output FOLDER]

Needs jupytext, which `make notebooks` installs. The first cell of a notebook installs
tinyalex on Colab, from the git repository at URL (default: this clone's remote).

With --execute, the notebooks are run, with warnings as errors, and stored with their
outputs in runs/notebooks/executed, from which `make site` takes them: those of the
lessons NAME, by default of the lessons whose stored notebook is missing or older than
the lesson or than tinyalex.
"""

import argparse
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import jupytext
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

LESSONS = Path(__file__).resolve().parent
NOTEBOOKS = LESSONS.parent / "runs" / "notebooks"
EXECUTED = NOTEBOOKS / "executed"

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}

INSTALL = """\
# On Colab, install tinyalex. Colab's CuPy is not replaced: it is not a dependency.
import subprocess
import sys

if "google.colab" in sys.modules:
    source = {source!r}
    assert source, "Set `source` to the address of tinyalex's git repository."
    pip_install = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip_install, f"git+{{source}}"], check=True)"""

WARNINGS_ARE_ERRORS = """\
import warnings

warnings.simplefilter("error")"""


def lessons() -> list[Path]:
    return sorted(LESSONS.glob("[0-9]*.py"))


def origin() -> str:
    """The remote URL of this clone if it is public (https, no credentials), else ""."""
    command = ["git", "-C", str(LESSONS), "config", "--get", "remote.origin.url"]
    try:
        url = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:  # no git
        return ""
    return url if url.startswith("https://") and "@" not in url else ""


def convert(lesson: Path, first: str) -> NotebookNode:
    """The notebook of a lesson, with `first` as its first cell."""
    notebook = jupytext.read(lesson, fmt="py:percent")
    notebook.cells.insert(0, new_code_cell(first))
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"  # not random, so that the files are reproducible
    notebook.metadata["kernelspec"] = KERNEL
    return notebook


def write(notebook: NotebookNode, target: Path) -> None:
    """The notebook as a file, which is always complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".unfinished.ipynb")
    jupytext.write(notebook, unfinished, fmt="ipynb")
    unfinished.replace(target)


def outdated(folder: Path) -> list[Path]:
    """The lessons whose notebook in `folder` is missing or older than its sources."""
    folders = LESSONS.parent / "tinyalex", LESSONS / "results"
    files = [file for folder in folders for file in folder.rglob("*")]
    sources = [file for file in files if file.is_file() and file.parent.name != "__pycache__"]
    newest = max(file.stat().st_mtime for file in sources)

    def is_outdated(lesson: Path) -> bool:
        notebook = folder / f"{lesson.stem}.ipynb"
        if not notebook.exists():
            return True
        return notebook.stat().st_mtime < max(newest, lesson.stat().st_mtime)

    return list(filter(is_outdated, lessons()))


def execute(lesson: Path) -> NotebookNode:
    """The lesson's notebook with its outputs, without a first cell of ours.

    RuntimeError if a cell raises an exception or writes to stderr.
    """
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpecManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = convert(lesson, WARNINGS_ARE_ERRORS)
    # Without other folders, the kernel `python3` is the ipykernel of this Python.
    kernels = KernelSpecManager(kernel_dirs=[])
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_name=KERNEL["name"], kernel_spec_manager=kernels),
        timeout=None,
        record_timing=False,
        coalesce_streams=True,
        shutdown_kernel="immediate",  # its own shutdown warns, and warnings are errors
        extra_arguments=["--HistoryManager.enabled=False", "--log-level=ERROR"],
    )
    client.owns_km = True  # execute() ends the kernel
    try:
        client.execute()
    except CellExecutionError as error:
        raise RuntimeError(without_colours(f"{lesson.stem}: {error}")) from None
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                text = without_colours(output["text"])
                raise RuntimeError(
                    f"{lesson.stem}: a cell writes to stderr:\n{text}\n{cell.source}"
                )
    del notebook.cells[0]
    return notebook


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--source", metavar="URL", default=origin())
    p.add_argument("--output", metavar="FOLDER", type=Path)
    p.add_argument("--execute", metavar="NAME", nargs="*")
    args = p.parse_args()
    if args.execute is not None:
        folder = args.output or EXECUTED
        known = {lesson.stem: lesson for lesson in lessons()}
        if unknown := [name for name in args.execute if name not in known]:
            p.error(f"no lesson is named {unknown[0]}; expected one of {', '.join(known)}")
        for lesson in [known[name] for name in args.execute] or outdated(folder):
            start = time.perf_counter()
            try:
                notebook = execute(lesson)
            except RuntimeError as error:
                sys.exit(str(error))
            target = folder / f"{lesson.stem}.ipynb"
            write(notebook, target)
            print(f"{target.as_posix()}  {time.perf_counter() - start:.1f} s", flush=True)
        return
    output = args.output or NOTEBOOKS
    for lesson in lessons():
        target = output / f"{lesson.stem}.ipynb"
        write(convert(lesson, INSTALL.format(source=args.source)), target)
        print(target.as_posix())
    python, folder = shlex.quote(sys.executable), shlex.quote(str(output))
    print(f"To open them: {python} -m pip install jupyterlab && {python} -m jupyterlab {folder}")


if __name__ == "__main__":
    main()
