"""Wrong answers as learners write them, which no check.py lists.

Most were written before the diagnosis was tuned. Each has the words that the feedback
must contain: here it is computed from the results.
"""

NATURAL: list[tuple[int, str, str, str]] = []
"""(number of the exercise, what is wrong, words of the feedback, source)."""


def add(number, name, words, source):
    NATURAL.append((number, name, words, source))


# 3
def unbroadcast_answer(body, head=""):
    body = "\n".join("    " + l for l in body.strip("\n").splitlines())
    return f"import numpy as np\n{head}\ndef unbroadcast(dy, shape):\n{body}\n"


add(
    3,
    "left-aligned, extra at the end",
    "Broadcasting aligns shapes at the last axis and adds new axes in front",
    unbroadcast_answer("""
for axis in range(dy.ndim):
    if axis >= len(shape):
        dy = dy.sum(axis=-1)
    elif shape[axis] == 1:
        dy = dy.sum(axis=axis, keepdims=True)
return dy
"""),
)
add(
    3,
    "left-aligned by zip, keepdims",
    "The shapes are aligned at their first axis",
    unbroadcast_answer("""
axes = tuple(i for i, (a, b) in enumerate(zip(dy.shape, shape)) if a != b)
return dy.sum(axis=axes, keepdims=True)
"""),
)
add(
    3,
    "keepdims for new axes too",
    "the new axes are kept with size 1",
    unbroadcast_answer("""
shape = (1,) * (dy.ndim - len(shape)) + tuple(shape)
for i, n in enumerate(shape):
    if n == 1:
        dy = dy.sum(axis=i, keepdims=True)
return dy
"""),
)
add(
    3,
    "cannot reshape",
    "reshape only changes the shape: it does not sum",
    unbroadcast_answer("return dy.sum(axis=0).reshape(shape)"),
)
add(
    3,
    "broadcast_to",
    "np.broadcast_to repeats elements, so it can only enlarge an array",
    unbroadcast_answer("return np.broadcast_to(dy, shape)"),
)
add(
    3,
    "shape[i] over dy's axes",
    "an axis of dy is no index into `shape`",
    unbroadcast_answer("""
axes = []
for i in range(dy.ndim):
    if shape[i] == 1:
        axes.append(i)
return dy.sum(axis=tuple(axes), keepdims=True)
"""),
)
add(
    3,
    "while sums the last axis",
    "adds new axes in front: sum over the first ones",
    unbroadcast_answer("""
while dy.ndim > len(shape):
    dy = dy.sum(axis=-1)
for i in range(len(shape)):
    if shape[i] == 1:
        dy = dy.sum(axis=i, keepdims=True)
return dy
"""),
)
add(
    3,
    "index of the reversed zip",
    "The index is counted from the end, as in a loop over reversed shapes",
    unbroadcast_answer("""
extra = dy.ndim - len(shape)
if extra > 0:
    dy = dy.sum(axis=tuple(range(extra)))
for i, (have, want) in enumerate(zip(reversed(dy.shape), reversed(shape))):
    if want == 1 and have > 1:
        dy = dy.sum(axis=i, keepdims=True)
return dy
"""),
)
add(
    3,
    "total sum",
    "All axes are summed as soon as the shapes differ",
    unbroadcast_answer("""
if dy.shape == shape:
    return dy
return dy.sum()
"""),
)
add(
    3,
    "divided by uses",
    "The gradients of all uses are summed, not averaged",
    unbroadcast_answer("""
n = dy.size
for k in range(dy.ndim - len(shape)):
    dy = dy.sum(axis=0)
for i, s in enumerate(shape):
    if s == 1:
        dy = dy.sum(axis=i, keepdims=True)
return dy * dy.size / n
"""),
)
add(
    3,
    "squeezed at the end",
    "keepdims=True keeps them",
    unbroadcast_answer("""
for k in range(dy.ndim - len(shape)):
    dy = dy.sum(axis=0)
for i, s in enumerate(shape):
    if s == 1:
        dy = dy.sum(axis=i, keepdims=True)
return dy.squeeze()
"""),
)
add(
    3,
    "list of axes",
    "axis=... takes an int or a tuple of ints: tuple(axes)",
    unbroadcast_answer("""
axes = [i for i, s in enumerate(shape) if s == 1]
return dy.sum(axis=axes, keepdims=True)
"""),
)
add(
    3,
    "axes of size 1 counted before the new ones are removed",
    "Your gradient is the sum of dy along axes 0 and 1. Here it should be the sum along axes 0 and 2",
    unbroadcast_answer("""
ones = tuple(i for i, s in enumerate(shape) if s == 1)
dy = dy.sum(axis=ones, keepdims=True)
while dy.ndim > len(shape):
    dy = dy.sum(axis=0)
return dy
"""),
)
add(
    3,
    "first uses by slicing",
    "Your gradient is the first element of dy along axis 0",
    unbroadcast_answer("""
while dy.ndim > len(shape):
    dy = dy[0]
return dy[tuple(slice(0, s) for s in shape)]
"""),
)

