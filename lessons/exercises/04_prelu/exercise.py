"""Exercise 4: the backward pass of a layer that tinyalex does not have.

Lesson 4 let gradcheck find eight mistakes. Here it checks your code.
"""

import numpy as np

import tinyalex as ta


class PReLU(ta.Function):
    """Parametric ReLU: negative values are scaled by a learned factor per channel.

        y[n, c, i, j] = x[n, c, i, j]             where x > 0
                        a[c] * x[n, c, i, j]      elsewhere

    x, y (N, C, H, W), a (C,)
    """

    def forward(self, x, a):
        self.x, self.a = x, a
        return np.where(x > 0, x, a[:, None, None] * x)

    def backward(self, dy):
        """dy (N, C, H, W) -> (dx, da): the gradients of x (N, C, H, W) and of a (C,).

        dy is the gradient of y. Derive both from the formula of y: with the chain rule,
        and with the sum over all uses of a value.

        >>> layer = PReLU()
        >>> y = layer.forward(np.array([[[[2.0, -3.0]]]]), np.array([0.5]))
        >>> dx, da = layer.backward(np.array([[[[1.0, 10.0]]]]))
        >>> dx.tolist(), da.tolist()
        ([[[[1.0, 5.0]]]], [-30.0])
        """
        raise NotImplementedError
