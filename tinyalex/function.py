"""Function: one operation, forward and backward; and `backward`, which walks the graph that the Functions make.

A graph is its Functions: each keeps the tensors it read, each tensor the Function that made it (`creator`), and a tensor without
one is a leaf. Forward and backward see plain arrays, never tensors, so derivatives are first order only.
"""

import threading
from collections.abc import Iterator
from contextlib import ContextDecorator
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array


class no_grad(ContextDecorator):  # noqa: N801 - used like a keyword: `with no_grad():` or `@no_grad()`
    """Within it, operations make no graph and keep nothing for a backward pass."""

    class _Depth(threading.local):
        value = 0

    depth = _Depth()

    def __enter__(self) -> None:
        self.depth.value += 1

    def __exit__(self, *error: object) -> None:
        self.depth.value -= 1


class Function:
    """One operation. Subclass it with

        forward(self, *arrays, **options) -> one array
        backward(self, grad_output)       -> one gradient for each array input, in their order

    `forward` keeps what `backward` needs as plain attributes of self. A gradient has its input's shape and dtype, or is None
    where there is none; with a single input it need not be in a tuple. `self.needs_input_grad`, readable in both, has a bool for
    each input: what is False need not be computed. None of them changes an array it was given.

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

    inputs: "tuple[Any, ...] | None"
    """For each input the tensor to send a gradient to, or None. The tuple is replaced by None once the graph is freed."""
    needs_input_grad: tuple[bool, ...]

    def forward(self, *arrays: Any, **options: Any) -> Array:
        raise TypeError(
            f"{type(self).__name__} has no forward(self, *arrays). Write one; see help(tinyalex.Function)."
        )

    def backward(self, grad_output: Array) -> Any:
        raise TypeError(
            f"{type(self).__name__} has no backward(self, grad_output). Write one; see help(tinyalex.Function)."
        )

    @classmethod
    def apply(cls, *inputs: Any, **options: Any) -> Any:
        """Run forward on the inputs (tensors, arrays, numbers, None) and remember how to come back.

        The output is a tensor if one of the inputs is. Without any it is the array that forward returned.
        """
        node = cls()
        tensors = [x if _is_tensor(x) else None for x in inputs]
        recording = no_grad.depth.value == 0
        node.inputs = tuple(
            t if t is not None and t.requires_grad and recording else None for t in tensors
        )
        node.needs_input_grad = tuple(t is not None for t in node.inputs)
        arrays = [x if t is None else t.data for x, t in zip(inputs, tensors, strict=True)]
        place = device.common(cls.__name__, arrays)
        # Without warnings: inf and NaN are answers here, as in the field's other frameworks and on the GPU.
        with device.on(place), np.errstate(all="ignore"):
            array = node.forward(*arrays, **options)
        if not device.is_array(array):
            raise TypeError(
                f"{cls.__name__}.forward: expected one array to be returned, got {_describe(array)}."
            )
        first = next((t for t in tensors if t is not None), None)
        if first is None:
            return array
        output = first.result_class(array, device=device.of(array))
        if any(node.needs_input_grad):
            output.requires_grad, output.creator = True, node
        return output


def _is_tensor(x: object) -> bool:
    return hasattr(x, "creator")


def _describe(x: object) -> str:
    return f"{x.dtype} array of shape {x.shape}" if device.is_array(x) else f"a {type(x).__name__}"  # type: ignore[attr-defined]


@np.errstate(all="ignore")
def backward(root: Any, grad: Array, retain_graph: bool) -> None:
    """Add d(sum of root*grad)/d(leaf) to the `.grad` of each leaf that `root` was made from.

    A gradient is complete when all uses of its tensor have sent their share; only then is it passed on. So uses are counted first,
    and each Function runs once, however often its output is used.
    """
    uses_left = _count_uses(root)
    collected: dict[Any, Array] = {_node(root): grad}
    ready = [root]
    while ready:
        tensor = ready.pop()
        node = tensor.creator
        total = collected.pop(_node(tensor), None)
        if node is None:
            if total is not None:
                tensor.accumulate_grad(total)
            continue
        for source, share in zip(node.inputs, _input_grads(node, total), strict=True):
            if source is None:
                continue
            key = _node(source)
            if share is not None:
                with device.on_device_of(share):
                    collected[key] = (
                        device.asarray(collected[key] + share) if key in collected else share
                    )
            uses_left[key] -= 1
            if uses_left[key] == 0:
                ready.append(source)
        if not retain_graph:
            _free(node)


def _node(tensor: Any) -> Any:
    """What a gradient belongs to: the Function that made the tensor, or the tensor where it is a leaf."""
    return tensor if tensor.creator is None else tensor.creator


def _count_uses(root: Any) -> dict[Any, int]:
    """How often each Function's output and each leaf is read by the Functions that `root` depends on."""
    uses: dict[Any, int] = {_node(root): 0}
    to_visit = [root.creator] if root.creator is not None else []
    while to_visit:
        node = to_visit.pop()
        if node.inputs is None:
            raise RuntimeError(
                f"backward: the graph behind {type(node).__name__} has been freed by an earlier backward(). "
                "Run the forward pass again, or call the first backward(retain_graph=True)."
            )
        for source in node.inputs:
            if source is None:
                continue
            key = _node(source)
            if key not in uses and source.creator is not None:
                to_visit.append(source.creator)
            uses[key] = uses.get(key, 0) + 1
    return uses


