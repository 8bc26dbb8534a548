"""The start and the end of a run with several processes."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tinyalex import device
from tinyalex.nn import Sequential
from tinyalex.parallel.columns import ColumnParallel
from tinyalex.parallel.communicator import Communicator
from tinyalex.parallel.data import DataParallel
from tinyalex.parallel.hybrid import HybridParallel


def connect(device_name: str = "auto") -> Communicator:
    """All processes of the run, by MPI: started with mpirun, or srun of Slurm.

    device_name  "cpu"; "cuda": a GPU for each process of a machine; "auto": the GPUs if
                 there are any

    The processes of a machine share its cores: each gets as many worker threads as
    there are cores for it, unless TINYALEX_THREADS is set. Raises ImportError without
    mpi4py.
    """
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError(
            f"several processes need mpi4py and an MPI library ({error}).\n"
            "Install both: pip install '.[mpi]'"
        ) from error
    world = MPI.COMM_WORLD
    local = world.Split_type(MPI.COMM_TYPE_SHARED)
    name = device.check(device_name)
    if name != "cpu":
        name = device.check(f"cuda:{local.rank % device.count()}")
    cores = set().union(*local.allgather(device.cores()))
    device.limit_threads(max(1, len(cores) // local.size))
    return Communicator(world, name)


def distribute(network: Sequential, scheme: str, world: Communicator) -> DataParallel:
    """The scheme "data", "columns" or "hybrid" for a network that all ranks have."""
    if scheme == "data":
        return DataParallel(network.to(world.device), world, world)
    schemes: dict[str, Any] = {"columns": ColumnParallel, "hybrid": HybridParallel}
    return schemes[scheme](network, world)


def abort(status: int) -> None:
    """End all processes of the run, if there are several; otherwise return.

    To be called after an error has been printed: the other processes may wait for this
    one forever.
    """
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or not mpi.Is_initialized() or mpi.COMM_WORLD.size == 1:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if mpi.COMM_WORLD.rank > 0:
        # An error of all processes is printed once: rank 0 ends the others first.
        time.sleep(1)
    mpi.COMM_WORLD.Abort(status)


@contextmanager
def main_first(world: Communicator | None) -> Iterator[None]:
    """A context that rank 0 enters first, the others when it has left: it downloads
    files that they then find."""
    if world is not None and world.rank > 0:
        world.mpi.Barrier()
    yield
    if world is not None and world.rank == 0:
        world.mpi.Barrier()
