"""NCCL: arrays on the GPUs of several processes, which MPI connects (collectives.py).

Each process is one rank of a communicator. Operations take their turn in the stream,
and in all streams of a process they are done in the order of the calls, as all
processes must call them in one order.
"""

import ctypes
import functools
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count as counter
from typing import Annotated, Any

import numpy as np

from tinyalex.emulator.cuda import memory
from tinyalex.emulator.cuda.api import (
    Handle,
    Pointer,
    Size,
    Status,
    api,
    lock,
    new_handle,
    object_of,
    release_handle,
    store,
    store_wide,
)
from tinyalex.emulator.cuda.collectives import (
    INVALID_ARGUMENT,
    INVALID_USAGE,
    REDUCTIONS,
    Communicator,
    Steps,
    create,
    mpi,
    run,
)
from tinyalex.emulator.cuda.runtime.devices import thread
from tinyalex.emulator.cuda.runtime.streams import captures, stream_of, submit, wait_for
from tinyalex.emulator.cuda.settings import settings
from tinyalex.emulator.cuda.statistics import statistics
from tinyalex.emulator.cuda.work_queue import Task, nothing

VERSION = 22707
STATUSES = range(8)
"""ncclResult_t."""

DTYPES: tuple[Any, ...] = (
    np.int8,
    np.uint8,
    np.int32,
    np.uint32,
    np.int64,
    np.uint64,
    np.float16,
    np.float32,
    np.float64,
)
"""By ncclDataType_t."""

ID = struct.Struct("16sii")
ID_NAME = b"tinyalex"

PROGRESS_SECONDS = 0.1
"""After which lazy work is done without a wait, if no call follows."""


class UniqueId(ctypes.Structure):
    """ncclUniqueId: a name, the rank in MPI.COMM_WORLD of its creator, a number."""

    _fields_ = (("internal", ctypes.c_char * 128),)


Id = Annotated[UniqueId, UniqueId]


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


_group = _Group()
_numbers = counter()
_last: Task | None = None
_progress: threading.Thread | None = None


