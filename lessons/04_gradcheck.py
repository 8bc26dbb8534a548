# %% [markdown]
"""
# 4. How do I know that my backward is right?

    python lessons/04_gradcheck.py [--seed 1] [--device cuda]

A wrong forward pass is usually noticed: shapes do not match, or images look wrong. A
wrong backward pass is rarely noticed: its gradients look plausible, and the loss still
decreases, only more slowly. So gradients are checked against numerical ones, as in
lesson 1, for each element of each input. `ta.gradcheck` does that.

This lesson writes a layer that tinyalex does not have, gets its backward pass wrong
twice, and shows that a check can be blind.
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import ops
from tinyalex.course import lesson
from tinyalex.functional.activation import ReLU, Sigmoid
from tinyalex.functional.linear import Linear
from tinyalex.functional.normalization import LocalResponseNorm
from tinyalex.functional.pooling import AvgPool2d, avg_pool2d_naive
from tinyalex.functional.softmax import Softmax
from tinyalex.kernels.geometry import Window

args = lesson.options(__doc__)
rng = np.random.default_rng((4, args.seed))  # not gradcheck's random numbers

# %% [markdown]
# ## A layer of your own
#
# Many networks after AlexNet *standardise*: they shift and scale a row of n values so
# that its mean is 0 and its standard deviation is 1, y = (x - m) / s, where m is the
# mean of the row and s its standard deviation.
#
# A layer is a `ta.Function`: `forward` computes y and stores what `backward` needs;
# `backward` receives `dy`, the gradient of the loss with respect to y, and returns the
# one with respect to x. A first draft: x is divided by s, so the derivative is 1/s.
#
# Before you run this: what does this draft ignore?


# %%
class Standardise(ta.Function):
    def forward(self, x):
        self.s = x.std(axis=1, keepdims=True)
        self.y = (x - x.mean(axis=1, keepdims=True)) / self.s
        return self.y

    def backward(self, dy):
        return dy / self.s


rows = rng.standard_normal((3, 5))
first = ta.gradcheck(Standardise, rows, raise_exception=False)
print(first)
wrong, checked = first.worst.wrong, first.worst.checked
lesson.claim(f"{wrong} of {checked} elements are wrong", wrong > checked / 2)

# %% [markdown]
# Read the report from left to right: how many elements of x are right, which is the
# worst, what `backward` returns there, and the numerical gradient. The layer has many
# outputs, but a gradient needs *one* value. So gradcheck multiplies each output by a
# random number and sums the products. The random numbers are then the `dy` that
# backward receives. They are called the *cotangent*, and they will matter below.
#
# The draft ignores that m and s depend on x as well. With dm/dx[i] = 1/n and ds/dx[i] =
# y[i]/n the chain rule gives
#
#     dx = (dy - mean(dy) - y * mean(dy * y)) / s
#
# The second draft takes only m into account, the third both.


# %%
def row_mean(x):
    return x.mean(axis=1, keepdims=True)


class SecondDraft(Standardise):
    def backward(self, dy):
        return (dy - row_mean(dy)) / self.s


class ThirdDraft(Standardise):
    def backward(self, dy):
        return (dy - row_mean(dy) - self.y * row_mean(dy * self.y)) / self.s


second = ta.gradcheck(SecondDraft, rows, raise_exception=False)
third = ta.gradcheck(ThirdDraft, rows, raise_exception=False)
print(second, third, sep="\n")
lesson.claim("the second draft is also wrong", second.worst.wrong > 0)
lesson.claim(f"the third is right in all {third.worst.checked} elements", third.ok)

# %% [markdown]
# ## A check that is blind
#
# Why random numbers? `y.sum().backward()` is simpler, and many tests are written like
# that. Its cotangent is 1 everywhere. Below is a check for any cotangent, and one more
# draft, which returns zeros.
#
# Before you run this: which drafts will pass with a random cotangent, and which with a
# cotangent of ones?


# %%
class ZeroGradient(Standardise):
    def backward(self, dy):
        return 0 * dy


def error(make_cotangent, f, *inputs, h=1e-5):
    """The largest difference between the gradient by backward and the numerical one."""
    tensors = [ta.Tensor(x, requires_grad=True) for x in inputs]
    y = f(*tensors)
    cotangent = make_cotangent(y.shape)
    y.backward(cotangent)

    largest = 0.0
    for k, (x, tensor) in enumerate(zip(inputs, tensors, strict=True)):
        for index, grad in np.ndenumerate(ta.Tensor(tensor.grad).numpy()):
            step = np.zeros_like(x)
            step[index] = h
            above, below = [*inputs], [*inputs]
            above[k], below[k] = x + step, x - step
            change = f(*map(ta.Tensor, above)).numpy() - f(*map(ta.Tensor, below)).numpy()
            numerical = (cotangent * change).sum() / (2 * h)
            largest = max(largest, abs(numerical - grad))
    return largest


def errors(f, *inputs):
    return error(rng.standard_normal, f, *inputs), error(np.ones, f, *inputs)


limit = 1e-6  # errors below are rounding
found = {
    "standardise: zeros": errors(ZeroGradient.apply, rows),
    "first draft": errors(Standardise.apply, rows),
    "second draft": errors(SecondDraft.apply, rows),
    "third draft (right)": errors(ThirdDraft.apply, rows),
}
for name, (with_random, with_ones) in found.items():
    print(f"  {name:<20} error with random numbers {with_random:.0e}, with ones {with_ones:.0e}")
passed_random, passed_ones = ([e < limit for e in row] for row in zip(*found.values(), strict=True))
only_right = passed_random == [False, False, False, True]
lesson.claim("with random numbers only the third draft passes", only_right)
blind = passed_ones == [True, False, True, True]
lesson.claim("with ones the second draft and the one that returns zeros pass too", blind)
sums = Standardise.apply(rows).sum(axis=1)
lesson.claim("the reason: each row of y sums to 0, whatever x is", np.allclose(sums, 0))

# %% [markdown]
# The derivative of a constant is 0: with ones the check compares 0 with 0. Softmax is
# such a layer too, since its outputs sum to 1. And a cotangent of ones cannot show
# whether backward uses dy at all, or whether each element of dy reaches its own input.
#
# ## Break it, eight times
#
# Eight layers of tinyalex (lessons 7 to 11 explain most of them), each with a typical
# mistake. `mutant` replaces the backward pass of a layer.
#
# Before you run this: read the eight mistakes. Which will gradcheck find, and which
# will a cotangent of ones find?


# %%
def mutant(layer, backward, **options):
    faulty = type(layer.__name__, (layer,), {"backward": backward})
    return lambda *inputs: faulty.apply(*inputs, **options)


def mean_for_bias(self, dy):
    dx, dw, db = Linear.backward(self, dy)
    return dx, dw, db / len(dy)


x, square = rng.standard_normal((4, 5)), rng.standard_normal((4, 4))
maps = rng.standard_normal((2, 6, 4, 4))
linear = x, rng.standard_normal((3, 5)), rng.standard_normal(3)
lrn = {"size": 5, "a": 0.1, "beta": 0.75, "k": 2.0, "groups": 1}
window, out = Window((2, 2), (2, 2), (0, 0)), (2, 2)
pool = {"window": window, "out": out, "divisor": ta.Tensor(np.full(out, 4.0)).data}
tanh = mutant(ops.Tanh, lambda self, dy: dy * self.y * (1 - self.y))
norm = mutant(LocalResponseNorm, lambda self, dy: dy * self.s**-self.beta, **lrn)
softmax = mutant(Softmax, lambda self, dy: -Softmax.backward(self, dy), axis=1)
pooling = mutant(AvgPool2d, lambda self, dy: AvgPool2d.backward(self, dy[:, ::-1]), **pool)
cases = {
    "ReLU without its mask": (mutant(ReLU, lambda self, dy: 1 * dy), x),
    "tanh with sigmoid's derivative": (tanh, x),
    "linear: mean for the bias": (mutant(Linear, mean_for_bias), *linear),
    "LRN without its neighbours": (norm, maps),
    "sigmoid without dy": (mutant(Sigmoid, lambda self, dy: self.y * (1 - self.y)), x),
    "no transpose back": (mutant(ops.Transpose, lambda self, dy: 1 * dy, axes=None), square),
    "softmax with a wrong sign": (softmax, x),
    "pooling: wrong channels": (pooling, maps),
}
passed = []
for name, (f, *inputs) in cases.items():
    report = ta.gradcheck(f, inputs, raise_exception=False)
    passed.append(report.ok)
    found[name] = errors(f, *inputs)
    detected = "yes" if found[name][1] > limit else "NO"
    print(f"  {name}; found with ones: {detected}\n      {report.worst.hint.text.split(': ')[0]}")
lesson.claim("gradcheck finds all eight", not any(passed))
missed = [found[name][1] < limit for name in cases]
last_four = missed == 4 * [False] + 4 * [True]
lesson.claim("ones find the first four, and are blind to the others", last_four)

# %% [markdown]
# The indented lines are gradcheck's guess at the mistake. It compares the whole
# gradient with the numerical one and searches for patterns.
#
# ## What a gradient check cannot know
#
# gradcheck verifies that backward is the derivative of *this* forward pass, not that
# the forward pass is the intended one. Below is an average pooling, where each output
# should be the mean of a 2 x 2 window, but the division is missing.
#
# Before you run this: what does gradcheck report?


# %%
def average(x):
    return 4 * F.avg_pool2d(x, 2)


lesson.claim("gradcheck accepts it", ta.gradcheck(average, maps).ok)
equal = np.allclose(average(maps).numpy(), avg_pool2d_naive(maps, window, out))
lesson.claim("a comparison with the definition, in loops, does not", not equal)

# %%
figure = lesson.figure(8.5, 4.8)
labels = {"xlabel": "largest error of the gradient", "ylim": (len(found) - 0.5, -0.5)}
axes = lesson.axes(figure, title=f"What a check detects: errors above {limit:g}", **labels)
rows = range(len(found))
with_random, with_ones = np.maximum(np.transpose(list(found.values())), 1e-13)  # for the log axis
axes.semilogx(with_random, rows, "o", color=lesson.BLUE, label="random cotangent")
axes.semilogx(with_ones, rows, "s", color=lesson.RED, label="cotangent of ones")
axes.axvline(limit, color=lesson.GREY, linestyle=":")
axes.set_yticks(rows, list(found))
figure.legend(frameon=False, loc="outside lower center", ncols=2)
lesson.show(figure, "04_gradcheck")

# %% [markdown]
# ## Exercises
#
# 1. Write a layer's backward pass yourself: `tinyalex learn start 4` creates the file
#    in `my/`, `tinyalex learn check 4` checks it.
# 2. Introduce a mistake into the third draft that a random cotangent does not find if
#    all its rows are equal.
# 3. `fast=True` perturbs all elements at once, in four random directions. Which of the
#    eight mistakes does it find? Why are so few directions sufficient?
