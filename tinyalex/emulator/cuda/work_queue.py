"""The work that was given to the GPUs and has not been done yet.

By default all work is done at once. With `settings.lazy`, nothing is done before the
host waits for it, which is as late as CUDA allows: a program that lacks a wait then
computes something else. Errors also appear late, at the wait, as on a GPU.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

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


_has_work = False
"""Whether work was added since the host last waited."""


def add(task: Task) -> Task:
    global _has_work
    _has_work = _has_work or task.do is not nothing
    if not settings.lazy:
        task.do()
        return task
    pending[next(_numbers)] = task
    while len(pending) > CAPACITY:
        _do(next(iter(pending)))
    return task


def count_wait() -> None:
    """Count a synchronisation, unless there was no work since the last one."""
    global _has_work
    if _has_work:
        statistics.count_synchronization()
    _has_work = False


def wait(wanted: Callable[[Task], bool] = lambda task: True) -> None:
    """Do the tasks that are wanted, each after those that it depends on."""
    for number, task in list(pending.items()):
        if number in pending and wanted(task):
            _do(number)


def is_pending(task: Task | None) -> bool:
    return any(other is task for other in pending.values())


def _do(number: int) -> None:
    task = pending[number]
    for n, earlier in list(pending.items()):
        if n < number and n in pending and task.depends_on(earlier):
            _do(n)
    del pending[number]
    task.do()
