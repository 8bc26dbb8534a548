"""Answers to the exercises as learners might write them, in other words than the solutions (tests/test_learn.py)."""

RIGHT: list[tuple[int, str]] = []
"""(number of the exercise, source) of right ones."""

WRONG: list[tuple[int, str, str]] = []
"""(number of the exercise, the mistake that it makes, source)."""


def right(number, source):
    RIGHT.append((number, source))


def wrong(number, mistake, source):
    WRONG.append((number, mistake, source))


NUDGE_IN_PLACE = """
import numpy as np

def numerical_gradient(f, x, h=1e-5):
    flat = x.reshape(-1)
    slopes = []
    for i in range(flat.size):
        old = flat[i]
        flat[i] = old + h
        up = f(x)
        flat[i] = old - h
        down = f(x)
        flat[i] = old
        slopes.append((up - down) / h / 2)
    return np.array(slopes).reshape(x.shape)
"""
right(1, NUDGE_IN_PLACE)
wrong(1, "one-sided", NUDGE_IN_PLACE.replace("old - h", "old").replace("/ h / 2", "/ h"))
wrong(1, "divided by h", NUDGE_IN_PLACE.replace("/ h / 2", "/ h"))
wrong(1, "divided by 2, multiplied by h", NUDGE_IN_PLACE.replace("/ h / 2", "/ 2 * h"))
wrong(1, "up only, divided by 2*h", NUDGE_IN_PLACE.replace("old - h", "old"))
wrong(1, "x stays nudged", NUDGE_IN_PLACE.replace("        flat[i] = old\n", ""))
wrong(1, "f sees no difference", NUDGE_IN_PLACE.replace("x.reshape(-1)", "x.flatten()"))
wrong(1, "flat", NUDGE_IN_PLACE.replace(".reshape(x.shape)", ""))
wrong(
    1,
    "in proportion to x",
    NUDGE_IN_PLACE.replace("old + h", "old * (1 + h)").replace("old - h", "old * (1 - h)"),
)
wrong(1, "a flat array for f", NUDGE_IN_PLACE.replace("f(x)", "f(flat)"))
wrong(
    1,
    "h not used",
    NUDGE_IN_PLACE.replace("+ h", "+ 1e-5").replace("- h", "- 1e-5").replace("/ h / 2", "/ 2e-5"),
)

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
wrong(1, "up only, divided by 2*h", SECOND_NAME)
right(1, SECOND_NAME.replace("a = x\n", "a = x.copy()\n"))
wrong(
    1,
    "a return in the loop",
    SECOND_NAME.replace("a = x\n", "a = x.copy()\n").replace("    return", "        return"),
)
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
wrong(1, "whole rows, which are no copies", ROWS)
wrong(
    1,
    "all at once, one number",
    "def numerical_gradient(f, x, h=1e-5):\n    return (f(x + h) - f(x - h)) / h / 2\n",
)
wrong(
    1,
    "one number for f",
    "def numerical_gradient(f, x, h=1e-5):\n    return [(f(v + h) - f(v - h)) / h / 2 for v in x]\n",
)

TWO_COPIES = """
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
wrong(1, "two axes only", TWO_COPIES)
TWO_COPIES = (
    TWO_COPIES.replace("for j in range(x.shape[1])", "if True")
    .replace("i, j", "i")
    .replace("range(x.shape[0])", "np.ndindex(x.shape)")
)
right(1, TWO_COPIES)
wrong(1, "f sees no difference", TWO_COPIES.replace("x.copy()", "x[:]"))
COPIES = "    up, down = x.copy(), x.copy()\n"
wrong(
    1,
    "copies made once",
    TWO_COPIES.replace(" " * 8 + COPIES, "").replace("    for", COPIES + "    for"),
)

BY_LENGTH = """
import numpy as np

def numerical_gradient(f, x, h=1e-5):
    slopes = []
    for i in range(len(x)):
        nudge = np.zeros_like(x)
        nudge[i] = h
        slopes.append((f(x + nudge) - f(x - nudge)) / (2 * h))
    return np.array(slopes)
