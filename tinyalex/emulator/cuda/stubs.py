"""Libraries whose functions are written in Python.

Each function of such a library is one instruction, a jump through a table. Python fills
the table with the addresses of callbacks. `redirect` does the same to functions that
are linked statically into another library.
"""

import ctypes
import mmap
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from tinyalex.emulator.errors import CompileError
from tinyalex.emulator.kernels import compiling

_SOURCE = """
extern "C" int emulator_ok() {{ return 0; }}
asm(R"(
.pushsection .text
{jumps}
.popsection
.pushsection .data
.globl emulator_table
.balign 8
emulator_table: .zero {bytes}
.size emulator_table, {bytes}
.popsection
)");
"""

_JUMP = """.globl {name}
.type {name},@function
{name}: jmp *(emulator_table+{offset})(%rip)
.size {name}, . - {name}"""


class StubLibrary:
    """The library `soname`, loaded: later loads of the name return this one.

    functions  callbacks by name
    version    of all symbols, as in cublasCreate_v2@libcublas.so.13; "" for none
    """

    def __init__(self, soname: str, functions: dict[str, Any], version: str = ""):
        self._callbacks = dict(sorted(functions.items()))
        path = _build(soname, list(self._callbacks), version)
        self._library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        table = ctypes.c_void_p * len(self._callbacks)
        self._table = table.in_dll(self._library, "emulator_table")
        for i, callback in enumerate(self._callbacks.values()):
            self._table[i] = ctypes.cast(callback, ctypes.c_void_p).value

    def address(self, name: str) -> int:
        """Where the jump of a function is."""
        return ctypes.cast(getattr(self._library, name), ctypes.c_void_p).value or 0

    def disable(self) -> None:
        """Let all functions return 0."""
        for i in range(len(self._callbacks)):
            self._table[i] = ctypes.cast(self._library.emulator_ok, ctypes.c_void_p).value


def _build(soname: str, names: list[str], version: str) -> Path:
    jumps = (_JUMP.format(name=name, offset=8 * i) for i, name in enumerate(names))
    source = _SOURCE.format(jumps="\n".join(jumps), bytes=8 * len(names))
    folder = compiling.build_folder() / f"stubs-{compiling.digest_of([soname, version, source])}"
    library = folder / soname
    if library.exists():
        return library
    with compiling.making(library) as made:
        options = [f"-Wl,-soname,{soname}", "-Wl,-Bsymbolic"]
        if version:
            script = made.with_suffix(".version")
            script.write_text(f"{version} {{ global: *; }};")
            options.append(f"-Wl,--version-script={script}")
        command = [*compiling.compiler(soname), "-shared", "-fPIC", "-O1", *options]
        compiling.run([*command, "-xc++", "-", "-o", str(made)], source, soname)
    return library


@cache
def symbols(library: Path, kinds: str, *options: str) -> dict[str, int]:
    """The symbols of these of nm's kinds, with their addresses (0 if undefined)."""
    if shutil.which("nm") is None:
        raise CompileError(
            "the emulator needs nm, a program of binutils. Install it: `apt install binutils` "
            "(Debian, Ubuntu)."
        )
    command = ["nm", *options, str(library)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = {}
    for line in output.splitlines():
        *address, kind, name = line.split()
        if kind in kinds:
            found[name] = int(address[0], 16) if address else 0
    return found


_JUMP_CODE = b"\xff\x25\0\0\0\0"  # jmp *(%rip), followed by the address
_READ_EXECUTE, _READ_WRITE_EXECUTE = 5, 7


def address_inside(library: Path, name: str) -> int:
    """The address of a function of an extension module, exported or not."""
    exported = f"PyInit_{library.name.partition('.')[0]}"
    inside = symbols(library, "tT")
    address = ctypes.cast(getattr(ctypes.CDLL(str(library)), exported), ctypes.c_void_p).value or 0
    return address - inside[exported] + inside[name]


def redirect(library: Path, targets: dict[str, int]) -> None:
    """Let functions inside an extension module jump to other addresses.

    For functions that were linked statically, which no loader looks up: their first
    bytes are overwritten in the memory of this process.
    """
    for name, target in targets.items():
        code = _JUMP_CODE + target.to_bytes(8, "little")
        _overwrite(address_inside(library, name), code)


def redirect_by_name(library: Path, functions: dict[str, Any]) -> None:
    """`redirect` C++ functions to callbacks, by their names without parameters."""
    targets = {}
    for symbol in symbols(library, "tT"):
        # A function f(int, ...) is _Z1fi..., with the length of its name.
        mangled = re.fullmatch(r"_Z(\d+)(\w+)", symbol)
        name = mangled[2][: int(mangled[1])] if mangled else ""
        if name in functions:
            targets[symbol] = ctypes.cast(functions[name], ctypes.c_void_p).value or 0
    redirect(library, targets)


def _overwrite(start: int, code: bytes) -> None:
    first = start & -mmap.PAGESIZE
    size = -(-(start + len(code) - first) // mmap.PAGESIZE) * mmap.PAGESIZE
    _protect(first, size, _READ_WRITE_EXECUTE)
    ctypes.memmove(start, code, len(code))
    _protect(first, size, _READ_EXECUTE)


def _protect(start: int, size: int, protection: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(size), protection):
        error = ctypes.get_errno()
        raise OSError(
            error,
            f"{os.strerror(error)}: the emulator must overwrite code of CuPy in memory, which "
            "this system forbids",
        )
