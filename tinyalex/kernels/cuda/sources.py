"""The .cu files as text: their includes put in, the parameters of their kernels, and the types that they are made for.

Needs neither a GPU nor CuPy: what compiles the kernels (CuPy, NVRTC alone, the emulator) all start from here.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent

BLOCK = 256
"""Threads in a block, in Python and in the kernels: a multiple of a warp's 32; several blocks fit on a multiprocessor."""

REAL = {"float16": "__half", "float32": "float", "float64": "double"}
"""What a template's T may be."""

DTYPES = {
    **{c: np.dtype(name) for name, c in REAL.items()},
    "bool": np.dtype(bool),
    "unsigned char": np.dtype(np.uint8),
    "int": np.dtype(np.int32),
    "long long": np.dtype(np.int64),
    "unsigned long long": np.dtype(np.uint64),
}
"""The types of C++ that kernels use, as NumPy has them."""

C_NAMES = {dtype: c for c, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel: `type` without const and *, as in "T", "Wide<T>" or "int"."""

    name: str
    type: str
    is_array: bool


@dataclass(frozen=True)
class Signature:
    """A kernel's name, template parameters, and parameters."""

    name: str
    templates: tuple[str, ...]
    parameters: tuple[Parameter, ...]


def files() -> list[str]:
    """The names of all .cu files."""
    return sorted(path.name for path in FOLDER.glob("*.cu"))


@cache
def text(file: str) -> str:
    """A .cu file with our own headers in the place of their includes. Compilers still name the lines as the files have them.

    Headers are put in rather than found with -I, because CuPy's cache of compiled kernels would not notice that one has changed.
    """
    lines = [f"#define BLOCK {BLOCK}"] if file.endswith(".cu") else []
    lines.append(f'#line 1 "{file}"')
    for number, line in enumerate((FOLDER / file).read_text(encoding="utf-8").splitlines(), 1):
        if header := re.fullmatch(r'#include "(.*)"', line):
            lines += [text(header[1]).rstrip("\n"), f'#line {number + 1} "{file}"']
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


@cache
def signatures(file: str) -> dict[str, Signature]:
    """The kernels of a file by name."""
    code = re.sub(r"//[^\n]*", "", text(file))
    found = {}
    pattern = r'(?:template <([^>]*)>|extern "C")\s*__global__ void (?:__launch_bounds__\(\w+\) )?(\w+)\(([^)]*)\)'
    for templates, name, parameters in re.findall(pattern, code):
        letters = tuple(part.split()[-1] for part in templates.split(",") if part)
        found[name] = Signature(name, letters, tuple(map(_parameter, parameters.split(","))))
    return found


def _parameter(declaration: str) -> Parameter:
    *words, name = (
        declaration.replace("__restrict__", "").replace("const ", "").replace("*", " * ").split()
    )
    return Parameter(name, " ".join(word for word in words if word != "*"), "*" in words)


@cache
def instantiations(file: str, real: str) -> tuple[str, ...]:
    """The kernels of a file with T = `real`, as NVRTC's name expressions; a kernel without a template is not among them.

    The file's first line lists them: `// instantiate: max_pool<T, unsigned char>, max_pool<T, int>`.
    """
    line = re.match(r"// instantiate: (.*)\n", (FOLDER / file).read_text(encoding="utf-8"))
    return tuple(re.split(r",\s*(?![^<]*>)", line[1].replace("<T", f"<{real}"))) if line else ()
