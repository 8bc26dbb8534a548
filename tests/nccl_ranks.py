"""A program for several processes, which test_nccl.py starts: `nccl_ranks.py FOLDER`.

Each process runs all cases, and writes their outcomes to FOLDER/RANK.json.
"""

import functools
import json
import re
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest

if __name__ == "__main__":
    import cupy
    from cupy.cuda import nccl
    from mpi4py import MPI

    from tinyalex import emulator
    from tinyalex.device.nccl import Nccl
    from tinyalex.emulator.cuda.api import lock

    world = MPI.COMM_WORLD
    rank, size = world.rank, world.size

CASES = {}
"""The cases, by name: functions that fail or return a reason to leave them out."""

FLOATS = ("float32", "float64")
INTEGERS = ("int8", "uint8", "int32", "uint32", "int64", "uint64")
OPS = {
    "SUM": np.add,
    "PROD": np.multiply,
    "MAX": np.maximum,
    "MIN": np.minimum,
}


def case(function):
    CASES[function.__name__] = function
    return function


def values(of_rank, count=11, dtype="float32"):
    """The array of a rank, which all ranks can compute."""
    x = np.random.default_rng(of_rank).standard_normal(count)
    return (x if np.dtype(dtype).kind == "f" else 5 * x).astype(dtype)


def everyones(count=11, dtype="float32"):
    return [values(r, count, dtype) for r in range(size)]


def in_order(ufunc, arrays):
    return functools.reduce(ufunc, arrays)


def equal(x, expected):
    np.testing.assert_array_equal(cupy.asnumpy(x), expected, strict=True)


def code(dtype):
    return getattr(nccl, f"NCCL_{np.dtype(dtype).name.upper()}")


def communicator(ranks=None):
    """CuPy's communicator of these ranks of the world, in this order."""
    ranks = list(range(size)) if ranks is None else ranks
    if rank == ranks[0]:
        unique_id = nccl.get_unique_id()
        for other in ranks[1:]:
            world.send(unique_id, other)
    else:
        unique_id = world.recv(source=ranks[0])
    return nccl.NcclCommunicator(len(ranks), unique_id, ranks.index(rank))


@functools.cache
def of_all():
    return communicator()


@functools.cache
def ours():
    return Nccl(rank, size, lambda x: world.bcast(x), "cuda")


def fails(call, message):
    with pytest.raises(nccl.NcclError, match=re.escape(message)):
        call()


def uneven():
    return [3, 0, 5, 2][:size]


# CuPy's communicator


@case
def a_communicator_knows_its_ranks():
    comm = of_all()
    assert (comm.size(), comm.rank_id(), comm.device_id()) == (size, rank, 0)
    comm.check_async_error()
    assert nccl.get_version() >= 22000


@case
def all_reduce_computes_each_operation_in_each_type():
    for dtype in ("float16", *FLOATS, *INTEGERS):
        for op, ufunc in OPS.items():
            x = cupy.asarray(values(rank, dtype=dtype))
            y = cupy.empty_like(x)
            arguments = x.size, code(dtype), getattr(nccl, f"NCCL_{op}"), 0
            of_all().allReduce(x.data.ptr, y.data.ptr, *arguments)
            equal(x, values(rank, dtype=dtype))
            of_all().allReduce(x.data.ptr, x.data.ptr, *arguments)
            expected = in_order(ufunc, everyones(dtype=dtype))
            equal(y, expected)
            equal(x, expected)


@case
def all_reduce_averages():
    for dtype, divide in (("float64", np.divide), ("int32", np.floor_divide)):
        x = cupy.asarray(values(rank, dtype=dtype))
        of_all().allReduce(x.data.ptr, x.data.ptr, x.size, code(dtype), nccl.NCCL_AVG, 0)
        equal(x, divide(in_order(np.add, everyones(dtype=dtype)), size).astype(dtype))


