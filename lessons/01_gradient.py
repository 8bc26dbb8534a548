# %% [markdown]
"""
# 1. What is a gradient, really?

    python lessons/01_gradient.py [--seed 1] [--device cuda]

A network is a machine with many small screws, its weights. Show it pictures and it answers; the *loss* is one number that says how
wrong the answers are. To train the network is to turn each screw a little in the direction that makes the loss smaller. So we have one
question for each weight: *if I turn this one a little, how fast does the loss change?* The answers, all together, are the gradient.

This lesson asks in the most honest way there is, by turning a screw and looking, and then sees how well `backward()`, which never
turns anything, knows the same numbers.
"""

# %%
import inspect
from timeit import timeit

import numpy as np

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import nn
from tinyalex.learning import lesson

args = lesson.options(__doc__)
train = lesson.images(64).train
pixels = train.images / 255 - 0.5


class Experiment:
    """A small network in the precision asked for, and its loss when its eight filters are others."""

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

    def nudged(self, index, h):
        """The loss with one weight moved by h, all others as they are."""
        filters = self.start.copy()
        filters[index] += h
        with ta.no_grad():
            return self.loss(filters).item()


exact = Experiment("float64")

# %% [markdown]
# ## Turn one screw
#
# We take the weight whose slope is steepest. `nudged(index, h)` adds h to it and measures the loss again. How steep that step is, the
# change of the loss divided by h, is what school called the slope of a chord: rise over run. As h gets smaller the chord becomes the
# tangent, and its slope the *derivative*.
#
# Before you run this: h goes down by a factor of ten from line to line. What will the measured slopes do?

# %%
loss = exact.loss(exact.start)
loss.backward()
gradient = ta.Tensor(exact.filters.grad).numpy().copy()
order = np.argsort(-abs(gradient), axis=None)
large = [
    tuple(int(i) for i in np.unravel_index(flat, gradient.shape)) for flat in order[:16]
]  # where the slopes are steepest
steepest = large[0]

print(f"loss {loss.item():.6f}; the weight at {list(steepest)} is {exact.start[steepest]:+.6f}")
for h in (0.1, 0.01, 0.001, 0.0001):
    slope = (exact.nudged(steepest, h) - exact.nudged(steepest, 0)) / h
    print(f"  h = {h:<7g} measured slope {slope:+.8f}")
print(f"  backward()  says          {gradient[steepest]:+.8f}")
lesson.claim(
    "the measured slope closes in on what backward() says",
    abs(slope / gradient[steepest] - 1) < 1e-3,
)

# %% [markdown]
# Nobody told `backward()` about nudges. It goes through the layers from the last to the first with the rules of calculus, and comes out
# with the same number. What does it cost to know the slope of every weight in each of the two ways?

# %%
weights = sum(p.size for p in exact.net.parameters())
forward = timeit(lambda: exact.nudged(steepest, 0), number=5) / 5
both = timeit(lambda: exact.loss(exact.start).backward(), number=5) / 5
print(
    f"one forward pass: {1000 * forward:.1f} ms; forward and backward: {1000 * both:.1f} ms; ",
    end="",
)
print(f"the slopes of all {weights:,} weights by nudging: {weights * forward:.0f} s and more")
lesson.claim(
    f"backward() is the cheaper way, by a factor of {weights * forward / both:,.0f}",
    weights * forward > 20 * both,
)

# %% [markdown]
# AlexNet has 60 million weights (section 4 of the paper) and each of its forward passes is far longer. This is why there is a
# `backward()` at all: nudging is for checking, backward is for training.
#
# ## All the screws at once
#
# Write the slopes of many weights into one long arrow: that is the *gradient*. It points into the direction in which the loss grows
# fastest. So a short step straight against it should lower the loss more than a step of the same length into any other direction.
# Here we move the weights of the eight filters and leave the rest alone.
#
# Before you run this: we try many random directions. How close will the best of them come to the gradient: nearly, half, or not at all?

# %%
random = np.random.default_rng(args.seed)
step = 0.01


def after(direction):
    """How far the loss falls for a step of fixed length into a direction."""
    with ta.no_grad():
        return (
            loss.item()
            - exact.loss(exact.start + step * direction / np.linalg.norm(direction)).item()
        )


best = after(-gradient)
others = [after(random.standard_normal(gradient.shape)) for _ in range(200)]
print(
    f"against the gradient the loss falls by {best:.6f}; in the best of {len(others)} random directions by {max(others):.6f}"
)
lesson.claim(
    f"the best of {len(others)} guesses gains less than a quarter of what the gradient gains",
    max(others) < best / 4,
)
expected = step * np.linalg.norm(gradient)
lesson.claim(
    f"the gradient's length times the step foretells the fall: {expected:.6f}",
    abs(best / expected - 1) < 0.1,
)

