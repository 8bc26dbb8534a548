"""What happens in a network, layer by layer: the numbers that pictures and tables of it are made of."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex.function import no_grad
from tinyalex.nn.module import Hook, Module, testing
from tinyalex.tensor import Tensor


@dataclass(frozen=True)
class Step:
    """A layer at work: the shapes that it gets and gives, without N."""

    name: str
    module: Module
    seen: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def parameters(self) -> int:
        return sum(p.size for p in self.module.parameters())

    @property
    def multiply_adds(self) -> int:
        """For one image."""
        return self.module.multiply_adds((1, *self.shape))


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
    steps: list[Step] = []

    def note(name: str) -> Hook:
        def hook(module: Module, inputs: tuple, output: Tensor) -> None:
            steps.append(Step(name, module, tuple(inputs[0].shape[1:]), tuple(output.shape[1:])))

        return hook

    layers = [(name, module) for name, module in model.named_modules() if not any(module.named_children())]
    with hooked([(module, note(name)) for name, module in layers]):
        run(model, np.zeros((1, *input_shape)))
    return steps


@contextmanager
def hooked(hooks: list[tuple[Module, Hook]]) -> Iterator[None]:
    """Within it, the hooks are called after the forward passes of their modules."""
    remove = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for take_away in remove:
            take_away()


def run(model: Module, images: Any) -> Tensor:
    """The model's answer in testing mode, without a graph. The images, an array, take the device and the dtype of its parameters."""
    first = next(model.parameters(), Tensor([]))
    with no_grad(), testing(model):
        return model(Tensor(np.asarray(images, first.dtype), device=first.device))
