import numpy as np

import tinyalex as ta


class ReLU(ta.Function):
    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        return dy * (self.x > 0)