@case
def operations_work_out_of_place():
    comm, n, float32 = of_all(), 4, nccl.NCCL_FLOAT32
    x, y = cupy.asarray(values(rank, n * size)), cupy.zeros(n * size, "f")
    all_of_them = everyones(n * size)
    total = in_order(np.add, all_of_them)
    for root in range(size):
        y.fill(-1)
        comm.reduce(x.data.ptr, y.data.ptr, x.size, float32, nccl.NCCL_SUM, root, 0)
        equal(y, total if rank == root else np.full(n * size, -1, "f"))
        comm.broadcast(x.data.ptr, y.data.ptr, x.size, float32, root, 0)
        equal(y, all_of_them[root])
        y[:] = x
        comm.bcast(y.data.ptr, x.size, float32, root, 0)
        equal(y, all_of_them[root])
    comm.reduceScatter(x.data.ptr, y.data.ptr, n, float32, nccl.NCCL_SUM, 0)
    equal(y[:n], total[rank * n :][:n])
    comm.allGather(x.data.ptr, y.data.ptr, n, float32, 0)
    equal(y, np.concatenate([array[:n] for array in all_of_them]))
    equal(x, all_of_them[rank])


@case
def no_elements_are_no_error():
    of_all().allReduce(0, 0, 0, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, 0)


@case
def a_group_exchanges_between_all_pairs():
    x = cupy.asarray(values(rank))
    received = cupy.empty((size, x.size), "f")
    nccl.groupStart()
    for peer in range(size):  # also with itself
        of_all().recv(received[peer].data.ptr, x.size, nccl.NCCL_FLOAT32, peer, 0)
        of_all().send(x.data.ptr, x.size, nccl.NCCL_FLOAT32, peer, 0)
    nccl.groupEnd()
    equal(received, np.stack(everyones()))


@case
def a_group_spans_streams():
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(3)]
    arrays = []
    for stream in streams:
        with stream:
            arrays.append(cupy.asarray(values(rank)) * 2)
    nccl.groupStart()
    for stream, x in zip(streams, arrays, strict=True):
        of_all().allReduce(
            x.data.ptr, x.data.ptr, x.size, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, stream.ptr
        )
    nccl.groupEnd()
    for stream, x in zip(reversed(streams), reversed(arrays), strict=True):
        with stream:
            equal(x + 1, in_order(np.add, [2 * array for array in everyones()]) + 1)


@case
def streams_may_be_waited_for_in_another_order_in_each_process():
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    arrays = []
    for i, stream in enumerate(streams):
        with stream:
            x = cupy.asarray(values(rank)) + i
            of_all().allReduce(
                x.data.ptr, x.data.ptr, x.size, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, stream.ptr
            )
            arrays.append(x)
    for i in (0, 1) if rank % 2 else (1, 0):
        with streams[i]:
            equal(arrays[i], in_order(np.add, [array + np.float32(i) for array in everyones()]))


@case
def some_of_the_processes_communicate_in_an_order_of_their_own():
    members = list(range(size))[::-2]  # of 4: 3 and 1
    if rank not in members:
        return
    comm = communicator(members)
    assert (comm.size(), comm.rank_id()) == (len(members), members.index(rank))
    x, y = cupy.asarray(values(rank)), cupy.empty((len(members), 11), "f")
    comm.allGather(x.data.ptr, y.data.ptr, x.size, nccl.NCCL_FLOAT32, 0)
    comm.destroy()
    equal(y, np.stack([values(member) for member in members]))


@case
def a_communicator_belongs_to_the_device_that_was_current():
    with cupy.cuda.Device(1):
        comm = communicator()
        x = cupy.asarray(values(rank))
        assert comm.device_id() == 1
    # NCCL may be called while another device is current.
    comm.allReduce(x.data.ptr, x.data.ptr, x.size, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, 0)
    with cupy.cuda.Device(1):
        equal(x, in_order(np.add, everyones()))
        comm.abort()
    on_0, float32 = cupy.ones(3, "f"), nccl.NCCL_FLOAT32
    stream = cupy.cuda.Stream()
    with cupy.cuda.Device(1):
        comm = communicator()
    bcast = functools.partial(comm.bcast, on_0.data.ptr, 3, float32, 0)
    fails(lambda: bcast(0), "buffer is on GPU 0, but GPU 1 accesses it")
    bcast = functools.partial(comm.bcast, x.data.ptr, 3, float32, 0)
    fails(lambda: bcast(stream.ptr), "the stream belongs to GPU 0, the communicator to GPU 1")


