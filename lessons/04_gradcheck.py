# %% [markdown]
"""
# 4. How do I know that my backward is right?

    python lessons/04_gradcheck.py [--seed 1] [--device cuda]

A wrong forward pass is usually noticed: shapes do not match, or results look wrong. A
wrong backward pass is rarely noticed: its gradients look plausible, and the loss still
decreases, only more slowly. So gradients are compared with numerical ones, as in lesson
1, for each element of each input. `ta.gradcheck` does that.

This lesson writes a layer that tinyalex does not have, derives its backward pass, gets
it wrong twice on the way, and shows that a check can be blind.
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import ops
from tinyalex.course import lesson

args = lesson.options(__doc__)
rng = np.random.default_rng((4, args.seed))  # not gradcheck's random numbers

# %% [markdown]
# ## A layer of your own
#
# Many networks after AlexNet *standardise*: they shift and scale a row x of n values so
# that its mean is 0 and its standard deviation is 1. Let m be the mean of x, and s its
# standard deviation (lesson 1), whose square is the variance:
#
# $$
# y_j = \frac{x_j - m}{s}, \qquad m = \frac{1}{n} \sum_i x_i, \qquad
# s^2 = \frac{1}{n} \sum_i (x_i - m)^2
# $$
#
# The computation of a layer is written as a `ta.Function` (lesson 2), a class with two
# methods on arrays. (The `nn.Module` of lesson 0 holds the parameters and calls such a
# Function. Ours has no parameters, so we need only the Function.) `forward` computes y,
# and stores in `self` what `backward` needs. `backward` receives `dy`, the gradient of
# the loss with respect to y (the *upstream gradient*), and returns dx, the gradient
# with respect to x. The class method `apply` runs `forward` on tensors and records the
# operation for `backward`.
#
# A first draft: x is divided by s, so the derivative is 1/s. (`raise_exception=False`:
# gradcheck returns its report of a wrong gradient, instead of raising an error.)
#
# **Before you run this:** what does this draft ignore? How many of the 15 elements of
# its gradient will be right?


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

# %% answer [markdown]
# It ignores that m and s depend on x as well, so that each x has an effect on all y of
# its row. Most elements, if not all, are wrong.
#
# Read the report from left to right: how many elements of the gradient of x are right;
# which is the worst; what `backward` returns there, and the numerical gradient. The
# layer has many outputs, but a numerical gradient needs *one* value. So gradcheck
# multiplies each output by a random number u and sums the products:
#
# $$
# L = \sum_{ij} u_{ij} \, y_{ij}
# $$
#
# Then u is the gradient of L with respect to y, the `dy` that `backward` receives. It
# is called the *cotangent*; in the report it is `grad_output`.

# %% claims
wrong, checked = first.worst.wrong, first.worst.checked
lesson.claim(f"{wrong} of {checked} elements are wrong", wrong > checked / 2)

# %% [markdown]
# ## The derivation
#
# How do m and s change with one $x_i$? The derivative of m is 1/n. For s, differentiate
# both sides of the formula of $s^2$ (the terms with the derivative of m cancel, since
# the sum of all x - m is 0):
#
# $$
# 2 s \frac{\partial s}{\partial x_i} = \frac{2}{n} (x_i - m)
# \quad \Rightarrow \quad
# \frac{\partial s}{\partial x_i} = \frac{x_i - m}{n s} = \frac{y_i}{n}
# $$
#
# Then the quotient rule gives, with $\delta_{ij}$ = 1 for i = j and 0 otherwise,
#
# $$
# \frac{\partial y_j}{\partial x_i}
# = \frac{1}{s} \left( \delta_{ij} - \frac{1}{n} - \frac{y_j \, y_i}{n} \right)
# $$
#
# and the chain rule sums over all uses j of $x_i$:
#
# $$
# dx_i = \sum_j dy_j \frac{\partial y_j}{\partial x_i}
# = \frac{1}{s} \left( dy_i - \mathrm{mean}(dy) - y_i \, \mathrm{mean}(dy \, y) \right)
# $$
#
# The first draft has the first of the three terms. The second draft below has two, the
# third all.


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

# %% [markdown]
# Only the third draft is right, so the derivation has omitted nothing. The line under
# each table is a hint: gradcheck compares the missing part with known patterns, and
# here it recognises which terms are missing. For most mistakes there is no such
# pattern, and only a derivation finds the term.

# %% claims
lesson.claim("the second draft is also wrong", second.worst.wrong > 0)
lesson.claim(f"the third is right in all {third.worst.checked} elements", third.ok)

# %% [markdown]
# ## A check that is blind
#
# Why random numbers u? `y.sum().backward()` is simpler, and many tests are written like
# that. Its cotangent is 1 everywhere. Below is a check for any cotangent u, with the
# numerical gradient of lesson 1, and one more draft, which returns zeros.
#
# **Before you run this:** which of the four drafts will pass with random numbers, and
# which with ones?


# %%
class ZeroGradient(Standardise):
    def backward(self, dy):
        return 0 * dy


def numerical_gradient(f, x, h=1e-5):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = h
        gradient[index] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient


def error(f, x, cotangent):
    """The largest difference between backward() and the numerical gradient."""
    tensor = ta.Tensor(x, requires_grad=True)
    y = f(tensor)
    u = cotangent(y.shape)
    y.backward(u)
    numerical = numerical_gradient(lambda x: (u * f(ta.Tensor(x)).numpy()).sum(), x)
    return abs(ta.Tensor(tensor.grad).numpy() - numerical).max()


def compare(cases):
    """The errors with random numbers and with ones."""
    found = {}
    for name, (f, x) in cases.items():
        found[name] = error(f, x, rng.standard_normal), error(f, x, np.ones)
        print(f"  {name:<32} random: error {found[name][0]:.0e}; ones: {found[name][1]:.0e}")
    return found


layers = ZeroGradient, Standardise, SecondDraft, ThirdDraft
names = "standardise: zeros", "first draft", "second draft", "third draft"
drafts = compare({name: (f.apply, rows) for name, f in zip(names, layers, strict=True)})

# %% answer [markdown]
# (Errors below 1e-6 are those of the numerical gradient: lesson 1.) With random numbers
# only the third draft passes. With ones, the second draft and even the one that returns
# zeros pass too. The reason is that each row of y has the sum 0, whatever x is. So
#
# $$
# L = \sum_{ij} y_{ij} = 0, \qquad \frac{\partial L}{\partial x} = 0
# $$
#
# and the check compares 0 with 0. It is blind for the same reason to each layer whose
# outputs have a constant sum. And with ones, a check cannot tell whether backward uses
# dy at all, or whether each element of dy is used at its own place: all of them are
# equal.

# %% claims
limit = 1e-6
passed = [[e < limit for e in both] for both in drafts.values()]
passed_random, passed_ones = map(list, zip(*passed, strict=True))
only_right = passed_random == [False, False, False, True]
lesson.claim("with random numbers only the third draft passes", only_right)
blind = passed_ones == [True, False, True, True]
lesson.claim("with ones the second draft and the one that returns zeros pass too", blind)
sums = Standardise.apply(rows).sum(axis=1)
lesson.claim("the reason: each row of y sums to 0, whatever x is", np.allclose(sums, 0))

# %% [markdown]
# ## Break it, eight times
#
# Eight operations, each with a typical mistake in its backward pass. `with_backward`
# makes an operation with another backward pass. The right ones are:
#
# - tanh: `dy * (1 - y**2)`
# - exp: `dy * y`
# - the mean of n values: `dy / n`
# - a bias: the sum of dy over the rows
# - a transposition: dy transposed
# - a reshape: dy in the shape of x
#
# For a matrix multiplication y = x w, the element $x_{ik}$ is used in all elements of
# row i of y:
#
# $$
# y_{ij} = \sum_k x_{ik} w_{kj}, \qquad
# dx_{ik} = \sum_j dy_{ij} \, w_{kj}
# $$
#
# This is the product dy w.T, and in the same way dw = x.T dy.
#
# **Before you run this:** read the eight mistakes. Which will be found with random
# numbers, and which with ones?


# %%
def with_backward(operation, wrong, **options):
    class Mutant(operation):
        backward = wrong

    return lambda *inputs: Mutant.apply(*inputs, **options)


def mean_for_bias(self, dy):
    return dy, dy.mean(axis=0)


def column_major(self, dy):
    return dy.reshape(self.shape, order="F")


square = rng.standard_normal((4, 4))
table, weight = ta.Tensor(rows), ta.Tensor(rng.standard_normal((5, 2)))
tanh = with_backward(ops.Tanh, lambda self, dy: dy * self.y * (1 - self.y))
exp = with_backward(ops.Exp, lambda self, dy: dy * self.y**2)
whole = {"axis": None, "keepdims": False}
mean = with_backward(ops.Mean, lambda self, dy: self.count * ops.Mean.backward(self, dy), **whole)
bias = with_backward(ops.Add, mean_for_bias)
no_dy = with_backward(ops.Tanh, lambda self, dy: 1 - self.y**2)
transpose = with_backward(ops.Transpose, lambda self, dy: 1 * dy, axes=None)
reshape = with_backward(ops.Reshape, column_major, shape=(5, 3))
matmul = with_backward(ops.MatMul, lambda self, dy: ops.MatMul.backward(self, dy[::-1]))
cases = {
    "tanh: dy * y * (1 - y)": (tanh, rows),
    "exp: dy * y**2": (exp, rows),
    "mean: not divided by n": (mean, rows),
    "bias: mean instead of sum": (lambda b: bias(table, b), rows[0]),
    "tanh: without dy": (no_dy, rows),
    "transpose: dy not transposed": (transpose, square),
    "reshape: dy column by column": (reshape, rows),
    "matmul: rows of dy reversed": (lambda x: matmul(x, weight), rows),
}
mutants = compare(cases)

# %% plot
found = drafts | mutants
figure = lesson.figure(8.5, 5)
labels = {"xlabel": "largest error of the gradient", "ylim": (len(found) - 0.4, -0.6)}
axes = lesson.axes(figure, title="What a check detects: errors above 1e-06", **labels)
positions = np.arange(len(found))
with_random, with_ones = np.maximum(np.transpose(list(found.values())), 1e-13)  # for the log axis
axes.semilogx(with_random, positions - 0.13, "o", color=lesson.BLUE, label="random cotangent")
axes.semilogx(with_ones, positions + 0.13, "s", color=lesson.RED, label="cotangent of ones")
axes.axvline(1e-6, color=lesson.GREY, linestyle=":")
axes.set_yticks(positions, list(found))
figure.legend(frameon=False, loc="outside lower center", ncols=2)
lesson.show(figure, "04_gradcheck")

# %% answer [markdown]
# Random numbers find all eight. Ones find the first four, and are blind to the last
# four: if all elements of dy are equal to 1, it makes no difference whether dy is
# omitted or in which order its elements are used.
#
# The symptom to remember: a network trains badly, and all its tests of gradients pass.
# Then look which cotangent the tests use.

# %% claims
missed = [ones < limit for _, ones in mutants.values()]
detected = all(e > limit for e, _ in mutants.values())
lesson.claim("with random numbers all eight mistakes are found", detected)
reports = [ta.gradcheck(f, x, raise_exception=False) for f, x in cases.values()]
lesson.claim("gradcheck finds all eight, too", not any(report.ok for report in reports))
last_four = missed == 4 * [False] + 4 * [True]
lesson.claim("ones find the first four, and are blind to the others", last_four)
for name, report in zip(cases, reports, strict=True):
    print(f"  {name}. {report.worst.hint.text.split(': ')[0]}")

# %% [markdown]
# The last lines are gradcheck's guess at each mistake: it compares the whole gradient
# with the numerical one and searches for patterns, such as a common factor.
#
# ## The same layer without a backward pass of its own
#
# Below, standardise is composed of operations that tinyalex has, so `backward()` of
# tinyalex computes the gradient. But the author forgot the square root: the function
# divides by $s^2$.
#
# **Before you run this:** which elements of the gradient will gradcheck report as
# wrong?


# %%
def standardise(x):
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / (centred * centred).mean(axis=1, keepdims=True)


print(ta.gradcheck(standardise, rows, raise_exception=False))

# %% answer [markdown]
# None, and all are right: `backward()` computes the derivative of *this* forward pass.
# A gradient check cannot know which function was intended. Whether the forward pass is
# the intended one must be tested separately, by a comparison with its definition: here,
# the standard deviation of each row of y should be 1.

# %% claims
lesson.claim("gradcheck accepts it", ta.gradcheck(standardise, rows).ok)
deviations = standardise(ta.Tensor(rows)).numpy().std(axis=1)
text = f"the standard deviations of its rows are {np.round(deviations, 2)}, not 1"
lesson.claim(text, not np.isclose(deviations, 1, atol=0.01).all())
right = np.allclose(ta.Tensor(ThirdDraft.apply(rows)).numpy().std(axis=1), 1)
lesson.claim("those of the third draft are 1", right)

# %% [markdown]
# ## Exercises
#
# 1. Derive and write a layer's backward pass yourself: `tinyalex learn start 4` creates
#    the file in `my/`, `tinyalex learn check 4` checks it. The formula is not given.
# 2. Introduce a mistake into the third draft that the check finds with random numbers
#    u, but would not find if u had the same random numbers in each of its rows.
# 3. `ta.gradcheck(f, x, fast=True)` changes all elements at once, in four random
#    directions. Which of the eight mistakes does it find? Why are so few directions
#    sufficient?
