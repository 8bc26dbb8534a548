"""Exercise 8: the backward pass of max pooling.

Lesson 8 showed which pixel gets a window's gradient: the window's maximum. A pixel can
be the maximum of several windows.
"""

import numpy as np


def max_pool_backward(dy, x, kernel, stride):
    """Add each window's gradient to the pixel that is the window's maximum.

        y[n, c, i, j]  = max of x[n, c, top : top + kernel, left : left + kernel]
                         with top = i*stride, left = j*stride
        dx[n, c, h, w] = sum of dy[n, c, i, j] over all windows (i, j) whose maximum is
                         x[n, c, h, w]

    If several pixels of a window are equal to its maximum, only the first of them gets
    the gradient: row by row, from left to right in each.

    dy (N, C, OH, OW), x (N, C, H, W) -> dx (N, C, H, W)
    kernel: K, the side of the square window, in pixels

    Here 9 is the maximum of both windows:

    >>> x = np.array([[[[1.0, 9.0, 2.0], [3.0, 4.0, 5.0]]]])
    >>> max_pool_backward(np.array([[[[10.0, 100.0]]]]), x, kernel=2, stride=1).tolist()
    [[[[0.0, 110.0, 0.0], [0.0, 0.0, 0.0]]]]
    """
    raise NotImplementedError
