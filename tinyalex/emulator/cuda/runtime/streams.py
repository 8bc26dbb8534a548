"""Streams and events; `submit` gives work to a stream."""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tinyalex.emulator.cuda import work_queue, work_records
from tinyalex.emulator.cuda.api import (
    INVALID_HANDLE,
    NOT_READY,
    Handle,
    Pointer,
    Status,
    api,
    new_handle,
    object_of,
    release_handle,
    store,
    store_wide,
)
from tinyalex.emulator.cuda.runtime.devices import thread
from tinyalex.emulator.cuda.settings import settings
from tinyalex.emulator.cuda.work_queue import LEGACY_STREAM, Task, nothing

NON_BLOCKING = 1
CAPTURE_UNSUPPORTED = 900
CAPTURE_ISOLATION = 905
CAPTURE_IMPLICIT = 906
DISABLE_TIMING = 2


@dataclass(frozen=True)
class Work:
    """What a stream does. `count` adds it to the statistics at each submission."""

    name: str
    do: Callable[[], None]
    count: Callable[[], None] = nothing


@dataclass(eq=False)
class Graph:
    """Captured work, in the order in which it was submitted, and its streams."""

    work: list[Work] = field(default_factory=list)
    streams: list["Stream"] = field(default_factory=list)


@dataclass(eq=False)
class Stream:
    """graph: where the work goes instead of to the GPU while the stream captures."""

    device: int
    flags: int = 0
    graph: Graph | None = None

    @property
    def is_blocking(self) -> bool:
        return not self.flags & NON_BLOCKING


@dataclass(eq=False)
class Event:
    """recorded: the task, or the graph of a capture, in which it was recorded."""

    device: int
    flags: int = 0
    recorded: Task | Graph | None = None
    seconds: float | None = None


_streams: list[Stream] = []
"""Those that were created and not destroyed."""


def stream_of(handle: int) -> Stream:
    if handle in (0, 1, 2):  # the default, the legacy and the per-thread stream
        return Stream(thread.device)
    return object_of(handle, Stream)


def captures(handle: int) -> bool:
    return stream_of(handle).graph is not None


def keeps_arguments(handle: int) -> bool:
    """Whether work submitted now must have copies of what the caller may overwrite."""
    return settings.lazy or captures(handle)


def submit(
    handle: int,
    name: str,
    do: Callable[[], None],
    *,
    count: Callable[[], None] = nothing,
    after: Task | None = None,
    devices: frozenset[int] = frozenset(),
    always: bool = False,
) -> Task | None:
    """Do the work in the stream's turn; None if it was captured.

    always  also within `recording(execute=False)`
    """
    stream = stream_of(handle)
    if stream.graph:
        stream.graph.work.append(Work(name, do, count))
        return None
    is_legacy = handle in (0, 1)
    if is_legacy:
        for other in _streams:
            if other.graph and other.is_blocking and other.device == stream.device:
                raise Status(
                    CAPTURE_IMPLICIT,
                    f"{name} in the default stream, while a blocking stream captures. Capture in "
                    "a Stream(non_blocking=True), and submit all work to it",
                )
    count()
    if not (always or work_records.recorder.executes):
        do = nothing
    number = LEGACY_STREAM if is_legacy else handle
    return work_queue.add(Task(do, stream.device, number, stream.is_blocking, after, devices))


def wait_for(task: Task | None) -> None:
    if task is not None:
        work_queue.wait(lambda other: other is task)


def refuse_capture(handle: int, what: str) -> None:
    if captures(handle):
        raise Status(
            CAPTURE_UNSUPPORTED, f"{what} waits for a stream that captures a graph. Leave it out"
        )


def synchronize(handle: int) -> None:
    refuse_capture(handle, "synchronize")
    work_queue.count_wait(stream_of(handle).device)
    wait_for(submit(handle, "wait", nothing))


def create_stream(flags: int) -> int:
    stream = Stream(thread.device, flags)
    _streams.append(stream)
    return new_handle(stream)


@api
def cudaStreamCreate(stream: Pointer) -> None:
    store_wide(stream, create_stream(0))


@api
def cudaStreamCreateWithFlags(stream: Pointer, flags: int) -> None:
    store_wide(stream, create_stream(flags))


@api
def cudaStreamCreateWithPriority(stream: Pointer, flags: int, priority: int) -> None:
    store_wide(stream, create_stream(flags))


