"""Python runs this at its start, if PYTHONPATH names this folder.

When the process imports CuPy, it gets emulated GPUs. Another sitecustomize.py, which
this one hides, is run as well.
"""

import atexit
import importlib.util
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = str(HERE.parents[3])
"""The folder with tinyalex in it."""


class InstallsOnImport:
    """Installs the emulator before CuPy is imported."""

    is_installing = False

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name not in ("cupy", "cupy_backends", "cupyx") or self.is_installing:
            return None
        self.is_installing = True
        added = [] if ROOT in sys.path else [ROOT]
        sys.path += added
        try:
            from tinyalex.emulator.cuda.installation import install

            install(at_exit=False)
        finally:
            self.is_installing = False
            for folder in added:
                sys.path.remove(folder)
        sys.meta_path.remove(self)
        return importlib.util.find_spec(name)


def disable() -> None:
    if libraries := sys.modules.get("tinyalex.emulator.cuda.libraries"):
        libraries.disable()


# Registered first, it is called last: the program's own functions may use the GPU.
atexit.register(disable)
sys.meta_path.insert(0, InstallsOnImport())

hidden = [folder for folder in sys.path if Path(folder or ".").resolve() != HERE]
if PathFinder.find_spec("sitecustomize", hidden):
    path, sys.path[:] = list(sys.path), hidden
    del sys.modules["sitecustomize"]
    try:
        importlib.import_module("sitecustomize")
    finally:
        sys.path[:] = path
