"""Counts of a program's GPU work: launches, copies, synchronisations, memory."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tinyalex.emulator.cuda.api import lock

REPORTS_VARIABLE = "TINYALEX_EMULATOR_REPORTS"
"""The folder to which each process writes its statistics at its end."""

COPIES = (
    "to the GPU",
    "to the host",
    "on a GPU",
    "between GPUs",
    "on the host",
    "to other processes",  # by NCCL
)

SHOWN = 12
"""Lines of a long list in the report."""

_NOT_A_CALLER = ("cupy", "cupy_backends", "cupyx", "tinyalex.emulator")


@dataclass
class Statistics:
    """Counts of a process, or of a part of its run (`counting`).

    launches          of kernels, by name
    copied_bytes      by direction, those of COPIES
    synchronizations  by the line of the program that waited for a GPU, as in
                      "code/train.py:12"
    gemms             calls of cuBLAS that multiply matrices: a batch is one
    compiled          modules compiled, not found in a cache
    peak_bytes        by device: the largest memory allocated from it, CuPy's pool
                      included
    """

    launches: Counter[str] = field(default_factory=Counter)
    copied_bytes: Counter[str] = field(default_factory=Counter)
    synchronizations: Counter[str] = field(default_factory=Counter)
    gemms: int = 0
    compiled: int = 0
    peak_bytes: Counter[str] = field(default_factory=Counter)

    def __sub__(self, before: "Statistics") -> "Statistics":
        """The counts since `before`. Peaks are not counts, and stay."""
        return Statistics(
            self.launches - before.launches,
            self.copied_bytes - before.copied_bytes,
            self.synchronizations - before.synchronizations,
            self.gemms - before.gemms,
            self.compiled - before.compiled,
            Counter(self.peak_bytes),
        )

    def copy(self) -> "Statistics":
        with lock:
            return self - Statistics()

    def count_synchronization(self) -> None:
        self.synchronizations[_caller()] += 1

    def report(self) -> str:
        """The counts as text, a line each and one per kernel."""
        lines = [f"launches          {self.launches.total():,} of {len(self.launches)} kernels"]
        lines += _ranked(self.launches)
        lines += [f"GEMMs             {self.gemms:,}"]
        copies = [f"{n:,} bytes {name}" for name, n in self.copied_bytes.items()]
        lines += [f"copies            {', '.join(copies) or 'none'}"]
        lines += [f"synchronisations  {self.synchronizations.total():,}"]
        lines += _ranked(self.synchronizations)
        peaks = [f"{n:,} bytes on {device}" for device, n in sorted(self.peak_bytes.items())]
        lines += [f"peak memory       {', '.join(peaks) or 'none'}"]
        lines += [f"modules compiled  {self.compiled}"]
        return "\n".join(lines)


statistics = Statistics()
"""Of this process."""


@contextmanager
def counting() -> Iterator[Statistics]:
    """A context that counts the GPU work within it.

    The statistics that it yields are complete when it ends.
    """
    before, counts = statistics.copy(), Statistics()
    try:
        yield counts
    finally:
        counts.__dict__.update((statistics.copy() - before).__dict__)


def write_report(counts: Statistics | None = None) -> None:
    """Write this process's counts to the folder of reports, if there is one.

    counts  None at the start of the process; it stays if the process does not end
            normally
    """
    if folder := os.environ.get(REPORTS_VARIABLE):
        file = Path(folder, f"{os.getpid()}.json")
        text = json.dumps(vars(counts.copy()) if counts else None)
        partial = file.with_suffix(".partial")
        partial.write_text(text)
        partial.replace(file)


def reported(folder: Path) -> tuple[int, int, Statistics]:
    """The number of processes, of those without counts, and the sum of the others."""
    reports = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    total = Statistics()
    for counts in filter(None, reports):
        for name in ("launches", "copied_bytes", "synchronizations"):
            getattr(total, name).update(counts[name])
        total.gemms += counts["gemms"]
        total.compiled += counts["compiled"]
        total.peak_bytes |= Counter(counts["peak_bytes"])  # of the largest process
    return len(reports), reports.count(None), total


def _ranked(counts: Counter[str]) -> Iterable[str]:
    width = len(f"{max(counts.values(), default=0):,}")
    most = counts.most_common(SHOWN)
    yield from (f"  {n:>{width},}  {name}" for name, n in most)
    if rest := len(counts) - len(most):
        yield f"  {counts.total() - sum(n for _, n in most):>{width},}  of {rest} others"


def _caller() -> str:
    """The innermost line outside CuPy and the emulator, as in "code/train.py:12"."""
    frame = sys._getframe(1)
    while frame.f_back and _is_library(frame.f_globals.get("__name__") or ""):
        frame = frame.f_back
    file = Path(*Path(frame.f_code.co_filename).parts[-2:])
    return f"{file}:{frame.f_lineno}"


def _is_library(module: str) -> bool:
    return module == "contextlib" or any(
        module == name or module.startswith(f"{name}.") for name in _NOT_A_CALLER
    )
