"""Exercise 9: the backward pass of local response normalization.

Its forward pass is in section 3.3 of the paper. Lesson 9 showed that large neighbouring
channels reduce a channel's output. Here the formula of dx is not given: derive it.
"""

import numpy as np


def lrn_backward(dy, x, size, alpha, beta, k):
    """The gradient of x, from the gradient of y.

        s[c] = k + alpha * sum of x[j]**2
        y[c] = x[c] * s[c]**-beta

    The sum is over the channels j from c - size//2 to c + size//2 that exist; `size` is
    odd. Channels are axis 1; other axes are independent.

    x[c] occurs in its own y[c], and in s[j] of each channel j whose window contains c.
    Lesson 9 has the derivative of each y[j] with respect to x[c]; dx[c] is the sum over
    all j of dy[j] times this derivative.

    dy, x (N, C, H, W) -> dx (N, C, H, W)

    >>> x = np.array([1.0, 2.0]).reshape(1, 2, 1, 1)
    >>> dy = np.array([1.0, 0.0]).reshape(1, 2, 1, 1)
    >>> dx = lrn_backward(dy, x, size=3, alpha=1.0, beta=1.0, k=1.0)
    >>> dx.ravel().round(4).tolist()
    [0.1111, -0.1111]
    """
    raise NotImplementedError
