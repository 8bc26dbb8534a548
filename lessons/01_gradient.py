# %% [markdown]
"""
# 1. What is a gradient, really?

    python lessons/01_gradient.py [--seed 1] [--device cuda]

Training changes each weight a little in the direction that makes the loss smaller
(lesson 0). For each weight there is one question: *if it changes by h, by how much does
the loss change?* The answers for all weights together are the gradient.

This lesson first measures the answers, by changing a weight and computing the loss
again, and then compares them with those of `backward()`, which computes the loss only
once. At the end a formula predicts how exact such a measurement can be.
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

# %% [markdown]
# ## A network of two layers
#
# The network has two linear layers, and between them `nn.Tanh`, which applies this
# function to each element:
#
# $$
# \tanh(x) = \frac{e^x - e^{-x}}{e^x + e^{-x}}, \qquad
# \frac{d \tanh(x)}{dx} = 1 - \tanh(x)^2
# $$
#
# It increases from -1 to 1, and its graph has the shape of an S. (Without it, the two
# layers would be equivalent to one: the product of two matrices is a matrix.) A layer
# starts with random weights. We study those of the first layer, 3072 for each of its 8
# outputs, as an array of the shape (8, 3072).
#
# The network exists in two precisions: float64 has about 16 decimal digits, float32
# about 7.


# %%
class Experiment:
    """A network of a dtype, and its loss as a function of the first layer's weights."""

    def __init__(self, dtype):
        ta.manual_seed(args.seed)  # the same random weights in both precisions
        layers = nn.Flatten(), nn.Linear(3072, 8), nn.Tanh(), nn.Linear(8, 10)
        self.net = nn.Sequential(*layers).to(args.device).to(dtype)
        self.x = ta.Tensor(pixels.astype(dtype))
        self.weight = self.net[1].weight
        self.start = self.weight.numpy().copy()

    def loss(self, weight):
        self.weight.data = ta.Tensor(weight).data
        return F.cross_entropy(self.net(self.x), train.labels)

    def loss_at(self, index, h):
        """The loss with one weight changed by h and all others unchanged."""
        weight = self.start.copy()
        weight[index] += h
        with ta.no_grad():
            return self.loss(weight).item()


double, single = Experiment("float64"), Experiment("float32")

# %% [markdown]
# ## The derivative for one weight
#
# We take the weight with the largest derivative. `loss_at(index, h)` adds the *step* h
# to it and computes the loss again. Let f(w) be the loss as a function of this weight.
# The difference quotient
#
# $$
# \frac{f(w + h) - f(w)}{h}
# $$
#
# is the slope of a chord; as h gets smaller it approaches the slope of the tangent, the
# *derivative* f'(w). Computed like this, it is called the *numerical gradient*.
#
# **Before you run this:** h decreases by a factor of ten from line to line. How many
# more digits of the derivative will be right in each line?

# %%
loss = double.loss(double.start)
loss.backward()
# .grad is an array, on a GPU perhaps; ta.Tensor(...).numpy() makes it one of NumPy.
gradient = ta.Tensor(double.weight.grad).numpy().copy()
by_size = np.argsort(-abs(gradient), axis=None)
indices = list(zip(*np.unravel_index(by_size[:16], gradient.shape), strict=True))
steepest = indices[0]  # the index of the largest derivative

print(f"loss {loss.item():.6f}, one weight {double.start[steepest]:+.6f}")
for h in (0.1, 0.01, 0.001, 0.0001):
    numerical = (double.loss_at(steepest, h) - double.loss_at(steepest, 0)) / h
    print(f"  h = {h:<7g} numerical gradient {numerical:+.8f}")
print(f"  backward()  gradient           {gradient[steepest]:+.8f}")

