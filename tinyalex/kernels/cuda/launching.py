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
    # The emulator needs no GPU: its arrays are on the CPU.
    current = device.current() if _load is _with_cupy else ""
    values = tuple(
        _checked(x, parameter, types, current, f"{name}: {parameter.name}")
        for parameter, x in zip(signature.parameters, arguments, strict=True)
    )
    if threads == 0:
        return
    function = _function(_load, current, file, _expression(signature, types), types.get("T", ""))
    function((-(-threads // BLOCK_THREADS),), (BLOCK_THREADS,), values)


def _template_types(signature: Signature, arguments: tuple[Any, ...]) -> dict[str, str]:
    """The type of each template parameter: that of the first array that uses it."""
    types: dict[str, str] = {}
    for parameter, x in zip(signature.parameters, arguments, strict=True):
        if parameter.is_list:
            x = x[0]
        elif not parameter.is_array:
            continue
        if parameter.type not in signature.templates:
            continue
        if not device.is_array(x):
            continue  # an error, which _checked raises
        c_type = source_files.C_NAMES.get(x.dtype)
        is_real = c_type in source_files.REAL.values()
        if c_type is None or (parameter.type == "T" and not is_real):
            known = (
                [*source_files.REAL] if parameter.type == "T" else map(str, source_files.C_NAMES)
            )
            raise TypeError(
                f"{signature.name}: {parameter.name} must be one of {', '.join(known)}, got "
                f"{x.dtype}. Use astype."
            )
        types.setdefault(parameter.type, c_type)
    return types


def _checked(x: Any, parameter: Parameter, types: dict[str, str], current: str, where: str) -> Any:
    """An argument as CuPy expects it. `current` is the device; "" on the emulator."""
    wide = "double" if types.get("T") == "double" else "float"
    c_type = (types | {"Wide<T>": wide}).get(parameter.type, parameter.type)
    dtype = source_files.DTYPES[c_type]
    if parameter.is_array:
        return _checked_array(x, dtype, current, where)
    if not parameter.is_list:
        return dtype.type(x)
    struct = np.zeros((), ARRAY_LIST)
    for i, array in enumerate(x):
        _checked_array(array, dtype, current, f"{where}[{i}]")
        struct["of"][i], struct["size"][i] = _address(array), array.size
    return struct[()]


def _address(x: Any) -> int:
    """Where the elements of an array are in memory."""
    return x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr


def _checked_array(x: Any, dtype: np.dtype, current: str, where: str) -> Any:
    if not device.is_array(x):
        raise TypeError(f"{where} must be an array, got a {type(x).__name__}.")
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
    return x


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