# 7


def relu_answer(backward, forward="self.x = x\nreturn np.maximum(x, 0)"):
    def indent(text):
        return "\n".join("        " + line for line in text.strip("\n").splitlines())

    return (
        "import numpy as np\nimport tinyalex as ta\n\n\nclass ReLU(ta.Function):\n"
        f"    def forward(self, x):\n{indent(forward)}\n\n"
        f"    def backward(self, dy):\n{indent(backward)}\n"
    )


add(
    7,
    "if of an array",
    "`not` need a single bool, and here is an array with a bool for each element",
    relu_answer("return dy if self.x > 0 else 0"),
)
add(
    7,
    "returns x",
    "Where x > 0, your dx is x; it should be dy. Where x < 0, your dx is x; it should be 0.",
    relu_answer("return self.x"),
)
add(
    7,
    "returns y",
    "Where x > 0, your dx is x; it should be dy. It is right where x < 0",
    relu_answer("return np.maximum(self.x, 0)"),
)
add(
    7,
    "x where positive, times mask",
    "Where x > 0, your dx is x; it should be dy.",
    relu_answer("mask = self.x > 0\nreturn self.x * mask"),
)
add(
    7,
    "precedence",
    "`dy * self.x > 0` compares the product, since `*` comes before the comparison",
    relu_answer("return dy * self.x > 0"),
)
add(
    7,
    "selected elements only",
    "a[mask] has only the selected elements",
    relu_answer("return dy[self.x > 0]"),
)
add(
    7,
    "np.where with one argument",
    "np.where with one argument returns the indices of the True elements",
    relu_answer("return np.where(self.x > 0)"),
)
add(
    7,
    "one axis only",
    "self.x[i] is an array of shape (3, 4, 4)",
    relu_answer("""
dx = np.zeros_like(dy)
for i in range(len(dy)):
    if self.x[i] > 0:
        dx[i] = dy[i]
return dx
"""),
)
add(
    7,
    "mask from the output, >=",
    "Where x < 0 and where x = 0, your dx is dy; it should be 0.",
    relu_answer("return dy * (self.y >= 0)", "self.y = np.maximum(x, 0)\nreturn self.y"),
)
add(
    7,
    "forward in place",
    "Line 8: x[x < 0] = 0",
    relu_answer("return dy * (self.x > 0)", "self.x = x\nx[x < 0] = 0\nreturn x"),
)
add(
    7,
    "assigns all of dy to the selected",
    "Index it with the same mask: a[mask] = b[mask]",
    relu_answer("""
dx = np.zeros_like(self.x)
dx[self.x > 0] = dy
return dx
"""),
)
add(
    7,
    "x where not positive",
    "Where x < 0, your dx is x; it should be 0.",
    relu_answer("return np.where(self.x > 0, dy, self.x)"),
)
add(
    7,
    "leaky",
    "your dx is 0.01 * dy; it should be 0",
    relu_answer("return np.where(self.x > 0, dy, 0.01 * dy)"),
)
add(
    7,
    "mask as the gradient",
    "Where x > 0, your dx is 1; it should be dy.",
    relu_answer("return self.x > 0"),
)
add(
    7,
    "1 and 0",
    "The chain rule multiplies it by dy, the upstream gradient",
    relu_answer("grad = np.zeros(self.x.shape)\ngrad[self.x > 0] = 1\nreturn grad"),
)
add(
    7,
    "sign",
    "Where x < 0, your dx is -dy; it should be 0.",
    relu_answer("return dy * np.sign(self.x)"),
)
add(
    7,
    "counted mask",
    "your dx is dy times a number that differs from case to case (3, 4, ...)",
    relu_answer("return dy * (self.x > 0).sum()"),
)
add(7, "mask not stored", "self is without mask; it has x", relu_answer("return dy * self.mask"))
add(7, "np.max", "np.maximum compares element by element", relu_answer("return np.max(dy, 0)"))
add(
    7,
    "half at 0",
    "Where x = 0, your dx is 0.5 * dy; it should be 0.",
    relu_answer("return dy * np.heaviside(self.x, 0.5)"),
)
add(
    7,
    "1 where not positive",
    "Where x < 0 and where x = 0, your dx is 1; it should be 0.",
    relu_answer("d = np.where(self.x > 0, dy, 1)\nreturn d"),
)

# 9

