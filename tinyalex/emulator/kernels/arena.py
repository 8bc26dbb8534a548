"""The arrays of a checked launch: copies in one block of memory, separated by gaps."""

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinyalex.emulator.errors import LaunchError

GAP_BYTES = 1 << 16
"""An access further than this from an array may crash or hit another array."""

ALIGNMENT_BYTES = 256
"""As of cudaMalloc."""

FILL_BYTE = 0xC5


class ArraySpan(ctypes.Structure):
    """The range of an array's copy. Mirrors on_cpu::Launch::ArraySpan."""

    start: int
    bytes: int
    argument: int
    item_bytes: int
    is_const: bool
    _fields_ = (
        ("start", ctypes.c_size_t),
        ("bytes", ctypes.c_size_t),
        ("argument", ctypes.c_uint),
        ("item_bytes", ctypes.c_uint),
        ("is_const", ctypes.c_uint),
        ("padding", ctypes.c_uint),
    )

    @property
    def end(self) -> int:
        return self.start + self.bytes

    def of(self, memory: np.ndarray) -> np.ndarray:
        return memory[self.start : self.end]


class Pointer(NamedTuple):
    """A pointer in the value of an argument.

    argument    its index
    word        the pointer, at its place in the value
    bytes       of the array
    item_bytes  of an element
    is_const    whether it points to const
    """

    argument: int
    word: ctypes.c_size_t
    bytes: int
    item_bytes: int
    is_const: bool


class Arena:
    """Copies of the arrays, at which the pointers then point; arrays that overlap do so
    here too."""

    def __init__(self, pointers: Sequence[Pointer]):
        pointers = sorted(pointers, key=lambda pointer: pointer.word.value)
        self.spans = (ArraySpan * len(pointers))()
        # The current group of overlapping arrays: arena offset, address, end.
        start, address, end = 0, 0, -1
        used = 0
        for pointer, span in zip(pointers, self.spans, strict=True):
            own = pointer.word.value
            if own >= end:  # starts a group
                # Same misalignment as the array: a load of 16 bytes from x[1:] is an
                # error.
                start = -(-(used + GAP_BYTES) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES + own % 16
                address = own
            end = max(end, own + pointer.bytes)
            used = start + end - address
            span.start, span.bytes = start + own - address, pointer.bytes
            span.argument, span.item_bytes = pointer.argument, max(1, pointer.item_bytes)
            span.is_const = pointer.is_const
        memory = np.full(used + GAP_BYTES + ALIGNMENT_BYTES, FILL_BYTE, np.uint8)
        self._memory = memory[-memory.ctypes.data % ALIGNMENT_BYTES :]
        self._arrays = [_bytes(pointer) for pointer in pointers]
        for pointer, array, span in zip(pointers, self._arrays, self.spans, strict=True):
            span.of(self._memory)[...] = array
            pointer.word.value = self.address + span.start

    @property
    def address(self) -> int:
        return self._memory.ctypes.data

    @property
    def nbytes(self) -> int:
        return self._memory.nbytes

    def copy_back(self, kernel: str) -> None:
        """Copy what the kernel wrote to the arrays.

        Raises LaunchError for a write to a gap or through a pointer to const by a
        library function such as memcpy, which the checker does not see.
        """
        in_gaps = self._memory != FILL_BYTE
        for span in self.spans:
            span.of(in_gaps)[...] = False
        if in_gaps.any():
            i = int(np.flatnonzero(in_gaps)[0])
            nearest = min(self.spans, key=lambda s: min(abs(i - s.start), abs(i - s.end)))
            raise LaunchError(
                f"{kernel}: wrote out of bounds: element "
                f"{(i - nearest.start) // nearest.item_bytes} of argument {nearest.argument}, "
                f"which has {nearest.bytes // nearest.item_bytes}."
            )
        copies = list(zip(self._arrays, self.spans, strict=True))
        for array, span in copies:
            if not span.is_const:
                array[...] = span.of(self._memory)
        for array, span in copies:
            if span.is_const and not np.array_equal(array, span.of(self._memory)):
                raise LaunchError(f"{kernel}: wrote argument {span.argument}, a pointer to const.")


def _bytes(pointer: Pointer) -> np.ndarray:
    """The array's memory."""
    if pointer.bytes == 0:
        return np.empty(0, np.uint8)
    memory: Any = (ctypes.c_char * pointer.bytes).from_address(pointer.word.value)
    return np.frombuffer(memory, np.uint8)
