"""Exercise 18: Winograd's F(2, 3), two outputs with four multiplications.

Lesson 18 derived it for four pixels. Here it is applied to a row of any length.
"""

import numpy as np


def winograd(x, w):
    """A filter of three weights applied to a row, two outputs at a time.

        y[i] = x[i]*w[0] + x[i+1]*w[1] + x[i+2]*w[2]

    x  a row of n pixels, n even and at least 4; no padding
    w  three weights

    The row is divided into tiles of four pixels, which overlap by two: a tile begins
    at pixels 0, 2, 4, ... Each gives two outputs, by four products: the m_1, m_2, m_3
    and m_4 of lesson 18. The sums of weights are computed once.

    returns (m, y)

    m  (tiles, 4), the products of each tile
    y  (n - 2,), the outputs, computed from m alone

    >>> m, y = winograd(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 0.0, 2.0]))
    >>> m.tolist(), y.tolist()
    ([[-2.0, 7.5, 1.5, -4.0]], [7.0, 10.0])
    """
    raise NotImplementedError
