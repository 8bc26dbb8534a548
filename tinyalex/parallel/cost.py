"""What a training step sends between workers, by scheme, from the shapes of the layers.

K workers, a global batch of B images. The section of worker r in n items is the items
r*n//K to (r+1)*n//K. What a worker with p of n elements sends:

    all_gather       (K-1) * p            its section, to each of the others
    reduce_scatter   n - p                the others' sections of its partial sum
    all_reduce       n - p + (K-1) * p    a reduce_scatter and an all_gather
    broadcast        (K-1) * n            the root; the others nothing
    reduce           n                    all but the root, which sends nothing

The schemes:

    data      Each worker computes its section of the batch. The gradients of all
              parameters are all-reduced.
    columns   Workers 2i and 2i+1 compute the two columns of the network (groups=2) for
              section i of K/2 of the batch: half of the filters and units of each
              layer. Layers that read both columns all-gather their input, and
              reduce-scatter its gradient. The logits are all-gathered. Gradients are
              all-reduced between workers with the same column.
    hybrid    Convolutions as in `data`. Linear layers are divided between all workers
              by units, and process the images of one worker after the other: scheme (b)
              of Krizhevsky, "One weird trick for parallelizing convolutional neural
              networks" (2014), arXiv 1404.5997. Each worker in turn broadcasts its
              features. The inputs of the other linear layers and the logits are
              all-gathered; the gradients of these inputs are reduce-scattered, and that
              of the features is reduced to the worker.

Not counted: labels, the loss and the number of errors, a few bytes for each image.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tinyalex import nn
from tinyalex.kernels.geometry import Shape
from tinyalex.models import outline
from tinyalex.nn.module import Module, Step

SCHEMES = ("data", "columns", "hybrid")

ELEMENT_BYTES = 4
"""Of a float32."""


@dataclass(frozen=True)
class Layer:
    """A layer as the cost model sees it, for one image.

    inputs, outputs   elements
    parameters        the shapes of weight and bias
    groups            of a convolution: 1 reads all channels, 2 its own column only
    wants_dx          whether its input requires a gradient
    in_linear_part    the first linear layer, or after it
    """

    name: str
    kind: str
    inputs: int
    outputs: int
    parameters: tuple[Shape, ...]
    multiply_adds: int
    groups: int
    wants_dx: bool
    in_linear_part: bool

    @property
    def size(self) -> int:
        """Elements of its parameters."""
        return sum(map(math.prod, self.parameters))


def layers_of(model: Module, input_shape: Shape | None = None) -> list[Layer]:
    """The layers of a network for images of this shape, by default an AlexNet's own.

    >>> from tinyalex import models
    >>> layers = layers_of(models.cifar("quick"), (3, 32, 32))
    >>> [(layer.name, layer.inputs) for layer in layers if layer.kind == "linear"]
    [('fc1', 1024), ('fc2', 64)]
    """
    layers: list[Layer] = []
    linear = False
    for step in outline(model, input_shape):
        linear = linear or isinstance(step.module, nn.Linear)
        layers.append(_layer(step, linear))
    if not linear:
        raise ValueError(
            f"layers_of: {type(model).__name__} has no nn.Linear. Give a network that ends with "
            "linear layers, such as models.alexnet()."
        )
    return layers


def _layer(step: Step, in_linear_part: bool) -> Layer:
    module = step.module
    kinds = {nn.Conv2d: "conv", nn.Linear: "linear"}
    return Layer(
        name=step.name,
        kind=next((kind for cls, kind in kinds.items() if isinstance(module, cls)), "other"),
        inputs=math.prod(step.input_shape),
        outputs=math.prod(step.shape),
        parameters=tuple(p.shape for p in module.parameters()),
        multiply_adds=step.multiply_adds,
        groups=getattr(module, "groups", 1) if isinstance(module, nn.Conv2d) else 1,
        wants_dx=step.wants_dx,
        in_linear_part=in_linear_part,
    )


def has_columns(layers: Sequence[Layer]) -> bool:
    """Whether a network has two columns: convolutions with groups=2, and others that
    read both columns."""
    groups = {layer.groups for layer in layers if layer.kind == "conv"}
    return groups == {1, 2}


def check(layers: Sequence[Layer], scheme: str, workers: int, batch_size: int) -> None:
    """Raises ValueError if the scheme cannot train the network on this many workers."""
    if scheme not in SCHEMES:
        raise ValueError(f"scale: expected a scheme of {', '.join(SCHEMES)}, got {scheme!r}.")
    for name, count in (("workers", workers), ("batch_size", batch_size)):
        if count < 1:
            raise ValueError(f"scale: expected {name} of at least 1, got {count}.")
    if scheme == "columns":
        if not has_columns(layers):
            raise ValueError(
                "scale: the scheme columns requires a network of two columns, some convolutions of "
                'which have groups=2; this one has none. Use "paper" or "cifar-alexnet", or '
                "another scheme."
            )
        if workers % 2:
            raise ValueError(
                f"scale: the scheme columns requires an even number of workers, got {workers}. "
                f"Use {workers + 1}."
            )


def section(n: int, workers: int, rank: int) -> int:
    """The number of items, of n, in the section of worker `rank`."""
    return (rank + 1) * n // workers - rank * n // workers


def images_held(scheme: str, workers: int, batch_size: int, rank: int = 0) -> int:
    """The images whose convolutions worker `rank` computes in a step."""
    if scheme == "columns":
        return section(batch_size, workers // 2, rank // 2)
    return section(batch_size, workers, rank)


def parameters_held(layers: Sequence[Layer], scheme: str, workers: int, rank: int = 0) -> int:
    """The elements of the parameters that worker `rank` stores and updates."""
    check(layers, scheme, workers, 1)
    return sum(elements_held(layer, scheme, workers, rank) for layer in layers)


def elements_held(layer: Layer, scheme: str, workers: int, rank: int) -> int:
    """As parameters_held, for one layer."""
    if scheme == "columns":
        parts, part = 2, rank % 2
    elif scheme == "hybrid" and layer.in_linear_part:
        parts, part = workers, rank
    else:
        parts, part = 1, 0
    # Weights and biases are divided along their first axis.
    return sum(section(shape[0], parts, part) * math.prod(shape[1:]) for shape in layer.parameters)


class Transfer(NamedTuple):
    """What a worker sends in a step for one purpose."""

    purpose: str
    elements: int

    @property
    def bytes(self) -> int:
        return ELEMENT_BYTES * self.elements


def sent_bytes(
    layers: Sequence[Layer],
    scheme: str,
    workers: int,
    batch_size: int,
    rank: int = 0,
    buckets: Sequence[int] | None = None,
) -> int:
    """The bytes that worker `rank` sends in a training step.

    buckets  the numbers of elements of the buckets in which gradients are all-reduced;
             by default one for all. They matter only if workers do not divide them: the
             sum over all workers depends on neither

    >>> from tinyalex import models
    >>> layers = layers_of(models.cifar("quick"), (3, 32, 32))
    >>> sent_bytes(layers, "data", workers=2, batch_size=128) == 4 * 145_578
    True
    """
    return sum(
        transfer.bytes for transfer in transfers(layers, scheme, workers, batch_size, rank, buckets)
    )


def transfers(
    layers: Sequence[Layer],
    scheme: str,
    workers: int,
    batch_size: int,
    rank: int = 0,
    buckets: Sequence[int] | None = None,
) -> list[Transfer]:
    """What worker `rank` sends in a step, by purpose; arguments as for `sent_bytes`."""
    check(layers, scheme, workers, batch_size)
    if scheme == "columns":
        return _columns(layers, workers, batch_size, rank, buckets)
    if scheme == "hybrid":
        return _hybrid(layers, workers, batch_size, rank, buckets)
    sizes = _buckets(sum(layer.size for layer in layers), buckets)
    return [Transfer("gradients of parameters", _all_reduce(sizes, workers, rank))]


def _columns(
    layers: Sequence[Layer],
    workers: int,
    batch_size: int,
    rank: int,
    buckets: Sequence[int] | None,
) -> list[Transfer]:
    column, replica, replicas = rank % 2, rank // 2, workers // 2
    images = section(batch_size, replicas, replica)
    gathered = scattered = 0
    for layer in reading_both_columns(layers):
        own = section(layer.inputs, 2, column)
        gathered += images * own
        scattered += images * (layer.inputs - own)
    logits = images * section(layers[-1].outputs, 2, column)
    held = sum(elements_held(layer, "columns", workers, rank) for layer in layers)
    return [
        Transfer("activations", gathered + logits),
        Transfer("gradients of activations", scattered),
        Transfer(
            "gradients of parameters", _all_reduce(_buckets(held, buckets), replicas, replica)
        ),
    ]


def reading_both_columns(layers: Sequence[Layer]) -> list[Layer]:
    """The layers whose input is divided between the columns but which read all of it.

    The first convolution is not one of them: each worker has the images.
    """
    return [
        layer
        for layer in layers
        if layer.wants_dx
        and (layer.kind == "linear" or (layer.kind == "conv" and layer.groups == 1))
    ]


def _hybrid(
    layers: Sequence[Layer],
    workers: int,
    batch_size: int,
    rank: int,
    buckets: Sequence[int] | None,
) -> list[Transfer]:
    others = workers - 1
    own_images = section(batch_size, workers, rank)
    linear = linear_layers(layers)
    features = linear[0].inputs
    activations = others * own_images * features  # the broadcast
    gradients = (batch_size - own_images) * features  # the reductions to the others
    for layer in linear:
        own = section(layer.outputs, workers, rank)
        activations += others * batch_size * own
        if layer is not linear[-1]:
            gradients += batch_size * (layer.outputs - own)
    size = sum(layer.size for layer in layers if not layer.in_linear_part)
    return [
        Transfer("activations", activations),
        Transfer("gradients of activations", gradients),
        Transfer("gradients of parameters", _all_reduce(_buckets(size, buckets), workers, rank)),
    ]


def linear_layers(layers: Sequence[Layer]) -> list[Layer]:
    return [layer for layer in layers if layer.kind == "linear"]


def _buckets(size: int, buckets: Sequence[int] | None) -> Sequence[int]:
    if buckets is not None and sum(buckets) != size:
        raise ValueError(
            f"sent_bytes: expected buckets with {size} elements together, got {sum(buckets)}. Give "
            "the sizes of all buckets of the gradients that the worker all-reduces."
        )
    return [size] if buckets is None else buckets


def _all_reduce(sizes: Sequence[int], workers: int, rank: int) -> int:
    """The elements that a worker sends to all-reduce arrays of these sizes."""
    own = (section(n, workers, rank) for n in sizes)
    return sum(n - p + (workers - 1) * p for n, p in zip(sizes, own, strict=True))
