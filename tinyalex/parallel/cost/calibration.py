"""The rates and times of the cost model, measured on this machine.

Cores are measured in processes of their own, because the number of threads is fixed
when a process starts; messages are measured between two processes of MPI.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tinyalex.installation import pip_install
from tinyalex.parallel.cost.step_time import ComputeTimes, PartTimes, PassTime

ONE_CORE = {"TINYALEX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Calibration:
    """The rates of this machine, and the times of a network on one core of it.

    rates     fields of Machine
    alone     the times while the other cores are idle
    together  while all cores compute: they share caches and the memory's bandwidth
    """

    rates: dict[str, float]
    alone: ComputeTimes
    together: ComputeTimes

    def times(self, workers: int) -> ComputeTimes:
        return self.alone if workers == 1 else self.together


def measure(
    variant: str, image_size: int, batch_size: int, cores: int, *, messages: bool = True
) -> Calibration:
    """Measure training steps of this batch size, a half and a quarter of it: in one
    process, then in one on each core at the same time, without communication.

    messages  whether to measure them too, which needs MPI
    """
    sizes = sorted({max(1, batch_size // parts) for parts in (1, 2, 4)}, reverse=True)
    arguments = "compute", variant, str(image_size), ",".join(map(str, sizes))
    alone = _run([sys.executable], *arguments)
    together = _run([sys.executable], *arguments, processes=cores) if cores > 1 else alone
    rates = {name: min(each[name] for each in together) for name in ("flops", "memory_bandwidth")}
    slices = _run([sys.executable], "slice", processes=2 * cores)
    rates["time_slice"] = median(found["time_slice"] for found in slices)
    if messages:
        rates |= measure_messages()
    return Calibration(rates, _times(alone), _times(together))


def measure_messages() -> dict[str, float]:
    """The rates `latency`, `message_bandwidth` and `sum_bandwidth`."""
    rates: dict[str, float]
    [rates] = _run([mpirun(), "-n", "2", sys.executable], "messages")
    return rates


def _times(processes: list[Any]) -> ComputeTimes:
    """Fitted to the steps of the slowest process, for which the others would wait."""
    slowest = max(processes, key=lambda found: sum(map(sum, found["steps"].values())))
    sizes = list(map(int, slowest["steps"]))
    columns = list(zip(*slowest["steps"].values(), strict=True))
    passes = [fit(sizes, seconds) for seconds in columns[:4]]
    return ComputeTimes(
        convolutional=PartTimes(*passes[:2]),
        linear=PartTimes(*passes[2:]),
        update=median(columns[4]) / slowest["parameters"],
    )


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
            f"scale: --measure needs mpi4py and mpirun: {pip_install('mpi')}. Or give both "
            "--bandwidth and --latency."
        )
    return found


def _run(command: list[str], *arguments: str, processes: int = 1) -> list[Any]:
    """The JSON of each of several processes of the program measurements.py."""
    command = [*command, "-m", "tinyalex.parallel.cost.measurements", *arguments]
    started = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | ONE_CORE,
        )
        for _ in range(processes)
    ]
    found = []
    for process in started:
        output, errors = process.communicate(timeout=TIMEOUT_SECONDS)
        if process.returncode:
            raise RuntimeError(
                f"scale: {' '.join(command)} ended with status {process.returncode}:\n{errors}"
            )
        found.append(json.loads(output))
    return found
