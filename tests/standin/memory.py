"""The memory pool of each device, with its use and its limit."""

import threading
from typing import Any

import numpy as np

from standin.api import Strict
from standin.state import thread

DEVICES = 2
DEVICE_BYTES = 80 << 30

STEP = 512
"""CuPy's pool gives memory in multiples of so many bytes."""

# Reentrant: the garbage collector may free an array during an allocation.
_lock = threading.RLock()


class OutOfMemoryError(MemoryError):
    """More memory than the pool's limit, or than the device has."""


class Account:
    """Bytes of a device: in use, held by its pool, and its limit (0: all there are)."""

    def __init__(self) -> None:
        self.used = self.total = self.limit = 0

    def take(self, size: int) -> None:
        limit = self.limit or DEVICE_BYTES
        with _lock:
            if self.used + size > limit:
                raise OutOfMemoryError(
                    f"Out of memory allocating {size:,} bytes (allocated so far: {self.used:,} bytes, limit set to: {limit:,} bytes)."
                )
            self.used += size
            self.total = max(self.total, self.used)

    def give_back(self, size: int) -> None:
        with _lock:
            self.used -= size


accounts = [Account() for _ in range(DEVICES)]


class Memory(Strict):
    """A block of device memory: freed to the pool with the last array in it."""

    __slots__ = ("_buffer", "device_id", "ptr", "size")
    _known_as = "cupy.cuda.Memory"

    def __init__(self, buffer: np.ndarray, device_id: int) -> None:
        self.size = 0  # for __del__, should the pool refuse
        self.device_id = device_id
        size = -(-buffer.nbytes // STEP) * STEP
        accounts[device_id].take(size)
        self.size = size
        self.ptr = buffer.ctypes.data
        self._buffer = buffer

    def __del__(self) -> None:
        accounts[self.device_id].give_back(self.size)


class MemoryPointer(Strict):
    """Where an array begins: an address in a piece of memory."""

    __slots__ = ("mem", "ptr")
    _known_as = "cupy.cuda.MemoryPointer"

    def __init__(self, mem: Memory, ptr: int) -> None:
        self.mem = mem
        self.ptr = ptr

    @property
    def device_id(self) -> int:
        return self.mem.device_id


class MemoryPool(Strict):
    """The pool of the current device. There is only the default one."""

    _known_as = "cupy.cuda.MemoryPool"

    def __init__(self, *args: Any) -> None:
        raise NotImplementedError(
            "cupy.cuda.MemoryPool(): the stand-in has the default pool only, get_default_memory_pool()."
        )

    def used_bytes(self) -> int:
        return accounts[thread.device].used

    def total_bytes(self) -> int:
        return accounts[thread.device].total

    def free_bytes(self) -> int:
        return self.total_bytes() - self.used_bytes()

    def free_all_blocks(self, stream: Any = None) -> None:
        account = accounts[thread.device]
        account.total = account.used

    def get_limit(self) -> int:
        return accounts[thread.device].limit

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        if (size is None) == (fraction is None):
            raise ValueError(
                f"set_limit: expected either size or fraction, got size={size}, fraction={fraction}."
            )
        accounts[thread.device].limit = int(size if fraction is None else fraction * DEVICE_BYTES)


class PinnedMemoryPool(Strict):
    """Pinned memory is the host's: nothing of it is accounted for."""

    _known_as = "cupy.cuda.PinnedMemoryPool"

    def free_all_blocks(self) -> None:
        pass

    def n_free_blocks(self) -> int:
        return 0


default_pool = MemoryPool.__new__(MemoryPool)
default_pinned_pool = PinnedMemoryPool()
