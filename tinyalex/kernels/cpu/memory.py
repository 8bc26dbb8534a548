"""Memory for arrays on the CPU that is used again.

What NumPy takes anew from the system is filled with zeros page by page when it is first touched, which costs about as much as computing
what goes into it. So memory whose array is gone, with every view of it, is kept for the next array that fits, as CuPy's pool does on a
GPU. An array that somebody still holds is never touched.
"""

import math
import os
import threading
import weakref
from collections import deque
from typing import Any

import numpy as np

SMALL = 1 << 20
"""Below so many bytes NumPy's own allocator reuses memory itself."""

SPARE = 1.5
"""How much may be kept, in use and idle, of the most that was ever in use. With less, a training step would drop in its backward pass what
its next forward pass needs: sizes are never quite the same."""


class Buffers:
    """The memory in use, and the idle memory that waits: together at most SPARE times what was in use at one time."""

    def __init__(self) -> None:
        self.renew_lock()
        self.idle: deque[np.ndarray] = deque()
        """The longest idle first."""
        self.returned: deque[np.ndarray] = deque()
        """Where finalizers leave memory: they run at any moment, also while this thread holds the lock."""
        self.in_use = self.most_in_use = 0

    def renew_lock(self) -> None:
        """For a child process: a thread that it does not have may have held the lock when it was born."""
        self.lock, self.holder = threading.Lock(), 0

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An uninitialised C-contiguous array."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if (
            size < SMALL or self.holder == threading.get_ident()
        ):  # which a finalizer may interrupt at any moment, and come here
            return np.empty(shape, dtype)
        memory = self._take(size)
        # Through a memoryview, because NumPy would else let views of the array refer to `memory` itself, and outlive the array.
        array = np.frombuffer(memory.data, np.uint8, size)
        weakref.finalize(array, self.returned.append, memory).atexit = False
        return array.view(dtype).reshape(shape)

    def _take(self, size: int) -> np.ndarray:
        with self.lock:
            self.holder = threading.get_ident()
            try:
                return self._take_alone(size)
            finally:
                self.holder = 0

    def _take_alone(self, size: int) -> np.ndarray:
        while self.returned:
            memory = self.returned.popleft()
            self.in_use -= memory.size
            self.idle.append(memory)
        fitting = [i for i, memory in enumerate(self.idle) if size <= memory.size <= 2 * size]
        if fitting:
            best = min(fitting, key=lambda i: self.idle[i].size)
            found = self.idle[best]
            del self.idle[best]
        else:
            try:
                found = _aligned(size)
            except MemoryError:
                self.idle.clear()
                found = _aligned(size)
        self.in_use += found.size
        self.most_in_use = max(self.most_in_use, self.in_use)
        waiting = sum(idle.size for idle in self.idle)
        while self.idle and self.in_use + waiting > SPARE * self.most_in_use:
            waiting -= self.idle.popleft().size
        return found


def _aligned(size: int) -> np.ndarray:
    """New memory that begins where a cache line does: vector instructions would else read two lines for one."""
    memory = np.empty(size + 64, np.uint8)
    first = -memory.ctypes.data % 64
    return memory[first : first + size]


_buffers = Buffers()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_buffers.renew_lock)


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised C-contiguous array on the CPU, in memory that an array which is gone may have had before."""
    return _buffers.empty(shape, dtype)
