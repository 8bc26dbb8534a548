"""The layers of a network as the cost model describes them: their shapes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tinyalex import nn
from tinyalex.kernels.geometry import Shape
from tinyalex.models import outline
from tinyalex.nn.module import Module
from tinyalex.nn.tracing import Step


@dataclass(frozen=True)
class LayerShape:
    """A layer as the cost model sees it, for one image.

    inputs, outputs   elements
    parameters        the shapes of weight and bias
    groups            of a convolution or normalization: 1 reads all channels, 2 its
                      own column only
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


def layer_shapes(model: Module, input_shape: Shape | None = None) -> list[LayerShape]:
    """The layers of a network for images of this shape, by default an AlexNet's own.

    >>> from tinyalex import models
    >>> layers = layer_shapes(models.cifar("quick"), (3, 32, 32))
    >>> [(layer.name, layer.inputs) for layer in layers if layer.kind == "linear"]
    [('fc1', 1024), ('fc2', 64)]
    """
    layers: list[LayerShape] = []
    linear = False
    for step in outline(model, input_shape):
        linear = linear or isinstance(step.module, nn.Linear)
        layers.append(_layer(step, linear))
    if not linear:
        raise ValueError(
            f"layer_shapes: {type(model).__name__} has no nn.Linear. Give a network that ends with "
            "linear layers, such as models.alexnet()."
        )
    return layers


def _layer(step: Step, in_linear_part: bool) -> LayerShape:
    module = step.module
    kinds = {nn.Conv2d: "conv", nn.Linear: "linear", nn.LocalResponseNorm: "norm"}
    return LayerShape(
        name=step.name,
        kind=next((kind for cls, kind in kinds.items() if isinstance(module, cls)), "other"),
        inputs=math.prod(step.input_shape),
        outputs=math.prod(step.shape),
        parameters=tuple(p.shape for p in module.parameters()),
        multiply_adds=step.multiply_adds,
        groups=getattr(module, "groups", 1),
        wants_dx=step.wants_dx,
        in_linear_part=in_linear_part,
    )


def has_columns(layers: Sequence[LayerShape]) -> bool:
    """Whether a network has two columns: convolutions with groups=2, and others that
    read both columns, but no normalization that does."""
    conv, norm = ({la.groups for la in layers if la.kind == kind} for kind in ("conv", "norm"))
    return conv == {1, 2} and norm <= {2}


def reading_both_columns(layers: Sequence[LayerShape]) -> list[LayerShape]:
    """The layers whose input is divided between the columns but which read all of it.

    The first convolution is not one of them: each worker has the images.
    """
    return [
        layer
        for layer in layers
        if layer.wants_dx
        and (layer.kind == "linear" or (layer.kind == "conv" and layer.groups == 1))
    ]


def linear_layers(layers: Sequence[LayerShape]) -> list[LayerShape]:
    return [layer for layer in layers if layer.kind == "linear"]
