"""Let CuPy find emulated GPUs: in this process, and in those that it starts."""

import os
import sys
from pathlib import Path

from tinyalex.emulator.cuda.settings import Settings, settings

SITE = Path(__file__).parent / "site"
"""Has a sitecustomize.py, which installs the emulator when a process imports CuPy."""

_is_installed = False


def is_installed() -> bool:
    return _is_installed


def install(*, at_exit: bool = True) -> None:
    """Let CuPy find GPUs in this process. Call it before anything imports CuPy.

    at_exit  end the emulation at the end of the process, by atexit

    The settings are those of the environment when tinyalex.emulator was imported
    (`Settings`). Raises RuntimeError if CuPy is imported already, ImportError if it is
    not installed.
    """
    global _is_installed
    if _is_installed:
        return
    if "cupy_backends.cuda.api.runtime" in sys.modules:
        raise RuntimeError(
            "CuPy is imported already. Call emulator.install() before anything imports it, or run "
            "the program with `tinyalex emulate`."
        )
    # Set at once: the search for CuPy calls this again (site/sitecustomize.py).
    _is_installed = True
    try:
        # Imported here: they need Linux and CuPy.
        from tinyalex.emulator.cuda import libraries

        libraries.load(at_exit)
    except BaseException:
        _is_installed = False
        raise


def subprocess_environment(settings: Settings = settings) -> dict[str, str]:
    """The variables that give Python processes emulated GPUs with these settings."""
    paths = [str(SITE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    path = os.pathsep.join(dict.fromkeys(path for path in paths if path))
    return {**settings.environment(), "PYTHONPATH": path}
