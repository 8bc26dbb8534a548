IN_PLACE = """
import numpy as np

def numerical_gradient(f, x, h=1e-5):
    flat = x.reshape(-1)
    gradient = []
    for i in range(flat.size):
        old = flat[i]
        flat[i] = old + h
        up = f(x)
        flat[i] = old - h
        down = f(x)
        flat[i] = old
        gradient.append((up - down) / h / 2)
    return np.array(gradient).reshape(x.shape)
"""

SECOND_NAME = """
import numpy as np

def numerical_gradient(f, x, h=1e-5):
    out = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        a = x
        a[index] = x[index] + h
        up = f(a)
        a[index] = x[index] - h
        out[index] = (up - f(a)) / (2 * h)
    return out
"""

ROWS = """
import numpy as np

def numerical_gradient(f, x, h=1e-5):
    out = np.zeros_like(x)
    for i in range(len(x)):
        old = x[i]
        x[i] = old + h
        up = f(x)
        x[i] = old - h
        out[i] = (up - f(x)) / (2 * h)
        x[i] = old
    return out
"""

TWO_AXES = """
import numpy as np

def numerical_gradient(f, x, h=1e-5):
    out = np.zeros_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            up, down = x.copy(), x.copy()
            up[i, j] += h
            down[i, j] -= h
            out[i, j] = (f(up) - f(down)) / (2 * h)
    return out
"""

TWO_COPIES = (
    TWO_AXES.replace("for j in range(x.shape[1])", "if True")
    .replace("i, j", "i")
    .replace("range(x.shape[0])", "np.ndindex(x.shape)")
)

COPIES = "    up, down = x.copy(), x.copy()\n"

BY_LENGTH = """
import numpy as np

def numerical_gradient(f, x, h=1e-5):
    gradient = []
    for i in range(len(x)):
        step = np.zeros_like(x)
        step[i] = h
        gradient.append((f(x + step) - f(x - step)) / (2 * h))
    return np.array(gradient)
"""

RIGHT = [
    IN_PLACE,
    SECOND_NAME.replace("a = x\n", "a = x.copy()\n"),
    TWO_COPIES,
]

WRONG = [
    ("one-sided difference", IN_PLACE.replace("old - h", "old").replace("/ h / 2", "/ h")),
    ("divided by h", IN_PLACE.replace("/ h / 2", "/ h")),
    ("divided by 2, multiplied by h", IN_PLACE.replace("/ h / 2", "/ 2 * h")),
    ("only increased, divided by 2*h", IN_PLACE.replace("old - h", "old")),
    ("earlier perturbations kept in x", IN_PLACE.replace("        flat[i] = old\n", "")),
    ("f called twice with the same values", IN_PLACE.replace("x.reshape(-1)", "x.flatten()")),
    ("flat gradient", IN_PLACE.replace(".reshape(x.shape)", "")),
    (
        "relative step",
        IN_PLACE.replace("old + h", "old * (1 + h)").replace("old - h", "old * (1 - h)"),
    ),
    ("f of a flat array", IN_PLACE.replace("f(x)", "f(flat)")),
    (
        "h ignored",
        IN_PLACE.replace("+ h", "+ 1e-5").replace("- h", "- 1e-5").replace("/ h / 2", "/ 2e-5"),
    ),
    ("only increased, divided by 2*h", SECOND_NAME),
    (
        "return in the loop",
        SECOND_NAME.replace("a = x\n", "a = x.copy()\n").replace("    return", "        return"),
    ),
    ("rows for elements, saved as a view", ROWS),
    (
        "all elements at once, one number returned",
        "def numerical_gradient(f, x, h=1e-5):\n    return (f(x + h) - f(x - h)) / h / 2\n",
    ),
    (
        "f of one element",
        "def numerical_gradient(f, x, h=1e-5):\n    return [(f(v + h) - f(v - h)) / h / 2 for v in x]\n",
    ),
    ("two axes only", TWO_AXES),
    ("f called twice with the same values", TWO_COPIES.replace("x.copy()", "x[:]")),
    (
        "copies made before the loop",
        TWO_COPIES.replace(" " * 8 + COPIES, "").replace("    for", COPIES + "    for"),
    ),
    ("one value per row", BY_LENGTH),
    ("x.size as the number of rows", BY_LENGTH.replace("len(x)", "x.size")),
]