LOOPS = """
import numpy as np

def lrn_backward(dy, x, size, alpha, beta, k):
    N, C, H, W = x.shape
    half = size // 2
    s = np.zeros_like(x)
    for c in range(C):
        lo, hi = max(0, c - half), min(C, c + half + 1)
        s[:, c] = k + alpha * np.sum(x[:, lo:hi] ** 2, axis=1)
    y = x * s ** (-beta)
    dx = np.zeros_like(x)
    for c in range(C):
        lo, hi = max(0, c - half), min(C, c + half + 1)
        total = np.sum(dy[:, lo:hi] * y[:, lo:hi] / s[:, lo:hi], axis=1)
        dx[:, c] = dy[:, c] * s[:, c] ** (-beta) - 2 * alpha * beta * x[:, c] * total
    return dx
"""

SHIFTED = """
import numpy as np

def window_sum(a, size):
    pad = size // 2
    padded = np.pad(a, ((0, 0), (pad, pad), (0, 0), (0, 0)))
    return sum(padded[:, i : i + a.shape[1]] for i in range(size))

def lrn_backward(dy, x, size, alpha, beta, k):
    s = k + alpha * window_sum(x ** 2, size)
    scale = np.power(s, -beta)
    y = x * scale
    ratio = window_sum(dy * y / s, size)
    return dy * scale - 2 * alpha * beta * x * ratio
"""

ELEMENTS = """
import numpy as np

def lrn_backward(dy, x, size, alpha, beta, k):
    N, C, H, W = x.shape
    s = np.zeros(x.shape)
    y = np.zeros(x.shape)
    dx = np.zeros(x.shape)
    for n in range(N):
        for h in range(H):
            for w in range(W):
                for c in range(C):
                    total = 0
                    for j in range(c - size // 2, c + size // 2 + 1):
                        if 0 <= j < C:
                            total += x[n, j, h, w] ** 2
                    s[n, c, h, w] = k + alpha * total
                    y[n, c, h, w] = x[n, c, h, w] / s[n, c, h, w] ** beta
                for c in range(C):
                    total = 0
                    for j in range(c - size // 2, c + size // 2 + 1):
                        if 0 <= j < C:
                            total += dy[n, j, h, w] * y[n, j, h, w] / s[n, j, h, w]
                    dx[n, c, h, w] = dy[n, c, h, w] * s[n, c, h, w] ** -beta
                    dx[n, c, h, w] -= 2 * alpha * beta * x[n, c, h, w] * total
    return dx
"""


def add_lrn(name, words, source, *changes):
    for old, new in changes:
        assert old in source, (name, old)
        source = source.replace(old, new)
    add(9, name, words, source)


