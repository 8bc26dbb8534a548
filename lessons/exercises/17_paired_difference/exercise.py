"""Exercise 17: the difference of two methods, with its t interval.

Lesson 17 compared a network with five variants of it, each with the same five seeds,
and asked whether the differences of their errors are real.
"""

import numpy as np


def paired_difference(a, b, t):
    """How much larger the errors of B are than those of A, and how certain this is.

        d[i] = b[i] - a[i]                       one difference for each seed
        D    = mean of d
        s^2  = sum of (d[i] - D)^2 / (N - 1)
        se   = s / sqrt(N)                       the standard error of D

    The t interval is D - t * se to D + t * se.

    a, b (N,), the errors of A and B with the same N seeds; t, a number: 2.776 for N = 5
    and 95 % -> (D, se, low, high), four numbers

    >>> a, b = np.array([20.0, 24.0, 22.0, 26.0]), np.array([21.0, 26.0, 25.0, 28.0])
    >>> D, se, low, high = paired_difference(a, b, t=3.182)
    >>> float(D), round(float(se), 4), round(float(low), 4), round(float(high), 4)
    (2.0, 0.4082, 0.701, 3.299)
    """
    raise NotImplementedError
