"""Run a Python program that uses CuPy on emulated GPUs.

Needs CuPy and g++, but no GPU. At the end it prints the kernels launched, bytes copied,
synchronisations, matrix multiplications and peak memory. Limits: docs/emulator.md.

An option that is not given is read from a variable such as TINYALEX_EMULATOR_DEVICES.
"""

import argparse

from tinyalex.cli.options import Commands, add_command


def add_parser(commands: Commands) -> None:
    p = add_command(commands, "emulate", run, __doc__)
    # fmt: off
    p.add_argument("--devices", type=int, help="number of GPUs (2)")
    p.add_argument("--memory-gib", type=float, metavar="GIB", help="memory of each GPU (8)")
    p.add_argument("--capability", help="compute capability, which limits launches (9.0)")
    p.add_argument("--order", type=int,
                   help="of blocks and threads: 0 forward, 1 reverse, others shuffle (0)")
    p.add_argument("--lazy", action="store_true", default=None,
                   help="do nothing before the program waits for it: reveals missing waits")
    p.add_argument("--no-pool", dest="pool", action="store_false", default=None,
                   help="no memory pool in CuPy: accesses out of an array's bounds are detected")
    p.add_argument("--check", action="store_true", default=None,
                   help="check every memory access of RawKernel and RawModule; slow")
    p.add_argument("-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE ...",
                   help="run a module, as python -m does")
    p.add_argument("program", nargs=argparse.REMAINDER, metavar="SCRIPT ...",
                   help="a Python program and its arguments")
    # fmt: on


def run(args: argparse.Namespace) -> int:
    from tinyalex.emulator import Settings, program

    names = "devices", "memory_gib", "capability", "order", "lazy", "pool", "check"
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    script = args.program[1:] if args.program[:1] == ["--"] else args.program
    command = ["-m", *args.module] if args.module else script
    return program.run(command, Settings.from_environment(**given))