"""
wrong(1, "one number a row", BY_LENGTH)
wrong(1, "counted through", BY_LENGTH.replace("len(x)", "x.size"))

COUNT_THE_USES = """
class Node:
    def __init__(self, inputs=(), slopes=()):
        self.inputs, self.slopes, self.grad = inputs, slopes, 0.0

def backward(root):
    uses = {root: 0}
    todo = [root]
    while todo:
        node = todo.pop()
        for source in node.inputs:
            if source not in uses:
                uses[source] = 0
                todo.append(source)
            uses[source] += 1
    root.grad = 1.0
    ready = [root]
    while ready:
        node = ready.pop()
        for i in range(len(node.inputs)):
            source = node.inputs[i]
            source.grad = source.grad + node.slopes[i] * node.grad
            uses[source] -= 1
            if uses[source] == 0:
                ready.append(source)
"""
right(2, COUNT_THE_USES)
wrong(2, "= for +=", COUNT_THE_USES.replace("source.grad + node", "node"))
wrong(
    2,
    "path by path",
    """
class Node:
    def __init__(self, inputs=(), slopes=()):
        self.inputs, self.slopes, self.grad = inputs, slopes, 0.0

def backward(root, share=1):
    root.grad += share
    for i, node in enumerate(root.inputs):
        backward(node, share * root.slopes[i])
""",
)

AXIS_BY_AXIS = """
def unbroadcast(dy, shape):
    while dy.ndim > len(shape):
        dy = dy.sum(0)
    for axis in range(dy.ndim):
        if shape[axis] != dy.shape[axis]:
            dy = dy.sum(axis, keepdims=True)
    return dy
"""
right(3, AXIS_BY_AXIS)
wrong(3, "mean", AXIS_BY_AXIS.replace("sum", "mean"))
wrong(3, "axes of size 1 forgotten", AXIS_BY_AXIS.replace("range(dy.ndim)", "[]"))
wrong(
    3,
    "keepdims forgotten",
    AXIS_BY_AXIS.replace("range(dy.ndim)", "reversed(range(dy.ndim))").replace(
        ", keepdims=True", ""
    ),
)

BY_MASK = """
import numpy as np
import tinyalex as ta

class ChannelSlope(ta.Function):
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
right(4, BY_MASK)
wrong(4, "mean", BY_MASK.replace("return dx, da", "return dx, da / dy[:, 0].size"))
wrong(
    4, "0 counted as positive", BY_MASK.replace("self.x[n, c, i, j] > 0", "self.x[n, c, i, j] >= 0")
)
wrong(4, "one slope for all channels", BY_MASK.replace("self.a[c]", "self.a[0]"))
wrong(4, "ReLU", BY_MASK.replace(" * self.a[c]", " * 0"))

