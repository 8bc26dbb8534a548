"""The requirements of gradcheck on a function, besides its gradient."""

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.gradient_check.numerical import NumericalGradient
from tinyalex.tensor import Tensor


def in_place_changes(numerical: NumericalGradient) -> list[str]:
    """The arrays that forward or backward changes in place; they are restored."""
    problems: list[str] = []
    leaves = numerical.leaves
    before = {name: device.to_numpy(t.data).copy() for name, t in leaves.items()}

    def compare(direction: str) -> None:
        for name, t in leaves.items():
            if not np.array_equal(device.to_numpy(t.data), before[name], equal_nan=True):
                problems.append(f"{direction} changes {name} in place. Work on a copy.")
                t.data[...] = device.to(before[name], t.device)

    y = numerical.call()
    compare("forward")
    cotangent = device.to(numerical.cotangent.copy(), y.device)
    if y.requires_grad:
        y.backward(cotangent)
        compare("backward")
        if not np.array_equal(device.to_numpy(cotangent), numerical.cotangent):
            problems.append(
                "backward changes grad_output in place. Other operations may hold the same array: "
                "work on a copy."
            )
    return problems


def nondeterminism(numerical: NumericalGradient) -> str | None:
    """The problem, if a second forward pass returns different values."""
    if np.array_equal(numerical.y, numerical.forward(), equal_nan=True):
        return None
    return (
        "Two forward passes with the same inputs differ. Draw random numbers with tinyalex "
        "(functional.dropout, device.generator): gradcheck repeats those. Keep no state in forward."
    )


def order_dependence(numerical: NumericalGradient) -> str | None:
    """The problem, if non-contiguous inputs raise an error or change a result."""
    expected = [numerical.y, *numerical.analytic().values()]
    names = ["the output", *(f"the gradient of {name}" for name in numerical.leaves)]
    with numerical.replaced(_noncontiguous):
        try:
            results = [numerical.forward(), *numerical.analytic().values()]
        except (ValueError, TypeError, AttributeError) as error:
            return f"Non-contiguous inputs raise: {error} Start with np.ascontiguousarray."
    for name, right, result in zip(names, expected, results, strict=True):
        if not np.allclose(result, right, rtol=1e-7, atol=1e-9, equal_nan=True):
            return (
                f"With non-contiguous inputs, {name} is different. Does the code assume a memory "
                "order?"
            )
    return None


def dtype_change(
    numerical: NumericalGradient, constants: list[Tensor], is_layer: bool
) -> str | None:
    """The problem, if float32 inputs result in another dtype.

    constants  the floating tensors of a Module that get no gradient

    Only a layer must return float32: other functions may contain float64 arrays.
    """
    with numerical.replaced(
        lambda a: device.to(device.to_numpy(a).astype(np.float32), device.of(a)), constants
    ):
        try:
            y = numerical.call()
        except (ValueError, TypeError):
            return None  # f contains float64 arrays, and layers reject mixed dtypes
        if is_layer and y.dtype != np.float32:
            return (
                f"With float32 inputs the output is {y.dtype}. A constant such as np.sqrt(2) "
                "turns float32 into float64, float(np.sqrt(2)) does not."
            )
        try:
            if y.requires_grad:
                y.backward(device.to(np.ones(y.shape, y.dtype), y.device))
        except ValueError as error:
            return f"With float32 inputs: {error}"
    return None


def _noncontiguous(a: Array) -> Array:
    """A copy that consists of every other element of a larger array."""
    if a.ndim == 0:
        return a
    with device.on_device_of(a):
        wide = device.xp(a).zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
        wide[..., ::2] = a
        return wide[..., ::2]
