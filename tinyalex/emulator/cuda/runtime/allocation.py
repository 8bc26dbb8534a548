"""Allocation of the GPUs' memory and of pinned memory."""

from tinyalex.emulator.cuda import memory, work_queue
from tinyalex.emulator.cuda.api import Pointer, Size, api, store, store_wide
from tinyalex.emulator.cuda.memory import HOST
from tinyalex.emulator.cuda.runtime.devices import finish, thread
from tinyalex.emulator.cuda.settings import settings

UNREGISTERED, PINNED, ON_DEVICE = 0, 1, 2
"""cudaMemoryType."""


@api
def cudaMalloc(pointer: Pointer, size: Size) -> None:
    store_wide(pointer, memory.allocate(size, thread.device) if size else 0)


@api
def cudaMallocManaged(pointer: Pointer, size: Size, flags: int) -> None:
    store_wide(pointer, memory.allocate(size, thread.device))


@api
def cudaHostAlloc(pointer: Pointer, size: Size, flags: int) -> None:
    store_wide(pointer, memory.allocate(size, HOST))


@api
def cudaFree(pointer: Pointer) -> None:
    if pointer:
        block = memory.find(pointer)
        device = block.device if block else thread.device
        # Without a pool each array is freed here, which no GPU program does.
        if settings.has_pool:
            finish(device)
        else:
            work_queue.wait(lambda task: task.device == device)
        memory.free(pointer)


@api
def cudaFreeHost(pointer: Pointer) -> None:
    if pointer:
        work_queue.wait()
        memory.free(pointer)


@api
def cudaHostRegister(pointer: Pointer, size: Size, flags: int) -> None:
    pass


@api
def cudaHostUnregister(pointer: Pointer) -> None:
    pass


@api
def cudaMemGetInfo(free: Pointer, total: Pointer) -> None:
    store_wide(free, settings.memory_bytes - memory.used_bytes[thread.device])
    store_wide(total, settings.memory_bytes)


@api
def cudaPointerGetAttributes(attributes: Pointer, pointer: Pointer) -> None:
    block = memory.find(pointer)
    on_device = block is not None and block.device != HOST
    store(attributes, UNREGISTERED if block is None else ON_DEVICE if on_device else PINNED)
    store(attributes + 4, -2 if block is None else max(block.device, 0))
    store_wide(attributes + 8, pointer if block else 0)
    store_wide(attributes + 16, 0 if on_device else pointer)
