"""The gradients that a backward method returns: checked, and in memory of their own."""

from collections.abc import Sequence
from typing import Any

from tinyalex import device
from tinyalex.device import Array
from tinyalex.graph_tensor import Form, GraphTensor, describe


def checked(node: Any, grads: Any, grad_output: Array) -> Sequence[Array | None]:
    """What `node.backward(grad_output)` returned, as one array or None for each input.

    The gradients of leaves are copied if they share memory with another array in use:
    users may modify a leaf's `.grad` in place. The backward of `z = x + y` returns
    grad_output itself for both x and y: without a copy, `x.grad *= 2` would change
    `y.grad` as well. If `backward` returned a stored input, `x.grad *= 2` would change
    that input's data. They are also copied if elements share memory, as in the result
    of broadcast_to.

    node  the Function

    Raises ValueError for a gradient that does not match its input.
    """
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
        if advice := _mismatch(grad, form := source.result_form):
            raise ValueError(
                f"{type(node).__name__}.backward: gradient {i} is {describe(grad)}, but input {i} "
                f"is {form}. {advice}"
            )
        grad = device.asarray(grad)
        if isinstance(source, GraphTensor):
            in_use = in_use or _memory_in_use(node, grad_output)
            owner = _owner(grad)
            is_shared = id(owner) in in_use or sum(_owner(other) is owner for other in grads) > 1
            if is_shared or _repeats_elements(grad):
                with device.on_device_of(grad):
                    grad = grad.copy()
        results.append(grad)
    return results


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


def _memory_in_use(node: Any, grad_output: Array) -> set[int]:
    """The ids of the arrays that own the memory of grad_output, of leaves, and of what
    `forward` stored."""
    arrays = [grad_output, *(x.data for x in node.inputs or () if isinstance(x, GraphTensor))]
    for value in vars(node).values():
        arrays += value if isinstance(value, (tuple, list)) else (value,)
    return {id(_owner(a)) for a in arrays}


def _repeats_elements(a: Array) -> bool:
    return any(step == 0 and n > 1 for step, n in zip(a.strides, a.shape, strict=True))


def _owner(a: Any) -> Any:
    """The array that owns the memory of `a`; other objects are returned as they are."""
    while (base := getattr(a, "base", None)) is not None and device.is_array(base):
        a = base
    return a
