"""The time of a training step on several workers, predicted by scheme.

    step           = compute + update + communication - what overlaps with computation
    compute        = forward and backward pass of the images and units of a worker
    update         = 5 passes over the parameters that a worker holds: SGD reads weight,
                     gradient and velocity, and writes weight and velocity
    communication  = messages * latency + bytes sent / bandwidth, or the bandwidth of
                     sums, + bytes that are packed and unpacked / memory bandwidth

Every collective operation takes as long as for the worker with the largest section. A
forward or backward pass of a part of the network (the convolutional or the linear part)
takes `fixed + images * per_image` seconds, of which a worker with half of the units
needs half. `times_from_shapes` derives these numbers from the layers; they may also be
measured (calibration.py).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tinyalex.parallel.cost.layers import LayerShape, linear_layers, reading_both_columns
from tinyalex.parallel.cost.operations import (
    ADD_PASSES,
    Machine,
    Messages,
    all_gather,
    all_reduce,
    broadcast,
    gather_features,
    reduce,
    scatter_gradients,
)
from tinyalex.parallel.cost.traffic import (
    ELEMENT_BYTES,
    buckets,
    check,
    images_held,
    parameters_held,
    sent_bytes,
)

UPDATE_PASSES = 5


@dataclass(frozen=True)
class PassTime:
    """Seconds of a forward or backward pass: `fixed`, such as for reading weights, and
    for each image."""

    fixed: float
    per_image: float

    def of(self, images: float, passes: int = 1) -> float:
        return passes * self.fixed + images * self.per_image


@dataclass(frozen=True)
class PartTimes:
    """The passes of a part of the network."""

    forward: PassTime
    backward: PassTime

    def of(self, images: float, passes: int = 1) -> float:
        """Seconds for this many images, in a number of passes through the part."""
        return self.forward.of(images, passes) + self.backward.of(images, passes)


@dataclass(frozen=True)
class ComputeTimes:
    """The times of one worker with the whole network; `update`: a parameter."""

    convolutional: PartTimes
    linear: PartTimes
    update: float


def times_from_shapes(layers: Sequence[LayerShape], machine: Machine) -> ComputeTimes:
    """The times that follow from multiply-adds and from passes over memory.

    A multiply-add is two operations; convolutions are direct. Forward reads the input
    and writes the output. Backward has twice the multiply-adds, reads the input and the
    gradient of the output, and writes the gradient of the input, if it is required.
    Weights are read in both, and their gradients are written.
    """
    return ComputeTimes(
        convolutional=_part([la for la in layers if not la.in_linear_part], machine),
        linear=_part([la for la in layers if la.in_linear_part], machine),
        update=UPDATE_PASSES * ELEMENT_BYTES / machine.memory_bandwidth,
    )


def _part(layers: Sequence[LayerShape], machine: Machine) -> PartTimes:
    element = ELEMENT_BYTES / machine.memory_bandwidth
    multiply_add = 2 / machine.flops
    forward = backward = fixed_forward = fixed_backward = 0.0
    for layer in layers:
        gradients = 2 if layer.wants_dx else 1
        forward += multiply_add * layer.multiply_adds + element * (layer.inputs + layer.outputs)
        backward += gradients * multiply_add * layer.multiply_adds
        backward += element * (gradients * layer.inputs + layer.outputs)
        fixed_forward += element * layer.size
        fixed_backward += gradients * element * layer.size
    return PartTimes(PassTime(fixed_forward, forward), PassTime(fixed_backward, backward))


@dataclass(frozen=True)
class Prediction:
    """A step, in seconds, of the slowest worker.

    images, parameters  the most that a worker holds
    sent_bytes          the most that a worker sends
    hidden              the communication that overlaps with computation
    """

    scheme: str
    workers: int
    batch_size: int
    images: int
    parameters: int
    sent_bytes: int
    compute: float
    update: float
    communication: float
    hidden: float

    @property
    def step(self) -> float:
        return self.compute + self.update + self.communication - self.hidden

    @property
    def images_per_second(self) -> float:
        return self.batch_size / self.step


def predict(
    layers: Sequence[LayerShape],
    scheme: str,
    workers: int,
    batch_size: int,
    machine: Machine,
    times: ComputeTimes | None = None,
) -> Prediction:
    """A training step of a global batch.

    times  by default those from shapes

    >>> from tinyalex import models
    >>> from tinyalex.parallel.cost import Machine, layer_shapes
    >>> layers = layer_shapes(models.cifar("quick"), (3, 32, 32))
    >>> one, two = (predict(layers, "data", k, 128, Machine()) for k in (1, 2))
    >>> one.compute > 1.9 * two.compute, one.update == two.update, one.communication
    (True, True, 0.0)
    """
    check(layers, scheme, workers, batch_size)
    times = times or times_from_shapes(layers, machine)
    ranks = range(workers)
    images = max(images_held(scheme, workers, batch_size, rank) for rank in ranks)
    parameters = max(parameters_held(layers, scheme, workers, rank) for rank in ranks)
    if scheme == "hybrid":
        compute, communication, background, meanwhile = _hybrid(
            layers, workers, batch_size, images, machine, times
        )
    else:
        compute, communication, background, meanwhile = _whole_network(
            layers, scheme, workers, images, machine, times
        )
    slowdown = machine.slowdown(workers)
    return Prediction(
        scheme=scheme,
        workers=workers,
        batch_size=batch_size,
        images=images,
        parameters=parameters,
        sent_bytes=max(sent_bytes(layers, scheme, workers, batch_size, rank) for rank in ranks),
        compute=slowdown * compute,
        update=slowdown * parameters * times.update,
        communication=communication,
        hidden=min(machine.overlap * background, slowdown * meanwhile),
    )


Seconds = tuple[float, float, float, float]
"""Of compute, as if each worker had a core; of communication; of the part of that which
is in the background; and of the compute meanwhile."""


def _whole_network(
    layers: Sequence[LayerShape],
    scheme: str,
    workers: int,
    images: int,
    machine: Machine,
    times: ComputeTimes,
) -> Seconds:
    """`data` and `columns`. The gradients of linear layers, which are complete first,
    are sent during the backward pass of the convolutional part."""
    columns = 2 if scheme == "columns" else 1
    replicas = workers // columns
    conv, linear = (
        [layer for layer in layers if layer.in_linear_part == which] for which in (False, True)
    )
    compute = sum(
        largest_share(part, columns) * part_times.of(images)
        for part, part_times in ((conv, times.convolutional), (linear, times.linear))
    )
    # The numbers of images, the loss and the number of errors.
    exchanges = all_gather(1, replicas) + all_reduce([[2]], replicas)
    if columns == 2:
        for layer in reading_both_columns(layers):
            exchanges += gather_features(images, layer.inputs, 2)
            exchanges += scatter_gradients(images, layer.inputs, 2)
        exchanges += gather_features(images, layers[-1].outputs, 2)
    # Rank 1 has the larger section of what two columns do not divide.
    exchanges += all_reduce(buckets(conv, scheme, workers, columns - 1), replicas)
    linear_gradients = all_reduce(buckets(linear, scheme, workers, columns - 1), replicas)
    background = replace(linear_gradients, waits=0).seconds(machine, workers)
    conv_backward = largest_share(conv, columns) * times.convolutional.backward.of(images)
    return compute, exchanges.seconds(machine, workers) + background, background, conv_backward


def _hybrid(
    layers: Sequence[LayerShape],
    workers: int,
    batch_size: int,
    images: int,
    machine: Machine,
    times: ComputeTimes,
) -> Seconds:
    """A turn of the linear part for each worker with images. All broadcasts but the
    first overlap with computation: that of the turn before."""
    linear = linear_layers(layers)
    turns = min(workers, batch_size)
    share = largest_share(linear, workers)
    linear_compute = share * times.linear.of(batch_size, passes=turns)
    held = sum(layer.size for layer in linear) / workers
    accumulate = (turns - 1) * ADD_PASSES * ELEMENT_BYTES * held / machine.memory_bandwidth
    compute = times.convolutional.of(images) + linear_compute + accumulate
    if workers == 1:
        return compute, 0.0, 0.0, 0.0
    features = batch_size * linear[0].inputs
    # In the background, except for the first broadcast and the last reduction.
    broadcasts = replace(_turns(broadcast(features, workers), turns), waits=1)
    reductions = replace(_turns(reduce(features, workers, machine.library), turns), waits=1)
    total = broadcasts + reductions
    for layer in linear:
        total += _turns(gather_features(batch_size, layer.outputs, workers), turns)
        if layer is not linear[-1]:
            total += _turns(scatter_gradients(batch_size, layer.outputs, workers), turns)
    # The numbers of images, and the labels.
    total += all_gather(1, workers) + all_gather(2 * batch_size, workers)
    total += all_reduce(buckets(layers, "hybrid", workers, 0), workers)
    overlapping = (turns - 1) / turns
    background = overlapping * broadcasts.seconds(machine, workers)
    return compute, total.seconds(machine, workers), background, overlapping * linear_compute


def _turns(once: Messages, turns: int) -> Messages:
    """The same bytes, in a number of turns."""
    return replace(once, count=turns * once.count, waits=turns * once.waits)


def largest_share(layers: Sequence[LayerShape], parts: int) -> float:
    """The largest part of the work of these layers, if filters and units are divided
    into parts: more than 1/parts if they are not divisible."""
    work = sum(layer.multiply_adds for layer in layers)
    shares = (
        layer.multiply_adds * math.ceil(layer.parameters[0][0] / parts) / layer.parameters[0][0]
        for layer in layers
        if layer.parameters
    )
    return sum(shares) / work
