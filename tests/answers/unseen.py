"""Wrong answers by a learner who had seen neither the feedback nor its code.

Not used to improve the feedback. Each has what is wrong, and words of the feedback that
say so; empty where the feedback does not name it.
"""

UNSEEN: list[tuple[int, str, str, str]] = []
"""(number of the exercise, what is wrong, words of the feedback, source)."""


def add(number, wrong, words, source):
    UNSEEN.append((number, wrong, words, source.lstrip("\n")))


add(
    3,
    "The gradients of the uses are averaged instead of summed, so each element is too small by the number of times it was used.",
    "This is the mean over the uses",
    """
import numpy as np


def unbroadcast(dy, shape):
    extra = dy.ndim - len(shape)
    padded = (1,) * extra + tuple(shape)
    axes = tuple(i for i in range(dy.ndim) if padded[i] == 1)
    return dy.mean(axis=axes, keepdims=True).reshape(shape)
""",
)
add(
    3,
    "Only the axes added in front are summed; the axes that have size 1 in `shape` are never summed, so for (4, 1) dy comes back unchanged, with the wrong shape.",
    "Those where `shape` has size 1 were repeated too",
    """
import numpy as np


def unbroadcast(dy, shape):
    while dy.ndim > len(shape):
        dy = dy.sum(axis=0)
    return dy
""",
)
add(
    3,
    "The axes of size 1 are summed without keepdims=True, so they disappear: (4, 1) comes back as (4,), and with two such axes the later axis number points to the wrong axis or to none.",
    "keepdims=True keeps it",
    """
import numpy as np


def unbroadcast(dy, shape):
    # axes in front
    n_extra = len(dy.shape) - len(shape)
    for _ in range(n_extra):
        dy = np.sum(dy, axis=0)
    # axes of size one
    for axis, size in enumerate(shape):
        if size == 1:
            dy = np.sum(dy, axis=axis)
    return dy
""",
)
add(
    3,
    "Each use overwrites the entry (`=`) instead of being added to it (`+=`), so only the gradient of the last use remains.",
    "is the last element of dy along axis 0",
    """
import numpy as np


def unbroadcast(dy, shape):
    result = np.zeros(shape)
    skip = dy.ndim - len(shape)
    for index in np.ndindex(*dy.shape):
        small = tuple(0 if n == 1 else i for i, n in zip(index[skip:], shape))
        result[small] = dy[index]
    return result
""",
)
add(
    3,
    "At most one axis in front is summed (`if` where `while` is needed), so if the small array lacks two or more axes, for example () against (4, 3), axes are left over.",
    "Only one of the new axes is summed",
    """
import numpy as np


def unbroadcast(dy, shape):
    if dy.ndim > len(shape):
        dy = dy.sum(0)
    for k in range(len(shape)):
        if shape[k] == 1 and dy.shape[k] != 1:
            dy = dy.sum(k, keepdims=True)
    return dy
""",
)
add(
    3,
    "The positions of the axes of size 1 are counted in `shape` but used in dy without adding the number of axes in front, so the wrong axes are summed when dy has more axes than `shape`.",
    "",
    """
import numpy as np


def unbroadcast(dy, shape):
    lead = dy.ndim - len(shape)
    axes = list(range(lead))
    axes += [i for i, s in enumerate(shape) if s == 1]
    return np.sum(dy, axis=tuple(axes)).reshape(shape)
""",
)
add(
    3,
    "The shapes are aligned at the first axis (ones are appended behind `shape`), but NumPy aligns at the last axis, so for (3,) each row is summed instead of each column: an error, or silently wrong values if dy is square.",
    "",
    """
import numpy as np


def unbroadcast(dy, shape):
    full = list(shape)
    while len(full) < dy.ndim:
        full.append(1)
    out = dy
    for ax in range(dy.ndim):
        if full[ax] == 1:
            out = out.sum(axis=ax, keepdims=True)
    return out.reshape(shape)
""",
)
add(
    3,
    "Reshaping to (-1, *shape) and summing the first axis is right only if all repeated axes are in front; for an axis of size 1 such as (4, 1) it cuts dy into pieces in memory order and adds elements that belong to different entries.",
    "",
    """
import numpy as np


def unbroadcast(dy, shape):
    # one block of `shape` for every repetition
    return dy.reshape(-1, *shape).sum(axis=0)
""",
)
add(
    4,
    "da sums dy * x over all elements, but a[c] is used only where x is not positive: the mask is missing in da.",
    "da includes elements where x is positive",
    """
import numpy as np

import tinyalex as ta


class PReLU(ta.Function):
    def forward(self, x, a):
        self.x, self.a = x, a
        return np.where(x > 0, x, a[:, None, None] * x)

    def backward(self, dy):
        a = self.a[:, None, None]
        dx = np.where(self.x > 0, dy, a * dy)
        da = (dy * self.x).sum(axis=(0, 2, 3))
        return dx, da
""",
)
add(
    4,
    "da is summed over height and width only and not over the images, so it has shape (N, C) instead of (C,).",
    "without the images",
    """
import numpy as np

import tinyalex as ta


class PReLU(ta.Function):
    def forward(self, x, a):
        self.x, self.a = x, a
        return np.where(x > 0, x, a[:, None, None] * x)

    def backward(self, dy):
        positive = self.x > 0
        slope = np.where(positive, 1.0, self.a[:, None, None])
        da = (dy * self.x * ~positive).sum(axis=(2, 3))
        return dy * slope, da
""",
)
add(
    4,
    "In dx, a is not reshaped to (C, 1, 1), so NumPy aligns it with the width instead of the channels: an error, or wrong factors if W equals C.",
    "NumPy aligns shapes at the last axis",
    """
import numpy as np

import tinyalex as ta


class PReLU(ta.Function):
    def forward(self, x, a):
        self.x, self.a = x, a
        return np.where(x > 0, x, a[:, None, None] * x)

    def backward(self, dy):
        dx = dy.copy()
        negative = self.x <= 0
        dx[negative] = (dy * self.a)[negative]
        da = np.einsum("nchw,nchw->c", dy, np.minimum(self.x, 0))
        return dx, da
""",
)
add(
    4,
    "da uses a * x, the value of y, where the derivative of a * x with respect to a is needed, which is x: da is too large by the factor a[c].",
    "is multiplied by `a`, and should not be",
    """
import numpy as np

import tinyalex as ta


class PReLU(ta.Function):
    def forward(self, x, a):
        self.x, self.a = x, a
        return np.where(x > 0, x, a[:, None, None] * x)

    def backward(self, dy):
        x, a = self.x, self.a
        dx = np.empty_like(dy)
        da = np.zeros(len(a))
        for c in range(len(a)):
            pos = x[:, c] > 0
            dx[:, c] = np.where(pos, 1, a[c]) * dy[:, c]
            da[c] = np.sum(np.where(pos, 0, a[c] * x[:, c]) * dy[:, c])
        return dx, da
""",
)
add(
    4,
    "Two mistakes: dx is only the local derivative, not multiplied by dy, and da is a mean over the elements instead of their sum.",
    "There are two mistakes. dx is the derivative of this layer alone",
    """
import numpy as np

import tinyalex as ta


class PReLU(ta.Function):
    def forward(self, x, a):
        self.x, self.a = x, a
        return np.where(x > 0, x, a[:, None, None] * x)

    def backward(self, dy):
        mask = (self.x <= 0).astype(float)
        dx = (1 - mask) + mask * self.a.reshape(1, -1, 1, 1)
        da = np.mean(dy * self.x * mask, axis=(0, 2, 3))
        return dx, da
""",
)
add(
    7,
    "The gradient is also passed on at x = 0 (>= instead of >), where the derivative is defined as 0.",
    "Your derivative at x = 0 is 1",
    """
import numpy as np

import tinyalex as ta


class ReLU(ta.Function):

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        return np.where(self.x >= 0, dy, 0)
""",
)
add(
    7,
    "ReLU is applied to dy: the sign of dy decides what is passed on, instead of the sign of the input x.",
    "The mask depends on x, not on dy",
    """
import numpy as np

import tinyalex as ta


class ReLU(ta.Function):

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        return np.maximum(dy, 0)
""",
)
add(
    7,
    "A whole array is used as the condition of an `if`, which NumPy rejects with an error for more than one element; the decision has to be made for each element, with a mask.",
    "an array with a bool for each element",
    """
import numpy as np

import tinyalex as ta


class ReLU(ta.Function):

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        if self.x > 0:
            return dy
        else:
            return 0 * dy
""",
)
add(
    7,
    "dy is multiplied by the output max(x, 0) instead of by the derivative, so where x > 0 the gradient is scaled by x instead of by 1.",
    "multiplied by ReLU's output",
    """
import numpy as np

import tinyalex as ta


class ReLU(ta.Function):

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        dx = dy * np.maximum(self.x, 0)
        return dx
""",
)
add(
    7,
    "Indexing with the mask keeps only the elements with x > 0 and drops the others, so the result is a shorter one-dimensional array instead of one of x's shape with zeros.",
    "np.where(mask, a, 0) keeps the shape",
    """
import numpy as np

import tinyalex as ta


class ReLU(ta.Function):

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        active = self.x > 0
        return dy[active]
""",
)
add(
    7,
    "It returns the derivative of ReLU alone, without multiplying by dy.",
    "the derivative of ReLU alone",
    """
import numpy as np

import tinyalex as ta


class ReLU(ta.Function):

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        derivative = np.heaviside(self.x, 0.0)
        return derivative
""",
)
add(
    9,
    "s is treated as a constant: only the first term is there, and the second term, the effect of x[c] on the divisors of the channels around it, is missing.",
    "the first term alone, as if s did not depend on x",
    """
import numpy as np


def lrn_backward(dy, x, size, alpha, beta, k):
    half = size // 2
    padded = np.pad(x**2, ((0, 0), (half, half), (0, 0), (0, 0)))
    s = np.full_like(x, k)
    for shift in range(size):
        s += alpha * padded[:, shift : shift + x.shape[1]]
    return dy * s**-beta
""",
)
add(
    9,
    "The factor 2, from the derivative of x squared, is missing in the second term.",
    "The second term is half of its value",
    """
import numpy as np


def lrn_backward(dy, x, size, alpha, beta, k):
    c = np.arange(x.shape[1])
    band = (abs(c[:, None] - c) <= size // 2).astype(x.dtype)
    s = k + alpha * np.einsum("cj,njhw->nchw", band, x * x)
    y = x * s**-beta
    cross = np.einsum("cj,njhw->nchw", band, dy * y / s)
    return dy * s**-beta - alpha * beta * x * cross
""",
)
add(
    9,
    "The factor beta, from the derivative of s**-beta, is missing in the second term.",
    "The factor `beta` is missing",
    """
import numpy as np


def window_sum(t, size):
    n, channels, h, w = t.shape
    total = np.concatenate([np.zeros((n, 1, h, w)), np.cumsum(t, axis=1)], axis=1)
    j = np.arange(channels)
    first = np.maximum(j - size // 2, 0)
    last = np.minimum(j + size // 2 + 1, channels)
    return total[:, last] - total[:, first]


def lrn_backward(dy, x, size, alpha, beta, k):
    s = k + alpha * window_sum(x**2, size)
    y = x / s**beta
    return dy / s**beta - 2 * alpha * x * window_sum(dy * y / s, size)
""",
)
add(
    9,
    "The second term divides by s[c] outside the sum, but each summand has to be divided by its own s[j], inside the sum.",
    "so it is `s[c]` and should be `s[j]`",
    """
import numpy as np


def lrn_backward(dy, x, size, alpha, beta, k):
    C = x.shape[1]
    r = size // 2

    def around(t):
        return np.stack(
            [t[:, max(0, c - r) : min(C, c + r + 1)].sum(axis=1) for c in range(C)], axis=1
        )

    s = k + alpha * around(x**2)
    scale = s ** (-beta)
    y = x * scale
    return dy * scale - 2 * alpha * beta * (x / s) * around(dy * y)
""",
)
add(
    9,
    "In the second term x[j] stands inside the sum where x[c] is needed: the derivative of s[j] with respect to x[c] is 2*alpha*x[c], of the channel whose gradient is computed.",
    "x is inside the sum",
    """
import numpy as np


def lrn_backward(dy, x, size, alpha, beta, k):
    channels = x.shape[1]
    s = np.zeros(x.shape)
    for c in range(channels):
        s[:, c] = k
        for j in range(channels):
            if abs(j - c) <= size // 2:
                s[:, c] += alpha * x[:, j] ** 2
    y = x * s**-beta
    dx = np.zeros(x.shape)
    for c in range(channels):
        dx[:, c] = dy[:, c] * s[:, c] ** -beta
        for j in range(channels):
            if abs(j - c) <= size // 2:
                dx[:, c] -= 2 * alpha * beta * x[:, j] * dy[:, j] * y[:, j] / s[:, j]
    return dx
""",
)
add(
    9,
    "An operator precedence slip: without parentheses around the exponent, s**-beta - 1 subtracts 1 from the product dy*x*s**-beta; for y/s it has to be s**(-beta - 1), so the sum in the second term is wrong.",
    "",
    """
import numpy as np


def lrn_backward(dy, x, size, alpha, beta, k):
    half = size // 2

    def neighbours(a):
        p = np.pad(a, [(0, 0), (half, half), (0, 0), (0, 0)])
        view = np.lib.stride_tricks.sliding_window_view(p, size, axis=1)
        return view.sum(axis=-1)

    s = k + alpha * neighbours(x * x)
    inner = dy * x * s**-beta - 1
    return dy * s**-beta - 2 * alpha * beta * x * neighbours(inner)
""",
)
add(
    9,
    "The window is one channel too short: range and slices exclude their end, so channel c + size//2 is left out of both sums.",
    "The window ends one channel too early",
    """
import numpy as np


def lrn_backward(dy, x, size, alpha, beta, k):
    N, C, H, W = x.shape
    s = np.empty((N, C, H, W))
    for c in range(C):
        lo, hi = max(c - size // 2, 0), min(c + size // 2, C)
        s[:, c] = k + alpha * np.sum(x[:, lo:hi] ** 2, axis=1)
    y = x * s**-beta
    g = dy * y / s
    dx = dy * s**-beta
    for c in range(C):
        lo, hi = max(c - size // 2, 0), min(c + size // 2, C)
        dx[:, c] -= 2 * alpha * beta * x[:, c] * np.sum(g[:, lo:hi], axis=1)
    return dx
""",
)
add(
    9,
    "alpha is divided by size, which is the LRN with the mean of the squares; here s uses the sum, with alpha itself.",
    "alpha is divided by the size of the window",
    """
import numpy as np


def lrn_backward(dy, x, size, alpha, beta, k):
    alpha = alpha / size
    channels = x.shape[1]
    window = np.tri(channels, k=size // 2) - np.tri(channels, k=-(size // 2) - 1)

    def window_sum(t):
        return np.moveaxis(np.tensordot(window, t, axes=(1, 1)), 0, 1)

    s = k + alpha * window_sum(x**2)
    y = x * s ** (-beta)
    return dy * s ** (-beta) - 2 * alpha * beta * x * window_sum(dy * y / s)
""",
)
add(
    9,
    "The start of the window, c - size//2, is negative for the first channels and then counts from the end, so their windows are empty or wrong; it must be cut off at 0.",
    "the window starts at a negative index",
    """
import numpy as np


def lrn_backward(dy, x, size, alpha, beta, k):
    half = size // 2
    s = np.zeros_like(x)
    for c in range(x.shape[1]):
        s[:, c] = k + alpha * (x[:, c - half : c + half + 1] ** 2).sum(axis=1)
    y = x * s**-beta
    ratio = dy * y / s
    dx = np.zeros_like(x)
    for c in range(x.shape[1]):
        total = ratio[:, c - half : c + half + 1].sum(axis=1)
        dx[:, c] = dy[:, c] * s[:, c] ** -beta - 2 * alpha * beta * x[:, c] * total
    return dx
""",
)
add(
    9,
    "Two mistakes in the second term: its sum leaves out the channel c itself, which also belongs to its own window, and the factor 2 is missing.",
    "a sum without channel c itself",
    """
import numpy as np


def lrn_backward(dy, x, size, alpha, beta, k):
    C, half = x.shape[1], size // 2

    def shifted(t, d):
        out = np.zeros_like(t)
        if d >= 0:
            out[:, : max(C - d, 0)] = t[:, d:]
        else:
            out[:, -d:] = t[:, :d]
        return out

    s = k + alpha * sum(shifted(x, d) ** 2 for d in range(-half, half + 1))
    y = x * s**-beta
    t = dy * y / s
    cross = sum(shifted(t, d) for d in range(-half, half + 1) if d != 0)
    return dy * s**-beta - alpha * beta * x * cross
""",
)
add(
    11,
    "The gradient is not divided by N although the loss is a mean over the N rows, so dlogits is N times too large.",
    "divide the gradient by N",
    """
import numpy as np


def softmax_cross_entropy(logits, target):
    n, k = logits.shape
    shifted = logits - logits.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -logp[np.arange(n), target].mean()
    return loss, np.exp(logp) - np.eye(k)[target]
""",
)
add(
    11,
    "The maximum of the whole array is subtracted instead of the maximum of each row, so in a row far below it all exponentials become 0, and the result is infinite or NaN.",
    "",
    """
import numpy as np


def softmax_cross_entropy(logits, target):
    rows = np.arange(len(target))
    z = logits - np.max(logits)
    e = np.exp(z)
    total = e.sum(axis=1, keepdims=True)
    loss = np.mean(np.log(total[:, 0]) - z[rows, target])
    dlogits = e / total
    dlogits[rows, target] -= 1
    return loss, dlogits / len(rows)
""",
)
add(
    11,
    "The sum over the classes lacks keepdims=True, so its shape (N,) is aligned with the classes instead of the rows: an error, or for N = K each column is normalized with the sum of another row.",
    "keepdims=True",
    """
import numpy as np


def softmax_cross_entropy(logits, target):
    N = logits.shape[0]
    z = logits - logits.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1))
    loss = -log_p[np.arange(N), target].mean()
    p = np.exp(log_p)
    onehot = np.zeros_like(p)
    onehot[np.arange(N), target] = 1
    return loss, (p - onehot) / N
""",
)
add(
    11,
    "`p[:, target] -= 1` subtracts 1 in every row at the columns of all targets, instead of one element in each row, p[n, target[n]].",
    "",
    """
import numpy as np


def softmax_cross_entropy(logits, target):
    biggest = logits.max(axis=1)[:, None]
    log_sum = biggest[:, 0] + np.log(np.exp(logits - biggest).sum(axis=1))
    losses = log_sum - logits[np.arange(len(logits)), target]
    p = np.exp(logits - log_sum[:, None])
    p[:, target] -= 1
    return losses.mean(), p / len(logits)
""",
)
add(
    11,
    "The maximum is subtracted before the logarithm of the sum, but not added back (or subtracted from the right logit too), so the loss is too small by the mean of the row maxima; the gradient is right.",
    "",
    """
import numpy as np


def softmax_cross_entropy(logits, target):
    N, K = logits.shape
    dlogits = np.zeros((N, K))
    loss = 0.0
    for n in range(N):
        row = logits[n]
        exps = np.exp(row - row.max())
        loss += np.log(exps.sum()) - row[target[n]]
        for k in range(K):
            dlogits[n, k] = exps[k] / exps.sum() - (1 if k == target[n] else 0)
    return loss / N, dlogits / N
""",
)
add(
    11,
    "Two mistakes: no maximum is subtracted before exp, so logits of 1000 overflow to NaN, and the gradient has the wrong sign (one-hot minus p instead of p minus one-hot).",
    "",
    """
import numpy as np


def softmax_cross_entropy(logits, target):
    classes = np.arange(logits.shape[1])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (classes == np.asarray(target)[:, None]).astype(float)
    loss = -(truth * np.log(p)).sum() / len(p)
    return loss, (truth - p) / len(p)
""",
)
add(
    12,
    "It uses the fan-out, the number of outputs (times the kernel size), instead of the fan-in.",
    "This is fan_out",
    """
import math


def he_sigma(shape):
    fan = shape[0]
    for n in shape[2:]:
        fan *= n
    return math.sqrt(2 / fan)
""",
)
add(
    12,
    "For a convolution the fan-in is only the number of channels here; the kernel height and width are left out, though one output sums C * KH * KW products.",
    "Only the channels are counted",
    """
import math


def he_sigma(shape):
    fan_in = shape[1]
    return math.sqrt(2 / fan_in)
""",
)
add(
    12,
    "The square root is missing: 2 / fan_in is the variance, not the standard deviation.",
    "2 / fan_in is the variance",
    """
import math


def he_sigma(shape):
    fan_in = math.prod(shape[1:])
    return 2 / fan_in
""",
)
add(
    12,
    "The 2 that compensates for ReLU is missing: sqrt(1 / fan_in) is too small by the factor sqrt(2).",
    "right for layers without ReLU",
    """
import math

import numpy as np


def he_sigma(shape):
    n_in = np.prod(shape[1:])
    return 1 / math.sqrt(n_in)
""",
)
add(
    12,
    "The root covers only the 2: sqrt(2) / fan_in instead of sqrt(2 / fan_in).",
    "Only the 2 is under the root",
    """
import math


def he_sigma(shape):
    out, *rest = shape
    fan_in = 1
    for r in rest:
        fan_in = fan_in * r
    return math.sqrt(2) / fan_in
""",
)
add(
    12,
    "Missing parentheses: 2 / C * KH * KW divides by C only and multiplies by the kernel size, so sigma is wrong for convolutions.",
    "divide by the product in brackets",
    """
import math


def he_sigma(shape):
    if len(shape) == 2:
        return (2 / shape[1]) ** 0.5
    o, c, kh, kw = shape
    return (2 / c * kh * kw) ** 0.5
""",
)
add(
    12,
    "The shape is unpacked into four values, which fails with an error for a linear layer, whose shape has only two.",
    "its length differs from case to case",
    """
import math


def he_sigma(shape):
    O, C, KH, KW = shape
    fan_in = C * KH * KW
    return math.sqrt(2 / fan_in)
""",
)
add(
    12,
    "It is Glorot's formula, sqrt(2 / (fan_in + fan_out)), instead of He's, which uses the fan-in alone.",
    "Glorot and Bengio's rule",
    """
import math


def he_sigma(shape):
    kernel = math.prod(shape[2:])
    fan_in, fan_out = shape[1] * kernel, shape[0] * kernel
    return math.sqrt(2.0 / (fan_in + fan_out))
""",
)
add(
    13,
    "w is moved with the old velocity v instead of the new one.",
    "w changes by the old velocity",
    """
import numpy as np


def momentum_step(w, v, g, lr, momentum=0.9, decay=0.0005):
    new_v = momentum * v - decay * lr * w - lr * g
    new_w = w + v
    return new_w, new_v
""",
)
add(
    13,
    "The weight decay is not multiplied by the learning rate: it is decay * w instead of decay * lr * w.",
    "The decay is not multiplied by the learning rate",
    """
import numpy as np


def momentum_step(w, v, g, lr, momentum=0.9, decay=0.0005):
    v = momentum * v - decay * w - lr * g
    w = w + v
    return w, v
""",
)
add(
    13,
    "Two mistakes: the weight decay is added instead of subtracted, so it makes weights grow, and the in-place operations (*=, +=) modify the caller's arrays.",
    "",
    """
import numpy as np


def momentum_step(w, v, g, lr, momentum=0.9, decay=0.0005):
    v *= momentum
    v += lr * (decay * w - g)
    w += v
    return w, v
""",
)
