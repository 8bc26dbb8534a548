"""The frameworks to compare, and the process that measures one in a round."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import networks

from tinyalex.device import processor

HERE = Path(__file__).resolve().parent
OURS = "tinyalex"

BEFORE = "before"
"""The label of another checkout of this repository."""

FRAMEWORKS = ("torch", "torch-compile", "onnxruntime", "openvino", "jax", "chainer", "dezero")
INFER_ONLY = ("onnxruntime", "openvino")
CPU_ONLY = ("onnxruntime", "openvino", "jax")

OLD_NUMPY = ("chainer", "dezero")
"""They use names that NumPy 1.24 removed, so they need a separate environment."""
OLD_PYTHON = HERE.parent / ".venv" / "old-numpy" / "bin" / "python"

MODULES = {
    "torch-compile": ("torch",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "onnx"),
}
"""What an adapter imports, where that is not only a module of the framework's name."""

NO_TRAINING = "infers only, so it has no row for training"

CHANNELS_LAST, COMPILE = "--channels-last", "--compile"
"""Options of contender.py."""


@dataclass(frozen=True)
class Entrant:
    """`kernels`: its OPENBLAS_CORETYPE, if any. `checkout`: the repository it runs."""

    label: str
    framework: str
    python: str
    options: tuple[str, ...] = ()
    kernels: str | None = None
    checkout: Path = HERE.parent

    @property
    def trains(self) -> bool:
        return self.framework not in INFER_ONLY

    @property
    def has_layers(self) -> bool:
        """Whether its adapter times each layer."""
        return self.framework in (OURS, "torch") and COMPILE not in self.options


def entrants(
    against: list[str], network: dict[str, Any], device: str, old_python: Path
) -> tuple[list[Entrant], dict[str, str]]:
    """tinyalex and the available frameworks; for the others, the reason and a fix."""
    found, left_out = [Entrant(OURS, OURS, sys.executable)], {}
    for framework in against:
        python = str(old_python) if framework in OLD_NUMPY else sys.executable
        if reason := networks.lacks(framework, network) or _unavailable(framework, python, device):
            left_out[framework] = reason
        elif framework == "torch":
            found.append(Entrant("torch NCHW", framework, python))
            found.append(Entrant("torch channels_last", framework, python, (CHANNELS_LAST,)))
        elif framework == "torch-compile":
            found.append(Entrant(framework, "torch", python, (CHANNELS_LAST, COMPILE)))
        else:
            found.append(Entrant(framework, framework, python))
            if framework in OLD_NUMPY and (kernels := newest_kernels()):
                found.append(Entrant(f"{framework}, {kernels}", framework, python, kernels=kernels))
    return found, left_out


def newest_kernels() -> str | None:
    """OPENBLAS_CORETYPE for an old OpenBLAS, which does not use AVX on new processors.

    None if the environment sets it, or the processor has no AVX2.
    """
    flags = processor.flags()
    if "OPENBLAS_CORETYPE" in os.environ or not {"avx512f", "avx2"} & set(flags):
        return None
    return "SkylakeX" if "avx512f" in flags else "Haswell"


def _unavailable(framework: str, python: str, device: str) -> str | None:
    if framework in OLD_NUMPY and device != "cpu":
        return f"needs an old CuPy on a GPU: use --device cpu, not {device}"
    if framework in CPU_ONLY and device != "cpu":
        return f"is measured on the CPU only: use --device cpu, not {device}"
    target = "benchmarks-peers" if framework in OLD_NUMPY else "test-peers"
    for module in MODULES.get(framework, (framework,)):
        if reason := absent(module, python, f"`make {target}` installs it", "--peers-python"):
            return reason if module == framework else f"needs {module}, which is {reason}"
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if framework == "torch-compile" and device == "cpu" and not shutil.which(compiler):
        return f"needs a C++ compiler: there is no {compiler}; install it, or set CXX"
    return None


def absent(module: str, python: str, fix: str, option: str) -> str | None:
    """Why a Python lacks a module, and a fix; None if it has it."""
    if not Path(python).exists():
        return f"not installed: there is no {_short(python)}; {fix}, or use another with {option}"
    script = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    if subprocess.run([python, "-c", script]).returncode:
        return f"not installed for {_short(python)}; {fix}"
    return None


def _short(python: str) -> str:
    path, here = Path(python), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


@contextmanager
def saved(network: dict[str, Any]) -> Iterator[str]:
    """The network's description in a temporary file."""
    with tempfile.TemporaryDirectory(prefix="tinyalex-benchmark-") as folder:
        path = Path(folder) / "network.json"
        path.write_text(json.dumps(network), encoding="utf-8")
        yield str(path)


def turn(
    entrant: Entrant, path: str, *, mode: str, batch: int, device: str, seconds: float
) -> dict[str, Any]:
    """The report of contender.py. RuntimeError, with the end of stderr, if it
    failed."""
    command = [
        entrant.python,
        str(entrant.checkout / "benchmarks" / "contender.py"),
        entrant.framework,
        path,
        f"--batch={batch}",
        f"--mode={mode}",
    ]
    command += [f"--device={device}", f"--seconds={seconds}", *entrant.options]
    environment = {**os.environ, "PYTHONPATH": str(entrant.checkout)}
    if entrant.kernels:
        environment["OPENBLAS_CORETYPE"] = entrant.kernels
    return run_json(f"{entrant.label}, {mode}, batch {batch}", command, environment)


def run_json(
    label: str, command: list[str], environment: dict[str, str] | None = None
) -> dict[str, Any]:
    """The JSON in a command's last line. RuntimeError, with stderr, if it failed."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        message = (
            "\n  ".join(done.stderr.strip().splitlines()[-6:]) or f"exit status {done.returncode}"
        )
        raise RuntimeError(f"{label}: {' '.join(command)} failed:\n  {message}")
    return json.loads(done.stdout.splitlines()[-1])


def ratio(ours: list[float], theirs: list[float]) -> dict[str, Any]:
    """ours / theirs, round by round."""
    pairs = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {"median": median(pairs), "lowest": min(pairs), "highest": max(pairs), "pairs": pairs}


def check_same_network(reports: dict[str, dict[str, Any]]) -> None:
    """RuntimeError if losses before training differ, although weights are the same."""
    expected = reports[OURS]["loss"]
    for label, report in reports.items():
        if abs(report["loss"] - expected) > 1e-3 * abs(expected):
            raise RuntimeError(
                f"{label} does not compute the same network: its loss is {report['loss']}, "
                f"{OURS}'s {expected}.\nCompare their layers, or check the BLAS: wrong results "
                "of its kernels (OPENBLAS_CORETYPE selects them) look the same."
            )
