"""The start and the end of a run with several processes."""

import atexit
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tinyalex import device
from tinyalex.installation import pip_install
from tinyalex.nn import Sequential
from tinyalex.parallel.columns import ColumnParallel
from tinyalex.parallel.communicator import Communicator
from tinyalex.parallel.data import DataParallel
from tinyalex.parallel.hybrid import HybridParallel

FAILURE_SECONDS = 5.0

_errors: Any = None
"""A communicator of mpi4py, for `fail` only: other ranks may be in any operation."""


def connect(device_name: str = "auto") -> Communicator:
    """All processes of the run, by MPI: started with mpirun, or srun of Slurm.

    device_name  "cpu"; "cuda": a GPU for each process of a machine; "auto": the GPUs if
                 there are any

    The processes of a machine share its cores: each gets as many worker threads as
    there are cores for it, unless TINYALEX_THREADS is set.

    Raises ImportError without mpi4py, RuntimeError if MPI cannot be called by several
    threads, and ValueError if only some processes have a GPU of their own.
    """
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError(
            f"several processes need mpi4py and an MPI library ({error}).\n"
            f"Install both: {pip_install('mpi')}"
        ) from error
    global _errors
    world = MPI.COMM_WORLD
    if _errors is None:
        _errors = world.Dup()
        atexit.register(_wait_for_all, world.Dup())
    local = world.Split_type(MPI.COMM_TYPE_SHARED)
    if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
        raise RuntimeError(
            "expected MPI with the thread level MULTIPLE: gradients are exchanged by a thread of "
            "their own. Leave mpi4py.rc.thread_level as it is, or use another MPI library."
        )
    if ":" in device_name:
        raise ValueError(
            f"--parallel: expected the device 'auto', 'cpu' or 'cuda', got {device_name!r}. Each "
            "process takes a GPU of its own."
        )
    name = device.check(device_name)
    if name != "cpu":
        name = device.check(f"cuda:{local.rank % device.gpu_count()}")
    _check_devices(world, local, name)
    cores = set().union(*local.allgather(device.cores()))
    device.limit_threads(max(1, len(cores) // local.size))
    return Communicator(world, name)


def _check_devices(world: Any, local: Any, name: str) -> None:
    """Raises ValueError, on all ranks, if some have no GPU, or share one."""
    kinds = world.allgather(name.partition(":")[0])
    if len(set(kinds)) > 1:
        without = ", ".join(str(rank) for rank, kind in enumerate(kinds) if kind == "cpu")
        raise ValueError(
            f"expected a GPU for each process or for none; ranks without one: {without}. "
            "Give --device cuda to see the reason, or --device cpu."
        )
    if name == "cpu":
        return
    gpus = set(local.allgather(device.hardware_id(name)))
    if len(gpus) < local.size:
        raise ValueError(
            f"expected a GPU for each process, got {len(gpus)} for {local.size} processes of a "
            "machine. Start fewer processes."
        )


def distribute(network: Sequential, scheme: str, world: Communicator) -> DataParallel:
    """The scheme "data", "columns" or "hybrid" for a network that all ranks have."""
    if scheme == "data":
        return DataParallel(network.to(world.device), world, world)
    schemes: dict[str, Any] = {"columns": ColumnParallel, "hybrid": HybridParallel}
    return schemes[scheme](network, world)


def fail(message: str, status: int) -> None:
    """Print an error, and end all processes of the run, which may wait for this one
    forever. Returns if this is the only process.

    If all processes fail within FAILURE_SECONDS, equal messages are printed once. The
    status of mpirun is `status`, or 9 if it reports that of a process it had to kill.
    """
    comm = _errors
    if comm is None or comm.size == 1:
        print(message, file=sys.stderr)
        return
    messages = [message]
    if _all_arrive(comm):
        messages = list(dict.fromkeys(comm.gather(message) or []))
        if comm.rank > 0:
            time.sleep(10 * FAILURE_SECONDS)  # until rank 0 ends this process
    for text in messages:
        print(text, file=sys.stderr, flush=True)
    sys.stdout.flush()
    time.sleep(0.2)  # mpirun prints what it has received, and no more
    comm.Abort(status)


def _all_arrive(comm: Any) -> bool:
    """Whether all ranks call this function within FAILURE_SECONDS."""
    request, began = comm.Ibarrier(), time.perf_counter()
    while not request.Test():
        if time.perf_counter() - began > FAILURE_SECONDS:
            return False
        time.sleep(0.01)
    return True


def _wait_for_all(comm: Any) -> None:
    """Leave the cores to the last rank: MPI's own wait at the end keeps one busy."""
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(0.01)


@contextmanager
def main_first(world: Communicator | None) -> Iterator[None]:
    """A context that one process of each machine enters first, the others when it has
    left: it downloads files that they then find."""
    if world is None:
        yield
        return
    from mpi4py import MPI

    local = world.mpi.Split_type(MPI.COMM_TYPE_SHARED)
    if local.rank > 0:
        local.Barrier()
    yield
    if local.rank == 0:
        local.Barrier()
