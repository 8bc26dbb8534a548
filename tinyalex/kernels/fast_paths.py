"""The switch for fast paths: convolution algorithms other than im2col, fused layers."""

import os
import threading
import warnings
from contextlib import ContextDecorator


def _from_environment() -> bool:
    text = os.environ.get("TINYALEX_FAST") or "1"
    if text not in ("0", "1"):
        warnings.warn(f"TINYALEX_FAST: expected 0 or 1, got {text!r}. It is ignored.", stacklevel=1)
    return text != "0"


class _Switch(threading.local):
    """`enabled` is the value of the process, which a thread's contexts override."""

    enabled = _from_environment()

    def __init__(self) -> None:
        self.contexts: list[bool] = []


switch = _Switch()


class fast(ContextDecorator):  # noqa: N801 - used like a keyword: `with fast(False):`
    """A context in which the fast paths of this thread are on or off.

    When off, each layer runs its Function in `functional`.

    >>> with fast(False):
    ...     switch.enabled
    False
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = bool(enabled)

    def __enter__(self) -> None:
        switch.contexts.append(self.enabled)
        switch.enabled = self.enabled

    def __exit__(self, *error: object) -> None:
        switch.contexts.pop()
        if switch.contexts:
            switch.enabled = switch.contexts[-1]
        else:
            del switch.enabled


def set_fast(enabled: bool = True) -> None:
    """Turn fast paths on or off for the process, outside of `fast` contexts.

    Without it, they are on, unless the environment variable TINYALEX_FAST is 0.
    """
    _Switch.enabled = bool(enabled)
