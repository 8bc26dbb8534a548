"""Function: an operation with a forward and a backward pass; and the autograd graph.

A tensor stores the Function that computed it (`creator`); without one it is a leaf. A
Function stores its inputs as the Functions that computed them, and leaves as they are:
a graph keeps an array only if an operation has stored it. Forward and backward receive
arrays, not tensors: derivatives are first order only.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import ContextDecorator
from typing import Any, NamedTuple

import numpy as np

from tinyalex import device
from tinyalex.device import Array

Casts = Callable[[Any, Sequence[Any]], Sequence[Any] | None]
"""(operation, inputs) -> the inputs in the dtype in which it computes; None: as in the
context around."""


class _Modes(threading.local):
    """A thread's settings, each with those around it."""

    def __init__(self) -> None:
        self.stack = [True]
        """Whether operations record a graph."""
        self.casts: list[Casts] = []
        """How operations cast their inputs."""


_modes = _Modes()


class no_grad(ContextDecorator):  # noqa: N801 - used like a keyword: `with no_grad():`
    """A context, or a decorator, in which operations record no graph."""

    mode = False

    def __enter__(self) -> None:
        _modes.stack.append(self.mode)

    def __exit__(self, *error: object) -> None:
        _modes.stack.pop()


class enable_grad(no_grad):  # noqa: N801 - as no_grad
    """A context, or a decorator, in which operations record a graph."""

    mode = True


class set_grad_enabled:  # noqa: N801 - as no_grad
    """Record a graph from here on, or not; as a context, until its end."""

    def __init__(self, mode: bool) -> None:
        self.before, _modes.stack[-1] = _modes.stack[-1], bool(mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        _modes.stack[-1] = self.before


def is_grad_enabled() -> bool:
    """Whether operations record a graph: False within `no_grad`."""
    return _modes.stack[-1]


class casting(ContextDecorator):  # noqa: N801 - as no_grad
    """A context, or a decorator, in which operations cast their inputs: `autocast`."""

    def __init__(self, casts: Casts) -> None:
        self.casts = casts

    def __enter__(self) -> None:
        _modes.casts.append(self.casts)

    def __exit__(self, *error: object) -> None:
        _modes.casts.pop()


def cast_inputs(operation: Any, inputs: Sequence[Any]) -> Sequence[Any]:
    """The inputs in the dtype in which the operation computes.

    operation  a Function, or the name of a function in `functional`
    """
    for casts in reversed(_modes.casts):
        if (found := casts(operation, inputs)) is not None:
            return found
    return inputs


class _Observer(threading.local):
    """Of this thread's operations, to which gradcheck subscribes."""

    start: Callable[..., Callable[[Any], None]] | None = None
    """Called with the class, the inputs and the options before each forward pass. What
    it returns is called with the output, if that is a tensor."""


observer = _Observer()


class Form(NamedTuple):
    """Shape, dtype and device of an array, and of its gradient."""

    shape: tuple[int, ...]
    dtype: np.dtype
    device: str

    @classmethod
    def of(cls, x: Array) -> "Form":
        return cls(x.shape, x.dtype, device.of(x))

    def __str__(self) -> str:
        return f"{self.dtype} array of shape {self.shape}"


class GraphTensor:
    """A tensor as the graph uses it. `tinyalex.Tensor` is the only subclass."""

    data: Array
    requires_grad = False
    creator: "Function | None" = None
    _data_version = 0
    """Of a leaf. The results of an operation share that of their creator."""

    @property
    def version(self) -> int:
        """How often `data` has been changed."""
        return (self if self.creator is None else self.creator)._data_version

    @version.setter
    def version(self, count: int) -> None:
        (self if self.creator is None else self.creator)._data_version = count

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    def __len__(self) -> int:
        return len(self.data)

    @property
    def result_class(self) -> Any:
        """The class of an operation's output."""
        return type(self)

    def result(self, array: Array) -> Any:
        """`array`, computed from this tensor, as a tensor that needs no gradient."""
        raise NotImplementedError

    def accumulate_grad(self, grad: Array) -> None:
        """Receive the complete gradient of this leaf."""


class Function:
    """A differentiable operation. A subclass defines

        forward(self, *arrays, **options) -> an array
        backward(self, grad_output)       -> a gradient for each array input

    `forward` stores what `backward` needs as attributes of self. Each gradient has the
    shape and dtype of its input, or is None; a single one may be returned without a
    tuple. `self.needs_input_grad` has a bool for each input, in both methods; where it
    is False, the gradient may be None. Neither method may modify its arguments.

    >>> import numpy as np, tinyalex as ta
    >>> class Square(ta.Function):
    ...     def forward(self, x):
    ...         self.x = x
    ...         return x * x
    ...     def backward(self, dy):
    ...         return 2 * self.x * dy
    >>> x = ta.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> Square.apply(x).sum().backward()
    >>> x.grad
    array([2., 4., 6.], dtype=float32)
    """

    # Apart from __dict__, which has what `forward` stores.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_data_version",
        "_input_versions",
        "_result_form",
        "inputs",
        "needs_input_grad",
    )

    inputs: "tuple[Function | GraphTensor | None, ...] | None"
    """For each input that needs a gradient the Function that computed it, or the leaf;
    None for the others. None once freed."""
    needs_input_grad: tuple[bool, ...]
    _result_form: Form
    _data_version: int
    """How often the data of the result has been changed."""
    _input_versions: list[int]
    """The version of each of `inputs` in forward; 0 for the result of an operation."""

    def forward(self, *arrays: Any, **options: Any) -> Array:
        raise self._missing("forward(self, *arrays)")

    def backward(self, grad_output: Array) -> Any:
        raise self._missing("backward(self, grad_output)")

    def _missing(self, method: str) -> TypeError:
        name = type(self).__name__
        return TypeError(f"{name} has no {method}. Write one; see help(tinyalex.Function).")

    @classmethod
    def apply(cls, *inputs: Any, **options: Any) -> Any:
        """Run forward on tensors, arrays, scalars and None, and record it in the graph.

        Returns a tensor if any input is a tensor, else the array that forward returns.
        """
        node, inputs = cls(), tuple(cast_inputs(cls, inputs))
        finish = observer.start and observer.start(cls, inputs, options)
        recording, first = is_grad_enabled(), None
        arrays: list[Any] = []
        sources: list[Source | None] = []
        for x in inputs:
            if isinstance(x, GraphTensor):
                first = x if first is None else first
                arrays.append(x.data)
                sources.append(_source(x) if recording and x.requires_grad else None)
            else:
                arrays.append(x)
                sources.append(None)
        node.inputs = tuple(sources)
        node.needs_input_grad = tuple([source is not None for source in sources])
        # No warnings about inf and NaN, as on a GPU.
        with device.on(device.common(cls.__name__, arrays)), np.errstate(all="ignore"):
            array = node.forward(*arrays, **options)
        if not device.is_array(array):
            raise TypeError(
                f"{cls.__name__}.forward: expected one array to be returned, got "
                f"{_describe(array)}."
            )
        if first is None:
            return array
        output = first.result(array)
        if True in node.needs_input_grad:
            output.requires_grad, output.creator = True, node
            node._result_form, node._data_version = Form.of(output.data), 0
            node._input_versions = [
                source._data_version if isinstance(source, GraphTensor) else 0 for source in sources
            ]
        if finish:
            finish(output)
        return output


