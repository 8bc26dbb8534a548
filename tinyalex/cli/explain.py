"""Print a CUDA kernel with the memory traffic of each line.

The kernel is run on the CPU, which needs g++ and no GPU.
"""

import argparse

from tinyalex.cli.options import Commands, add_command


def add_parser(commands: Commands) -> None:
    p = add_command(commands, "explain", run, __doc__, error_status=1)
    p.add_argument(
        "kernel", metavar="KERNEL", help="such as im2col, max_pool_backward or cross_entropy"
    )


def run(args: argparse.Namespace) -> int:
    from tinyalex.emulator.explain import explain

    print(explain(args.kernel))
    return 0
