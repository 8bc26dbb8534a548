"""The range of values for which Winograd's algorithm is accurate.

All pixels of a tile occur in each of its outputs. Those outside of the output's window
cancel, but their rounding errors do not, and a sum may overflow where y does not. With
the norms over channels

    X = max over the tile of |x[:, i, j]|        W = max over u, v of |w[o, :, u, v]|

the error of an output is at most

    error_constant(m, r) * (C/G + 4*(m + r) + r*r) * eps * X * W

and in practice a thousandth of that, while im2col's is proportional to the sum of
|x||w| over the window. Winograd is accurate only if the values of a tile have similar
magnitudes: outputs of small values next to a large one are not. The same holds for dx,
which is a convolution of dy, and for dw, whose tiles are those of x and dy.

Therefore the largest norm of an image is compared with a mean of its norms that a few
outliers hardly change. The constants leave room for trained and untrained networks
(tests/test_winograd_range.py): their activations have ratios of 2 to 14, gradients 2 to
100, filters below 2.
"""

import numpy as np

from tinyalex.kernels.cpu.convolution.winograd_transforms import matrices

MAX_RATIO = 32
"""The largest norm relative to the mean, for activations and filters."""

MAX_GRADIENT_RATIO = 128
"""For upstream gradients: max-pooling and response normalization make most small."""

MAX_NORM = 1e15
"""Products of two norms and the constants of the transforms do not overflow."""


def pixels_in_range(x: np.ndarray, n: int, max_ratio: float = MAX_RATIO) -> bool:
    """Whether pixels (H, W, n*C) are in range, each image by itself."""
    h, w, count = x.shape
    pixels = x.reshape(h, w, n, count // n)
    return in_range(np.vecdot(pixels, pixels), max_ratio)


def filters_in_range(w: np.ndarray) -> bool:
    """Whether filters (G, O/G, C/G, r*r) are in range, each filter by itself."""
    squares = np.einsum("gock,gock->kgo", w, w)
    return in_range(squares.reshape(w.shape[3], 1, -1), MAX_RATIO)


def in_range(squares: np.ndarray, max_ratio: float) -> bool:
    """Whether Winograd is accurate, from squared norms (rows, columns, images).

    The mean is the fourth power of the mean fourth root of the norms that are not 0.
    False if a value is infinite or NaN.
    """
    roots = np.sqrt(np.sqrt(np.sqrt(squares)))
    largest = roots.max(axis=0).max(axis=0)
    nonzero = (squares > 0).sum(axis=0).sum(axis=0)
    mean = roots.sum(axis=0).sum(axis=0) / np.maximum(1, nonzero)
    return bool((largest <= np.minimum(max_ratio**0.25 * mean, MAX_NORM**0.25)).all())


def error_constant(m: int, r: int) -> float:
    """The constant of the error bound: 4263 for F(5x5, 3x3), 7530 for F(4x4, 5x5)."""
    at, g, bt = map(np.abs, matrices(m, r))
    return float((at @ (g.sum(axis=1) * bt.sum(axis=1))).max()) ** 2