def _describe(x: Any) -> str:
    return str(Form.of(x)) if device.is_array(x) else f"a {type(x).__name__}"


Source = Function | GraphTensor
"""A Function for its result, or a leaf."""

_no_casts = casting(lambda operation, inputs: inputs)


def backward(root: GraphTensor, grad: Array, retain_graph: bool) -> None:
    """Add d(sum of root*grad)/d(leaf) to the `.grad` of each leaf of the graph.

    A gradient is complete once all uses of its tensor have contributed. Uses are
    counted first, so that each Function's backward runs once, with a complete gradient.
    """
    uses_left = _count_uses(root)
    collected: dict[Source, Array] = {_source(root): grad}
    ready = [_source(root)]
    with _no_casts, np.errstate(all="ignore"):
        while ready:
            node = ready.pop()
            total = collected.pop(node, None)
            if not isinstance(node, Function):
                if total is not None:
                    node.accumulate_grad(total)
                continue
            assert node.inputs is not None
            for source, share in zip(node.inputs, _input_grads(node, total), strict=True):
                if source is None:
                    continue
                if share is not None:
                    known = collected.get(source)
                    collected[source] = share if known is None else _add(known, share)
                uses_left[source] -= 1
                if uses_left[source] == 0:
                    ready.append(source)
            if not retain_graph:
                _free(node)


def _add(x: Array, y: Array) -> Array:
    with device.on_device_of(y):
        return device.asarray(x + y)


def _source(tensor: GraphTensor) -> Source:
    return tensor if tensor.creator is None else tensor.creator


