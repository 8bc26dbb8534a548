"""Exercise 19: the memory traffic of a warp.

Lesson 19 counted the sectors of a warp whose threads read with a stride. Here the
threads may read any elements, and some may have been stopped by the bounds check.
"""

import numpy as np


def warp_traffic(index, active, item_bytes):
    """How many sectors a warp touches, and which part of their bytes it uses.

    index       32 integers: the element that each thread reads; the array begins at the
                start of a sector
    active      32 bools: False for a thread that the bounds check has stopped, and
                which reads nothing
    item_bytes  the bytes of an element: 2, 4 or 8

    Returns (sectors, used):

        sectors  the number of sectors of 32 bytes from which an element is read
        used     the bytes that are read, divided by all bytes of these sectors; an
                 element that several threads read counts once

    Both are 0 if no thread is active.

    >>> everyone = np.ones(32, bool)
    >>> warp_traffic(np.arange(32), everyone, item_bytes=4)
    (4, 1.0)
    >>> warp_traffic(8 * np.arange(32), everyone, item_bytes=4)
    (32, 0.125)
    """
    raise NotImplementedError
