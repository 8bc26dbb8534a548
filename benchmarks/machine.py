"""A description of the machine, its sgemm peak and its memory bandwidth."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import contender
import numpy as np

from tinyalex.device import processor

SETTINGS = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "OPENBLAS_NUM_THREADS",
    "NPY_DISABLE_CPU_FEATURES",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TINYALEX_THREADS",
)
"""Environment variables that change what is measured."""

PEAK_SIZE = 2048
"""Rows of the square matrices that measure the peak: 17 GFLOP, 50 MB."""


def describe() -> dict[str, Any]:
    return {
        "cpu": processor.model(),
        "cores": contender.cores(),
        "instructions": [flag for flag in ("avx2", "avx512f") if flag in processor.flags()],
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
    """The description in four lines, for the top of a table."""
    instructions = " ".join(found["instructions"]) or "neither AVX2 nor AVX-512"
    torch = f"PyTorch {found['torch']}" if found["torch"] else "no PyTorch"
    numpy = f"NumPy {found['numpy']} ({', '.join(found['blas'])})"
    settings = " ".join(f"{name}={value}" for name, value in found["environment"].items())
    lines = [
        f"- {found['cpu']}, {found['cores']} cores, {instructions}",
        f"- {numpy}, {torch}, Python {found['python']}, {found['system']}",
        f"- environment: {settings or 'no relevant variable set'}",
        f"- `{found['command']}` on {found['date']}, commit {found['commit'] or 'unknown'}",
    ]
    return "\n".join(lines)


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """The current commit, with a + if the working tree has changes."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    folder = Path(__file__).parent
    try:
        git = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        return git.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def sgemm_peak(device: str = "cpu", tries: int = 5) -> float:
    """FLOP/s of a float32 matrix multiplication on all cores, the best of `tries`."""
    xp, wait = library(device)
    # Random values: the clock rate depends on how many bits change.
    a = xp.asarray(
        np.random.default_rng(0).standard_normal((PEAK_SIZE, PEAK_SIZE), dtype=np.float32)
    )
    c = a @ a
    wait()
    return 2 * PEAK_SIZE**3 / best(lambda: xp.matmul(a, a, out=c), wait, tries)


def bandwidth(device: str = "cpu", tries: int = 5, threads: int | None = None) -> float:
    """Bytes/s of c = a + b for arrays far larger than the caches; on the CPU in so many
    threads, by default one per core."""
    xp, wait = library(device)
    parts = (threads or contender.cores()) if device == "cpu" else 1
    size = (1 << 26) // parts
    arrays = [tuple(xp.ones(size, np.float32) for _ in range(3)) for _ in range(parts)]
    with ThreadPoolExecutor(parts) as pool:
        add = partial(map if parts == 1 else pool.map, lambda abc: xp.add(*abc[:2], out=abc[2]))
        return 3 * 4 * size * parts / best(lambda: list(add(arrays)), wait, tries)


def library(device: str) -> tuple[Any, Any]:
    """NumPy or CuPy, and a function that synchronises with its device."""
    if device == "cpu":
        return np, lambda: None
    import cupy

    gpu = cupy.cuda.Device(int(device.partition(":")[2] or 0))
    gpu.use()
    return cupy, gpu.synchronize


def best(work: Any, wait: Any, tries: int) -> float:
    """The shortest time in seconds."""
    seconds = []
    for _ in range(tries):
        began = time.perf_counter()
        work()
        wait()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
