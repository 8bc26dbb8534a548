"""Passes that inspect a network: hooks, the layers of an image, the table of them.

A `model` is a Module, whose class imports this file.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex import device as devices
from tinyalex.kernels.geometry import Shape
from tinyalex.modes import no_grad
from tinyalex.nn.parameter import Parameter
from tinyalex.tensor import Tensor, wrap

ForwardHook = Callable[[Any, tuple, Any], None]
"""Called with a Module, its inputs and its output."""


@contextmanager
def hooked(hooks: list[tuple[Any, ForwardHook]]) -> Iterator[None]:
    """A context in which the forward hooks are registered."""
    with ExitStack() as removals:
        for module, hook in hooks:
            removals.callback(module.register_forward_hook(hook))
        yield


@contextmanager
def eval_mode(model: Any) -> Iterator[None]:
    """A context in which `model` is in evaluation mode; restores the modes."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def run(model: Any, images: Any) -> Tensor:
    """The model's output in evaluation mode, without a graph.

    The images are converted to the dtype and the device of the model's parameters.
    """
    with no_grad(), eval_mode(model):
        return model(_like_parameters(model, images))


def _like_parameters(model: Any, images: Any) -> Tensor:
    first = next(model.parameters(), Tensor([]))
    return Tensor(np.asarray(images, first.dtype), device=first.device)


@dataclass(frozen=True)
class Step:
    """A layer with the shapes of its input and output, without N.

    `wants_dx`: whether its input requires a gradient.
    """

    name: str
    module: Any
    input_shape: Shape
    shape: Shape
    wants_dx: bool

    @property
    def parameters(self) -> int:
        """Elements of the layer's own parameters."""
        return sum(p.size for p in _owns(self.module))

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds for one image."""
        return self.module.multiply_adds((1, *self.shape))


def _owns(module: Any) -> list[Parameter]:
    """The parameters of a Module, excluding submodules."""
    return [p for p in vars(module).values() if isinstance(p, Parameter)]


def trace(model: Any, input_shape: Shape) -> list[Step]:
    """The layers that process an image of this shape, in order. A layer: a Module with
    parameters of its own or without submodules."""
    steps: list[Step] = []

    def record(name: str) -> ForwardHook:
        def hook(module: Any, inputs: tuple, output: Tensor) -> None:
            x = wrap(inputs[0]) if inputs else Tensor([])
            step = Step(name, module, x.shape[1:], output.shape[1:], x.requires_grad)
            steps.append(step)

        return hook

    layers = [
        (name, module)
        for name, module in model.named_modules()
        if _owns(module) or not any(module.named_children())
    ]
    with hooked([(module, record(name)) for name, module in layers]), eval_mode(model):
        model(_like_parameters(model, np.zeros((1, *input_shape))))
    return steps


def summary(
    model: Any, input_shape: Shape, batch_size: int | None, device: str | None, dtype: Any
) -> str:
    """The table of `Module.summary`."""
    steps = trace(model, input_shape)
    rows: list[tuple] = [("name", "layer", "output", "parameters", "multiply-adds")]
    for step in steps:
        layer, shape = type(step.module).__name__, " x ".join(map(str, step.shape))
        rows.append((step.name, layer, shape, f"{step.parameters:,}", f"{step.multiply_adds:,}"))
    parameters = sum(p.size for p in model.parameters())
    multiply_adds = sum(step.multiply_adds for step in steps)
    rows.append(("", "total", "", f"{parameters:,}", f"{multiply_adds:,}"))
    lines = ["{:<20} {:<18} {:<16} {:>12} {:>15}".format(*row) for row in rows]
    if batch_size is not None:
        first = next(model.parameters(), Tensor([]))
        where = devices.check(device) if device == "auto" else device or first.device
        options = batch_size, np.dtype(dtype or first.dtype), where
        plan = ["algorithm", *_plan(model, steps, input_shape, *options), ""]
        lines = [f"{line}  {text}".rstrip() for line, text in zip(lines, plan, strict=True)]
    return "\n".join(lines)


def _plan(
    model: Any,
    steps: list[Step],
    input_shape: Shape,
    batch_size: int,
    dtype: np.dtype,
    device: str,
) -> Iterator[str]:
    """The algorithm of each step."""
    names = {step.module: step.name for step in steps}
    with _recorded_stages() as fused_with:
        run(model, np.zeros((1, *input_shape)))
    for step in steps:
        computed_by = fused_with[step.module].pop(0) if fused_with[step.module] else None
        if computed_by is not None:
            yield f"fused with {names[computed_by]}"
        elif step.input_shape:
            shape = batch_size, *step.input_shape
            yield step.module.algorithm(shape, dtype, device, step.wants_dx)
        else:
            yield ""


class _Recording(threading.local):
    stages: defaultdict[Any, list[Any]] | None = None


_recording = _Recording()


@contextmanager
def _recorded_stages() -> Iterator[defaultdict[Any, list[Any]]]:
    """A context that yields, for each layer of a Sequential, a list with an entry for
    each time it was computed: the layer that it was fused with, or None."""
    stages = _recording.stages = defaultdict(list)
    try:
        yield stages
    finally:
        _recording.stages = None


def note_stage(layer: Any, fused: Sequence[Any]) -> None:
    """Called by Sequential: it has computed a layer, and others with it."""
    if (stages := _recording.stages) is not None:
        stages[layer].append(None)
        for other in fused:
            stages[other].append(layer)
