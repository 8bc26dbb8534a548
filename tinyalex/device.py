"""Where arrays live, how a loop over images is cut into tiles and threads, and where random numbers come from.

Two idioms keep the rest of tinyalex free of devices: `xp = device.xp(x)` is the array library of `x`, NumPy or CuPy, and
`k = kernels.of(x)` its set of primitives. Only this file and `kernels/` know which libraries there are.

A device is "cpu", "cuda" (the first GPU) or "cuda:1". CuPy is imported, and CUDA touched, when a GPU is first asked for: a process that
has used CUDA cannot fork any more.
"""

import ctypes
import importlib.util
import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from tinyalex.randomness import draw, generator, key, manual_seed, random_words, same_draws, seed, set_step, uniform
from tinyalex.threads import blas_libraries, one_blas_thread, pool, workers

__all__ = [
    "Array", "Scratch", "allow_tf32", "asarray", "blas_libraries", "check", "common", "cuda_is_available", "current", "default", "draw",
    "for_tiles", "generator", "is_array", "key", "manual_seed", "memory", "of", "on", "one_blas_thread", "random_words", "same_draws",
    "seed", "set_default", "set_step", "to", "to_numpy", "uniform", "why_no_cuda", "workers", "xp",
]  # fmt: skip

Array = Any
"""An array of any device's library. NumPy's own type would be a lie for the others."""


# Which devices there are


def check(name: str) -> str:
    """The canonical name of a device; "auto" is the first GPU if there is one to compute with, else the CPU.

    Raises ValueError for another name, RuntimeError for a GPU that cannot be used, saying why.
    """
    if name == "auto":
        return "cuda" if cuda_is_available() else "cpu"
    kind, _, number = name.partition(":") if isinstance(name, str) else ("", "", "")
    if name == "cpu":
        return "cpu"
    if kind != "cuda" or not (name == "cuda" or number.isdigit()):
        raise ValueError(f"device: expected 'auto', 'cpu', 'cuda' or 'cuda:1', got {name!r}.")
    if reason := why_no_cuda():
        raise RuntimeError(f"device {name!r}: {reason}\nUse 'cpu' or 'auto'; `tinyalex doctor` tells more.")
    count = _cupy().cuda.runtime.getDeviceCount()
    if int(number or 0) >= count:
        raise ValueError(f"device {name!r}: this machine has {count} GPU{'s' * (count > 1)}, counted from 'cuda:0'.")
    return _name(int(number or 0))


def default() -> str:
    """Where a Tensor goes that is made from Python's numbers or a NumPy array, unless it is told: "cpu", or what `set_default` said."""
    return _default[0]


def set_default(name: str) -> None:
    """Make `name` the device for new tensors, and so for the parameters of new modules."""
    _default[0] = check(name)


_default = ["cpu"]


def cuda_is_available() -> bool:
    """Whether tensors can be placed on a GPU."""
    return why_no_cuda() is None


@cache
def why_no_cuda() -> str | None:
    """None if a GPU can be computed with, else the reason, in a sentence. The cheap questions come first."""
    if sys.modules.get("cupy") is None:
        if importlib.util.find_spec("cupy") is None:
            return "CuPy is not installed. Install it with: pip install 'tinyalex[cuda13]' (or [cuda12], by the driver's version)."
        try:
            ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        except OSError:
            return "there is no NVIDIA driver (libcuda is missing). Install the driver of the GPU, if this machine has one."
    try:
        cupy = _cupy()
    except ImportError as error:
        return (
            f"CuPy is installed but does not import: {error}. Install it anew: pip install --force-reinstall 'cupy-cuda13x[ctk]'."
        )
    if not cupy.is_available():
        return "CuPy finds no GPU. Look at what `nvidia-smi` lists, and whether CUDA_VISIBLE_DEVICES hides it."
    try:
        two = cupy.ones((2, 2), np.float32)
        product = float((two @ two)[0, 0])  # proves the context, the compiler and cuBLAS: each can be missing by itself
    except Exception as error:  # whatever a broken toolkit raises, it is the reason
        return f"the GPU does not compute ({type(error).__name__}: {error}). Install CUDA's libraries: pip install 'cupy-cuda13x[ctk]'."
    return None if product == 2 else f"the GPU computes 1*1 + 1*1 = {product}."


def _cupy() -> ModuleType:
    """CuPy, imported. Nobody has an array of it before that."""
    import cupy

    return cupy


def _name(number: int) -> str:
    return "cuda" if number == 0 else f"cuda:{number}"


def _number(name: str) -> int:
    return int(name.partition(":")[2] or 0)


# Arrays


def is_array(x: object) -> bool:
    """Whether `x` is an array of a library that tinyalex computes with (NumPy's scalars count as 0-d arrays)."""
    return isinstance(x, (np.ndarray, np.generic)) or _is_on_gpu(x)


def _is_on_gpu(x: object) -> bool:
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(x, cupy.ndarray)


