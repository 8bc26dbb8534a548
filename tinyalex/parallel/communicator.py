"""Communicator: the processes of a run, and collective operations between them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.parallel.mpi import Mpi


class Communicator:
    """A group of processes, each with one device.

    The collective operations are in place, on contiguous arrays on this device: NumPy's
    by MPI, CuPy's by NCCL. Each process must call the same operations in the same
    order. MPI adds in a fixed order: results are reproducible. NCCL's order depends on
    its algorithm.

    `counts` has the number of elements of each rank's section of x. The sections are
    consecutive; `sections` computes equal ones.

    mpi_comm     of mpi4py
    device_name  of the arrays
    host         the same operations on NumPy arrays, for data that are in host memory
    sent_bytes   of arrays on the device, sent by this process, also within groups that
                 were split off; those of a broadcast count at its root
    """

    def __init__(self, mpi_comm: Any, device_name: str, parent: "Communicator | None" = None):
        self.mpi, self.device, self.parent = mpi_comm, device_name, parent
        self.rank, self.size = mpi_comm.rank, mpi_comm.size
        self.sent_bytes = 0
        self.host = Mpi(mpi_comm.Dup())
        self._engine: Any = self.host
        if device_name != "cpu":
            self._engine = device.Nccl(self.rank, self.size, mpi_comm.bcast, device_name)

    def split(self, color: int) -> "Communicator":
        """The group of processes with the same `color`, in the order of their ranks."""
        return Communicator(self.mpi.Split(color, self.rank), self.device, self)

    def gather_objects(self, value: Any) -> list[Any]:
        """The Python object of each rank, on all ranks."""
        return self.mpi.allgather(value)

    def gather_integers(self, *values: int) -> np.ndarray:
        """int64 (size, len(values)): the integers of each rank, on all ranks."""
        gathered = np.empty((self.size, len(values)), np.int64)
        gathered[self.rank] = values
        if self.size > 1:
            self.host.all_gather(gathered.reshape(-1), [len(values)] * self.size)
        return gathered

    def sections(self, total: int) -> list[int]:
        """The sizes of the ranks' sections of `total` elements."""
        return device.section_sizes(total, self.size)

    def all_reduce(self, x: Array) -> None:
        """x = the sum over the ranks."""
        self._run("all_reduce", x)

    def reduce(self, x: Array, root: int) -> None:
        """The root's x = the sum over the ranks; other ranks' x keep their values."""
        self._run("reduce", x, root)

    def reduce_scatter(self, x: Array, counts: Sequence[int]) -> None:
        """This rank's section of x = its sum over the ranks. Others are undefined."""
        self._run("reduce_scatter", x, counts)

    def all_gather(self, x: Array, counts: Sequence[int]) -> None:
        """Each section of x = that of its rank."""
        self._run("all_gather", x, counts)

    def broadcast(self, x: Array, root: int) -> None:
        """x = that of the root."""
        self._run("broadcast", x, root)

    def send(self, x: Array, to: int) -> None:
        self._run("send", x, to)

    def receive(self, x: Array, source: int) -> None:
        self._run("receive", x, source)

    def start(self, operation: str, x: Array, *arguments: Any) -> Callable[[], None]:
        """Run the operation of this name in the background, after those started before.

        Returns a function that waits for it: on a GPU, it lets later work on the
        current stream wait.
        """
        if self.size == 1:
            return lambda: None
        self._count(self._bytes_of(operation, x, *arguments))
        return self._engine.start(operation, _flat(x), *arguments)

    def _run(self, operation: str, x: Array, *arguments: Any) -> None:
        if self.size > 1:
            self._count(self._bytes_of(operation, x, *arguments))
            getattr(self._engine, operation)(_flat(x), *arguments)

    def _count(self, sent: int) -> None:
        self.sent_bytes += sent
        if self.parent is not None:
            self.parent._count(sent)

    def _bytes_of(self, operation: str, x: Array, argument: Any = None) -> int:
        """The bytes that this rank sends. An all-reduce is a reduce-scatter, then an
        all-gather."""
        others, every = self.size - 1, x.nbytes
        match operation:
            case "all_gather":
                return others * argument[self.rank] * x.itemsize
            case "reduce_scatter":
                return every - argument[self.rank] * x.itemsize
            case "all_reduce":
                counts = self.sections(x.size)
                scattered = self._bytes_of("reduce_scatter", x, counts)
                return scattered + self._bytes_of("all_gather", x, counts)
            case "broadcast":
                return others * every if self.rank == argument else 0
            case "reduce":
                return every if self.rank != argument else 0
            case "send":
                return every
        return 0


def _flat(x: Array) -> Array:
    if not x.flags.c_contiguous:
        raise ValueError("Communicator: expected a C-contiguous array. Copy it first.")
    return x.reshape(-1)
