"""Exercise 11: the softmax cross-entropy loss and its gradient.

Lesson 11 showed why softmax and cross-entropy are one function: the probability can
underflow to 0, whose logarithm is minus infinity. It derived the gradient of the loss
of one image. Here the loss is that of a batch: derive its gradient yourself.
"""

import numpy as np


def softmax_cross_entropy(logits, target):
    """The mean of -log(probability of the target class), and its gradient.

        p[n, k] = exp(logits[n, k]) / sum over all classes j of exp(logits[n, j])
        loss    = mean over n of -log p[n, target[n]]

    logits (N, K), target (N,), the indices of the right classes -> (loss, dlogits): a
    number, and its derivatives with respect to the logits, an array (N, K)

    The result must also be right for logits of 1000 and -1000. Subtracting the maximum
    of a row from the row does not change its probabilities.

    >>> logits = np.array([[1000.0, 1000.0]])
    >>> loss, dlogits = softmax_cross_entropy(logits, np.array([0]))
    >>> round(float(loss), 4), dlogits.tolist()
    (0.6931, [[-0.5, 0.5]])
    """
    raise NotImplementedError
