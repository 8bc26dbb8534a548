BY_MASK = """
import numpy as np
import tinyalex as ta

class PReLU(ta.Function):
    def forward(self, x, a):
        self.x, self.a = x, a
        return np.where(x > 0, x, a[:, None, None] * x)

    def backward(self, dy):
        dx, da = np.empty_like(self.x), np.zeros_like(self.a)
        for n, c, i, j in np.ndindex(dy.shape):
            if self.x[n, c, i, j] > 0:
                dx[n, c, i, j] = dy[n, c, i, j]
            else:
                dx[n, c, i, j] = dy[n, c, i, j] * self.a[c]
                da[c] += dy[n, c, i, j] * self.x[n, c, i, j]
        return dx, da
"""

RIGHT = [BY_MASK]

WRONG = [
    ("mean", BY_MASK.replace("return dx, da", "return dx, da / dy[:, 0].size")),
    ("0 counted as positive", BY_MASK.replace("self.x[n, c, i, j] > 0", "self.x[n, c, i, j] >= 0")),
    ("one factor for all channels", BY_MASK.replace("self.a[c]", "self.a[0]")),
    ("ReLU", BY_MASK.replace(" * self.a[c]", " * 0")),
]