def nccl(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """`api`, for functions of NCCL: a status of CUDA becomes one of NCCL."""

    @functools.wraps(function)
    def call(*values: Any) -> int | None:
        try:
            return function(*values)
        except Status as status:
            if status.code not in STATUSES:
                status.code = INVALID_ARGUMENT
            if _group.depth:
                _group.error = status
            raise

    return api(call)


# Communicators


@nccl
def ncclGetVersion(version: Pointer) -> None:
    store(version, VERSION)


@nccl
def ncclGetUniqueId(unique_id: Pointer) -> None:
    data = ID.pack(ID_NAME, mpi().COMM_WORLD.rank, next(_numbers))
    ctypes.memmove(unique_id, data.ljust(ctypes.sizeof(UniqueId), b"\0"), ctypes.sizeof(UniqueId))


@nccl
def ncclCommInitRank(communicator: Pointer, size: int, unique_id: Id, rank: int) -> None:
    name, creator, number = ID.unpack_from(bytes(unique_id))
    if name.rstrip(b"\0") != ID_NAME:
        raise Status(INVALID_ARGUMENT, "expected an id that ncclGetUniqueId has made")
    if not 0 <= rank < size:
        raise Status(INVALID_ARGUMENT, f"expected a rank from 0 to {size - 1}, got {rank}")
    if _group.depth:
        raise Status(
            INVALID_USAGE,
            "several communicators of one process are not emulated. Start a process for each GPU, "
            "and create the communicator outside of a group",
        )
    # The other processes may have to wait for this one's work before they join.
    wait_for(_last)
    store_wide(communicator, new_handle(create(size, rank, creator, number, thread.device)))
    _start_progress()


@nccl
def ncclCommInitRankConfig(
    communicator: Pointer, size: int, unique_id: Id, rank: int, configuration: Pointer
) -> None:
    ncclCommInitRank(communicator, size, unique_id, rank)


@nccl
def ncclCommDestroy(communicator: Handle) -> None:
    wait_for(_last)
    release_handle(communicator, Communicator).ranks.Free()


@nccl
def ncclCommAbort(communicator: Handle) -> None:
    release_handle(communicator, Communicator)


@nccl
def ncclCommCount(communicator: Handle, count: Pointer) -> None:
    store(count, object_of(communicator, Communicator).size)


@nccl
def ncclCommCuDevice(communicator: Handle, device: Pointer) -> None:
    store(device, object_of(communicator, Communicator).device)


@nccl
def ncclCommUserRank(communicator: Handle, rank: Pointer) -> None:
    store(rank, object_of(communicator, Communicator).rank)


@nccl
def ncclCommGetAsyncError(communicator: Handle, error: Pointer) -> None:
    object_of(communicator, Communicator)
    store(error, 0)


# The work queue


def _enqueue(
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
    _group.operations.append(Operation(name, device, stream, steps, sent_bytes))
    if not _group.depth:
        _submit_operations()


def _submit_operations() -> None:
    """All streams of a group wait for its start, and later for its end."""
    global _last
    operations, _group.operations = _group.operations, []
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


def _start_progress() -> None:
    """With lazy execution: let other processes not wait for this one forever.

    It may itself wait for one of them, outside of CUDA.
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
                wait_for(seen)
            seen = _last


@nccl
def ncclGroupStart() -> None:
    _group.depth += 1


@nccl
def ncclGroupEnd() -> None:
    if not _group.depth:
        raise Status(INVALID_USAGE, "no group was started")
    _group.depth -= 1
    if _group.depth:
        return
    if error := _group.error:
        _group.operations, _group.error = [], None
        raise Status(error.code, f"a call in the group failed: {error.message}")
    if _group.operations:
        _submit_operations()


# Operations


def _array(
    communicator: Communicator, name: str, address: int, count: int, dtype: int
) -> np.ndarray:
    """An argument as an array of the GPU's memory."""
    if dtype not in range(len(DTYPES)):
        raise Status(INVALID_ARGUMENT, f"arrays of ncclDataType {dtype} are not emulated")
    if count:
        size = count * np.dtype(DTYPES[dtype]).itemsize
        memory.require(f"the {name} buffer", address, size, communicator.device)
    return memory.array(address, count, DTYPES[dtype])


def _check_op(op: int) -> None:
    if op not in range(len(REDUCTIONS)):
        raise Status(INVALID_ARGUMENT, f"ncclRedOp {op} is not emulated")


def _check_rank(communicator: Communicator, what: str, rank: int) -> None:
    if not 0 <= rank < communicator.size:
        raise Status(
            INVALID_ARGUMENT, f"expected a {what} from 0 to {communicator.size - 1}, got {rank}"
        )


@nccl
def ncclAllReduce(
    source: Pointer,
    target: Pointer,
    count: Size,
    dtype: int,
    op: int,
    communicator: Handle,
    stream: Handle,
) -> None:
    among = object_of(communicator, Communicator)
    x = _array(among, "send", source, count, dtype)
    y = _array(among, "receive", target, count, dtype)
    _check_op(op)
    # The sections of the others, then this rank's reduced section to each of them.
    start, end = among.bounds(x.nbytes)[among.rank : among.rank + 2]
    sent = x.nbytes + (among.size - 2) * (end - start)
    _enqueue("ncclAllReduce", among, stream, among.all_reduce(x, y, op), sent)


@nccl
def ncclReduce(
    source: Pointer,
    target: Pointer,
    count: Size,
    dtype: int,
    op: int,
    root: int,
    communicator: Handle,
    stream: Handle,
) -> None:
    among = object_of(communicator, Communicator)
    x, y = _array(among, "send", source, count, dtype), None
    _check_op(op)
    _check_rank(among, "root", root)
    if among.rank == root:
        y = _array(among, "receive", target, count, dtype)
    sent = x.nbytes if y is None else 0
    _enqueue("ncclReduce", among, stream, among.reduce(x, y, op, root), sent)


@nccl
def ncclBroadcast(
    source: Pointer,
    target: Pointer,
    count: Size,
    dtype: int,
    root: int,
    communicator: Handle,
    stream: Handle,
) -> None:
    among = object_of(communicator, Communicator)
    x, y = None, _array(among, "receive", target, count, dtype)
    _check_rank(among, "root", root)
    if among.rank == root:
        x = _array(among, "send", source, count, dtype)
    sent = 0 if x is None else (among.size - 1) * x.nbytes
    _enqueue("ncclBroadcast", among, stream, among.broadcast(x, y, root), sent)


@nccl
def ncclBcast(
    target: Pointer, count: Size, dtype: int, root: int, communicator: Handle, stream: Handle
) -> None:
    ncclBroadcast(target, target, count, dtype, root, communicator, stream)


@nccl
def ncclAllGather(
    source: Pointer, target: Pointer, count: Size, dtype: int, communicator: Handle, stream: Handle
) -> None:
    among = object_of(communicator, Communicator)
    x = _array(among, "send", source, count, dtype)
    y = _array(among, "receive", target, among.size * count, dtype)
    sent = (among.size - 1) * x.nbytes
    _enqueue("ncclAllGather", among, stream, among.all_gather(x, y), sent)


@nccl
def ncclReduceScatter(
    source: Pointer,
    target: Pointer,
    count: Size,
    dtype: int,
    op: int,
    communicator: Handle,
    stream: Handle,
) -> None:
    among = object_of(communicator, Communicator)
    x = _array(among, "send", source, among.size * count, dtype)
    y = _array(among, "receive", target, count, dtype)
    _check_op(op)
    sent = (among.size - 1) * y.nbytes
    _enqueue("ncclReduceScatter", among, stream, among.reduce_scatter(x, y, op), sent)


@nccl
def ncclSend(
    source: Pointer, count: Size, dtype: int, peer: int, communicator: Handle, stream: Handle
) -> None:
    among = object_of(communicator, Communicator)
    x = _array(among, "send", source, count, dtype)
    _check_rank(among, "peer", peer)
    sent = 0 if peer == among.rank else x.nbytes
    _enqueue("ncclSend", among, stream, among.send(x, peer), sent)


@nccl
def ncclRecv(
    target: Pointer, count: Size, dtype: int, peer: int, communicator: Handle, stream: Handle
) -> None:
    among = object_of(communicator, Communicator)
    y = _array(among, "receive", target, count, dtype)
    _check_rank(among, "peer", peer)
    _enqueue("ncclRecv", among, stream, among.receive(y, peer))
