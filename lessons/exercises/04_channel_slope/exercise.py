"""Exercise 4: backward of a layer that tinyalex does not have.

Lesson 4 let gradcheck find eight mistakes. Here it looks at yours.
"""

import numpy as np

import tinyalex as ta


class ChannelSlope(ta.Function):
    """A ReLU that lets a part of the negative numbers through; how much is learnt, channel by channel.

        y[n, c, i, j] = x[n, c, i, j]             where x > 0
                        a[c] * x[n, c, i, j]      elsewhere

    x, y (N, C, H, W), a (C,)
    """

    def forward(self, x, a):
        self.x, self.a = x, a
        return np.where(x > 0, x, a[:, None, None] * x)

    def backward(self, dy):
        """dy (N, C, H, W) -> (dx, da): how fast the result changes with x (N, C, H, W), and with a (C,).

        dy says how fast it changes with each y. So dx is dy times the slope of y along x, and da[c] is a sum: of dy times the slope of
        y along a[c], over all places that a[c] is used in.

        >>> layer = ChannelSlope()
        >>> y = layer.forward(np.array([[[[2.0, -3.0]]]]), np.array([0.5]))
        >>> dx, da = layer.backward(np.array([[[[1.0, 10.0]]]]))
        >>> dx.tolist(), da.tolist()
        ([[[[1.0, 5.0]]]], [-30.0])
        """
        raise NotImplementedError
