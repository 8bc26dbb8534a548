"""Stream-ordered allocation: cudaMallocAsync, and the pools that it takes memory from.

A pool keeps no memory: what is freed goes back to the GPU in the stream's turn.
"""

import ctypes
from dataclasses import dataclass

from tinyalex.emulator.cuda import memory
from tinyalex.emulator.cuda.api import (
    INVALID_VALUE,
    Handle,
    Pointer,
    Size,
    Status,
    api,
    new_handle,
    object_of,
    release_handle,
    store,
    store_wide,
)
from tinyalex.emulator.cuda.runtime import streams
from tinyalex.emulator.cuda.runtime.devices import check_device, thread

RELEASE_THRESHOLD = 4
RESERVED_CURRENT, RESERVED_HIGH, USED_CURRENT, USED_HIGH = 5, 6, 7, 8
"""cudaMemPoolAttr with 64 bits; those below 4 are flags with 32."""

DEVICE_OFFSET = 12
"""In cudaMemPoolProps: after the kinds of allocation, handle and location."""


@dataclass(eq=False)
class Pool:
    device: int
    threshold: int = 0
    used: int = 0
    most: int = 0

    def allocate(self, size: int) -> int:
        address = memory.allocate(size, self.device)
        self.used += size
        self.most = max(self.most, self.used)
        _owners[address] = self, size
        return address


_owners: dict[int, tuple[Pool, int]] = {}
_default_pools: dict[int, int] = {}


def _default_pool(device: int) -> int:
    check_device(device)
    if device not in _default_pools:
        _default_pools[device] = new_handle(Pool(device))
    return _default_pools[device]


def _allocate(pointer: int, pool: int, size: int, stream: int) -> None:
    _refuse_capture(stream)
    store_wide(pointer, object_of(pool, Pool).allocate(size))


def _refuse_capture(stream: int) -> None:
    if streams.captures(stream):
        raise Status(
            streams.CAPTURE_UNSUPPORTED,
            "allocation in a captured graph is not emulated. Allocate before the capture",
        )


@api
def cudaMallocAsync(pointer: Pointer, size: Size, stream: Handle) -> None:
    _allocate(pointer, _default_pool(thread.device), size, stream)


@api
def cudaMallocFromPoolAsync(pointer: Pointer, size: Size, pool: Handle, stream: Handle) -> None:
    _allocate(pointer, pool, size, stream)


@api
def cudaFreeAsync(pointer: Pointer, stream: Handle) -> None:
    _refuse_capture(stream)
    if pointer not in _owners:
        raise Status(INVALID_VALUE, f"{pointer:#x} was not allocated by cudaMallocAsync")
    pool, size = _owners.pop(pointer)

    def free() -> None:
        pool.used -= size
        memory.free(pointer)

    streams.submit(stream, "free", free)


@api
def cudaDeviceGetDefaultMemPool(pool: Pointer, device: int) -> None:
    store_wide(pool, _default_pool(device))


@api
def cudaDeviceGetMemPool(pool: Pointer, device: int) -> None:
    store_wide(pool, _default_pool(device))


@api
def cudaDeviceSetMemPool(device: int, pool: Handle) -> None:
    object_of(pool, Pool)
    _default_pools[device] = pool


@api
def cudaMemPoolCreate(pool: Pointer, properties: Pointer) -> None:
    device = ctypes.c_int.from_address(properties + DEVICE_OFFSET).value
    check_device(device)
    store_wide(pool, new_handle(Pool(device)))


@api
def cudaMemPoolDestroy(pool: Handle) -> None:
    release_handle(pool, Pool)


@api
def cudaMemPoolTrimTo(pool: Handle, size: Size) -> None:
    object_of(pool, Pool)


@api
def cudaMemPoolGetAttribute(pool: Handle, attribute: int, value: Pointer) -> None:
    found = object_of(pool, Pool)
    if attribute < RELEASE_THRESHOLD:
        return store(value, 1)
    values = {
        RELEASE_THRESHOLD: found.threshold,
        RESERVED_CURRENT: found.used,
        RESERVED_HIGH: found.most,
        USED_CURRENT: found.used,
        USED_HIGH: found.most,
    }
    if attribute not in values:
        raise Status(INVALID_VALUE, f"memory pools have no attribute {attribute}")
    return store_wide(value, values[attribute])


@api
def cudaMemPoolSetAttribute(pool: Handle, attribute: int, value: Pointer) -> None:
    found = object_of(pool, Pool)
    given = ctypes.c_size_t.from_address(value).value
    if attribute == RELEASE_THRESHOLD:
        found.threshold = given
    elif attribute in (RESERVED_HIGH, USED_HIGH):  # can be reset only
        found.most = found.used
