"""Stopping a run with Ctrl-C or SIGTERM after the current step."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = signal.SIGINT, signal.SIGTERM


class Interrupted(Exception):  # noqa: N818 - not an error: the user requested it
    """Training was stopped by Ctrl-C or SIGTERM, with a checkpoint written."""


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], bool]]:
    """A context that only records the first Ctrl-C or SIGTERM.

    Yields a function: whether one has arrived. The second has its usual effect.
    """
    received = False

    def record(signum: int, frame: Any) -> None:
        nonlocal received
        received = True
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before: dict[int, Any] = {}
    try:
        for number in SIGNALS:
            before[number] = signal.signal(number, record)
    except ValueError:  # only the main thread can set handlers, and only it receives signals
        yield lambda: False
        return
    try:
        yield lambda: received
    finally:
        restore()
