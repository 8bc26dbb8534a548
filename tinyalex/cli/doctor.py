"""Check what is installed, whether it computes correctly, and what to install."""

import argparse
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator

import numpy as np

from tinyalex import device
from tinyalex.cli.gpu_checks import gpu_findings
from tinyalex.cli.options import Commands, add_command
from tinyalex.data.download import data_folder
from tinyalex.device.availability import Finding
from tinyalex.kernels.cpu import blas_choice

PACKAGES = {
    "threadpoolctl": "threads",
    "pillow": "image files",
    "matplotlib": "figures",
    "tqdm": "progress bars",
    "safetensors": "saved weights",
    "pooch": "downloads",
    "platformdirs": "the cache folder",
}
"""The packages that tinyalex requires, and their purpose."""


def add_parser(commands: Commands) -> None:
    add_command(commands, "doctor", run, __doc__)


def run(args: argparse.Namespace) -> int:
    findings, verdict, ready = examine()
    print(*findings, verdict, sep="\n")
    return 0 if ready else 1


def examine() -> tuple[list[Finding], str, bool]:
    """(findings, verdict, whether everything that is installed works)."""
    on_cpu, on_gpu = list(cpu_findings()), list(gpu_findings())
    findings = on_cpu + on_gpu
    failed = [finding for finding in findings if finding.ok is False]
    if failed:
        advice = "; ".join(dict.fromkeys(finding.fix for finding in failed))
        cpu_works = all(finding in on_gpu for finding in failed)
        return findings, f"{advice}.{' Until then, use the CPU.' if cpu_works else ''}", False
    devices = "the GPU and the CPU" if all(finding.ok for finding in on_gpu) else "the CPU"
    advice = f" For a GPU: {on_gpu[-1].fix}." if on_gpu[-1].ok is None else ""
    return findings, f"ready: training works on {devices}.{advice}", True


def cpu_findings() -> Iterator[Finding]:
    version = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("Python", sys.version_info >= (3, 11), version, "Use Python 3.11 or newer")
    yield _numpy()
    for name, purpose in PACKAGES.items():
        try:
            yield Finding(name, True, f"{importlib.metadata.version(name)}, for {purpose}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, None, f"not installed: no {purpose} (pip install {name})")
    yield _blas()
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    missing = "not found: `tinyalex explain` needs it (apt install g++)"
    yield Finding("g++", True if compiler else None, compiler or missing)
    yield _data_sets()


def _numpy() -> Finding:
    try:
        workers = device.workers()
    except ValueError as error:
        fix = "Unset TINYALEX_THREADS, or set it to an integer of at least 1"
        return Finding("NumPy", False, f"{np.__version__}, but {error}", fix)
    libraries = ", ".join(
        f"{info['internal_api']} {info['version']} with {info['num_threads']} threads"
        for info in device.blas_libraries()
    )
    if libraries:
        text = f"{libraries}; tiles on {workers} threads"
    else:
        text = f"{workers} thread: without threadpoolctl, the threads of BLAS cannot be set"
    return Finding("NumPy", True, f"{np.__version__}, {text}")


def _blas() -> Finding:
    x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    if np.allclose(x @ x, x.astype(np.float64) @ x, rtol=1e-3, atol=1e-3):
        used = [name for name, is_used in blas_choice.in_blocks()._asdict().items() if is_used]
        file = blas_choice.measurement_file()
        origin = f" (measured: {file})" if file.exists() else ""
        regimes = f"regimes in blocks: {', '.join(used) or 'none'}{origin}"
        return Finding("BLAS", True, f"multiplies matrices; {regimes}")
    return Finding(
        "BLAS",
        False,
        "matrix multiplications in float32 and float64 differ",
        "NumPy's BLAS computes wrong results on this processor. Reinstall NumPy: "
        "pip install --force-reinstall numpy",
    )


def _data_sets() -> Finding:
    folder = data_folder()
    if folder is None:
        text = "TINYALEX_DATA is not set: CIFAR-10 is downloaded when needed"
        return Finding("data", None, text)
    if not folder.is_dir():
        fix = "Set TINYALEX_DATA to the folder with the data sets"
        return Finding("data", False, f"TINYALEX_DATA is {folder}, which is not a folder", fix)
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    listed = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
    return Finding("data", True, f"{folder}: {listed or 'empty'}")
