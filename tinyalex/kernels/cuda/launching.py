"""The one way to a CUDA kernel: arguments checked, scalars cast, the compiled function looked up once.

CuPy hands a kernel whatever it is given: a float64 array for a pointer to float, a strided view as if it were contiguous, a Python float
as eight bytes where the kernel reads four. None of that raises an error; all of it gives wrong numbers. So everything is held to what
the .cu file says before it is passed on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from tinyalex import device
from tinyalex.kernels.cuda import sources
from tinyalex.kernels.cuda.sources import BLOCK

LIMIT = 2**31 - BLOCK
"""Numbers in an array: kernels count with int, whose divisions cost a fraction of those of long long."""

Load = Callable[[str, str, tuple[str, ...]], Any]
"""(source, file, name expressions) -> a module whose `get_function(name)` is called as (grid, block, arguments)."""


def launch(file: str, name: str, threads: int, *arguments: Any) -> None:
    """Run kernel `name` of `file` with a thread for each number from 0 to `threads` - 1.

    arguments  in the kernel's own order: arrays as they are, and Python numbers, which become what the parameter is
    Raises TypeError or ValueError for an array of another dtype, on another device, too large, or not C-contiguous.
    """
    signature = sources.signatures(file)[name]
    # The emulator has no GPU to ask, and takes the arrays of the CPU.
    types, here = _types(signature, arguments), device.current() if _load is _with_cupy else ""
    values = tuple(_argument(signature, i, types, here, x) for i, x in enumerate(arguments))
    if threads == 0:
        return
    _function(_load, here, file, _expression(signature, types), types.get("T", ""))(
        (-(-threads // BLOCK),), (BLOCK,), values
    )


def _types(signature: sources.Signature, arguments: tuple[Any, ...]) -> dict[str, str]:
    """What each template parameter stands for: the type of the first array that it is used for."""
    if len(arguments) != len(signature.parameters):
        raise TypeError(
            f"{signature.name}: expected {len(signature.parameters)} arguments, got {len(arguments)}."
        )
    types: dict[str, str] = {}
    for parameter, x in zip(signature.parameters, arguments, strict=True):
        if parameter.is_array and parameter.type in signature.templates and device.is_array(x):
            c_type = sources.C_NAMES.get(x.dtype)
            if c_type is None or (parameter.type == "T" and c_type not in sources.REAL.values()):
                wanted = (
                    "float16, float32 or float64"
                    if parameter.type == "T"
                    else "a type that kernels are made for"
                )
                raise TypeError(
                    f"{signature.name}: {parameter.name} must be {wanted}, got {x.dtype}. Use astype."
                )
            types.setdefault(parameter.type, c_type)
    return types


def _argument(
    signature: sources.Signature, i: int, types: dict[str, str], here: str, x: Any
) -> Any:
    parameter = signature.parameters[i]
    wide = "double" if types.get("T") == "double" else "float"
    c_type = wide if parameter.type == "Wide<T>" else types.get(parameter.type, parameter.type)
    where = f"{signature.name}: {parameter.name}"
    if not parameter.is_array:
        return sources.DTYPES[c_type].type(x)
    if not device.is_array(x):
        raise TypeError(f"{where} must be an array, got a {type(x).__name__}.")
    if x.dtype != sources.DTYPES[c_type]:
        raise TypeError(f"{where} must be {sources.DTYPES[c_type]}, got {x.dtype}. Use astype.")
    if not x.flags.c_contiguous:
        raise ValueError(
            f"{where}, of shape {x.shape} and strides {x.strides}, must be C-contiguous: a kernel counts through memory as if it were. "
            "Pass it through kernels.of(x).ready(x) first."
        )
    if x.size > LIMIT:
        raise ValueError(
            f"{where} has {x.size} numbers; a kernel counts to {LIMIT}. Use a smaller batch."
        )
    if here and device.of(x) != here:
        raise ValueError(
            f"{where} lies on {device.of(x)}, but the kernel runs on {here}. Move it there."
        )
    return x


# Compiled kernels


def _with_cupy(source: str, file: str, names: tuple[str, ...]) -> Any:
    import cupy

    return cupy.RawModule(code=source, options=("--std=c++17",), name_expressions=names or None)


_load: Load = _with_cupy


def _expression(signature: sources.Signature, types: dict[str, str]) -> str:
    """The kernel's name as NVRTC has it: max_pool<float, unsigned char>."""
    return (
        f"{signature.name}<{', '.join(types[letter] for letter in signature.templates)}>"
        if signature.templates
        else signature.name
    )


@cache
def _function(load: Load, here: str, file: str, expression: str, real: str) -> Any:
    names = sources.instantiations(file, real)
    if "<" in expression and expression not in names:
        raise TypeError(
            f"{file} is not made for {expression}; it has {', '.join(names)}. Convert the arrays with astype."
        )
    return _module(load, here, file, names).get_function(expression)


@cache
def _module(load: Load, here: str, file: str, names: tuple[str, ...]) -> Any:
    return load(sources.text(file), file, names)


@contextmanager
def engine(load: Load) -> Iterator[None]:
    """Within it, kernels are compiled and run by what `load` gives instead of CuPy, on whatever arrays that takes."""
    global _load
    before, _load = _load, load
    try:
        yield
    finally:
        _load = before
