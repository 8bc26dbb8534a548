"""The parameter update of Adam in NumPy."""

from functools import partial

import numpy as np

from tinyalex import device
from tinyalex.kernels.cpu.sgd import for_blocks


def adam_update(
    weights: list[np.ndarray],
    means: list[np.ndarray],
    squares: list[np.ndarray],
    grads: list[np.ndarray],
    options: np.ndarray,
) -> None:
    """With g = grad + l2*w: mean += a1*(g - mean), square += a2*(g*g - square), then
    w -= lr*decay*w + lr * (mean / c1) / (sqrt(square / c2) + eps).

    options (arrays, 8)  lr, a1, a2, eps, l2, decay, c1 and c2 of each array
    """
    for *arrays, row in zip(weights, means, squares, grads, options.tolist(), strict=True):
        for_blocks(partial(_update_block, row), *arrays)


def _update_block(options: list[float], parts: list[np.ndarray], scratch: device.Scratch) -> None:
    lr, a1, a2, eps, l2, decay, c1, c2 = options
    w, mean, square, grad = parts
    g, change = (scratch.take(name, w.shape, w.dtype) for name in ("g", "change"))
    np.multiply(w, l2, out=g)
    g += grad
    np.subtract(g, mean, out=change)
    change *= a1
    mean += change
    g *= g
    g -= square
    g *= a2
    square += g
    np.sqrt(np.divide(square, c2, out=g), out=g)
    g += eps
    np.divide(mean, g, out=change)
    change *= lr / c1
    w *= 1 - lr * decay
    w -= change