add_lrn(
    "beta missing",
    "The factor `beta` is missing in `2*alpha*beta*x*near(dy*y/s)`",
    LOOPS,
    ("2 * alpha * beta", "2 * alpha"),
)
add_lrn(
    "beta missing, shifted",
    "The factor `beta` is missing in `2*alpha*beta*x*near(dy*y/s)`",
    SHIFTED,
    ("2 * alpha * beta", "2 * alpha"),
)
add_lrn(
    "alpha missing",
    "The factor `alpha` is missing in `2*alpha*beta*x*near(dy*y/s)`",
    ELEMENTS,
    ("2 * alpha * beta", "2 * beta"),
)
add_lrn(
    "dy missing in the sum",
    "The factor `dy` is missing in `dy*y/s`",
    LOOPS,
    ("dy[:, lo:hi] * y[", "y["),
)
add_lrn(
    "k missing",
    "The term `k` is missing, in `s = k + alpha*near(x**2)`",
    SHIFTED,
    ("s = k + alpha", "s = alpha"),
)
add_lrn(
    "k is 1",
    "`1` takes the place of `k`, in `s = k + alpha*near(x**2)`",
    ELEMENTS,
    ("k + alpha * total", "1 + alpha * total"),
)
add_lrn(
    "s of c",
    "`s` is outside of `near(...)`, so it is `s[c]` and should be `s[j]`",
    LOOPS,
    ("/ s[:, lo:hi], axis=1)", ", axis=1) / s[:, c]"),
)
add_lrn(
    "y of c",
    "`y` is outside of `near(...)`, so it is `y[c]` and should be `y[j]`",
    ELEMENTS,
    ("* y[n, j, h, w] / s[n, j", "* y[n, c, h, w] / s[n, j"),
)
add_lrn(
    "dy of c",
    "`dy` is outside of `near(...)`, so it is `dy[c]` and should be `dy[j]`",
    ELEMENTS,
    ("+= dy[n, j", "+= dy[n, c"),
)
add_lrn("sum without axis", "give the sum axis=1", LOOPS, ("s[:, lo:hi], axis=1)", "s[:, lo:hi])"))
add_lrn(
    "range one short",
    "The window ends one channel too early",
    ELEMENTS,
    ("c + size // 2 + 1)", "c + size // 2)"),
)
add_lrn(
    "range one short in the second sum",
    "`near(dy*y/s)` should be the sum over the channels j around c, and is a sum over a window that ends one channel early",
    ELEMENTS,
    (
        "c + size // 2 + 1):\n                        if 0 <= j < C:\n                            total += dy",
        "c + size // 2):\n                        if 0 <= j < C:\n                            total += dy",
    ),
)
add_lrn(
    "s already has the power",
    "`s**beta` takes the place of `s` in `dy*y/s`. Does your variable s contain the power already?",
    SHIFTED,
    (
        "s = k + alpha * window_sum(x ** 2, size)",
        "s = (k + alpha * window_sum(x ** 2, size)) ** beta",
    ),
    ("np.power(s, -beta)", "1 / s"),
)
add_lrn(
    "beta + 1 in the first term",
    "The exponent of `s**-beta` is `-beta - 1`",
    LOOPS,
    ("s[:, c] ** (-beta)", "s[:, c] ** (-beta - 1)"),
)
add_lrn(
    "x not squared", "The exponent of `x**2` is missing", LOOPS, ("x[:, lo:hi] ** 2", "x[:, lo:hi]")
)
add_lrn(
    "x missing",
    "The factor `x` is missing in `2*alpha*beta*x*near(dy*y/s)`",
    SHIFTED,
    ("beta * x * ratio", "beta * ratio"),
)
add_lrn(
    "dy missing in the first term",
    "The factor `dy` is missing in `dy*s**-beta`",
    SHIFTED,
    ("return dy * scale", "return scale"),
)
add_lrn(
    "mean of the window",
    "a mean: the sum divided by the number of channels in the window",
    LOOPS,
    ("np.sum(x", "np.mean(x"),
    ("np.sum(dy", "np.mean(dy"),
)
add_lrn(
    "axis 0",
    "Is the wrong axis summed, or the wrong part indexed?",
    LOOPS,
    ("x[:, lo:hi] ** 2, axis=1", "x[:, lo:hi] ** 2, axis=0"),
)
add_lrn(
    "channels are axis 0",
    "Axis 0 has size 1, so an index must be below 1, and here it is 1. Is it the axis that you mean?",
    LOOPS,
    ("[:, ", "["),
    (", axis=1", ", axis=0"),
)
add_lrn(
    "no bounds",
    "test the index before it is used, or limit the loop",
    ELEMENTS,
    ("if 0 <= j < C:", "if True:"),
)
add_lrn(
    "beta and sign",
    "is added and should be subtracted. The factor `beta` is missing",
    LOOPS,
    ("- 2 * alpha * beta", "+ 2 * alpha"),
)
add_lrn(
    "y for x outside",
    "`y` takes the place of `x` in `2*alpha*beta*x*near(dy*y/s)`",
    SHIFTED,
    ("beta * x * ratio", "beta * y * ratio"),
)
add_lrn(
    "whole channels",
    "and is a sum over all channels",
    SHIFTED,
    ("ratio = window_sum(dy * y / s, size)", "ratio = (dy * y / s).sum(axis=1, keepdims=True)"),
)
add_lrn(
    "sqrt of s",
    "`s**0.5` takes the place of `s` in `dy*y/s`",
    SHIFTED,
    ("dy * y / s", "dy * y / np.sqrt(s)"),
)

# 12


def sigma_answer(body, head="import math\nimport numpy as np"):
    body = "\n".join("    " + l for l in body.strip("\n").splitlines())
    return f"{head}\n\ndef he_sigma(shape):\n{body}\n"


