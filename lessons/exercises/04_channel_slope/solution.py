import numpy as np

import tinyalex as ta


class ChannelSlope(ta.Function):
    def forward(self, x, a):
        self.x, self.a = x, a
        return np.where(x > 0, x, a[:, None, None] * x)

    def backward(self, dy):
        positive = self.x > 0
        slope = np.where(positive, 1.0, self.a[:, None, None])
        dx = dy * slope
        da = (dy * np.where(positive, 0.0, self.x)).sum(axis=(0, 2, 3))
        return dx, da
