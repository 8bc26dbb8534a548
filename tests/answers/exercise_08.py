OFFSET_BY_OFFSET = """
import numpy as np

def max_pool_backward(dy, x, kernel, stride):
    N, C, OH, OW = dy.shape
    dx = np.zeros(x.shape)
    taken = np.zeros(dy.shape, bool)
    y = np.full(dy.shape, -np.inf)
    views = []
    for u in range(kernel):
        for v in range(kernel):
            views.append((..., slice(u, u + (OH - 1) * stride + 1, stride), slice(v, v + (OW - 1) * stride + 1, stride)))
            y = np.maximum(y, x[views[-1]])
    for at in views:
        is_maximum = (x[at] == y) & ~taken
        dx[at] += is_maximum * dy
        taken |= is_maximum
    return dx
"""

RUNNING_MAXIMUM = """
import numpy as np

def max_pool_backward(dy, x, kernel, stride):
    N, C, OH, OW = dy.shape
    dx = np.zeros(x.shape)
    a = b = 0
    for n in range(N):
        for c in range(C):
            for i in range(OH):
                for j in range(OW):
                    best = -np.inf
                    for u in range(kernel):
                        for v in range(kernel):
                            if x[n, c, i * stride + u, j * stride + v] > best:
                                best, a, b = x[n, c, i * stride + u, j * stride + v], u, v
                    dx[n, c, i * stride + a, j * stride + b] += dy[n, c, i, j]
    return dx
"""

RESET = "best = -np.inf\n"

BY_ARGMAX = """
import numpy as np

def max_pool_backward(dy, x, kernel, stride):
    dx = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(dy.shape):
        h, w = i * stride, j * stride
        window = x[n, c, h : h + kernel, w : w + kernel]
        k = window.argmax()
        dx[n, c, h + k // kernel, w + k % kernel] += dy[n, c, i, j]
    return dx
"""

UNRAVELLED = (
    BY_ARGMAX.replace(
        "k = window.argmax()", "u, v = np.unravel_index(window.argmax(), window.shape)"
    )
    .replace("k // kernel", "u")
    .replace("k % kernel", "v")
)

RIGHT = [
    OFFSET_BY_OFFSET,
    RUNNING_MAXIMUM,
    BY_ARGMAX,
]

WRONG = [
    *(
        (
            "running maximum started at 0",
            RUNNING_MAXIMUM.replace(RESET, f"best, a, b = {start}, 0, 0\n"),
        )
        for start in ("0", "-1")
    ),
    (
        "running maximum not reset",
        RUNNING_MAXIMUM.replace(RESET, "pass\n").replace("a = b = 0\n", "a = b = 0\n    " + RESET),
    ),
    ("last of equal pixels", RUNNING_MAXIMUM.replace("> best", ">= best")),
    ("minimum", RUNNING_MAXIMUM.replace("> best", "< best").replace("-np.inf", "np.inf")),
    ("stride ignored", RUNNING_MAXIMUM.replace("i * stride", "i").replace("j * stride", "j")),
    ("maximum for dy", RUNNING_MAXIMUM.replace("+= dy[n, c, i, j]", "+= best")),
    ("1 for dy", RUNNING_MAXIMUM.replace("+= dy[n, c, i, j]", "+= 1")),
    ("sum started at x", RUNNING_MAXIMUM.replace("np.zeros(x.shape)", "np.array(x)")),
    ("dy's shape for dx", RUNNING_MAXIMUM.replace("np.zeros(x.shape)", "np.zeros(dy.shape)")),
    ("OH for OW", RUNNING_MAXIMUM.replace("range(OW)", "range(OH)")),
    (
        "last row and column of windows left out",
        RUNNING_MAXIMUM.replace("(OH)", "(OH - 1)").replace("(OW)", "(OW - 1)"),
    ),
    ("first image and channel only", RUNNING_MAXIMUM.replace("(N)", "(1)").replace("(C)", "(1)")),
    (
        "index divided by the stride",
        BY_ARGMAX.replace("k // kernel", "k // stride").replace("k % kernel", "k % stride"),
    ),
    ("kernel for stride", UNRAVELLED.replace("i * stride, j * stride", "i * kernel, j * kernel")),
    (
        "flat index for row and column",
        BY_ARGMAX.replace("k // kernel", "k").replace("k % kernel", "k"),
    ),
    ("dy's row and column exchanged", BY_ARGMAX.replace("dy[n, c, i, j]", "dy[n, c, j, i]")),
    ("added to all maxima", OFFSET_BY_OFFSET.replace("taken |= is_maximum", "pass")),
    (
        "= for +=",
        """
import numpy as np

def max_pool_backward(dy, x, kernel, stride):
    dx = np.zeros_like(x)
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            for i in range(dy.shape[2]):
                for j in range(dy.shape[3]):
                    best = (i * stride, j * stride)
                    for h in range(i * stride, i * stride + kernel):
                        for w in range(j * stride, j * stride + kernel):
                            if x[n, c, h, w] > x[n, c, best[0], best[1]]:
                                best = h, w
                    dx[n, c, best[0], best[1]] = dy[n, c, i, j]
    return dx
""",
    ),
]
