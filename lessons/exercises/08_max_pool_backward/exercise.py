"""Exercise 8: the backward of max-pooling.

Lesson 8 asked who gets the gradient: the pixel that won, once for each window in which it won.
"""

import numpy as np


def max_pool_backward(dy, x, kernel, stride):
    """Send each window's gradient to the pixel that was largest in it.

        y[n, c, i, j]  = max of the window x[n, c, i*stride : i*stride + kernel, j*stride : j*stride + kernel]
        dx[n, c, h, w] = sum of dy[n, c, i, j] over all windows (i, j) whose largest number is x[n, c, h, w]

    If several pixels of a window are as large, the first of them gets it all: row by row, in each from the left.

    dy (N, C, OH, OW), x (N, C, H, W) -> dx (N, C, H, W)

    The 9 wins in both windows:

    >>> x = np.array([[[[1.0, 9.0, 2.0], [3.0, 4.0, 5.0]]]])
    >>> max_pool_backward(np.array([[[[10.0, 100.0]]]]), x, kernel=2, stride=1).tolist()
    [[[[0.0, 110.0, 0.0], [0.0, 0.0, 0.0]]]]
    """
    raise NotImplementedError
