"""A record of a program's GPU work: each launch, matrix multiplication and copy.

    with emulator.recording() as work:
        step()
    sum(w.flop for w in work)

With `execute=False` nothing is computed, and memory keeps what it had, except where the
host copies to it. A program whose
launches do not depend on values makes the same ones, so that the work of a network that
is too large for a CPU can be recorded.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Work:
    """What a stream was given.

    name   of the kernel; "gemm", or "copy on a GPU"
    bytes  of its operands, each once: the least that memory transfers; None for a
           kernel with pointers, which do not say how many elements they have
    flop   of a matrix multiplication, else 0
    dtype  of its operands, as in "float32"; "" if not known
    """

    name: str
    bytes: int | None
    flop: int = 0
    dtype: str = ""


class _Recorder:
    """The list of the current `recording`, if any."""

    work: list[Work] | None = None
    executes = True


recorder = _Recorder()


def note(describe: Callable[[], Work]) -> None:
    """Called at each submission; `describe` only while work is recorded."""
    if recorder.work is not None:
        recorder.work.append(describe())


@contextmanager
def recording(execute: bool = True) -> Iterator[list[Work]]:
    """A context that yields the list to which the process's work is added, in order of
    submission.

    execute  False: do not compute it, only copy from the host. Results are then
             undefined, those that the host reads as well

    Raises RuntimeError inside another recording.
    """
    if recorder.work is not None:
        raise RuntimeError("recording: expected no other recording around this one.")
    recorder.work, recorder.executes = [], execute
    try:
        yield recorder.work
    finally:
        recorder.work, recorder.executes = None, True


def multiplications(count: int, m: int, n: int, k: int, *dtypes: object) -> Work:
    """`count` products (m, k) @ (k, n). `dtypes`: of both operands and the result."""
    sizes = count * m * k, count * k * n, count * m * n
    moved = sum(
        size * np.dtype(dtype).itemsize  # type: ignore[call-overload]
        for size, dtype in zip(sizes, dtypes, strict=True)
    )
    return Work("gemm", moved, 2 * count * m * n * k, np.dtype(dtypes[0]).name)  # type: ignore[call-overload]
