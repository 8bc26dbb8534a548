"""Exercise 7: the backward pass of ReLU.

Lesson 7 compared how much of a gradient sigmoid, tanh and ReLU pass on.
"""

import numpy as np

import tinyalex as ta


class ReLU(ta.Function):
    """y = x where x > 0, else 0."""

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        """dy, of x's shape -> dx: dy times the derivative of ReLU.

        The derivative is 1 where x > 0, else 0 (at x = 0 too).

        >>> relu = ReLU()
        >>> y = relu.forward(np.array([-2.0, 0.0, 3.0]))
        >>> relu.backward(np.array([10.0, 20.0, -30.0])).tolist()
        [0.0, 0.0, -30.0]
        """
        raise NotImplementedError
