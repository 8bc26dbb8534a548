"""The first array that is not finite, in a pass whose loss or gradients are not."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from tinyalex import device
from tinyalex.device import Array
from tinyalex.nn import Module
from tinyalex.nn.tracing import ForwardHook, hooked
from tinyalex.tensor import Tensor
from tinyalex.training.scheme import Scheme


class Finding(NamedTuple):
    """An array that is not finite: its position in the pass, a sentence about it, and
    what it is: "parameter", "images", "output" (of a layer), "loss" or "gradient"."""

    position: int
    text: str
    what: str


def is_finite(x: Array) -> bool:
    """Whether all elements are finite. Waits for the GPU."""
    with device.on_device_of(x):
        return bool(device.xp(x).isfinite(x).all())


def gradients_are_finite(model: Module) -> bool:
    return all(p.grad is None or is_finite(p.grad) for p in model.parameters())


def find_parameter(model: Module) -> Finding | None:
    """The first parameter that is not finite, in the order of the network."""
    for position, (name, p) in enumerate(model.named_parameters()):
        if not is_finite(p.data):
            text = f"The first parameter that is not finite is {_with_class(model, name)}."
            return Finding(position, text, "parameter")
    return None


def find_first(scheme: Scheme, repeat: Callable[[], Any]) -> Finding | None:
    """The first parameter that is not finite; if all are, the first output of a layer;
    if all are, the first gradient.

    repeat  computes the pass again, and returns an object with its `loss`

    A collective operation, with the same result in each process.
    """
    model = scheme.model
    if found := _first_of_ranks(scheme, find_parameter(model)):
        return found
    outputs = _Outputs()
    hooks: list[tuple[Module, ForwardHook]] = [
        (module, partial(outputs.check, position, name))
        for position, (name, module) in enumerate(model.named_modules())
    ]
    with hooked(hooks):
        loss = float(repeat().loss)
    if found := _first_of_ranks(scheme, outputs.found):
        return found
    if not math.isfinite(loss):
        return Finding(0, "The outputs of all layers are finite, the loss is not.", "loss")
    return _first_of_ranks(scheme, _find_gradient(model))


def _first_of_ranks(scheme: Scheme, own: Finding | None) -> Finding | None:
    return min((found for found in scheme.gather(own) if found), default=None)


class _Outputs:
    """Forward hooks that find the first Module with an output that is not finite. Those
    of a layer are called before those of the Modules that contain it."""

    def __init__(self) -> None:
        self.found: Finding | None = None
        self.is_first_layer = True

    def check(self, position: int, name: str, module: Module, inputs: tuple, output: Any) -> None:
        is_first, self.is_first_layer = self.is_first_layer, False
        if self.found or not isinstance(output, Tensor) or is_finite(output.data):
            return
        layer = f"{name or 'the network'} ({type(module).__name__})"
        arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
        if not all(map(is_finite, arrays)):
            what = "images" if is_first else "output"
            self.found = Finding(position, f"The input of {layer} is not finite.", what)
            return
        magnitudes = [f"{_magnitude(arrays):.2g} in its input"] + [
            f"{_magnitude([p.data]):.2g} in its {name}" for name, p in module.named_parameters()
        ]
        text = f"The first output that is not finite is that of {layer}; largest magnitudes: "
        self.found = Finding(position, f"{text}{', '.join(magnitudes)}.", "output")


def _find_gradient(model: Module) -> Finding | None:
    """The first gradient that is not finite, in the order of the backward pass."""
    for position, (name, p) in enumerate(reversed(list(model.named_parameters()))):
        if p.grad is not None and not is_finite(p.grad):
            text = (
                "The outputs of all layers are finite. The first gradient in the backward pass "
                f"that is not finite is that of {_with_class(model, name)}, whose largest "
                f"magnitude is {_magnitude([p.data]):.2g}."
            )
            return Finding(position, text, "gradient")
    return None


def _with_class(model: Module, name: str) -> str:
    """A parameter's name, and the class of its layer."""
    layer = dict(model.named_modules())[name.rpartition(".")[0]]
    return f"{name} ({type(layer).__name__})"


def _magnitude(arrays: Iterable[Array]) -> float:
    largest = 0.0
    for x in arrays:
        with device.on_device_of(x):
            largest = max(largest, float(abs(x).max()) if x.size else 0.0)
    return largest
