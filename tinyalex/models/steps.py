"""What happens in a network, layer by layer: the numbers that pictures and tables of it are made of."""

from tinyalex.nn.module import Module, Step, trace


def outline(model: Module, input_shape: tuple[int, ...] | None = None) -> list[Step]:
    """The layers in the order in which they compute; parts that are made of others are not listed themselves.

    input_shape  that of one image, (3, S, S); of an AlexNet it is known

    >>> from tinyalex import models
    >>> [(step.name, step.shape) for step in outline(models.cifar("quick"), (3, 32, 32))][:3]
    [('conv1', (32, 32, 32)), ('relu1', (32, 32, 32)), ('pool1', (32, 16, 16))]
    """
    if input_shape is None:
        if not hasattr(model, "image_size"):
            raise ValueError(
                f"outline: {type(model).__name__} does not say which images it is for. Give input_shape, such as (3, 32, 32)."
            )
        input_shape = (3, model.image_size, model.image_size)
    return [step for step in trace(model, input_shape) if not any(step.module.named_children())]
