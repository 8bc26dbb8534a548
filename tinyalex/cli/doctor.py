"""`tinyalex doctor`: what is on this machine, whether it computes, and what to install if not."""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tinyalex import device
from tinyalex.cli.gpu_checks import gpu_findings
from tinyalex.device.availability import Finding

PACKAGES = {
    "threadpoolctl": "threads",
    "pillow": "image files",
    "matplotlib": "figures",
    "tqdm": "progress bars",
    "safetensors": "saved weights",
    "pooch": "downloads",
}
"""What tinyalex is installed with, and what it is for."""


def examine() -> tuple[list[Finding], str, bool]:
    """(findings, the last line, whether all that is wanted works)."""
    findings = list(cpu_findings())
    gpu = list(gpu_findings())
    broken = [finding for finding in [*findings, *gpu] if finding.ok is False]
    places = "the CPU" if not all(finding.ok for finding in gpu) else "the GPU and the CPU"
    if broken:
        advice = "; ".join(dict.fromkeys(finding.fix for finding in broken))
        rest = (
            ""
            if any(finding in findings for finding in broken)
            else " Until then the CPU computes."
        )
        return [*findings, *gpu], f"{advice}.{rest}", False
    more = f" For a GPU: {gpu[-1].fix}." if gpu[-1].ok is None else ""
    return [*findings, *gpu], f"ready: {places} can train.{more}", True


def cpu_findings() -> Iterator[Finding]:
    old = sys.version_info < (3, 11)
    yield Finding(
        "Python",
        not old,
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "Use Python 3.11 or newer",
    )
    yield _numpy()
    for name, purpose in PACKAGES.items():
        try:
            yield Finding(name, True, f"{importlib.metadata.version(name)}, for {purpose}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, None, f"not installed: no {purpose} (pip install {name})")
    yield _product()
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    yield Finding(
        "g++",
        True if compiler else None,
        compiler or "not found: `tinyalex explain` needs it (apt install g++)",
    )
    yield from _data_sets()


def _numpy() -> Finding:
    try:
        device.workers()
    except ValueError as error:
        return Finding(
            "NumPy",
            False,
            f"{np.__version__}, but {error}",
            "Unset TINYALEX_THREADS, or give it a number",
        )
    libraries = device.blas_libraries()
    if not libraries:
        return Finding(
            "NumPy",
            True,
            f"{np.__version__}, {device.workers()} thread: without threadpoolctl, BLAS keeps its own",
        )
    names = ", ".join(
        f"{info['internal_api']} {info['version']} with {info['num_threads']} threads"
        for info in libraries
    )
    return Finding("NumPy", True, f"{np.__version__}, {names}; tiles on {device.workers()} threads")


def _product() -> Finding:
    x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    right = np.allclose(x @ x, x.astype(np.float64) @ x, rtol=1e-3, atol=1e-3)
    fix = "NumPy's BLAS computes wrong results on this processor. Install NumPy anew: pip install --force-reinstall numpy"
    return Finding(
        "BLAS",
        right,
        "multiplies matrices" if right else "a product in float32 is not that in float64",
        fix,
    )


def _data_sets() -> Iterator[Finding]:
    folder = os.environ.get("TINYALEX_DATA")
    if not folder:
        yield Finding(
            "data", None, "TINYALEX_DATA is not set: CIFAR-10 would be downloaded; shapes are drawn"
        )
        return
    root = Path(folder).expanduser()
    if not root.is_dir():
        yield Finding(
            "data",
            False,
            f"TINYALEX_DATA is {folder}, which is no folder",
            "Point TINYALEX_DATA at the folder with the data sets",
        )
        return
    names = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    yield Finding(
        "data",
        True,
        f"{root}: {', '.join(names[:8]) or 'nothing in it'}{' ...' if len(names) > 8 else ''}",
    )
