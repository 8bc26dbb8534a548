"""The arrays of a checked launch: copies in one block of memory, separated by gaps."""

import ctypes
from collections.abc import Sequence

import numpy as np

from tinyalex.emulator.errors import LaunchError
from tinyalex.emulator.kernels.arguments import Parameter

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


class Arena:
    """Copies of the arrays in `values`; overlapping arrays overlap here too."""

    def __init__(self, parameters: Sequence[Parameter], values: Sequence[np.ndarray]):
        arguments = [i for i, parameter in enumerate(parameters) if parameter.is_pointer]
        arguments.sort(key=lambda i: values[i].ctypes.data)
        self._arrays = [values[i] for i in arguments]
        self.spans = (ArraySpan * len(arguments))()
        # The current group of overlapping arrays: arena offset, address, end.
        start, address, end = 0, 0, -1
        used = 0
        for i, array, span in zip(arguments, self._arrays, self.spans, strict=True):
            own = array.ctypes.data
            if own >= end:  # starts a group
                # Same misalignment as the array: a load of 16 bytes from x[1:] is an
                # error.
                start = -(-(used + GAP_BYTES) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES + own % 16
                address = own
            end = max(end, own + array.nbytes)
            used = start + end - address
            span.start, span.bytes = start + own - address, array.nbytes
            span.argument, span.item_bytes = i, max(1, array.itemsize)
            span.is_const = parameters[i].is_const
        memory = np.full(used + GAP_BYTES + ALIGNMENT_BYTES, FILL_BYTE, np.uint8)
        self._memory = memory[-memory.ctypes.data % ALIGNMENT_BYTES :]
        for array, span in zip(self._arrays, self.spans, strict=True):
            span.of(self._memory)[...] = _bytes(array)

    @property
    def address(self) -> int:
        return self._memory.ctypes.data

    @property
    def nbytes(self) -> int:
        return self._memory.nbytes

    def addresses(self, values: Sequence[int]) -> list[int]:
        """The addresses of the arguments, with those of the arrays' copies."""
        starts = {span.argument: self.address + span.start for span in self.spans}
        return [starts.get(i, address) for i, address in enumerate(values)]

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
                _bytes(array)[...] = span.of(self._memory)
        for array, span in copies:
            if span.is_const and not np.array_equal(_bytes(array), span.of(self._memory)):
                raise LaunchError(f"{kernel}: wrote argument {span.argument}, a pointer to const.")


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)