def _input_grads(node: Function, grad_output: Array | None) -> tuple[Array | None, ...]:
    """What `node.backward` returns, held to what the class promises."""
    expected = len(node.needs_input_grad)
    if grad_output is None:
        return (None,) * expected
    with device.on_device_of(grad_output):
        grads = node.backward(grad_output)
    grads = grads if isinstance(grads, (tuple, list)) else (grads,)
    name = type(node).__name__
    if len(grads) != expected:
        raise ValueError(
            f"{name}.backward: expected {expected} gradients, one for each input of forward, got {len(grads)}. "
            "Return None in the place of an input that has none."
        )
    assert node.inputs is not None
    held = {id(_owner(a)) for a in (grad_output, *_arrays_of(node))}
    checked: list[Array | None] = []
    for i, (source, grad) in enumerate(zip(node.inputs, grads, strict=True)):
        if source is None or grad is None:
            checked.append(None)
            continue
        if (
            not device.is_array(grad)
            or grad.shape != source.shape
            or grad.dtype != source.dtype
            or not _beside(grad, source)
        ):
            raise ValueError(
                f"{name}.backward: gradient {i} is {_describe(grad)}, but input {i} is {source.dtype} array of shape {source.shape}. "
                + _advice(grad, source)
            )
        # A leaf keeps what it is given for good, and others may have the same memory: another leaf, or the operation itself.
        grad = device.asarray(grad)
        with device.on_device_of(grad):
            checked.append(
                grad.copy() if source.creator is None and id(_owner(grad)) in held else grad
            )
        held.add(id(_owner(grad)))
    return tuple(checked)


def _arrays_of(node: Function) -> Iterator[Array]:
    """What an operation read and what it keeps as attributes, alone or in a tuple or list."""
    yield from (source.data for source in node.inputs or () if source is not None)
    for value in vars(node).values():
        yield from (
            part
            for part in (value if isinstance(value, (tuple, list)) else (value,))
            if device.is_array(part)
        )


def _owner(a: Array) -> Array:
    """The array whose memory this one looks at."""
    while device.is_array(getattr(a, "base", None)):
        a = a.base
    return a


def _beside(grad: Array, source: Any) -> bool:
    """Whether a gradient lies on its input's device."""
    return device.of(grad) == device.of(source.data)


def _advice(grad: Any, source: Any) -> str:
    if not device.is_array(grad):
        return "Return an array."
    if not _beside(grad, source):
        return f"Make it on the input's device, {device.of(source.data)}, with xp = device.xp(grad_output); it lies on {device.of(grad)}."
    if grad.shape != source.shape:
        return "If the input was broadcast, sum its gradient over the repeated axes."
    return f"Return it as {source.dtype}; a constant such as np.float64(1/n) turns float32 into float64, a Python float does not."


def _free(node: Function) -> None:
    needs = node.needs_input_grad
    node.__dict__.clear()
    node.inputs, node.needs_input_grad = None, needs
