"""The machine and the times of the cost model, measured here.

One core is measured in a process of its own, because the number of threads is fixed
when a process starts; messages are measured between two processes of MPI.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex.parallel.cost import Layer
from tinyalex.parallel.step_time import ComputeTimes, PartTimes, PassTime

ONE_CORE = {"TINYALEX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

TIMEOUT_SECONDS = 600


def sizes_for(batch_size: int) -> list[int]:
    """The batch sizes to measure: all, half and a quarter."""
    return sorted({max(1, batch_size // parts) for parts in (1, 2, 4)}, reverse=True)


def measure_compute(
    variant: str, image_size: int, layers: Sequence[Layer], sizes: Sequence[int]
) -> tuple[dict[str, float], ComputeTimes]:
    """The rates `flops` and `memory_bandwidth` of a Machine, and the times of a network
    on one core, fitted to steps with batches of these sizes."""
    found = _run(
        [sys.executable],
        "compute",
        variant,
        str(image_size),
        ",".join(map(str, sizes)),
    )
    batches = [images for images, _ in found["steps"]]
    columns = list(zip(*(seconds for _, seconds in found["steps"]), strict=True))
    passes = [fit(batches, seconds) for seconds in columns[:4]]
    parameters = sum(layer.size for layer in layers)
    times = ComputeTimes(
        convolutional=PartTimes(*passes[:2]),
        linear=PartTimes(*passes[2:]),
        update=float(np.median(columns[4])) / parameters,
    )
    return {name: found[name] for name in ("flops", "memory_bandwidth")}, times


def fit(batches: Sequence[int], seconds: Sequence[float]) -> PassTime:
    """The PassTime with the smallest relative errors, by least squares.

    >>> found = fit([2, 4, 8], [2.0, 3.0, 5.0])
    >>> round(found.fixed, 6), round(found.per_image, 6)
    (1.0, 0.5)
    """
    n, t = np.asarray(batches, float), np.asarray(seconds, float)
    if len(n) > 1:
        (fixed, per_image), *_ = np.linalg.lstsq(np.stack([1 / t, n / t], 1), np.ones(len(n)))
        if fixed >= 0 and per_image >= 0:
            return PassTime(float(fixed), float(per_image))
    return PassTime(0.0, float(np.mean(t / n)))


def measure_messages() -> dict[str, float]:
    """The `latency` and `message_bandwidth` of a Machine."""
    return _run([mpirun(), "-n", "2", sys.executable], "messages")


def mpirun() -> str:
    """The command that starts processes: of this environment, or from the PATH."""
    own = Path(sys.executable).with_name("mpirun")
    found = str(own) if own.exists() else shutil.which("mpirun") or shutil.which("mpiexec")
    try:
        import mpi4py  # noqa: F401
    except ImportError:
        found = None
    if found is None:
        raise ImportError(
            "scale: --measure needs mpi4py and mpirun: pip install '.[mpi]'. Or give both "
            "--bandwidth and --latency."
        )
    return found


def _run(command: list[str], *arguments: str) -> Any:
    """The JSON that the program measurements.py prints."""
    command = [*command, "-m", "tinyalex.parallel.measurements", *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | ONE_CORE,
        timeout=TIMEOUT_SECONDS,
    )
    if done.returncode:
        raise RuntimeError(
            f"scale: {' '.join(command)} ended with status {done.returncode}:\n{done.stderr}"
        )
    return json.loads(done.stdout)
