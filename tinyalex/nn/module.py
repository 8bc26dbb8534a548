"""Module: a part of a network that owns parameters; and Sequential, parts one after the other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex import device as devices
from tinyalex import kernels
from tinyalex.device import Array
from tinyalex.function import no_grad
from tinyalex.tensor import Tensor


class Parameter(Tensor):
    """A tensor that a Module owns and training changes. It always requires its gradient."""

    def __init__(self, array: Any) -> None:
        super().__init__(array, requires_grad=True)
        with devices.on_device_of(self.data):
            self.data = kernels.of(self.data).ready(self.data)  # the optimizer writes into it

    def __repr__(self) -> str:
        return "Parameter" + super().__repr__().removeprefix("Tensor")


Hook = Callable[["Module", tuple, Tensor], None]


class Module:
    """A part of a network. Subclass it, make its parameters and parts in `__init__`, and write `forward`.

    Attributes that are Parameters or Modules (or lists of Modules) are found by themselves, in the order in which they were made, and
    are named after the attribute: `features.0.weight`.

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

    def _with_next(self, following: "Module", *later: "Module") -> "Callable[[Any], Any] | None":
        """A faster way through this part and the one that follows it in a Sequential, if there is one.

        `later`: the parts behind these two, which the following one may rather go with.
        """
        return None

    @property
    def _watched(self) -> bool:
        """Whether somebody has put a hook on it, or another forward in its place."""
        return bool(vars(self).get("_forward_hooks")) or "forward" in vars(self)

    # Parts and parameters

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The Modules that this one holds itself."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, (list, tuple)):
                yield from (
                    (f"{name}.{i}", part)
                    for i, part in enumerate(value)
                    if isinstance(part, Module)
                )

    def named_modules(
        self, prefix: str = "", seen: "set[Module] | None" = None
    ) -> Iterator[tuple[str, "Module"]]:
        """This Module (named "") and all within it, each once, under the first of its names."""
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
        """Each parameter once, under the first of its names."""
        seen = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{prefix}.{name}" if prefix else name), value

    def parameters(self) -> Iterator[Parameter]:
        return (p for _, p in self.named_parameters())

    def zero_grad(self) -> None:
        """Forget all gradients. backward() adds to what is there, so this comes before each."""
        for p in self.parameters():
            p.grad = None

    def train(self, mode: bool = True) -> "Module":
        """Switch everything that behaves differently in training (dropout) to training, or to testing."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> "Module":
        return self.train(False)

    def to(self, target: Any) -> "Module":
        """Move all parameters to a device ("cpu", "cuda", "cuda:1", "auto"), or convert them to a floating dtype.

        The Parameter objects stay the same; an optimizer that has them follows.
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
            dtype = np.dtype(target)
        except TypeError:
            dtype = np.dtype(object)
        if dtype.kind != "f":
            raise TypeError(
                f"{type(self).__name__}.to: expected a device such as 'cuda', or a floating dtype, got {target!r}."
            )
        return lambda x: _converted(x, dtype)

    # Saved states

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every parameter, as a NumPy array under its name."""
        return {name: p.numpy().copy() for name, p in self.named_parameters()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the parameters' values from `state`: arrays or tensors, under the same names and with the same shapes.

        ValueError, naming each name or shape that does not fit; then nothing has been changed.
        """
        own = dict(self.named_parameters())
        arrays = {
            name: x.numpy() if isinstance(x, Tensor) else devices.to_numpy(x)
            for name, x in state.items()
        }
        wrong = [f"{name} is missing" for name in own if name not in arrays]
        wrong += [
            f"{name} is not a parameter of this network" for name in arrays if name not in own
        ]
        wrong += [
            f"{name} has shape {arrays[name].shape}, expected {p.shape}"
            for name, p in own.items()
            if name in arrays and arrays[name].shape != p.shape
        ]
        if wrong:
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: this state belongs to another network:\n  "
                + "\n  ".join(wrong)
            )
        for name, p in own.items():
            p.data = devices.to(arrays[name].astype(p.dtype), p.device)

    # Looking at it

    def register_forward_hook(self, hook: Hook) -> Callable[[], None]:
        """Call `hook(module, inputs, output)` after each forward pass. Returns a function that takes the hook away again."""
        hooks = vars(self).setdefault("_forward_hooks", [])
        hooks.append(hook)
        return lambda: hooks.remove(hook)

    def multiply_adds(self, output_shape: tuple[int, ...]) -> int:
        """Multiplications (each with its addition) in a forward pass that gives an output of this shape, the parts' own not counted."""
        return 0

    def extra_repr(self) -> str:
        return ""

    def __repr__(self) -> str:
        lines = [
            f"  ({name}): " + repr(child).replace("\n", "\n  ")
            for name, child in self.named_children()
        ]
        body = "\n" + "\n".join(lines) + "\n" if lines else self.extra_repr()
        return f"{type(self).__name__}({body})"

    def summary(self, input_shape: tuple[int, ...]) -> str:
        """A table of all layers: output shape, parameters, multiply-adds. `input_shape` is that of one sample, without N."""
        rows = [
            (
                step.name,
                type(step.module).__name__,
                " x ".join(map(str, step.shape)),
                step.parameters,
                step.multiply_adds,
            )
            for step in trace(self, input_shape)
        ]
        total = (
            "",
            "total",
            "",
            sum(p.size for p in self.parameters()),
            sum(row[4] for row in rows),
        )
        lines = [
            f"{'name':<20} {'layer':<18} {'output':<16} {'parameters':>12} {'multiply-adds':>15}"
        ]
        lines += [
            f"{name:<20} {kind:<18} {shape:<16} {count:>12,} {work:>15,}"
            for name, kind, shape, count, work in [*rows, total]
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Step:
    """A layer at work: the shapes that it gets and gives, without N."""

    name: str
    module: Module
    seen: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def parameters(self) -> int:
        """Numbers in the parameters that the layer holds itself."""
        return sum(p.size for p in _owns(self.module))

    @property
    def multiply_adds(self) -> int:
        """For one image."""
        return self.module.multiply_adds((1, *self.shape))


def trace(model: Module, input_shape: tuple[int, ...]) -> list[Step]:
    """What each layer does with an image of that shape, in the order of computing. Layers have parameters, or no parts."""
    steps: list[Step] = []

    def note(name: str) -> Hook:
        def hook(module: Module, inputs: tuple, output: Tensor) -> None:
            steps.append(
                Step(
                    name,
                    module,
                    tuple(inputs[0].shape[1:]) if inputs else (),
                    tuple(output.shape[1:]),
                )
            )

        return hook

    layers = [
        (name, module)
        for name, module in model.named_modules()
        if _owns(module) or not any(module.named_children())
    ]
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


@contextmanager
def testing(model: Module) -> Iterator[None]:
    """Within it, `model` is in testing mode; at the end each of its parts is put back into the mode that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _converted(x: Array, dtype: np.dtype) -> Array:
    with devices.on_device_of(x):
        return x.astype(dtype)


def _owns(module: Module) -> list[Parameter]:
    """The parameters that a Module holds itself."""
    return [p for p in vars(module).values() if isinstance(p, Parameter)]


class Sequential(Module):
    """Parts one after the other; also `Sequential({"conv1": ..., "relu1": ...})`, to give them names instead of numbers.

    >>> import tinyalex as ta
    >>> net = Sequential(ta.nn.Linear(4, 8), ta.nn.ReLU(), ta.nn.Linear(8, 2))
    >>> net[0], len(net), [name for name, _ in net.named_parameters()]
    (Linear(4, 8), 3, ['0.weight', '0.bias', '2.weight', '2.bias'])
    """

    def __init__(self, *parts: Any) -> None:
        named = (
            parts[0]
            if len(parts) == 1 and isinstance(parts[0], dict)
            else {str(i): part for i, part in enumerate(parts)}
        )
        for name, part in named.items():
            if not isinstance(part, Module):
                raise TypeError(
                    f"Sequential: part {name} is {part!r}, expected a Module: nn.ReLU(), not F.relu or nn.ReLU."
                )
            setattr(self, name, part)

    def forward(self, x: Any) -> Any:
        parts = [part for _, part in self.named_children()]
        while parts:
            part = parts.pop(0)
            if parts and (both := part._with_next(*parts)) is not None:
                parts.pop(0)
                x = both(x)
            else:
                x = part(x)
        return x

    def __len__(self) -> int:
        return len(dict(self.named_children()))

    def __iter__(self) -> Iterator[Module]:
        return (part for _, part in self.named_children())

    def __getitem__(self, index: Any) -> Any:
        """A part by its number, or a Sequential of some of them, which keep their names."""
        parts = list(self.named_children())[index]
        return Sequential(dict(parts)) if isinstance(parts, list) else parts[1]
