"""The arrays among a kernel's arguments: which memory they are."""

import ctypes
import math
from functools import partial

from tinyalex.emulator.kernels.arguments import Parameter
from tinyalex.emulator.kernels.array_lists import ArrayList
from tinyalex.emulator.kernels.memory_reports import SECTOR_BYTES


class PointerArgument:
    """An argument that is a pointer."""

    def extents(self, address: int) -> list[tuple[int, int]]:
        """Of each array, the first address and the bytes that are surely accessed."""
        return [(ctypes.c_size_t.from_address(address).value, 1)]

    def nbytes(self, address: int) -> None:
        """Not known."""


class ArrayArgument:
    """CuPy's array: pointer, number of elements, shape, and strides in bytes."""

    def __init__(self, parameter: Parameter):
        self._ndim = (parameter.bytes - 16) // 16
        self._words = ctypes.c_ssize_t * (2 + 2 * self._ndim)

    def extents(self, address: int) -> list[tuple[int, int]]:
        start, count, *sizes = self._words.from_address(address)
        if count == 0:
            return []
        first = last = start
        for n, stride in zip(sizes[: self._ndim], sizes[self._ndim :], strict=True):
            if stride < 0:
                first += (n - 1) * stride
            else:
                last += (n - 1) * stride
        return [(first, last - first + 1)]

    def nbytes(self, address: int) -> int:
        """Bytes of the different elements: those of a broadcast axis are the same.

        The size of an element is the least stride. In strided arrays it includes gaps,
        which are transferred too, up to a sector. Without a stride it is at most 8
        bytes.
        """
        _, count, *sizes = self._words.from_address(address)
        if count == 0:
            return 0
        axes = zip(sizes[: self._ndim], sizes[self._ndim :], strict=True)
        moving = [(n, abs(stride)) for n, stride in axes if stride and n > 1]
        least = min((stride for _, stride in moving), default=8)
        return math.prod(n for n, _ in moving) * min(least, SECTOR_BYTES)


class ListArgument:
    """A list of arrays."""

    def __init__(self, arrays: ArrayList):
        self._pointers = partial(arrays.pointers, 0)

    def extents(self, address: int) -> list[tuple[int, int]]:
        return [(pointer.word.value, pointer.bytes) for pointer in self._pointers(address)]

    def nbytes(self, address: int) -> int:
        return sum(pointer.bytes for pointer in self._pointers(address))


def of(parameter: Parameter) -> PointerArgument | ArrayArgument | ListArgument | None:
    """None for a parameter that is no array."""
    if parameter.is_pointer:
        return PointerArgument()
    if parameter.arrays:
        return ListArgument(parameter.arrays)
    return ArrayArgument(parameter) if parameter.code.startswith("A") else None