# %% answer [markdown]
# About one digit: the error is proportional to h. The Taylor series shows why. It
# writes the function as a polynomial in h that has the same derivatives at h = 0:
#
# $$
# f(w + h) = f(w) + h f'(w) + \frac{h^2}{2} f''(w) + \frac{h^3}{6} f'''(w) + ...
# $$
#
# Subtract f(w) and divide by h: what remains besides f'(w) is h f''(w) / 2 and smaller
# terms. `backward()` uses no steps. It applies the chain rule to the layers, from the
# last to the first, and computes the derivative itself (lesson 2).

# %% claims
errors = [abs(numerical / gradient[steepest] - 1)]
errors += [abs((double.loss_at(steepest, 0.1) - loss.item()) / 0.1 / gradient[steepest] - 1)]
lesson.claim("the numerical gradient approaches that of backward()", errors[0] < 1e-3)
text = "with a step 1000 times smaller the error is between 300 and 3000 times smaller"
lesson.claim(text, 300 < errors[1] / errors[0] < 3000)

# %% [markdown]
# Now we want the derivatives for all n weights and biases of the network. The numerical
# gradient needs n + 1 forward passes, one for each of them and one without a change.
# `backward()` needs one forward pass and one backward pass. For each matrix product of
# the forward pass, the backward pass has one or two: one for the gradient of the
# weights, and one for that of the layer's input, if it is needed.
#
# **Before you run this:** by which factor is `backward()` faster?

# %%
n = sum(p.size for p in double.net.parameters())


def seconds(action):
    """The shortest of 20 runs, which other programs have delayed least."""
    return min(timeit(action, number=1) for _ in range(20))


forward = seconds(lambda: double.loss_at(steepest, 0))
both = seconds(lambda: double.loss(double.start).backward())
print(f"forward {1000 * forward:.2f} ms; forward and backward {1000 * both:.2f} ms")
print(f"{n + 1:,} forward passes: {(n + 1) * forward:.1f} s")

# %% answer [markdown]
# If the backward pass takes one to two times as long as the forward pass, then by n / 3
# to n / 2: by thousands, even for a small network. AlexNet has 60 million weights
# (section 4 of the paper), and each of its forward passes takes far longer. So
# numerical gradients are used to check `backward()` (lesson 4), and `backward()` is
# used for training.

# %% claims
ratio = (n + 1) * forward / both
lesson.claim(f"backward() is faster by a factor of {ratio:,.0f}", ratio > 500)

# %% [markdown]
# ## The gradient as a direction
#
# The derivatives g of all weights, as one vector, are the *gradient*. If the weights
# move by a short step of length s in the direction of the unit vector u, then weight i
# changes by $s u_i$, and this changes the loss by about $g_i s u_i$. All weights
# together change it by
#
# $$
# f(w + s u) - f(w) \approx \sum_i g_i s u_i = s (g \cdot u) = s |g| \cos \alpha
# $$
#
# where |g| is the length of the gradient, also called its *norm* (the square root of
# the sum of the squares of its elements), and $\alpha$ its angle to u (the length of u
# is 1). So the loss decreases fastest in the direction opposite to the gradient, by s
# |g|. In other directions the cosine decides.
#
# We try 200 random directions. Some words about random numbers are needed for this, in
# later lessons too. The *mean* of n values is their sum divided by n. Their *variance*
# is the mean squared distance from the mean, and its square root is the *standard
# deviation*, a typical distance from the mean:
#
# $$
# mean = \frac{1}{n} \sum_i x_i, \qquad
# variance = \frac{1}{n} \sum_i (x_i - mean)^2, \qquad
# deviation = \sqrt{variance}
# $$
#
# The *median* is the middle one of the sorted values. `rng.standard_normal` draws from
# a *normal distribution*, here with the mean 0 and the standard deviation 1: most
# values are near the mean, and their frequency against x is a curve in the shape of a
# bell. 68 % of them are within one standard deviation of the mean, 95 % within two. A
# sum of *independent* normally distributed numbers is normally distributed too.
# (Independent: the value of one says nothing about the others.)
#
# **Before you run this:** what fraction of the decrease along the negative gradient
# will the best of the 200 directions reach: nearly all, half, or a small one?

