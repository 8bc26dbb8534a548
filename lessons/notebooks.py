#!/usr/bin/env python3
"""Write the lessons as notebooks: runs/notebooks/NN_name.ipynb (needs jupytext, as `make notebooks` installs it).

    python lessons/notebooks.py [--source URL] [--output FOLDER]

Their first cell installs tinyalex where the notebook runs on Colab, from the git repository at URL (default: where this clone came from).
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
# On Colab: install tinyalex. The CuPy that is there for the GPU stays as it is, since nothing here asks for another.
import subprocess
import sys

if "google.colab" in sys.modules:
    source = {source!r}
    assert source, "Write the address of tinyalex's git repository into `source`: this notebook was made from a copy that has none."
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", f"git+{{source}}"], check=True)"""


def origin() -> str:
    """The address that this clone was made from, if others can use it too; else nothing."""
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
    for lesson in sorted(LESSONS.glob("[0-9]*.py")):
        notebook = jupytext.read(lesson, fmt="py:percent")
        notebook.cells.insert(0, new_code_cell(INSTALL.format(source=args.source)))
        for number, cell in enumerate(notebook.cells):
            cell["id"] = f"cell-{number}"  # not a random one: the same lesson makes the same bytes
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        target = args.output / f"{lesson.stem}.ipynb"
        jupytext.write(notebook, target, fmt="ipynb")
        print(target.as_posix())
    python, folder = shlex.quote(sys.executable), shlex.quote(str(args.output))
    print(f"To open them: {python} -m pip install jupyterlab && {python} -m jupyterlab {folder}")


if __name__ == "__main__":
    main()
