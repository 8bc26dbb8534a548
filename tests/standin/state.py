"""What is counted, what each thread has of its own, and who may wait for a device."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

stats = {"h2d": 0, "d2h": 0, "sync": 0, "launch": 0}
"""Bytes copied to and from devices, waits of the host, and kernels launched."""

launches: list[str] = []
"""The names of the launched raw kernels, in order. Clear it before a test."""

_lock = threading.Lock()


class SyncError(RuntimeError):
    """Something waited for the device inside of `no_sync()`."""


class Thread(threading.local):
    """Of each thread: the current device and streams, and whether it may wait."""

    def __init__(self) -> None:
        self.device = 0
        self.streams: dict[int, Any] = {}
        self.entered: list[Any] = []
        self.may_wait = True


thread = Thread()


def count(what: str, amount: int = 1) -> None:
    with _lock:
        stats[what] += amount


def wait(what: str) -> None:
    """The host waits for the device because of `what`; SyncError in `no_sync()`."""
    if not thread.may_wait:
        raise SyncError(f"{what} waits for the device, inside of no_sync().")
    count("sync")


def copy_to_host(what: str, nbytes: int) -> None:
    """`what` copies that many bytes from the device, and waits for them."""
    wait(what)
    count("d2h", nbytes)


@contextmanager
def no_sync() -> Iterator[None]:
    """Within it, whatever makes this thread wait for the device raises SyncError."""
    before, thread.may_wait = thread.may_wait, False
    try:
        yield
    finally:
        thread.may_wait = before
