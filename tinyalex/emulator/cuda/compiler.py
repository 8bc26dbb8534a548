"""NVRTC: CuPy's sources are translated and compiled by g++ (`emulator.kernels`).

The "cubin" names the compiled library, which is kept in the emulator's cache.
"""

import ctypes
import re
from functools import cache
from pathlib import Path

from tinyalex.emulator.cuda.api import (
    Handle,
    Pointer,
    Status,
    api,
    new_handle,
    object_of,
    release_handle,
    store,
    store_wide,
)
from tinyalex.emulator.cuda.errors import c_string
from tinyalex.emulator.cuda.runtime.devices import CAPABILITY
from tinyalex.emulator.cuda.settings import settings
from tinyalex.emulator.cuda.statistics import statistics
from tinyalex.emulator.cuda.wheel import cuda_version, cupy_version
from tinyalex.emulator.errors import CompileError
from tinyalex.emulator.kernels import compiling, translation

INCLUDE = Path(__file__).parent / "include"

OF_CUPY = "#include <cupy/complex.cuh>\n#include <cupy/carray.cuh>\n"
"""How each of CuPy's own kernels begins."""

MAGIC = b"// tinyalex.emulator "
"""How a "cubin" begins; the name of the library follows.

A comment, because the key of CuPy's cache has the comments of an empty source's "PTX".
"""

_IN_LOCKSTEP = re.compile(r"\b(?:bitonic_sort(?:_step)?|merge)< [\w ]+ >\(a, b,[^;]*\);")
"""In CuPy's argpartition: calls whose warps compute in step, without __syncwarp()."""

COMPILATION_ERROR = 6
NVRTC_INVALID_INPUT = 3

_RESULTS = {0: "NVRTC_SUCCESS", COMPILATION_ERROR: "NVRTC_ERROR_COMPILATION"}


class Program:
    """A source, then its log and binary."""

    def __init__(self, source: str, file: str):
        # Without the folder, which is a temporary one of CuPy: equal sources then have
        # the same key in the cache.
        self.source, self.file = source, Path(file).name or "kernel.cu"
        self.expressions: list[str] = []
        self.log = self.binary = b""

    def compile(self, options: list[str]) -> None:
        """Compile it; CompileError if that fails."""
        if not self.source.strip():
            # CuPy asks for the compiler's version, for the key of its cache.
            self.binary = MAGIC + f"{_version()} {settings.check}".encode()
            return
        is_cupys = self.source.startswith(OF_CUPY)
        check = settings.check and not is_cupys
        kernels = translation.kernels_of(self.source, self.file, self.expressions)
        header = "cupy_device.h" if is_cupys else "device.h"
        include = f'#include "{header}"\n'
        source = self.source
        if is_cupys and "argpartition_kernel" in kernels:
            source = _IN_LOCKSTEP.sub(r"{ __syncwarp(); \g<0> __syncwarp(); }", source)
        text = include + translation.translate(source, self.file, kernels)
        # NVRTC uses the first header of a name: the emulator's precede CUDA's own.
        folders = [f"-I{INCLUDE}", f"-I{compiling.INCLUDE}"]
        folders += [option for option in options if option.startswith("-I")]
        defines = [option for option in options if option.startswith(("-D", "-U"))]
        precompiled = _precompiled(header, tuple(folders), check)
        library = compiling.build(
            text,
            self.file,
            check=check,
            options=[*_flags(), f"-I{precompiled}", *folders, *defines],
            key=_version(),
            compiled=_count,
        )
        self.binary = MAGIC + library.name.encode()


def _count() -> None:
    statistics.compiled += 1


def _short(option: str) -> str:
    """An option of NVRTC as g++ has it."""
    for long, short in (("--define-macro=", "-D"), ("--undefine-macro=", "-U"),
                        ("--include-path=", "-I")):  # fmt: skip
        if option.startswith(long):
            return short + option.removeprefix(long)
    return option


def _flags() -> list[str]:
    version = cuda_version()
    return [
        "-O1",
        f"-D__CUDACC_VER_MAJOR__={version // 1000}",
        f"-D__CUDACC_VER_MINOR__={version % 1000 // 10}",
    ]


