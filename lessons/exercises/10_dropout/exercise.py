"""Exercise 10: dropout, forward and backward.

Lesson 10 dropped half of the numbers, and found a factor of two to be taken care of.
"""

import numpy as np

import tinyalex as ta


class Dropout(ta.Function):
    """Inverted dropout: what is kept is scaled up in training, so that nothing needs to be done in testing.

        y = x * mask / (1 - p)       mask is 1 where u >= p, else 0
        y = x                        if not training

    u has a random number from 0 to 1 for each x (it is given, so that the result can be checked): p of them are below p.

    >>> dropout = Dropout()
    >>> dropout.forward(np.array([1.0, 2.0, 3.0]), p=0.5, u=np.array([0.9, 0.1, 0.6]), training=True).tolist()
    [2.0, 0.0, 6.0]
    >>> dropout.backward(np.array([10.0, 20.0, 30.0])).tolist()
    [20.0, 0.0, 60.0]
    """

    def forward(self, x, *, p, u, training):
        """x, u of the same shape -> y. What backward needs is kept in self."""
        raise NotImplementedError

    def backward(self, dy):
        """dy -> dx: through the same gates, with the same factor."""
        raise NotImplementedError
