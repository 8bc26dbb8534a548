"""Exercise 16: the update to weight ratio, and the fraction of dead units.

Lesson 16 measured both, to find faults in a training.
"""

import numpy as np


def update_ratio(w, g, lr, decay=0.0):
    """The size of one step of SGD, relative to the weights.

        step  = -lr * (g + decay * w)
        ratio = norm(step) / norm(w)

    w, g  weights and their gradient, arrays of the same shape and any number of axes
    norm  the square root of the sum of all squares

    >>> update_ratio(np.array([3.0, 4.0]), np.array([0.0, 10.0]), lr=0.1)
    0.2
    """
    raise NotImplementedError


def dead_units(y):
    """The fraction of channels that are 0 everywhere.

    y  the output of a ReLU, (N, C, H, W) of a convolution or (N, C) of a linear layer

    A channel is dead if it is 0 for all images, and at all positions.

    >>> dead_units(np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 5.0]]))
    0.5
    """
    raise NotImplementedError
