"""A kernel that is called as CuPy's, with NumPy arrays."""

import ctypes
import operator
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tinyalex.emulator.errors import LimitError
from tinyalex.emulator.kernels import arguments, limits
from tinyalex.emulator.kernels.arena import Arena, Pointer
from tinyalex.emulator.kernels.library import CompiledKernel
from tinyalex.emulator.kernels.memory_reports import MemoryUse, memory_report


@dataclass(eq=False, repr=False)
class Kernel:
    """A compiled kernel, called as CuPy's: `kernel(grid, block, args, shared_mem=0)`.

    waits                          number of waits at barriers in the last launch
    max_dynamic_shared_size_bytes  the limit of `shared_mem`, which may be raised as in
                                   CuPy
    """

    _compiled: CompiledKernel
    waits: int = 0
    max_dynamic_shared_size_bytes: int = limits.SHARED_BYTES
    _memory_sites: str | None = None

    @property
    def name(self) -> str:
        return self._compiled.name

    @property
    def parameters(self) -> tuple[arguments.Parameter, ...]:
        """Those of its signature."""
        return self._compiled.parameters

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[object, ...],
        *,
        shared_mem: int = 0,
        order: int = 0,
    ) -> None:
        """Run the kernel.

        order  of blocks and threads: 0 forward, 1 reverse, other values seed a shuffle

        Raises TypeError or ValueError for arguments that CuPy would misread, LimitError
        for a launch beyond a GPU's limits, and LaunchError for an error in the kernel.
        After an error, a checked build leaves the arrays unchanged; without checks,
        they contain what the kernel has written.
        """
        blocks, threads = self._sizes(grid, block)
        if not 0 <= order < 2**32:
            raise ValueError(
                f"{self.name}: expected order=0 (forward), 1 (reverse) or the seed of a shuffle "
                f"below 2**32, got {order}."
            )
        launch = limits.checked_launch(
            self.name,
            blocks,
            threads,
            shared_mem,
            self.max_dynamic_shared_size_bytes,
            limits.CAPABILITIES["9.0"],
            order,
        )
        compiled = self._compiled
        given = arguments.check(self.name, self.parameters, tuple(args))
        # As for cuLaunchKernel: the address of each value, and a pointer is a value.
        values = [
            np.array(x.ctypes.data, np.uint64) if parameter.is_pointer else x
            for x, parameter in zip(given, self.parameters, strict=True)
        ]
        slots = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        arena = Arena(list(self._pointers(given, values))) if compiled.is_checked else None
        try:
            self._memory_sites = compiled.run(launch, ctypes.addressof(slots), arena)
        finally:
            self.waits = launch.waits

    def _pointers(self, given: list[np.ndarray], values: list[np.ndarray]) -> Iterator[Pointer]:
        for i, (x, value, parameter) in enumerate(zip(given, values, self.parameters, strict=True)):
            if parameter.is_pointer:
                word = ctypes.c_size_t.from_address(value.ctypes.data)
                yield Pointer(i, word, x.nbytes, x.itemsize, parameter.is_const)
            elif parameter.arrays:
                yield from parameter.arrays.pointers(i, value.ctypes.data)

    def memory_report(self) -> list[MemoryUse]:
        """The last launch's memory traffic by source line; needs `stats=True`."""
        if not self._compiled.counts_memory:
            raise ValueError(
                f"{self.name}: memory accesses are counted in a Module(..., stats=True) only."
            )
        if self._memory_sites is None:
            raise ValueError(f"{self.name}: there is nothing to report before the kernel has run.")
        return memory_report(self._compiled.path, self._compiled.loaded, self._memory_sites)

    def _sizes(
        self, grid: tuple[int, ...], block: tuple[int, ...]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        where = f"{self.name}: grid {grid} and block {block}"
        if not all(isinstance(size, tuple) and 0 < len(size) <= 3 for size in (grid, block)):
            raise TypeError(f"{where} must be tuples of one to three ints.")
        blocks = tuple(operator.index(n) for n in (*grid, 1, 1))[:3]
        threads = tuple(operator.index(n) for n in (*block, 1, 1))[:3]
        if min(*blocks, *threads) < 1:
            raise LimitError(
                f"{where} are an empty launch, for which CuPy would run one block or thread. "
                "Skip the launch."
            )
        return blocks, threads