def of(x: Array) -> str:
    """The device that an array lies on."""
    return _name(x.device.id) if _is_on_gpu(x) else "cpu"


def xp(x: Array) -> ModuleType:
    """The array library of `x`: NumPy or CuPy."""
    return _cupy() if _is_on_gpu(x) else np


def asarray(x: object, dtype: Any = None, *, like: Array | None = None) -> Array:
    """`x` as an array, where it lies; Python's numbers and lists go to the CPU, or to where `like` lies."""
    if _is_on_gpu(x):
        return x if dtype is None else x.astype(dtype, copy=False)  # type: ignore[attr-defined]
    array = np.asarray(x, dtype)
    return array if like is None or is_array(x) else to(array, of(like))


def to(x: Array, name: str) -> Array:
    """`x` on the device of that (canonical) name: itself if it lies there already, else a C-contiguous copy."""
    if name == of(x):
        return x
    if name == "cpu":
        return to_numpy(x)
    with on(name):
        return _cupy().asarray(x, order="C")


def to_numpy(x: Array) -> np.ndarray:
    """`x` as a C-contiguous NumPy array. Shares memory with `x` where `x` is one already; waits for the GPU where it is not."""
    return _cupy().asnumpy(x, order="C") if _is_on_gpu(x) else np.asarray(x, order="C")


def common(op: str, arrays: Any) -> str:
    """The one device that all of these arrays lie on. NumPy's scalars, and what is no array, lie anywhere.

    Raises ValueError, naming two devices, where they are mixed.
    """
    first: str | None = None
    for x in arrays:
        if isinstance(x, np.ndarray) or _is_on_gpu(x):
            here = of(x)
            if first is not None and here != first:
                raise ValueError(f"{op}: one input lies on {first}, another on {here}. Move one of them: x.to({first!r}).")
            first = here
    return first or "cpu"


# Which GPU works


def on(name: str) -> AbstractContextManager[Any]:
    """Within it, what a GPU is asked to do is done by the one of that name."""
    return nullcontext() if name == "cpu" else _cupy().cuda.Device(_number(name))


def current() -> str:
    """The GPU that works now; "cpu" where CuPy has not been needed yet."""
    cupy = sys.modules.get("cupy")
    return "cpu" if cupy is None else _name(cupy.cuda.runtime.getDevice())


def allow_tf32(allow: bool = True) -> None:
    """Let matrix products of float32 run on the tensor cores as TF32: 10 bits of mantissa instead of 23, at many times the speed.

    Off unless asked for, as in CuPy and in torch. Does nothing on the CPU; RuntimeError without a GPU.
    """
    check("cuda")
    from cupy._core import _routines_linalg as products  # CuPy has no public name for the switch, but for an environment variable

    products.set_compute_type(np.dtype(np.float32), products.COMPUTE_TYPE_TF32 if allow else products.COMPUTE_TYPE_DEFAULT)


def memory(name: str = "cuda") -> dict[str, int]:
    """Bytes of a GPU's memory: `total`, `free` in the driver's eyes, and of CuPy's pool what is `used` and what it only `holds`."""
    cupy = _cupy()
    with on(check(name)):
        free, total = cupy.cuda.Device().mem_info
        pool = cupy.get_default_memory_pool()
        return {"total": total, "free": free, "used": pool.used_bytes(), "holds": pool.total_bytes()}


# Tiles

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


def for_tiles(batch: Array, bytes_each: int, body: Callable[[int, int, Scratch], Any]) -> Any:
    """Call `body(lo, hi, scratch)` on tiles that cover range(len(batch)), and return the sum of what it returned.

    batch       the array that is worked on, usually a batch of images; says how many there are, and on which device
    bytes_each  scratch that one of them needs; decides the size of a tile
    body        returns None, a new array, or a tuple of them; may run in several threads at once, on tiles that do not overlap

    On the CPU tiles go to workers by their number alone and partial sums are added in a fixed order, so that the same number of workers
    gives the same bits; while tiles run, BLAS is held to one thread: two crowds on the same cores only wait. A GPU takes one tile after
    the other, with scratch memory that goes back to the pool at the end.
    """
    n, place = len(batch), of(batch)
    team = 1 if place != "cpu" or _thread.in_tile else workers()
    room = TILE_BYTES if place == "cpu" else _gpu_tile_bytes(place)
    tile = max(1, min(room // max(1, bytes_each), -(-n // team)))
    tiles = [(lo, min(lo + tile, n)) for lo in range(0, n, tile)] or [(0, 0)]  # sums over no image at all are zero, not missing
    team = min(team, len(tiles))
    if team == 1:
        return _work(tiles, body, Scratch(xp(batch)) if place != "cpu" or _thread.in_tile else _thread.scratch)
    with one_blas_thread():
        parts = list(pool(team).map(lambda worker: _work_in_thread(tiles[worker::team], body), range(team)))
    total = parts[0]
    for part in parts[1:]:
        total = _add(total, part)
    return total


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
