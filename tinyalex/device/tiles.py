"""A loop over a batch, cut into tiles that share scratch memory and, on the CPU, threads."""

import threading
from collections.abc import Callable
from concurrent.futures import wait
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from tinyalex.device.arrays import Array, of, xp
from tinyalex.device.choice import memory
from tinyalex.device.threads import one_blas_thread, pool, workers

TILE_BYTES = 8 << 20
"""Scratch a tile may use on the CPU. Near the size of a core's share of the cache: larger tiles spill, smaller ones starve the BLAS."""

GPU_TILE_BYTES = 1 << 30
"""And on a GPU, which wants large products: a whole batch of 128 images in each layer of AlexNet. Less where little memory is free."""


@cache
def _gpu_tile_bytes(name: str) -> int:
    """An eighth of what was free at first, so that a small card is not filled by one layer's columns."""
    return min(GPU_TILE_BYTES, memory(name)["free"] // 8)


class Scratch:
    """Buffers by name, kept and reused: what a tile writes there is gone with the next tile."""

    def __init__(self, library: ModuleType) -> None:
        self.library = library
        self.buffers: dict[str, Array] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """An uninitialised array. Two arrays that are needed at the same time need two names."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        buffer = self.buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self.buffers[name] = self.library.empty(size, np.uint8)
        return buffer[:size].view(dtype).reshape(shape)


class _Thread(threading.local):
    """What a thread has of its own: its scratch, and whether it is working on a tile."""

    def __init__(self) -> None:
        self.scratch = Scratch(np)
        self.in_tile = False


_thread = _Thread()


def for_tiles(
    batch: Array,
    bytes_each: int,
    body: Callable[[int, int, Scratch], Any],
    *,
    least: int = 1,
    alone: bool = False,
    tiles: list[tuple[int, int]] | None = None,
) -> Any:
    """Call `body(lo, hi, scratch)` on tiles that cover range(len(batch)), and return the sum of what it returned.

    batch       the array that is worked on, usually a batch of images; says how many there are, and on which device
    bytes_each  scratch that one of them needs; decides the size of a tile
    least       how many should be in a tile all the same, if each worker gets so many
    alone       whether it is so little work that this thread has done it sooner than others are woken and Python's lock is passed on
    tiles       the [lo, hi) themselves, of an earlier loop for instance; bytes_each and least then decide nothing
    body        returns None, a new array, or a tuple of them; may run in several threads at once, on tiles that do not overlap

    On the CPU tiles go to workers by their number alone and partial sums are added in a fixed order, so that the same number of workers
    gives the same bits; while tiles run, BLAS is held to one thread: two crowds on the same cores only wait. A GPU takes one tile after
    the other, with scratch memory that goes back to the pool at the end.
    """
    place = of(batch)
    team = 1 if place != "cpu" or _thread.in_tile or alone else workers()
    if tiles is None:
        room = TILE_BYTES if place == "cpu" else _gpu_tile_bytes(place)
        tiles = _cut(len(batch), max(1, least, room // max(1, bytes_each)), team)
    team = min(team, len(tiles))
    if place != "cpu" or _thread.in_tile:
        return _work(tiles, body, Scratch(xp(batch)))
    if team == 1 and not alone:
        return _work_in_thread(tiles, body)  # where BLAS may use all of its threads
    with one_blas_thread():
        others = [pool(workers() - 1).submit(_work_in_thread, tiles[worker::team], body) for worker in range(1, team)]
        try:
            total = _work_in_thread(tiles[::team], body)
        finally:
            wait(others)  # also where one has failed: nobody writes any more once this is over
    for part in others:
        total = _add(total, part.result())
    return total


def _cut(n: int, most: int, team: int) -> list[tuple[int, int]]:
    """Tiles of nearly equal size, `most` at most, as many for each worker."""
    count = min(n, -(-n // (most * team)) * team)
    return [(i * n // count, (i + 1) * n // count) for i in range(count)] or [(0, 0)]  # sums over no image are zero, not missing


@np.errstate(all="ignore")  # which each thread has of its own
def _work(tiles: list[tuple[int, int]], body: Callable[[int, int, Scratch], Any], scratch: Scratch) -> Any:
    total = None
    for lo, hi in tiles:
        total = _add(total, body(lo, hi, scratch))
    return total


def _work_in_thread(tiles: list[tuple[int, int]], body: Callable[[int, int, Scratch], Any]) -> Any:
    _thread.in_tile = True  # for_tiles within a tile stays in its thread: the others are busy, and may be waiting for this one
    try:
        return _work(tiles, body, _thread.scratch)
    finally:
        _thread.in_tile = False


def _add(total: Any, part: Any) -> Any:
    if total is None or part is None:
        return part if total is None else total
    if isinstance(total, tuple):
        return tuple(map(_add, total, part))
    total += part
    return total
