"""Run a program on emulated GPUs, and print the counts of its GPU work."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tinyalex.emulator.cuda import Settings, subprocess_environment
from tinyalex.emulator.cuda.statistics import REPORTS_VARIABLE, reported


def run(command: Sequence[str], settings: Settings) -> int:
    """Run `python COMMAND` and print its statistics to stderr. Returns its exit status.

    command  a script and its arguments, or -m, a module and its arguments

    Raises ValueError or FileNotFoundError if there is no script.
    """
    if not command:
        raise ValueError("expected a Python program, as in `tinyalex emulate train.py --epochs 1`.")
    if command[0] != "-m":
        program_path = Path(command[0])
        if not program_path.exists():
            raise FileNotFoundError(f"no file {command[0]!r}, expected a Python program.")
        if not (program_path.is_file() or program_path.is_dir()):
            raise ValueError(f"{command[0]!r} is not a regular file, expected a Python program.")
    with tempfile.TemporaryDirectory(prefix="tinyalex-emulate-") as folder:
        environment = os.environ | subprocess_environment(settings) | {REPORTS_VARIABLE: folder}
        # The program inherits the files that mpirun has opened for it.
        program = subprocess.Popen([sys.executable, *command], env=environment, close_fds=False)
        # Ctrl+C interrupts both processes. The program handles it, and the report
        # follows.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            status = program.wait()
        finally:
            signal.signal(signal.SIGINT, before)
        processes, lost, counts = reported(Path(folder))
    sys.stdout.flush()
    print(f"\n{_heading(settings, processes, lost)}\n{counts.report()}", file=sys.stderr)
    return 128 - status if status < 0 else status


def _heading(settings: Settings, processes: int, lost: int) -> str:
    gpus = f"{settings.devices} emulated GPU{'' if settings.devices == 1 else 's'}"
    users = {0: "no process used CuPy", 1: "used by 1 process"}
    used = users.get(processes, f"used by {processes} processes")
    if lost:
        used += f", of which {lost} ended without reporting counts"
    return f"{gpus} of compute capability {settings.capability}, {used}"
