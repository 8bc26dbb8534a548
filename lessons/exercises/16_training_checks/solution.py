import numpy as np


def update_ratio(w, g, lr, decay=0.0):
    step = lr * (g + decay * w)
    return float(np.sqrt((step**2).sum()) / np.sqrt((w**2).sum()))


def dead_units(y):
    axes = (0, *range(2, y.ndim))
    return float((y == 0).all(axis=axes).mean())