# %%
rng = np.random.default_rng(args.seed)
step = 0.01


def decrease(direction):
    """By how much the loss decreases for a step of fixed length in a direction."""
    with ta.no_grad():
        moved = double.loss(double.start + step * direction / np.linalg.norm(direction))
        return loss.item() - moved.item()


along = decrease(-gradient)
others = [decrease(rng.standard_normal(gradient.shape)) for _ in range(200)]
print(f"decrease along the negative gradient {along:.6f}; s |g| = ", end="")
print(f"{step * np.linalg.norm(gradient):.6f}")
print(f"along the best of {len(others)} random directions {max(others):.6f}")

# %% answer [markdown]
# A small one, and it can be predicted. The squares of the n components of a unit vector
# have the sum 1, so the mean square of a component is 1 / n. A random direction prefers
# no axis, so the same is true of its component along the gradient, which is its cosine.
# So the cosines have the mean 0 and the standard deviation 1 / sqrt(n); with the n =
# 24,576 weights of this layer that is 0.0064. They are very nearly normally
# distributed, and the largest of 200 such values is on average 2.75 standard deviations
# above the mean: 0.018. Nearly all random directions are nearly perpendicular to the
# gradient. So the direction has to be computed; guessing does not help.

# %% claims
predicted = step * np.linalg.norm(gradient)
text = f"gradient norm times step length predicts the decrease: {predicted:.6f}"
lesson.claim(text, abs(along / predicted - 1) < 0.1)
fraction, cosine = max(others) / along, 2.75 / np.sqrt(gradient.size)
text = f"the best random direction reaches {fraction:.3f} of it; predicted {cosine:.3f}"
lesson.claim(text, 0.6 < fraction / cosine < 1.6)

# %% [markdown]
# ## How small should the step h be?
#
# The *central difference* needs f on both sides:
#
# $$
# \frac{f(w + h) - f(w - h)}{2 h} = f'(w) + \frac{h^2}{6} f'''(w) + ...
# $$
#
# Here the terms with f'' cancel, and the error, the *truncation error*, is proportional
# to $h^2$.
#
# There is a second error. With a small h the two losses agree in almost all of their
# digits. The subtraction cancels these digits; what is left is mostly *rounding error*,
# and it is divided by h. A number f is rounded to a fixed number of digits, with an
# error of about eps |f|, where eps is $2^{-52}$ in float64 and $2^{-23}$ in float32.
#
# **Before you run this:** sketch the total error against h, from large h to small. Is
# it smallest at the largest h, at the smallest, or between?


# %%
def error(experiment, h, central):
    """The relative error of the numerical gradient: the median over several weights."""
    back = h if central else 0
    differences = [experiment.loss_at(i, h) - experiment.loss_at(i, -back) for i in indices]
    exact = [gradient[i] for i in indices]
    return np.median(abs(np.array(differences) / (h + back) / exact - 1))


steps = 10.0 ** np.arange(-1, -13.5, -0.5)
curves, best = {}, {}


def measure(name, *settings):
    curves[name] = [error(settings[0], h, settings[1]) for h in steps]
    best[name] = steps[np.argmin(curves[name])]
    print(f"{name:<18} smallest error {min(curves[name]):.0e}, at h = {best[name]:.0e}")


measure("float64, one side", double, False)
measure("float64, central", double, True)

# %% answer [markdown]
# Between. The total error E of each formula is about
#
# $$
# E_{one} = \frac{h}{2} |f''| + \frac{eps |f|}{h}, \qquad
# E_{central} = \frac{h^2}{6} |f'''| + \frac{eps |f|}{2 h}
# $$
#
# The first term grows with h, the second decreases. The sum is smallest where its
# derivative with respect to h is zero:
#
# $$
# h_{one} = \left( \frac{2 \, eps |f|}{|f''|} \right)^{1/2}, \qquad
# h_{central} = \left( \frac{3 \, eps |f|}{2 |f'''|} \right)^{1/3}
# $$

# %% claims


