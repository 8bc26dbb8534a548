"""NCCL's operations as work of streams.

An operation takes its turn in its stream. In all streams of a process, operations are
done in the order of the calls, because all processes call them in the same order.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tinyalex.emulator.cuda.api import Status, lock
from tinyalex.emulator.cuda.collectives import (
    INVALID_ARGUMENT,
    INVALID_USAGE,
    Communicator,
    Steps,
    mpi,
    run,
)
from tinyalex.emulator.cuda.runtime.devices import thread
from tinyalex.emulator.cuda.runtime.streams import captures, stream_of, submit, wait_for
from tinyalex.emulator.cuda.settings import settings
from tinyalex.emulator.cuda.statistics import statistics
from tinyalex.emulator.cuda.work_queue import Task, nothing

PROGRESS_SECONDS = 0.1
"""After which lazy work is done without a wait, if no call follows."""


@dataclass(frozen=True)
class Operation:
    """sent_bytes: as if each process sent its data to their receivers directly."""

    name: str
    device: int
    stream: int
    steps: Steps
    sent_bytes: int


@dataclass
class _Group(threading.local):
    """depth: how many groups have been started. error: of a call in the group."""

    depth: int = 0
    operations: list[Operation] = field(default_factory=list)
    error: Status | None = None


group = _Group()
_last: Task | None = None
_progress: threading.Thread | None = None


def enqueue(
    name: str, communicator: Communicator, stream: int, steps: Steps, sent_bytes: int = 0
) -> None:
    """Submit an operation, or add it to the group."""
    device = communicator.device
    with _current(device):
        if captures(stream):
            raise Status(INVALID_USAGE, "NCCL in a captured graph is not emulated")
        other = stream_of(stream).device
    if other != device:
        raise Status(
            INVALID_ARGUMENT,
            f"the stream belongs to GPU {other}, the communicator to GPU {device}",
        )
    group.operations.append(Operation(name, device, stream, steps, sent_bytes))
    if not group.depth:
        submit_group()


def submit_group() -> None:
    """All streams of a group wait for its start, and later for its end."""
    global _last
    operations, group.operations = group.operations, []
    name = ", ".join(dict.fromkeys(operation.name for operation in operations))
    steps = [operation.steps for operation in operations]
    stream, *others = dict.fromkeys((one.device, one.stream) for one in operations)

    def count() -> None:
        if sent := sum(operation.sent_bytes for operation in operations):
            statistics.copied_bytes["to other processes"] += sent

    for other in others:
        _submit(stream, "wait", nothing, after=_submit(other, "wait", nothing))
    _last = _submit(stream, name, lambda: run(steps, name), count=count, after=_last)
    for other in others:
        _submit(other, "wait", nothing, after=_last)


def _submit(stream: tuple[int, int], *arguments: Any, **options: Any) -> Task | None:
    """`submit` to the stream (device, handle)."""
    device, handle = stream
    with _current(device):
        return submit(handle, *arguments, **options)


@contextmanager
def _current(device: int) -> Iterator[None]:
    """A context in which a GPU is current: NCCL may be called while another one is."""
    before, thread.device = thread.device, device
    try:
        yield
    finally:
        thread.device = before


def wait_for_operations() -> None:
    """Do all operations of this process that have been submitted."""
    wait_for(_last)


def start_progress() -> None:
    """With lazy execution, do the work soon, even if the program does not wait for it.

    Otherwise another process may wait for the work forever, while this one waits for
    that process outside of CUDA.
    """
    global _progress
    has_threads = mpi().Query_thread() == mpi().THREAD_MULTIPLE
    if settings.lazy and has_threads and _progress is None:
        _progress = threading.Thread(target=_make_progress, daemon=True)
        _progress.start()


def _make_progress() -> None:
    seen = None
    while True:
        time.sleep(PROGRESS_SECONDS)
        with lock:
            if seen is _last:
                try:
                    wait_for(seen)
                except Status as status:
                    print(f"tinyalex.emulator: {status.message}", file=sys.stderr)
            seen = _last
