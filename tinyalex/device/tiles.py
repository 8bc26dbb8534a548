"""A loop over the tiles of a batch, with scratch memory; on the CPU, in worker threads.

While workers run, BLAS is limited to one thread: its own threads inside those of the
pool would oversubscribe the cores. A batch of one image is one tile, which BLAS's own
threads multiply.
"""

import math
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from tinyalex.device import memory_pool
from tinyalex.device.arrays import Array, of, xp
from tinyalex.device.blas import blas_threads, single_threaded_blas, start_worker
from tinyalex.device.selection import memory

MAX_TILE_BYTES = 8 << 20
"""Scratch memory of a CPU tile: a core's share of the cache. Less slows BLAS down."""

GPU_TILE_MIB = 1024
"""Scratch memory of a GPU tile: sufficient for 128 images in each layer of AlexNet."""


def _from_environment() -> int:
    text = os.environ.get("TINYALEX_GPU_TILE_MIB") or str(GPU_TILE_MIB)
    if not text.isdecimal() or int(text) < 1:
        warnings.warn(
            f"TINYALEX_GPU_TILE_MIB: expected an integer of at least 1, got {text!r}. It is "
            "ignored.",
            stacklevel=1,
        )
        return GPU_TILE_MIB << 20
    return int(text) << 20


max_gpu_tile_bytes = _from_environment()
"""With half of a GPU's L2 cache, the columns of a convolution stay in it, but need more
launches. Whether that pays has not been measured (benchmarks/gpu.py does)."""

MAX_KEPT_BYTES = 4 << 20
"""Scratch memory with a name that a thread keeps for its lifetime. After a loop, larger
buffers return to the memory pool: other layers and activations use their memory."""


class Scratch:
    """Reusable buffers by name. Each tile overwrites those of the tile before."""

    def __init__(self, library: ModuleType) -> None:
        self.library = library
        self.buffers: dict[str, Array] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """An uninitialized array. Arrays in use together need different names."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        buffer = self.buffers.get(name)
        if buffer is None or buffer.size < size:
            del buffer
            self.buffers.pop(name, None)
            buffer = self.buffers[name] = self.library.empty((size,), np.uint8)
        return buffer[:size].view(dtype).reshape(shape)

    def release(self) -> None:
        """Delete the buffers larger than MAX_KEPT_BYTES."""
        for name in [name for name, b in self.buffers.items() if b.size > MAX_KEPT_BYTES]:
            del self.buffers[name]


Body = Callable[[int, int, Scratch], Any]


def for_tiles(
    batch: Array,
    bytes_each: int,
    body: Body,
    *,
    min_tile: int = 1,
    multiple: int = 1,
    single_threaded: bool = False,
    tiles: list[tuple[int, int]] | None = None,
) -> Any:
    """The sum of `body(lo, hi, scratch)` over tiles [lo, hi) that cover the batch.

    batch            an array with the length of the batch, on the device to use
    bytes_each       scratch memory per element of the batch; determines the tile size
    min_tile         tiles may have this many elements even if their scratch memory
                     exceeds MAX_TILE_BYTES
    multiple         the sizes of all tiles but the last are multiples of it
    single_threaded  run in the calling thread, for small batches
    tiles            the tiles to use instead, for example those of an earlier loop
    body             returns None, a new array, or a tuple of them; may run in several
                     threads at once, on tiles that do not overlap

    Tiles are assigned to workers by index, and partial sums are added in a fixed order:
    results are bitwise equal for the same number of workers. A GPU runs the tiles in
    sequence.
    """
    device = of(batch)
    serial = device != "cpu" or _thread.in_tile
    num_workers = 1 if serial or single_threaded else workers()
    if tiles is None:
        room = MAX_TILE_BYTES if device == "cpu" else _gpu_tile_bytes(device)
        most = max(1, min_tile, room // max(1, bytes_each))
        tiles = _cut(len(batch), most, num_workers, multiple)
    num_workers = min(num_workers, len(tiles))
    if serial:
        return _run(tiles, body, Scratch(xp(batch)))
    if num_workers == 1 and not single_threaded:
        return run_share(tiles, body)
    with single_threaded_blas():
        others = [
            _executor(workers() - 1).submit(run_share, tiles[worker::num_workers], body)
            for worker in range(1, num_workers)
        ]
        try:
            total = run_share(tiles[::num_workers], body)
        finally:
            for other in others:  # after an error too: no thread may write after the return
                other.exception()
    for part in others:
        total = _add(total, part.result())
    return total


def _gpu_tile_bytes(name: str) -> int:
    return min(max_gpu_tile_bytes, _memory_share(name))


@cache
def _memory_share(name: str) -> int:
    """An eighth of the memory that is free, or unused in CuPy's pool."""
    found = memory(name)
    return (found["free"] + found["holds"] - found["used"]) // 8


