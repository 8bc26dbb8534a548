"""Which device to compute on: what there is, and if there is no GPU, why."""

import ctypes
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from tinyalex.device.arrays import gpu_library, gpu_name, on


def check(name: str) -> str:
    """The canonical name of a device; "auto" is the first GPU if there is one to compute with, else the CPU.

    Raises ValueError for another name, RuntimeError for a GPU that cannot be used, saying why.
    """
    if name == "auto":
        return "cuda" if cuda_is_available() else "cpu"
    kind, _, number = name.partition(":") if isinstance(name, str) else ("", "", "")
    if name == "cpu":
        return "cpu"
    if kind != "cuda" or not (name == "cuda" or number.isdigit()):
        raise ValueError(f"device: expected 'auto', 'cpu', 'cuda' or 'cuda:1', got {name!r}.")
    if reason := why_no_cuda():
        raise RuntimeError(f"device {name!r}: {reason}\nUse 'cpu' or 'auto'; `tinyalex doctor` tells more.")
    count = gpu_library().cuda.runtime.getDeviceCount()
    if int(number or 0) >= count:
        raise ValueError(f"device {name!r}: this machine has {count} GPU{'s' * (count > 1)}, counted from 'cuda:0'.")
    return gpu_name(int(number or 0))


def default() -> str:
    """Where a Tensor goes that is made from Python's numbers or a NumPy array, unless it is told: "cpu", or what `set_default` said."""
    return _default[0]


def set_default(name: str) -> None:
    """Make `name` the device for new tensors, and so for the parameters of new modules."""
    _default[0] = check(name)


_default = ["cpu"]


def cuda_is_available() -> bool:
    """Whether tensors can be placed on a GPU."""
    return why_no_cuda() is None


@cache
def why_no_cuda() -> str | None:
    """None if a GPU can be computed with, else the reason, and what to do about it. The cheap questions come first."""
    failed = next((finding for finding in findings([*STEPS, COMPUTING]) if not finding.ok), None)
    return f"{failed.name}: {failed.text}. {failed.fix}." if failed else None


def allow_tf32(allow: bool = True) -> None:
    """Let matrix products of float32 run on the tensor cores as TF32: 10 bits of mantissa instead of 23, at many times the speed.

    Off unless asked for, as in CuPy and in torch. RuntimeError without a GPU, or with one that has no TF32 (before sm_80).
    """
    check("cuda")
    capability = gpu_library().cuda.Device().compute_capability
    if int(capability) < 80:
        raise RuntimeError(f"allow_tf32: this GPU, of compute capability {capability}, has no TF32; 80 is the first. Leave it out.")
    from cupy._core import _routines_linalg as products  # CuPy has no public name for the switch, but for an environment variable

    products.set_compute_type(np.dtype(np.float32), products.COMPUTE_TYPE_TF32 if allow else products.COMPUTE_TYPE_DEFAULT)


def memory(name: str = "cuda") -> dict[str, int]:
    """Bytes of a GPU's memory: `total`, `free` for CUDA; of CuPy's pool what it `holds`, and what of that is `used`."""
    cupy = gpu_library()
    with on(check(name)):
        free, total = cupy.cuda.Device().mem_info
        pool = cupy.get_default_memory_pool()
        return {"total": total, "free": free, "used": pool.used_bytes(), "holds": pool.total_bytes()}


# What a GPU needs to compute, step by step


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `ok` is None for what is missing and need not be there; `fix` says what to do about it."""

    name: str
    ok: bool | None
    text: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{ {True: 'ok', False: 'BROKEN', None: '-'}[self.ok]:<8}{self.name:<14}{self.text}"


class NotThere(Exception):  # noqa: N818 - not an error: a machine need not have it
    """Raised by a step that finds nothing where nothing need be."""


Step = tuple[str, Callable[[], str], str]
"""A name, a function that returns what it found or raises, and what to do when it raises."""


def findings(steps: Iterable[Step]) -> Iterator[Finding]:
    """Each step needs the ones before it: what comes after the first that fails is not tried."""
    for name, step, fix in steps:
        try:
            yield Finding(name, True, step())
        except NotThere as missing:
            yield Finding(name, None, str(missing), fix)
            return
        except Exception as error:  # whatever a broken installation raises, it is the finding
            text = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
            yield Finding(name, False, text[:200], fix)
            return


def _import_cupy() -> str:
    if sys.modules.get("cupy") is None and importlib.util.find_spec("cupy") is None:
        raise NotThere("not installed")
    cupy = gpu_library()
    if int(cupy.__version__.split(".")[0]) < 14:
        raise RuntimeError(f"version {cupy.__version__}, but 14 or newer is needed")
    packages = [name for name in ("cupy-cuda13x", "cupy-cuda12x") if _is_installed(name)]
    return f"{cupy.__version__}{f' ({packages[0]})' if packages else ''}"


def _is_installed(package: str) -> bool:
    try:
        return bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


def _find_driver() -> str:
    runtime = gpu_library().cuda.runtime
    version = runtime.driverGetVersion()
    if version == 0:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")  # whose error says what is missing
        raise RuntimeError("libcuda is there, but does not answer")
    if version // 1000 < runtime.runtimeGetVersion() // 1000:
        built_for = runtime.runtimeGetVersion() // 1000
        raise RuntimeError(f"for CUDA {version // 1000}, older than the CUDA {built_for} that this CuPy is made for")
    return f"for CUDA up to {version // 1000}.{version % 1000 // 10}"


def _find_gpu() -> str:
    runtime = gpu_library().cuda.runtime
    count = runtime.getDeviceCount()
    name = runtime.getDeviceProperties(0)["name"].decode()
    return f"{count} of them, the first: {name}, compute capability {gpu_library().cuda.Device(0).compute_capability}"


def _compute() -> str:
    cupy = gpu_library()
    two = cupy.ones((2, 2), np.float32)
    product = float((two @ two)[0, 0])  # proves the context, the compiler and cuBLAS: each can be missing by itself
    if product != 2:
        raise RuntimeError(f"1*1 + 1*1 = {product}")
    return "1*1 + 1*1 = 2"


TOOLKIT = "Install CUDA's libraries beside CuPy: pip install 'cupy-cuda13x[ctk]' (or 'cupy-cuda12x[ctk]')"

STEPS: list[Step] = [
    ("CuPy", _import_cupy, "Install it: pip install 'cupy-cuda13x[ctk]' (for a driver of CUDA 12: 'cupy-cuda12x[ctk]')"),
    (
        "driver",
        _find_driver,
        "Install NVIDIA's driver for this machine's GPU, or, for an older driver, the CuPy made for it: cupy-cuda12x",
    ),
    ("GPU", _find_gpu, "See what `nvidia-smi` lists, and whether CUDA_VISIBLE_DEVICES hides it"),
]

COMPUTING: Step = ("computing", _compute, TOOLKIT)
