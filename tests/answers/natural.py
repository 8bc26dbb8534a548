"""Wrong answers as learners write them, written before the diagnosis was tuned.

Each has the words that the feedback must contain. They differ from the mistakes that a
check.py lists: here the feedback is computed from the results.
"""

TODO = []


def add(number, name, source):
    TODO.append((number, name, source))


# 3
def U(body, head=""):
    body = "\n".join("    " + l for l in body.strip("\n").splitlines())
    return f"import numpy as np\n{head}\ndef unbroadcast(dy, shape):\n{body}\n"


add(3, "left-aligned, extra at the end", U("""
for axis in range(dy.ndim):
    if axis >= len(shape):
        dy = dy.sum(axis=-1)
    elif shape[axis] == 1:
        dy = dy.sum(axis=axis, keepdims=True)
return dy
"""))
add(3, "left-aligned by zip, keepdims", U("""
axes = tuple(i for i, (a, b) in enumerate(zip(dy.shape, shape)) if a != b)
return dy.sum(axis=axes, keepdims=True)
"""))
add(3, "keepdims for new axes too", U("""
shape = (1,) * (dy.ndim - len(shape)) + tuple(shape)
for i, n in enumerate(shape):
    if n == 1:
        dy = dy.sum(axis=i, keepdims=True)
return dy
"""))
add(3, "cannot reshape", U("return dy.sum(axis=0).reshape(shape)"))
add(3, "broadcast_to", U("return np.broadcast_to(dy, shape)"))
add(3, "shape[i] over dy's axes", U("""
axes = []
for i in range(dy.ndim):
    if shape[i] == 1:
        axes.append(i)
return dy.sum(axis=tuple(axes), keepdims=True)
"""))
add(3, "while sums the last axis", U("""
while dy.ndim > len(shape):
    dy = dy.sum(axis=-1)
for i in range(len(shape)):
    if shape[i] == 1:
        dy = dy.sum(axis=i, keepdims=True)
return dy
"""))
add(3, "index of the reversed zip", U("""
extra = dy.ndim - len(shape)
if extra > 0:
    dy = dy.sum(axis=tuple(range(extra)))
for i, (have, want) in enumerate(zip(reversed(dy.shape), reversed(shape))):
    if want == 1 and have > 1:
        dy = dy.sum(axis=i, keepdims=True)
return dy
"""))
add(3, "total sum", U("""
if dy.shape == shape:
    return dy
return dy.sum()
"""))
add(3, "divided by uses", U("""
n = dy.size
for k in range(dy.ndim - len(shape)):
    dy = dy.sum(axis=0)
for i, s in enumerate(shape):
    if s == 1:
        dy = dy.sum(axis=i, keepdims=True)
return dy * dy.size / n
"""))
add(3, "squeezed at the end", U("""
for k in range(dy.ndim - len(shape)):
    dy = dy.sum(axis=0)
for i, s in enumerate(shape):
    if s == 1:
        dy = dy.sum(axis=i, keepdims=True)
return dy.squeeze()
"""))
add(3, "list of axes", U("""
axes = [i for i, s in enumerate(shape) if s == 1]
return dy.sum(axis=axes, keepdims=True)
"""))
add(3, "axes of size 1 counted before the new ones are removed", U("""
ones = tuple(i for i, s in enumerate(shape) if s == 1)
dy = dy.sum(axis=ones, keepdims=True)
while dy.ndim > len(shape):
    dy = dy.sum(axis=0)
return dy
"""))
add(3, "first uses by slicing", U("""
while dy.ndim > len(shape):
    dy = dy[0]
return dy[tuple(slice(0, s) for s in shape)]
"""))

# 7


def R(backward, forward="self.x = x\nreturn np.maximum(x, 0)"):
    def indent(text):
        return "\n".join("        " + line for line in text.strip("\n").splitlines())

    return (
        "import numpy as np\nimport tinyalex as ta\n\n\nclass ReLU(ta.Function):\n"
        f"    def forward(self, x):\n{indent(forward)}\n\n"
        f"    def backward(self, dy):\n{indent(backward)}\n"
    )


