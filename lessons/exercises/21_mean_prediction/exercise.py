"""Exercise 21: the top-k error of the mean prediction.

Lesson 21 showed that the paper's 15.3 % is the top-5 error of a mean: of seven
networks, with ten views of each image.
"""

import numpy as np


def mean_prediction_error(logits, labels, k):
    """The fraction of images whose label is not among the k most probable classes.

        p[m, v, n, c] = exp(logits[m, v, n, c]) / sum over all classes j of
                        exp(logits[m, v, n, j])
        mean[n, c]    = mean of p[m, v, n, c] over the networks m and the views v

    An image n is right if labels[n] is one of the k classes with the largest mean[n].

    logits (M, V, N, K): M networks, V views, N images, K classes; labels (N,)
    -> a number

    The result must also be right for logits of 1000 and -1000 (lesson 11).

    >>> logits = np.array([[[[2.0, 0.0, 1.0]]], [[[0.0, 0.5, 1.0]]]])
    >>> labels = np.array([2])
    >>> float(mean_prediction_error(logits, labels, k=1))
    1.0
    >>> float(mean_prediction_error(logits, labels, k=2))
    0.0
    """
    raise NotImplementedError
