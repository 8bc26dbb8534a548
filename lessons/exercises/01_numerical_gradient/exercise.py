"""Exercise 1: the gradient of any function, by finite differences.

Lesson 1 changed one weight. Here each element of an array is changed.
"""

import numpy as np


def numerical_gradient(f, x, h=1e-5):
    """The derivatives of f(x) with respect to x's elements, by central differences.

        gradient[i] = (f(x with x[i] + h) - f(x with x[i] - h)) / (2*h)

    All other elements keep their values.

    f         a function of an array that returns a scalar
    x         an array of any shape; it must not be modified
    gradient  an array of x's shape

    >>> x = np.array([1.0, -3.0])
    >>> numerical_gradient(lambda x: (x**2).sum(), x).round(6).tolist()
    [2.0, -6.0]
    """
    raise NotImplementedError