@case
def errors_name_their_cause():
    comm, x, host = of_all(), cupy.ones(4, "f"), np.ones(4, "f")
    data, float32, total = x.data.ptr, nccl.NCCL_FLOAT32, nccl.NCCL_SUM
    fails(
        lambda: comm.allReduce(host.ctypes.data, data, 4, float32, total, 0),
        f"INVALID_ARGUMENT: the send buffer: {host.ctypes.data:#x} is not memory of a GPU",
    )
    fails(
        lambda: comm.allReduce(data, data, 1 << 20, float32, total, 0),
        "the send buffer: 4194304 bytes at byte ",
    )
    fails(lambda: comm.send(data, 4, float32, size, 0), f"expected a peer from 0 to {size - 1}")
    fails(lambda: comm.recv(data, 4, float32, -1, 0), f"a peer from 0 to {size - 1}, got -1")
    fails(lambda: comm.bcast(data, 4, float32, 9, 0), f"a root from 0 to {size - 1}, got 9")
    fails(lambda: comm.bcast(data, 4, nccl.NCCL_BFLOAT16, 0, 0), "ncclDataType 9 are not emulated")
    fails(lambda: comm.allReduce(data, data, 4, float32, 7, 0), "ncclRedOp 7 is not emulated")
    fails(nccl.groupEnd, "INVALID_USAGE: no group was started")
    fails(lambda: nccl.NcclCommunicator.initAll([0]), "ncclCommInitAll is not emulated")
    fails(lambda: nccl.NcclCommunicator(1, bytes(128), 0), "an id that ncclGetUniqueId has made")
    unique_id = nccl.get_unique_id()
    fails(lambda: nccl.NcclCommunicator(2, unique_id, 2), "a rank from 0 to 1, got 2")
    fails(
        lambda: nccl.NcclCommunicator(size + 1, unique_id, 0),
        f"at most {size} ranks, one for each process of MPI, got {size + 1}. Start the program "
        f"with: mpirun -n {size + 1}",
    )


@case
def a_message_that_is_too_long_is_an_error():
    x, comm = cupy.zeros(8, "f"), of_all()
    if size == 1 or emulator.cuda.settings.lazy:  # then the error shows at the wait
        return
    if rank == 0:
        comm.send(x.data.ptr, 8, nccl.NCCL_FLOAT32, 1, 0)
    elif rank == 1:
        receive = functools.partial(comm.recv, x.data.ptr, 4, nccl.NCCL_FLOAT32, 0, 0)
        fails(receive, "Do all processes call it with the same count and type?")


@case
def an_error_in_a_group_ends_it():
    x = cupy.ones(4, "f")
    nccl.groupStart()
    of_all().bcast(x.data.ptr, 4, nccl.NCCL_FLOAT32, 0, 0)
    fails(lambda: of_all().bcast(1, 4, nccl.NCCL_FLOAT32, 0, 0), "not memory of a GPU")
    unique_id = nccl.get_unique_id()
    fails(lambda: nccl.NcclCommunicator(1, unique_id, 0), "outside of a group")
    fails(nccl.groupEnd, "a call in the group failed")
    of_all().bcast(x.data.ptr, 4, nccl.NCCL_FLOAT32, 0, 0)


@case
def ranks_that_do_not_fit_are_an_error():
    unique_id = world.bcast(nccl.get_unique_id() if rank == 0 else None)
    if size > 1:
        fails(lambda: nccl.NcclCommunicator(size, unique_id, 0), "and each rank once")


