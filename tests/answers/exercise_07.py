RELU = """
import numpy as np
import tinyalex as ta

class ReLU(ta.Function):
    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        dx = dy.copy()
        dx[self.x <= 0] = 0
        return dx
"""

RIGHT = [RELU]

WRONG = [
    ("masked by dy", RELU.replace("self.x <=", "dy <=")),
    ("derivative 1 at 0", RELU.replace("self.x <=", "self.x <")),
]
