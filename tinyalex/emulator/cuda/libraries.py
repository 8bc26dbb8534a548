"""NVIDIA's libraries, loaded where CuPy finds them."""

import atexit
import ctypes
import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from multiprocessing.util import Finalize
from typing import Any

from tinyalex.emulator.cuda import compiler, driver, interrupts, wheel
from tinyalex.emulator.cuda import cublas as cublas
from tinyalex.emulator.cuda import curand as curand
from tinyalex.emulator.cuda import nccl as nccl
from tinyalex.emulator.cuda import runtime as runtime
from tinyalex.emulator.cuda.api import functions, missing
from tinyalex.emulator.cuda.distributions import FUNCTIONS as DISTRIBUTIONS
from tinyalex.emulator.cuda.errors import error_name, error_string
from tinyalex.emulator.cuda.settings import settings
from tinyalex.emulator.cuda.sorting import FUNCTIONS as SORTING
from tinyalex.emulator.cuda.statistics import statistics, write_report
from tinyalex.emulator.cuda.stubs import (
    StubLibrary,
    redirect,
    redirect_by_name,
    symbols,
)
from tinyalex.emulator.kernels import compiling

NOT_SUPPORTED = {
    "cuda": 801,
    "cu": 801,
    "nvrtc": 1,
    "nvJitLink": 1,
    "cublas": 15,
    "cublasLt": 15,
    "curand": 204,
    "cufft": 16,
    "cusolver": 9,
    "cusparse": 10,
    "nccl": 5,
}
"""By prefix: what a function that the emulator lacks returns."""

EXTENSIONS = {
    "cublas": ("cupy_backends", "cuda/libs/cublas"),
    "curand": ("cupy_backends", "cuda/libs/curand"),
    "cufft": ("cupy", "cuda/cufft"),
    "cusolver": ("cupy_backends", "cuda/libs/cusolver"),
    "cusparse": ("cupy_backends", "cuda/libs/cusparse"),
}
"""CuPy's extensions that are linked to a library, by its prefix."""

KEPT = {"cudaRuntimeGetVersion"}
"""Functions of the runtime that need no driver: they stay what they are."""

_libraries: list[StubLibrary] = []


@ctypes.CFUNCTYPE(ctypes.c_size_t)
def _workspace_of_cub() -> int:
    """More than a GPU has: for CuPy an error, which CUB's functions cannot return."""
    print(
        "tinyalex.emulator: CUB is not emulated. Leave it out: "
        "cupy._core.set_reduction_accelerators([])",
        file=sys.stderr,
    )
    return 1 << 60


CUB = {
    f"cub_device_{name}_get_workspace_size": _workspace_of_cub
    for name in ("histogram_even", "histogram_range", "reduce", "scan", "segmented_reduce")
}


def load(at_exit: bool) -> None:
    """Load the libraries. `at_exit`: whether `disable` is called at the end."""
    # CuPy then reduces with kernels that are compiled when they are used, not CUB's.
    os.environ["CUPY_ACCELERATORS"] = ""
    os.environ.setdefault("CUPY_CACHE_DIR", str(compiling.build_folder() / "cupy"))

    runtime_file = wheel.extension("cupy_backends", "cuda/api/runtime")
    linked = [
        name
        for name in symbols(runtime_file, "tT")
        if name.startswith("cuda") and name[4:5].isupper() and name.isidentifier()
    ]
    texts = {"cudaGetErrorName": error_name, "cudaGetErrorString": error_string}
    major = wheel.cuda_major()
    cudart = _load(f"libcudart.so.{major}", "cuda", linked, texts)
    _load("libcuda.so.1", "cu", driver.NOT_EMULATED)
    _load(f"libnvrtc.so.{major}", "nvrtc", compiler.NOT_EMULATED, compiler.TEXTS)
    _load(f"libcublasLt.so.{major}", "cublasLt", ["cublasLtCreate"])
    _load(f"libnvJitLink.so.{major}", "nvJitLink", ["nvJitLinkCreate"])
    for prefix, file in EXTENSIONS.items():
        asked = [name.split("@") for name in symbols(wheel.extension(*file), "U", "-D")]
        names = {name: where[0] for name, *where in asked if where and f"lib{prefix}." in where[0]}
        soname = next(iter(names.values()))
        texts = {name: error_string for name in names if "GetError" in name}
        _load(soname, prefix, names, texts, version=soname)

    # NCCL's symbols have no version.
    asked_of_nccl = symbols(wheel.extension("cupy_backends", "cuda/libs/nccl"), "U", "-D")
    names_of_nccl = [name for name in asked_of_nccl if name.startswith("nccl")]
    _load("libnccl.so.2", "nccl", names_of_nccl, {"ncclGetErrorString": error_string})

    redirect(runtime_file, {name: cudart.address(name) for name in linked if name not in KEPT})
    redirect_by_name(wheel.extension("cupy", "cuda/thrust"), SORTING)
    redirect_by_name(wheel.extension("cupy", "cuda/cub"), CUB)
    redirect_by_name(wheel.extension("cupy", "random/_generator_api"), DISTRIBUTIONS)
    interrupts.defer()
    if not settings.has_pool:
        sys.meta_path.insert(0, _WithoutPool())
    write_report()
    if at_exit:
        atexit.register(disable)
    # As a finalizer also at the end of a process of multiprocessing.
    Finalize(None, write_report, (statistics,), exitpriority=0)


class _WithoutPool:
    """Finds CuPy, and disables its memory pool when it is imported."""

    is_searching = False

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        if name != "cupy" or self.is_searching:
            return None
        self.is_searching = True
        try:
            spec: Any = importlib.util.find_spec(name)
        finally:
            self.is_searching = False
        execute = spec.loader.exec_module

        def execute_and_set_allocator(module: Any) -> None:
            execute(module)
            module.cuda.set_allocator(None)

        spec.loader.exec_module = execute_and_set_allocator
        return spec


def disable() -> None:
    """Let all functions return 0, for the end of the process, without Python."""
    for library in _libraries:
        library.disable()


def _load(
    soname: str,
    prefix: str,
    names: Iterable[str],
    more: Mapping[str, Any] | None = None,
    version: str = "",
) -> StubLibrary:
    """A library with the functions of a prefix; those not emulated return an error."""
    callbacks = {name: missing(name, NOT_SUPPORTED[prefix]) for name in names}
    start = len(prefix)
    callbacks |= {
        name: function
        for name, function in functions.items()
        if name.startswith(prefix) and name[start].isupper()
    }
    library = StubLibrary(soname, {**callbacks, **(more or {})}, version)
    _libraries.append(library)
    return library
