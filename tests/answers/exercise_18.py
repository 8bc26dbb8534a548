LOOP = """
import numpy as np

def winograd(x, w):
    n = len(x)
    u = [w[0], (w[0] + w[1] + w[2]) / 2, (w[0] - w[1] + w[2]) / 2, w[2]]
    m, y = [], np.zeros(n - 2)
    for i in range(0, n - 3, 2):
        a, b, c, d = x[i : i + 4]
        products = [(a - c) * u[0], (b + c) * u[1], (c - b) * u[2], (b - d) * u[3]]
        m.append(products)
        y[i] = products[0] + products[1] + products[2]
        y[i + 1] = products[1] - products[2] - products[3]
    return np.array(m), y
"""

MATRICES = """
import numpy as np

BT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], float)
G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
AT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], float)

def winograd(x, w):
    tiles = np.array([x[i : i + 4] for i in range(0, len(x) - 2, 2)])
    m = (tiles @ BT.T) * (G @ w)
    return m, (m @ AT.T).reshape(-1)
"""

RIGHT = [LOOP, MATRICES]

WRONG = [
    ("sums of weights not halved", LOOP.replace(" / 2", "")),
    ("m3 with the opposite sign", LOOP.replace("(c - b)", "(b - c)")),
    ("m4 with the opposite sign", LOOP.replace("(b - d)", "(d - b)")),
    ("m1 with the opposite sign", LOOP.replace("(a - c)", "(c - a)")),
    (
        "sums of weights exchanged",
        LOOP.replace("(b + c) * u[1]", "(b + c) * u[2]").replace(
            "(c - b) * u[2]", "(c - b) * u[1]"
        ),
    ),
    ("weights reversed", MATRICES.replace("G @ w)", "G @ w[::-1])")),
    ("the last weight subtracted", LOOP.replace("- w[1] + w[2]", "- w[1] - w[2]")),
    (
        "second output with all plus",
        MATRICES.replace("[0, 1, -1, -1]], float)", "[0, 1, 1, 1]], float)"),
    ),
    ("second output with plus m4", MATRICES.replace("[0, 1, -1, -1]", "[0, 1, -1, 1]")),
    ("tiles without overlap", MATRICES.replace("len(x) - 2, 2", "len(x) - 3, 4")),
    ("a tile at each pixel", MATRICES.replace("len(x) - 2, 2", "len(x) - 3")),
    ("outputs not interleaved", MATRICES.replace("(m @ AT.T)", "(AT @ m.T)")),
    ("products as rows", MATRICES.replace("return m,", "return m.T,")),
    ("outputs by tile", MATRICES.replace(".reshape(-1)", "")),
]