add(
    12,
    "sqrt of 2 only",
    "your sigma is sqrt(2) / n with n = in; it should be sqrt(2 / n)",
    sigma_answer("fan_in = math.prod(shape[1:])\nreturn math.sqrt(2) / fan_in"),
)
add(
    12,
    "all sizes",
    "n = out*in; n should be in",
    sigma_answer("return math.sqrt(2 / np.prod(shape))"),
)
add(
    12,
    "** 1/2",
    "`(2 / fan_in) ** 1 / 2` is divided by 2, and is not a root",
    sigma_answer("fan_in = np.prod(shape[1:])\nreturn (2 / fan_in) ** 1/2"),
)
add(
    12,
    "square window",
    "n = C*KH*KH; n should be C*KH*KW. It is right for a linear layer (out, in). A window need not be square.",
    sigma_answer(
        "fan_in = shape[1]\nif len(shape) == 4:\n    fan_in *= shape[2] ** 2\nreturn (2 / fan_in) ** 0.5"
    ),
)
add(
    12,
    "four sizes",
    "There are 4 names on the left, but 2 elements on the right",
    sigma_answer("o, c, kh, kw = shape\nreturn math.sqrt(2 / (c * kh * kw))"),
)
add(
    12,
    "shape[2] of two",
    "The tuple has fewer elements than this index needs",
    sigma_answer("return math.sqrt(2 / (shape[1] * shape[2] * shape[3]))"),
)
add(
    12,
    "sum of sizes",
    "n = C + KH + KW; n should be C*KH*KW",
    sigma_answer("return math.sqrt(2 / sum(shape[1:]))"),
)
add(
    12,
    "all but the last",
    "n = O*C*KH; n should be C*KH*KW",
    sigma_answer("n = 1\nfor s in shape[:-1]:\n    n *= s\nreturn math.sqrt(2 / n)"),
)
add(
    12,
    "number of sizes",
    "n = the number of sizes after the first",
    sigma_answer("return math.sqrt(2 / len(shape[1:]))"),
)
add(
    12,
    "upside down",
    "your sigma is sqrt(n / 2) with n = in",
    sigma_answer("fan_in = math.prod(shape[1:])\nreturn math.sqrt(fan_in / 2)"),
)
add(
    12,
    "prod of one size",
    "shape[1] is one size, shape[1:] a tuple of sizes",
    sigma_answer("return math.sqrt(2 / math.prod(shape[1]))"),
)
add(
    12,
    "integer division",
    "`//` divides and rounds down",
    sigma_answer("fan_in = math.prod(shape[1:])\nreturn math.sqrt(2 // fan_in)"),
)
add(
    12,
    "2 outside",
    "The 2 is outside of the root",
    sigma_answer("fan_in = math.prod(shape[1:])\nreturn 2 / math.sqrt(fan_in)"),
)
add(
    12,
    "2 times fan_in",
    "your sigma is 1 / sqrt(2 * n) with n = in",
    sigma_answer("fan_in = math.prod(shape[1:])\nreturn math.sqrt(1 / (2 * fan_in))"),
)
add(
    12,
    "divided by the tuple",
    "`/` is not defined for a value of type int and one of type tuple",
    sigma_answer("return math.sqrt(2 / shape[1:])"),
)
add(
    12,
    "first size for two, channels for four",
    "n = out; n should be in. It is right for a convolution",
    sigma_answer(
        "if len(shape) == 2:\n    n = shape[0]\nelse:\n    n = shape[1] * shape[2] * shape[3]\nreturn math.sqrt(2 / n)"
    ),
)
add(
    12,
    "uniform bound",
    "That is the bound of a uniform distribution",
    sigma_answer("n = math.prod(shape[1:])\nreturn math.sqrt(6 / n)"),
)

# 4


def prelu_answer(backward):
    return (
        "import numpy as np\nimport tinyalex as ta\n\n\nclass PReLU(ta.Function):\n"
        "    def forward(self, x, a):\n        self.x, self.a = x, a\n"
        "        return np.where(x > 0, x, a[:, None, None] * x)\n\n"
        "    def backward(self, dy):\n"
        + "\n".join("        " + line for line in backward.strip("\n").splitlines())
        + "\n"
    )


add(
    4,
    "a broadcast along the last axis",
    "Here axis -1 has size 2 in the first array and 3 in the second",
    prelu_answer("""
dx = np.where(self.x > 0, dy, self.a * dy)
da = np.where(self.x > 0, 0, dy * self.x).sum(axis=(0, 2, 3))
return dx, da
"""),
)
add(
    4,
    "da is all one number",
    "is the sum over all axes, one number for all channels",
    prelu_answer("""
a = self.a.reshape(1, -1, 1, 1)
dx = np.where(self.x > 0, dy, a * dy)
da = np.where(self.x > 0, 0, dy * self.x).sum()
return dx, da
"""),
)
add(
    4,
    "dx times x too",
    "Where x < 0, your dx is x * dy * a; it should be dy * a[c]",
    prelu_answer("""
a = self.a.reshape(1, -1, 1, 1)
neg = self.x <= 0
dx = dy * (1 - neg) + neg * a * self.x * dy
da = (neg * dy * self.x).sum(axis=(0, 2, 3))
return dx, da
"""),
)
add(
    4,
    "da times a",
    "is multiplied by `a`, and should not be",
    prelu_answer("""
a = self.a.reshape(1, -1, 1, 1)
neg = self.x <= 0
dx = dy * np.where(neg, a, 1)
da = (neg * dy * a * self.x).sum(axis=(0, 2, 3))
return dx, da
"""),
)
add(
    4,
    "da of dy alone",
    "`where(x > 0, 0, 1)` takes the place of `where(x > 0, 0, x)`",
    prelu_answer("""
a = self.a[None, :, None, None]
neg = self.x <= 0
dx = dy * np.where(neg, a, 1)
da = np.sum(dy * neg, axis=(0, 2, 3))
return dx, da
"""),
)
add(
    4,
    "da keeps axes",
    "with axes of size 1 kept by keepdims=True",
    prelu_answer("""
a = self.a[None, :, None, None]
neg = self.x <= 0
dx = dy * np.where(neg, a, 1)
da = np.sum(dy * neg * self.x, axis=(0, 2, 3), keepdims=True)
return dx, da
"""),
)
add(
    4,
    "masks exchanged",
    "`where(x > 0, column(a), 1)` takes the place of `where(x > 0, 1, column(a))`",
    prelu_answer("""
a = self.a[None, :, None, None]
dx = dy.copy()
dx = np.where(self.x > 0, a * dy, dy)
da = np.sum(np.where(self.x <= 0, dy * self.x, 0), axis=(0, 2, 3))
return dx, da
"""),
)

