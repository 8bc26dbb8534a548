"""Random distributions: the kernels of cupy.random.Generator that are compiled into
CuPy, by NumPy's Generator.

The distributions are CuPy's, the numbers are not.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyalex.emulator.cuda import memory
from tinyalex.emulator.cuda.api import Handle, Pointer, Size, callback
from tinyalex.emulator.cuda.runtime.devices import thread
from tinyalex.emulator.cuda.runtime.streams import submit

_generators: dict[int, np.random.Generator] = {}
"""By the address of CuPy's state, which is not used."""


def init_curand_generator(
    kind: int, state: Pointer, seed: Size, size: Size, stream: Handle
) -> None:
    def seed_it() -> None:
        _generators[state] = np.random.Generator(np.random.Philox(seed))

    submit(stream, "seed", seed_it)


def _draw(
    state: int,
    output: int,
    count: int,
    stream: int,
    dtype: Any,
    draw: Callable[[np.random.Generator], Any],
) -> None:
    memory.require("the output", output, count * np.dtype(dtype).itemsize, thread.device)

    def do() -> None:
        memory.array(output, count, dtype)[...] = draw(_generators[state])

    submit(stream, "random numbers", do)


def _parameter(address: int, count: int, dtype: Any) -> np.ndarray:
    """A parameter for each of `count` numbers.

    On the device are its pointer, number of axes, shape, and strides in bytes; the
    values are repeated if they are fewer.
    """
    pointer, ndim = (ctypes.c_ssize_t * 2).from_address(address)
    sizes = list((ctypes.c_ssize_t * (2 * ndim)).from_address(address + 16))
    shape, strides = sizes[:ndim], sizes[ndim:]
    itemsize = np.dtype(dtype).itemsize
    size = memory.require("a parameter", pointer, itemsize).end - pointer
    flat = memory.array(pointer, size // itemsize, dtype)
    array = np.lib.stride_tricks.as_strided(flat, shape, strides)
    return np.resize(array.reshape(-1), count)


def _without_parameters(dtype: Any, draw: Callable[[np.random.Generator, int], Any]) -> Any:
    def function(
        kind: int, state: Pointer, states: Size, output: Pointer, count: Size, stream: Handle
    ) -> None:
        _draw(state, output, count, stream, dtype, lambda g: draw(g, count))

    return callback(function)


def _with_parameters(name: str, dtype: Any, *dtypes: Any) -> Any:
    """A distribution with parameters of these dtypes, as NumPy's method of the name."""

    def function(
        kind: int,
        state: Pointer,
        states: Size,
        output: Pointer,
        count: Size,
        stream: Handle,
        first: Pointer,
        second: Pointer,
        third: Pointer,
    ) -> None:
        addresses = (first, second, third)

        def draw(generator: np.random.Generator) -> Any:
            pairs = zip(addresses, dtypes, strict=False)
            values = [_parameter(address, count, dtype_) for address, dtype_ in pairs]
            return getattr(generator, name)(*values)

        _draw(state, output, count, stream, dtype, draw)

    return callback(function)


def interval_32(
    kind: int,
    state: Pointer,
    states: Size,
    output: Pointer,
    count: Size,
    stream: Handle,
    maximum: Size,
    mask: Size,
) -> None:
    high = maximum & 0xFFFFFFFF
    _draw(
        state, output, count, stream, np.uint32,
        lambda g: g.integers(0, high, count, np.uint32, endpoint=True),
    )  # fmt: skip


def interval_64(
    kind: int,
    state: Pointer,
    states: Size,
    output: Pointer,
    count: Size,
    stream: Handle,
    maximum: Size,
    mask: Size,
) -> None:
    _draw(
        state, output, count, stream, np.uint64,
        lambda g: g.integers(0, maximum, count, np.uint64, endpoint=True),
    )  # fmt: skip


FUNCTIONS = {
    "init_curand_generator": callback(init_curand_generator),
    "interval_32": callback(interval_32),
    "interval_64": callback(interval_64),
    "raw": _without_parameters(np.uint32, lambda g, n: g.integers(0, 2**32, n, np.uint32)),
    "random_uniform": _without_parameters(np.float64, lambda g, n: g.random(n)),
    "random_uniform_float": _without_parameters(np.float32, lambda g, n: g.random(n, np.float32)),
    "standard_normal": _without_parameters(np.float64, lambda g, n: g.standard_normal(n)),
    "standard_normal_float": _without_parameters(
        np.float32, lambda g, n: g.standard_normal(n, np.float32)
    ),
    "exponential": _without_parameters(np.float64, lambda g, n: g.standard_exponential(n)),
    "beta": _with_parameters("beta", np.float64, np.float64, np.float64),
    "binomial": _with_parameters("binomial", np.int64, np.int32, np.float64),
    "geometric": _with_parameters("geometric", np.int64, np.float64),
    "hypergeometric": _with_parameters("hypergeometric", np.int64, np.int64, np.int64, np.int64),
    "logseries": _with_parameters("logseries", np.int64, np.float64),
    "poisson": _with_parameters("poisson", np.int64, np.float64),
    "standard_gamma": _with_parameters("standard_gamma", np.float64, np.float64),
}
