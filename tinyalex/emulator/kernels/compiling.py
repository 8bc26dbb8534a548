"""Compile translated kernels to shared libraries with g++, cached by content."""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tinyalex.cache import cache_folder
from tinyalex.emulator.errors import CompileError

INCLUDE = Path(__file__).parent / "include"

# The -fno-gnu-unique and -fno-semantic-interposition flags keep the static variables of
# one library separate from those of the others that are loaded. fmt: off
FLAGS: tuple[str, ...] = (
    "-std=c++17",
    "-O2",
    "-fPIC",
    "-w",
    "-fno-strict-aliasing",
    "-fno-math-errno",
    "-fno-threadsafe-statics",
    "-ffp-contract=off",
    *(
        ("-fno-gnu-unique", "-fno-semantic-interposition")
        if sys.platform == "linux"
        else ("-D_XOPEN_SOURCE=700", "-D_DARWIN_C_SOURCE")
    ),
)
CHECK_FLAGS = (
    "-O1",
    "-g1",
    "-DON_CPU_CHECK",
    "--param=tsan-distinguish-volatile=1",
    "-fsanitize=thread,signed-integer-overflow,integer-divide-by-zero,shift,bounds,alignment",
)
# fmt: on
LINK_FLAGS = ("-Wl,-Bsymbolic",) if sys.platform == "linux" else ("-undefined", "dynamic_lookup")


def build_folder() -> Path:
    return cache_folder() / "emulator"


def build(
    source: str,
    file: str,
    *,
    check: bool = False,
    stats: bool = False,
    options: Sequence[str] = (),
    key: str = "",
    compiled: Callable[[], None] = lambda: None,
) -> Path:
    """The shared library compiled from `source`, or its copy in the cache.

    file     names the source in messages
    options  further options of g++
    key      of what the options refer to, for the cache
    compiled called if the library was not in the cache

    Raises CompileError with g++'s errors, or, without g++, with the command that
    installs it.
    """
    flags = [*flags_of(check, stats), *options]
    command = [*compiler(file), *flags, f"-I{INCLUDE}"]
    parts = [sys.platform, platform.machine(), *command, *LINK_FLAGS, key, source]
    folder = build_folder()
    library = folder / f"{digest_of([*parts, *headers(INCLUDE)])}.so"
    if library.exists():
        return library
    with making(library) as linked:
        kernel = linked.with_suffix(".o")
        run([*command, "-c", "-xc++", "-", "-o", str(kernel)], source, file)
        # Linked without -fsanitize: cuda_on_cpu_check.h defines the functions that
        # checks call.
        run([*compiler(file), "-shared", *LINK_FLAGS, str(kernel), "-o", str(linked)], "", file)
    compiled()
    return library


@contextmanager
def making(target: Path) -> Iterator[Path]:
    """A context that yields the path under which to make a file of the cache.

    It is then renamed: other processes never see an incomplete file. Only this user can
    write to the cache, because its libraries are executed.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="building-") as building:
            made = Path(building, target.name)
            yield made
            made.replace(target)
    except PermissionError as error:
        raise CompileError(
            f"cannot write to the cache of compiled kernels, {target.parent}: {error.strerror}. "
            "Set TINYALEX_CACHE to a folder that you can write to."
        ) from None


def compiler_version() -> str:
    command = [*compiler("g++"), "-dumpfullversion"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def flags_of(check: bool, stats: bool = False) -> list[str]:
    return [*FLAGS, *(CHECK_FLAGS if check else ()), *(("-DON_CPU_STATS",) if stats else ())]


def headers(folder: Path) -> list[str]:
    """The texts of a folder's headers."""
    return [
        path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*")) if path.is_file()
    ]


def digest_of(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def compiler(file: str) -> list[str]:
    """The command of g++; CompileError if it is missing."""
    command = shlex.split(os.environ.get("CXX") or "g++")
    if shutil.which(command[0]) is None:
        raise CompileError(
            f"{file}: the emulator compiles kernels with g++, but there is no {command[0]!r} on "
            "this machine.\nInstall it: `apt install g++` (Debian, Ubuntu), `dnf install gcc-c++` "
            "(Fedora), `pacman -S gcc` (Arch),\n`xcode-select --install`, then `brew install gcc` "
            "and CXX=g++-15 (macOS, where g++ is clang).\n"
            "If g++ has another name, set the environment variable CXX to it."
        )
    return command


def run(command: Sequence[str], source: str, file: str) -> None:
    """Run g++ on a source; CompileError with its errors."""
    result = subprocess.run(
        command, input=source, text=True, encoding="utf-8", errors="replace", capture_output=True
    )
    if result.returncode:
        raise CompileError(f"{file}: {command[0]} cannot compile it.\n{result.stderr.strip()}")
