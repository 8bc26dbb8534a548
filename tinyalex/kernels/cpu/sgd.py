"""The parameter update of SGD in NumPy."""

import numpy as np

from tinyalex import device

MIN_PARALLEL_ELEMENTS = 1 << 15
"""Up to this size a single thread is faster."""


def sgd_update(
    w: np.ndarray, velocity: np.ndarray, grad: np.ndarray, lr: float, momentum: float, decay: float
) -> None:
    """velocity = momentum*velocity - decay*lr*w - lr*grad, then w += velocity."""
    arrays = w, velocity, grad
    if all(a.flags.c_contiguous for a in arrays):
        w, velocity, grad = (a.reshape(-1) for a in arrays)
    else:
        w, velocity, grad = map(np.atleast_1d, arrays)

    def block(lo: int, hi: int, scratch: device.Scratch) -> None:
        part, v = w[lo:hi], velocity[lo:hi]
        change = scratch.take("change", part.shape, w.dtype)
        v *= momentum
        if decay:
            v -= np.multiply(part, decay * lr, out=change)
        v -= np.multiply(grad[lo:hi], lr, out=change)
        part += v

    # One tile instead of single_threaded, which would limit BLAS needlessly.
    tiles = [(0, len(w))] if w.size <= MIN_PARALLEL_ELEMENTS else None
    device.for_tiles(w, 8 * w[:1].nbytes, block, tiles=tiles)
