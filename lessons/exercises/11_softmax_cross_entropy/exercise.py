"""Exercise 11: softmax and cross-entropy in one, with their gradient.

Lesson 11 showed why they belong together: the logarithm of a probability that is too small for a float is minus infinity.
"""

import numpy as np


def softmax_cross_entropy(logits, target):
    """The mean over a batch of -log(probability of the right class), and how fast it changes with each logit.

        p[n, k]       = exp(logits[n, k]) / sum over all classes j of exp(logits[n, j])
        loss          = mean over n of -log p[n, target[n]]
        dlogits[n, k] = (p[n, k] - (1 if k is target[n] else 0)) / N

    logits (N, K); target (N,), the number of the right class -> (loss, dlogits): a number, and an array (N, K)
    It must be right for logits of 1000 and -1000 as well. A row minus its largest number has the same probabilities.

    >>> loss, dlogits = softmax_cross_entropy(np.array([[1000.0, 1000.0]]), np.array([0]))
    >>> round(float(loss), 4), dlogits.tolist()
    (0.6931, [[-0.5, 0.5]])
    """
    raise NotImplementedError
