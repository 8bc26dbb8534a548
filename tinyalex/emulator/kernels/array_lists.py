"""Lists of arrays, which a kernel gets in one argument: structs passed by value.

A struct is a list of arrays if it consists of the members

    T* of[N];      the arrays
    int size[N];   their numbers of elements, 0 after the last

A kernel that reads other pointers from a struct is not supported: the emulator could
not know the sizes of their arrays.
"""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tinyalex.emulator.kernels.arena import Pointer


@dataclass(frozen=True)
class ArrayList:
    """The type of a list: `length` is N, `dtype` that of the elements."""

    length: int
    is_const: bool
    dtype: np.dtype

    @property
    def layout(self) -> np.dtype:
        """The struct, as NumPy's dtype."""
        members = [("of", np.uint64, (self.length,)), ("size", np.int32, (self.length,))]
        return np.dtype(members, align=True)

    def pointers(self, argument: int, address: int) -> Iterator[Pointer]:
        """The pointers of the list at `address`, the value of an argument."""
        of = (ctypes.c_size_t * self.length).from_address(address)
        sizes = (ctypes.c_int * self.length).from_address(address + ctypes.sizeof(of))
        for i, size in enumerate(sizes):
            if size:
                word = ctypes.c_size_t.from_buffer(of, i * ctypes.sizeof(ctypes.c_size_t))
                item = self.dtype.itemsize
                yield Pointer(argument, word, size * item, item, self.is_const)
