"""Module: the base class of layers and networks; and the trace of an image's layers."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex import device as devices
from tinyalex.device import Array
from tinyalex.function import no_grad
from tinyalex.kernels.geometry import Shape
from tinyalex.nn.parameter import Parameter
from tinyalex.tensor import Tensor, as_tensor

ForwardHook = Callable[["Module", tuple, Tensor], None]


class Module:
    """A layer or a network. A subclass creates parameters and submodules in `__init__`,
    and defines `forward`.

    Attributes that are Parameters, Modules or lists of Modules are registered in the
    order of their creation, by the attribute's name: `features.0.weight`.

    >>> import tinyalex as ta
    >>> class TwoLayers(Module):
    ...     def __init__(self):
    ...         self.hidden = ta.nn.Linear(4, 8)
    ...         self.output = ta.nn.Linear(8, 2, bias=False)
    ...     def forward(self, x):
    ...         return self.output(ta.functional.relu(self.hidden(x)))
    >>> [name for name, _ in TwoLayers().named_parameters()]
    ['hidden.weight', 'hidden.bias', 'output.weight']
    """

    training = True

    def forward(self, *inputs: Any, **options: Any) -> Any:
        raise TypeError(
            f"{type(self).__name__} has no forward(self, ...). Write one that returns a tensor."
        )

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        output = self.forward(*inputs, **options)
        for hook in vars(self).get("_forward_hooks", ()):
            hook(self, inputs, output)
        return output

    # Submodules and parameters

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The direct submodules."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, (list, tuple)):
                for i, child in enumerate(value):
                    if isinstance(child, Module):
                        yield f"{name}.{i}", child

    def named_modules(
        self, prefix: str = "", seen: "set[Module] | None" = None
    ) -> Iterator[tuple[str, "Module"]]:
        """This Module (named "") and all submodules, each once, by its first name."""
        seen = set() if seen is None else seen
        if self in seen:
            return
        seen.add(self)
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self) -> Iterator["Module"]:
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Each parameter once, by its first name."""
        seen = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{prefix}.{name}" if prefix else name), value

    def parameters(self) -> Iterator[Parameter]:
        return (p for _, p in self.named_parameters())

    def zero_grad(self) -> None:
        """Reset all gradients to None, before each backward(), which adds to them."""
        for p in self.parameters():
            p.grad = None

    def train(self, mode: bool = True) -> "Module":
        """Set training or evaluation mode, for Dropout, in all submodules."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> "Module":
        return self.train(False)

    def to(self, target: Any) -> "Module":
        """Move all parameters to a device ("cuda" or "auto"), or convert their dtype.

        The Parameter objects stay the same, so an optimizer continues to update them.
        """
        change = self._change(target)
        for p in self.parameters():
            p.data = change(p.data)
            p.grad = None if p.grad is None else change(p.grad)
        return self

    def _change(self, target: Any) -> Callable[[Array], Array]:
        if isinstance(target, str) and target.split(":")[0] in ("cpu", "cuda", "auto"):
            name = devices.check(target)
            return lambda x: devices.to(x, name)
        try:
            dtype = np.dtype(target).newbyteorder("=")
        except TypeError:
            dtype = np.dtype(object)
        if dtype.kind != "f":
            raise TypeError(
                f"{type(self).__name__}.to: expected a device such as 'cuda', or a floating dtype, "
                f"got {target!r}."
            )

        def convert(x: Array) -> Array:
            with devices.on_device_of(x):
                return x.astype(dtype)

        return convert

    # State

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every parameter, as a NumPy array, by name."""
        return {name: p.numpy().copy() for name, p in self.named_parameters()}

    def state_shapes(self) -> dict[str, Shape]:
        """The shapes of the arrays in `state_dict`, by name."""
        return {name: p.shape for name, p in self.named_parameters()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set the parameters from arrays or tensors with the same names and shapes.

        Raises ValueError, which lists every mismatch, before any parameter is changed.
        """
        own = self.state_shapes()
        arrays = {
            name: x.numpy() if isinstance(x, Tensor) else devices.to_numpy(x)
            for name, x in state.items()
        }
        wrong = [f"{name} is missing" for name in own if name not in arrays]
        for name, array in arrays.items():
            if name not in own:
                wrong.append(f"{name} is not a parameter of this network")
            elif array.shape != own[name]:
                wrong.append(f"{name} has shape {array.shape}, expected {own[name]}")
        if wrong:
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: this state belongs to another network:\n  "
                + "\n  ".join(wrong)
            )
        self._set_parameters(arrays)

    def _set_parameters(self, arrays: dict[str, np.ndarray]) -> None:
        for name, p in self.named_parameters():
            p.data = devices.to(arrays[name].astype(p.dtype), p.device)

    # Inspection

    def register_forward_hook(self, hook: ForwardHook) -> Callable[[], None]:
        """Call `hook(module, inputs, output)` after each forward pass.

        Returns a function that removes the hook.
        """
        hooks = vars(self).setdefault("_forward_hooks", [])
        hooks.append(hook)
        return lambda: hooks.remove(hook)

    def multiply_adds(self, output_shape: Shape) -> int:
        """Multiply-adds for an output of this shape, excluding submodules."""
        return 0

    def algorithm(self, input_shape: Shape, dtype: np.dtype, device: str, wants_dx: bool) -> str:
        """The algorithm for an input of this shape; "" if there is only one."""
        return ""

    def extra_repr(self) -> str:
        return ""

    def __repr__(self) -> str:
        lines = [
            f"  ({name}): " + repr(child).replace("\n", "\n  ")
            for name, child in self.named_children()
        ]
        body = "\n" + "\n".join(lines) + "\n" if lines else self.extra_repr()
        return f"{type(self).__name__}({body})"

    def summary(
        self,
        input_shape: Shape,
        *,
        batch_size: int | None = None,
        device: str | None = None,
        dtype: Any = None,
    ) -> str:
        """A table of all layers: output shape, parameters, multiply-adds.

        input_shape    of one image, without N
        batch_size     adds a column: each layer's algorithm in training with batches of
                       this size (in inference, within `no_grad`), or the layer with
                       which it is fused
        device, dtype  of that column; by default, those of the parameters
        """
        steps = trace(self, input_shape)
        rows: list[tuple] = [("name", "layer", "output", "parameters", "multiply-adds")]
        for step in steps:
            layer, shape = type(step.module).__name__, " x ".join(map(str, step.shape))
            counts = f"{step.parameters:,}", f"{step.multiply_adds:,}"
            rows.append((step.name, layer, shape, *counts))
        parameters = sum(p.size for p in self.parameters())
        multiply_adds = sum(step.multiply_adds for step in steps)
        rows.append(("", "total", "", f"{parameters:,}", f"{multiply_adds:,}"))
        lines = ["{:<20} {:<18} {:<16} {:>12} {:>15}".format(*row) for row in rows]
        if batch_size is not None:
            first = next(self.parameters(), Tensor([]))
            where = devices.check(device) if device == "auto" else device or first.device
            options = batch_size, np.dtype(dtype or first.dtype), where
            plan = ["algorithm", *self._plan(steps, input_shape, *options), ""]
            lines = [f"{line}  {text}".rstrip() for line, text in zip(lines, plan, strict=True)]
        return "\n".join(lines)

    def _plan(
        self,
        steps: "list[Step]",
        input_shape: Shape,
        batch_size: int,
        dtype: np.dtype,
        device: str,
    ) -> Iterator[str]:
        names = {step.module: step.name for step in steps}
        with _recorded_stages() as fused_with:
            run(self, np.zeros((1, *input_shape)))
        for step in steps:
            computed_by = fused_with[step.module].pop(0) if fused_with[step.module] else None
            if computed_by is not None:
                yield f"fused with {names[computed_by]}"
            elif step.input_shape:
                shape = batch_size, *step.input_shape
                yield step.module.algorithm(shape, dtype, device, step.wants_dx)
            else:
                yield ""


@dataclass(frozen=True)
class Step:
    """A layer with the shapes of its input and output, without N.

    `wants_dx`: whether its input requires a gradient.
    """

    name: str
    module: Module
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


def trace(model: Module, input_shape: Shape) -> list[Step]:
    """The layers that process an image of this shape, in order. A layer: a Module with
    parameters of its own or without submodules."""
    steps: list[Step] = []

    def record(name: str) -> ForwardHook:
        def hook(module: Module, inputs: tuple, output: Tensor) -> None:
            x = as_tensor(inputs[0]) if inputs else Tensor([])
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


class _Recording(threading.local):
    stages: "defaultdict[Module, list[Module | None]] | None" = None


_recording = _Recording()


@contextmanager
def _recorded_stages() -> Iterator["defaultdict[Module, list[Module | None]]"]:
    """A context that yields, for each layer of a Sequential, a list with an entry for
    each time it was computed: the layer that it was fused with, or None."""
    stages = _recording.stages = defaultdict(list)
    try:
        yield stages
    finally:
        _recording.stages = None


def note_stage(layer: Module, fused: Module | None) -> None:
    """Called by Sequential: it has computed a layer, and another one with it."""
    if (stages := _recording.stages) is not None:
        stages[layer].append(None)
        if fused is not None:
            stages[fused].append(layer)


@contextmanager
def hooked(hooks: list[tuple[Module, ForwardHook]]) -> Iterator[None]:
    """A context in which the forward hooks are registered."""
    with ExitStack() as removals:
        for module, hook in hooks:
            removals.callback(module.register_forward_hook(hook))
        yield


def run(model: Module, images: Any) -> Tensor:
    """The model's output in evaluation mode, without a graph.

    The images are converted to the dtype and the device of the model's parameters.
    """
    with no_grad(), eval_mode(model):
        return model(_like_parameters(model, images))


def _like_parameters(model: Module, images: Any) -> Tensor:
    first = next(model.parameters(), Tensor([]))
    return Tensor(np.asarray(images, first.dtype), device=first.device)


@contextmanager
def eval_mode(model: Module) -> Iterator[None]:
    """A context in which `model` is in evaluation mode; restores the modes."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _owns(module: Module) -> list[Parameter]:
    """The parameters of a Module, excluding submodules."""
    return [p for p in vars(module).values() if isinstance(p, Parameter)]
