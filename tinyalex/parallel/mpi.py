"""Collective operations on NumPy arrays, by MPI."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tinyalex import device

SPIN_SECONDS = 1e-4
LONGEST_SLEEP_SECONDS = 1e-3
"""A wait polls for SPIN_SECONDS, then sleeps between polls, for a tenth of the time
waited: MPI's own waits keep a core busy, which another rank or this rank's backward
pass may need."""


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
        self._scratch = device.Scratch(np)
        self._background: tuple[Mpi, ThreadPoolExecutor] | None = None

    def all_reduce(self, x: np.ndarray) -> None:
        """x = the sum over the ranks."""
        counts = device.section_sizes(len(x), self.size)
        self.reduce_scatter(x, counts)
        self.all_gather(x, counts)

    def reduce_scatter(self, x: np.ndarray, counts: Sequence[int]) -> None:
        """This rank's section of x = its sum over the ranks.

        x consists of a section of counts[rank] elements for each rank.
        """
        sections = np.split(x, np.cumsum(counts)[:-1])
        own = sections[self.rank]
        terms, requests = self._receive(own)
        requests += [self.comm.Isend([sections[to], self.mpi.BYTE], to) for to in self._others()]
        self._add(own, terms, requests)

    def reduce(self, x: np.ndarray, root: int) -> None:
        """The root's x = the sum over the ranks."""
        if self.rank == root:
            self._add(x, *self._receive(x))
        else:
            self.send(x, root)

    def _receive(self, own: np.ndarray) -> tuple[list[np.ndarray], list[Any]]:
        """The terms of a sum: buffers that receive each rank's, and this rank's `own`;
        and the requests to wait for."""
        # Not MPI's collective operations: with Test, MPICH advances Ialltoallv and
        # Igather by a small block in each call.
        terms = list(self._scratch.take("terms", (self.size, len(own)), own.dtype))
        terms[self.rank] = own
        others = self._others()
        return terms, [self.comm.Irecv([terms[rank], self.mpi.BYTE], rank) for rank in others]

    def _others(self) -> list[int]:
        """The other ranks, each rank's in another order: not all send to the same."""
        return [(self.rank + distance) % self.size for distance in range(1, self.size)]

    def _add(self, own: np.ndarray, terms: list[np.ndarray], requests: list[Any]) -> None:
        """own = the sum of the terms, when the requests have been completed."""
        for request in requests:
            _wait(request)
        total, *others = terms
        for term in others:
            total += term
        own[...] = total

    def all_gather(self, x: np.ndarray, counts: Sequence[int]) -> None:
        """Each section of x = that of its rank."""
        sizes = [count * x.itemsize for count in counts]
        starts = [0, *np.cumsum(sizes)[:-1].tolist()]
        receive = [x, sizes, starts, self.mpi.BYTE]
        _wait(self.comm.Iallgatherv(self.mpi.IN_PLACE, receive))

    def broadcast(self, x: np.ndarray, root: int) -> None:
        """x = that of the root."""
        _wait(self.comm.Ibcast([x, self.mpi.BYTE], root))

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


def _wait(request: Any) -> None:
    began = time.perf_counter()
    while not request.Test():
        waited = time.perf_counter() - began
        if waited > SPIN_SECONDS:
            time.sleep(min(waited / 10, LONGEST_SLEEP_SECONDS))
