"""g++ makes a shared library of a translated kernel, once: libraries are cached by their content."""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tinyalex.emulator.errors import CompileError

INCLUDE = Path(__file__).parent / "include"

# The -no- ones keep what is static in one library apart from the others that are loaded beside it.
# fmt: off
FLAGS: tuple[str, ...] = (
    "-std=c++17", "-O2", "-fPIC", "-w", "-fno-strict-aliasing", "-fno-math-errno", "-fno-threadsafe-statics", "-ffp-contract=off",
    *(("-fno-gnu-unique", "-fno-semantic-interposition") if sys.platform == "linux" else ("-D_XOPEN_SOURCE=700", "-D_DARWIN_C_SOURCE")),
)
CHECK_FLAGS = (
    "-O1", "-g1", "-DCUDA_ON_CPU_CHECK", "--param=tsan-distinguish-volatile=1",
    "-fsanitize=thread,signed-integer-overflow,integer-divide-by-zero,shift,bounds,alignment",
)
# fmt: on
LINK_FLAGS = ("-Wl,-Bsymbolic",) if sys.platform == "linux" else ("-undefined", "dynamic_lookup")


def cache_folder() -> Path:
    """TINYALEX_CACHE/emulator, or emulator in tinyalex's part of the user's cache folder."""
    if chosen := os.environ.get("TINYALEX_CACHE"):
        return Path(chosen).expanduser() / "emulator"
    return (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinyalex" / "emulator"
    )


def build(source: str, file: str, *, check: bool, stats: bool) -> Path:
    """The shared library made of `source`, from the cache if it is there. `file` is named where g++ is quoted.

    Raises CompileError with g++'s own text, or, if there is no g++, with how to get one.
    """
    compiler = shlex.split(os.environ.get("CXX") or "g++")
    flags = [*FLAGS, *(CHECK_FLAGS if check else ()), *(("-DCUDA_ON_CPU_STATS",) if stats else ())]
    headers = [path.read_text(encoding="utf-8") for path in sorted(INCLUDE.glob("*.h"))]
    key = "\0".join(
        [sys.platform, platform.machine(), *compiler, *flags, *LINK_FLAGS, *headers, source]
    )
    folder = cache_folder()
    library = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.so"
    if library.exists():
        return library
    if shutil.which(compiler[0]) is None:
        raise CompileError(
            f"{file}: the emulator compiles kernels with g++, and there is no {compiler[0]!r} on this machine.\n"
            "Install it: `apt install g++` (Debian, Ubuntu), `dnf install gcc-c++` (Fedora), `pacman -S gcc` (Arch), "
            "`xcode-select --install`, then `brew install gcc` and CXX=g++-15 (macOS, whose own g++ is clang).\n"
            "A g++ of another name goes into the environment variable CXX."
        )
    folder.mkdir(parents=True, exist_ok=True)
    # Built under another name and renamed: whoever finds the library, in another process too, finds all of it.
    with tempfile.TemporaryDirectory(dir=folder, prefix="building-") as here:
        compiled, linked = Path(here, "kernel.o"), Path(here, "kernel.so")
        _run(
            [*compiler, *flags, f"-I{INCLUDE}", "-c", "-xc++", "-", "-o", str(compiled)],
            source,
            file,
        )
        # Linked without -fsanitize: the functions that the checks call are ours, not those of the compiler's libraries.
        _run([*compiler, "-shared", *LINK_FLAGS, str(compiled), "-o", str(linked)], "", file)
        linked.replace(library)
    return library


def _run(command: Sequence[str], text: str, file: str) -> None:
    result = subprocess.run(
        command, input=text, text=True, encoding="utf-8", errors="replace", capture_output=True
    )
    if result.returncode:
        raise CompileError(f"{file}: {command[0]} cannot compile it.\n{result.stderr.strip()}")
