"""Exercise 5: the patches of images as columns (im2col).

Lesson 5 turned a convolution into a matrix multiplication. This is the first step.
"""

import numpy as np


def im2col(x, kernel, stride, padding):
    """Copy the pixels in a square window, at each of its positions, to a column.

        col[(c, u, v), (n, i, j)] = x[n, c, h, w], or 0 outside of the image
                                h = i*stride + u - padding
                                w = j*stride + v - padding

        OH = floor((H + 2*padding - kernel) / stride) + 1    window positions from top
                                                             to bottom; OW likewise

    x       (N, C, H, W)
    kernel  K, the side of the square window, in pixels
    col     (C*kernel*kernel, N*OH*OW)

    The rows of col are the elements of the window: channel by channel, and within a
    channel row by row. Its columns are the positions: image by image, and within an
    image row by row.

    >>> x = np.array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    >>> im2col(x, kernel=2, stride=1, padding=0)
    array([[1., 2., 4., 5.],
           [2., 3., 5., 6.],
           [4., 5., 7., 8.],
           [5., 6., 8., 9.]])
    """
    raise NotImplementedError
