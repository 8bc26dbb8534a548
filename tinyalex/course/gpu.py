"""What lesson 19 needs of a GPU: one that works, and the counts of its work.

    args, gpu = gpus.options(__doc__)      the options of a lesson, and a GPU
    gpu.device                             "cuda:0", or "cpu" if there is none
    gpu.not_counted                        why its work is not counted, or ""
    with gpu.counting() as counts: ...     launches, copies, synchronisations
    gpu.pending()                          operations that are not executed yet

The GPU is an emulated one, under the real CuPy, unless `--device cuda` chooses another.
It is lazy: it executes nothing before the program waits for it, so that the order of
submission and execution can be seen.
"""

import argparse
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tinyalex import device
from tinyalex.course import lesson
from tinyalex.course.kernels_on_cpu import why_not_compiled
from tinyalex.installation import pip_install
from tinyalex.tensor import Tensor

LAZY = "TINYALEX_EMULATOR_LAZY"


class Gpu(NamedTuple):
    """A GPU, or the CPU if there is none."""

    device: str
    not_counted: str
    """Why its work is not counted, or ""."""

    @contextmanager
    def counting(self) -> Iterator[Any]:
        """The counts of `emulator.counting`; all are 0 if nothing is counted."""
        from tinyalex import emulator

        with emulator.counting() as counts:
            yield counts

    def pending(self) -> int:
        """The operations that an emulated GPU has received and not executed yet."""
        from tinyalex.emulator.cuda import work_queue

        return len(work_queue.pending)

    def is_done(self) -> bool:
        """Whether the GPU has executed all that it has received. Does not wait."""
        return self.device == "cpu" or bool(self._stream().done)

    def synchronize(self) -> None:
        """Wait until the GPU has executed all that it has received."""
        if self.device != "cpu":
            self._stream().synchronize()

    def _stream(self) -> Any:
        """CuPy's current stream."""
        cupy = device.xp(Tensor(0.0, device=self.device).data)
        return cupy.cuda.get_current_stream()


def options(doc: str | None) -> tuple[argparse.Namespace, Gpu]:
    """`lesson.options`, and a GPU.

    Call it before anything imports `tinyalex.emulator`, which reads its settings then.
    """
    os.environ[LAZY] = "1"
    args = lesson.options(doc)
    if args.device != "cpu":
        from tinyalex import emulator

        real = "" if emulator.is_installed() else "a real GPU does not count its work"
        gpu = Gpu(args.device, real)
    elif missing := _why_not_emulated():
        gpu = Gpu("cpu", missing)
    else:
        gpu = Gpu(device.check("cuda"), "")
    print(f"GPU: {gpu.device}; {gpu.not_counted or 'emulated, its work is counted'}.")
    return args, gpu


def _why_not_emulated() -> str:
    """Install the emulator. "", or what is missing."""
    from tinyalex import emulator

    if not (sys.platform.startswith("linux") and platform.machine() == "x86_64"):
        return "the emulated GPU needs Linux on x86-64"
    if missing := why_not_compiled():
        return missing
    try:
        emulator.install()
    except ImportError:
        return f"the emulated GPU needs CuPy: {pip_install('cuda-check')}"
    return ""
