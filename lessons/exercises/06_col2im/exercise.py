"""Exercise 6: columns summed back into images (col2im).

Lesson 6 asked what the backward pass of a convolution sums. Here you compute the sum.
"""

import numpy as np


def col2im(col, shape, kernel, stride, padding):
    """The backward pass of im2col: each pixel is the sum of its copies in `col`.

        x[n, c, h, w] = sum of col[(c, u, v), (n, i, j)] over all u, v, i, j with
                        h = i*stride + u - padding
                        w = j*stride + v - padding

    col     (C*kernel*kernel, N*OH*OW), as im2col returns it: rows (c, u, v),
            columns (n, i, j)
    shape   (N, C, H, W), that of the result
    kernel  K, the side of the square window, in pixels

    Elements that were copied from the border of zeros are omitted.

    >>> col2im(np.ones((4, 4)), (1, 1, 3, 3), kernel=2, stride=1, padding=0).tolist()
    [[[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]]
    """
    raise NotImplementedError