def order(name):
    """The power of h with which the error decreases, for steps of 0.01 to 0.0003.

    If the error is c * h**k, log error = log c + k * log h: k is the slope of a line.
    """
    return np.polyfit(np.log(steps[2:6]), np.log(curves[name][2:6]), 1)[0]


one, two = order("float64, one side"), order("float64, central")
lesson.claim(f"for large h the one-sided error is proportional to h**{one:.2f}", 0.8 < one < 1.2)
lesson.claim(f"and that of the central difference to h**{two:.2f}", 1.8 < two < 2.2)
longest, *_, shortest = curves["float64, central"]
smallest = min(curves["float64, central"])
lesson.claim("the best h is between: both ends are far worse", longest > 100 * smallest < shortest)

# %% [markdown]
# In float32 the function, and with it f, f'' and f''', is the same; only eps is
# $2^{29}$ times as large.
#
# **Before you run this:** by which factor is the best h larger in float32, for the
# one-sided and for the central difference? Compute both best steps from the two lines
# above.

# %%
measure("float32, one side", single, False)
measure("float32, central", single, True)

# %% plot
default = inspect.signature(ta.gradcheck).parameters["h"].default
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

# %% answer [markdown]
# By $2^{29/2}$ = 23,170 and by $2^{29/3}$ = 813. The steps in the figure differ by
# factors of 3.2, so the prediction cannot be confirmed more exactly than that.
#
# It also explains the h of `ta.gradcheck`, the function that lesson 4 is about. It uses
# central differences in float64, and where f and f''' have similar sizes, the best h is
# about $eps^{1/3}$ = 6e-6; gradcheck takes 1e-5.

# %% claims
for name, power in ("one side", 1 / 2), ("central", 1 / 3):
    predicted = best[f"float64, {name}"] * 2 ** (29 * power)
    found = best[f"float32, {name}"]
    text = f"{name}: the best h of float32 is {found:.0e}; float64's predicts {predicted:.1e}"
    lesson.claim(text, 1 / 6 < found / predicted < 6)
more = min(curves["float32, central"]) / min(curves["float64, central"])
lesson.claim(f"at its best h, float64 is {more:,.0f} times as accurate as float32", more > 1000)
at_default = error(double, default, True)
text = f"with gradcheck's h = {default:g} the error is {at_default:.0e}"
lesson.claim(text, at_default < 1e-7)

# %% [markdown]
# ## Break it
#
# A gradient is checked in float32, with a very small h "to be exact".
#
# **Before you run this:** what is the numerical gradient for each of the 16 weights?

# %%
tiny = 1e-12
measured = [(single.loss_at(i, tiny) - single.loss_at(i, 0)) / tiny for i in indices]
w = single.start[steepest]
print(f"w = {w:.9f}, w + {tiny:g} = {w + np.float32(tiny):.9f}")
print(f"numerical gradients: {set(measured)}")

# %% answer [markdown]
# Zero, for all of them: w + h is rounded to w. A correct `backward()` would look wrong,
# and one that returns only zeros would look right. The symptom to remember: if a
# numerical gradient is exactly 0, or varies irregularly with h, suspect the step before
# the backward pass. `ta.gradcheck` always computes in float64.

# %% claims
lesson.claim("all 16 numerical gradients are exactly 0", measured == 16 * [0])

# %% [markdown]
# ## Exercises
#
# 1. Write a numerical gradient yourself: `tinyalex learn start 1` creates the file in
#    `my/`, `tinyalex learn check 1` checks it.
# 2. Replace `nn.Tanh()` by `nn.ReLU()`, which computes the maximum of x and 0, and
#    whose derivative jumps at 0. Which claim fails first? Delete the claims that fail,
#    and run it again: how do the curves explain them?
# 3. From f(w + h), f(w - h), f(w + 2h) and f(w - 2h) one can form a numerical gradient
#    whose error is proportional to $h^4$. Derive its coefficients from the Taylor
#    series, and add its curve to the figure. Predict its best h in float64 first.
