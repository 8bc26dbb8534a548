"""Module: the base class of layers and networks."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np

from tinyalex import device as devices
from tinyalex.device import Array
from tinyalex.kernels.geometry import Shape
from tinyalex.nn import class_count, tracing
from tinyalex.nn.parameter import Parameter
from tinyalex.nn.tracing import ForwardHook
from tinyalex.tensor import Tensor, wrap


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` left out."""

    missing_keys: list[str]
    unexpected_keys: list[str]


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
        for hook in tuple(vars(self).get("_forward_hooks", ())):  # a hook may remove itself
            hook(self, inputs, output)
        return output

    # Submodules

    def add_module(self, name: str, module: Any) -> None:
        """Set the attribute `name`. Raises TypeError for anything but a Module."""
        if not isinstance(module, Module):
            raise TypeError(
                f"{type(self).__name__}: layer {name} is {module!r}, expected a Module: "
                "nn.ReLU(), not F.relu or nn.ReLU."
            )
        setattr(self, name, module)

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The direct submodules."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, (list, tuple)):
                for i, child in enumerate(value):
                    if isinstance(child, Module):
                        yield f"{name}.{i}", child

    def children(self) -> Iterator["Module"]:
        return (child for _, child in self.named_children())

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

    def apply(self, fn: Callable[["Module"], Any]) -> Self:
        """Call `fn` with each submodule, and after its submodules with a Module itself:
        to set initial values."""
        for module in self._submodules_first(set()):
            fn(module)
        return self

    def _submodules_first(self, seen: "set[Module]") -> Iterator["Module"]:
        """As `modules`, but a Module follows its submodules."""
        if self in seen:
            return
        seen.add(self)
        for child in self.children():
            yield from child._submodules_first(seen)
        yield self

    # Parameters and buffers

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Each parameter once, by its first name."""
        return self._named(
            lambda module: {k: v for k, v in vars(module).items() if isinstance(v, Parameter)}
        )

    def parameters(self) -> Iterator[Parameter]:
        return (p for _, p in self.named_parameters())

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Set the attribute `name` to a tensor that is not trained, but moves with `to`
        and, if `persistent`, is in the state: such as a running mean."""
        setattr(self, name, None if tensor is None else wrap(tensor))
        vars(self).setdefault("_buffers", {})[name] = persistent

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Each buffer once, by its first name."""
        return self._named(_buffers)

    def buffers(self) -> Iterator[Tensor]:
        return (b for _, b in self.named_buffers())

    def _named(self, own: Callable[["Module"], dict[str, Any]]) -> Iterator[tuple[str, Any]]:
        """The tensors `own(module)` of each Module, each once, by its first name."""
        seen = set()
        for prefix, module in self.named_modules():
            for name, value in own(module).items():
                if id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{prefix}.{name}" if prefix else name), value

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset all gradients to None, or to zeros, before each backward(), which adds
        to them."""
        for p in self.parameters():
            if set_to_none or p.grad is None:
                p.grad = None
            else:
                with devices.on_device_of(p.grad):
                    p.grad = devices.xp(p.grad).zeros_like(p.grad)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Whether parameters get gradients: False freezes a part of a network."""
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    # Modes, devices, dtypes

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode, for Dropout and BatchNorm2d, in all
        submodules."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        return self.train(False)

    def to(self, *targets: Any, device: Any = None, dtype: Any = None) -> Self:
        """Move parameters and buffers to a device ("cuda" or "auto"), or convert their
        dtype (of buffers, only floating ones), or both: to("cuda", "float32").

        The tensors stay the same objects, so an optimizer continues to update them.
        """
        changes = [self._change(t) for t in (*targets, device, dtype) if t is not None]
        for change in changes:
            for p in self.parameters():
                p.data = change(p.data)
                p.grad = None if p.grad is None else change(p.grad)
            for b in self.buffers():
                b.data = change(b.data)
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
                return x.astype(dtype) if x.dtype.kind == "f" else x

        return convert

    def cpu(self) -> Self:
        return self.to("cpu")

    def cuda(self, device: int = 0) -> Self:
        return self.to(f"cuda:{device}")

    def float(self) -> Self:
        return self.to(np.float32)

    def double(self) -> Self:
        return self.to(np.float64)

    def half(self) -> Self:
        return self.to(np.float16)

    # State

    def _named_state(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters and persistent buffers, in torch's order."""

        def own(module: "Module") -> dict[str, Tensor]:
            saved = {k: b for k, b in _buffers(module).items() if vars(module)["_buffers"][k]}
            return {k: v for k, v in vars(module).items() if isinstance(v, Parameter)} | saved

        return self._named(own)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and persistent buffers, NumPy arrays, by name."""
        return {name: x.numpy().copy() for name, x in self._named_state()}

    def state_shapes(self) -> dict[str, Shape]:
        """The shapes of the arrays in `state_dict`, by name."""
        return {name: x.shape for name, x in self._named_state()}

    def load_state_dict(self, state: dict[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Set parameters and buffers from arrays or tensors with the same names and
        shapes.

        strict  False: leave out names that only one side has, and return them

        Raises ValueError, which lists every mismatch, before anything is changed.
        """
        own = self.state_shapes()
        arrays = {
            name: x.numpy() if isinstance(x, Tensor) else devices.to_numpy(x)
            for name, x in state.items()
        }
        missing = [name for name in own if name not in arrays]
        unexpected = [name for name in arrays if name not in own]
        wrong = [f"{name} is missing" for name in missing] if strict else []
        for name, array in arrays.items():
            if name not in own:
                wrong += [f"{name} is not a parameter of this network"] if strict else []
            elif array.shape != own[name]:
                wrong.append(f"{name} has shape {array.shape}, expected {own[name]}")
        if wrong:
            shapes = {name: array.shape for name, array in arrays.items()}
            lines = [*wrong, *class_count.advice(self, shapes, len(wrong))]
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: this state belongs to another network:\n  "
                + "\n  ".join(lines)
            )
        self._set_state(arrays if not missing else self.state_dict() | arrays)
        return IncompatibleKeys(missing, unexpected)

    def _set_state(self, arrays: dict[str, np.ndarray]) -> None:
        for name, x in self._named_state():
            x.data = devices.to(arrays[name].astype(x.dtype), x.device)

    # Inspection

    def register_forward_hook(self, hook: ForwardHook) -> Callable[[], None]:
        """Call `hook(module, inputs, output)` after each forward pass.

        Returns a function that removes the hook.
        """
        hooks = vars(self).setdefault("_forward_hooks", [])
        hooks.append(hook)
        registered = [hook]

        def remove() -> None:
            if registered:  # a second call has no effect
                hooks.remove(registered.pop())

        return remove

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
        return tracing.summary(self, input_shape, batch_size, device, dtype)


def _buffers(module: Module) -> dict[str, Tensor]:
    """The buffers of a Module, excluding submodules and those that are None."""
    names = vars(module).get("_buffers", {})
    return {name: getattr(module, name) for name in names if getattr(module, name) is not None}
