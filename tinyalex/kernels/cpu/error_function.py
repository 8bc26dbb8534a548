"""The error function in NumPy, which has none."""

import math

import numpy as np


def error_function(x: np.ndarray, y: np.ndarray) -> None:
    """y = erf(x), by Python's math.erf, element by element."""
    y[...] = np.fromiter(map(math.erf, x.flat), np.float64, x.size).reshape(x.shape)