@api
def cudaStreamDestroy(stream: Handle) -> None:
    work_queue.wait(lambda task: task.stream == stream)
    _streams.remove(release_handle(stream, Stream))


@api
def cudaStreamSynchronize(stream: Handle) -> None:
    synchronize(stream)


@api
def cudaStreamQuery(stream: Handle) -> int | None:
    refuse_capture(stream, "query")
    device, number = stream_of(stream).device, LEGACY_STREAM if stream in (0, 1) else stream
    is_done = work_queue.is_done(lambda task: task.device == device and task.stream == number)
    return None if is_done else NOT_READY


@api
def cudaStreamWaitEvent(stream: Handle, event: Handle, flags: int) -> None:
    recorded = object_of(event, Event).recorded
    if isinstance(recorded, Graph):  # the stream takes part in the capture
        waiting = stream_of(stream)
        if waiting.graph is None and recorded.streams:
            waiting.graph = recorded
            recorded.streams.append(waiting)
    elif captures(stream):
        raise Status(
            CAPTURE_ISOLATION, "a captured stream waits for an event from outside of the capture"
        )
    else:
        submit(stream, "wait for an event", nothing, after=recorded)


@api
def cudaStreamGetFlags(stream: Handle, flags: Pointer) -> None:
    store(flags, stream_of(stream).flags)


@api
def cudaStreamGetPriority(stream: Handle, priority: Pointer) -> None:
    store(priority, 0)


@api
def cudaStreamGetDevice(stream: Handle, device: Pointer) -> None:
    store(device, stream_of(stream).device)


@api
def cudaLaunchHostFunc(stream: Handle, function: Pointer, data: Pointer) -> None:
    call = ctypes.CFUNCTYPE(None, ctypes.c_size_t)(function)
    submit(stream, "host function", lambda: call(data))


@api
def cudaStreamAddCallback(stream: Handle, function: Pointer, data: Pointer, flags: int) -> None:
    call = ctypes.CFUNCTYPE(None, ctypes.c_size_t, ctypes.c_int, ctypes.c_size_t)(function)
    submit(stream, "callback", lambda: call(stream, 0, data))


# Events


@api
def cudaEventCreate(event: Pointer) -> None:
    store_wide(event, new_handle(Event(thread.device)))


@api
def cudaEventCreateWithFlags(event: Pointer, flags: int) -> None:
    store_wide(event, new_handle(Event(thread.device, flags)))


@api
def cudaEventDestroy(event: Handle) -> None:
    release_handle(event, Event)


@api
def cudaEventRecord(event: Handle, stream: Handle) -> None:
    found, device = object_of(event, Event), stream_of(stream).device
    if found.device != device:
        raise Status(
            INVALID_HANDLE,
            f"an event of GPU {found.device} cannot be recorded in a stream of GPU {device}. "
            "Create it while that GPU is current",
        )

    def record() -> None:
        found.seconds = time.perf_counter()

    found.seconds = None
    found.recorded = stream_of(stream).graph or submit(stream, "record an event", record)


@api
def cudaEventQuery(event: Handle) -> int | None:
    recorded = object_of(event, Event).recorded
    return None if work_queue.is_done(lambda task: task is recorded) else NOT_READY


@api
def cudaEventSynchronize(event: Handle) -> None:
    found = object_of(event, Event)
    recorded = found.recorded
    if isinstance(recorded, Graph):
        raise Status(CAPTURE_UNSUPPORTED, "the event was recorded in a capture")
    work_queue.count_wait(found.device)
    wait_for(recorded)


@api
def cudaEventElapsedTime(milliseconds: Pointer, start: Handle, end: Handle) -> int | None:
    events = object_of(start, Event), object_of(end, Event)
    if any(event.flags & DISABLE_TIMING for event in events):
        raise Status(INVALID_HANDLE, "an event was created with disable_timing=True")
    first, last = (event.seconds for event in events)
    if first is None or last is None:
        raise Status(
            INVALID_HANDLE if events[1].recorded is None else NOT_READY,
            "the events have not both been reached. Record them, and wait for the second",
        )
    ctypes.c_float.from_address(milliseconds).value = 1000 * (last - first)
    return None


@api
def cudaProfilerStart() -> None:
    pass


@api
def cudaProfilerStop() -> None:
    pass
