"""Exercise 10: dropout, forward and backward.

Lesson 10 dropped half of the values, and compared two ways to scale the others.
"""

import numpy as np

import tinyalex as ta


class Dropout(ta.Function):
    """Inverted dropout: values are scaled in training, so that testing is y = x.

        y = x * mask / (1 - p)       mask is 1 where u >= p, else 0
        y = x                        if not training

    u has a random number from 0 to 1 for each element of x; it is an argument so that
    the result can be checked. On average a fraction p of its elements is below p.

    >>> dropout, u = Dropout(), np.array([0.9, 0.1, 0.6])
    >>> dropout.forward(np.array([1.0, 2.0, 3.0]), p=0.5, u=u, training=True).tolist()
    [2.0, 0.0, 6.0]
    >>> dropout.backward(np.array([10.0, 20.0, 30.0])).tolist()
    [20.0, 0.0, 60.0]
    """

    def forward(self, x, *, p, u, training):
        """x, u of the same shape -> y. Store in self what backward needs."""
        raise NotImplementedError

    def backward(self, dy):
        """dy -> dx, with the same mask and the same factor."""
        raise NotImplementedError
