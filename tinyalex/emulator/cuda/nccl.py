"""NCCL: arrays on the GPUs of several processes, which MPI connects.

Each process is one rank of a communicator. The functions check their arguments, and
enqueue (nccl_queue.py) operations (collectives.py).
"""

import ctypes
import functools
import struct
from collections.abc import Callable
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
    create,
    mpi,
)
from tinyalex.emulator.cuda.nccl_queue import (
    enqueue,
    group,
    start_progress,
    submit_group,
    wait_for_operations,
)
from tinyalex.emulator.cuda.runtime.devices import thread

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


class UniqueId(ctypes.Structure):
    """ncclUniqueId: a name, the rank in MPI.COMM_WORLD of its creator, a number."""

    _fields_ = (("internal", ctypes.c_char * 128),)


Id = Annotated[UniqueId, UniqueId]


_numbers = counter()


def nccl(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """`api`, for functions of NCCL: a status of CUDA becomes one of NCCL."""

    @functools.wraps(function)
    def call(*values: Any) -> int | None:
        try:
            return function(*values)
        except Status as status:
            if status.code not in STATUSES:
                status.code = INVALID_ARGUMENT
            if group.depth:
                group.error = status
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
    if group.depth:
        raise Status(
            INVALID_USAGE,
            "several communicators of one process are not emulated. Start a process for each GPU, "
            "and create the communicator outside of a group",
        )
    # The other processes may have to wait for this one's work before they join.
    wait_for_operations()
    store_wide(communicator, new_handle(create(size, rank, creator, number, thread.device)))
    start_progress()


@nccl
def ncclCommInitRankConfig(
    communicator: Pointer, size: int, unique_id: Id, rank: int, configuration: Pointer
) -> None:
    ncclCommInitRank(communicator, size, unique_id, rank)


@nccl
def ncclCommDestroy(communicator: Handle) -> None:
    wait_for_operations()
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


# Operations


@nccl
def ncclGroupStart() -> None:
    group.depth += 1


@nccl
def ncclGroupEnd() -> None:
    if not group.depth:
        raise Status(INVALID_USAGE, "no group was started")
    group.depth -= 1
    if group.depth:
        return
    if error := group.error:
        group.operations, group.error = [], None
        raise Status(error.code, f"a call in the group failed: {error.message}")
    if group.operations:
        submit_group()


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
    enqueue("ncclAllReduce", among, stream, among.all_reduce(x, y, op), sent)


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
    enqueue("ncclReduce", among, stream, among.reduce(x, y, op, root), sent)


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
    enqueue("ncclBroadcast", among, stream, among.broadcast(x, y, root), sent)


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
    enqueue("ncclAllGather", among, stream, among.all_gather(x, y), sent)


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
    enqueue("ncclReduceScatter", among, stream, among.reduce_scatter(x, y, op), sent)


@nccl
def ncclSend(
    source: Pointer, count: Size, dtype: int, peer: int, communicator: Handle, stream: Handle
) -> None:
    among = object_of(communicator, Communicator)
    x = _array(among, "send", source, count, dtype)
    _check_rank(among, "peer", peer)
    sent = 0 if peer == among.rank else x.nbytes
    enqueue("ncclSend", among, stream, among.send(x, peer), sent)


@nccl
def ncclRecv(
    target: Pointer, count: Size, dtype: int, peer: int, communicator: Handle, stream: Handle
) -> None:
    among = object_of(communicator, Communicator)
    y = _array(among, "receive", target, count, dtype)
    _check_rank(among, "peer", peer)
    enqueue("ncclRecv", among, stream, among.receive(y, peer))
