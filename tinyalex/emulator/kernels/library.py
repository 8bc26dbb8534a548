"""Load a compiled .cu file, and run its kernels."""

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyalex.emulator.errors import LaunchError, LimitError
from tinyalex.emulator.kernels import arguments
from tinyalex.emulator.kernels.arena import Arena
from tinyalex.emulator.kernels.launch import Launch, Stacks
from tinyalex.emulator.kernels.memory_reports import memory_sites, source_lines

_launch_lock = threading.Lock()
"""A compiled library keeps the state of a launch in global variables."""

_stacks = Stacks()
"""Lent to each launch; the libraries allocate them."""


@dataclass(frozen=True, eq=False)
class CompiledKernel:
    """A kernel in a loaded library.

    is_checked     built with checks of every memory access; `run` needs an arena
    counts_memory  and counts sectors and bank conflicts
    """

    name: str
    parameters: tuple[arguments.Parameter, ...]
    path: Path
    loaded: ctypes.CDLL
    is_checked: bool
    counts_memory: bool
    _function: Callable[[Any, Any], int]

    def run(self, launch: Launch, slots: int, arena: Arena | None = None) -> str | None:
        """Run the kernel; the counts of memory accesses, if it has them.

        slots  address of an array with the address of each argument's value
        arena  copies of the arrays, to which the slots point

        Raises LimitError or LaunchError. After an error, the arrays in the arena are
        not copied back.
        """
        if arena:
            launch.arena, launch.arena_bytes = arena.address, arena.nbytes
            launch.arrays, launch.array_count = ctypes.addressof(arena.spans), len(arena.spans)
        launch.stacks = ctypes.pointer(_stacks)
        with _launch_lock:
            failed = self._function(ctypes.addressof(launch), slots)
            sites = memory_sites(self.loaded) if self.counts_memory else None
        if failed:
            error = launch.error.decode(errors="replace")
            error_type = LimitError if launch.exceeds_limits else LaunchError
            raise error_type(f"{self.name}: {error}{self._source_lines(launch)}.")
        if arena:
            arena.copy_back(self.name)
        return sites

    def _source_lines(self, launch: Launch) -> str:
        addresses = [address for address in launch.code if address]
        lines = source_lines(self.path, self.loaded, addresses)
        return f" (at {' and '.join(lines)})" if lines else ""


def load(path: Path) -> dict[str, CompiledKernel]:
    """The kernels of a library that `compiling` has built, by name."""
    loaded = ctypes.CDLL(str(path))
    loaded.kernel_names.restype = ctypes.c_char_p
    names = loaded.kernel_names().decode().splitlines()
    kernels = {}
    for i, name in enumerate(names):
        signature = getattr(loaded, f"signature_{i}")
        signature.restype = ctypes.c_char_p
        function = getattr(loaded, f"launch_{i}")
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        kernels[name] = CompiledKernel(
            name,
            arguments.parse_signature(signature().decode()),
            path,
            loaded,
            is_checked=hasattr(loaded, "load_address"),
            counts_memory=hasattr(loaded, "memory_sites"),
            _function=function,
        )
    return kernels
