"""The folder of a run: one process writes to it at a time."""

import importlib
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

fcntl: Any = None if os.name == "nt" else importlib.import_module("fcntl")

LOCK = ".tinyalex.lock"

TEMPORARY_FILES = re.compile(
    r"\.((checkpoint|best|model|mean)\.safetensors|log\.csv|validation\.txt"
    r"|(curves|filters|confusion|answers)\.png)\.\d+"
)
"""Of `serialization.atomic_write`, left by a run that was killed."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A context in which no other process can lock the folder, which is created.

    At its start, temporary files of a killed run are deleted. The system unlocks the
    folder when the process ends, for whatever reason. Without locks, which Windows and
    some network file systems do not have, the context has no effect.

    Raises RuntimeError, with the other process, if the folder is locked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    descriptor = _lock(path)
    if descriptor is None:
        yield
        return
    try:
        for file in list(folder.iterdir()):
            if TEMPORARY_FILES.fullmatch(file.name) and file.is_file() and not file.is_symlink():
                file.unlink()
        yield
    finally:
        # Before it is unlocked: otherwise this could delete another process's lock.
        if _is_open_as(path, descriptor):
            with suppress(OSError):  # the folder has become read-only
                path.unlink()
        os.close(descriptor)


def checked(folder: Path) -> Path:
    """The folder. Raises FileNotFoundError if it does not exist any more.

    To create it again would lose the other files, or write to the disk below a mount
    point.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"The output folder {folder} has been deleted or unmounted during the run."
        )
    return folder


def _lock(path: Path) -> int | None:
    """The descriptor of the locked file, or None if there are no locks."""
    if fcntl is None:
        return None
    while True:
        # Not through a link, which a folder from the internet may contain.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 500).decode(errors="replace") or "another process"
            os.close(descriptor)
            raise RuntimeError(
                f"{path.parent} is in use by {owner}: two runs would overwrite each other's "
                "files.\nWait for the end of that process or stop it, or choose another folder "
                "(--output)."
            ) from None
        except OSError:  # the file system has no locks
            os.close(descriptor)
            path.unlink(missing_ok=True)
            return None
        # Otherwise the owner has deleted the file after it was opened here.
        if _is_open_as(path, descriptor):
            owner = f"process {os.getpid()} on {socket.gethostname()}"
            os.truncate(descriptor, 0)
            with suppress(OSError):  # the disk is full, which the first file will show
                os.write(descriptor, owner.encode())
            return descriptor
        os.close(descriptor)


def _is_open_as(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one with this path."""
    return path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor))
