"""The switch for fast paths: fast convolution algorithms, and fused layers."""

import os
from contextlib import ContextDecorator


class fast(ContextDecorator):  # noqa: N801 - used like a keyword: `with fast(False):`
    """A context in which fast paths are on or off, for the whole process.

    When off, each layer runs its Function in `functional`. A process starts with fast
    paths on, unless the environment variable TINYALEX_FAST is 0.

    >>> with fast(False):
    ...     fast.enabled
    False
    """

    enabled = os.environ.get("TINYALEX_FAST") != "0"

    def __init__(self, enabled: bool = True) -> None:
        self.inside = bool(enabled)

    def __enter__(self) -> None:
        self.before, fast.enabled = fast.enabled, self.inside

    def __exit__(self, *error: object) -> None:
        fast.enabled = self.before


def set_fast(enabled: bool = True) -> None:
    """Turn fast paths on or off for the rest of the process. See `fast`."""
    fast.enabled = bool(enabled)
