DROPOUT = """
import numpy as np
import tinyalex as ta

class Dropout(ta.Function):
    def forward(self, x, p, u, training):
        self.training, self.p = training, p
        if not training:
            return x
        self.mask = np.where(u < p, 0.0, 1.0)
        return x * self.mask / (1 - p)

    def backward(self, dy):
        if not self.training:
            return dy
        return dy * self.mask / (1 - self.p)
"""

RIGHT = [DROPOUT]

WRONG = [
    ("backward not scaled", DROPOUT.replace(" / (1 - self.p)", "")),
    ("> for >=", DROPOUT.replace("u < p", "u <= p")),
    (
        "backward as in testing",
        DROPOUT.replace("return dy * self.mask / (1 - self.p)", "return dy"),
    ),
    ("opposite mask", DROPOUT.replace("0.0, 1.0", "1.0, 0.0")),
    (
        "scaled in testing",
        DROPOUT.replace("return x\n", "return x * (1 - p)\n").replace(
            "return dy\n", "return dy * (1 - self.p)\n"
        ),
    ),
]
