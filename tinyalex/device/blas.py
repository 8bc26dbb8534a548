"""NumPy's BLAS: the library, and its threads."""

import os
import sys
import threading
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

SWITCH_INTERVAL_SECONDS = 1e-5
"""Python's thread switch interval while workers run.

With the default of 5 ms, a worker keeps the GIL between short NumPy calls, while the
others wait.
"""


@cache
def blas_threads() -> Any:
    """threadpoolctl's controller of the threads of BLAS; None without threadpoolctl."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


@cache
def _controllers() -> list[Any]:
    """threadpoolctl's controllers of the BLAS libraries in this process."""
    libraries = getattr(blas_threads(), "lib_controllers", [])
    return [library for library in libraries if library.user_api == "blas"]


def blas_libraries() -> list[dict[str, Any]]:
    """The BLAS libraries in this process, as threadpoolctl describes them."""
    return [library.info() for library in _controllers()]


class _BlasLimit:
    """Lowers BLAS's thread count and Python's switch interval, which are process-wide.

    The first thread to enter lowers them, the last one to leave restores them.
    """

    def __init__(self) -> None:
        self.lock, self.users = threading.Lock(), 0
        self.counts: list[int] = []
        """Of `_controllers`, to be restored."""
        self.interval = sys.getswitchinterval()

    def __enter__(self) -> None:
        with self.lock:
            self.users += 1
            if self.users == 1:
                # threadpoolctl's own context takes 20 us, as long as a small layer.
                _take_control_of_openblas()
                self.counts = [library.num_threads for library in _controllers()]
                for library in _controllers():
                    library.set_num_threads(1)
                self.interval = sys.getswitchinterval()
                sys.setswitchinterval(min(SWITCH_INTERVAL_SECONDS, self.interval))

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                self.restore()

    def restore(self) -> None:
        _take_control_of_openblas()
        # Empty in a child, if another thread of its parent was about to read them.
        for library, count in zip(_controllers(), self.counts, strict=False):
            library.set_num_threads(count)
        _take_control_of_openblas()
        sys.setswitchinterval(self.interval)


def _take_control_of_openblas() -> None:
    """Lets any thread set OpenBLAS's thread count.

    From version 3.8, threadpoolctl ignores every thread but the one that set a limit
    first, while that one is alive. Often another thread restores the count.
    """
    if blas_threads() is not None:
        import threadpoolctl

        controller = threadpoolctl.OpenBLASController
        if hasattr(controller, "clear_controlling_thread"):
            controller.clear_controlling_thread(force=True)


_blas_limit = _BlasLimit()


def single_threaded_blas() -> AbstractContextManager[None]:
    """A context in which BLAS multiplies matrices in the calling thread only."""
    return _blas_limit


def start_worker() -> None:
    """Called by each worker thread at its start.

    MKL has a thread count for each thread: that of another is not lowered with it.
    """
    for library in _controllers():
        if library.internal_api == "mkl":
            library.set_num_threads(1)


def _after_fork() -> None:
    """In a child, no other thread can release the lock, or restore the count."""
    global _blas_limit
    if _blas_limit.users:
        _blas_limit.restore()
    _blas_limit = _BlasLimit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
