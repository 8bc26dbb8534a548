"""The .cu files as text, and the parameters and instantiations of their kernels.

No GPU is needed: CuPy, NVRTC alone and the emulator all compile this text.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent

BLOCK_THREADS = 256
"""Threads in a block: a multiple of the warp size 32; several blocks fit on a
multiprocessor."""

ARRAYS = 32
"""The length of a list of arrays: four lists are 1,536 of the 4,096 bytes that the
arguments of a launch may have."""

REAL = {"float16": "__half", "float32": "float", "float64": "double"}
"""The types of a template's T, by dtype."""

DTYPES = {
    **{c: np.dtype(name) for name, c in REAL.items()},
    "bool": np.dtype(bool),
    "unsigned char": np.dtype(np.uint8),
    "int": np.dtype(np.int32),
    "long long": np.dtype(np.int64),
    "unsigned long long": np.dtype(np.uint64),
}
"""The dtype of each C++ type that kernels use."""

C_NAMES = {dtype: c for c, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a kernel; `type` without const and *: "T", "Wide<T>" or "int".

    is_const  whether it is arrays that the kernel only reads
    is_list   whether it is Arrays<T>, up to ARRAYS arrays of `type`
    """

    name: str
    type: str
    is_array: bool
    is_const: bool
    is_list: bool = False


@dataclass(frozen=True)
class Signature:
    """The name, template parameters and parameters of a kernel."""

    name: str
    templates: tuple[str, ...]
    parameters: tuple[Parameter, ...]


def files() -> list[str]:
    """The names of all .cu files."""
    return sorted(path.name for path in FOLDER.glob("*.cu"))


def _read(file: str) -> str:
    return (FOLDER / file).read_text(encoding="utf-8")


@cache
def text(file: str) -> str:
    """A .cu file with our headers included; #line keeps the line numbers in messages.

    With -I instead, CuPy's cache of compiled kernels would not notice a changed header.
    """
    sizes = {"BLOCK_THREADS": BLOCK_THREADS, "ARRAYS": ARRAYS}
    lines = [f"#define {name} {size}" for name, size in sizes.items() if file.endswith(".cu")]
    lines.append(f'#line 1 "{file}"')
    for number, line in enumerate(_read(file).splitlines(), 1):
        if header := re.fullmatch(r'#include "(.*)"', line):
            lines += [text(header[1]).rstrip("\n"), f'#line {number + 1} "{file}"']
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


KERNEL = re.compile(
    r'(?:template <([^>]*)>|extern "C")\s*__global__ void (?:__launch_bounds__\(\w+\) )?(\w+)'
    r"\(([^)]*)\)"
)
"""A kernel's template parameters, name and parameters."""


@cache
def signatures(file: str) -> dict[str, Signature]:
    """The kernels of a file by name."""
    code = re.sub(r"//[^\n]*", "", text(file))
    found = {}
    for templates, name, parameters in KERNEL.findall(code):
        letters = tuple(part.split()[-1] for part in templates.split(",") if part)
        found[name] = Signature(name, letters, tuple(map(_parameter, parameters.split(","))))
    return found


def _parameter(declaration: str) -> Parameter:
    code = declaration.replace("__restrict__", "").replace("const ", "")
    *words, name = code.replace("*", " * ").split()
    c_type, is_const = " ".join(word for word in words if word != "*"), "const " in declaration
    if found := re.fullmatch(r"Arrays<(\w+)>", c_type):
        return Parameter(name, found[1], False, is_const, is_list=True)
    is_array = "*" in words
    return Parameter(name, c_type, is_array, is_array and is_const)


@cache
def instantiations(file: str, real: str) -> tuple[str, ...]:
    """NVRTC's name expressions for the kernel templates of a file with T = `real`; none
    if that is "", for a kernel that is not a template.

    A file begins with the list `// instantiate: lrn<T>, max_pool<T, int>`, which
    continues on the next line after a comma.
    """
    found = re.match(r"// instantiate: (.*(?:(?<=,)\n//.*)*)\n", _read(file))
    if not (found and real):
        return ()
    names = found[1].replace("\n//", "").replace("<T", f"<{real}")
    return tuple(re.split(r",\s*(?![^<]*>)", names))
