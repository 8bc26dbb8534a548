"""A strict stand-in for CuPy: its arrays, rules and errors on NumPy, to test what runs on a GPU where there is none.

    import standin
    standin.install()    # before anything imports cupy
    import cupy

Whatever CuPy refuses is refused here: NumPy arrays among device arrays, implicit copies to the host, names, keywords and dtypes that
CuPy lacks (cupy_api.json has been made from the real one), an array of another device than the current one. Where CuPy is merely slow, or
silently wrong, the stand-in refuses too: NumPy's functions on CuPy's arrays, NumPy arrays as indices, indices out of bounds. What is
never written to is NaN. Raw kernels are really run, by tinyalex.emulator. Like CuPy it keeps reductions and single elements on the device
as 0-d arrays, and makes whatever it computes in C order.

`stats` counts copies, waits and launches, `launches` names the raw kernels, `no_sync()` forbids waiting, `compute_types` is what
matrix products were told.

It cannot show what a GPU does in its own time: a host buffer that is used again before it was copied, streams out of step. Nor cuBLAS's
rounding, fragmented memory, or speed.
"""

import sys
from types import ModuleType

from standin.modules import MODULES, compute_types, cupy
from standin.state import SyncError, launches, no_sync, stats

__all__ = [
    "Installation",
    "SyncError",
    "compute_types",
    "cupy",
    "install",
    "launches",
    "no_sync",
    "stats",
]

BLOCKED = ("cupyx", "cupy_backends")
"""Packages that come with CuPy and would load the real one."""


class Installation:
    """The stand-in in sys.modules, until `remove()` or the end of a with block. `cupy` is the module."""

    cupy: ModuleType = cupy

    def __init__(self) -> None:
        if "cupy" in sys.modules:
            which = (
                "The stand-in"
                if sys.modules["cupy"] is cupy
                else f"Another cupy ({sys.modules['cupy']!r})"
            )
            raise RuntimeError(
                f"{which} is imported already. Call standin.install() once, before anything imports cupy."
            )
        sys.modules.update(MODULES)
        self._blocked = [name for name in BLOCKED if name not in sys.modules]
        for name in self._blocked:
            sys.modules[name] = None  # `import cupyx` raises ImportError

    def remove(self) -> None:
        """Take it out again. Who has imported it keeps it."""
        for name in [*MODULES, *self._blocked]:
            sys.modules.pop(name, None)
        self._blocked = []

    def __enter__(self) -> ModuleType:
        return self.cupy

    def __exit__(self, *error: object) -> None:
        self.remove()


def install() -> Installation:
    """Make `import cupy` find the stand-in. RuntimeError where it has found something already."""
    return Installation()
