"""Exercise 5: the patches of images as columns (im2col).

Lesson 5 turned a convolution into a matrix product. This is the turn.
"""

import numpy as np


def im2col(x, kernel, stride, padding):
    """Copy what a square window sees at each of its positions into a column.

        col[(c, u, v), (n, i, j)] = x[n, c, i*stride + u - padding, j*stride + v - padding],   0 outside of the image

        OH = floor((H + 2*padding - kernel) / stride) + 1,   OW likewise: how many positions there are

    x    (N, C, H, W)
    col  (C*kernel*kernel, N*OH*OW): a row for each number in the window, channel by channel, in each the window's rows from the
         top, in each row from the left; a column for each position, image by image, in each row by row

    >>> x = np.array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    >>> im2col(x, kernel=2, stride=1, padding=0).tolist()
    [[1.0, 2.0, 4.0, 5.0], [2.0, 3.0, 5.0, 6.0], [4.0, 5.0, 7.0, 8.0], [5.0, 6.0, 8.0, 9.0]]
    """
    raise NotImplementedError
