import numpy as np


def lrn_backward(dy, x, size, alpha, beta, k):
    s = k + alpha * sum_nearby(x**2, size)
    y = x * s**-beta
    return dy * s**-beta - 2 * alpha * beta * x * sum_nearby(dy * y / s, size)


def sum_nearby(a, size):
    """For each channel, the sum of a over the channels in its window."""
    channels, half = a.shape[1], size // 2
    total = np.zeros_like(a)
    for c in range(channels):
        total[:, c] = a[:, max(0, c - half) : c + half + 1].sum(axis=1)
    return total
