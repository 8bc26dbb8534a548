"""Where arrays live, how a loop over images is cut into tiles and threads, and where random numbers come from.

Two idioms keep the rest of tinyalex free of devices: `xp = device.xp(x)` is the array library of `x`, and
`k = kernels.of(x)` its set of primitives. Only this file and `kernels/` know which libraries there are.
"""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

Array = Any
"""An array of any device's library. NumPy's own type would be a lie for the others."""


# Devices


def check(name: str) -> str:
    """The canonical name of a device; "auto" is the fastest one that works here.

    Raises ValueError for a device that this build of tinyalex has no kernels for.
    """
    if name in ("auto", "cpu"):
        return "cpu"
    if isinstance(name, str) and name.split(":")[0] == "cuda":
        raise ValueError(f"device {name!r}: this version of tinyalex has kernels for the CPU only.\nUse 'cpu' or 'auto'.")
    raise ValueError(f"device: expected 'auto', 'cpu' or 'cuda', got {name!r}.")


def cuda_is_available() -> bool:
    """Whether tensors can be placed on a GPU. This version has kernels for the CPU only, so they cannot."""
    return False


def of(x: Array) -> str:
    """The device that an array lies on."""
    return "cpu"


def xp(x: Array) -> ModuleType:
    """The array library of `x`: NumPy."""
    return np


def is_array(x: object) -> bool:
    """Whether `x` is an array of a library that tinyalex computes with (NumPy's scalars count as 0-d arrays)."""
    return isinstance(x, (np.ndarray, np.generic))


def asarray(x: object, dtype: Any = None) -> Array:
    return np.asarray(x, dtype)


def to_numpy(x: Array) -> np.ndarray:
    """`x` as a C-contiguous NumPy array. Shares memory with `x` where `x` is one already."""
    return np.asarray(x, order="C")


# Tiles

TILE_BYTES = 8 << 20
"""Scratch a tile may use. Near the size of a core's share of the cache: larger tiles spill, smaller ones starve the BLAS."""


@cache
def workers() -> int:
    """How many threads share the tiles: the cores this process may use, or TINYALEX_THREADS.

    One where threadpoolctl is missing: BLAS then keeps its own threads, which would fight with ours.
    """
    if _blas() is None:
        return 1
    if asked := os.environ.get("TINYALEX_THREADS"):
        if not asked.isdigit() or int(asked) < 1:
            raise ValueError(f"TINYALEX_THREADS: expected a whole number from 1 on, got {asked!r}.")
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _blas() -> Any:
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, thread_name_prefix="tinyalex-tile")