@case
def a_capture_is_an_error():
    x, stream = cupy.ones(4, "f"), cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        fails(
            lambda: of_all().bcast(x.data.ptr, 4, nccl.NCCL_FLOAT32, 0, stream.ptr),
            "in a captured graph is not emulated",
        )
        stream.end_capture()


@case
def bytes_for_other_processes_are_counted():
    comm, x, float32 = of_all(), cupy.zeros(12, "f"), nccl.NCCL_FLOAT32
    data, n = x.data.ptr, 12 // size

    def sent(name, *arguments):
        with emulator.counting() as counts:
            getattr(comm, name)(*arguments, 0)
        return counts.copied_bytes["to other processes"]

    total = nccl.NCCL_SUM
    assert sent("allReduce", data, data, 12, float32, total) == 2 * (size - 1) * n * 4
    assert sent("reduce", data, data, 12, float32, total, 0) == (48 if rank else 0)
    assert sent("bcast", data, 12, float32, 0) == (0 if rank else (size - 1) * 48)
    assert sent("allGather", data, data, n, float32) == (size - 1) * n * 4
    assert sent("reduceScatter", data, data, n, float32, total) == (size - 1) * n * 4


@case
def a_process_may_wait_for_another_that_waits_for_a_message():
    x = cupy.asarray(values(rank))
    of_all().allReduce(x.data.ptr, x.data.ptr, x.size, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, 0)
    # Rank 0 waits for the sum, the others for rank 0, before they have waited for it.
    first = world.bcast(float(x[0]) if rank == 0 else None)
    assert first == float(x[0])


@case
def a_process_may_wait_for_another_that_joins_a_new_communicator():
    unique_id = world.bcast(nccl.get_unique_id() if rank == 0 else None)
    x = cupy.asarray(values(rank))
    of_all().allReduce(x.data.ptr, x.data.ptr, x.size, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, 0)
    if rank == 0:
        x.get()
    assert nccl.NcclCommunicator(size, unique_id, rank).size() == size


# tinyalex.device.nccl.Nccl


@case
def the_class_sums_over_all_ranks():
    for dtype in FLOATS:
        x = cupy.asarray(values(rank, dtype=dtype))
        ours().all_reduce(x)
        equal(x, in_order(np.add, everyones(dtype=dtype)))


@case
def the_class_reduces_to_and_broadcasts_from_each_root():
    for dtype in FLOATS:
        for root in range(size):
            x = cupy.asarray(values(rank, dtype=dtype))
            ours().broadcast(x, root)
            equal(x, values(root, dtype=dtype))
            x = cupy.asarray(values(rank, dtype=dtype))
            ours().reduce(x, root)
            if rank == root:
                equal(x, in_order(np.add, everyones(dtype=dtype)))


@case
def the_class_gathers_and_scatters_sections():
    for dtype in FLOATS:
        for counts in (uneven(), [4] * size):
            end = sum(counts[: rank + 1])
            own = slice(end - counts[rank], end)
            x = cupy.full(sum(counts), -1, dtype)
            x[own] = cupy.asarray(values(rank, counts[rank], dtype))
            ours().all_gather(x, counts)
            equal(x, np.concatenate([values(r, n, dtype) for r, n in enumerate(counts)]))
            x = cupy.asarray(values(rank, sum(counts), dtype))
            ours().reduce_scatter(x, counts)
            equal(x[own], in_order(np.add, everyones(sum(counts), dtype))[own])


@case
def the_class_sends_along_a_line():
    for dtype in FLOATS:
        x = cupy.asarray(values(0, dtype=dtype)) if rank == 0 else cupy.empty(11, dtype)
        if rank > 0:
            ours().receive(x, rank - 1)
        if rank < size - 1:
            x += 1
            ours().send(x, rank + 1)
        steps = min(rank + 1, size - 1)
        equal(x, in_order(np.add, [values(0, dtype=dtype), *[np.ones(11, dtype)] * steps]))


