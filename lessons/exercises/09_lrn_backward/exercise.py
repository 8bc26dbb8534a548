"""Exercise 9: the backward of local response normalisation.

The forward is section 3.3 of the paper. Lesson 9 showed that a channel is held down by its neighbours. In backward this is the second term.
"""

import numpy as np


def lrn_backward(dy, x, size, alpha, beta, k):
    """How fast the result changes with x, if it changes with y as fast as dy says.

        s[c]  = k + alpha * sum of x[j]**2 over the channels j from c - size//2 to c + size//2 that there are
        y[c]  = x[c] * s[c]**-beta
        dx[c] = dy[c] * s[c]**-beta  -  2*alpha*beta * x[c] * sum of dy[j] * y[j] / s[j] over the same channels j

    dy, x (N, C, H, W) -> dx (N, C, H, W). Channels are axis 1; everything else is element by element. `size` is odd.

    >>> x, dy = np.array([1.0, 2.0]).reshape(1, 2, 1, 1), np.array([1.0, 0.0]).reshape(1, 2, 1, 1)
    >>> lrn_backward(dy, x, size=3, alpha=1.0, beta=1.0, k=1.0).ravel().round(4).tolist()
    [0.1111, -0.1111]
    """
    raise NotImplementedError