add(7, "if of an array", R("return dy if self.x > 0 else 0"))
add(7, "returns x", R("return self.x"))
add(7, "returns y", R("return np.maximum(self.x, 0)"))
add(7, "x where positive, times mask", R("mask = self.x > 0\nreturn self.x * mask"))
add(7, "precedence", R("return dy * self.x > 0"))
add(7, "selected elements only", R("return dy[self.x > 0]"))
add(7, "np.where with one argument", R("return np.where(self.x > 0)"))
add(7, "one axis only", R("""
dx = np.zeros_like(dy)
for i in range(len(dy)):
    if self.x[i] > 0:
        dx[i] = dy[i]
return dx
"""))
add(7, "mask from the output, >=", R("return dy * (self.y >= 0)", "self.y = np.maximum(x, 0)\nreturn self.y"))
add(7, "forward in place", R("return dy * (self.x > 0)", "self.x = x\nx[x < 0] = 0\nreturn x"))
add(7, "assigns all of dy to the selected", R("""
dx = np.zeros_like(self.x)
dx[self.x > 0] = dy
return dx
"""))
add(7, "x where not positive", R("return np.where(self.x > 0, dy, self.x)"))
add(7, "leaky", R("return np.where(self.x > 0, dy, 0.01 * dy)"))
add(7, "mask as the gradient", R("return self.x > 0"))
add(7, "1 and 0", R("grad = np.zeros(self.x.shape)\ngrad[self.x > 0] = 1\nreturn grad"))
add(7, "sign", R("return dy * np.sign(self.x)"))
add(7, "counted mask", R("return dy * (self.x > 0).sum()"))
add(7, "mask not stored", R("return dy * self.mask"))
add(7, "np.max", R("return np.max(dy, 0)"))
add(7, "half at 0", R("return dy * np.heaviside(self.x, 0.5)"))
add(7, "1 where not positive", R("d = np.where(self.x > 0, dy, 1)\nreturn d"))

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


def lrn(name, source, *changes):
    for old, new in changes:
        assert old in source, (name, old)
        source = source.replace(old, new)
    add(9, name, source)


lrn("beta missing", LOOPS, ("2 * alpha * beta", "2 * alpha"))
lrn("beta missing, shifted", SHIFTED, ("2 * alpha * beta", "2 * alpha"))
lrn("alpha missing", ELEMENTS, ("2 * alpha * beta", "2 * beta"))
lrn("dy missing in the sum", LOOPS, ("dy[:, lo:hi] * y[", "y["))
lrn("k missing", SHIFTED, ("s = k + alpha", "s = alpha"))
lrn("k is 1", ELEMENTS, ("k + alpha * total", "1 + alpha * total"))
lrn("s of c", LOOPS, ("/ s[:, lo:hi], axis=1)", ", axis=1) / s[:, c]"))
lrn("y of c", ELEMENTS, ("* y[n, j, h, w] / s[n, j", "* y[n, c, h, w] / s[n, j"))
lrn("dy of c", ELEMENTS, ("+= dy[n, j", "+= dy[n, c"))
lrn("sum without axis", LOOPS, ("s[:, lo:hi], axis=1)", "s[:, lo:hi])"))
lrn("range one short", ELEMENTS, ("c + size // 2 + 1)", "c + size // 2)"))
lrn("range one short in the second sum", ELEMENTS, ("c + size // 2 + 1):\n                        if 0 <= j < C:\n                            total += dy", "c + size // 2):\n                        if 0 <= j < C:\n                            total += dy"))
lrn("s already has the power", SHIFTED, ("s = k + alpha * window_sum(x ** 2, size)", "s = (k + alpha * window_sum(x ** 2, size)) ** beta"), ("np.power(s, -beta)", "1 / s"))
lrn("beta + 1 in the first term", LOOPS, ("s[:, c] ** (-beta)", "s[:, c] ** (-beta - 1)"))
lrn("x not squared", LOOPS, ("x[:, lo:hi] ** 2", "x[:, lo:hi]"))
lrn("x missing", SHIFTED, ("beta * x * ratio", "beta * ratio"))
lrn("dy missing in the first term", SHIFTED, ("return dy * scale", "return scale"))
lrn("mean of the window", LOOPS, ("np.sum(x", "np.mean(x"), ("np.sum(dy", "np.mean(dy"))
lrn("axis 0", LOOPS, ("x[:, lo:hi] ** 2, axis=1", "x[:, lo:hi] ** 2, axis=0"))
lrn("channels are axis 0", LOOPS, ("[:, ", "["), (", axis=1", ", axis=0"))
lrn("no bounds", ELEMENTS, ("if 0 <= j < C:", "if True:"))
lrn("beta and sign", LOOPS, ("- 2 * alpha * beta", "+ 2 * alpha"))
lrn("y for x outside", SHIFTED, ("beta * x * ratio", "beta * y * ratio"))
lrn("whole channels", SHIFTED, ("ratio = window_sum(dy * y / s, size)", "ratio = (dy * y / s).sum(axis=1, keepdims=True)"))
lrn("sqrt of s", SHIFTED, ("dy * y / s", "dy * y / np.sqrt(s)"))

