"""Where the arrays of a checked launch lie: copies in one piece of memory, with gaps between them that nothing may touch."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyalex.emulator.arguments import Parameter
from tinyalex.emulator.errors import LaunchError

GAP = 1 << 16
"""Bytes. What goes wrong further away than this is not noticed, or crashes."""

ALIGNMENT = 256
"""As cudaMalloc aligns."""

FILL = 0xC5


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
class _Placed:
    array: np.ndarray
    argument: int
    is_const: bool
    start: int

    @property
    def end(self) -> int:
        return self.start + self.array.nbytes


class Arena:
    """Copies of the arrays among `values`; those that share memory share it here too."""

    def __init__(self, parameters: Sequence[Parameter], values: Sequence[np.ndarray]):
        arrays = [i for i, parameter in enumerate(parameters) if parameter.is_pointer]
        arrays.sort(key=lambda i: values[i].ctypes.data)
        self._placed: list[_Placed] = []
        start, address, end = 0, 0, -1
        used = 0
        # Arrays keep their own alignment to 16 bytes, what the widest load needs: a view such as x[1:] may be too badly aligned for it.
        for i in arrays:
            array = values[i]
            if array.ctypes.data >= end:  # apart from all arrays before it
                address = array.ctypes.data
                start = -(-(used + GAP) // ALIGNMENT) * ALIGNMENT + address % 16
            end = max(end, array.ctypes.data + array.nbytes)
            self._placed.append(
                _Placed(array, i, parameters[i].is_const, start + array.ctypes.data - address)
            )
            used = start + end - address
        memory = np.full(used + GAP + ALIGNMENT, FILL, np.uint8)
        self._memory = memory[-memory.ctypes.data % ALIGNMENT :]
        for item in self._placed:
            self._memory[item.start : item.end] = _bytes(item.array)
        self._spans = (ArraySpan * len(self._placed))(
            *(
                ArraySpan(
                    p.start, p.array.nbytes, p.argument, max(1, p.array.itemsize), p.is_const, 0
                )
                for p in self._placed
            )
        )

    @property
    def address(self) -> int:
        return self._memory.ctypes.data

    @property
    def nbytes(self) -> int:
        return self._memory.nbytes

    @property
    def spans(self) -> ctypes.Array:
        return self._spans

    def address_of(self, argument: int) -> int:
        """Where the copy of an argument lies."""
        return self.address + next(item.start for item in self._placed if item.argument == argument)

    def copy_back(self, kernel: str) -> None:
        """Gives the arrays what the kernel wrote, or raises LaunchError if it wrote where it must not.

        The checker has seen every write that the compiler knows of; this finds what a library function such as memcpy did.
        """
        outside = self._memory != FILL
        for item in self._placed:
            outside[item.start : item.end] = False
        if outside.any():
            at = int(np.flatnonzero(outside)[0])
            item = min(self._placed, key=lambda item: min(abs(at - item.start), abs(at - item.end)))
            element = (at - item.start) // item.array.itemsize
            raise LaunchError(
                f"{kernel}: wrote out of bounds: element {element} of argument {item.argument}, which has {item.array.size}."
            )
        written = [item for item in self._placed if not item.is_const]
        for item in written:
            _bytes(item.array)[...] = self._memory[item.start : item.end]
        for item in self._placed:
            if item.is_const and not np.array_equal(
                _bytes(item.array), self._memory[item.start : item.end]
            ):
                raise LaunchError(f"{kernel}: wrote argument {item.argument}, a pointer to const.")


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)
