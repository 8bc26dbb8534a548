"""Exercise 14: ten views of one image.

Section 4.1 of the paper averages the network's predictions on ten views.
"""

import numpy as np


def ten_views(image, size):
    """Five crops of size x size, and their mirror images.

        0  top left       1  top right       2  middle
        3  bottom left    4  bottom right
        5 to 9            the same five, each flipped horizontally

    The middle crop starts at row (H - size) // 2 and column (W - size) // 2.

    image (C, H, W) -> views (10, C, size, size)

    >>> views = ten_views(np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]), size=2)
    >>> views[1].tolist(), views[6].tolist()
    ([[[2.0, 3.0], [5.0, 6.0]]], [[[3.0, 2.0], [6.0, 5.0]]])
    """
    raise NotImplementedError
