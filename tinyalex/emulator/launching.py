"""Launch a compiled kernel."""

import ctypes
import operator
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex.emulator import arguments
from tinyalex.emulator.arena import Arena
from tinyalex.emulator.errors import LaunchError
from tinyalex.emulator.memory_reports import MemoryUse, memory_report, memory_sites, source_lines

MAX_THREADS = 1024
"""In a block. These limits are the same for all GPUs that CUDA 13 supports."""

MAX_GRID = (2**31 - 1, 65535, 65535)
MAX_BLOCK = (1024, 1024, 64)

_launch_lock = threading.Lock()
"""A compiled library keeps the state of a launch in global variables."""


class Launch(ctypes.Structure):
    """Mirrors on_cpu::Launch."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("order", ctypes.c_uint),
        ("waits", ctypes.c_uint64),
        ("error", ctypes.c_char * 512),
        ("code", ctypes.c_void_p * 2),
        ("arena", ctypes.c_void_p),
        ("arena_bytes", ctypes.c_size_t),
        ("arrays", ctypes.c_void_p),
        ("array_count", ctypes.c_size_t),
    )


@dataclass(eq=False, repr=False)
class Kernel:
    """A compiled kernel, called as CuPy's: `kernel(grid, block, args, shared_mem=0)`.

    parameters                     those of its signature
    waits                          number of waits at barriers in the last launch
    max_dynamic_shared_size_bytes  the limit of `shared_mem`, which may be raised as in
                                   CuPy
    """

    name: str
    parameters: tuple[arguments.Parameter, ...]
    _function: Callable[[Any, Any], int]
    _library: Path
    _loaded: ctypes.CDLL
    _check: bool
    _stats: bool
    _unwrap: arguments.Unwrap | None
    waits: int = 0
    max_dynamic_shared_size_bytes: int = 48 << 10
    _memory_sites: str | None = None

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

        Raises TypeError or ValueError for arguments that CuPy would misread, and
        LaunchError for a launch beyond a GPU's limits or an error in the kernel. After
        an error, a checked build leaves the arrays unchanged; without checks, they
        contain what the kernel has written.
        """
        launch = self._launch(grid, block, shared_mem, order)
        values = arguments.check(self.name, self.parameters, tuple(args), self._unwrap)
        addresses = [value.ctypes.data for value in values]
        arena = Arena(self.parameters, values) if self._check else None
        if arena:
            launch.arena, launch.arena_bytes = arena.address, arena.nbytes
            launch.arrays, launch.array_count = ctypes.addressof(arena.spans), len(arena.spans)
            for i, parameter in enumerate(self.parameters):
                if parameter.is_pointer:
                    addresses[i] = arena.address_of(i)
        # As for cuLaunchKernel: the address of each value, or of an array's pointer.
        pointers = (ctypes.c_void_p * len(values))(*addresses)
        first, step = ctypes.addressof(pointers), ctypes.sizeof(ctypes.c_void_p)
        slots = (ctypes.c_void_p * len(values))(
            *(
                first + i * step if parameter.is_pointer else addresses[i]
                for i, parameter in enumerate(self.parameters)
            )
        )
        with _launch_lock:
            failed = self._function(ctypes.byref(launch), slots)
            if self._stats:
                self._memory_sites = memory_sites(self._loaded)
        self.waits = launch.waits
        if failed:
            error = launch.error.decode(errors="replace")
            raise LaunchError(f"{self.name}: {error}{self._source_lines(launch)}.")
        if arena:
            arena.copy_back(self.name)

    def memory_report(self) -> list[MemoryUse]:
        """The last launch's memory traffic by source line; needs `stats=True`."""
        if not self._stats:
            raise ValueError(
                f"{self.name}: memory accesses are counted in a Module(..., stats=True) only."
            )
        if self._memory_sites is None:
            raise ValueError(f"{self.name}: there is nothing to report before the kernel has run.")
        return memory_report(self._library, self._loaded, self._memory_sites)

    def _launch(
        self, grid: tuple[int, ...], block: tuple[int, ...], shared_mem: int, order: int
    ) -> Launch:
        where = f"{self.name}: grid {grid} and block {block}"
        if not all(isinstance(size, tuple) and 0 < len(size) <= 3 for size in (grid, block)):
            raise TypeError(f"{where} must be tuples of one to three ints.")
        blocks = [operator.index(n) for n in (*grid, 1, 1)][:3]
        threads = [operator.index(n) for n in (*block, 1, 1)][:3]
        if min(*blocks, *threads) < 1:
            raise LaunchError(
                f"{where} are an empty launch, for which CuPy would run one block or thread. "
                "Skip the launch."
            )
        if int(np.prod(threads)) > MAX_THREADS or any(map(operator.gt, threads, MAX_BLOCK)):
            raise LaunchError(
                f"{where}: a block has at most {MAX_THREADS} threads, {MAX_BLOCK} per dimension."
            )
        if any(map(operator.gt, blocks, MAX_GRID)):
            raise LaunchError(f"{where}: a grid has at most {MAX_GRID} blocks per dimension.")
        if not 0 <= shared_mem <= self.max_dynamic_shared_size_bytes:
            raise LaunchError(
                f"{self.name}: {shared_mem} bytes of dynamic shared memory, expected 0 to "
                f"{self.max_dynamic_shared_size_bytes}. "
                "Use less, or raise max_dynamic_shared_size_bytes first."
            )
        if not 0 <= order < 2**32:
            raise ValueError(
                f"{self.name}: expected order=0 (forward), 1 (reverse) or the seed of a shuffle "
                f"below 2**32, got {order}."
            )
        sizes = (ctypes.c_uint * 3)(*blocks), (ctypes.c_uint * 3)(*threads)
        return Launch(*sizes, shared_mem, order)

    def _source_lines(self, launch: Launch) -> str:
        addresses = [address for address in launch.code if address]
        lines = source_lines(self._library, self._loaded, addresses)
        return f" (at {' and '.join(lines)})" if lines else ""
