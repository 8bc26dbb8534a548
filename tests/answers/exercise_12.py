PRODUCT = """
import numpy as np

def he_sigma(shape):
    if len(shape) == 2:
        fan_in = shape[1]
    else:
        fan_in = shape[1] * shape[2] * shape[3]
    return np.sqrt(2.0) / np.sqrt(fan_in)
"""

RIGHT = [PRODUCT]

WRONG = [
    ("window ignored", PRODUCT.replace(" * shape[2] * shape[3]", "")),
    ("fan-out", PRODUCT.replace("shape[1]", "shape[0]")),
]
