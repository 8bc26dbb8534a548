# %% [markdown]
"""
# 1. What is a gradient, really?

    python lessons/01_gradient.py [--seed 1] [--device cuda]

A network computes an output from its input and its *weights*. The *loss* is one number
that measures how wrong the outputs are (here `F.cross_entropy`, the subject of lesson
11). Training changes each weight a little in the direction that makes the loss smaller.
So for each weight there is one question: *if it changes by h, by how much does the loss
change?* The answers for all weights together are the gradient.

This lesson first measures the answers, by changing a weight and computing the loss
again, and then compares them with those of `backward()`, which computes the loss only
once.
"""

# %%
import inspect
from timeit import timeit

import numpy as np

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import nn
from tinyalex.course import lesson

args = lesson.options(__doc__)
train = lesson.images(64).train
pixels = train.images / 255 - 0.5


class Experiment:
    """A small network of a dtype, and its loss as a function of its eight filters."""

    def __init__(self, dtype):
        ta.manual_seed(args.seed)
        layers = nn.Conv2d(3, 8, 5, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 14 * 14, 10)
        self.net = nn.Sequential(*layers).to(dtype)
        self.x = ta.Tensor(pixels.astype(dtype))
        self.filters = self.net[0].weight
        self.start = self.filters.numpy().copy()

    def loss(self, filters):
        self.filters.data = ta.Tensor(filters).data
        return F.cross_entropy(self.net(self.x), train.labels)

    def loss_at(self, index, h):
        """The loss with one weight changed by h and all others unchanged."""
        filters = self.start.copy()
        filters[index] += h
        with ta.no_grad():  # forward only: nothing is stored for a backward pass
            return self.loss(filters).item()


double = Experiment("float64")

# %% [markdown]
# ## The derivative for one weight
#
# We take the weight with the largest derivative. `loss_at(index, h)` adds the *step* h
# to it and computes the loss again. The difference quotient (loss(w + h) - loss(w)) / h
# is the slope of a chord; as h gets smaller it approaches the slope of the tangent, the
# *derivative*. Computed like this, it is called the *numerical gradient*.
#
# Before you run this: h decreases by a factor of ten from line to line. How will the
# numerical gradient change?

# %%
loss = double.loss(double.start)
loss.backward()
gradient = ta.Tensor(double.filters.grad).numpy().copy()
by_size = np.argsort(-abs(gradient), axis=None)
indices = list(zip(*np.unravel_index(by_size[:16], gradient.shape), strict=True))
steepest = indices[0]  # the index of the largest derivative

position = [int(i) for i in steepest]
print(f"loss {loss.item():.6f}; the weight at {position} is {double.start[steepest]:+.6f}")
for h in (0.1, 0.01, 0.001, 0.0001):
    numerical = (double.loss_at(steepest, h) - double.loss_at(steepest, 0)) / h
    print(f"  h = {h:<7g} numerical gradient {numerical:+.8f}")
print(f"  backward()  gradient           {gradient[steepest]:+.8f}")
converges = abs(numerical / gradient[steepest] - 1) < 1e-3
lesson.claim("the numerical gradient approaches that of backward()", converges)

# %% [markdown]
# `backward()` uses no steps. It applies the chain rule to the layers, from the last to
# the first, and computes the same value. What does each of the two methods cost if we
# want the derivatives for all weights?

# %%
weights = sum(p.size for p in double.net.parameters())
forward = timeit(lambda: double.loss_at(steepest, 0), number=5) / 5
both = timeit(lambda: double.loss(double.start).backward(), number=5) / 5
print(f"a forward pass: {1000 * forward:.1f} ms; forward and backward: {1000 * both:.1f} ms")
print(f"the numerical gradient of {weights:,} weights: more than {weights * forward:.0f} s")
ratio = weights * forward / both
lesson.claim(f"backward() is faster by a factor of {ratio:,.0f}", ratio > 20)

# %% [markdown]
# AlexNet has 60 million weights (section 4 of the paper), and each of its forward
# passes takes far longer. So the numerical gradient is used for checking, and
# `backward()` for training.
#
# ## The gradient as a direction
#
# The derivatives for many weights, written as one vector, are the *gradient*. It points
# in the direction in which the loss increases fastest. So a short step in the opposite
# direction should decrease the loss more than a step of the same length in any other
# direction. We change only the weights of the eight filters.
#
# Before you run this: we try many random directions. What fraction of the decrease
# along the gradient will the best of them reach: nearly all, half, or a small one?

# %%
rng = np.random.default_rng(args.seed)
step = 0.01


def decrease(direction):
    """By how much the loss decreases for a step of fixed length in a direction."""
    with ta.no_grad():
        moved = double.loss(double.start + step * direction / np.linalg.norm(direction))
        return loss.item() - moved.item()


