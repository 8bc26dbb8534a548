"""Arrays of two libraries: which one an array belongs to, where it lies, and how it gets elsewhere."""

import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import numpy as np

Array = Any
"""An array of any device's library. NumPy's own type would be a lie for the others."""


def gpu_library() -> ModuleType:
    """CuPy, imported. Nobody has an array of it before that."""
    import cupy

    return cupy


def gpu_name(number: int) -> str:
    return "cuda" if number == 0 else f"cuda:{number}"


def _number(name: str) -> int:
    return int(name.partition(":")[2] or 0)


def is_array(x: object) -> bool:
    """Whether `x` is an array of a library that tinyalex computes with (NumPy's scalars count as 0-d arrays)."""
    return isinstance(x, (np.ndarray, np.generic)) or _is_on_gpu(x)


def _is_on_gpu(x: object) -> bool:
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(x, cupy.ndarray)


def of(x: Array) -> str:
    """The device that an array lies on."""
    return gpu_name(x.device.id) if _is_on_gpu(x) else "cpu"


def xp(x: Array) -> ModuleType:
    """The array library of `x`: NumPy or CuPy."""
    return gpu_library() if _is_on_gpu(x) else np


def asarray(x: object, dtype: Any = None, *, like: Array | None = None) -> Array:
    """`x` as an array, where it lies; Python's numbers and lists go to the CPU, or to where `like` lies."""
    if _is_on_gpu(x):
        with beside(x):
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
        return gpu_library().asarray(x, order="C")


def to_numpy(x: Array) -> np.ndarray:
    """`x` as a C-contiguous NumPy array. Shares memory with `x` where `x` is one already; waits for the GPU where it is not."""
    return gpu_library().asnumpy(x, order="C") if _is_on_gpu(x) else np.asarray(x, order="C")


def on(name: str) -> AbstractContextManager[Any]:
    """Within it, what a GPU is asked to do is done by the one of that name."""
    return nullcontext() if name == "cpu" else gpu_library().cuda.Device(_number(name))


def beside(x: Array) -> AbstractContextManager[Any]:
    """Within it, the device that `x` lies on is the one that works. CuPy makes copies and results where it works, not where `x` lies."""
    return on(of(x))


def current() -> str:
    """The GPU that works now; "cpu" where CuPy has not been needed yet."""
    cupy = sys.modules.get("cupy")
    return "cpu" if cupy is None else gpu_name(cupy.cuda.runtime.getDevice())


def common(op: str, arrays: Iterable[Any]) -> str:
    """The one device that all of these arrays lie on. NumPy's scalars, and what is no array, lie anywhere.

    Raises ValueError, naming two devices, where they are mixed.
    """
    places = [of(x) if isinstance(x, np.ndarray) or _is_on_gpu(x) else None for x in arrays]
    first = next((i for i, place in enumerate(places) if place), None)
    if first is None:
        return "cpu"
    for i, place in enumerate(places):
        if place not in (None, places[first]):
            gpu = next(name for name in (place, places[first]) if name != "cpu")
            raise ValueError(
                f"{op}: input {first} lies on {places[first]}, but input {i} on {place}. Move one of them, as in x.to({gpu!r})."
            )
    return str(places[first])