LOOPS = """
import numpy as np

def im2col(x, kernel, stride, padding):
    N, C, H, W = x.shape
    OH = int(np.floor((H + 2 * padding - kernel) / stride)) + 1
    OW = int(np.floor((W + 2 * padding - kernel) / stride)) + 1
    rows = []
    for c in range(C):
        for u in range(kernel):
            for v in range(kernel):
                row = []
                for n in range(N):
                    for i in range(OH):
                        for j in range(OW):
                            h, w = i * stride + u - padding, j * stride + v - padding
                            row.append(x[n, c, h, w] if 0 <= h < H and 0 <= w < W else 0.0)
                rows.append(row)
    return np.array(rows)
"""
right(5, LOOPS)
right(
    5,
    """
import numpy as np

def im2col(x, kernel, stride, padding):
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]
    return windows.transpose(1, 4, 5, 0, 2, 3).reshape(x.shape[1] * kernel**2, -1)
""",
)
PATCH_BY_PATCH = """
import numpy as np

def im2col(x, kernel, stride, padding):
    N, C, H, W = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    OH, OW = (H + 2 * padding - kernel) // stride + 1, (W + 2 * padding - kernel) // stride + 1
    col = np.zeros((C * kernel * kernel, N * OH * OW))
    for n in range(N):
        for i in range(OH):
            for j in range(OW):
                patch = padded[n, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
                col[:, (n * OH + i) * OW + j] = patch.ravel()
    return col
"""
right(5, PATCH_BY_PATCH)
wrong(
    5,
    "window turned around",
    PATCH_BY_PATCH.replace("patch.ravel()", "patch[:, ::-1, ::-1].ravel()"),
)
wrong(5, "border of pixels", PATCH_BY_PATCH.replace("g)))", "g)), 'edge')"))
wrong(5, "the first image only", PATCH_BY_PATCH.replace("range(N)", "range(1)"))
wrong(
    5,
    "rows read off again",
    PATCH_BY_PATCH.replace("return col", "return np.array(list(col.T)).reshape(col.shape)"),
)
wrong(
    5,
    "counted in steps of OH",
    PATCH_BY_PATCH.replace("(n * OH + i) * OW + j", "n * OH * OW + i * OH + j"),
)
wrong(
    5,
    "windows that reach out, height and width exchanged",
    PATCH_BY_PATCH.replace("H, W = x", "W, H = x"),
)
wrong(
    5,
    "windows that reach out, as many down as to the right",
    PATCH_BY_PATCH.replace("(OH)", "(OW)").replace("n * OH", "n * OW").replace("N * OH", "N * OW"),
)
wrong(
    5,
    "border on all axes",
    PATCH_BY_PATCH.replace(
        "((0, 0), (0, 0), (padding, padding), (padding, padding))", "padding"
    ).replace("    OH", "    N, C = padded.shape[:2]\n    OH"),
)
SWAPPED = LOOPS.replace("for i in range(OH)", "for j in range(OW)", 1).replace(
    "                        for j in range(OW)", " " * 24 + "for i in range(OH)"
)
wrong(5, "positions column by column", SWAPPED)
INSIDE = "0 <= h < H and 0 <= w < W"
wrong(
    5,
    "the first row and column of pixels left out",
    LOOPS.replace(INSIDE, "0 < h < H and 0 < w < W"),
)
wrong(
    5,
    "the last row and column of pixels left out",
    LOOPS.replace(INSIDE, "0 <= h < H - 1 and 0 <= w < W - 1"),
)
wrong(5, "bounds exchanged", LOOPS.replace(INSIDE, "0 <= h < W and 0 <= w < H"))
wrong(5, "plus padding for minus", LOOPS.replace("- padding", "+ padding"))
wrong(5, "one position too few", LOOPS.replace(" + 1", ""))
wrong(5, "pixels outside", LOOPS.replace(" if 0 <= h < H and 0 <= w < W else 0.0", ""))
wrong(5, "pixels from the other end", LOOPS.replace("0 <= h < H and 0 <= w < W", "h < H and w < W"))
wrong(5, "no border at all", LOOPS.replace(" + 2 * padding", "").replace(" - padding", ""))
wrong(5, "as many columns as rows", LOOPS.replace("range(OW)", "range(OH)"))
wrong(5, "steps of 1 downwards", LOOPS.replace("i * stride", "i"))
wrong(5, "steps of 1 to the right", LOOPS.replace("j * stride", "j"))
wrong(5, "steps of 1", LOOPS.replace("i * stride", "i").replace("j * stride", "j"))
wrong(
    5,
    "columns before rows in the window",
    LOOPS.replace("for u in", "for tmp in").replace("for v in", "for u in").replace("tmp", "v"),
)

