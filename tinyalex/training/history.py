"""The last checkpoints of a run:

    checkpoint.safetensors     the newest
    checkpoint.1.safetensors   the one before
    checkpoint.2.safetensors   the one before that, ...

A new one is written to a temporary file; then the others are renamed, the oldest first;
then the new one gets its name. A run that is killed at any moment leaves a complete
checkpoint, if only under the name of an earlier one.
"""

import os
import re
from functools import partial
from pathlib import Path
from typing import Any

from tinyalex import serialization

CHECKPOINT = "checkpoint.safetensors"
KEEP_CHECKPOINTS = 2
"""With an earlier one, a run survives damage to the file of the newest."""


def existing(newest: Path) -> list[Path]:
    """The checkpoints that exist, newest first."""
    target = Path(os.path.realpath(newest))
    pattern = re.compile(re.escape(target.stem) + r"\.([1-9]\d{0,8})" + re.escape(target.suffix))
    names = target.parent.iterdir() if target.parent.is_dir() else ()
    numbered = {int(m[1]): path for path in names if (m := pattern.fullmatch(path.name))}
    paths = [newest, *(path for _, path in sorted(numbered.items()))]
    return [path for path in paths if path.is_file()]


def save(newest: Path, state: dict[str, Any], keep: int, is_first: bool) -> None:
    """Write a checkpoint and keep the last `keep`, with this one.

    is_first  whether the run has not saved or loaded `newest` before: a file with this
              name is damaged or of another run, and is overwritten

    Raises OSError if it cannot be written, or all checkpoints have been deleted since.
    """
    if is_first:
        keep = 1
    elif not existing(newest):
        raise FileNotFoundError(
            f"The checkpoints in {newest.parent} have been deleted during the run."
        )
    serialization.save(newest, state, before_replace=partial(rotate, newest, keep))
    if not is_first:
        for path in existing(newest)[keep:]:  # of a run that kept more
            path.unlink()


def rotate(newest: Path, keep: int) -> None:
    """Rename the newest checkpoint to number 1, number 1 to 2, and so on.

    Of `keep` checkpoints the oldest is overwritten, unless a number is free.
    """
    # Where the newest is a symbolic link, the others are next to the file it points to.
    target = Path(os.path.realpath(newest))
    numbered = [target.with_name(f"{target.stem}.{i}{target.suffix}") for i in range(1, keep)]
    paths = [target, *numbered]
    last = next((i for i, path in enumerate(paths) if not path.exists()), len(paths) - 1)
    for i in range(last, 0, -1):
        os.replace(paths[i - 1], paths[i])
