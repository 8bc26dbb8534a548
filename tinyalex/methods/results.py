"""Operands of an operator, and results without a gradient."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyalex import device as devices
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.graph_tensor import GraphTensor
from tinyalex.methods.shapes import Size


def constant(x: GraphTensor, compute: Callable[[Array], Any]) -> Any:
    """`compute` of the array of `x`, as a tensor that needs no gradient."""
    with devices.on_device_of(x.data), np.errstate(all="ignore"):
        return x.result(devices.asarray(compute(x.data)))


def binary(op: type[Function], x: Any, y: Any) -> Any:
    """`op` on two operands. Python numbers do not change the dtype of the result."""
    if isinstance(x, GraphTensor) and isinstance(y, GraphTensor):
        return op.apply(x, y)
    for operand in (x, y):
        known = isinstance(operand, (GraphTensor, int, float, list, tuple))
        if not known and not devices.is_array(operand):
            return NotImplemented
    tensor = x if isinstance(x, GraphTensor) else y
    return op.apply(_operand(x, tensor), _operand(y, tensor))


def python_number(x: Any) -> Any:
    """A NumPy scalar as a Python number, which does not change dtypes."""
    return x.item() if isinstance(x, np.generic) else x


def _operand(x: Any, like: GraphTensor) -> Any:
    """Lists and arrays as tensors; lists are placed on the other operand's device."""
    if isinstance(x, Size):
        return int(x)  # NumPy would take it for an int64
    if isinstance(x, (list, tuple)):
        return like.result_class(x, device=devices.of(like.data))
    return like.result_class(x) if devices.is_array(x) and x.shape else x
