#!/usr/bin/env python3
"""Convert the lessons to notebooks: runs/notebooks/NN_name.ipynb.

    python lessons/notebooks.py [--source URL] [--output FOLDER]

Needs jupytext, which `make notebooks` installs. The first cell of a notebook installs
tinyalex on Colab, from the git repository at URL (default: this clone's remote).
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import jupytext
from nbformat.v4 import new_code_cell

LESSONS = Path(__file__).resolve().parent

INSTALL = """\
# On Colab, install tinyalex. Colab's CuPy is not replaced: it is not a dependency.
import subprocess
import sys

if "google.colab" in sys.modules:
    source = {source!r}
    assert source, "Set `source` to the address of tinyalex's git repository."
    pip_install = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip_install, f"git+{{source}}"], check=True)"""


def origin() -> str:
    """The remote URL of this clone if it is public (https, no credentials), else ""."""
    command = ["git", "-C", str(LESSONS), "config", "--get", "remote.origin.url"]
    try:
        url = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:  # no git
        return ""
    return url if url.startswith("https://") and "@" not in url else ""


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--source", metavar="URL", default=origin())
    p.add_argument("--output", metavar="FOLDER", type=Path, default=Path("runs/notebooks"))
    args = p.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for lesson in sorted(LESSONS.glob("[0-9]*.py")):
        notebook = jupytext.read(lesson, fmt="py:percent")
        notebook.cells.insert(0, new_code_cell(INSTALL.format(source=args.source)))
        for number, cell in enumerate(notebook.cells):
            cell["id"] = f"cell-{number}"  # not random, so that the files are reproducible
        notebook.metadata["kernelspec"] = kernel
        target = args.output / f"{lesson.stem}.ipynb"
        jupytext.write(notebook, target, fmt="ipynb")
        print(target.as_posix())
    python, folder = shlex.quote(sys.executable), shlex.quote(str(args.output))
    print(f"To open them: {python} -m pip install jupyterlab && {python} -m jupyterlab {folder}")


if __name__ == "__main__":
    main()