def _count_uses(root: GraphTensor) -> dict[Source, int]:
    """The number of uses of each Function's output and of each leaf below `root`.

    Raises RuntimeError if the graph has been freed, or one of its tensors changed.
    """
    uses: dict[Source, int] = {_source(root): 0}
    to_visit = [root.creator] if root.creator is not None else []
    if to_visit and root.version != 0:
        raise _changed(_source(root), "the tensor")
    while to_visit:
        node = to_visit.pop()
        if node.inputs is None:
            raise RuntimeError(
                f"backward: the graph of {type(node).__name__} has been freed by an earlier "
                "backward(). Run the forward pass again, or call the first "
                "backward(retain_graph=True)."
            )
        for i, (source, version) in enumerate(zip(node.inputs, node._input_versions, strict=True)):
            if source is None:
                continue
            if source._data_version != version:
                raise _changed(source, f"input {i} of {type(node).__name__}")
            if source not in uses and isinstance(source, Function):
                to_visit.append(source)
            uses[source] = uses.get(source, 0) + 1
    return uses


def _changed(source: Source, role: str) -> RuntimeError:
    name = type(source).__name__
    kind = f"a {name}" if isinstance(source, GraphTensor) else f"a result of {name}"
    return RuntimeError(
        f"backward: {role}, {kind} of shape {form_of(source).shape}, has been "
        "changed after the forward pass computed with it, by optimizer.step() or an assignment "
        "to .data: gradients would be wrong. Call backward() before the change, or run the "
        "forward pass again."
    )


def _input_grads(node: Function, grad_output: Array | None) -> Sequence[Array | None]:
    """The gradients that `node.backward` returns, checked, and those of leaves copied
    if they share memory with another array in use.

    Users may modify a leaf's `.grad` in place. The backward of `z = x + y` returns
    grad_output itself for both x and y: without a copy, `x.grad *= 2` would change
    `y.grad` as well. If `backward` returned a stored input, it would change the input's
    data.
    """
    assert node.inputs is not None
    if grad_output is None:
        return (None,) * len(node.inputs)
    with device.on_device_of(grad_output):
        grads = node.backward(grad_output)
    grads = grads if isinstance(grads, (tuple, list)) else (grads,)
    if len(grads) != len(node.inputs):
        raise ValueError(
            f"{type(node).__name__}.backward: expected {len(node.inputs)} gradients, one for each "
            f"input of forward, got {len(grads)}. Return None for an input that has none."
        )
    results: list[Array | None] = []
    in_use: set[int] = set()
    for i, (source, grad) in enumerate(zip(node.inputs, grads, strict=True)):
        if source is None or grad is None:
            results.append(None)
            continue
        if advice := _mismatch(grad, form := form_of(source)):
            raise ValueError(
                f"{type(node).__name__}.backward: gradient {i} is {_describe(grad)}, but input {i} "
                f"is {form}. {advice}"
            )
        grad = device.asarray(grad)
        if isinstance(source, GraphTensor):
            in_use = in_use or _memory_in_use(node, grad_output)
            owner = _owner(grad)
            if id(owner) in in_use or sum(_owner(other) is owner for other in grads) > 1:
                with device.on_device_of(grad):
                    grad = grad.copy()
        results.append(grad)
    return results


def form_of(source: Source) -> Form:
    return Form.of(source.data) if isinstance(source, GraphTensor) else source._result_form


def _mismatch(grad: Any, expected: Form) -> str:
    """The remedy for a gradient that does not match its input; empty if it does."""
    if not device.is_array(grad):
        return "Return an array."
    shape, dtype, there = Form.of(grad)
    if there != expected.device:
        return (
            f"Compute it on the input's device, {expected.device}, with "
            f"xp = device.xp(grad_output); it is on {there}."
        )
    if shape != expected.shape:
        return "If the input was broadcast, sum its gradient over the repeated axes."
    if dtype != expected.dtype:
        return (
            f"Return it as {expected.dtype}; a constant such as np.float64(1/n) turns float32 "
            "into float64, a Python float does not."
        )
    return ""


def _memory_in_use(node: Function, grad_output: Array) -> set[int]:
    """The ids of the arrays that own the memory of grad_output, of leaves, and of what
    `forward` stored."""
    arrays = [grad_output, *(x.data for x in node.inputs or () if isinstance(x, GraphTensor))]
    for value in vars(node).values():
        arrays += value if isinstance(value, (tuple, list)) else (value,)
    return {id(_owner(a)) for a in arrays}


def _owner(a: Any) -> Any:
    """The array that owns the memory of `a`; other objects are returned as they are."""
    while (base := getattr(a, "base", None)) is not None and device.is_array(base):
        a = base
    return a


def _free(node: Function) -> None:
    vars(node).clear()
    node.inputs = None
