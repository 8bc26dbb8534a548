"""Checks of integer arguments."""

from typing import Any

import numpy as np


def is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_integer(
    caller: str, name: str, value: Any, low: int, high: int | None = None, *, fix: str
) -> None:
    """Raises ValueError unless `value` is an integer from `low` to `high`."""
    if not is_integer(value) or value < low or (high is not None and value > high):
        bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(
            f"{caller}: expected {name} to be an integer {bounds}, got {value!r}.\n{fix}"
        )
