"""Gradients, added up between processes in buckets, while backward still runs."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from typing import TypeVar

from tinyalex import device
from tinyalex.device import Array
from tinyalex.nn.parameter import Parameter
from tinyalex.parallel.communicator import Communicator

T = TypeVar("T")

BUCKET_BYTES = 16 << 20
"""Large enough that latency does not matter, small enough that the last bucket, which
backward cannot hide, is short. A larger parameter has a bucket of its own."""


class Bucket:
    """The gradients of some parameters, of one dtype, in one buffer."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = parameters
        self.missing = set(parameters)
        self.buffer: Array | None = None
        self.views: dict[Parameter, Array] = {}

    def store(self, p: Parameter, grad: Array) -> Array:
        """Add a gradient. Returns the array that will contain the sum."""
        self.missing.remove(p)
        if len(self.parameters) == 1:  # without a copy, if possible
            self.buffer = device.xp(grad).ascontiguousarray(grad)
            return self.buffer
        if self.buffer is None:
            self._allocate(grad)
        self.views[p][...] = grad
        return self.views[p]

    def _allocate(self, like: Array) -> None:
        size = sum(p.size for p in self.parameters)
        self.buffer = device.xp(like).empty(size, like.dtype)
        start = 0
        for p in self.parameters:
            self.views[p] = self.buffer[start : start + p.size].reshape(p.shape)
            start += p.size


class GradientBuckets:
    """Adds up the gradients of all ranks in a backward pass.

        with GradientBuckets(parameters, comm):
            loss.backward()

    A hook of each parameter puts its gradient into a bucket. When a bucket has all of
    its gradients, its all-reduce starts in the background; the end of the context waits
    for all. Buckets are in the order in which backward computes gradients: the last
    layer first.

    Raises RuntimeError at the beginning if a parameter has a gradient already.
    """

    def __init__(self, parameters: Sequence[Parameter], comm: Communicator) -> None:
        self.parameters, self.comm = list(parameters), comm
        self.buckets: list[Bucket] = []
        self.bucket_of: dict[Parameter, Bucket] = {}
        self.waits: list[Callable[[], None]] = []
        self.removals = ExitStack()
        self.started = 0

    def __enter__(self) -> None:
        if self.comm.size == 1:
            return
        parameters = [p for p in self.parameters if p.requires_grad]
        if any(p.grad is not None for p in parameters):
            raise RuntimeError(
                "gradients of several processes cannot be added to those of an earlier backward "
                "pass. Call optimizer.zero_grad() before each step."
            )
        self.buckets = list(map(Bucket, _in_groups(parameters)))
        self.bucket_of = {p: bucket for bucket in self.buckets for p in bucket.parameters}
        self.started = 0
        for p in parameters:
            self.removals.callback(p.register_hook(partial(self._store, p)))

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.removals.close()
        if kind is None:
            self._finish()

    def _store(self, p: Parameter, grad: Array) -> Array:
        stored = self.bucket_of[p].store(p, grad)
        self._start_complete()
        return stored

    def _start_complete(self) -> None:
        """Start the next buckets that are complete; in the same order on each rank."""
        while self.started < len(self.buckets) and not self.buckets[self.started].missing:
            buffer = self.buckets[self.started].buffer
            assert buffer is not None
            self.waits.append(self.comm.start("all_reduce", buffer))
            self.started += 1

    def _finish(self) -> None:
        """Wait for the sums. A parameter without a gradient on this rank gets one."""
        for bucket in self.buckets:
            for p in list(bucket.missing):
                with device.on_device_of(p.data):
                    zeros = device.xp(p.data).zeros_like(p.data)
                    p.grad = bucket.store(p, zeros)
        self._start_complete()
        while self.waits:
            self.waits.pop(0)()


def _in_groups(parameters: Sequence[Parameter]) -> list[list[Parameter]]:
    by_dtype = groupby(reversed(parameters), lambda p: p.dtype)
    return [group for _, ps in by_dtype for group in in_buckets(ps, lambda p: p.data.nbytes)]


def in_buckets(items: Iterable[T], nbytes: Callable[[T], int]) -> list[list[T]]:
    """Successive items in groups of at most BUCKET_BYTES, or of one item."""
    groups: list[list[T]] = []
    size = 0
    for item in items:
        size += nbytes(item)
        if not groups or size > BUCKET_BYTES:
            groups.append([])
            size = nbytes(item)
        groups[-1].append(item)
    return groups
