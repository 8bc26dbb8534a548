"""What a kernel may be given. CuPy passes on whatever it gets, and a wrong type becomes wrong numbers; here it is an error."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Unwrap = Callable[[object], np.ndarray | None]
"""The NumPy array behind an array of another kind; None for what is no such array."""

# fmt: off
_NAMES = {
    "?1": "bool", "i1": "signed char", "u1": "unsigned char", "i2": "short", "u2": "unsigned short", "i4": "int", "u4": "unsigned int",
    "i8": "long long", "u8": "unsigned long long", "f2": "__half", "f4": "float", "f8": "double", "V0": "void",
}
# fmt: on
_DTYPES = {code: np.dtype(bool if code == "?1" else code) for code in _NAMES if code != "V0"}
_PYTHON = {bool: np.dtype(bool), int: np.dtype(np.int64), float: np.dtype(np.float64)}
"""What CuPy makes of a Python number."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a kernel. `code` is its type, or what it points to: NumPy's code, or V and the bytes of a struct."""

    is_pointer: bool
    is_const: bool
    code: str

    def __str__(self) -> str:
        name = _NAMES.get(self.code, f"a struct of {self.code[1:]} bytes")
        return f"{'const ' if self.is_const else ''}{name}{'*' if self.is_pointer else ''}"

    @property
    def dtype(self) -> np.dtype | None:
        return _DTYPES.get(self.code)


def parse_signature(signature: str) -> tuple[Parameter, ...]:
    """The parameters in what `Kernel::signature()` in cuda_on_cpu.h returns: "c*f4,*f4,i4"."""
    codes = signature.split(",") if signature else []
    return tuple(
        Parameter("*" in code, code.startswith("c"), code.rpartition("*")[2]) for code in codes
    )


def check(
    kernel: str,
    parameters: tuple[Parameter, ...],
    arguments: tuple[object, ...],
    unwrap: Unwrap | None,
) -> list[np.ndarray]:
    """The arguments as NumPy arrays: those behind the pointers, and one of 0 dimensions for each number."""
    if len(arguments) != len(parameters):
        signature = ", ".join(map(str, parameters))
        raise TypeError(
            f"{kernel}: expected {len(parameters)} arguments ({signature}), got {len(arguments)}."
        )
    checked = []
    for i, (parameter, value) in enumerate(zip(parameters, arguments, strict=True)):
        where = f"{kernel}: argument {i} ({parameter})"
        checked.append(
            _array(where, parameter, value, unwrap)
            if parameter.is_pointer
            else _number(where, parameter, value)
        )
    return checked


def _array(where: str, parameter: Parameter, value: object, unwrap: Unwrap | None) -> np.ndarray:
    array = value
    if unwrap:
        if isinstance(value, np.ndarray):
            raise TypeError(
                f"{where} got a NumPy array, which no GPU can read. Move it to the device first."
            )
        array = unwrap(value)
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"{where} is a pointer: expected an array, got type {type(value).__name__}."
        )
    if parameter.dtype is not None and array.dtype != parameter.dtype:
        raise TypeError(
            f"{where} points to {parameter.dtype}, got an array of {array.dtype}. Use astype."
        )
    if not array.flags.c_contiguous:
        raise ValueError(
            f"{where}: the array of shape {array.shape} and strides {array.strides} is not C-contiguous, and a kernel counts "
            "through memory as if it were. Copy it first."
        )
    if not array.flags.writeable and not parameter.is_const:
        raise ValueError(
            f"{where} may be written through, but the array is read-only. Make the parameter const, or copy the array."
        )
    if parameter.code.startswith("V") and (size := int(parameter.code[1:])):
        if array.nbytes % size or array.ctypes.data % min(16, size):
            raise ValueError(
                f"{where}: an array of {array.nbytes} bytes does not divide into aligned elements of {size} bytes."
            )
    return array


def _number(where: str, parameter: Parameter, value: object) -> np.ndarray:
    expected = parameter.dtype
    if expected is None:
        raise TypeError(
            f"{where} is passed by value, which works for numbers only. Pass a pointer, or its parts one by one."
        )
    if type(value) in _PYTHON:
        given, what = (
            _PYTHON[type(value)],
            f"the Python {type(value).__name__} {value!r}, which CuPy passes on as",
        )
    elif isinstance(value, np.generic):
        given, what = value.dtype, "a"
    else:
        raise TypeError(f"{where} expected a number, got type {type(value).__name__}.")
    if given != expected:
        raise TypeError(
            f"{where} got {what} {given}: the kernel would read other bytes than were meant. Pass np.{expected.name}(...)."
        )
    return np.array(value, dtype=expected)