def _cut(n: int, max_size: int, num_workers: int, multiple: int = 1) -> list[tuple[int, int]]:
    """Tiles of nearly equal size, at most `max_size`, the same number per worker."""
    units, most = -(-n // multiple), max(1, max_size // multiple)
    count = min(units, -(-units // (most * num_workers)) * num_workers)
    bounds = (section(units, i, count) for i in range(count))
    # One tile for an empty batch: a sum over no images is zero, not None.
    return [(lo * multiple, min(hi * multiple, n)) for lo, hi in bounds] or [(0, 0)]


def section(total: int, part: int, parts: int) -> tuple[int, int]:
    """The range of one of `parts` sections of `total` elements; their sizes differ by
    at most 1."""
    return part * total // parts, (part + 1) * total // parts


def section_sizes(total: int, parts: int) -> list[int]:
    bounds = (section(total, part, parts) for part in range(parts))
    return [stop - start for start, stop in bounds]


@np.errstate(all="ignore")  # this setting is per thread
def _run(tiles: list[tuple[int, int]], body: Body, scratch: Scratch) -> Any:
    total = None
    for lo, hi in tiles:
        total = _add(total, body(lo, hi, scratch))
    return total


class _Thread(threading.local):
    """A thread's scratch memory, and whether it runs a tile."""

    def __init__(self) -> None:
        self.scratch, self.in_tile = Scratch(memory_pool), False


_thread = _Thread()


def run_share(tiles: list[tuple[int, int]], body: Body) -> Any:
    """The sum of a worker's tiles, in the calling thread, with its scratch memory."""
    # A nested for_tiles runs in the same thread: the other workers are busy and may
    # wait for this one.
    _thread.in_tile = True
    try:
        return _run(tiles, body, _thread.scratch)
    finally:
        _thread.in_tile = False
        _thread.scratch.release()


def _add(total: Any, part: Any) -> Any:
    if total is None or part is None:
        return part if total is None else total
    if isinstance(total, tuple):
        return tuple(map(_add, total, part))
    total += part
    return total


@cache
def workers() -> int:
    """The number of worker threads: TINYALEX_THREADS, that of `limit_threads`, or the
    cores available.

    One if threadpoolctl is missing: BLAS cannot be limited then.
    """
    if blas_threads() is None:
        return 1
    if text := os.environ.get("TINYALEX_THREADS"):
        if not text.isdigit() or int(text) < 1:
            raise ValueError(f"TINYALEX_THREADS: expected an integer of at least 1, got {text!r}.")
        return int(text)
    return _limit or len(cores())


def cores() -> set[int]:
    """The cores on which this process may run."""
    affinity = getattr(os, "sched_getaffinity", None)
    return affinity(0) if affinity else set(range(os.cpu_count() or 1))


_limit: int | None = None


def limit_threads(count: int) -> None:
    """Use at most `count` threads, for several processes on the same cores.

    Before the first computation. TINYALEX_THREADS, if set, has priority.
    """
    global _limit
    if count < 1:
        raise ValueError(f"limit_threads: expected at least 1, got {count}.")
    _limit = count
    workers.cache_clear()
    if (blas := blas_threads()) is not None:
        blas.limit(limits=workers(), user_api="blas")


@cache
def _executor(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, "tinyalex-worker", initializer=start_worker)


def _after_fork() -> None:
    """A child has no threads of its parent."""
    _executor.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
