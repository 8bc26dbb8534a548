"""Dropout in NumPy."""

import math

import numpy as np

from tinyalex import device
from tinyalex.kernels.cpu.half_precision import in_float32

BLOCK_SAMPLES = 16
"""Samples whose random words are drawn at once: they stay in the cache."""


def dropout(
    x: np.ndarray,
    mask: np.ndarray,
    y: np.ndarray,
    keep: float,
    scale: float,
    key: tuple[int, int],
    step: np.ndarray,
    call: int,
    first: int,
) -> None:
    """mask[i] = the mask of sample first + i: units are True with probability `keep`.
    y = scale * x where it is True, else 0 * x.

    step (1,), uint64: the training step, as device.step_array returns it.
    A unit uses 32 bits of its sample's uint64 word unit // 2, the lower half first.
    """
    units, limit = math.prod(x.shape[1:]), min(round(keep * 2**32), 2**32)
    for lo in range(0, len(x), BLOCK_SAMPLES):
        rows = mask[lo : lo + BLOCK_SAMPLES]
        samples = range(first + lo, first + lo + len(rows))
        words = device.random_words(key, int(step[0]), call, samples, -(-units // 2))
        drawn = words.astype("<u8", copy=False).view("<u4")[:, :units]
        rows[...] = (drawn < limit).reshape(rows.shape)
    scale_kept(x, mask, y, scale)


@in_float32("y")
def scale_kept(x: np.ndarray, mask: np.ndarray, y: np.ndarray, scale: float) -> None:
    """y = scale * x where the mask is True, else 0 * x."""
    np.multiply(x, mask, out=y)
    y *= scale
