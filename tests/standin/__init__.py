"""A strict stand-in for CuPy on NumPy: tests GPU code where there is no GPU.

    import standin
    standin.install()    # before anything imports cupy
    import cupy

Rejected is what CuPy rejects: NumPy arrays among device arrays, implicit copies to the
host, names, keywords and dtypes that CuPy lacks (see cupy_api.json), arrays of another
device than the current one. Also rejected is what CuPy does slowly or wrongly:
NumPy's functions on CuPy's arrays, NumPy arrays as indices, indices out of bounds.
Uninitialized memory is NaN. Raw kernels are run by tinyalex.emulator. As in CuPy,
reductions and single elements are 0-d arrays on the device, and results in C order.

`stats` counts copies, waits and launches, `launches` names the raw kernels, `no_sync()`
forbids waiting, `compute_types` records the settings for matrix multiplications.

Not emulated: asynchronous execution, the rounding of cuBLAS, fragmented memory, speed.
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
    """Put the stand-in in sys.modules, until `remove()` or the end of a with block."""

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
    """Make `import cupy` find the stand-in. RuntimeError after importing CuPy."""
    return Installation()
