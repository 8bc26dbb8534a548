"""Collective operations on NumPy arrays, by MPI."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tinyalex import device

SPIN_SECONDS = 1e-4
POLL_SECONDS = 2e-5
"""A wait polls for SPIN_SECONDS, then sleeps between polls: MPI's own waits keep a core
busy, which another rank or this rank's backward pass may need."""


class Mpi:
    """Collective operations on flat contiguous arrays, in place.

    Sums are added in the order of the ranks, so that they are the same on every rank
    and in every run.

    comm  of mpi4py, used by this object only
    """

    def __init__(self, comm: Any) -> None:
        from mpi4py import MPI

        self.mpi, self.comm = MPI, comm
        self.rank, self.size = comm.rank, comm.size
        self._background: tuple[Mpi, ThreadPoolExecutor] | None = None

    def all_reduce(self, x: np.ndarray) -> None:
        """x = the sum over the ranks."""
        bounds = (device.section(len(x), rank, self.size) for rank in range(self.size))
        counts = [stop - start for start, stop in bounds]
        self.reduce_scatter(x, counts)
        self.all_gather(x, counts)

    def reduce_scatter(self, x: np.ndarray, counts: Sequence[int]) -> None:
        """This rank's section of x = its sum over the ranks.

        x consists of a section of counts[rank] elements for each rank.
        """
        own = _sections(x, counts)[self.rank]
        received = np.empty((self.size, len(own)), x.dtype)
        send = [x, _in_bytes(counts, x), _offsets(counts, x), self.mpi.BYTE]
        _wait(self.comm.Ialltoallv(send, [received, self.mpi.BYTE]))
        np.add.reduce(received, axis=0, out=own)

    def all_gather(self, x: np.ndarray, counts: Sequence[int]) -> None:
        """Each section of x = that of its rank."""
        receive = [x, _in_bytes(counts, x), _offsets(counts, x), self.mpi.BYTE]
        _wait(self.comm.Iallgatherv(self.mpi.IN_PLACE, receive))

    def broadcast(self, x: np.ndarray, root: int) -> None:
        """x = that of the root."""
        _wait(self.comm.Ibcast([x, self.mpi.BYTE], root))

    def reduce(self, x: np.ndarray, root: int) -> None:
        """The root's x = the sum over the ranks."""
        if self.rank != root:
            _wait(self.comm.Igather([x, self.mpi.BYTE], None, root))
            return
        received = np.empty((self.size, len(x)), x.dtype)
        _wait(self.comm.Igather([x, self.mpi.BYTE], [received, self.mpi.BYTE], root))
        np.add.reduce(received, axis=0, out=x)

    def send(self, x: np.ndarray, to: int) -> None:
        _wait(self.comm.Isend([x, self.mpi.BYTE], to))

    def receive(self, x: np.ndarray, source: int) -> None:
        _wait(self.comm.Irecv([x, self.mpi.BYTE], source))

    def start(self, operation: str, *arguments: Any) -> Callable[[], None]:
        """Run an operation in the background, after those started before.

        Returns a function that waits for it. All ranks must start the same operations
        in the same order.
        """
        if self._background is None:
            # A communicator of its own: operations of two threads may be interleaved.
            self._background = Mpi(self.comm.Dup()), ThreadPoolExecutor(1, "tinyalex-mpi")
        twin, thread = self._background
        return thread.submit(getattr(twin, operation), *arguments).result

    def close(self) -> None:
        if self._background is not None:
            self._background[1].shutdown()


def _wait(request: Any) -> None:
    began = time.perf_counter()
    while not request.Test():
        if time.perf_counter() - began > SPIN_SECONDS:
            time.sleep(POLL_SECONDS)


def _sections(x: np.ndarray, counts: Sequence[int]) -> list[np.ndarray]:
    return np.split(x, np.cumsum(counts)[:-1])


def _in_bytes(counts: Sequence[int], x: np.ndarray) -> list[int]:
    return [count * x.itemsize for count in counts]


def _offsets(counts: Sequence[int], x: np.ndarray) -> list[int]:
    return [0, *np.cumsum(_in_bytes(counts, x))[:-1].tolist()]
