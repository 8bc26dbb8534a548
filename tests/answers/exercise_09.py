BAND = """
import numpy as np

def lrn_backward(dy, x, size, alpha, beta, k):
    C = x.shape[1]
    near = abs(np.arange(C)[:, None] - np.arange(C)) <= size // 2
    s = k + alpha * np.einsum("cj,njhw->nchw", near * 1.0, x * x)
    first = dy / s**beta
    second = np.einsum("cj,njhw->nchw", near * 1.0, dy * x / s ** (beta + 1))
    return first - 2 * alpha * beta * x * second
"""

RIGHT = [BAND]

WRONG = [
    ("no second term", BAND.replace("first - 2 * alpha * beta * x * second", "first")),
    ("size on each side", BAND.replace("size // 2", "size")),
    ("x for y", BAND.replace("s ** (beta + 1)", "s")),
    ("2 missing", BAND.replace("- 2 *", "-")),
    ("plus for minus", BAND.replace("first -", "first +")),
]
