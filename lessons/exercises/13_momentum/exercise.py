"""Exercise 13: one step of SGD with momentum and weight decay.

The rule is that of section 5 of the paper. Lesson 13 computed three steps.
"""

import numpy as np


def momentum_step(w, v, g, lr, momentum=0.9, decay=0.0005):
    """The weights and their velocity after one step.

        v = momentum * v  -  decay * lr * w  -  lr * g
        w = w + v                                          with the new v

    w, v, g  weights, velocity and gradient, of the same shape; they are not modified
    returns (w, v), two new arrays

    >>> w, v, g = np.array([1.0]), np.array([0.5]), np.array([2.0])
    >>> w, v = momentum_step(w, v, g, lr=0.1, momentum=0.9, decay=0.0)
    >>> w.round(6).tolist(), v.round(6).tolist()
    ([1.25], [0.25])
    """
    raise NotImplementedError