# 11


def loss_answer(
    loss,
    dlogits,
    p="""
e = np.exp(logits - logits.max(axis=1, keepdims=True))
p = e / e.sum(axis=1, keepdims=True)
""",
):
    body = f"N, K = logits.shape\nrows = np.arange(N)\n{p.strip()}\n"
    body += "z = logits - logits.max(axis=1, keepdims=True)\n"
    body += "log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))\n"
    body += f"loss = {loss}\none = np.eye(K)[target]\ndlogits = {dlogits}\nreturn loss, dlogits"
    body = "\n".join("    " + line for line in body.splitlines())
    return f"import numpy as np\n\ndef softmax_cross_entropy(logits, target):\n{body}\n"


MEAN = "-log_p[rows, target].mean()"
add(
    11,
    "one minus p",
    "`-p + one_hot` has the opposite sign of `p - one_hot`",
    loss_answer(MEAN, "(one - p) / N"),
)
add(
    11,
    "divided by K",
    "`K` takes the place of `N` in `(p - one_hot)/N`",
    loss_answer(MEAN, "(p - one) / K"),
)
add(11, "log_p for p", "`log_p` takes the place of `p`", loss_answer(MEAN, "(log_p - one) / N"))
add(
    11,
    "times one",
    "`p*one_hot` takes the place of `p - one_hot`",
    loss_answer(MEAN, "p * one / N"),
)
add(
    11,
    "p - target",
    "the target is an index, not a value to subtract",
    loss_answer(MEAN, "(p - target[:, None]) / N"),
)
add(
    11,
    "loss of all classes",
    "and is the values of all classes",
    loss_answer("-log_p.mean()", "(p - one) / N"),
)
add(
    11,
    "loss p not log",
    "`p` takes the place of `log_p` in `of_target(log_p)`",
    loss_answer("-np.exp(log_p[rows, target]).mean()", "(p - one) / N"),
)
add(
    11,
    "all pairs",
    "pairs each image with the targets of all",
    loss_answer("-log_p[:, target].mean()", "(p - one) / N"),
)
add(
    11,
    "log2",
    "The logarithm is natural: np.log, not log2",
    loss_answer("-(log_p[rows, target] / np.log(2)).mean()", "(p - one) / N"),
)

# 13


def momentum_answer(body):
    body = "\n".join("    " + line for line in body.strip("\n").splitlines())
    return f"import numpy as np\n\ndef momentum_step(w, v, g, lr, momentum=0.9, decay=0.0005):\n{body}\n"


add(
    13,
    "momentum on the gradient too",
    "The term `lr*g` is multiplied by `momentum`, and should not be",
    momentum_answer("v = momentum * (v - lr * g) - decay * lr * w\nreturn w + v, v"),
)
add(
    13,
    "lr twice",
    "`lr` occurs twice in `decay*lr*w`",
    momentum_answer("v = momentum * v - lr * (lr * decay * w + g)\nreturn w + v, v"),
)
add(
    13,
    "velocity times lr",
    "The term `v'` is multiplied by `lr`, and should not be",
    momentum_answer("v = momentum * v - decay * lr * w - lr * g\nreturn w + lr * v, v"),
)
add(
    13,
    "decay of g",
    "`g` takes the place of `w` in `decay*lr*w`",
    momentum_answer("v = momentum * v - decay * lr * g - lr * g\nreturn w + v, v"),
)
add(
    13,
    "gradient without lr",
    "The factor `lr` is missing in `lr*g`",
    momentum_answer("v = momentum * v - decay * lr * w - g\nreturn w + v, v"),
)
add(
    13,
    "Nesterov",
    "This is Nesterov's momentum",
    momentum_answer(
        "u = momentum * v - decay * lr * w - lr * g\nreturn w + momentum * u - lr * g, u"
    ),
)
add(
    13,
    "exchanged",
    "All values are right, but in another order: return w, v",
    momentum_answer("v = momentum * v - decay * lr * w - lr * g\nw = w + v\nreturn v, w"),
)
add(
    13,
    "both moving average and ascent",
    "The third term, `lr*g`, is -(1 - momentum) times what it should be. Its sign is wrong.",
    momentum_answer("v = momentum * v + (1 - momentum) * lr * g - lr * decay * w\nreturn w + v, v"),
)
add(
    13,
    "momentum divides",
    "`momentum*v` is divided by `momentum` and should be multiplied by it",
    momentum_answer("v = v / momentum - decay * lr * w - lr * g\nreturn w + v, v"),
)
add(
    13,
    "in place",
    "Line 4: v *= momentum",
    momentum_answer("v *= momentum\nv -= lr * (decay * w + g)\nw += v\nreturn w, v"),
)

