"""NCCL's operations on the memory of several processes, by MPI.

An operation is a generator. It yields MPI's requests one after another, and is resumed
when each is complete: `run` thus exchanges the data of a whole group at once. The first
request is complete when the other processes have begun the operation, too. Processes
may share a core: the wait for them polls with pauses. MPI transfers some kilobytes at
each poll, so that the wait for data only yields the core.
"""

import functools
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from tinyalex.emulator.cuda.api import Status
from tinyalex.installation import pip_install

SYSTEM_ERROR = 2
INVALID_ARGUMENT = 4
INVALID_USAGE = 5
"""ncclResult_t."""

FIRST_TAG, TAGS = 30_000, 2_000
"""Of messages in MPI.COMM_WORLD; MPI allows tags of at least up to 32,767."""

MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 2e-5, 1e-3
HINT_SECONDS = 60
"""After which a wait for other processes is reported."""

REDUCTIONS = (np.add, np.multiply, np.maximum, np.minimum, np.add)
"""By ncclRedOp_t. The last is AVERAGE."""

AVERAGE = 4

Steps = Iterator[Any]
"""An operation: MPI's requests, each made after the previous one is complete."""


@cache
def mpi() -> Any:
    """mpi4py.MPI, imported (which initialises MPI) on first use."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no MPI library
        raise Status(
            SYSTEM_ERROR,
            "NCCL is emulated between processes of MPI, which needs mpi4py. Install it: "
            f"{pip_install('mpi')} ({error})",
        ) from None
    return MPI


def run(operations: Sequence[Steps], what: str) -> None:
    """Do the operations of a group at once. `what` names them."""
    running, max_pause = list(operations), MAX_PAUSE_SECONDS
    try:
        while running:
            steps_and_requests = [(steps, next(steps, None)) for steps in running]
            made = [(steps, one) for steps, one in steps_and_requests if one is not None]
            running = [steps for steps, _ in made]
            wait([request for _, request in made], what, max_pause)
            max_pause = 0
    except mpi().Exception as error:
        raise Status(
            SYSTEM_ERROR,
            f"{what}: {error}. Do all processes call it with the same count and type?",
        ) from None


def wait(requests: list[Any], what: str, max_pause: float = MAX_PAUSE_SECONDS) -> None:
    """Wait for MPI's requests."""
    start, pause, is_reported = time.monotonic(), MIN_PAUSE_SECONDS, False
    while not mpi().Request.Testall(requests):
        time.sleep(min(pause, max_pause))
        pause = min(2 * pause, MAX_PAUSE_SECONDS)
        if not is_reported and time.monotonic() - start > HINT_SECONDS:
            is_reported = True
            print(
                f"tinyalex.emulator: {what} has waited for {HINT_SECONDS} seconds. Do all "
                "processes of the communicator call it, in the same order?",
                file=sys.stderr,
            )


def reduce_in_order(parts: np.ndarray, op: int) -> np.ndarray:
    """parts[0] + parts[1] + ..., rounded after each addition; or another operation."""
    with np.errstate(all="ignore"):
        result: np.ndarray = functools.reduce(REDUCTIONS[op], parts)
        if op == AVERAGE:
            result = result // len(parts) if parts.dtype.kind in "iu" else result / len(parts)
    return result.astype(parts.dtype, copy=False)