# %% [markdown]
# With so many weights, nearly every random direction is nearly sideways. That is why we want the gradient and do not guess.
#
# ## How small should the nudge be?
#
# Two things spoil a measured slope. A *long* chord is not the tangent: its slope is off by an amount that shrinks in proportion to h. A
# trick helps: step to both sides and take (loss(w + h) - loss(w - h)) / 2h, the *central difference*. The bend to the left cancels the
# bend to the right, and the error falls as h * h. A *short* chord has another trouble: the two losses are almost equal, and a computer
# keeps only so many digits of each. Where they begin alike, the difference keeps the few digits behind, and these are rounding.
#
# Before you run this: sketch the error against h, from large h to small. Where is it smallest: at the largest h, the smallest, between?


# %%
def error(experiment, h, both_sides):
    """The relative error of measured slopes: the median of several weights, since one alone can be lucky."""
    back = h if both_sides else 0
    measured = [(experiment.nudged(i, h) - experiment.nudged(i, -back)) / (h + back) for i in large]
    return np.median([abs(m / gradient[i] - 1) for m, i in zip(measured, large, strict=True)])


nudges = 10.0 ** np.arange(-1, -13.5, -0.5)
single = Experiment("float32")
curves = {
    "float32, one side": [error(single, h, False) for h in nudges],
    "float32, both sides": [error(single, h, True) for h in nudges],
    "float64, one side": [error(exact, h, False) for h in nudges],
    "float64, both sides": [error(exact, h, True) for h in nudges],
}
for name, curve in curves.items():
    print(f"{name:<20} smallest error {min(curve):.0e}, at h = {nudges[np.argmin(curve)]:.0e}")


one, two = (
    np.polyfit(np.log(nudges[:4]), np.log(curves[f"float64, {name}"][:4]), 1)[0]
    for name in ("one side", "both sides")
)
lesson.claim(
    f"for large h the error of one side falls as h**{one:.2f}: in proportion to h", 0.8 < one < 1.2
)
lesson.claim(
    f"and that of both sides as h**{two:.2f}: a tenth of h, a hundredth of the error",
    1.8 < two < 2.2,
)
coarse, fine = min(curves["float32, both sides"]), min(curves["float64, both sides"])
lesson.claim(
    f"at its best h, float64 is {coarse / fine:,.0f} times as good as float32", coarse > 1000 * fine
)
longest, *_, shortest = curves["float64, both sides"]
lesson.claim("the best h lies in between: both ends are far worse", longest > 100 * fine < shortest)
default = inspect.signature(ta.gradcheck).parameters["h"].default
at_default = error(exact, default, True)
lesson.claim(
    f"gradcheck does it like that, with h = {default:g}: here the error is {at_default:.0e}",
    at_default < 1e-7,
)

figure = lesson.figure(7.5, 4.6)
labels = {"xlabel": "the nudge h, from large to small", "ylabel": "relative error of the slope"}
axes = lesson.axes(
    figure, title="Too long a chord on the left, too few digits on the right", **labels
)
for name, curve in curves.items():
    colour, line = lesson.BLUE if "float64" in name else lesson.RED, "-" if "both" in name else "--"
    axes.loglog(nudges, curve, color=colour, linestyle=line, linewidth=2, label=name)
axes.axvline(default, color=lesson.GREY, linestyle=":", label=f"gradcheck's h = {default:g}")
axes.invert_xaxis()
axes.legend(frameon=False)
lesson.show(figure, "01_gradient")

# %% [markdown]
# ## Break it
#
# A classmate checks gradients with float32 and makes h as small as can be, "to be exact". What does the check say of a correct
# backward pass, and what of one that returns nothing but zeros?

# %%
tiny = 1e-12
measured = [(single.nudged(i, tiny) - single.nudged(i, 0)) / tiny for i in large]
w = single.start[steepest]
print(
    f"w = {w:.9f}, w + {tiny:g} = {w + np.float32(tiny):.9f}; the slopes measured: {set(measured)}"
)
lesson.claim(
    "every slope comes out as 0: a right backward looks wrong, and one that returns zeros looks right",
    not any(measured),
)

# %% [markdown]
# The symptom to remember: a numerical gradient of exactly 0, or one that jumps about, speaks against the nudge before it speaks against
# your backward pass. `ta.gradcheck` always computes in float64.
#
# ## Exercises
#
# 1. `tinyalex learn start 1` puts a file with a function to write into `my/`; `tinyalex learn check 1` says what is wrong with it.
# 2. Replace `nn.Tanh()` by `nn.ReLU()`, whose slope jumps at zero. Which claim fails first, and which end of the curves is to blame?
# 3. Add another curve to the figure: (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h. By what power of h does its error fall?
