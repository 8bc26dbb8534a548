"""GPU checks of `tinyalex doctor`: compiler, cuBLAS, dtypes, memory."""

from collections.abc import Iterator

import numpy as np

from tinyalex import device
from tinyalex.device.availability import CHECKS, TOOLKIT, Check, Finding, findings
from tinyalex.kernels import cpu, cuda

MIN_FREE_BYTES = 1 << 29


def gpu_findings() -> Iterator[Finding]:
    """Checks of CuPy, driver and GPU, then of the GPU's results."""
    return findings([*CHECKS, *COMPUTE_CHECKS])


def _compile() -> str:
    x, expected = np.array([-1, 0, 2], np.float32), np.empty(3, np.float32)
    cpu.relu(x, expected)
    y = device.to(np.empty_like(x), "cuda")
    cuda.relu(device.to(x, "cuda"), y)
    result = device.to_numpy(y)
    if not np.array_equal(result, expected):
        raise RuntimeError(f"relu of -1, 0, 2 returns {result.tolist()}")
    return "compiles a kernel, whose result equals NumPy's"


def _multiply() -> str:
    x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    on_gpu = device.to(x, "cuda")
    if not np.allclose(device.to_numpy(on_gpu @ on_gpu), x @ x, rtol=1e-2, atol=1e-2):
        raise RuntimeError("a matrix multiplication differs from NumPy's")
    return "multiplies matrices as NumPy does"


def _promote() -> str:
    x = device.to(np.ones(2, np.float32), "cuda")
    dtypes = (x * 2.5).dtype, (x / 3).dtype, x.mean().dtype
    if any(dtype != np.float32 for dtype in dtypes):
        raise RuntimeError(f"float32 with Python scalars becomes {', '.join(map(str, dtypes))}")
    return "float32 stays float32"


def _measure_memory() -> str:
    memory = device.memory("cuda")
    text = f"{memory['free'] >> 20} MiB of {memory['total'] >> 20} MiB free"
    if memory["free"] < MIN_FREE_BYTES:
        raise RuntimeError(f"{text}; training needs at least {MIN_FREE_BYTES >> 20} MiB")
    return text


COMPUTE_CHECKS: list[Check] = [
    ("NVRTC", _compile, TOOLKIT),
    ("cuBLAS", _multiply, TOOLKIT),
    ("promotion", _promote, "Update CuPy and NumPy: pip install --upgrade cupy-cuda13x numpy"),
    ("GPU memory", _measure_memory, "Close other programs on the GPU; `nvidia-smi` lists them"),
]