class Communicator:
    """Processes with a GPU each. `ranks` is MPI's communicator of them, in order.

    x and y are memory of the GPU, as flat arrays. They may be the same memory where
    NCCL allows it.
    """

    def __init__(self, ranks: Any, device: int):
        self.ranks, self.device = ranks, device
        self.rank, self.size = ranks.rank, ranks.size

    def bounds(self, count: int) -> list[int]:
        """Where each rank's section of `count` elements begins; at last, `count`."""
        return [count * i // self.size for i in range(self.size + 1)]

    def all_reduce(self, x: np.ndarray, y: np.ndarray, op: int) -> Steps:
        yield self.ranks.Ibarrier()
        bounds = self.bounds(x.size)
        own = yield from self._reduced_section(x, bounds, op)
        y[bounds[self.rank] : bounds[self.rank + 1]] = own
        yield self.ranks.Iallgatherv(mpi().IN_PLACE, _sections(y, bounds))

    def reduce(self, x: np.ndarray, y: np.ndarray | None, op: int, root: int) -> Steps:
        """y: of the root."""
        yield self.ranks.Ibarrier()
        bounds = self.bounds(x.size)
        own = yield from self._reduced_section(x, bounds, op)
        result = None if y is None else _sections(y, bounds)
        yield self.ranks.Igatherv(_bytes(own), result, root)

    def reduce_scatter(self, x: np.ndarray, y: np.ndarray, op: int) -> Steps:
        yield self.ranks.Ibarrier()
        bounds = [i * y.size for i in range(self.size + 1)]
        y[...] = yield from self._reduced_section(x, bounds, op)

    def _reduced_section(
        self, x: np.ndarray, bounds: list[int], op: int
    ) -> Generator[Any, None, np.ndarray]:
        """This rank's section of x, reduced over all ranks in their order."""
        length = bounds[self.rank + 1] - bounds[self.rank]
        parts = np.empty((self.size, length), x.dtype)
        received = _sections(parts.reshape(-1), [i * length for i in range(self.size + 1)])
        yield self.ranks.Ialltoallv(_sections(x, bounds), received)
        return reduce_in_order(parts, op)

    def broadcast(self, x: np.ndarray | None, y: np.ndarray, root: int) -> Steps:
        """x: of the root."""
        yield self.ranks.Ibarrier()
        if x is not None:
            y[...] = x
        yield self.ranks.Ibcast(_bytes(y), root)

    def all_gather(self, x: np.ndarray, y: np.ndarray) -> Steps:
        yield self.ranks.Ibarrier()
        y[self.rank * x.size : (self.rank + 1) * x.size] = x
        bounds = [i * x.size for i in range(self.size + 1)]
        yield self.ranks.Iallgatherv(mpi().IN_PLACE, _sections(y, bounds))

    def send(self, x: np.ndarray, peer: int) -> Steps:
        # Synchronous: on a GPU, too, a send may wait until the peer receives.
        yield self.ranks.Issend(_bytes(np.empty(0)), peer)
        yield self.ranks.Isend(_bytes(x), peer)

    def receive(self, y: np.ndarray, peer: int) -> Steps:
        yield self.ranks.Irecv(_bytes(np.empty(0)), peer)
        yield self.ranks.Irecv(_bytes(y), peer)


def _bytes(x: np.ndarray) -> list[Any]:
    return [x.view(np.uint8), mpi().BYTE]


def _sections(x: np.ndarray, bounds: list[int]) -> list[Any]:
    """x as MPI's argument: a section for each rank, from bounds[rank] on."""
    counts = [(end - start) * x.itemsize for start, end in pairwise(bounds)]
    starts = [start * x.itemsize for start in bounds[:-1]]
    return [x.view(np.uint8), counts, starts, mpi().BYTE]


# Creation


def create(size: int, rank: int, creator: int, number: int, device: int) -> Communicator:
    """The communicator of all processes that call this with the same id.

    creator, number  the id: the process that made it, in MPI.COMM_WORLD, and how many
                     it had made before. It must become a member.
    """
    world = mpi().COMM_WORLD
    if size > world.size:
        raise Status(
            INVALID_USAGE,
            f"expected at most {world.size} ranks, one for each process of MPI, got {size}. "
            f"Start the program with: mpirun -n {size}",
        )
    tag = FIRST_TAG + number % TAGS
    if world.rank == creator:
        members = _collect_members(size, rank, tag)
    else:
        members = np.empty(size, np.int64)
        wait([world.Issend(np.array([rank, size, world.rank]), creator, tag)], "a new communicator")
        wait([world.Irecv(members, creator, tag)], "a new communicator")
    if -1 in members:
        raise Status(
            INVALID_USAGE,
            f"rank {rank} of {size}: expected from all processes the same size, and each rank once",
        )
    group = world.group.Incl(members.tolist())
    return Communicator(world.Create_group(group, tag), device)


def _collect_members(size: int, rank: int, tag: int) -> np.ndarray:
    """The members in the order of their ranks, told to all; -1 if they do not agree."""
    world = mpi().COMM_WORLD
    reports = np.array([[rank, size, world.rank]] * size)
    for report in reports[1:]:
        wait([world.Irecv(report, mpi().ANY_SOURCE, tag)], "a new communicator")
    members = np.full(size, -1)
    if (reports[:, 1] == size).all() and set(reports[:, 0]) == set(range(size)):
        members[reports[:, 0]] = reports[:, 2]
    for _, expected, process in reports[1:]:
        answer = members if expected == size else np.full(expected, -1)
        wait([world.Isend(answer, process, tag)], "a new communicator")
    return members
