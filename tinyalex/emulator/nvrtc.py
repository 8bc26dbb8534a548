"""NVIDIA's run-time compiler without a GPU: compile kernels, report their resources.

NVRTC needs no driver, only the extra cuda-check. It is stricter than nvcc: it has
no <math.h>, no <stdint.h> and no INFINITY.
"""

import ctypes
import ctypes.util
import importlib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tinyalex.emulator.errors import CompileError
from tinyalex.installation import pip_install

OPTIONS = ("--std=c++17", "-ftz=true", "--device-as-default-execution-space")
"""Those of CuPy, without its include folders and -arch."""


@dataclass(frozen=True)
class Compiled:
    """The resources of a kernel, as ptxas reports them.

    registers  per thread; at most 65,536 per block
    stack      bytes of local memory per thread, for arrays indexed by variables; local
               memory is as slow as global memory
    spills     bytes moved to and from local memory because there were too few registers
    shared     bytes of static shared memory per block
    barriers   named barriers
    doubles    double instructions, up to 64 times as slow as float; in a kernel for
               floats a mistake, such as `x * 0.1`
    """

    registers: int
    stack: int
    spills: int
    shared: int
    barriers: int
    doubles: int


def compile(code: str, file: str, names: Sequence[str], arch: int | str) -> dict[str, Compiled]:
    """Compile for a GPU of compute capability `arch`, such as 90; the kernels by name.

    code   the complete source; messages show the lines that its #line directives give
    file   the name of the source in messages
    names  the template instantiations to compile; other kernels are named in the code

    Raises CompileError with the compiler's errors, and ImportError if NVRTC is not
    installed.
    """
    library = _nvrtc()
    options = [*OPTIONS, *include_options(), f"-arch=sm_{arch}", "--ptxas-options=-v"]
    program = ctypes.c_void_p()
    _call("nvrtcCreateProgram", ctypes.byref(program), code.encode(), file.encode(), 0, None, None)
    try:
        for name in names:
            _call("nvrtcAddNameExpression", program, name.encode())
        encoded = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        status = library.nvrtcCompileProgram(program, len(options), encoded)
        log = _text(program, "ProgramLog")
        if status:
            compiler = f"NVRTC {'.'.join(map(str, version()))}"
            raise CompileError(
                f"{file}: {compiler} cannot compile it for sm_{arch}.\n{log.strip()}"
            )
        name_of = {}
        for name in names:
            symbol = ctypes.c_char_p()
            _call("nvrtcGetLoweredName", program, name.encode(), ctypes.byref(symbol))
            name_of[(symbol.value or b"").decode()] = name
        return _resources(log, _text(program, "PTX"), name_of)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def version() -> tuple[int, int]:
    """NVRTC's version, which is that of CUDA: (13, 0)."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


def architectures() -> list[int]:
    """The compute capabilities that this NVRTC can compile for."""
    count = ctypes.c_int()
    _call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
    numbers = (ctypes.c_int * count.value)()
    _call("nvrtcGetSupportedArchs", numbers)
    return list(numbers)


def include_options() -> list[str]:
    """-I options for CUDA's headers, from the packages or the CUDA_PATH toolkit."""
    folders = [
        folder for path in sys.path for folder in sorted(Path(path).glob("nvidia/*/include"))
    ]
    toolkit = Path(os.environ.get("CUDA_PATH") or "/usr/local/cuda", "include")
    if not folders and toolkit.is_dir():
        folders = [toolkit]
    return [f"-I{folder}" for folder in folders]


# The library


@cache
def _nvrtc() -> ctypes.CDLL:
    for path in sys.path:
        for file in sorted(Path(path).glob("nvidia/*/lib/libnvrtc.so.*"), reverse=True):
            return ctypes.CDLL(str(file))
    try:
        # NVIDIA's own search, which also knows conda and toolkits. It comes with CuPy.
        found = importlib.import_module("cuda.pathfinder").load_nvidia_dynamic_lib("nvrtc")
        return ctypes.CDLL(found.abs_path)
    except (ImportError, RuntimeError):
        pass
    if name := ctypes.util.find_library("nvrtc"):
        return ctypes.CDLL(name)
    raise ImportError(
        "NVRTC, the compiler that CuPy uses, is not installed. It needs no GPU: "
        + pip_install("cuda-check")
    )


def _call(function: str, *arguments: object) -> None:
    library = _nvrtc()
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    if status := getattr(library, function)(*arguments):
        raise RuntimeError(f"{function}: {library.nvrtcGetErrorString(status).decode()}")


def _text(program: ctypes.c_void_p, what: str) -> str:
    size = ctypes.c_size_t()
    _call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    _call(f"nvrtcGet{what}", program, buffer)
    return buffer.value.decode(errors="replace")


# Reports of ptxas

_ENTRY = re.compile(
    r"Compiling entry function '([^']+)' for '\w+'(.*?)(?=Compiling entry function|\Z)", re.S
)
_PTX_ENTRY = re.compile(r"\.entry\s+(\w+)\s*\((.*?)\n\}", re.S)
_DOUBLE = re.compile(r"\b(?:add|mul|fma|div|cvt|sub|sqrt|ex2|rcp|neg|setp|max|min)\.(?:\w+\.)*f64")


_COUNTS = {
    "registers": r"Used (\d+) registers",
    "stack": r"(\d+) bytes stack frame",
    "spills": r"(\d+) bytes spill stores, (\d+) bytes spill loads",
    "shared": r"(\d+) bytes smem",
    "barriers": r"used (\d+) barriers",
}


def _resources(log: str, ptx: str, name_of: dict[str, str]) -> dict[str, Compiled]:
    """The kernels in ptxas's log and the PTX; `name_of` is by mangled symbol."""
    doubles = {symbol: len(_DOUBLE.findall(body)) for symbol, body in _PTX_ENTRY.findall(ptx)}
    compiled = {}
    for symbol, report in _ENTRY.findall(log):
        counts = {name: _count(pattern, report) for name, pattern in _COUNTS.items()}
        name = name_of.get(symbol, symbol)
        compiled[name] = Compiled(**counts, doubles=doubles.get(symbol, 0))
    return compiled


def _count(pattern: str, report: str) -> int:
    match = re.search(pattern, report)
    return sum(map(int, match.groups())) if match else 0
