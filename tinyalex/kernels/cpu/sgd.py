"""The parameter update of SGD in NumPy, and the loop over blocks of parameters."""

from collections.abc import Callable
from functools import partial

import numpy as np

from tinyalex import device

MIN_PARALLEL_ELEMENTS = 1 << 18
"""Up to this size a single thread is as fast as two: starting a loop takes longer."""


def sgd_update(
    weights: list[np.ndarray],
    velocities: list[np.ndarray],
    grads: list[np.ndarray],
    options: np.ndarray,
    scaling: np.ndarray | None = None,
) -> None:
    """velocity = momentum*velocity - decay*lr*w - lr*grad, then w += velocity; for
    nesterov, w += momentum*velocity - decay*lr*w - lr*grad.

    options (arrays, 4)  lr, momentum, decay and nesterov (0 or 1) of each array
    scaling (2,)         the factor of the loss, by which gradients are divided; 1 if
                         one is not finite: then no update, else 0
    """
    scale, is_skipped = (1.0, 0.0) if scaling is None else scaling.tolist()
    if is_skipped:
        return
    for *arrays, row in zip(weights, velocities, grads, options.tolist(), strict=True):
        for_blocks(partial(_update_block, [*row, scale]), *arrays)


def _update_block(options: list[float], parts: list[np.ndarray], scratch: device.Scratch) -> None:
    lr, momentum, decay, nesterov, scale = options
    w, v, grad = parts
    change = scratch.take("change", w.shape, w.dtype)
    if scale != 1:
        grad = np.divide(grad, scale, out=scratch.take("grad", w.shape, w.dtype))
    v *= momentum
    if decay:
        v -= np.multiply(w, decay * lr, out=change)
    v -= np.multiply(grad, lr, out=change)
    if nesterov:
        if decay:
            change += decay * lr * w
        w -= change
        w += np.multiply(v, momentum, out=change)
    else:
        w += v


def for_blocks(
    block: Callable[[list[np.ndarray], device.Scratch], None], *arrays: np.ndarray
) -> None:
    """Call `block(parts, scratch)` with the same part of each array, in threads.

    The block may write to all but the last part. Those of float16 are float32 copies,
    which are rounded once at the end.
    """
    if all(a.flags.c_contiguous for a in arrays):
        arrays = tuple(a.reshape(-1) for a in arrays)
    else:
        arrays = tuple(map(np.atleast_1d, arrays))
    first = arrays[0]

    wide = device.sum_dtype(first.dtype)

    def body(lo: int, hi: int, scratch: device.Scratch) -> None:
        parts = [a[lo:hi] for a in arrays]
        if wide == first.dtype:
            block(parts, scratch)
            return
        copies = [scratch.take(f"part {i}", a.shape, wide) for i, a in enumerate(parts)]
        for a, copy in zip(parts, copies, strict=True):
            copy[...] = a
        block(copies, scratch)
        for a, copy in zip(parts[:-1], copies, strict=False):
            a[...] = copy

    if first.size <= MIN_PARALLEL_ELEMENTS:
        body(0, len(first), device.Scratch(np))
    else:
        device.for_tiles(first, 8 * first[:1].size * wide.itemsize, body)