ADD_AT = """
import numpy as np

def col2im(col, shape, kernel, stride, padding):
    N, C, H, W = shape
    OH, OW = (H + 2 * padding - kernel) // stride + 1, (W + 2 * padding - kernel) // stride + 1
    six = col.reshape(C, kernel, kernel, N, OH, OW)
    x = np.zeros(shape)
    for c, u, v, n, i, j in np.ndindex(six.shape):
        h, w = i * stride + u - padding, j * stride + v - padding
        if 0 <= h < H and 0 <= w < W:
            x[n, c, h, w] += six[c, u, v, n, i, j]
    return x
"""
right(6, ADD_AT)
wrong(6, "= for +=, one number of the window after the other", ADD_AT.replace("+= six", "= six"))
wrong(6, "columns before rows in the window", ADD_AT.replace("six[c, u, v", "six[c, v, u"))
wrong(6, "the columns of the first image for all", ADD_AT.replace("v, n, i, j]", "v, 0, i, j]"))
wrong(6, "rows for columns", ADD_AT.replace("col.reshape", "col.T.reshape"))
wrong(6, "not begun with 0", ADD_AT.replace("np.zeros", "np.ones"))
wrong(6, "one position too few for the reshape", ADD_AT.replace(" + 1", ""))
wrong(6, "size without padding", ADD_AT.replace(" + 2 * padding", ""))
wrong(
    6,
    "height and width exchanged",
    ADD_AT.replace("H, W = shape", "W, H = shape").replace(
        "np.zeros(shape)", "np.zeros((N, C, H, W))"
    ),
)
wrong(6, "pixels at the other end", ADD_AT.replace(INSIDE, "h < H and w < W"))
wrong(6, "pixels outside", ADD_AT.replace(INSIDE, "True"))
wrong(
    6,
    "the first row and column of pixels left out",
    ADD_AT.replace(INSIDE, "0 < h < H and 0 < w < W"),
)
COLUMN_BY_COLUMN = """
import numpy as np

def col2im(col, shape, kernel, stride, padding):
    n, c, h, w = shape
    oh, ow = (h + 2 * padding - kernel) // stride + 1, (w + 2 * padding - kernel) // stride + 1
    x = np.zeros((n, c, h + 2 * padding, w + 2 * padding))
    for k in range(n * oh * ow):
        m, i, j = k // (oh * ow), k // ow % oh, k % ow
        x[m, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel] += col[:, k].reshape(c, kernel, kernel)
    return x[:, :, padding : h + padding, padding : w + padding]
"""
right(6, COLUMN_BY_COLUMN)
wrong(
    6,
    "positions column by column",
    COLUMN_BY_COLUMN.replace("k // ow % oh, k % ow", "k % oh, k // oh % ow"),
)
wrong(
    6,
    "counted in steps of OH",
    COLUMN_BY_COLUMN.replace("k // ow % oh, k % ow", "k % (oh * ow) // oh, k % oh"),
)
wrong(6, "one position too few", COLUMN_BY_COLUMN.replace(" + 1", ""))
wrong(6, "one row for a patch", COLUMN_BY_COLUMN.replace("col[:, k]", "col[k]"))
wrong(6, "steps of 1", ADD_AT.replace("i * stride", "i").replace("j * stride", "j"))
wrong(
    6,
    "= for +=",
    """
import numpy as np

def col2im(col, shape, kernel, stride, padding):
    n, c, h, w = shape
    oh, ow = (h + 2 * padding - kernel) // stride + 1, (w + 2 * padding - kernel) // stride + 1
    x = np.zeros((n, c, h + 2 * padding, w + 2 * padding))
    col = col.reshape(c, kernel, kernel, n, oh, ow).transpose(3, 0, 1, 2, 4, 5)
    for i in range(oh):
        for j in range(ow):
            x[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel] = col[..., i, j]
    return x[:, :, padding : h + padding, padding : w + padding]
""",
)

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
right(7, RELU)
wrong(7, "gated by dy", RELU.replace("self.x <=", "dy <="))
wrong(7, "0 let through", RELU.replace("self.x <=", "self.x <"))

