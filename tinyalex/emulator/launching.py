"""One launch of one kernel."""

import ctypes
import operator
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex.emulator import arguments
from tinyalex.emulator.arena import Arena
from tinyalex.emulator.errors import LaunchError
from tinyalex.emulator.reports import MemoryUse, memory_report, memory_sites, source_lines

MAX_THREADS = 1024
"""In a block. The limits are the same on all GPUs that CUDA 13 knows."""

MAX_GRID = (2**31 - 1, 65535, 65535)
MAX_BLOCK = (1024, 1024, 64)

_one_at_a_time = threading.Lock()
"""The machine inside of a compiled library is a global variable, and Python lets other threads run during a call."""


class Launch(ctypes.Structure):
    """Mirrors cuda_on_cpu::Launch."""

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


class Kernel:
    """A compiled kernel, called as CuPy's RawKernel is: `kernel(grid, block, args, shared_mem=0)`.

    parameters                     what the kernel takes
    waits                          how often a thread waited at a barrier in the last launch
    max_dynamic_shared_size_bytes  as in CuPy: raise it to pass a larger `shared_mem`
    """

    def __init__(
        self,
        name: str,
        parameters: tuple[arguments.Parameter, ...],
        function: Callable[[Any, Any], int],
        library: Path,
        loaded: ctypes.CDLL,
        *,
        check: bool,
        stats: bool,
        unwrap: arguments.Unwrap | None,
    ):
        self.name = name
        self.parameters = parameters
        self.waits = 0
        self.max_dynamic_shared_size_bytes = 48 << 10
        self._function, self._library, self._loaded = function, library, loaded
        self._check, self._stats, self._unwrap = check, stats, unwrap
        self._memory_sites: str | None = None

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[object, ...],
        *,
        shared_mem: int = 0,
        order: int = 0,
    ) -> None:
        """Run it. order: 0 goes through blocks and threads forward, 1 in reverse, any other number shuffles them with it as the seed.

        Raises TypeError or ValueError for arguments that CuPy would misread, and LaunchError for a launch that no GPU takes or in
        which something went wrong. Arrays are then as far as the kernel got, or, in a checked build, untouched.
        """
        launch = self._launch(grid, block, shared_mem, order)
        values = arguments.check(self.name, self.parameters, tuple(args), self._unwrap)
        arena = Arena(self.parameters, values) if self._check else None
        addresses = [value.ctypes.data for value in values]
        if arena:
            launch.arena, launch.arena_bytes = arena.address, arena.nbytes
            launch.arrays, launch.array_count = ctypes.addressof(arena.spans), len(arena.spans)
            addresses = [
                arena.address_of(i) if p.is_pointer else addresses[i]
                for i, p in enumerate(self.parameters)
            ]
        # As cuLaunchKernel has it: the address of each argument, which for a pointer is where the pointer itself lies.
        pointers = np.array([*addresses, 0], np.uintp)
        slots = (ctypes.c_void_p * (len(values) + 1))(
            *(
                pointers[i:].ctypes.data if p.is_pointer else addresses[i]
                for i, p in enumerate(self.parameters)
            )
        )
        with _one_at_a_time:
            failed = self._function(ctypes.byref(launch), slots)
            if self._stats:
                self._memory_sites = memory_sites(self._loaded)
        self.waits = launch.waits
        if failed:
            raise LaunchError(
                f"{self.name}: {launch.error.decode(errors='replace')}{self._where(launch)}."
            )
        if arena:
            arena.copy_back(self.name)

    def memory_report(self) -> list[MemoryUse]:
        """What the last launch did to memory, by source line. For a module built with `stats=True`."""
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
        if not (
            isinstance(grid, tuple)
            and isinstance(block, tuple)
            and 0 < len(grid) <= 3
            and 0 < len(block) <= 3
        ):
            raise TypeError(f"{where} must be tuples of one to three ints.")
        blocks = [operator.index(n) for n in (*grid, 1, 1)][:3]
        threads = [operator.index(n) for n in (*block, 1, 1)][:3]
        if min(blocks) < 1 or min(threads) < 1:
            raise LaunchError(
                f"{where} are an empty launch, for which CuPy would run one block or thread. Do not launch at all."
            )
        if int(np.prod(threads)) > MAX_THREADS or any(map(operator.gt, threads, MAX_BLOCK)):
            raise LaunchError(
                f"{where}: a block has at most {MAX_THREADS} threads, {MAX_BLOCK} a side."
            )
        if any(map(operator.gt, blocks, MAX_GRID)):
            raise LaunchError(f"{where}: a grid has at most {MAX_GRID} blocks a side.")
        if not 0 <= shared_mem <= self.max_dynamic_shared_size_bytes:
            raise LaunchError(
                f"{self.name}: {shared_mem} bytes of dynamic shared memory, expected 0 to {self.max_dynamic_shared_size_bytes}. "
                "Use less, or raise max_dynamic_shared_size_bytes first."
            )
        if not 0 <= order < 2**32:
            raise ValueError(
                f"{self.name}: order is 0 (forward), 1 (reverse) or the seed of a shuffle below 2**32, got {order}."
            )
        return Launch(
            (ctypes.c_uint * 3)(*blocks), (ctypes.c_uint * 3)(*threads), shared_mem, order
        )

    def _where(self, launch: Launch) -> str:
        lines = source_lines(
            self._library, self._loaded, [address for address in launch.code if address]
        )
        return f" (at {' and '.join(lines)})" if lines else ""
