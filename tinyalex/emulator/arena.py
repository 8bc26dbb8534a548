"""The arrays of a checked launch: copies in one block of memory, separated by gaps."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyalex.emulator.arguments import Parameter
from tinyalex.emulator.errors import LaunchError

GAP_BYTES = 1 << 16
"""An access further than this from an array may crash or hit another array."""

ALIGNMENT_BYTES = 256
"""That of cudaMalloc."""

FILL_BYTE = 0xC5


class ArraySpan(ctypes.Structure):
    """Mirrors cuda_on_cpu::Launch::ArraySpan."""

    _fields_ = (
        ("start", ctypes.c_size_t),
        ("bytes", ctypes.c_size_t),
        ("argument", ctypes.c_uint),
        ("item_bytes", ctypes.c_uint),
        ("is_const", ctypes.c_uint),
        ("padding", ctypes.c_uint),
    )


@dataclass(frozen=True)
class _Copy:
    """Where the copy of an array is in the arena."""

    array: np.ndarray
    argument: int
    is_const: bool
    start: int

    @property
    def end(self) -> int:
        return self.start + self.array.nbytes

    @property
    def span(self) -> ArraySpan:
        item_bytes = max(1, self.array.itemsize)
        return ArraySpan(self.start, self.array.nbytes, self.argument, item_bytes, self.is_const, 0)


class Arena:
    """Copies of the arrays in `values`; overlapping arrays overlap here too."""

    def __init__(self, parameters: Sequence[Parameter], values: Sequence[np.ndarray]):
        arrays = [i for i, parameter in enumerate(parameters) if parameter.is_pointer]
        arrays.sort(key=lambda i: values[i].ctypes.data)
        self._copies: list[_Copy] = []
        # The current group of overlapping arrays: arena offset, address, end.
        start, address, end = 0, 0, -1
        used = 0
        for i in arrays:
            array = values[i]
            if array.ctypes.data >= end:  # starts a group
                address = array.ctypes.data
                # As misaligned as the array: x[1:] must not suit a load of 16 bytes.
                start = _round_up(used + GAP_BYTES, ALIGNMENT_BYTES) + address % 16
            end = max(end, array.ctypes.data + array.nbytes)
            copy_start = start + array.ctypes.data - address
            self._copies.append(_Copy(array, i, parameters[i].is_const, copy_start))
            used = start + end - address
        memory = np.full(used + GAP_BYTES + ALIGNMENT_BYTES, FILL_BYTE, np.uint8)
        self._memory = memory[-memory.ctypes.data % ALIGNMENT_BYTES :]
        for copy in self._copies:
            self._memory[copy.start : copy.end] = _bytes(copy.array)
        self.spans = (ArraySpan * len(self._copies))(*(copy.span for copy in self._copies))

    @property
    def address(self) -> int:
        return self._memory.ctypes.data

    @property
    def nbytes(self) -> int:
        return self._memory.nbytes

    def address_of(self, argument: int) -> int:
        """The address of an argument's copy."""
        return self.address + next(c.start for c in self._copies if c.argument == argument)

    def copy_back(self, kernel: str) -> None:
        """Copy what the kernel wrote to the arrays.

        Raises LaunchError for a write to a gap or through a pointer to const by a
        library function such as memcpy, which the checker does not see.
        """
        in_gaps = self._memory != FILL_BYTE
        for copy in self._copies:
            in_gaps[copy.start : copy.end] = False
        if in_gaps.any():
            at = int(np.flatnonzero(in_gaps)[0])
            nearest = min(self._copies, key=lambda c: min(abs(at - c.start), abs(at - c.end)))
            element = (at - nearest.start) // nearest.array.itemsize
            raise LaunchError(
                f"{kernel}: wrote out of bounds: element {element} of argument "
                f"{nearest.argument}, which has {nearest.array.size}."
            )
        for copy in self._copies:
            if not copy.is_const:
                _bytes(copy.array)[...] = self._memory[copy.start : copy.end]
        for copy in self._copies:
            written = self._memory[copy.start : copy.end]
            if copy.is_const and not np.array_equal(_bytes(copy.array), written):
                raise LaunchError(f"{kernel}: wrote argument {copy.argument}, a pointer to const.")


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)
