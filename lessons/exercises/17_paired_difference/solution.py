import numpy as np


def paired_difference(a, b, t):
    d = b - a
    D = d.mean()
    s = d.std(ddof=1)
    se = s / np.sqrt(len(d))
    return D, se, D - t * se, D + t * se
