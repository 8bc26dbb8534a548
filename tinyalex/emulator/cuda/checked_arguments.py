"""The arguments of a kernel that was built with checks of every memory access."""

import ctypes
from collections.abc import Iterator, Sequence

from tinyalex.emulator.cuda import memory
from tinyalex.emulator.kernels.arena import Arena, Pointer
from tinyalex.emulator.kernels.arguments import Parameter


def values(
    parameters: Sequence[Parameter], addresses: Sequence[int]
) -> list[ctypes.Array[ctypes.c_char]]:
    """Copies of the arguments' values."""
    return [
        ctypes.create_string_buffer(ctypes.string_at(address, parameter.bytes), parameter.bytes)
        for address, parameter in zip(addresses, parameters, strict=True)
    ]


class CheckedArguments:
    """Addresses of the arguments' values, whose pointers are to copies in an arena.

    An array is what its allocation has from the pointer on: without CuPy's memory pool,
    its elements.
    """

    def __init__(self, parameters: Sequence[Parameter], addresses: Sequence[int]):
        self._values = values(parameters, addresses)
        arguments = enumerate(zip(self, parameters, strict=True))
        self.arena = Arena([p for i, argument in arguments for p in _pointers(i, *argument)])

    def __iter__(self) -> Iterator[int]:
        return map(ctypes.addressof, self._values)


def _pointers(i: int, address: int, parameter: Parameter) -> Iterator[Pointer]:
    if parameter.arrays:
        yield from parameter.arrays.pointers(i, address)
    elif parameter.is_pointer:
        word = ctypes.c_size_t.from_address(address)
        if word.value:
            item = parameter.dtype.itemsize if parameter.dtype else 1
            block = memory.find(word.value)
            size = (block.end - word.value) // item * item if block else 0
            yield Pointer(i, word, size, item, parameter.is_const)
