"""Exercise 6: columns back to where their numbers came from (col2im).

Lesson 6 asked what the backward of a convolution adds up. This adds it up.
"""

import numpy as np


def col2im(col, shape, kernel, stride, padding):
    """The backward of exercise 5's im2col: each pixel gets the sum of all places in `col` that im2col copied it to.

        x[n, c, h, w] = sum of col[(c, u, v), (n, i, j)] over all u, v, i, j with i*stride + u - padding = h, j*stride + v - padding = w

    col    (C*kernel*kernel, N*OH*OW), in im2col's order: rows (c, u, v), columns (n, i, j)
    shape  (N, C, H, W), that of the result
    What belongs to the border of zeros is thrown away.

    >>> col2im(np.ones((4, 4)), (1, 1, 3, 3), kernel=2, stride=1, padding=0).tolist()
    [[[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]]
    """
    raise NotImplementedError
