"""Copies, and memset."""

import ctypes

from tinyalex.emulator.cuda import memory, work_queue, work_records
from tinyalex.emulator.cuda.api import (
    INVALID_VALUE,
    Handle,
    Pointer,
    Size,
    Status,
    api,
)
from tinyalex.emulator.cuda.memory import HOST, Block
from tinyalex.emulator.cuda.runtime import streams
from tinyalex.emulator.cuda.settings import settings
from tinyalex.emulator.cuda.statistics import statistics

HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE, DEFAULT = 1, 2, 3, 4
"""cudaMemcpyKind; DEFAULT: as the addresses say."""


def _on_device(block: Block | None) -> bool:
    return block is not None and block.device != HOST


def _direction(source: Block | None, target: Block | None) -> str:
    if source and target and _on_device(source) and _on_device(target):
        return "on a GPU" if source.device == target.device else "between GPUs"
    if _on_device(target):
        return "to the GPU"
    return "to the host" if _on_device(source) else "on the host"


def _check_copy(
    target: int, source: int, size: int, kind: int
) -> tuple[Block | None, Block | None]:
    ends = memory.find(source), memory.find(target)
    if kind != DEFAULT:
        expected = (
            kind in (DEVICE_TO_HOST, DEVICE_TO_DEVICE),
            kind in (HOST_TO_DEVICE, DEVICE_TO_DEVICE),
        )
        for name, is_expected, block in zip(("source", "target"), expected, ends, strict=True):
            if _on_device(block) != is_expected:
                where = ("a GPU", "the host") if is_expected else ("the host", "a GPU")
                raise Status(
                    INVALID_VALUE,
                    f"copy of {size} bytes: the {name} is expected on {where[0]}, but is on "
                    f"{where[1]}",
                )
    for block, address in zip(ends, (source, target), strict=True):
        if block:
            memory.require("copy", address, size)
    return ends


def copy(target: int, source: int, size: int, kind: int, stream: int | None) -> None:
    """Copy in a stream; None for the default stream, and wait.

    Memory of the host that is not pinned is read, or written, before this returns.
    """
    if not size:
        return
    source_block, target_block = _check_copy(target, source, size, kind)
    direction = _direction(source_block, target_block)
    handle = stream or 0

    def do() -> None:
        ctypes.memmove(target, source, size)

    devices: frozenset[int] = frozenset()
    if streams.captures(handle):
        if stream is None:
            streams.refuse_capture(handle, "a copy")

        def do() -> None:
            _check_copy(target, source, size, kind)  # memory may have been freed
            ctypes.memmove(target, source, size)

    elif source_block is None and settings.lazy:
        staged = ctypes.create_string_buffer(ctypes.string_at(source, size), size)

        def do() -> None:
            ctypes.memmove(target, staged, size)

    elif direction == "between GPUs" and not stream and source_block and target_block:
        # In the legacy stream, such a copy waits for both GPUs, and they for it.
        devices = frozenset((source_block.device, target_block.device))

    def count() -> None:
        statistics.copied_bytes[direction] += size
        work_records.note(lambda: work_records.Work(f"copy {direction}", 2 * size))

    # Programs keep some arrays, such as constants, which a recording must not spoil.
    always = direction == "to the GPU"
    task = streams.submit(
        handle, f"copy {direction}", do, count=count, devices=devices, always=always
    )
    waits = target_block is None or (
        stream is None and direction not in ("on a GPU", "between GPUs")
    )
    if waits and task:
        work_queue.count_wait(task.device)
        streams.wait_for(task)


@api
def cudaMemcpy(target: Pointer, source: Pointer, size: Size, kind: int) -> None:
    copy(target, source, size, kind, None)


@api
def cudaMemcpyAsync(
    target: Pointer, source: Pointer, size: Size, kind: int, stream: Handle
) -> None:
    copy(target, source, size, kind, stream)


@api
def cudaMemcpyPeer(
    target: Pointer, target_device: int, source: Pointer, source_device: int, size: Size
) -> None:
    copy(target, source, size, DEVICE_TO_DEVICE, 0)


@api
def cudaMemcpyPeerAsync(
    target: Pointer,
    target_device: int,
    source: Pointer,
    source_device: int,
    size: Size,
    stream: Handle,
) -> None:
    copy(target, source, size, DEVICE_TO_DEVICE, stream)


def _set(target: int, value: int, size: int, stream: int) -> None:
    if size:
        memory.require("memset", target, size)

    def do() -> None:
        ctypes.memset(target, value & 255, size)

    def count() -> None:
        work_records.note(lambda: work_records.Work("memset", size))

    streams.submit(stream, "memset", do, count=count)


@api
def cudaMemset(target: Pointer, value: int, size: Size) -> None:
    _set(target, value, size, 0)


@api
def cudaMemsetAsync(target: Pointer, value: int, size: Size, stream: Handle) -> None:
    _set(target, value, size, stream)
