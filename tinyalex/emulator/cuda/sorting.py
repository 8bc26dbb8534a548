"""Sorting: the Thrust functions that are compiled into CuPy, by NumPy.

They sort along the last axis; CuPy has moved the others before it.
"""

import ctypes
import math
from typing import Any

import numpy as np

from tinyalex.emulator.cuda import memory
from tinyalex.emulator.cuda.api import NOT_SUPPORTED, Handle, Pointer, Size, Status, callback
from tinyalex.emulator.cuda.runtime.devices import thread
from tinyalex.emulator.cuda.runtime.streams import submit

# fmt: off
DTYPES: tuple[Any, ...] = (
    np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64,
    np.float16, np.float32, np.float64, np.complex64, np.complex128, np.bool_,
)
# fmt: on
"""By the number that CuPy's kernels have for a type."""


def _array(address: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    count = math.prod(shape)
    if count:
        size = count * np.dtype(dtype).itemsize
        memory.require("an array to sort", address, size, thread.device)
    return memory.array(address, count, dtype).reshape(shape)


def _dtype_of(number: int) -> Any:
    if not 0 <= number < len(DTYPES):
        raise Status(NOT_SUPPORTED, f"sorting CuPy's type {number} is not emulated")
    return DTYPES[number]


def _vector(address: int) -> tuple[int, ...]:
    """A std::vector<ptrdiff_t>."""
    begin, end = (ctypes.c_size_t * 2).from_address(address)
    return tuple((ctypes.c_ssize_t * ((end - begin) // 8)).from_address(begin))


def thrust_sort(
    dtype: int, data: Pointer, keys: Pointer, shape: Pointer, stream: Handle, pool: Pointer
) -> None:
    values = _array(data, _vector(shape), _dtype_of(dtype))
    submit(stream, "sort", lambda: values.sort(kind="stable"))


def thrust_argsort(
    dtype: int,
    index: Pointer,
    data: Pointer,
    keys: Pointer,
    shape: Pointer,
    stream: Handle,
    pool: Pointer,
) -> None:
    values = _array(data, _vector(shape), _dtype_of(dtype))
    order = _array(index, values.shape, np.int64)

    def sort() -> None:
        order[...] = values.argsort(kind="stable")

    submit(stream, "argsort", sort)


def thrust_lexsort(
    dtype: int,
    index: Pointer,
    keys: Pointer,
    count: Size,
    length: Size,
    stream: Handle,
    pool: Pointer,
) -> None:
    """The order of `length` elements by `count` keys, the last of which is primary."""
    values = _array(keys, (count, length), _dtype_of(dtype))
    order = _array(index, (length,), np.int64)

    def sort() -> None:
        order[...] = np.lexsort(list(values))

    submit(stream, "lexsort", sort)


FUNCTIONS = {
    function.__name__: callback(function)
    for function in (thrust_sort, thrust_argsort, thrust_lexsort)
}
