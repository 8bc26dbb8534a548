"""Functions that create arrays, where NumPy's own would behave differently."""

from types import ModuleType
from typing import Any

import numpy as np

from standin.arrays import TO_NUMPY, check_dtype, fresh, from_host, ndarray, poisoned, unwrap
from standin.functions import device_arrays, wrap
from standin.state import count, wait


def array(
    obj: Any,
    dtype: Any = None,
    copy: bool | None = True,
    order: str | None = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> ndarray:
    """`obj` on the current device: itself if it is there, unless `copy`."""
    dtype = None if dtype is None else check_dtype(dtype)
    if isinstance(obj, ndarray):
        return _from_device(obj, dtype, copy, order or "K", ndmin)
    if type(obj) in (list, tuple) and any(True for _ in device_arrays(obj)):
        return _from_device_sequence(obj, dtype, order, ndmin)
    if copy is False:
        raise ValueError(
            f"cupy.array(copy=False): a {type(obj).__name__} of the host cannot come to the device without a copy."
        )
    if blocking:
        wait("cupy.array(blocking=True)")
    source = np.array(obj, dtype, copy=None, ndmin=ndmin)
    fortran = order == "F" or (
        order != "C" and source.flags.f_contiguous and not source.flags.c_contiguous
    )
    return from_host(source, "F" if fortran else "C")


def _from_device(obj: ndarray, dtype: Any, copy: bool | None, order: str, ndmin: int) -> ndarray:
    try:
        source = unwrap(obj)
    except ValueError:
        if copy is False:
            raise
        count("launch")
        return fresh(np.array(obj._array, dtype, order=order, ndmin=ndmin))
    return wrap("copy", np.array(source, dtype, copy=copy, order=order, ndmin=ndmin), [obj])


def _from_device_sequence(obj: Any, dtype: Any, order: str | None, ndmin: int) -> ndarray:
    def is_device(part: Any) -> bool:
        return (
            all(map(is_device, part)) if type(part) in (list, tuple) else isinstance(part, ndarray)
        )

    if not is_device(obj):
        raise TypeError(TO_NUMPY)
    count("launch")
    return fresh(np.array(unwrap(obj), dtype, order="F" if order == "F" else "C", ndmin=ndmin))


def asarray(
    a: Any,
    dtype: Any = None,
    order: str | None = None,
    *,
    copy: bool | None = None,
    blocking: bool = False,
) -> ndarray:
    return array(a, dtype, copy, order, blocking=blocking)


def asanyarray(
    a: Any,
    dtype: Any = None,
    order: str | None = None,
    *,
    copy: bool | None = None,
    blocking: bool = False,
) -> ndarray:
    return array(a, dtype, copy, order, blocking=blocking)


def ascontiguousarray(a: ndarray, dtype: Any = None) -> ndarray:
    """`a` itself where it is in C order; 0-d arrays stay so, other than in NumPy."""
    if not isinstance(a, ndarray):
        raise TypeError(f"cupy.ascontiguousarray: expected a cupy.ndarray, got {type(a).__name__}.")
    return wrap("ascontiguousarray", np.asarray(unwrap(a), dtype, order="C"), [a])


def asnumpy(
    a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True
) -> np.ndarray:
    return (
        a._get("cupy.asnumpy()", order, out)
        if isinstance(a, ndarray)
        else np.asarray(a, order=order)
    )


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """Uninitialized memory, filled with conspicuous values."""
    return fresh(poisoned(shape, dtype, order))


def empty_like(
    prototype: ndarray, dtype: Any = None, order: str = "K", subok: None = None, shape: Any = None
) -> ndarray:
    like = np.empty_like(
        unwrap(prototype), check_dtype(dtype or prototype.dtype), order, shape=shape
    )
    like[...] = poisoned((), like.dtype)
    return fresh(like)


def get_array_module(*args: Any) -> ModuleType:
    from standin.modules import cupy

    return cupy if any(isinstance(x, ndarray) for x in args) else np
