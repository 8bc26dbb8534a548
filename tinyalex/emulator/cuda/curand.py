"""cuRAND's generators, which cupy.random's functions call, by NumPy's Philox.

The distributions are cuRAND's, the numbers are not.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyalex.emulator.cuda import memory
from tinyalex.emulator.cuda.api import (
    Double,
    Float,
    Handle,
    Pointer,
    Size,
    Status,
    api,
    new_handle,
    object_of,
    release_handle,
    store,
    store_wide,
)
from tinyalex.emulator.cuda.runtime.devices import thread
from tinyalex.emulator.cuda.runtime.streams import submit

TYPE_ERROR = 103
FIRST_QUASI = 200
"""curandRngType of the first quasi-random generator."""


class Generator:
    """A pseudo-random generator of any type: all draw the same numbers here."""

    def __init__(self) -> None:
        self.stream = 0
        self.restart(0)

    def restart(self, seed: int, offset: int = 0) -> None:
        """Start at an offset in the sequence of a seed."""
        self.seed = seed
        bits = np.random.Philox(seed)
        bits.advance(offset)
        self.numbers = np.random.Generator(bits)


def _fill(
    generator: int, output: int, count: int, dtype: Any, draw: Callable[[np.random.Generator], Any]
) -> None:
    memory.require("the output", output, count * np.dtype(dtype).itemsize, thread.device)
    found = object_of(generator, Generator)

    def do() -> None:
        memory.array(output, count, dtype)[...] = draw(found.numbers)

    submit(found.stream, "random numbers", do)


@api
def curandGetVersion(version: Pointer) -> None:
    store(version, 10400)


@api
def curandCreateGenerator(generator: Pointer, kind: int) -> None:
    if kind >= FIRST_QUASI:
        raise Status(TYPE_ERROR, "quasi-random generators are not emulated")
    store_wide(generator, new_handle(Generator()))


@api
def curandDestroyGenerator(generator: Handle) -> None:
    release_handle(generator, Generator)


@api
def curandSetStream(generator: Handle, stream: Handle) -> None:
    object_of(generator, Generator).stream = stream


@api
def curandSetPseudoRandomGeneratorSeed(generator: Handle, seed: Size) -> None:
    object_of(generator, Generator).restart(seed)


@api
def curandSetGeneratorOffset(generator: Handle, offset: Size) -> None:
    found = object_of(generator, Generator)
    found.restart(found.seed, offset)


@api
def curandSetGeneratorOrdering(generator: Handle, order: int) -> None:
    object_of(generator, Generator)


@api
def curandGenerate(generator: Handle, output: Pointer, count: Size) -> None:
    _fill(generator, output, count, np.uint32, lambda g: g.integers(0, 2**32, count, np.uint32))


@api
def curandGenerateLongLong(generator: Handle, output: Pointer, count: Size) -> None:
    _fill(generator, output, count, np.uint64, lambda g: g.bit_generator.random_raw(count))


@api
def curandGeneratePoisson(generator: Handle, output: Pointer, count: Size, mean: Double) -> None:
    _fill(generator, output, count, np.uint32, lambda g: g.poisson(mean, count))


@api
def curandGenerateUniform(generator: Handle, output: Pointer, count: Size) -> None:
    # In (0, 1]: cuRAND excludes 0, NumPy 1.
    _fill(generator, output, count, np.float32, lambda g: 1 - g.random(count, np.float32))


@api
def curandGenerateUniformDouble(generator: Handle, output: Pointer, count: Size) -> None:
    _fill(generator, output, count, np.float64, lambda g: 1 - g.random(count))


@api
def curandGenerateNormal(
    generator: Handle, output: Pointer, count: Size, mean: Float, std: Float
) -> None:
    _fill(generator, output, count, np.float32, lambda g: g.normal(mean, std, count))


@api
def curandGenerateNormalDouble(
    generator: Handle, output: Pointer, count: Size, mean: Double, std: Double
) -> None:
    _fill(generator, output, count, np.float64, lambda g: g.normal(mean, std, count))


@api
def curandGenerateLogNormal(
    generator: Handle, output: Pointer, count: Size, mean: Float, std: Float
) -> None:
    _fill(generator, output, count, np.float32, lambda g: g.lognormal(mean, std, count))


@api
def curandGenerateLogNormalDouble(
    generator: Handle, output: Pointer, count: Size, mean: Double, std: Double
) -> None:
    _fill(generator, output, count, np.float64, lambda g: g.lognormal(mean, std, count))
