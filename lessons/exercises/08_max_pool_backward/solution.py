import numpy as np


def max_pool_backward(dy, x, kernel, stride):
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(dy.shape):
        top, left = i * stride, j * stride
        window = x[n, c, top : top + kernel, left : left + kernel]
        u, v = divmod(window.argmax(), kernel)
        dx[n, c, top + u, left + v] += dy[n, c, i, j]
    return dx