best = decrease(-gradient)
others = [decrease(rng.standard_normal(gradient.shape)) for _ in range(200)]
print(f"decrease of the loss along the negative gradient: {best:.6f}")
print(f"along the best of {len(others)} random directions: {max(others):.6f}")
few = max(others) < best / 4
lesson.claim(f"the best of {len(others)} random directions reaches less than a quarter", few)
expected = step * np.linalg.norm(gradient)
predicted = abs(best / expected - 1) < 0.1
lesson.claim(f"gradient norm times step length predicts the decrease: {expected:.6f}", predicted)

# %% [markdown]
# With so many weights, nearly every random direction is nearly perpendicular to the
# gradient. So the direction must be computed; guessing does not help.
#
# ## How small should the step h be?
#
# A numerical gradient has two errors. The first is the *truncation error*: the Taylor
# series is
#
#     loss(w + h) = loss + h loss' + h**2 loss'' / 2 + h**3 loss''' / 6 + ...
#
# so the difference quotient is wrong by about h loss'' / 2, in proportion to h. The
# *central difference* (loss(w + h) - loss(w - h)) / 2h is better: the terms with loss''
# cancel, and its error is proportional to h**2. The second is the *rounding error*:
# with a small h the two losses agree in almost all of their digits. The subtraction
# cancels these digits; the difference is mostly rounding error, and is divided by h.
#
# Before you run this: sketch the error against h, from large h to small. Is it smallest
# at the largest h, at the smallest, or between?


# %%
def error(experiment, h, central):
    """The relative error of the numerical gradient: the median over several weights."""
    back = h if central else 0
    differences = [experiment.loss_at(i, h) - experiment.loss_at(i, -back) for i in indices]
    exact = [gradient[i] for i in indices]
    return np.median(abs(np.array(differences) / (h + back) / exact - 1))


steps = 10.0 ** np.arange(-1, -13.5, -0.5)
single = Experiment("float32")
curves = {
    "float32, one side": [error(single, h, False) for h in steps],
    "float32, central": [error(single, h, True) for h in steps],
    "float64, one side": [error(double, h, False) for h in steps],
    "float64, central": [error(double, h, True) for h in steps],
}
for name, curve in curves.items():
    print(f"{name:<18} smallest error {min(curve):.0e}, at h = {steps[np.argmin(curve)]:.0e}")


def order(name):
    """The power of h with which the error decreases, from the four largest steps."""
    return np.polyfit(np.log(steps[:4]), np.log(curves[name][:4]), 1)[0]


one, two = order("float64, one side"), order("float64, central")
lesson.claim(f"for large h the one-sided error is proportional to h**{one:.2f}", 0.8 < one < 1.2)
lesson.claim(f"and that of the central difference to h**{two:.2f}", 1.8 < two < 2.2)
coarse, fine = min(curves["float32, central"]), min(curves["float64, central"])
more = coarse / fine
lesson.claim(f"at its best h, float64 is {more:,.0f} times as accurate as float32", more > 1000)
longest, *_, shortest = curves["float64, central"]
lesson.claim("the best h is between: both ends are far worse", longest > 100 * fine < shortest)
default = inspect.signature(ta.gradcheck).parameters["h"].default
at_default = error(double, default, True)
text = f"gradcheck uses central differences with h = {default:g}: the error is {at_default:.0e}"
lesson.claim(text, at_default < 1e-7)

figure = lesson.figure(7.5, 4.6)
title = "Truncation error on the left, rounding error on the right"
axes = lesson.axes(figure, title=title, xlabel="step h", ylabel="relative error of the derivative")
for name, curve in curves.items():
    colour = lesson.BLUE if "float64" in name else lesson.RED
    line = "-" if "central" in name else "--"
    axes.loglog(steps, curve, color=colour, linestyle=line, linewidth=2, label=name)
axes.axvline(default, color=lesson.GREY, linestyle=":", label=f"gradcheck's h = {default:g}")
axes.invert_xaxis()
axes.legend(frameon=False)
lesson.show(figure, "01_gradient")

# %% [markdown]
# ## Break it
#
# A gradient is checked in float32, with a very small h "to be exact". What is the
# result for a correct backward pass, and for one that returns only zeros?

# %%
tiny = 1e-12
measured = [(single.loss_at(i, tiny) - single.loss_at(i, 0)) / tiny for i in indices]
w = single.start[steepest]
print(f"w = {w:.9f}, w + {tiny:g} = {w + np.float32(tiny):.9f}; derivatives: {set(measured)}")
text = "all are 0: a correct backward pass looks wrong, and one that returns zeros looks right"
lesson.claim(text, not any(measured))

# %% [markdown]
# The symptom to remember: if a numerical gradient is exactly 0, or varies irregularly
# with h, suspect the step before the backward pass. `ta.gradcheck` always computes in
# float64.
#
# ## Exercises
#
# 1. Write a numerical gradient yourself: `tinyalex learn start 1` creates the file in
#    `my/`, `tinyalex learn check 1` checks it.
# 2. Replace `nn.Tanh()` by `nn.ReLU()`, whose derivative jumps at zero. Which claim
#    fails first, and how do the curves explain it?
# 3. Add another curve to the figure: (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h. With
#    what power of h does its error decrease?
