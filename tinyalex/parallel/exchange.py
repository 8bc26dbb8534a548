"""The exchange of activations between processes, as a differentiable operation."""

import math
from typing import Any

from tinyalex import kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.nn.module import Module
from tinyalex.nn.partitioned import Layers
from tinyalex.parallel.communicator import Communicator
from tinyalex.tensor import Tensor


class Gather(Function):
    """y = the channels (or features) of all ranks, one after another.

        y  (N, C, ...)    = [x of rank 0 | x of rank 1 | ...]
        dx (N, C_rank, ...) = the sum over the ranks of this rank's channels of dy

    Each rank uses y for a different part of the network, and its dy is the gradient of
    that part: a reduce-scatter adds them. If all ranks compute the same from y, as the
    loss from the logits, their dy are equal, and dx is this rank's part of its own
    (`replicated`).

    channels  the number on each rank
    """

    def forward(
        self, x: Array, *, comm: Communicator, channels: list[int], replicated: bool
    ) -> Array:
        self.comm, self.channels, self.replicated = comm, channels, replicated
        self.counts = [len(x) * count * math.prod(x.shape[2:]) for count in channels]
        buffer = self._buffer(x)
        self._sections(buffer, x.shape)[comm.rank][...] = x
        comm.all_gather(buffer, self.counts)
        y = kernels.of(x).activation((len(x), sum(channels), *x.shape[2:]), x.dtype)
        for part, section in zip(self._parts(y), self._sections(buffer, x.shape), strict=True):
            part[...] = section
        return y

    def backward(self, dy: Array) -> Array:
        rank = self.comm.rank
        if self.replicated:
            return self._parts(dy)[rank]
        buffer = self._buffer(dy)
        sections = self._sections(buffer, dy.shape)
        for part, section in zip(self._parts(dy), sections, strict=True):
            section[...] = part
        self.comm.reduce_scatter(buffer, self.counts)
        return sections[rank]

    def _buffer(self, like: Array) -> Array:
        """Flat, uninitialized; from the memory pool, as activations are."""
        return kernels.of(like).activation((sum(self.counts), 1), like.dtype).reshape(-1)

    def _sections(self, buffer: Array, shape: tuple[int, ...]) -> list[Array]:
        """The ranks' sections of a buffer, as (N, C_rank, ...)."""
        # In the memory order of activations: a copy from another order is slow.
        n, _, *rest = shape
        as_activation = kernels.of(buffer).as_activation
        sections, start = [], 0
        for channels, count in zip(self.channels, self.counts, strict=True):
            sections.append(as_activation(buffer[start : start + count], (n, channels, *rest)))
            start += count
        return sections

    def _parts(self, y: Array) -> list[Array]:
        """The ranks' channels of y."""
        parts, start = [], 0
        for channels in self.channels:
            parts.append(y[:, start : start + channels])
            start += channels
        return parts


class Exchange(Module):
    """A layer that gathers the channels (or features) of all ranks.

    replicated  whether all ranks compute the same from the output
    """

    def __init__(self, comm: Communicator, *, replicated: bool = False) -> None:
        self.comm, self.replicated = comm, replicated
        self.channels: dict[int, list[int]] = {}

    def forward(self, x: Any) -> Tensor:
        own = x.shape[1]
        if own not in self.channels:
            self.channels[own] = self.comm.gather_objects(own)
        options = {"comm": self.comm, "channels": self.channels[own]}
        return Gather.apply(x, **options, replicated=self.replicated)

    def extra_repr(self) -> str:
        return f"{self.comm.size} ranks"


def with_exchanges(segments: list[Layers], comm: Communicator) -> Layers:
    """The layers of `nn.partitioned.segments_of`, with an exchange after each segment.

    The last one's output, the logits, is for the loss, which all ranks compute.
    """
    layers: Layers = {}
    for number, segment in enumerate(segments, 1):
        is_last = number == len(segments)
        layers |= segment | {f"exchange{number}": Exchange(comm, replicated=is_last)}
    return layers
