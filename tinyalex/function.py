"""Function: an operation with a forward and a backward pass; and the autograd graph.

A tensor stores the Function that computed it (`creator`); without one it is a leaf. A
Function stores its inputs as the Functions that computed them, and leaves as they are:
a graph keeps an array only if an operation has stored it. Forward and backward receive
arrays, not tensors: derivatives are first order only.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.graph_tensor import Form, GraphTensor, describe
from tinyalex.modes import cast_inputs, casting, is_grad_enabled
from tinyalex.returned_gradients import checked


class _Observer(threading.local):
    """The observer of this thread's operations; gradcheck sets `start`."""

    start: Callable[..., Callable[[Any], None]] | None = None
    """Called with the class, the inputs and the options before each forward pass. What
    it returns is called with the output, if that is a tensor."""


observer = _Observer()


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

    # `__dict__` holds what `forward` stores; these are the engine's own attributes.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_data_version",
        "_input_versions",
        "inputs",
        "needs_input_grad",
        "result_form",
    )

    inputs: "tuple[Function | GraphTensor | None, ...] | None"
    """For each input that needs a gradient the Function that computed it, or the leaf;
    None for the others. None once freed."""
    needs_input_grad: tuple[bool, ...]
    result_form: Form
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
                f"{cls.__name__}.forward: expected one array to be returned, got {describe(array)}."
            )
        if first is None:
            return array
        output = first.result(array)
        if True in node.needs_input_grad:
            output.requires_grad, output.creator = True, node
            node.result_form, node._data_version = Form.of(output.data), 0
            node._input_versions = [
                source._data_version if isinstance(source, GraphTensor) else 0 for source in sources
            ]
        if finish:
            finish(output)
        return output


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


def _input_grads(node: Function, grad_output: Array | None) -> Sequence[Array | None]:
    """The gradients of the inputs of `node`; None for all if its result has none."""
    assert node.inputs is not None
    if grad_output is None:
        return (None,) * len(node.inputs)
    with device.on_device_of(grad_output):
        grads = node.backward(grad_output)
    return checked(node, grads, grad_output)


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
        f"backward: {role}, {kind} of shape {source.result_form.shape}, has been "
        "changed after the forward pass computed with it, by optimizer.step() or an assignment "
        "to .data: gradients would be wrong. Call backward() before the change, or run the "
        "forward pass again."
    )


def _free(node: Function) -> None:
    vars(node).clear()
    node.inputs = None
