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
wrong(3, "keepdims forgotten", AXIS_BY_AXIS.replace("range(dy.ndim)", "reversed(range(dy.ndim))").replace(", keepdims=True", ""))

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
wrong(10, "the dropped ones kept", DROPOUT.replace("0.0, 1.0", "1.0, 0.0"))
wrong(
    10, "testing scaled", DROPOUT.replace("return x\n", "return x * (1 - p)\n").replace("return dy\n", "return dy * (1 - self.p)\n")
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
wrong(13, "uphill", STEP.replace("- lr * (decay * w + g)", "+ lr * g - lr * decay * w"))
wrong(13, "torch's form", STEP.replace("- lr * (decay * w + g)", "+ g + decay * w").replace("w + v", "w - lr * v"))

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
wrong(14, "upside down", FILL.replace("axis=2", "axis=1"))
wrong(14, "upside down and mirrored", FILL.replace("axis=2", "axis=(1, 2)"))
wrong(
    14,
    "one after the other",
    FILL.replace("range(5)", "(4, 3, 2, 1, 0)")
    .replace("views[i + 5]", "views[2 * i], views[2 * i + 1] = views[i].copy(), 0\n        views[2 * i + 1]")
    .replace("np.flip(views[i]", "np.flip(views[2 * i]"),
)
