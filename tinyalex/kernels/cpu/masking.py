"""Elements replaced by zero."""

from typing import Any

import numpy as np


def zero_where(condition: np.ndarray, x: np.ndarray, out: np.ndarray) -> None:
    """out = 0 where the condition holds, else x, which may be infinite or NaN."""
    bits: Any = np.dtype(f"i{x.itemsize}")
    # A bit mask of all ones or all zeros: x * 0 would be NaN for an infinite x.
    mask = np.subtract(condition, 1, dtype=bits, casting="unsafe")
    np.bitwise_and(x.view(bits), mask, out=out.view(bits))
