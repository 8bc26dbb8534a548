"""Shared by the commands: adding a command, and the types of its options."""

import argparse
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

STOPPED = 130
"""The exit status after Ctrl-C, as of a shell."""

PNG = b"\x89PNG\r\n\x1a\n"
"""The first bytes of a figure."""


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    description: str | None,
    error_status: int = 2,
) -> argparse.ArgumentParser:
    """Add a command. `tinyalex --help` shows the first line of its description.

    `run` returns the exit status, which is `error_status` if it raises.
    """
    parser = commands.add_parser(
        name,
        help=(description or "").partition("\n")[0],
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, error_status=error_status)
    return parser


MAX_INTEGER = 10**9
"""Of an option: more would overflow in NumPy, or exceed any memory."""


def positive_integer(text: str) -> int:
    return _integer(text, 1)


def integer_from_zero(text: str) -> int:
    return _integer(text, 0)


def _integer(text: str, least: int) -> int:
    if not text.isdecimal() or (len(text) <= 10 and int(text) < least):
        raise argparse.ArgumentTypeError(
            f"expected an integer of at least {least}, got {quoted(text)}"
        )
    if len(text) > 10 or int(text) > MAX_INTEGER:
        raise argparse.ArgumentTypeError(
            f"expected an integer of at most {MAX_INTEGER:,}, got {quoted(text)}"
        )
    return int(text)


def seed(text: str) -> int:
    if not text.isdecimal() or len(text) > 20 or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(
            f"expected an integer from 0 to 2**64 - 1, got {quoted(text)}"
        )
    return int(text)


def positive_number(text: str) -> float:
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a positive finite number, got {quoted(text)}")
    return number


def number_from_zero(text: str) -> float:
    number = _number(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(
            f"expected a finite number of at least 0, got {quoted(text)}"
        )
    return number


def fraction(text: str) -> float:
    number = _number(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {quoted(text)}")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def file_path(text: str) -> str:
    """A path that is not empty, nor in the home folder of an unknown user."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got nothing")
    try:
        Path(text).expanduser()
    except RuntimeError:
        raise argparse.ArgumentTypeError(
            f"there is no home folder for {quoted(text)}; begin the name of a file with ./"
        ) from None
    return os.path.expanduser(text)  # a shell does not expand ~ after =


def check_figure(path: str, option: str) -> None:
    """Raises ValueError if a figure at this path would replace something else."""
    if not os.path.exists(path):
        return
    if not os.path.isfile(path):
        raise ValueError(f"{option} {path} is not a regular file. Give another path.")
    with open(path, "rb") as file:
        if file.read(len(PNG)) != PNG:
            raise ValueError(
                f"{option} {path} exists and is not a figure (PNG). Give another path."
            )


def quoted(text: str) -> str:
    """The repr of a text, at most 60 characters of it."""
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}..."