ONE_TAP_AT_A_TIME = """
import numpy as np

def max_pool_backward(dy, x, kernel, stride):
    N, C, OH, OW = dy.shape
    dx = np.zeros(x.shape)
    taken = np.zeros(dy.shape, bool)
    y = np.full(dy.shape, -np.inf)
    views = []
    for u in range(kernel):
        for v in range(kernel):
            at = (slice(None), slice(None), slice(u, u + OH * stride, stride), slice(v, v + OW * stride, stride))
            views.append((..., slice(u, u + (OH - 1) * stride + 1, stride), slice(v, v + (OW - 1) * stride + 1, stride)))
            y = np.maximum(y, x[views[-1]])
    for at in views:
        wins = (x[at] == y) & ~taken
        dx[at] += wins * dy
        taken |= wins
    return dx
"""
right(8, ONE_TAP_AT_A_TIME)
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
right(8, RUNNING_MAXIMUM)
BEST = "                    best = -np.inf\n"
for least in ("0", "-1"):
    begins = RUNNING_MAXIMUM.replace(
        BEST, BEST.replace("best = -np.inf", f"best, a, b = {least}, 0, 0")
    )
    wrong(8, "the running maximum begins at 0", begins)
wrong(
    8,
    "the maximum of the windows before",
    RUNNING_MAXIMUM.replace(BEST, "").replace("a = b = 0\n", "a = b = 0\n" + BEST[16:]),
)
wrong(8, "the last of ties", RUNNING_MAXIMUM.replace("> best", ">= best"))
wrong(8, "the smallest", RUNNING_MAXIMUM.replace("> best", "< best").replace("-np.inf", "np.inf"))
wrong(8, "steps of 1", RUNNING_MAXIMUM.replace("i * stride", "i").replace("j * stride", "j"))
wrong(8, "the maximum for dy", RUNNING_MAXIMUM.replace("+= dy[n, c, i, j]", "+= best"))
wrong(8, "1 for dy", RUNNING_MAXIMUM.replace("+= dy[n, c, i, j]", "+= 1"))
wrong(8, "begun with x", RUNNING_MAXIMUM.replace("np.zeros(x.shape)", "np.array(x)"))
wrong(8, "as large as dy", RUNNING_MAXIMUM.replace("np.zeros(x.shape)", "np.zeros(dy.shape)"))
wrong(8, "as many columns as rows", RUNNING_MAXIMUM.replace("range(OW)", "range(OH)"))
wrong(
    8,
    "the last row and column of windows left out",
    RUNNING_MAXIMUM.replace("(OH)", "(OH - 1)").replace("(OW)", "(OW - 1)"),
)
wrong(
    8,
    "the first image and channel only",
    RUNNING_MAXIMUM.replace("(N)", "(1)").replace("(C)", "(1)"),
)
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
right(8, BY_ARGMAX)
UNRAVELLED = (
    BY_ARGMAX.replace(
        "k = window.argmax()", "u, v = np.unravel_index(window.argmax(), window.shape)"
    )
    .replace("k // kernel", "u")
    .replace("k % kernel", "v")
)
wrong(
    8,
    "divided by the stride",
    BY_ARGMAX.replace("k // kernel", "k // stride").replace("k % kernel", "k % stride"),
)
wrong(
    8,
    "steps of the kernel's size",
    UNRAVELLED.replace("i * stride, j * stride", "i * kernel, j * kernel"),
)
wrong(
    8,
    "one number for row and column",
    BY_ARGMAX.replace("k // kernel", "k").replace("k % kernel", "k"),
)
wrong(8, "dy's row and column exchanged", BY_ARGMAX.replace("dy[n, c, i, j]", "dy[n, c, j, i]"))
wrong(8, "given to all that are as large", ONE_TAP_AT_A_TIME.replace("taken |= wins", "pass"))
wrong(
    8,
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
)

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
right(9, BAND)
wrong(9, "no second term", BAND.replace("first - 2 * alpha * beta * x * second", "first"))
wrong(9, "the whole size on each side", BAND.replace("size // 2", "size"))
wrong(9, "x for y", BAND.replace("s ** (beta + 1)", "s"))
wrong(9, "the 2 forgotten", BAND.replace("- 2 *", "-"))
wrong(9, "plus for minus", BAND.replace("first -", "first +"))

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
right(10, DROPOUT)
wrong(10, "backward not scaled", DROPOUT.replace(" / (1 - self.p)", ""))
wrong(10, "> for >=", DROPOUT.replace("u < p", "u <= p"))
wrong(
    10,
    "backward as in testing",
    DROPOUT.replace("return dy * self.mask / (1 - self.p)", "return dy"),
)
wrong(10, "the dropped ones kept", DROPOUT.replace("0.0, 1.0", "1.0, 0.0"))
wrong(
    10,
    "testing scaled",
    DROPOUT.replace("return x\n", "return x * (1 - p)\n").replace(
        "return dy\n", "return dy * (1 - self.p)\n"
    ),
)

