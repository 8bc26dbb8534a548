"""The parameter update of Adam in NumPy."""

import numpy as np

from tinyalex import device
from tinyalex.kernels.cpu.sgd import for_blocks


def adam_update(
    w: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    grad: np.ndarray,
    lr: float,
    a1: float,
    a2: float,
    eps: float,
    l2: float,
    decay: float,
    c1: float,
    c2: float,
) -> None:
    """With g = grad + l2*w: mean += a1*(g - mean), square += a2*(g*g - square), then
    w -= lr*decay*w + lr * (mean / c1) / (sqrt(square / c2) + eps)."""

    def block(parts: list[np.ndarray], scratch: device.Scratch) -> None:
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

    for_blocks(block, w, mean, square, grad)
