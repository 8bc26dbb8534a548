"""Data parallelism for convolutions, model parallelism for linear layers.

Scheme (b) of "One weird trick for parallelizing convolutional neural networks"
(Krizhevsky 2014, section 4): convolutions have most of the computation and few
parameters, linear layers most of the parameters and few activations.
"""

from collections.abc import Iterator
from typing import Any

from tinyalex import device
from tinyalex import functional as F
from tinyalex.device import Array
from tinyalex.nn import Dropout, Linear, Sequential
from tinyalex.nn.partitioned import layers_of, segments_of
from tinyalex.parallel.communicator import Communicator
from tinyalex.parallel.data import DataParallel
from tinyalex.parallel.distributed import DistributedNetwork
from tinyalex.parallel.exchange import with_exchanges
from tinyalex.tensor import Tensor, wrap
from tinyalex.training.metrics import find_errors
from tinyalex.training.scheme import StepResult


class HybridNetwork(DistributedNetwork):
    """The whole convolutional part, and this rank's units of each linear layer.

    `forward` is a collective operation for inference: each rank gives its own images,
    and gets their logits.
    """

    def __init__(self, network: Sequential, comm: Communicator) -> None:
        layers = layers_of(network)
        names = [name for name, layer in layers.items() if isinstance(layer, (Dropout, Linear))]
        if not any(isinstance(layer, Linear) for layer in layers.values()):
            raise ValueError("hybrid: the network has no linear layers to divide. Use `data`.")
        self.cut = list(layers).index(names[0])
        convolutional = dict(list(layers.items())[: self.cut])
        linear = dict(list(layers.items())[self.cut :])
        divided = with_exchanges(segments_of(linear, comm.rank, comm.size), comm)
        shapes = network.state_shapes()
        super().__init__(convolutional | divided, divided, shapes, comm, is_merged=True)

    @property
    def convolutional(self) -> Sequential:
        return self[: self.cut]

    @property
    def linear(self) -> Sequential:
        return self[self.cut :]

    def forward(self, x: Any) -> Tensor:
        features = self.convolutional(wrap(x)).data
        counts = self.comm.gather_integers(len(features))[:, 0].tolist()
        logits = [self.linear(part) for part in broadcast_parts(features, counts, self.comm)]
        return logits[self.comm.rank]


def broadcast_parts(x: Array, counts: list[int], comm: Communicator) -> Iterator[Array]:
    """The x of each rank, in turn. While one is used, the next is broadcast."""
    with device.on_device_of(x):
        parts = [device.xp(x).empty((count, *x.shape[1:]), x.dtype) for count in counts]
        parts[comm.rank][...] = x
    wait = comm.start("broadcast", parts[0], 0)
    for rank, part in enumerate(parts):
        wait()
        if rank + 1 < comm.size:
            wait = comm.start("broadcast", parts[rank + 1], rank + 1)
        yield part


class HybridParallel(DataParallel):
    """Each rank has all convolutions, and a section of the units of each linear layer.

    It computes the convolutions for a part of the batch. Then each rank in turn sends
    the features of its part to all others, and all compute their units of the linear
    layers for it, forward and backward; the gradient of the features is summed on the
    rank that sent them. Gradients of convolutions are added up as in DataParallel,
    those of linear layers are complete.
    """

    model: HybridNetwork

    def __init__(self, network: Sequential, world: Communicator) -> None:
        model = HybridNetwork(network, world)
        super().__init__(model, world, world, shared=model.convolutional.parameters())

    def _compute(self, images: Array, labels: Array) -> StepResult | None:
        comm, network = self.comm, self.model
        counts = comm.gather_integers(len(labels))[:, 0].tolist()
        total, step = sum(counts), device.step()
        if total == 0:
            return None
        all_labels = self._gather_labels(labels, counts)
        features = network.convolutional(wrap(images))
        losses: list[Any] = []
        errors: list[Any] = []
        grads: list[Array] = []
        waits, first = [], 0
        for rank, part in enumerate(broadcast_parts(features.data, counts, comm)):
            x = Tensor(part, requires_grad=True, device=comm.device)
            t = all_labels[first : first + counts[rank]]
            device.set_step(step, first)
            first += counts[rank]
            logits = network.linear(x)
            part_loss = F.cross_entropy(logits, t, reduction="sum") * (1 / total)
            part_loss.backward()
            assert x.grad is not None
            with device.on(comm.device):
                grads.append(device.xp(x.grad).ascontiguousarray(x.grad))
            waits.append(comm.start("reduce", grads[-1], rank))
            losses.append(part_loss.data)
            with device.on(comm.device):
                errors.append(find_errors(logits.data, t).sum())
        for wait in waits:
            wait()
        if features.requires_grad:
            with self.buckets:
                features.backward(grads[comm.rank])
        with device.on(comm.device):
            return StepResult(sum(losses), sum(errors), total, logits.shape[1])

    def _gather_labels(self, labels: Array, counts: list[int]) -> Array:
        start = sum(counts[: self.comm.rank])
        with device.on_device_of(labels):
            gathered = device.xp(labels).empty(sum(counts), labels.dtype)
            gathered[start : start + len(labels)] = labels
        self.comm.all_gather(gathered, counts)
        return gathered
