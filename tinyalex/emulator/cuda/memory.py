"""The memory of the GPUs, and pinned memory: blocks of the host's memory."""

import bisect
import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex.emulator.cuda import work_records
from tinyalex.emulator.cuda.api import ILLEGAL_ADDRESS, INVALID_VALUE, OUT_OF_MEMORY, Status
from tinyalex.emulator.cuda.settings import settings
from tinyalex.emulator.cuda.statistics import statistics

HOST = -1
"""The device of pinned memory."""

ALIGNMENT_BYTES = 512
GUARD_BYTES = 512
"""Before and after each block; what is written there is out of bounds."""

GUARD = bytes([0xC5]) * GUARD_BYTES
FILL_BYTE = 0xFF
"""New memory is NaN: results that depend on it show."""

_libc = ctypes.CDLL(None)
_libc.aligned_alloc.restype = ctypes.c_void_p
_libc.aligned_alloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
_libc.free.argtypes = [ctypes.c_void_p]
_libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]


@dataclass(frozen=True)
class Block:
    """An allocation on a device (0, 1, ...) or of pinned memory (HOST)."""

    address: int
    size: int
    device: int

    @property
    def end(self) -> int:
        return self.address + self.size

    def is_intact(self) -> bool:
        """Whether nothing has been written just before or after the block."""
        return not (
            _libc.memcmp(self.address - GUARD_BYTES, GUARD, GUARD_BYTES)
            or _libc.memcmp(self.end, GUARD, GUARD_BYTES)
        )


_starts: list[int] = []
_blocks: dict[int, Block] = {}
used_bytes = [0] * settings.devices


def allocate(size: int, device: int) -> int:
    """The address of `size` new bytes, or Status OUT_OF_MEMORY."""
    if device != HOST and used_bytes[device] + size > settings.memory_bytes:
        raise Status(
            OUT_OF_MEMORY,
            f"{size:,} bytes on GPU {device}, where {used_bytes[device]:,} of "
            f"{settings.memory_bytes:,} are in use. The setting `memory_gib` is its memory",
        )
    padded = -(-(size + 2 * GUARD_BYTES) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    start = _libc.aligned_alloc(ALIGNMENT_BYTES, padded)
    if not start:
        raise Status(OUT_OF_MEMORY, "this machine has no more memory")
    block = Block(start + GUARD_BYTES, size, device)
    ctypes.memmove(start, GUARD, GUARD_BYTES)
    if work_records.recorder.executes:
        ctypes.memset(block.address, FILL_BYTE, size)
    ctypes.memmove(block.end, GUARD, GUARD_BYTES)
    _blocks[block.address] = block
    bisect.insort(_starts, block.address)
    if device != HOST:
        used_bytes[device] += size
        name = f"cuda:{device}"
        statistics.peak_bytes[name] = max(statistics.peak_bytes[name], used_bytes[device])
    return block.address


def free(address: int) -> None:
    block = _blocks.pop(address, None)
    if block is None:
        raise Status(
            INVALID_VALUE, f"expected the address of an allocation to free, got {address:#x}"
        )
    del _starts[bisect.bisect_left(_starts, address)]
    if block.device != HOST:
        used_bytes[block.device] -= block.size
    _libc.free(address - GUARD_BYTES)


def find(address: int) -> Block | None:
    """The block that contains an address."""
    i = bisect.bisect_right(_starts, address) - 1
    if i < 0:
        return None
    block = _blocks[_starts[i]]
    return block if address < block.address + max(block.size, 1) else None


def require(what: str, address: int, size: int, device: int | None = None) -> Block:
    """The block with `size` bytes at `address`, which a GPU can access.

    device  the GPU; None for any

    Raises Status ILLEGAL_ADDRESS if there is none.
    """
    block = find(address)
    if block is None:
        raise Status(
            ILLEGAL_ADDRESS,
            f"{what}: {address:#x} is not memory of a GPU. Copy the array to the GPU first",
        )
    if address + size > block.end:
        raise Status(
            ILLEGAL_ADDRESS,
            f"{what}: {size} bytes at byte {address - block.address} of an allocation of "
            f"{block.size} bytes",
        )
    if device is not None and block.device not in (HOST, device):
        if (device, block.device) not in peers:
            raise Status(
                ILLEGAL_ADDRESS,
                f"{what} is on GPU {block.device}, but GPU {device} accesses it, and peer access "
                "is not enabled",
            )
    return block


def array(address: int, count: int, dtype: Any) -> np.ndarray:
    """`count` elements in memory, as a NumPy array that shares it."""
    size = count * np.dtype(dtype).itemsize
    if size == 0:
        return np.empty(0, dtype)
    buffer: Any = (ctypes.c_char * size).from_address(address)
    return np.frombuffer(buffer, dtype)


peers: set[tuple[int, int]] = set()
"""(device, other) if peer access to the other device's memory is enabled."""
