"""The threads that share the tiles of a batch, and BLAS's own, which must keep still meanwhile."""

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any


@cache
def workers() -> int:
    """How many threads share the tiles: the cores this process may use, or TINYALEX_THREADS.

    One where threadpoolctl is missing: BLAS then keeps its own threads, which would fight with ours.
    """
    if _blas() is None:
        return 1
    if asked := os.environ.get("TINYALEX_THREADS"):
        if not asked.isdigit() or int(asked) < 1:
            raise ValueError(f"TINYALEX_THREADS: expected a whole number from 1 on, got {asked!r}.")
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, thread_name_prefix="tinyalex-tile")


@cache
def _blas() -> Any:
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


def blas_libraries() -> list[dict[str, Any]]:
    """What threadpoolctl knows of the BLAS libraries in this process: their names, versions and threads."""
    blas = _blas()
    return [info for info in blas.info() if info["user_api"] == "blas"] if blas else []


@cache
def blas_can_do_without_copies() -> bool:
    """Whether this is OpenBLAS with kernels that multiply small matrices as they lie: it has them for processors with AVX-512."""
    return any(info.get("architecture") in ("SkylakeX", "Cooperlake", "SapphireRapids") for info in blas_libraries())


SWITCH_INTERVAL = 1e-5
"""Seconds that a thread waits for Python's lock before it insists. A thread that lets go of it for one short NumPy loop has it back
before another wakes up, which would then wait for Python's usual 5 ms."""


class _Sharing:
    """BLAS's threads and Python's patience belong to the process: the first one in lowers them, the last one out puts them back."""

    def __init__(self) -> None:
        self.lock, self.users, self.limit, self.interval = threading.Lock(), 0, nullcontext(), sys.getswitchinterval()

    def enter(self) -> None:
        with self.lock:
            self.users += 1
            if self.users == 1:
                if (blas := _blas()) is not None:
                    self.limit = blas.limit(limits=1, user_api="blas")
                self.limit.__enter__()
                self.interval = sys.getswitchinterval()
                sys.setswitchinterval(min(SWITCH_INTERVAL, self.interval))

    def leave(self) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                self.put_back()

    def put_back(self) -> None:
        self.limit.__exit__(None, None, None)
        self.limit = nullcontext()
        sys.setswitchinterval(self.interval)


_sharing = _Sharing()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within it, each matrix product stays on the thread that asks for it, and threads take short turns at what is not a NumPy loop."""
    _sharing.enter()
    try:
        yield
    finally:
        _sharing.leave()


def _after_fork() -> None:
    """A child process has none of its parent's threads, and may have been born while one of them held the lock."""
    global _sharing
    pool.cache_clear()
    if _sharing.users:
        _sharing.put_back()
    _sharing = _Sharing()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
