"""The threads that share the tiles of a batch, and BLAS's own, which must keep still meanwhile."""

import os
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


class _BlasLimit:
    """BLAS's number of threads belongs to the process: the first one in lowers it, the last one out puts it back."""

    def __init__(self) -> None:
        self.lock, self.users, self.limit = threading.Lock(), 0, nullcontext()

    def enter(self) -> None:
        with self.lock:
            self.users += 1
            if self.users == 1 and (blas := _blas()) is not None:
                self.limit = blas.limit(limits=1, user_api="blas")
                self.limit.__enter__()

    def leave(self) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                self.limit.__exit__(None, None, None)
                self.limit = nullcontext()


_blas_limit = _BlasLimit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within it, each matrix product stays on the thread that asks for it."""
    _blas_limit.enter()
    try:
        yield
    finally:
        _blas_limit.leave()


def _after_fork() -> None:
    """A child process has none of its parent's threads, and may have been born while one of them held the lock."""
    global _blas_limit
    pool.cache_clear()
    _blas_limit = _BlasLimit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
