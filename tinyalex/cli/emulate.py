"""Run a Python program that uses CuPy on emulated GPUs.

Needs CuPy and g++, but no GPU. At the end it prints the kernels launched, bytes copied,
synchronisations, matrix multiplications and peak memory. Limits: docs/emulator.md.
"""

import argparse

from tinyalex.cli.options import Commands, add_command


def add_parser(commands: Commands) -> None:
    p = add_command(commands, "emulate", run, __doc__)
    from tinyalex.emulator.program import add_arguments

    add_arguments(p)


def run(args: argparse.Namespace) -> int:
    from tinyalex.emulator import program

    return program.run(args)
