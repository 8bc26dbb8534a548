"""Check a kernel's arguments. CuPy does not: a wrong type means wrong results."""

import re
from dataclasses import dataclass

import numpy as np

from tinyalex.emulator.kernels.array_lists import ArrayList

# fmt: off
_C_NAMES = {
    "?1": "bool", "i1": "signed char", "u1": "unsigned char", "i2": "short", "u2": "unsigned short",
    "i4": "int", "u4": "unsigned int", "i8": "long long", "u8": "unsigned long long",
    "f2": "__half", "f4": "float", "f8": "double", "V0": "void",
}
# fmt: on
_DTYPES = {code: np.dtype(bool if code == "?1" else code) for code in _C_NAMES if code != "V0"}
_PYTHON = {bool: np.dtype(bool), int: np.dtype(np.int64), float: np.dtype(np.float64)}
"""The dtypes to which CuPy converts Python numbers."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a kernel.

    `code` is NumPy's code of the type, or of the type that a pointer points to; for a
    struct, V and its size in bytes. `arrays` is the type of a list of arrays, else
    None.
    """

    is_pointer: bool
    is_const: bool
    code: str
    arrays: ArrayList | None = None

    @property
    def bytes(self) -> int:
        """The size of the argument."""
        return 8 if self.is_pointer else int(self.code[1:])

    def __str__(self) -> str:
        if self.arrays:
            const = "const " if self.arrays.is_const else ""
            return f"a list of {const}{self.arrays.dtype} arrays"
        name = _C_NAMES.get(self.code, f"a struct of {self.code[1:]} bytes")
        return f"{'const ' if self.is_const else ''}{name}{'*' if self.is_pointer else ''}"

    @property
    def dtype(self) -> np.dtype | None:
        return _DTYPES.get(self.code)


_TYPE = re.compile(
    r"(?P<const>c?)(?P<pointer>\*?)(?P<code>\?1|\w+)"
    r"(\[(?P<length>\d+)(?P<list_const>c?)\*(?P<of>\S+)\])?"
)


def parse_signature(signature: str) -> tuple[Parameter, ...]:
    """The parameters in the result of `Kernel::signature()`, as in "c*f4,*f4,i4"."""
    return tuple(map(_parameter, signature.split(","))) if signature else ()


def _parameter(text: str) -> Parameter:
    found = _TYPE.fullmatch(text)
    assert found is not None, text
    arrays = None
    if found["length"] and not found["pointer"]:
        arrays = ArrayList(int(found["length"]), bool(found["list_const"]), _DTYPES[found["of"]])
    return Parameter(bool(found["pointer"]), bool(found["const"]), found["code"], arrays)


def check(
    kernel: str, parameters: tuple[Parameter, ...], arguments: tuple[object, ...]
) -> list[np.ndarray]:
    """The arguments as NumPy arrays; numbers become 0-d arrays."""
    if len(arguments) != len(parameters):
        signature = ", ".join(map(str, parameters))
        raise TypeError(
            f"{kernel}: expected {len(parameters)} arguments ({signature}), got {len(arguments)}."
        )
    checked = []
    for i, (parameter, value) in enumerate(zip(parameters, arguments, strict=True)):
        where = f"{kernel}: argument {i} ({parameter})"
        if parameter.is_pointer:
            checked.append(_array(where, parameter, value))
        else:
            checked.append(_number(where, parameter, value))
    return checked


def _array(where: str, parameter: Parameter, array: object) -> np.ndarray:
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"{where} is a pointer: expected an array, got type {type(array).__name__}."
        )
    if parameter.dtype is not None and array.dtype != parameter.dtype:
        raise TypeError(
            f"{where} points to {parameter.dtype}, got an array of {array.dtype}. Use astype."
        )
    if not array.flags.c_contiguous:
        raise ValueError(
            f"{where}: the array of shape {array.shape} and strides {array.strides} is not "
            "C-contiguous, as kernels assume. Copy it first."
        )
    if not array.flags.writeable and not parameter.is_const:
        raise ValueError(
            f"{where} may be written through, but the array is read-only. "
            "Make the parameter const, or copy the array."
        )
    if parameter.code.startswith("V") and (size := int(parameter.code[1:])):
        if array.nbytes % size or array.ctypes.data % min(16, size):
            raise ValueError(
                f"{where}: expected aligned elements of {size} bytes, got an array of "
                f"{array.nbytes} bytes at address {array.ctypes.data:#x}."
            )
    return array


def _number(where: str, parameter: Parameter, value: object) -> np.ndarray:
    if parameter.arrays:
        return _list(where, parameter.arrays, value)
    expected = parameter.dtype
    if expected is None:
        raise TypeError(
            f"{where} is passed by value, which works for numbers and lists of arrays only. "
            "Pass a pointer, or the members one by one."
        )
    if type(value) in _PYTHON:
        given = _PYTHON[type(value)]
        what = f"the Python {type(value).__name__} {value!r}, which CuPy passes on as"
    elif isinstance(value, np.generic):
        given, what = value.dtype, "a"
    else:
        raise TypeError(f"{where} expected a number, got type {type(value).__name__}.")
    if given != expected:
        raise TypeError(
            f"{where} got {what} {given}: the kernel would read wrong bytes. "
            f"Pass np.{expected.name}(...)."
        )
    return np.array(value, dtype=expected)


def _list(where: str, expected: ArrayList, value: object) -> np.ndarray:
    if not isinstance(value, np.void) or value.dtype != expected.layout:
        raise TypeError(
            f"{where}: expected a NumPy scalar of dtype {expected.layout}, got type "
            f"{type(value).__name__}."
        )
    return np.array(value)
