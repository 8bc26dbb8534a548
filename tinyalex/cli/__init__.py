"""The command line, one file for each command: `tinyalex COMMAND`.

The same as `python -m tinyalex COMMAND`.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from tinyalex.cli import doctor, emulate, explain, gradcheck, learn, models, predict, prepare, scale
from tinyalex.cli.options import STOPPED
from tinyalex.data.text_files import printable_lines

COMMANDS = doctor, emulate, explain, gradcheck, learn, models, predict, prepare, scale


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="tinyalex", description="AlexNet from scratch.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    args = parser.parse_args(argv)
    try:
        status = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has stopped, as in `tinyalex ... | head`
        # Python flushes stdout again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(f"\ntinyalex {args.command}: stopped.", file=sys.stderr)
        return STOPPED
    except (ValueError, OSError, ImportError, RuntimeError, MemoryError) as error:
        message = printable_lines(str(error).removeprefix(f"{args.command}: "))
        cause = "out of memory: " if isinstance(error, MemoryError) else ""
        print(f"tinyalex {args.command}: {cause}{message}", file=sys.stderr)
        return args.error_status
    return status