# 12


def S(body, head="import math\nimport numpy as np"):
    body = "\n".join("    " + l for l in body.strip("\n").splitlines())
    return f"{head}\n\ndef he_sigma(shape):\n{body}\n"


add(12, "sqrt of 2 only", S("fan_in = math.prod(shape[1:])\nreturn math.sqrt(2) / fan_in"))
add(12, "all sizes", S("return math.sqrt(2 / np.prod(shape))"))
add(12, "** 1/2", S("fan_in = np.prod(shape[1:])\nreturn (2 / fan_in) ** 1/2"))
add(12, "square window", S("fan_in = shape[1]\nif len(shape) == 4:\n    fan_in *= shape[2] ** 2\nreturn (2 / fan_in) ** 0.5"))
add(12, "four sizes", S("o, c, kh, kw = shape\nreturn math.sqrt(2 / (c * kh * kw))"))
add(12, "shape[2] of two", S("return math.sqrt(2 / (shape[1] * shape[2] * shape[3]))"))
add(12, "sum of sizes", S("return math.sqrt(2 / sum(shape[1:]))"))
add(12, "all but the last", S("n = 1\nfor s in shape[:-1]:\n    n *= s\nreturn math.sqrt(2 / n)"))
add(12, "number of sizes", S("return math.sqrt(2 / len(shape[1:]))"))
add(12, "upside down", S("fan_in = math.prod(shape[1:])\nreturn math.sqrt(fan_in / 2)"))
add(12, "prod of one size", S("return math.sqrt(2 / math.prod(shape[1]))"))
add(12, "integer division", S("fan_in = math.prod(shape[1:])\nreturn math.sqrt(2 // fan_in)"))
add(12, "2 outside", S("fan_in = math.prod(shape[1:])\nreturn 2 / math.sqrt(fan_in)"))
add(12, "2 times fan_in", S("fan_in = math.prod(shape[1:])\nreturn math.sqrt(1 / (2 * fan_in))"))
add(12, "divided by the tuple", S("return math.sqrt(2 / shape[1:])"))
add(12, "first size for two, channels for four", S("if len(shape) == 2:\n    n = shape[0]\nelse:\n    n = shape[1] * shape[2] * shape[3]\nreturn math.sqrt(2 / n)"))
add(12, "uniform bound", S("n = math.prod(shape[1:])\nreturn math.sqrt(6 / n)"))

# 4


def P(backward):
    return (
        "import numpy as np\nimport tinyalex as ta\n\n\nclass PReLU(ta.Function):\n"
        "    def forward(self, x, a):\n        self.x, self.a = x, a\n"
        "        return np.where(x > 0, x, a[:, None, None] * x)\n\n"
        "    def backward(self, dy):\n"
        + "\n".join("        " + line for line in backward.strip("\n").splitlines())
        + "\n"
    )


