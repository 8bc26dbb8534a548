"""cupy.ndarray: wraps a NumPy array together with its device.

Here are conversions to and from the host; `functions.py` adds operators and methods.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from standin.api import Strict
from standin.devices import Device
from standin.memory import Memory, MemoryPointer
from standin.state import copy_to_host, count, thread, wait

DTYPES = "?bhilqBHILQefdFD"
"""What CuPy computes with, as NumPy's letters."""

SCALARS = (bool, int, float, complex, np.generic)

TO_NUMPY = "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly."


class Flags(Strict):
    __slots__ = ("_flags",)
    _known_as = "cupy._core.flags.Flags"

    def __init__(self, flags: Any) -> None:
        self._flags = flags

    @property
    def c_contiguous(self) -> bool:
        return self._flags.c_contiguous

    @property
    def f_contiguous(self) -> bool:
        return self._flags.f_contiguous

    @property
    def owndata(self) -> bool:
        return self._flags.owndata

    def __getitem__(self, name: str) -> bool:
        names = {
            "C_CONTIGUOUS": "c_contiguous",
            "F_CONTIGUOUS": "f_contiguous",
            "OWNDATA": "owndata",
        }
        if name not in names:
            raise KeyError(f"{name} is not defined for cupy.ndarray.flags")
        return getattr(self._flags, names[name])


