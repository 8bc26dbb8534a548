"""Arrays on the CPU: the memory order of activations, and a memory pool.

The system zeroes new memory page by page on first access, which costs about as much as
computing what is stored there. The pool therefore reuses the memory of deleted arrays
for new arrays of similar size, as CuPy's pool does on a GPU.
"""

import math
import os
import threading
import weakref
from collections import deque
from typing import Any

import numpy as np

MIN_POOLED_BYTES = 1 << 20
"""NumPy's own allocator reuses smaller blocks."""

MAX_POOL_RATIO = 1.5
"""The limit of the pool's memory, in use and idle, relative to the peak in use.

With a lower limit, the backward pass of a training step would release blocks that the
next forward pass needs: block sizes differ.
"""


def activation(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised array (N, C, ...), stored as (..., N, C); (N, C) as (C, N)."""
    return as_activation(empty((math.prod(shape),), dtype), shape)


def as_activation(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A flat array as an array of this shape, in the memory order of `activation`."""
    n, c, *space = shape
    if not space:
        return x.reshape(c, n).T
    return np.moveaxis(x.reshape(*space, n, c), (-2, -1), (0, 1))


def like(x: np.ndarray) -> np.ndarray:
    """An uninitialised array with the shape, dtype and memory order of `x`."""
    if x.nbytes < MIN_POOLED_BYTES:
        return np.empty_like(x)
    order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    return empty(tuple(x.shape[axis] for axis in order), x.dtype).transpose(np.argsort(order))


def ready(x: np.ndarray) -> np.ndarray:
    """`x` in a memory order that the primitives accept: on the CPU, any."""
    return x


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised C-contiguous array from the memory pool."""
    return _pool.empty(shape, dtype)


class MemoryPool:
    """Memory in use and idle, together at most MAX_POOL_RATIO times the peak in use."""

    def __init__(self) -> None:
        self.renew_lock()
        self.idle: deque[np.ndarray] = deque()
        """The longest idle first."""
        self.returned: deque[np.ndarray] = deque()
        """Filled by finalizers, which may run while this thread holds the lock."""
        self.bytes_in_use = self.peak_bytes = 0

    def renew_lock(self) -> None:
        """After a fork: another thread of the parent may have held the lock."""
        self.lock, self.holder = threading.Lock(), 0

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An uninitialised C-contiguous array."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        # A finalizer may interrupt this thread while it holds the lock, and allocate.
        if size < MIN_POOLED_BYTES or self.holder == threading.get_ident():
            return np.empty(shape, dtype)
        memory = self._take(size)
        # A memoryview makes `array` the base of its views, so that the finalizer runs
        # after the last of them.
        array = np.frombuffer(memory.data, np.uint8, size)
        weakref.finalize(array, self.returned.append, memory).atexit = False
        return array.view(dtype).reshape(shape)

    def _take(self, size: int) -> np.ndarray:
        with self.lock:
            self.holder = threading.get_ident()
            try:
                self._collect_returned()
                found = self._find_idle(size)
                self.bytes_in_use += found.size
                self.peak_bytes = max(self.peak_bytes, self.bytes_in_use)
                self._release_excess()
                return found
            finally:
                self.holder = 0

    def _collect_returned(self) -> None:
        while self.returned:
            memory = self.returned.popleft()
            self.bytes_in_use -= memory.size
            self.idle.append(memory)

    def _find_idle(self, size: int) -> np.ndarray:
        """The smallest idle block of `size` to 2 * `size` bytes, or new memory."""
        fitting = [i for i, memory in enumerate(self.idle) if size <= memory.size <= 2 * size]
        if fitting:
            best = min(fitting, key=lambda i: self.idle[i].size)
            found = self.idle[best]
            del self.idle[best]
            return found
        try:
            return _aligned(size)
        except MemoryError:
            self.idle.clear()
            return _aligned(size)

    def _release_excess(self) -> None:
        idle = sum(memory.size for memory in self.idle)
        while self.idle and self.bytes_in_use + idle > MAX_POOL_RATIO * self.peak_bytes:
            idle -= self.idle.popleft().size


def _aligned(size: int) -> np.ndarray:
    """New memory, aligned to a cache line: unaligned vector loads touch two lines."""
    memory = np.empty(size + 64, np.uint8)
    first = -memory.ctypes.data % 64
    return memory[first : first + size]


_pool = MemoryPool()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.renew_lock)