ROW_BY_ROW = """
import numpy as np

def softmax_cross_entropy(logits, target):
    N, K = logits.shape
    one_hot = np.eye(K)[target]
    losses, gradients = [], []
    for row, right in zip(logits, one_hot):
        row = row - row.max()
        log_sum = np.log(sum(np.exp(row)))
        losses.append(log_sum - (row * right).sum())
        gradients.append((np.exp(row - log_sum) - right) / N)
    return sum(losses) / N, np.array(gradients)
"""
right(11, ROW_BY_ROW)
wrong(11, "one-hot forgotten", ROW_BY_ROW.replace(" - right) / N", ") / N"))
wrong(11, "gradient not divided by N", ROW_BY_ROW.replace("- right) / N", "- right)"))
wrong(11, "exp of large numbers", ROW_BY_ROW.replace("row = row - row.max()", "pass"))

PRODUCT = """
import numpy as np

def he_sigma(shape):
    if len(shape) == 2:
        fan_in = shape[1]
    else:
        fan_in = shape[1] * shape[2] * shape[3]
    return np.sqrt(2.0) / np.sqrt(fan_in)
"""
right(12, PRODUCT)
wrong(12, "the window forgotten", PRODUCT.replace(" * shape[2] * shape[3]", ""))
wrong(12, "fan-out", PRODUCT.replace("shape[1]", "shape[0]"))

STEP = """
def momentum_step(w, v, g, lr, momentum=0.9, decay=0.0005):
    v = momentum * v - lr * (decay * w + g)
    w = w + v
    return w, v
"""
right(13, STEP)
wrong(13, "decay without the rate", STEP.replace("lr * (decay * w + g)", "decay * w - lr * g"))
wrong(13, "0.9, whatever is given", STEP.replace("momentum * v", "0.9 * v"))
wrong(13, "uphill", STEP.replace("- lr * (decay * w + g)", "+ lr * g - lr * decay * w"))
wrong(
    13,
    "torch's form",
    STEP.replace("- lr * (decay * w + g)", "+ g + decay * w").replace("w + v", "w - lr * v"),
)

FILL = """
import numpy as np

def ten_views(image, size):
    C, H, W = image.shape
    views = np.zeros((10, C, size, size), image.dtype)
    views[0] = image[:, :size, :size]
    views[1] = image[:, :size, -size:]
    top, left = (H - size) // 2, (W - size) // 2
    views[2] = image[:, top : top + size, left : left + size]
    views[3] = image[:, -size:, :size]
    views[4] = image[:, -size:, -size:]
    for i in range(5):
        views[i + 5] = np.flip(views[i], axis=2)
    return views
"""
right(14, FILL)
MIDDLE = "(H - size) // 2, (W - size) // 2"
wrong(14, "half of each", FILL.replace(MIDDLE, "H // 2 - size // 2, W // 2 - size // 2"))
wrong(14, "the middle rounded up", FILL.replace(MIDDLE, "-(-(H - size) // 2), -(-(W - size) // 2)"))
wrong(14, "upside down", FILL.replace("axis=2", "axis=1"))
wrong(14, "upside down and mirrored", FILL.replace("axis=2", "axis=(1, 2)"))
wrong(
    14,
    "one after the other",
    FILL.replace("range(5)", "(4, 3, 2, 1, 0)")
    .replace(
        "views[i + 5]",
        "views[2 * i], views[2 * i + 1] = views[i].copy(), 0\n        views[2 * i + 1]",
    )
    .replace("np.flip(views[i]", "np.flip(views[2 * i]"),
)
