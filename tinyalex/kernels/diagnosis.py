"""What a GPU needs to compute, tried step by step: CuPy, driver, device, compiler, cuBLAS. `tinyalex doctor` prints it."""

import ctypes
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.kernels import cpu, cuda


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `ok` is None for what is missing and need not be there; `fix` says what to do about it."""

    name: str
    ok: bool | None
    text: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{ {True: 'ok', False: 'BROKEN', None: '-'}[self.ok]:<8}{self.name:<14}{self.text}"


INSTALL = "pip install 'tinyalex[cuda13]' (for a driver of CUDA 12: [cuda12])"
TOOLKIT = "Install CUDA's libraries beside CuPy: pip install 'cupy-cuda13x[ctk]' (or 'cupy-cuda12x[ctk]')"


def gpu_findings() -> Iterator[Finding]:
    """Each step needs the ones before it: what comes after the first that fails is not tried."""
    for name, step, fix in STEPS:
        try:
            text = step()
        except _Missing as missing:
            yield Finding(name, None, str(missing), fix)
            return
        except Exception as error:  # whatever a broken installation raises, it is the finding
            line = " ".join(f"{type(error).__name__}: {error}".split())
            yield Finding(name, False, line[:200], fix)
            return
        yield Finding(name, True, text)


class _Missing(Exception):  # noqa: N818 - not an error: a machine need not have it
    pass


def _cupy() -> str:
    if sys.modules.get("cupy") is None and importlib.util.find_spec("cupy") is None:
        raise _Missing("not installed: the CPU computes")
    import cupy

    version = cupy.__version__
    if int(version.split(".")[0]) < 14:
        raise RuntimeError(f"version {version}, but 14 or newer is needed")
    names = [name for name in ("cupy-cuda13x", "cupy-cuda12x", "cupy") if _version(name)]
    return f"{version}{f' ({names[0]})' if names else ''}"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _driver() -> str:
    import cupy

    version = cupy.cuda.runtime.driverGetVersion()
    if version == 0:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")  # whose error says what is missing
        raise RuntimeError("libcuda is there, but does not answer")
    return f"for CUDA up to {version // 1000}.{version % 1000 // 10}"


def _device() -> str:
    import cupy

    count = cupy.cuda.runtime.getDeviceCount()
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    name = properties["name"].decode()
    return f"{count} of them, the first: {name}, compute capability {cupy.cuda.Device(0).compute_capability}"


def _compiler() -> str:
    x = cupy_array(np.array([-1, 0, 2], np.float32))
    y = cupy_array(np.empty(3, np.float32))
    cuda.relu(x, y)
    expected = np.empty(3, np.float32)
    cpu.relu(device.to_numpy(x), expected)
    if not np.array_equal(device.to_numpy(y), expected):
        raise RuntimeError(f"relu of -1, 0, 2 gives {device.to_numpy(y).tolist()}")
    return "compiles a kernel, and it computes what NumPy does"


def _cublas() -> str:
    x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    there = cupy_array(x)
    product = device.to_numpy(there @ there)
    if not np.allclose(product, x @ x, rtol=1e-2, atol=1e-2):
        raise RuntimeError("a product of matrices is not what NumPy says")
    return "multiplies matrices, equal to NumPy's"


def _promotion() -> str:
    x = cupy_array(np.ones(2, np.float32))
    found = (x * 2.5).dtype, (x / 3).dtype, x.mean().dtype
    if any(dtype != np.float32 for dtype in found):
        raise RuntimeError(f"float32 with Python's numbers gives {', '.join(map(str, found))}")
    return "float32 stays float32"


def _memory() -> str:
    figures = device.memory("cuda")
    if figures["free"] < 1 << 29:
        raise RuntimeError(f"{figures['free'] >> 20} MiB of {figures['total'] >> 20} are free, too little to train with")
    return f"{figures['free'] >> 20} MiB of {figures['total'] >> 20} free"


def cupy_array(x: np.ndarray) -> Any:
    return device.to(x, "cuda")


STEPS: list[tuple[str, Callable[[], str], str]] = [
    ("CuPy", _cupy, INSTALL),
    ("driver", _driver, "Install NVIDIA's driver for the GPU of this machine; `nvidia-smi` shows when it works"),
    ("GPU", _device, "See what `nvidia-smi` lists, and whether CUDA_VISIBLE_DEVICES hides it"),
    ("NVRTC", _compiler, TOOLKIT),
    ("cuBLAS", _cublas, TOOLKIT),
    ("promotion", _promotion, "Update CuPy and NumPy: pip install --upgrade cupy-cuda13x numpy"),
    ("GPU memory", _memory, "Close what else runs on the GPU; `nvidia-smi` lists it"),
]
