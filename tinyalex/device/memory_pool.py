"""A pool of CPU memory, for arrays and for the scratch memory of tiles.

The system zeroes new memory page by page on first access, which costs about as much as
computing what is stored there. The pool therefore reuses the memory of deleted arrays,
as CuPy's pool does on a GPU.

Large segments of address space are reserved, and divided into blocks. An array takes a
part of the smallest free block that is large enough; when it is deleted, the part is
merged with its free neighbours. Sizes need not recur, and the end of a segment, which
takes no physical memory until its first access, is used only if nothing else fits.
"""

import math
import os
import threading
import weakref
from bisect import bisect
from collections import deque
from typing import Any, NamedTuple

import numpy as np

MIN_POOLED_BYTES = 1 << 20
"""NumPy's own allocator reuses smaller blocks."""

SEGMENT_BYTES = 1 << 30
"""Address space that is reserved at once."""

ALIGNMENT = 64
"""A cache line: vector loads that are not aligned touch two."""


class Block(NamedTuple):
    """The bytes [start, stop) of a segment."""

    segment: int
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialized C-contiguous array from the memory pool."""
    return _pool.empty(shape, dtype)


class MemoryPool:
    """Blocks of the segments, in use and free."""

    def __init__(self) -> None:
        self.renew_lock()
        self.segments: dict[int, np.ndarray] = {}
        self.free: list[Block] = []
        """In the order of their addresses; no two of them are adjacent."""
        self.touched: dict[int, int] = {}
        """The end of the memory of a segment that has been in use."""
        self.returned: deque[Block] = deque()
        """Filled by finalizers, which may run while this thread holds the lock."""
        self.bytes_in_use = 0
        self.peak_bytes = 0
        """The most that was in use at once."""

    def renew_lock(self) -> None:
        """After a fork: another thread of the parent may have held the lock."""
        # A finalizer or a signal handler may allocate while its thread holds the lock.
        self.lock, self.holder = threading.RLock(), 0

    @property
    def bytes_held(self) -> int:
        """Bytes of physical memory: of all addresses that have been in use."""
        return sum(self.touched.values())

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An uninitialized C-contiguous array."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        # A finalizer may interrupt this thread while it holds the lock, and allocate.
        if size < MIN_POOLED_BYTES or self.holder == threading.get_ident():
            return np.empty(shape, dtype)
        memory, block = self._take(-(-size // ALIGNMENT) * ALIGNMENT)
        # A memoryview makes `array` the base of its views, so that the finalizer runs
        # after the last of them.
        array = np.frombuffer(memory.data, np.uint8, size, block.start)
        weakref.finalize(array, self.returned.append, block).atexit = False
        return array.view(dtype).reshape(shape)

    def _take(self, size: int) -> tuple[np.ndarray, Block]:
        """A block, and its segment."""
        with self.lock:
            self.holder = threading.get_ident()
            try:
                self.collect_returned()
                if (block := self._find_free(size)) is None:
                    self._add_segment(size)
                    block = self._find_free(size)
                    assert block is not None
                self.bytes_in_use += size
                self.peak_bytes = max(self.peak_bytes, self.bytes_in_use)
                self.touched[block.segment] = max(self.touched[block.segment], block.stop)
                return self.segments[block.segment], block
            finally:
                self.holder = 0

    def collect_returned(self) -> None:
        """Free the blocks of arrays that have been deleted."""
        while self.returned:
            block = self.returned.popleft()
            self.bytes_in_use -= block.size
            self._add_free(block)

    def _add_free(self, block: Block) -> None:
        """Merged with the free blocks before and after it."""
        segment, start, stop = block
        first = last = bisect(self.free, block)
        before, after = self.free[first - 1 : first], self.free[last : last + 1]
        if before and (before[0].segment, before[0].stop) == (segment, start):
            first, start = first - 1, before[0].start
        if after and (after[0].segment, after[0].start) == (segment, stop):
            last, stop = last + 1, after[0].stop
        self.free[first:last] = [Block(segment, start, stop)]

    def _find_free(self, size: int) -> Block | None:
        """The start of the smallest free block that is large enough."""
        fitting = [i for i, block in enumerate(self.free) if size <= block.size]
        if not fitting:
            return None
        best = min(fitting, key=lambda i: self.free[i].size)
        segment, start, stop = self.free[best]
        end = start + size
        self.free[best : best + 1] = [Block(segment, end, stop)] if end < stop else []
        return Block(segment, start, end)

    def _add_segment(self, size: int) -> None:
        """Add SEGMENT_BYTES of free memory, at least `size`; if that fails, `size`."""
        self._release_unused_segments()  # they are too small
        try:
            memory = _aligned(max(size, SEGMENT_BYTES))
        except MemoryError:
            memory = _aligned(size)
        number = max(self.segments, default=0) + 1
        self.segments[number], self.touched[number] = memory, 0
        self.free.append(Block(number, 0, memory.size))

    def _release_unused_segments(self) -> None:
        for block in [b for b in self.free if b.size == self.segments[b.segment].size]:
            self.free.remove(block)
            del self.segments[block.segment], self.touched[block.segment]


def _aligned(size: int) -> np.ndarray:
    memory = np.empty(size + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + size]


_pool = MemoryPool()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.renew_lock)
