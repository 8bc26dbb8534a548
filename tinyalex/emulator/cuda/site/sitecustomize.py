"""Python runs this at its start, if PYTHONPATH names this folder.

When the process imports CuPy, it gets emulated GPUs. Another sitecustomize.py, which
this one hides, is run as well.
"""

import importlib
import importlib.machinery
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
"""The folder with tinyalex in it."""


class InstallsOnImport:
    """Finds no module, but installs the emulator before CuPy is searched for."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name not in ("cupy", "cupy_backends", "cupyx"):
            return
        sys.meta_path.remove(self)
        sys.path.append(str(ROOT))
        try:
            from tinyalex.emulator.cuda.installation import install
        finally:
            sys.path.remove(str(ROOT))
        install()


sys.meta_path.insert(0, InstallsOnImport())

hidden = [folder for folder in sys.path if Path(folder or ".").resolve() != HERE]
if importlib.machinery.PathFinder.find_spec("sitecustomize", hidden):
    this, sys.path[:] = list(sys.path), hidden
    del sys.modules["sitecustomize"]
    importlib.import_module("sitecustomize")
    sys.path[:] = this