@cache
def _version() -> str:
    """Changes with the emulator's sources, CuPy's headers and g++."""
    sources = [Path(__file__), Path(translation.__file__)]
    texts = [path.read_text(encoding="utf-8") for path in sources]
    headers = [*compiling.headers(INCLUDE), *compiling.headers(compiling.INCLUDE)]
    return compiling.digest_of([*texts, *headers, cupy_version(), compiling.compiler_version()])


@cache
def _precompiled(header: str, folders: tuple[str, ...], check: bool) -> Path:
    """The folder with `header` precompiled, which takes longer than a kernel."""
    flags = [*compiling.flags_of(check), *_flags(), *folders]
    folder = (
        compiling.build_folder() / f"headers-{compiling.digest_of([_version(), header, *flags])}"
    )
    target = folder / f"{header}.gch"
    if not target.exists():
        with compiling.making(target) as made:
            command = [*compiling.compiler(header), *flags, "-xc++-header", str(INCLUDE / header)]
            compiling.run([*command, "-o", str(made)], "", header)
    return folder


def library_of(image: bytes) -> Path | None:
    """The library that a "cubin" names; None for another image."""
    if not image.startswith(MAGIC):
        return None
    return compiling.build_folder() / image[len(MAGIC) :].decode()


def _text(pointer: int) -> str:
    return ctypes.string_at(pointer).decode() if pointer else ""


@api
def nvrtcVersion(major: Pointer, minor: Pointer) -> None:
    store(major, cuda_version() // 1000)
    store(minor, cuda_version() % 1000 // 10)


@api
def nvrtcGetNumSupportedArchs(count: Pointer) -> None:
    store(count, 1)


@api
def nvrtcGetSupportedArchs(architectures: Pointer) -> None:
    store(architectures, CAPABILITY.number)


@api
def nvrtcCreateProgram(
    program: Pointer,
    source: Pointer,
    name: Pointer,
    count: int,
    headers: Pointer,
    include_names: Pointer,
) -> None:
    if count:
        raise Status(NVRTC_INVALID_INPUT, "headers as texts are not emulated. Use include folders")
    store_wide(program, new_handle(Program(_text(source), _text(name))))


@api
def nvrtcDestroyProgram(program: Pointer) -> None:
    release_handle(ctypes.c_size_t.from_address(program).value, Program)


@api
def nvrtcAddNameExpression(program: Handle, name: Pointer) -> None:
    object_of(program, Program).expressions.append(_text(name))


@api
def nvrtcCompileProgram(program: Handle, count: int, options: Pointer) -> int | None:
    addresses = (ctypes.c_size_t * count).from_address(options) if count else ()
    compiled = object_of(program, Program)
    try:
        compiled.compile([_short(_text(address)) for address in addresses])
    except CompileError as error:
        compiled.log = str(error).encode()
        return COMPILATION_ERROR
    return None


@api
def nvrtcGetLoweredName(program: Handle, name: Pointer, lowered: Pointer) -> None:
    store_wide(lowered, c_string(_text(name)))


def _give(target: int, data: bytes) -> None:
    ctypes.memmove(target, data + b"\0", len(data) + 1)


def _add_getters(what: str, attribute: str) -> None:
    """The functions nvrtcGet...Size and nvrtcGet... for a text or binary."""

    def size(program: Handle, size: Pointer) -> None:
        store_wide(size, len(getattr(object_of(program, Program), attribute)) + 1)

    def content(program: Handle, target: Pointer) -> None:
        _give(target, getattr(object_of(program, Program), attribute))

    size.__name__, content.__name__ = f"nvrtcGet{what}Size", f"nvrtcGet{what}"
    api(size)
    api(content)


_add_getters("CUBIN", "binary")
_add_getters("PTX", "binary")
_add_getters("ProgramLog", "log")


@ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_int)
def _error_string(status: int) -> int:
    return c_string(_RESULTS.get(status, f"NVRTC error {status}"))


TEXTS = {"nvrtcGetErrorString": _error_string}

NOT_EMULATED = ("nvrtcGetLTOIR", "nvrtcGetLTOIRSize")
