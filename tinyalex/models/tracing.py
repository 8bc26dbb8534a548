"""The layers of a network and their shapes, for figures and tables."""

from tinyalex.kernels.geometry import Shape
from tinyalex.models.alexnet_variants import AlexNet
from tinyalex.nn.module import Module
from tinyalex.nn.tracing import Step, trace


def outline(model: Module, input_shape: Shape | None = None) -> list[Step]:
    """The layers in the order of computation, without containers such as Sequential.

    input_shape  of one image, such as (3, 32, 32); by default an AlexNet's own

    >>> from tinyalex import models
    >>> steps = outline(models.cifar("quick"), (3, 32, 32))
    >>> [(step.name, step.shape) for step in steps][:3]
    [('conv1', (32, 32, 32)), ('relu1', (32, 32, 32)), ('pool1', (32, 16, 16))]
    """
    if input_shape is None:
        if not isinstance(model, AlexNet):
            raise ValueError(
                f"outline: the image size of a {type(model).__name__} is not known. "
                "Give input_shape, such as (3, 32, 32)."
            )
        input_shape = (3, model.image_size, model.image_size)
    return [step for step in trace(model, input_shape) if not any(step.module.named_children())]
