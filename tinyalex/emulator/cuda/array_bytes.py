"""The bytes of the arrays among a kernel's arguments, as far as they are known."""

import ctypes
import math
from collections.abc import Sequence

from tinyalex.emulator.kernels.arguments import Parameter


def array_bytes(parameters: Sequence[Parameter], addresses: Sequence[int]) -> int | None:
    """Of all arrays, each once; None if one is a pointer, whose size is not known.

    addresses  of the arguments' values
    """
    total = 0
    for parameter, address in zip(parameters, addresses, strict=True):
        if parameter.is_pointer:
            return None
        if parameter.code.startswith("A"):
            total += _of_cupy((parameter.bytes - 16) // 16, address)
        elif parameter.arrays:
            total += sum(pointer.bytes for pointer in parameter.arrays.pointers(0, address))
    return total


def _of_cupy(ndim: int, address: int) -> int:
    """Of CuPy's array: pointer, number of elements, shape, and strides in bytes.

    The elements along a broadcast axis are the same. The size of an element is the
    least stride. In strided arrays it includes gaps, which are transferred too. Without
    a stride it is at most 8 bytes.
    """
    _, count, *sizes = (ctypes.c_ssize_t * (2 + 2 * ndim)).from_address(address)
    if count == 0:
        return 0
    axes = zip(sizes[:ndim], sizes[ndim:], strict=True)
    moving = [(n, abs(stride)) for n, stride in axes if stride and n > 1]
    return math.prod(n for n, _ in moving) * min((stride for _, stride in moving), default=8)