@case
def the_class_works_while_another_device_is_current():
    x = cupy.asarray(values(rank))
    with cupy.cuda.Device(1):
        ours().all_reduce(x)
        ours().start("all_reduce", x)()
    equal(x, in_order(np.add, [in_order(np.add, everyones())] * size))


@case
def background_work_follows_the_current_stream_which_may_wait_for_it():
    with cupy.cuda.Stream(non_blocking=True):
        x, y = cupy.asarray(values(rank)), cupy.asarray(values(rank))
        x *= 2
        waits = [ours().start("all_reduce", x), ours().start("broadcast", y, size - 1)]
        for wait in waits:
            wait()
        x += y
        doubled = [2 * array for array in everyones()]
        equal(x, in_order(np.add, doubled) + values(size - 1))


@case
def background_work_starts_after_the_work_of_the_current_stream():
    first, second = (cupy.cuda.Stream(non_blocking=True) for _ in range(2))
    with first:
        x = cupy.asarray(values(rank))
        x *= 2
        wait = ours().start("all_reduce", x)
    with second:  # which waits for nothing else
        wait()
        equal(x, in_order(np.add, [2 * array for array in everyones()]))


@case
def background_work_keeps_its_memory():
    wait = ours().start("all_reduce", cupy.asarray(values(rank, 1000)))
    others = [cupy.ones(1000, "f") for _ in range(3)]
    wait()
    for other in others:
        equal(other, np.ones(1000, "f"))


@case
def a_missing_wait_shows_in_lazy_mode():
    with cupy.cuda.Stream(non_blocking=True):
        x, communicator = cupy.asarray(values(rank)), ours()
        with lock:  # the emulator may do lazy work only when it is waited for
            wait = communicator.start("all_reduce", x)
            without_wait = x.get()
        wait()
        total = in_order(np.add, everyones())
        equal(without_wait, values(rank) if emulator.cuda.settings.lazy else total)
        equal(x, total)


@case
def the_class_does_not_wait_for_the_gpu():
    x = cupy.asarray(values(rank, 12))
    nccl_of_all = ours()
    with emulator.counting() as counts:
        x += 1
        nccl_of_all.all_reduce(x)
        nccl_of_all.reduce(x, 0)
        nccl_of_all.broadcast(x, 0)
        nccl_of_all.all_gather(x, [12 // size] * size)
        nccl_of_all.reduce_scatter(x, [12 - size + 1, *[1] * (size - 1)])
        if size > 1:
            if rank == 0:
                nccl_of_all.send(x, 1)
            elif rank == 1:
                nccl_of_all.receive(x, 0)
        nccl_of_all.start("all_reduce", x)()
    assert counts.synchronizations == {}
    x.get()


@case
def the_class_rejects_other_arrays():
    for x, text in (
        (np.ones(3, "f"), "expected a flat, C-contiguous array on cuda, got an array of shape (3,) on cpu"),
        (cupy.ones((2, 2), "f"), "shape (2, 2)"),
        (cupy.ones(6, "f")[::2], "C-contiguous"),
        (cupy.ones(3, "?"), "expected an array of floats or integers, got bool"),
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError), match=re.escape(text)):
            ours().all_reduce(x)
    with pytest.raises(ValueError, match=f"expected {size} counts with a sum of 7"):
        ours().all_gather(cupy.ones(7, "f"), [2] * size)


@case
def a_closed_communicator_waits_for_its_work():
    other = Nccl(rank, size, lambda x: world.bcast(x), "cuda")
    x = cupy.asarray(values(rank))
    other.start("all_reduce", x)
    other.close()
    equal(x, in_order(np.add, everyones()))


def main(folder):
    outcomes = {}
    for name, function in CASES.items():
        try:
            function()
            outcomes[name] = "passed"
        except BaseException:
            outcomes[name] = traceback.format_exc()
        Path(folder, f"{rank}.json").write_text(json.dumps(outcomes))
        world.Barrier()


if __name__ == "__main__":
    main(sys.argv[1])