add(4, "a broadcast along the last axis", P("""
dx = np.where(self.x > 0, dy, self.a * dy)
da = np.where(self.x > 0, 0, dy * self.x).sum(axis=(0, 2, 3))
return dx, da
"""))
add(4, "da is all one number", P("""
a = self.a.reshape(1, -1, 1, 1)
dx = np.where(self.x > 0, dy, a * dy)
da = np.where(self.x > 0, 0, dy * self.x).sum()
return dx, da
"""))
add(4, "dx times x too", P("""
a = self.a.reshape(1, -1, 1, 1)
neg = self.x <= 0
dx = dy * (1 - neg) + neg * a * self.x * dy
da = (neg * dy * self.x).sum(axis=(0, 2, 3))
return dx, da
"""))
add(4, "da times a", P("""
a = self.a.reshape(1, -1, 1, 1)
neg = self.x <= 0
dx = dy * np.where(neg, a, 1)
da = (neg * dy * a * self.x).sum(axis=(0, 2, 3))
return dx, da
"""))
add(4, "da of dy alone", P("""
a = self.a[None, :, None, None]
neg = self.x <= 0
dx = dy * np.where(neg, a, 1)
da = np.sum(dy * neg, axis=(0, 2, 3))
return dx, da
"""))
add(4, "da keeps axes", P("""
a = self.a[None, :, None, None]
neg = self.x <= 0
dx = dy * np.where(neg, a, 1)
da = np.sum(dy * neg * self.x, axis=(0, 2, 3), keepdims=True)
return dx, da
"""))
add(4, "masks exchanged", P("""
a = self.a[None, :, None, None]
dx = dy.copy()
dx = np.where(self.x > 0, a * dy, dy)
da = np.sum(np.where(self.x <= 0, dy * self.x, 0), axis=(0, 2, 3))
return dx, da
"""))

# 11


def X(loss, dlogits, p="""
e = np.exp(logits - logits.max(axis=1, keepdims=True))
p = e / e.sum(axis=1, keepdims=True)
"""):
    body = f"N, K = logits.shape\nrows = np.arange(N)\n{p.strip()}\n"
    body += "z = logits - logits.max(axis=1, keepdims=True)\n"
    body += "log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))\n"
    body += f"loss = {loss}\none = np.eye(K)[target]\ndlogits = {dlogits}\nreturn loss, dlogits"
    body = "\n".join("    " + line for line in body.splitlines())
    return f"import numpy as np\n\ndef softmax_cross_entropy(logits, target):\n{body}\n"


MEAN = "-log_p[rows, target].mean()"
add(11, "one minus p", X(MEAN, "(one - p) / N"))
add(11, "divided by K", X(MEAN, "(p - one) / K"))
add(11, "log_p for p", X(MEAN, "(log_p - one) / N"))
add(11, "times one", X(MEAN, "p * one / N"))
add(11, "p - target", X(MEAN, "(p - target[:, None]) / N"))
add(11, "loss of all classes", X("-log_p.mean()", "(p - one) / N"))
add(11, "loss p not log", X("-np.exp(log_p[rows, target]).mean()", "(p - one) / N"))
add(11, "all pairs", X("-log_p[:, target].mean()", "(p - one) / N"))
add(11, "log2", X("-(log_p[rows, target] / np.log(2)).mean()", "(p - one) / N"))

# 13


def M(body):
    body = "\n".join("    " + line for line in body.strip("\n").splitlines())
    return f"import numpy as np\n\ndef momentum_step(w, v, g, lr, momentum=0.9, decay=0.0005):\n{body}\n"


add(13, "momentum on the gradient too", M("v = momentum * (v - lr * g) - decay * lr * w\nreturn w + v, v"))
add(13, "lr twice", M("v = momentum * v - lr * (lr * decay * w + g)\nreturn w + v, v"))
add(13, "velocity times lr", M("v = momentum * v - decay * lr * w - lr * g\nreturn w + lr * v, v"))
add(13, "decay of g", M("v = momentum * v - decay * lr * g - lr * g\nreturn w + v, v"))
add(13, "gradient without lr", M("v = momentum * v - decay * lr * w - g\nreturn w + v, v"))
add(13, "Nesterov", M("u = momentum * v - decay * lr * w - lr * g\nreturn w + momentum * u - lr * g, u"))
add(13, "exchanged", M("v = momentum * v - decay * lr * w - lr * g\nw = w + v\nreturn v, w"))
add(13, "both moving average and ascent", M("v = momentum * v + (1 - momentum) * lr * g - lr * decay * w\nreturn w + v, v"))
add(13, "momentum divides", M("v = v / momentum - decay * lr * w - lr * g\nreturn w + v, v"))
add(13, "in place", M("v *= momentum\nv -= lr * (decay * w + g)\nw += v\nreturn w, v"))