class Scratch(threading.local):
    """Buffers by name, one set a thread, kept and reused: what a tile writes there is gone with the next tile."""

    def __init__(self) -> None:
        self.buffers: dict[str, np.ndarray] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """An uninitialised array. Two arrays that are needed at the same time need two names."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        buffer = self.buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self.buffers[name] = np.empty(size, np.uint8)
        return buffer[:size].view(dtype).reshape(shape)


_scratch = Scratch()


def for_tiles(n: int, bytes_each: int, body: Callable[[int, int, Scratch], Any]) -> Any:
    """Call `body(lo, hi, scratch)` on tiles that cover range(n), and return the sum of what it returned.

    n           items to cover, usually the images of a batch
    bytes_each  scratch that one item needs; decides the size of a tile
    body        returns None, a new array, or a tuple of them; may run in several threads at once, on tiles that do not overlap

    Tiles go to workers by their number alone and partial sums are added in a fixed order, so that the same number of
    workers gives the same bits. While tiles run, BLAS is held to one thread: two crowds on the same cores only wait.
    """
    team = workers()
    tile = max(1, min(TILE_BYTES // max(1, bytes_each), -(-n // team)))
    tiles = [(lo, min(lo + tile, n)) for lo in range(0, n, tile)] or [(0, 0)]  # sums over no image at all are zero, not missing
    team = min(team, len(tiles))

    @np.errstate(all="ignore")  # which each thread has of its own
    def work(worker: int) -> Any:
        total = None
        for lo, hi in tiles[worker::team]:
            total = _add(total, body(lo, hi, _scratch))
        return total

    if team == 1:
        return work(0)
    with one_blas_thread():
        parts = list(_pool(team).map(work, range(team)))
    total = parts[0]
    for part in parts[1:]:
        total = _add(total, part)
    return total


def _add(total: Any, part: Any) -> Any:
    if total is None or part is None:
        return part if total is None else total
    if isinstance(total, tuple):
        return tuple(map(_add, total, part))
    total += part
    return total


@contextmanager
def one_blas_thread() -> Any:
    """Within it, each matrix product stays on the thread that asks for it."""
    blas = _blas()
    with blas.limit(limits=1, user_api="blas") if blas else nullcontext():
        yield


# Random numbers: a function of where they are used, not a state


class Randomness:
    """What the user and the training loop have said: everything else about a random number is where it is used."""

    def __init__(self) -> None:
        self.seed = 0
        self.step = 0
        self.calls: dict[str, int] = {}


_randomness = Randomness()


def manual_seed(seed: int) -> None:
    """Start every stream of random numbers anew from `seed` (a whole number from 0 to 2**64 - 1)."""
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise ValueError(f"manual_seed: expected a whole number from 0 to 2**64 - 1, got {seed!r}.")
    _randomness.seed = int(seed)
    _randomness.step, _randomness.calls = 0, {}


def seed() -> int:
    """The seed that all streams have started from."""
    return _randomness.seed


def set_step(step: int) -> None:
    """Say which training step comes now. Draws then depend on it, and not on how many there were before."""
    _randomness.step = step
    _randomness.calls = {stream: call for stream, call in _randomness.calls.items() if stream == "init"}  # which no step belongs to


@contextmanager
def same_draws() -> Any:
    """Put the streams back at the end to where they were at the beginning: what runs next draws the same numbers."""
    before = dict(_randomness.calls)
    try:
        yield
    finally:
        _randomness.calls = before


def key(stream: str, seed: int | None = None) -> tuple[int, int]:
    """The Philox key of a stream: the seed, and the stream's name of up to eight letters read as a number."""
    return (_randomness.seed if seed is None else seed), int.from_bytes(stream.encode().ljust(8)[:8])


def draw(stream: str) -> tuple[int, int]:
    """(step, call) for the next draw from a stream: the second dropout layer of a step is call 1."""
    call = _randomness.calls.get(stream, 0)
    _randomness.calls[stream] = call + 1
    return _randomness.step, call


def random_words(key: tuple[int, int], step: int, call: int, samples: Iterable[int], count: int) -> np.ndarray:
    """uint64 (samples, count): word i of a sample is word i % 4 of the Philox block with the counter (1 + i // 4, sample, step, call)."""
    philox = np.random.Philox(key=np.array(key, np.uint64))
    state: Any = philox.state
    rows = []
    for sample in samples:
        state["state"]["counter"] = np.array([0, sample, step, call], np.uint64)
        philox.state = state
        rows.append(philox.random_raw(count))
    return np.array(rows, np.uint64).reshape(len(rows), count)


def uniform(stream: str, step: int, samples: Iterable[int], count: int, *, seed: int | None = None) -> np.ndarray:
    """float64 (samples, count) from [0, 1): the numbers that belong to each sample of a step, whichever process draws them."""
    return (random_words(key(stream, seed), step, 0, samples, count) >> np.uint64(11)) * 2.0**-53


def generator(stream: str, step: int, sample: int = 0, *, seed: int | None = None) -> np.random.Generator:
    """NumPy's generator at the beginning of the numbers that belong to (seed, stream, step, sample).

    Philox4x64-10 (Salmon et al. 2011): key (seed, stream), counter (block, sample, step, 0), the block counting up.
    """
    words = np.array([0, sample, step, 0], np.uint64)
    return np.random.Generator(np.random.Philox(counter=words, key=np.array(key(stream, seed), np.uint64)))
