"""Exercise 1: the gradient of any function, by nudging.

Lesson 1 nudged one weight. Here every element of an array has its turn.
"""

import numpy as np


def numerical_gradient(f, x, h=1e-5):
    """How fast f(x) changes with each element of x, by central differences.

        gradient[i] = (f(x with x[i] + h) - f(x with x[i] - h)) / (2*h)      all other elements held still

    f         a function of an array that returns one number
    x         an array of any shape; it is as before when the function returns
    gradient  an array of x's shape

    >>> numerical_gradient(lambda x: (x**2).sum(), np.array([1.0, -3.0])).round(6).tolist()
    [2.0, -6.0]
    """
    raise NotImplementedError