class ndarray(Strict):  # noqa: N801, CuPy's name
    """An array on a device: NumPy's `_array`, in the `_memory` of the device."""

    __slots__ = ("__weakref__", "_array", "_memory", "base")
    __hash__ = None
    __array_priority__ = 100
    _known_as = "cupy.ndarray"

    def __new__(
        cls,
        shape: Any,
        dtype: Any = float,
        memptr: Any = None,
        strides: Any = None,
        order: str = "C",
    ) -> "ndarray":
        if memptr is not None or strides is not None:
            raise NotImplementedError(
                "cupy.ndarray(memptr=, strides=): CuPy has them, the stand-in does not."
            )
        return fresh(poisoned(shape, dtype, order))

    # What it is

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        self._array = self._array.reshape(shape, copy=False)

    @property
    def dtype(self) -> np.dtype:
        return self._array.dtype

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def size(self) -> int:
        return self._array.size

    @property
    def itemsize(self) -> int:
        return self._array.itemsize

    @property
    def nbytes(self) -> int:
        return self._array.nbytes

    @property
    def strides(self) -> tuple[int, ...]:
        return self._array.strides

    @property
    def flags(self) -> Flags:
        return Flags(self._array.flags)

    @property
    def data(self) -> MemoryPointer:
        return MemoryPointer(self._memory, self._array.ctypes.data)

    @property
    def device(self) -> Device:
        return Device(self._memory.device_id)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.data.ptr, False),
            "strides": self.strides,
            "version": 3,
        }

    @property
    def T(self) -> "ndarray":  # noqa: N802
        return view(self._array.T, self)

    @property
    def mT(self) -> "ndarray":  # noqa: N802
        return view(self._array.mT, self)

    @property
    def real(self) -> "ndarray":
        return view(self._array.real, self)

    @property
    def imag(self) -> "ndarray":
        return (
            view(self._array.imag, self)
            if self.dtype.kind == "c"
            else fresh(np.zeros_like(self._array))
        )

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator["ndarray"]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    # Where NumPy would take it for its own

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(TO_NUMPY)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(
            f"numpy.{function.__name__} was given a CuPy array. CuPy takes it; the stand-in wants cupy.{function.__name__}."
        )

    # To the host and back

    def get(
        self,
        stream: Any = None,
        order: str = "C",
        out: np.ndarray | None = None,
        blocking: bool = True,
    ) -> np.ndarray:
        return self._get("ndarray.get()", order, out)

    def _get(self, what: str, order: str = "C", out: np.ndarray | None = None) -> np.ndarray:
        """A copy on the host, for the sake of `what`."""
        copy_to_host(what, self.nbytes)
        if out is None:
            return np.array(self._array, order=order)
        if not isinstance(out, np.ndarray) or out.dtype != self.dtype:
            raise TypeError(
                f"{what}: expected a NumPy array of {self.dtype} as out, got {getattr(out, 'dtype', type(out))}."
            )
        if out.shape != self.shape:
            raise ValueError(
                f"{what}: expected out to have the shape {self.shape}, got {out.shape}."
            )
        out[...] = self._array
        return out

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError(f"ndarray.set(): expected a NumPy array, got {type(arr).__name__}.")
        if arr.dtype != self.dtype:
            raise TypeError(f"ndarray.set(): expected {self.dtype}, got {arr.dtype}.")
        if arr.shape != self.shape:
            raise ValueError(f"ndarray.set(): expected the shape {self.shape}, got {arr.shape}.")
        if not (self._array.flags.c_contiguous or self._array.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        count("h2d", arr.nbytes)
        self._array[...] = arr

    def item(self) -> Any:
        return self._get("ndarray.item()").item()

    def tolist(self) -> Any:
        return self._get("ndarray.tolist()").tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self._get("ndarray.tobytes()").tobytes(order)

    def __bool__(self) -> bool:
        return bool(self._get("bool(array)"))

    def __int__(self) -> int:
        return int(self._get("int(array)"))

    def __float__(self) -> float:
        return float(self._get("float(array)"))

    def __complex__(self) -> complex:
        return complex(self._get("complex(array)"))

    def __bytes__(self) -> bytes:
        return bytes(self._get("bytes(array)"))

    def __repr__(self) -> str:
        return repr(self._get("repr(array)"))

    def __str__(self) -> str:
        return str(self._get("str(array)"))

    def __format__(self, format_spec: str) -> str:
        return format(self._get("format(array)"), format_spec)

    def __reduce__(self) -> Any:
        return from_host, (self._get("pickling an array"),)

    def __copy__(self) -> "ndarray":
        with self.device:
            return fresh(self._array.copy())

    def __deepcopy__(self, memo: Any) -> "ndarray":
        return self.__copy__()

    # Parts

    def __getitem__(self, slices: Any) -> "ndarray":
        unwrap(self)
        index, picks = as_index(slices)
        part = self._array[index]
        if not picks:
            return view(part, self)
        count("launch")
        return fresh(np.array(part, order="C"))

    def __setitem__(self, slices: Any, value: Any) -> None:
        if not isinstance(value, (ndarray, *SCALARS)):
            raise TypeError(
                f"Unsupported type {type(value)}: expected a cupy.ndarray or a number on the right of x[...] = value."
            )
        unwrap(self)
        index, _ = as_index(slices)
        count("launch")
        with np.errstate(all="ignore"):
            self._array[index] = unwrap(value)


def as_index(slices: Any) -> tuple[tuple[Any, ...], bool]:
    """An index for NumPy, and whether it copies elements instead of giving a view."""
    index, picks = [], False
    for part in slices if isinstance(slices, tuple) else (slices,):
        if isinstance(part, np.ndarray):
            raise TypeError(
                "A NumPy array as the index of a CuPy array: CuPy copies it to the device each time, the stand-in refuses it."
            )
        if isinstance(part, (list, tuple)):
            part = from_host(np.array(part, dtype=None if len(part) else np.int32))
        if isinstance(part, (bool, np.bool_)) or (isinstance(part, ndarray) and part.dtype == bool):
            wait("indexing with booleans")
        picks |= isinstance(part, (ndarray, bool, np.bool_))
        index.append(unwrap(part))
    if not any(part is Ellipsis for part in index):
        index.append(
            Ellipsis
        )  # a single element is a view too, as it is in CuPy, and not a NumPy scalar
    return tuple(index), picks


# Between the host's arrays and the device's


def check_dtype(dtype: Any) -> np.dtype:
    dtype = np.dtype(dtype)
    if dtype.char not in DTYPES:
        raise ValueError(f"Unsupported dtype {dtype}")
    return dtype


def poisoned(shape: Any, dtype: Any, order: str = "C") -> np.ndarray:
    """An uninitialized array: NaN, or a conspicuous number."""
    array = np.empty(shape, check_dtype(dtype), order)
    kind = array.dtype.kind
    array[...] = np.nan if kind in "fc" else True if kind == "b" else np.iinfo(array.dtype).max
    return array


def fresh(array: Any) -> ndarray:
    """`array` in new memory of the current device; scalars become 0-d arrays."""
    return _wrap(np.asarray(array), Memory(np.asarray(array), thread.device), None)


def view(array: np.ndarray, base: ndarray) -> ndarray:
    """`array`, a view of `base`."""
    return _wrap(array, base._memory, base if base.base is None else base.base)


def _wrap(array: np.ndarray, memory: Memory, base: ndarray | None) -> ndarray:
    check_dtype(array.dtype)
    wrapped = object.__new__(ndarray)
    wrapped._array, wrapped._memory, wrapped.base = array, memory, base
    return wrapped


def from_host(array: Any, order: str = "C") -> ndarray:
    """A copy of a host array on the current device. The host does not wait for it."""
    source = np.asarray(array)
    check_dtype(source.dtype)
    copied = np.array(source, source.dtype.newbyteorder("="), order=order)
    count("h2d", copied.nbytes)
    return fresh(copied)


def unwrap(x: Any) -> Any:
    """The NumPy form of `x`: a device array, a number, or lists of them."""
    if isinstance(x, ndarray):
        if x._memory.device_id != thread.device:
            raise ValueError(
                f"The device where the array resides ({x._memory.device_id}) is different from the current device ({thread.device})."
            )
        return x._array
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {np.ndarray}: expected a cupy.ndarray.")
    if type(x) in (list, tuple):
        return type(x)(map(unwrap, x))
    return x
