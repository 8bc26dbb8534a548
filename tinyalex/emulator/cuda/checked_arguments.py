"""The arguments of a kernel that was built with checks of every memory access."""

import ctypes
from collections.abc import Iterator, Sequence

import numpy as np

from tinyalex.emulator.cuda import memory
from tinyalex.emulator.kernels.arena import Arena
from tinyalex.emulator.kernels.arguments import Parameter


class CheckedArguments:
    """Addresses of the arguments, with copies of the arrays in an arena.

    An array is what its allocation has from the pointer on: without CuPy's memory pool,
    its elements.
    """

    def __init__(self, parameters: Sequence[Parameter], addresses: Sequence[int]):
        arrays = [
            _array(address, parameter) if parameter.is_pointer else np.empty(0)
            for parameter, address in zip(parameters, addresses, strict=True)
        ]
        self.arena = Arena(parameters, arrays)
        copies = self.arena.addresses([0] * len(arrays))
        self._addresses = list(addresses)
        self._pointers = []
        for i, parameter in enumerate(parameters):
            if parameter.is_pointer and _pointer(addresses[i]):
                pointer = ctypes.c_size_t(copies[i])
                self._pointers.append(pointer)  # the kernel reads it
                self._addresses[i] = ctypes.addressof(pointer)

    def __iter__(self) -> Iterator[int]:
        return iter(self._addresses)


def _pointer(address: int) -> int:
    return ctypes.c_size_t.from_address(address).value


def _array(address: int, parameter: Parameter) -> np.ndarray:
    start = _pointer(address)
    dtype = np.dtype(np.uint8) if parameter.dtype is None else parameter.dtype
    block = memory.find(start)
    if block is None:
        return np.empty(0, dtype)
    return memory.array(start, (block.end - start) // dtype.itemsize, dtype)
