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
from typing import NamedTuple

from tinyalex import device
from tinyalex.kernels.geometry import Shape
from tinyalex.parallel.buckets import in_buckets
from tinyalex.parallel.cost.layers import (
    LayerShape,
    has_columns,
    linear_layers,
    reading_both_columns,
)

SCHEMES = ("data", "columns", "hybrid")
"""The names of the schemes, for `distribute`."""

ELEMENT_BYTES = 4
"""Of a float32."""

LABEL_BYTES = 8


def check(layers: Sequence[LayerShape], scheme: str, workers: int, batch_size: int) -> None:
    """Raises ValueError if the scheme cannot train the network on this many workers."""
    if scheme not in SCHEMES:
        raise ValueError(f"scale: expected a scheme of {', '.join(SCHEMES)}, got {scheme!r}.")
    for name, count in (("workers", workers), ("batch_size", batch_size)):
        if count < 1:
            raise ValueError(f"scale: expected {name} of at least 1, got {count}.")
    if scheme == "columns":
        if not has_columns(layers):
            raise ValueError(
                "scale: the scheme columns requires a network of two columns: some convolutions "
                'have groups=2, and all normalizations. Use "paper", "original" or '
                '"cifar-alexnet", or another scheme.'
            )
        if workers % 2:
            raise ValueError(
                f"scale: the scheme columns requires an even number of workers, got {workers}. "
                f"Use {workers + 1}."
            )


def share(n: int, workers: int, rank: int) -> int:
    """The number of items, of n, in the section of worker `rank`."""
    start, stop = device.section(n, rank, workers)
    return stop - start


def images_held(scheme: str, workers: int, batch_size: int, rank: int = 0) -> int:
    """The images whose convolutions worker `rank` computes in a step."""
    if scheme == "columns":
        return share(batch_size, workers // 2, rank // 2)
    return share(batch_size, workers, rank)


def parameters_held(layers: Sequence[LayerShape], scheme: str, workers: int, rank: int = 0) -> int:
    """The elements of the parameters that worker `rank` stores and updates."""
    check(layers, scheme, workers, 1)
    return sum(elements_held(layer, scheme, workers, rank) for layer in layers)


def elements_held(layer: LayerShape, scheme: str, workers: int, rank: int) -> int:
    """As parameters_held, for one layer."""
    return sum(
        rows_held(layer, shape, scheme, workers, rank) * math.prod(shape[1:])
        for shape in layer.parameters
    )


def rows_held(layer: LayerShape, shape: Shape, scheme: str, workers: int, rank: int) -> int:
    """The rows (axis 0) of a parameter of this shape that worker `rank` stores."""
    if scheme == "columns":
        return share(shape[0], 2, rank % 2)
    if scheme == "hybrid" and layer.in_linear_part:
        return share(shape[0], workers, rank)
    return shape[0]


def buckets(layers: Sequence[LayerShape], scheme: str, workers: int, rank: int) -> list[list[int]]:
    """The elements of each gradient in each bucket of worker `rank`."""
    sizes = [
        rows_held(layer, shape, scheme, workers, rank) * math.prod(shape[1:])
        for layer in reversed(layers)
        if not (scheme == "hybrid" and layer.in_linear_part)
        for shape in reversed(layer.parameters)
    ]
    return in_buckets(sizes, lambda size: ELEMENT_BYTES * size)


class Sent(NamedTuple):
    """The bytes that a worker sends in a step, by purpose.

    results  loss and errors, or labels
    """

    activations: int
    activation_gradients: int
    parameter_gradients: int
    results: int


def sent_bytes(
    layers: Sequence[LayerShape], scheme: str, workers: int, batch_size: int, rank: int = 0
) -> int:
    """The bytes that worker `rank` sends in a training step.

    >>> from tinyalex import models
    >>> from tinyalex.parallel.cost import layer_shapes
    >>> layers = layer_shapes(models.cifar("quick"), (3, 32, 32))
    >>> sent_bytes(layers, "data", workers=2, batch_size=128)  # of 145,578 gradients
    582320
    """
    return sum(sent_by_purpose(layers, scheme, workers, batch_size, rank))


def sent_by_purpose(
    layers: Sequence[LayerShape], scheme: str, workers: int, batch_size: int, rank: int = 0
) -> Sent:
    """As sent_bytes, by purpose."""
    check(layers, scheme, workers, batch_size)
    replicas, replica = workers, rank
    exchanged = 0, 0
    if scheme == "columns":
        replicas, replica = workers // 2, rank // 2
        exchanged = _between_columns(layers, share(batch_size, replicas, replica), rank % 2)
    elif scheme == "hybrid":
        exchanged = _in_turns(layers, workers, batch_size, rank)
    activations, activation_gradients = exchanged
    gradients = sum(
        _all_reduce(sum(sizes), replicas, replica)
        for sizes in buckets(layers, scheme, workers, rank)
    )
    if scheme == "hybrid":
        results = LABEL_BYTES * (workers - 1) * share(batch_size, workers, rank)
    else:
        results = ELEMENT_BYTES * _all_reduce(2, replicas, replica)
    return Sent(
        ELEMENT_BYTES * activations,
        ELEMENT_BYTES * activation_gradients,
        ELEMENT_BYTES * gradients,
        results,
    )


def _all_reduce(n: int, workers: int, rank: int) -> int:
    own = share(n, workers, rank)
    return n - own + (workers - 1) * own


def _between_columns(layers: Sequence[LayerShape], images: int, column: int) -> tuple[int, int]:
    """The elements of activations and of their gradients that a column sends."""
    gathered = images * share(layers[-1].outputs, 2, column)  # the logits
    scattered = 0
    for layer in reading_both_columns(layers):
        own = share(layer.inputs, 2, column)
        gathered += images * own
        scattered += images * (layer.inputs - own)
    return gathered, scattered


def _in_turns(
    layers: Sequence[LayerShape], workers: int, batch_size: int, rank: int
) -> tuple[int, int]:
    """The elements of activations and of their gradients that a worker sends for the
    linear layers, in the turns of all workers."""
    others = workers - 1
    own_images = share(batch_size, workers, rank)
    linear = linear_layers(layers)
    features = linear[0].inputs
    activations = others * own_images * features  # the broadcast
    gradients = (batch_size - own_images) * features  # the reductions to the others
    for layer in linear:
        own = share(layer.outputs, workers, rank)
        activations += others * batch_size * own
        if layer is not linear[-1]:
            gradients += batch_size * (layer.outputs - own)
    return activations, gradients
