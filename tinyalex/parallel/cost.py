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

Gradients are all-reduced in buckets, in the order of the backward pass. In `data` and
`columns`, the loss and the number of errors are all-reduced too; in `hybrid`, the
labels are all-gathered.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tinyalex import nn
from tinyalex.kernels.geometry import Shape
from tinyalex.models import outline
from tinyalex.nn.module import Module, Step
from tinyalex.parallel.buckets import BUCKET_BYTES

SCHEMES = ("data", "columns", "hybrid")

ELEMENT_BYTES = 4
"""Of a float32."""

LABEL_BYTES = 8


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
    return sum(
        rows_held(layer, shape, scheme, workers, rank) * math.prod(shape[1:])
        for shape in layer.parameters
    )


def rows_held(layer: Layer, shape: Shape, scheme: str, workers: int, rank: int) -> int:
    """The rows (axis 0) of a parameter of this shape that worker `rank` stores."""
    if scheme == "columns":
        return section(shape[0], 2, rank % 2)
    if scheme == "hybrid" and layer.in_linear_part:
        return section(shape[0], workers, rank)
    return shape[0]


def buckets(layers: Sequence[Layer], scheme: str, workers: int, rank: int) -> list[int]:
    """The elements of each bucket of gradients of worker `rank`."""
    sizes: list[int] = []
    for layer in reversed(layers):
        if scheme == "hybrid" and layer.in_linear_part:
            continue
        for shape in reversed(layer.parameters):
            size = rows_held(layer, shape, scheme, workers, rank) * math.prod(shape[1:])
            if sizes and ELEMENT_BYTES * (sizes[-1] + size) <= BUCKET_BYTES:
                sizes[-1] += size
            else:
                sizes.append(size)
    return sizes


class Sent(NamedTuple):
    """The bytes that a worker sends in a step, by purpose.

    results  loss and errors, or labels
    """

    activations: int
    activation_gradients: int
    parameter_gradients: int
    results: int


def sent_bytes(
    layers: Sequence[Layer], scheme: str, workers: int, batch_size: int, rank: int = 0
) -> int:
    """The bytes that worker `rank` sends in a training step.

    >>> from tinyalex import models
    >>> layers = layers_of(models.cifar("quick"), (3, 32, 32))
    >>> sent_bytes(layers, "data", workers=2, batch_size=128)  # of 145,578 gradients
    582320
    """
    return sum(sent_by_purpose(layers, scheme, workers, batch_size, rank))


def sent_by_purpose(
    layers: Sequence[Layer], scheme: str, workers: int, batch_size: int, rank: int = 0
) -> Sent:
    """As sent_bytes, by purpose."""
    check(layers, scheme, workers, batch_size)
    replicas, replica = workers, rank
    exchanged = 0, 0
    if scheme == "columns":
        replicas, replica = workers // 2, rank // 2
        exchanged = _between_columns(layers, section(batch_size, replicas, replica), rank % 2)
    elif scheme == "hybrid":
        exchanged = _in_turns(layers, workers, batch_size, rank)
    activations, activation_gradients = exchanged
    gradients = sum(
        _all_reduce(size, replicas, replica) for size in buckets(layers, scheme, workers, rank)
    )
    if scheme == "hybrid":
        results = LABEL_BYTES * (workers - 1) * section(batch_size, workers, rank)
    else:
        results = ELEMENT_BYTES * _all_reduce(2, replicas, replica)
    return Sent(
        ELEMENT_BYTES * activations,
        ELEMENT_BYTES * activation_gradients,
        ELEMENT_BYTES * gradients,
        results,
    )


def _all_reduce(n: int, workers: int, rank: int) -> int:
    own = section(n, workers, rank)
    return n - own + (workers - 1) * own


def _between_columns(layers: Sequence[Layer], images: int, column: int) -> tuple[int, int]:
    """The elements of activations and of their gradients that a column sends."""
    gathered = images * section(layers[-1].outputs, 2, column)  # the logits
    scattered = 0
    for layer in reading_both_columns(layers):
        own = section(layer.inputs, 2, column)
        gathered += images * own
        scattered += images * (layer.inputs - own)
    return gathered, scattered


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


def _in_turns(layers: Sequence[Layer], workers: int, batch_size: int, rank: int) -> tuple[int, int]:
    """The elements of activations and of their gradients that a worker sends for the
    linear layers, in the turns of all workers."""
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
    return activations, gradients


def linear_layers(layers: Sequence[Layer]) -> list[Layer]:
    return [layer for layer in layers if layer.kind == "linear"]
