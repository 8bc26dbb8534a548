"""Kernel launches: arguments are checked, scalars cast, compiled functions cached.

CuPy accepts any argument: a float64 array for a pointer to float, a strided view as if
it were contiguous, a Python float as eight bytes of which the kernel reads four. No
error is raised, and the results are wrong. Arguments are therefore compared with the
signature in the .cu file.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.kernels.cuda import source_files
from tinyalex.kernels.cuda.source_files import ARRAYS, BLOCK_THREADS, Parameter, Signature

MAX_ELEMENTS = 2**31 - BLOCK_THREADS
"""Elements per array, for int indices: long long divisions are much slower."""

ARRAY_LIST = np.dtype([("of", np.uint64, (ARRAYS,)), ("size", np.int32, (ARRAYS,))])
"""The struct Arrays of array_lists.cuh."""

Load = Callable[[str, str, tuple[str, ...]], Any]
"""(source, file, name expressions) -> a module, whose `get_function(name)` returns a
function of (grid, block, arguments)."""


def launch(file: str, name: str, threads: int, *arguments: Any) -> None:
    """Run kernel `name` of `file` with the thread indices 0 to `threads` - 1.

    Arguments are in the order of the parameters; Python numbers are cast to their
    types, and a list of arrays is passed as the struct `Arrays`. Raises TypeError or
    ValueError if an array has another dtype or device, is too large or not
    C-contiguous.
    """
    signature = source_files.signatures(file)[name]
    if len(arguments) != len(signature.parameters):
        raise TypeError(
            f"{name}: expected {len(signature.parameters)} arguments, got {len(arguments)}."
        )
    types = _template_types(signature, arguments)
    current = _current()
    values = tuple(
        _checked(x, parameter, types, current, f"{name}: {parameter.name}")
        for parameter, x in zip(signature.parameters, arguments, strict=True)
    )
    if threads == 0:
        return
    function = _function(_load, current, file, _expression(signature, types), types.get("T", ""))
    function((-(-threads // BLOCK_THREADS),), (BLOCK_THREADS,), values)


def ready(x: Array) -> Array:
    """`x` itself if it is C-contiguous, else a copy that is."""
    # Not ascontiguousarray alone, which makes 0-d arrays 1-d.
    return x if x.flags.c_contiguous else device.xp(x).ascontiguousarray(x)


def ready_lists(file: str, name: str, lists: list[list[Array]]) -> list[list[Array]]:
    """Lists of any length for the first parameters of a kernel, with copies of arrays
    that are not C-contiguous. Raises the errors of `launch` for arrays in lists."""
    signature = source_files.signatures(file)[name]
    parameters, current, contiguous = signature.parameters[: len(lists)], _current(), []
    for parameter, arrays in zip(parameters, lists, strict=True):
        _check_list(arrays, f"{name}: {parameter.name}")
        contiguous.append([ready(a) for a in arrays])
    if not all(contiguous):
        return contiguous  # without arrays there is no type
    types = _template_types(signature, tuple(contiguous))
    for parameter, arrays in zip(parameters, contiguous, strict=True):
        dtype = _dtype(parameter, types)
        for i, a in enumerate(arrays):
            _check_array(a, dtype, current, f"{name}: {parameter.name}[{i}]")
    return contiguous


def _current() -> str:
    """The current device; "" on the emulator, whose arrays are on the CPU."""
    return device.current() if _load is _with_cupy else ""


def _template_types(signature: Signature, arguments: tuple[Any, ...]) -> dict[str, str]:
    """The type of each template parameter: that of the first array that uses it."""
    types: dict[str, str] = {}
    for parameter, x in zip(signature.parameters, arguments, strict=False):
        if parameter.type not in signature.templates:
            continue
        where = f"{signature.name}: {parameter.name}"
        if parameter.is_list:
            _check_list(x, where)
            if not x:
                raise ValueError(f"{where} has no arrays, expected 1 to {ARRAYS}.")
            x, where = x[0], f"{where}[0]"
        elif not parameter.is_array:
            continue
        _check_is_array(x, where)
        c_type = source_files.C_NAMES.get(x.dtype)
        is_real = c_type in source_files.REAL.values()
        if c_type is None or (parameter.type == "T" and not is_real):
            known = (
                [*source_files.REAL] if parameter.type == "T" else map(str, source_files.C_NAMES)
            )
            raise TypeError(
                f"{where} must be one of {', '.join(known)}, got {x.dtype}. Use astype."
            )
        types.setdefault(parameter.type, c_type)
    return types


def _dtype(parameter: Parameter, types: dict[str, str]) -> np.dtype:
    """The dtype of a parameter, or of its elements."""
    wide = "double" if types.get("T") == "double" else "float"
    return source_files.DTYPES[(types | {"Wide<T>": wide}).get(parameter.type, parameter.type)]


def _checked(x: Any, parameter: Parameter, types: dict[str, str], current: str, where: str) -> Any:
    """An argument as CuPy expects it. `current` is the device; "" on the emulator."""
    dtype = _dtype(parameter, types)
    if parameter.is_array:
        _check_array(x, dtype, current, where)
        return x
    if not parameter.is_list:
        return dtype.type(x)
    if len(x) > ARRAYS:
        raise ValueError(f"{where} has {len(x)} arrays, expected 1 to {ARRAYS}.")
    struct = np.zeros((), ARRAY_LIST)
    for i, array in enumerate(x):
        _check_array(array, dtype, current, f"{where}[{i}]")
        struct["of"][i], struct["size"][i] = _address(array), array.size
    if (size := sum(array.size for array in x)) > MAX_ELEMENTS:
        raise ValueError(
            f"{where} has {size} elements together, expected up to {MAX_ELEMENTS}. Use a launch "
            "for each array."
        )
    return struct[()]


def _address(x: Any) -> int:
    """Where the elements of an array are in memory."""
    return x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr


def _check_list(x: Any, where: str) -> None:
    if not isinstance(x, list):
        raise TypeError(f"{where} must be a list of arrays, got a {type(x).__name__}.")
    for i, array in enumerate(x):
        _check_is_array(array, f"{where}[{i}]")


def _check_is_array(x: Any, where: str) -> None:
    if not device.is_array(x):
        raise TypeError(f"{where} must be an array, got a {type(x).__name__}.")


def _check_array(x: Any, dtype: np.dtype, current: str, where: str) -> None:
    _check_is_array(x, where)
    if x.dtype != dtype:
        raise TypeError(f"{where} must be {dtype}, got {x.dtype}. Use astype.")
    if not x.flags.c_contiguous:
        raise ValueError(
            f"{where} must be C-contiguous, got shape {x.shape} with strides {x.strides}. Pass it "
            "through kernels.of(x).ready(x) first."
        )
    if x.size > MAX_ELEMENTS:
        raise ValueError(
            f"{where} has {x.size} elements, expected up to {MAX_ELEMENTS}. Use a smaller batch."
        )
    if current and device.of(x) != current:
        raise ValueError(
            f"{where} is on {device.of(x)}, but the kernel runs on {current}. Copy it with "
            "device.to."
        )


def _with_cupy(source: str, file: str, names: tuple[str, ...]) -> Any:
    import cupy

    return cupy.RawModule(code=source, options=("--std=c++17",), name_expressions=names or None)


_load: Load = _with_cupy


def _expression(signature: Signature, types: dict[str, str]) -> str:
    """The name expression of NVRTC, such as max_pool<float, unsigned char>."""
    if not signature.templates:
        return signature.name
    return f"{signature.name}<{', '.join(types[t] for t in signature.templates)}>"


@cache
def _function(load: Load, current: str, file: str, expression: str, real: str) -> Any:
    names = source_files.instantiations(file, real)
    if "<" in expression and expression not in names:
        raise TypeError(
            f"{file} does not instantiate {expression}, only {', '.join(names)}. Convert the "
            "arrays with astype."
        )
    return _module(load, current, file, names).get_function(expression)


@cache
def _module(load: Load, current: str, file: str, names: tuple[str, ...]) -> Any:
    return load(source_files.text(file), file, names)


@contextmanager
def engine(load: Load) -> Iterator[None]:
    """A context in which `load` compiles and runs the kernels, instead of CuPy."""
    global _load
    before, _load = _load, load
    try:
        yield
    finally:
        _load = before
