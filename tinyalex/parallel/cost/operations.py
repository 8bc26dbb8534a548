"""The rates of a worker, and the times of collective operations.

Times are those of the algorithms in parallel/mpi.py, and of NCCL's rings where they
differ; `gather_features` and `scatter_gradients` are those of parallel/exchange.py.
"""

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from operator import add

from tinyalex.parallel.cost.traffic import ELEMENT_BYTES

LIBRARIES = ("mpi", "nccl")

ADD_PASSES = 3
"""An addition reads both operands and writes the sum."""


@dataclass(frozen=True)
class Machine:
    """The rates of one worker, in bytes, seconds and floating-point operations (FLOP).

    flops              of float32 matrix multiplications
    memory_bandwidth   bytes/s, reads and writes together
    message_bandwidth  bytes/s that it sends while it receives as many
    sum_bandwidth      the same, if it adds what it receives; None: at memory_bandwidth
    latency            seconds for a message of a few bytes
    cores              workers that run at the same time; more share these; None: all
    overlap            the part of communication, 0 to 1, that needs no time of the
                       worker, so that it can overlap with computation. 0 on a CPU,
                       where messages are copied by the core that computes
    library            "mpi" or "nccl"
    time_slice         seconds for which a worker uses a core that others wait for

    The defaults are those of a core of an AMD EPYC with AVX-512, rounded.
    """

    flops: float = 100e9
    memory_bandwidth: float = 30e9
    message_bandwidth: float = 10e9
    sum_bandwidth: float | None = None
    latency: float = 2.5e-6
    cores: int | None = None
    overlap: float = 0.0
    library: str = "mpi"
    time_slice: float = 3e-3

    def slowdown(self, workers: int) -> float:
        """The factor by which workers that share cores are slower."""
        return 1.0 if self.cores is None else max(1.0, workers / self.cores)

    def wait(self, workers: int) -> float:
        """Seconds until a worker runs after the others have sent what it waits for.

        Half of a time slice on average, if workers share cores.
        """
        return self.time_slice / 2 if self.slowdown(workers) > 1 else 0.0

    def sum_seconds(self, size: float) -> float:
        """Seconds to receive and add this many bytes."""
        if self.sum_bandwidth is not None:
            return size / self.sum_bandwidth
        return size / self.message_bandwidth + ADD_PASSES * size / self.memory_bandwidth


@dataclass(frozen=True)
class Messages:
    """The messages of the slowest worker of a collective operation.

    count   messages, one after another
    sent    bytes that it sends, or receives if these are more
    added   of further bytes, which it receives and adds
    copied  bytes that it reads and writes to pack and unpack them
    waits   for the others, without anything to compute meanwhile
    """

    count: int = 0
    sent: int = 0
    added: int = 0
    copied: int = 0
    waits: int = 0

    def __add__(self, other: "Messages") -> "Messages":
        return Messages(*map(add, astuple(self), astuple(other)))

    def seconds(self, machine: Machine, workers: int) -> float:
        """`workers`: all of the run, which may share cores."""
        return self.waits * machine.wait(workers) + machine.slowdown(workers) * (
            self.count * machine.latency
            + self.sent / machine.message_bandwidth
            + machine.sum_seconds(self.added)
            + self.copied / machine.memory_bandwidth
        )


def all_gather(elements: int, workers: int) -> Messages:
    """Of one array, in place: each worker sends its section to each of the others."""
    return _of_sections("sent", elements, workers)


def reduce_scatter(elements: int, workers: int) -> Messages:
    """Of one array: each worker receives and adds its section from each other."""
    return _of_sections("added", elements, workers)


def _of_sections(kind: str, elements: int, workers: int) -> Messages:
    if workers == 1:
        return Messages()
    others = workers - 1
    received = others * math.ceil(elements / workers) * ELEMENT_BYTES
    return Messages(others, waits=1, **{kind: received})


def all_reduce(buckets: Iterable[list[int]], workers: int) -> Messages:
    """Of gradients of these sizes, which are copied to buckets, unless alone in one.

    Only the last bucket is waited for: the backward pass computes until then.
    """
    total = Messages()
    if workers > 1:
        for sizes in buckets:
            size = sum(sizes)
            total += reduce_scatter(size, workers) + all_gather(size, workers)
            if len(sizes) > 1:
                total += Messages(copied=2 * size * ELEMENT_BYTES)
    return replace(total, waits=min(total.waits, 2))


def broadcast(elements: int, workers: int) -> Messages:
    """A tree, along which an array is sent in small parts: its depth adds latency."""
    if workers == 1:
        return Messages()
    return Messages(math.ceil(math.log2(workers)), elements * ELEMENT_BYTES, waits=1)


def reduce(elements: int, workers: int, library: str) -> Messages:
    """MPI: all send to the root, which adds. NCCL: a ring, in which each adds once."""
    if workers == 1:
        return Messages()
    terms = workers - 1 if library == "mpi" else 1
    return Messages(workers - 1, added=terms * elements * ELEMENT_BYTES, waits=1)


def gather_features(images: int, features: int, workers: int) -> Messages:
    """Each worker packs its section of the features of these images, unpacks all."""
    own, every = images * math.ceil(features / workers), images * features
    return all_gather(workers * own, workers) + Messages(copied=2 * (own + every) * ELEMENT_BYTES)


def scatter_gradients(images: int, features: int, workers: int) -> Messages:
    """The backward pass of gather_features."""
    own, every = images * math.ceil(features / workers), images * features
    return reduce_scatter(workers * own, workers) + Messages(copied=2 * every * ELEMENT_BYTES)
