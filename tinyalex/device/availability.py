"""Whether a GPU is usable: the requirements, checked in order."""

import ctypes
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from tinyalex.device.arrays import gpu_library
from tinyalex.installation import pip_install


@cache
def why_no_cuda() -> str | None:
    """None if a GPU is usable, else the first failed check and its remedy."""
    failed = next((finding for finding in findings([*CHECKS, COMPUTING]) if not finding.ok), None)
    return f"{failed.name}: {failed.text}. {failed.fix}." if failed else None


@dataclass(frozen=True)
class Finding:
    """The result of a check. `ok` is None if an optional package is missing."""

    name: str
    ok: bool | None
    text: str
    fix: str = ""

    def __str__(self) -> str:
        status = {True: "ok", False: "BROKEN", None: "-"}[self.ok]
        return f"{status:<8}{self.name:<14}{self.text}"


class NotThere(Exception):  # noqa: N818 - not an error
    """Raised by a check whose optional package is missing."""


Check = tuple[str, Callable[[], str], str]
"""A name, a check that returns what it found or raises, and the remedy if it raises."""


def findings(steps: Iterable[Check]) -> Iterator[Finding]:
    """The results up to the first failure: each check depends on those before it."""
    for name, step, fix in steps:
        try:
            yield Finding(name, True, step())
        except NotThere as missing:
            yield Finding(name, None, str(missing), fix)
            return
        except Exception as error:  # a broken installation may raise anything
            text = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
            yield Finding(name, False, text[:200], fix)
            return


def _import_cupy() -> str:
    if sys.modules.get("cupy") is None and importlib.util.find_spec("cupy") is None:
        raise NotThere("not installed")
    version = gpu_library().__version__
    if int(version.split(".")[0]) < 14:
        raise RuntimeError(f"version {version}, but 14 or newer is needed")
    packages = [name for name in ("cupy-cuda13x", "cupy-cuda12x") if _is_installed(name)]
    return f"{version} ({packages[0]})" if packages else version


def _is_installed(package: str) -> bool:
    try:
        return bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


def _find_stream() -> str:
    if os.environ.get(STREAMS_SETTING, "0") != "0":
        raise RuntimeError(f"{STREAMS_SETTING} is set: each thread has a stream of its own")
    return "one, in which all threads compute"


def _find_driver() -> str:
    runtime = gpu_library().cuda.runtime
    version = runtime.driverGetVersion()
    if version == 0:
        # If the library cannot be loaded, the error names what is missing.
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        raise RuntimeError("libcuda is installed, but does not respond")
    major, needed = version // 1000, runtime.runtimeGetVersion() // 1000
    if major < needed:
        raise RuntimeError(f"for CUDA {major}, older than the CUDA {needed} of this CuPy")
    return f"for CUDA up to {major}.{version % 1000 // 10}"


def _find_gpu() -> str:
    cuda = gpu_library().cuda
    count = cuda.runtime.getDeviceCount()
    name = cuda.runtime.getDeviceProperties(0)["name"].decode()
    capability = cuda.Device(0).compute_capability
    return f"{count} found, the first: {name}, compute capability {capability}"


def _compute() -> str:
    ones = gpu_library().ones((2, 2), np.float32)
    result = float((ones @ ones)[0, 0])  # needs a context, the compiler and cuBLAS
    if result != 2:
        raise RuntimeError(f"1*1 + 1*1 = {result}")
    return "1*1 + 1*1 = 2"


STREAMS_SETTING = "CUPY_CUDA_PER_THREAD_DEFAULT_STREAM"
"""CuPy's environment variable. If it is set, a thread may read an array before another
has computed it."""

TOOLKIT = f"Install CUDA's libraries: {pip_install('cuda13')} (or cuda12)"

CHECKS: list[Check] = [
    (
        "CuPy",
        _import_cupy,
        f"Install it: {pip_install('cuda13')} (for a CUDA 12 driver: cuda12)",
    ),
    ("stream", _find_stream, f"Unset {STREAMS_SETTING}"),
    (
        "driver",
        _find_driver,
        "Install NVIDIA's driver for this machine's GPU, or, for an older driver, the CuPy "
        f"package for it: {pip_install('cuda12')}",
    ),
    ("GPU", _find_gpu, "See what `nvidia-smi` lists, and whether CUDA_VISIBLE_DEVICES hides it"),
]

COMPUTING: Check = ("computing", _compute, TOOLKIT)
