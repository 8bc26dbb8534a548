"""What `tinyalex doctor` tries on a GPU, after it has found one: compiler, cuBLAS, dtypes, memory."""

from collections.abc import Iterator

import numpy as np

from tinyalex import device
from tinyalex.device.availability import STEPS, TOOLKIT, Finding, Step, findings
from tinyalex.kernels import cpu, cuda


def gpu_findings() -> Iterator[Finding]:
    """CuPy, driver and GPU, and then whether it computes."""
    return findings([*STEPS, *TRIALS])


def _compile() -> str:
    x, expected = np.array([-1, 0, 2], np.float32), np.empty(3, np.float32)
    cpu.relu(x, expected)
    there = device.to(x, "cuda")
    y = device.to(np.empty_like(x), "cuda")
    cuda.relu(there, y)
    if not np.array_equal(device.to_numpy(y), expected):
        raise RuntimeError(f"relu of -1, 0, 2 gives {device.to_numpy(y).tolist()}")
    return "compiles a kernel, and it computes what NumPy does"


def _multiply() -> str:
    x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    there = device.to(x, "cuda")
    if not np.allclose(device.to_numpy(there @ there), x @ x, rtol=1e-2, atol=1e-2):
        raise RuntimeError("a product of matrices is not what NumPy says")
    return "multiplies matrices, equal to NumPy's"


def _promote() -> str:
    x = device.to(np.ones(2, np.float32), "cuda")
    found = (x * 2.5).dtype, (x / 3).dtype, x.mean().dtype
    if any(dtype != np.float32 for dtype in found):
        raise RuntimeError(f"float32 with Python's numbers gives {', '.join(map(str, found))}")
    return "float32 stays float32"


def _measure() -> str:
    figures = device.memory("cuda")
    if figures["free"] < 1 << 29:
        raise RuntimeError(
            f"{figures['free'] >> 20} MiB of {figures['total'] >> 20} are free, too little to train with"
        )
    return f"{figures['free'] >> 20} MiB of {figures['total'] >> 20} free"


TRIALS: list[Step] = [
    ("NVRTC", _compile, TOOLKIT),
    ("cuBLAS", _multiply, TOOLKIT),
    ("promotion", _promote, "Update CuPy and NumPy: pip install --upgrade cupy-cuda13x numpy"),
    ("GPU memory", _measure, "Close what else runs on the GPU; `nvidia-smi` lists it"),
]
