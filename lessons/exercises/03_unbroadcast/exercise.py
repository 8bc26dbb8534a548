"""Exercise 3: a gradient summed to the shape before broadcasting.

Lesson 3 added a bias of 3 elements to 4 rows: each element was used 4 times.
"""

import numpy as np


def unbroadcast(dy, shape):
    """The gradient of an array of `shape` that was broadcast to dy's shape.

    An element of the smaller array was used several times, and the gradients of its
    uses are summed. NumPy repeats an array

        along axes that it does not have, added in front:    (3,)    becomes (4, 3)
        along its axes of size 1:                            (4, 1)  becomes (4, 3)

    dy -> an array of `shape`, which broadcasts to dy.shape

    >>> dy = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    >>> unbroadcast(dy, (3,)).tolist()
    [11.0, 22.0, 33.0]
    >>> unbroadcast(dy, (2, 1)).tolist()
    [[6.0], [60.0]]
    """
    raise NotImplementedError