# Written after the diagnosis was tuned

add(
    3,
    "in place resize",
    "An in-place operation, such as +=, keeps the shape of the array on its left, (3,)",
    unbroadcast_answer("out = np.zeros(shape)\nout += dy\nreturn out"),
)
add(
    3,
    "loop over elements np.add.at idx",
    "The array has 1 axes and 2 indices",
    unbroadcast_answer(
        "out = np.zeros(shape)\nfor idx in np.ndindex(dy.shape):\n    out[idx] += dy[idx]\nreturn out"
    ),
)
add(
    3,
    "mod index",
    "Your gradient is the last element of dy along axis 0. Here it should be the sum",
    unbroadcast_answer(
        "out = np.zeros(shape)\nextra = dy.ndim - len(shape)\nfor idx in np.ndindex(dy.shape):\n    j = tuple(0 if s == 1 else i for i, s in zip(idx[extra:], shape))\n    out[j] = dy[idx]\nreturn out"
    ),
)
add(
    3,
    "not reversed shapes zip_longest",
    "The shapes are aligned at their first axis",
    unbroadcast_answer(
        "for i in range(dy.ndim - 1, -1, -1):\n    if i >= len(shape) or shape[i] != dy.shape[i]:\n        dy = dy.sum(axis=i)\nreturn dy"
    ),
)
add(
    3,
    "reshape instead of sum",
    "The array has 6 elements, and the shape (3,) another number. reshape only changes",
    unbroadcast_answer("return dy.reshape(shape)"),
)
add(
    3,
    "iterates decreasing ndim",
    "the axes after it move down by one",
    unbroadcast_answer(
        "for i in range(dy.ndim - len(shape)):\n    dy = dy.sum(axis=i)\nfor i, s in enumerate(shape):\n    if s == 1:\n        dy = dy.sum(axis=i, keepdims=True)\nreturn dy"
    ),
)
add(
    3,
    "returns None in case equal",
    "Is a `return` missing?",
    unbroadcast_answer("if dy.shape != shape:\n    dy = dy.sum(axis=0)\n    return dy"),
)
add(7, "not self.x", "`not` need a single bool", relu_answer("return dy * (not self.x <= 0)"))
add(
    7,
    "minus",
    "Where x > 0, your dx is 0; it should be dy. Where x < 0 and where x = 0, your dx is dy",
    relu_answer("return dy - dy * (self.x > 0)"),
)
add(
    7,
    "plus",
    "Where x > 0, your dx is dy + 1; it should be dy.",
    relu_answer("return dy + (self.x > 0)"),
)
add(
    7,
    "clip",
    "Where x < 0, your dx is x; it should be 0.",
    relu_answer("return np.clip(dy, 0, self.x)"),
)
add(
    7,
    "threshold 1",
    "your dx is dy at some elements and 0 at others",
    relu_answer("return dy * (self.x > 1)"),
)
add(
    7,
    "returns both",
    "got a tuple of 2 Return one array",
    relu_answer("return dy, dy * (self.x > 0)"),
)
add(
    7,
    "abs mask",
    "Where x < 0, your dx is dy; it should be 0.",
    relu_answer("return dy * (np.abs(self.x) > 0)"),
)
add(
    7,
    "relu of product",
    "your dx is the larger of dy * x and 0; it should be dy",
    relu_answer("return np.maximum(dy * self.x, 0)"),
)
add_lrn(
    "quotient form: s**-beta-1",
    "So the first term is right there; look at s and at the second term.",
    SHIFTED,
    ("dy * y / s", "dy * x * s ** -beta - 1"),
)
add_lrn(
    "alpha/n in one",
    "`near(x**2)` should be the sum over the channels j around c, and is a mean: the sum divided by `size`",
    SHIFTED,
    ("s = k + alpha *", "s = k + alpha / size *"),
)
add_lrn(
    "alpha and beta both missing",
    "The factor `alpha` is missing in `2*alpha*beta*x*near(dy*y/s)`. The factor `beta` is missing",
    SHIFTED,
    ("2 * alpha * beta", "2"),
)
add_lrn(
    "total not reset",
    "a running total: the variable is not set to 0 for each channel",
    ELEMENTS,
    (
        "                for c in range(C):\n                    total = 0\n                    for j in range(c - size // 2, c + size // 2 + 1):\n                        if 0 <= j < C:\n                            total += dy",
        "                total = 0\n                for c in range(C):\n                    for j in range(c - size // 2, c + size // 2 + 1):\n                        if 0 <= j < C:\n                            total += dy",
    ),
)
add_lrn(
    "x not defined k s",
    "`x/s` takes the place of `y` in `dy*y/s`",
    SHIFTED,
    ("y = x * scale", "y = x / s"),
)
add_lrn(
    "scale power positive",
    "The exponent of `s**-beta` has the opposite sign, in all places",
    SHIFTED,
    ("np.power(s, -beta)", "np.power(s, beta)"),
)
add_lrn(
    "inverse",
    "The exponent of `s**-beta` is -1, in all places",
    SHIFTED,
    ("np.power(s, -beta)", "1 / s"),
)
add_lrn(
    "k inside alpha",
    "The term `k` is multiplied by `alpha`, and should not be",
    SHIFTED,
    ("k + alpha * window_sum(x ** 2, size)", "alpha * (k + window_sum(x ** 2, size))"),
)
add_lrn("dx second only", "The term `dy*s**-beta` is missing", SHIFTED, ("dy * scale - 2", "-2"))
add_lrn(
    "size//2 window in range size//2 - 1",
    "a window that starts one channel late and ends one early",
    ELEMENTS,
    ("c - size // 2, c + size // 2 + 1", "c - size // 2 + 1, c + size // 2"),
)
add_lrn(
    "three mistakes",
    "The second term, `2*alpha*beta*x*near(dy*y/s)`, is -1/(2*alpha) times what it should be. Its sign is wrong. Is `alpha` missing? The first term is right.",
    SHIFTED,
    ("2 * alpha * beta", "beta"),
    ("dy * scale -", "dy * scale +"),
)
add_lrn(
    "sum over axis=(1,2,3)",
    "total is an array of shape (2,)",
    LOOPS,
    ("/ s[:, lo:hi], axis=1)", "/ s[:, lo:hi], axis=(1, 2, 3))"),
)
add_lrn(
    "c range only",
    "a sum that leaves out the last channel of the array",
    LOOPS,
    ("min(C, c + half + 1)", "min(C - 1, c + half + 1)"),
)
add(
    12,
    "kernel only",
    "n = KH*KW; n should be C*KH*KW",
    sigma_answer("return math.sqrt(2 / math.prod(shape[2:]))"),
)
add(12, "max", "n = the largest size", sigma_answer("return math.sqrt(2 / max(shape))"))
add(
    12,
    "fan avg",
    "n = (fan_in + fan_out) / 2",
    sigma_answer(
        "fan_in = math.prod(shape[1:])\nfan_out = shape[0] * math.prod(shape[2:])\nreturn math.sqrt(2 / ((fan_in + fan_out) / 2))"
    ),
)
add(
    12,
    "fan sum no rf",
    "n = C*KH*KW + O; n should be C*KH*KW",
    sigma_answer("fan_in = math.prod(shape[1:])\nreturn math.sqrt(2 / (fan_in + shape[0]))"),
)
add(
    12,
    "2**0.5",
    "n = O*O*C*KH*KW; n should be C*KH*KW",
    sigma_answer("fan_in = shape[0]\nfor n in shape: fan_in *= n\nreturn (2 / fan_in) ** 0.5"),
)
add(
    12,
    "len",
    "n = the number of sizes; n should be in",
    sigma_answer("fan_in = len(shape)\nreturn math.sqrt(2 / fan_in)"),
)
add(
    12,
    "random weights",
    "Two calls with the same arguments return different values",
    sigma_answer("w = np.random.randn(*shape)\nreturn w.std()"),
)
add(
    12,
    "returns array",
    "A single number is expected",
    sigma_answer("return np.sqrt(2 / np.array(shape[1:]))"),
)
add(
    12,
    "if ndim conv first",
    "n = O*KH*KW; n should be C*KH*KW. It is right for a linear layer",
    sigma_answer(
        "if len(shape) == 4:\n    n = shape[0] * shape[2] * shape[3]\nelse:\n    n = shape[1]\nreturn math.sqrt(2 / n)"
    ),
)
add(
    12,
    "inner index",
    "`2 / a * b` is (2 / a) * b",
    sigma_answer(
        "return math.sqrt(2 / shape[1] * shape[2] * shape[3]) if len(shape) > 2 else math.sqrt(2 / shape[1])"
    ),
)
add(
    12,
    "std of relu",
    "2 / fan_in is the variance",
    sigma_answer("n = math.prod(shape[1:])\nreturn 1 / math.sqrt(n / 2) ** 2"),
)
add(12, "last only", "n = KW; n should be C*KH*KW", sigma_answer("return math.sqrt(2 / shape[-1])"))
add(
    12,
    "reduce from 0",
    "Something is divided by 0",
    sigma_answer("n = 0\nfor s in shape[1:]:\n    n *= s\nreturn math.sqrt(2 / n)"),
)
