"""Run a program on emulated GPUs, and print what it asked of them."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tinyalex.emulator.cuda import Settings, subprocess_environment
from tinyalex.emulator.cuda.statistics import REPORTS_VARIABLE, reported
from tinyalex.emulator.kernels.limits import CAPABILITIES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    default = Settings.from_environment()
    option, flag = parser.add_argument, "store_true"
    # fmt: off
    option("--devices", type=int, default=default.devices, help="number of GPUs (%(default)s)")
    option("--memory-gib", type=float, default=default.memory_gib, metavar="GIB",
           help="memory of each GPU (%(default)s)")
    option("--capability", choices=CAPABILITIES, default=default.capability,
           help="compute capability, which sets the limits of launches (%(default)s)")
    option("--order", type=int, default=default.order,
           help="of blocks and threads: 0 forward, 1 reverse, others shuffle (%(default)s)")
    option("--lazy", action=flag, default=default.lazy,
           help="do nothing before the program waits for it: reveals missing waits")
    option("--no-pool", dest="pool", action="store_false", default=default.pool,
           help="no memory pool in CuPy: accesses out of an array's bounds are detected")
    option("--check", action=flag, default=default.check,
           help="check every memory access of RawKernel and RawModule; slow")
    option("-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE ...",
           help="run a module, as python -m does")
    option("program", nargs=argparse.REMAINDER, metavar="SCRIPT ...",
           help="a Python program and its arguments")
    # fmt: on


def run(args: argparse.Namespace) -> int:
    """Run the program of `args`. Returns its exit status.

    Raises ValueError or OSError if there is no such program.
    """
    if args.module:
        command = ["-m", *args.module]
    elif not args.program:
        raise ValueError("expected a Python program, as in `tinyalex emulate train.py --epochs 1`.")
    elif not Path(args.program[0]).exists():
        raise FileNotFoundError(f"no file {args.program[0]!r}. Expected a Python program.")
    else:
        command = args.program
    settings = Settings(
        args.devices, args.memory_gib, args.capability, args.order, args.lazy, args.pool, args.check
    )
    with tempfile.TemporaryDirectory(prefix="tinyalex-emulate-") as folder:
        environment = os.environ | subprocess_environment(settings) | {REPORTS_VARIABLE: folder}
        # Ctrl+C is the program's to handle; the report follows.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            program = subprocess.Popen(
                [sys.executable, *command], env=environment, preexec_fn=_default_interrupt
            )
            status = program.wait()
        finally:
            signal.signal(signal.SIGINT, before)
        processes, counts = reported(Path(folder))
    sys.stdout.flush()
    print(f"\n{_heading(settings, processes)}\n{counts.report()}", file=sys.stderr)
    return 128 - status if status < 0 else status


def _default_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _heading(settings: Settings, processes: int) -> str:
    gpus = f"{settings.devices} emulated GPU{'' if settings.devices == 1 else 's'}"
    users = {0: "no process used CuPy", 1: "used by 1 process"}
    used = users.get(processes, f"used by {processes} processes")
    return f"{gpus} of compute capability {settings.capability}, {used}"
