"""NumPy and CuPy arrays: an array's library and device, and copies between devices."""

import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
"""A NumPy or CuPy array, typed as NumPy's: CuPy's class has the same methods."""


def gpu_library() -> ModuleType:
    """CuPy, imported on first use."""
    import cupy

    return cupy


def gpu_name(index: int) -> str:
    return "cuda" if index == 0 else f"cuda:{index}"


def gpu_index(name: str) -> int:
    return int(name.partition(":")[2] or 0)


class Device(str):
    """The name of a device, with torch's attributes.

    type   "cpu" or "cuda"
    index  the number of a GPU; None on the CPU

    The device need not exist: `Tensor.to` and others check that.

    >>> device = Device("cuda:1")
    >>> device, device.type, device.index
    ('cuda:1', 'cuda', 1)
    """

    def __new__(cls, name: str, index: int | None = None) -> "Device":
        return super().__new__(cls, canonical(name if index is None else f"{name}:{index}"))

    @property
    def type(self) -> str:
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]  # not str.index
        return None if self == "cpu" else gpu_index(self)


def canonical(name: str) -> str:
    """The name that `of` returns, for a device that need not exist."""
    kind, _, number = name.partition(":") if isinstance(name, str) else ("", "", "")
    if name == "cpu":
        return "cpu"
    if name == "auto":
        raise ValueError(
            "device: 'auto' is not the name of a device, but chooses one, as in x.to('auto'). "
            "Expected 'cpu', 'cuda' or 'cuda:1'."
        )
    if kind != "cuda" or not (name == "cuda" or number.isdigit()):
        raise ValueError(f"device: expected 'auto', 'cpu', 'cuda' or 'cuda:1', got {name!r}.")
    return gpu_name(int(number or 0))


def is_array(x: object) -> bool:
    """Whether `x` is a NumPy or CuPy array. NumPy scalars count as 0-d arrays."""
    return isinstance(x, (np.ndarray, np.generic)) or _is_on_gpu(x)


def _is_on_gpu(x: object) -> bool:
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(x, cupy.ndarray)


def sum_dtype(dtype: Any) -> np.dtype:
    """The dtype in which sums of elements of a floating dtype are computed.

    float32 for float16, whose sums stay at 2048 when ones are added.
    """
    return np.promote_types(dtype, np.float32)


def of(x: Array) -> str:
    """The device of an array."""
    return gpu_name(x.device.id) if _is_on_gpu(x) else "cpu"  # type: ignore[attr-defined]


def xp(x: Array) -> ModuleType:
    """The array library of `x`: NumPy or CuPy."""
    return gpu_library() if _is_on_gpu(x) else np


def asarray(x: Any, dtype: Any = None, *, like: Array | None = None) -> Array:
    """`x` as an array: arrays stay on their device, others are copied to `like`'s.

    Values in the other byte order are copied to that of this machine.
    """
    if _is_on_gpu(x):
        with on_device_of(x):
            return x if dtype is None else x.astype(dtype, copy=False)
    array = _native(np.asarray(x, dtype))
    return array if like is None or is_array(x) else to(array, of(like))


def to(x: Array, name: str) -> Array:
    """`x` on the device `name`: `x` itself if it is there, else a C-contiguous copy."""
    if name == of(x):
        return x
    if name == "cpu":
        return to_numpy(x)
    with on(name):
        return gpu_library().asarray(x, order="C")


@cache  # unlimited: CUDA graphs keep the addresses
def shared_ones(shape: tuple[int, ...], dtype: np.dtype, name: str) -> Array:
    """An array of ones that each training step uses. Callers must not modify it."""
    return to(np.ones(shape, dtype), name)


def write(array: Any, values: np.ndarray) -> None:
    """array[...] = values, of the same shape and dtype, in the memory of its device.

    A GPU writes in the order of the current stream, and the host does not wait.
    """
    if of(array) == "cpu":
        array[...] = values
    else:
        with on_device_of(array):
            array.set(values)


def to_numpy(x: Array) -> np.ndarray:
    """`x` as a C-contiguous NumPy array; a contiguous NumPy `x` is not copied."""
    if _is_on_gpu(x):
        return gpu_library().asnumpy(x, order="C")
    return _native(np.asarray(x, order="C"))


def _native(x: Array) -> Array:
    """`x` in the byte order of this machine."""
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


_NO_CONTEXT = nullcontext()


def on(name: str) -> AbstractContextManager[Any]:
    """A context in which the GPU `name` is CuPy's current device."""
    return _NO_CONTEXT if name == "cpu" else gpu_library().cuda.Device(gpu_index(name))


def on_device_of(x: Array) -> AbstractContextManager[Any]:
    """A context in which the device of `x` is current.

    CuPy allocates results on the current device, not on the device of the operands.
    """
    return on(of(x))


def current() -> str:
    """CuPy's current GPU; "cpu" if CuPy has not been imported."""
    cupy = sys.modules.get("cupy")
    return "cpu" if cupy is None else gpu_name(cupy.cuda.runtime.getDevice())


def common(op: str, arrays: Iterable[Any]) -> str:
    """The device of all arrays. Other objects and NumPy scalars are ignored.

    Raises ValueError if the arrays are on different devices.
    """
    if "cupy" not in sys.modules:
        return "cpu"
    names = {i: of(x) for i, x in enumerate(arrays) if isinstance(x, np.ndarray) or _is_on_gpu(x)}
    first, expected = next(iter(names.items()), (0, "cpu"))
    for i, name in names.items():
        if name != expected:
            raise ValueError(
                f"{op}: input {first} is on {expected}, but input {i} is on {name}. "
                f"Move one of them, as in x.to({name if name != 'cpu' else expected!r})."
            )
    return expected
