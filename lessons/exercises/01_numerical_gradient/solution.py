import numpy as np


def numerical_gradient(f, x, h=1e-5):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        nudged = x.copy()
        nudged[index] = x[index] + h
        up = f(nudged)
        nudged[index] = x[index] - h
        down = f(nudged)
        gradient[index] = (up - down) / (2 * h)
    return gradient
