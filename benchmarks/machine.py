"""What the machine is, and how fast it can be: the largest matrix product, and memory."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import contender
import numpy as np

SETTINGS = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TINYALEX_THREADS",
)
"""Environment variables that change what is measured."""
SIDE = 2048
"""Of the square matrices that the peak is measured with: 17 GFLOP, 50 MB."""


def describe() -> dict[str, Any]:
    return {
        "cpu": cpu_model(),
        "cores": contender.cores(),
        "instructions": [flag for flag in ("avx2", "avx512f") if flag in cpu_flags()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": contender.blas(),
        "torch": version("torch"),
        "environment": {name: os.environ[name] for name in SETTINGS if name in os.environ},
        "commit": commit(),
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
        "command": " ".join(["python", *map(shlex.quote, sys.argv)]),
    }


def as_text(found: dict[str, Any]) -> str:
    """The description in a few lines, for the top of a table."""
    settings = (
        " ".join(f"{name}={value}" for name, value in found["environment"].items())
        or "nothing set that matters"
    )
    libraries = [
        f"NumPy {found['numpy']} ({', '.join(found['blas'])})",
        f"PyTorch {found['torch']}" if found["torch"] else "no PyTorch",
    ]
    return "\n".join(
        [
            f"- {found['cpu']}, {found['cores']} cores, {' '.join(found['instructions']) or 'neither AVX2 nor AVX-512'}",
            f"- {', '.join(libraries)}, Python {found['python']}, {found['system']}",
            f"- environment: {settings}",
            f"- `{found['command']}` on {found['date']}, commit {found['commit'] or 'unknown'}",
        ]
    )


def cpu_model() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def cpu_flags() -> list[str]:
    return (_cpuinfo("flags") or "").split()


def _cpuinfo(key: str) -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """With a + where the work tree differs from it."""
    git = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty=+",
        "--exclude=*",
    ]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def sgemm_peak(device: str = "cpu", tries: int = 5) -> float:
    """Floating-point operations a second of the library's own float32 matrix product, all cores, the best of a few."""
    xp, wait = library(device)
    # Not all the same: a processor's clock depends on how many bits change.
    a = xp.asarray(np.random.default_rng(0).standard_normal((SIDE, SIDE), dtype=np.float32))
    c = a @ a
    wait()
    return 2 * SIDE**3 / best(lambda: xp.matmul(a, a, out=c), wait, tries)


def bandwidth(device: str = "cpu", tries: int = 5) -> float:
    """Bytes a second of c = a + b on arrays far larger than the caches, all cores: two are read and one is written."""
    xp, wait = library(device)
    parts = contender.cores() if device == "cpu" else 1
    size = (1 << 26) // parts
    arrays = [tuple(xp.ones(size, np.float32) for _ in range(3)) for _ in range(parts)]
    with ThreadPoolExecutor(parts) as pool:
        add = (
            (lambda: list(pool.map(lambda abc: xp.add(abc[0], abc[1], out=abc[2]), arrays)))
            if parts > 1
            else None
        )
        a, b, c = arrays[0]
        return 3 * 4 * size * parts / best(add or (lambda: xp.add(a, b, out=c)), wait, tries)


def library(device: str) -> tuple[Any, Any]:
    """NumPy or CuPy, and what waits for it."""
    if device == "cpu":
        return np, lambda: None
    import cupy

    card = cupy.cuda.Device(int(device.partition(":")[2] or 0))
    card.use()
    return cupy, card.synchronize


def best(work: Any, wait: Any, tries: int) -> float:
    seconds = []
    for _ in range(tries):
        began = time.perf_counter()
        work()
        wait()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
