"""The limits of a launch, which depend on the GPU's compute capability."""

import math
import operator
from dataclasses import dataclass

from tinyalex.emulator.errors import LimitError
from tinyalex.emulator.kernels.launch import Launch

MAX_THREADS = 1024
"""In a block. The limits of blocks and grids are the same for all of CAPABILITIES."""

MAX_GRID = (2**31 - 1, 65535, 65535)
MAX_BLOCK = (1024, 1024, 64)

SHARED_BYTES = 48 << 10
"""Shared memory of a block, unless the kernel's limit is raised."""


@dataclass(frozen=True)
class Capability:
    """A multiprocessor (CUDA C++ Programming Guide, "Technical Specifications").

    max_shared  bytes of shared memory that a block can request by raising the limit
    threads     resident threads
    """

    name: str
    max_shared: int
    threads: int

    @property
    def number(self) -> int:
        """As in sm_90."""
        return int(self.name.replace(".", ""))


CAPABILITIES = {
    capability.name: capability
    for capability in (
        Capability("7.5", 64 << 10, 1024),
        Capability("8.0", 163 << 10, 2048),
        Capability("8.6", 99 << 10, 1536),
        Capability("8.9", 99 << 10, 1536),
        Capability("9.0", 227 << 10, 2048),
        Capability("10.0", 227 << 10, 2048),
        Capability("12.0", 99 << 10, 1536),
    )
}


def checked_launch(
    name: str,
    grid: tuple[int, ...],
    block: tuple[int, ...],
    shared_bytes: int,
    max_dynamic_shared: int,
    capability: Capability,
    order: int,
) -> Launch:
    """A launch of kernel `name`; LimitError if the hardware would refuse it.

    The kernel's static shared memory and __launch_bounds__ are checked when it runs.
    """
    where = f"{name}: grid {grid} and block {block}"
    if math.prod(block) > MAX_THREADS or any(map(operator.gt, block, MAX_BLOCK)):
        raise LimitError(
            f"{where}: a block has at most {MAX_THREADS} threads, {MAX_BLOCK} per dimension."
        )
    if any(map(operator.gt, grid, MAX_GRID)):
        raise LimitError(f"{where}: a grid has at most {MAX_GRID} blocks per dimension.")
    if not 0 <= shared_bytes <= max_dynamic_shared:
        raise LimitError(
            f"{name}: {shared_bytes} bytes of dynamic shared memory, expected 0 to "
            f"{max_dynamic_shared}. Use less, or raise max_dynamic_shared_size_bytes first."
        )
    is_raised = max_dynamic_shared > SHARED_BYTES
    max_shared = capability.max_shared if is_raised else SHARED_BYTES
    if shared_bytes > max_shared:
        raise LimitError(
            f"{name}: {shared_bytes} bytes of dynamic shared memory, but a block has at most "
            f"{max_shared} on a GPU of compute capability {capability.name}."
        )
    return Launch.of(grid, block, shared_bytes, max_shared, order)
