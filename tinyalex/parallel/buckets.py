"""Gradients, averaged between processes in buckets, while backward still runs."""

from collections.abc import Callable, Sequence
from functools import partial

from tinyalex import device
from tinyalex.device import Array
from tinyalex.nn.parameter import Parameter
from tinyalex.parallel.communicator import Communicator

BUCKET_BYTES = 16 << 20
"""Large enough that latency does not matter, small enough that the last bucket, which
backward cannot hide, is short. A larger parameter has a bucket of its own."""


class Bucket:
    """A flat buffer with the gradients of some parameters of one dtype and device."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        first = parameters[0].data
        with device.on_device_of(first):
            self.buffer = device.xp(first).zeros(sum(p.size for p in parameters), first.dtype)
        self.views: dict[Parameter, Array] = {}
        start = 0
        for p in parameters:
            self.views[p] = self.buffer[start : start + p.size].reshape(p.shape)
            start += p.size
        self.missing = set(parameters)


class GradientBuckets:
    """Adds up the gradients of all ranks.

    A hook of each parameter copies its gradient into a bucket. When a bucket has all of
    its gradients, its all-reduce starts in the background. `finish` waits for all.
    Buckets are in the order in which backward computes gradients: the last layer first.
    """

    def __init__(self, parameters: Sequence[Parameter], comm: Communicator) -> None:
        self.parameters, self.comm = list(parameters), comm
        self.buckets: list[Bucket] = []
        self.waits: list[Callable[[], None]] = []
        for p in self.parameters:
            p.register_hook(partial(self._store, p))

    def begin(self) -> None:
        """Before each backward pass. Gradients of earlier steps become invalid."""
        if not self.buckets:
            self.buckets = [Bucket(group) for group in _in_groups(self.parameters)]
            self.bucket_of = {p: bucket for bucket in self.buckets for p in bucket.views}
        for bucket in self.buckets:
            bucket.missing = set(bucket.views)
        self.started = 0

    def _store(self, p: Parameter, grad: Array) -> Array:
        bucket = self.bucket_of[p]
        bucket.views[p][...] = grad
        bucket.missing.remove(p)
        self._start(lambda bucket: not bucket.missing)
        return bucket.views[p]

    def _start(self, is_complete: Callable[[Bucket], bool]) -> None:
        """Start the next buckets; in the same order on each rank."""
        while self.started < len(self.buckets) and is_complete(self.buckets[self.started]):
            self.waits.append(self.comm.start("all_reduce", self.buckets[self.started].buffer))
            self.started += 1

    def finish(self) -> None:
        """Wait for the sums. A parameter without a gradient on this rank gets one."""
        for bucket in self.buckets:
            for p in bucket.missing:
                bucket.views[p][...] = 0
                p.grad = bucket.views[p]
        self._start(lambda bucket: True)
        while self.waits:
            self.waits.pop(0)()


def _in_groups(parameters: Sequence[Parameter]) -> list[list[Parameter]]:
    groups: list[list[Parameter]] = []
    size = 0
    for p in reversed(parameters):
        size += p.data.nbytes
        if not groups or size > BUCKET_BYTES or p.dtype != groups[-1][0].dtype:
            groups.append([])
            size = p.data.nbytes
        groups[-1].append(p)
    return groups
