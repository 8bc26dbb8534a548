"""Exercise 3: a gradient, summed back to the shape that was broadcast.

Lesson 3 added a bias of 3 numbers to 4 rows, and each number of the bias took part four times.
"""

import numpy as np


def unbroadcast(dy, shape):
    """The gradient of an array of `shape` that was broadcast to dy's shape.

    Each number of the small array was used in several places, and what its uses send back adds up. NumPy repeats an array
        along axes that it does not have, which are put in front:    (3,)    becomes (4, 3)
        along its axes of size 1:                                    (4, 1)  becomes (4, 3)

    dy -> an array of `shape`, which broadcasts to dy.shape

    >>> dy = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    >>> unbroadcast(dy, (3,)).tolist()
    [11.0, 22.0, 33.0]
    >>> unbroadcast(dy, (2, 1)).tolist()
    [[6.0], [60.0]]
    """
    raise NotImplementedError
