"""The work that was given to the GPUs and has not been done yet.

By default all work is done at once. With `settings.lazy`, nothing is done before the
host waits for it, which is as late as CUDA allows: a program that lacks a wait then
computes something else. Errors also appear late, at the wait, as on a GPU.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import numpy as np

from tinyalex.emulator.cuda.settings import settings
from tinyalex.emulator.cuda.statistics import statistics

CAPACITY = 1000
"""Tasks in the queue. A launch into a full queue waits, as on a GPU."""

LEGACY_STREAM = 0

_numbers = count()
pending: dict[int, "Task"] = {}


@dataclass(frozen=True, eq=False)
class Task:
    """Work of one stream.

    is_blocking  whether the legacy stream waits for the stream, and the reverse
    after        a task, of any stream, that must be done first
    devices      devices whose earlier tasks must all be done first, and whose later
                 tasks must wait
    """

    do: Callable[[], None]
    device: int
    stream: int
    is_blocking: bool = True
    after: "Task | None" = None
    devices: frozenset[int] = frozenset()

    def run(self) -> None:
        with np.errstate(all="ignore"):  # a GPU does not warn of inf and NaN
            self.do()

    def depends_on(self, earlier: "Task") -> bool:
        if earlier is self.after or earlier.device in self.devices:
            return True
        if self.device in earlier.devices:
            return True
        if self.device != earlier.device:
            return False
        with_legacy = LEGACY_STREAM in (self.stream, earlier.stream)
        return self.stream == earlier.stream or (
            with_legacy and self.is_blocking and earlier.is_blocking
        )


def nothing() -> None:
    """The work of a task that others wait for."""


_with_work: set[int] = set()
"""Devices with work since the host last waited for them."""

_queried: set[Task] = set()
"""Pending tasks for which the program has asked whether they are done."""


@contextmanager
def _without_collections() -> Iterator[None]:
    """A garbage collection may destroy a stream or free memory, which waits for tasks:
    within a task, for those that depend on it and would be done before its end."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def add(task: Task) -> Task:
    if task.do is not nothing:
        _with_work.add(task.device)
    if not settings.lazy:
        task.run()
        return task
    pending[next(_numbers)] = task
    with _without_collections():
        while len(pending) > CAPACITY:
            _do(next(iter(pending)))
    return task


def count_wait(device: int) -> None:
    """Count a synchronisation, unless the device had no work since the last one."""
    if device in _with_work:
        statistics.count_synchronization()
    _with_work.discard(device)


def wait(wanted: Callable[[Task], bool] = lambda task: True) -> None:
    """Do the tasks that are wanted, each after those that it depends on."""
    with _without_collections():
        for number, task in list(pending.items()):
            if number in pending and wanted(task):
                _do(number)


def is_done(wanted: Callable[[Task], bool]) -> bool:
    """Whether the wanted tasks are done, for a program that polls.

    They are done after the first call, since a GPU makes progress without waits.
    """
    with _without_collections():
        tasks = [task for task in pending.values() if wanted(task)]
    if all(task in _queried for task in tasks):
        wait(wanted)
        _queried.difference_update(tasks)
        return True
    _queried.update(tasks)
    return False


def _do(number: int) -> None:
    task = pending[number]
    for n, earlier in list(pending.items()):
        if n < number and n in pending and task.depends_on(earlier):
            _do(n)
    # An earlier task may have dropped an array, whose release waits for this one.
    if pending.pop(number, None) is not None:
        task.run()
