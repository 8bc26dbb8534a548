"""The installed CuPy: where its extensions are, and for which CUDA it was built."""

import ctypes
import importlib.machinery
import importlib.util
from functools import cache
from pathlib import Path

from tinyalex.emulator.cuda.stubs import address_inside
from tinyalex.installation import pip_install


def extension(package: str, name: str) -> Path:
    """The file of an extension module, such as "cuda/thrust" of package cupy.

    Raises ImportError if CuPy is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            "the emulator runs CuPy on the CPU, but CuPy is not installed. It needs no GPU: "
            + pip_install("cuda-check")
        )
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    return Path(spec.submodule_search_locations[0], f"{name}{suffix}")


def cupy_version() -> str:
    """From the source of the package, which cannot be imported yet."""
    text = extension("cupy", "_version").with_name("_version.py").read_text(encoding="utf-8")
    return text.partition("__version__")[2]


@cache
def cuda_version() -> int:
    """The version of the runtime that is linked into CuPy: 13020 is CUDA 13.2."""
    # The function needs no driver, and is not replaced.
    address = address_inside(
        extension("cupy_backends", "cuda/api/runtime"), "cudaRuntimeGetVersion"
    )
    version = ctypes.c_int()
    ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(address)(ctypes.addressof(version))
    return version.value


def cuda_major() -> int:
    """As in the names of the libraries that CuPy loads, such as libcublas.so.13."""
    return cuda_version() // 1000
