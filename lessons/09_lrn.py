# %% [markdown]
"""
# 9. What does LRN do, and which LRN?

    python lessons/09_lrn.py [--seed 1] [--device cuda]

After its first two convolutions AlexNet has a layer that later networks left out:
*local response normalisation*, LRN (section 3.3). A convolution produces a feature map
for each filter; each map is a *channel*. At one position of the image there is one
value for each channel: the *responses* of the filters. LRN makes neighbouring channels
compete. Each response is divided by a number that is large where the responses of the
channels around it are large:

    s[c] = k + alpha * (sum of x[j]**2 over the n channels j around c)
    y[c] = x[c] / s[c]**beta

The idea comes from neurons, where an active one inhibits its neighbours. The paper uses
k = 2, n = 5, alpha = 1e-4, beta = 0.75, and reports that LRN lowers its top-1 error by
1.4 %. Other layers with this name have other constants.
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import models
from tinyalex.course import lesson
from tinyalex.functional.normalization import LocalResponseNorm
from tinyalex.nn import init

args = lesson.options(__doc__)
photos = lesson.photos(4, 224).pixels
mean_colour = photos.mean(axis=(0, 2, 3), keepdims=True)
pixels = (photos - mean_colour).astype("f")  # about -128 to 128: the scale of the paper
alexnet = models.alexnet("paper", num_classes=10, image_size=67)  # we use conv1 and norm1
norm = alexnet.norm1

# %% [markdown]
# ## One strong channel
#
# We start with a constructed input: sixteen channels at one position, one with a strong
# response, the others with equal weaker ones.
#
# Before you run this: which are divided by more than the others: the strong one, its
# neighbours, or both?

# %%
channels, strong = np.arange(16), 7
row = np.where(channels == strong, 200.0, 40.0)[None, :, None]  # (N, C, positions)
x = row[0, :, 0]
y = norm(row).numpy()[0, :, 0]
divisors = x / y
for name, values in (("x", x), ("y", y), ("x / y", divisors)):
    print(f"  {name:<6}", *(f"{value:6.2f}" for value in values))
near = abs(channels - strong) <= norm.size // 2
inside, outside = divisors[near].min(), divisors[~near].max()
text = f"the {near.sum()} channels around it are divided by the same number, {inside:.2f}"
lesson.claim(text, np.allclose(divisors[near], inside))
lesson.claim(f"the others are divided by less, {outside:.2f} at most", outside < inside)

# %% [markdown]
# Within its window the strong channel keeps its ratio to the others; what changes is
# the ratio of this window to the channels outside.
#
# ## Which LRN?
#
# Some libraries use the sum of the squares, others their mean, which makes alpha five
# times smaller for n = 5. TensorFlow's defaults differ in nearly all constants; a
# popular Keras port uses them. The table has the networks that are called AlexNet, each
# with its own LRN, applied to the same responses: those of the paper's first
# convolution, untrained. The alpha in the table is the factor of the *sum*.
#
# Before you run this: for which of them does the next layer get a very different input?

# %%
with ta.no_grad():
    signed = alexnet.conv1(pixels)  # before ReLU: negative where the pattern does not match
    x = F.relu(signed)
responses = x.numpy()
usual, largest = responses > 1, responses >= np.quantile(responses, 0.999)


def divided_by(y):
    """The median of x / y for usual responses and for the largest ones, as text."""
    medians = (np.median(responses[where] / y[where]) for where in (usual, largest))
    return "{:7.2f} {:8.2f}".format(*medians)


def with_sum(alpha, k, **options):
    return F.local_response_norm(x, 5, alpha, 0.75, k, alpha_mode="sum", **options).numpy()


norms = {}
print("  variant      n  alpha  beta  k  groups    divides: usual, largest    order")
for variant in models.VARIANTS:
    with init.skipped():
        layers = dict(models.alexnet(variant, num_classes=10, image_size=99).named_children())
    if "norm1" in layers:
        lrn = norms[variant] = layers["norm1"]
        alpha = lrn.alpha / lrn.size if lrn.alpha_mode == "mean" else lrn.alpha
        order = " ".join(name for name in layers if name in ("conv1", "relu1", "norm1", "pool1"))
        values = f"{lrn.size:>2} {alpha:>6.0e} {lrn.beta:>5} {lrn.k:>2.0f} {lrn.groups:>7}"
        print(f"  {variant:<11} {values}          {divided_by(lrn(x).numpy())}    {order}")
lesson.claim("torchvision's AlexNet has none", "torchvision" not in norms)
bounded = norms["keras"](x).numpy().max() <= 1
lesson.claim("with TensorFlow's defaults no output is above 1", bounded)
code, caffe = (norms[variant](x).numpy() for variant in ("original", "caffe"))
same = np.allclose(code, with_sum(2e-5, 2, groups=2))
lesson.claim("the code of 2012 has a fifth of the paper's alpha, and two groups", same)
same = np.allclose(caffe, with_sum(2e-5, 1))
lesson.claim("Caffe's LRN has the same alpha, k = 1, and no groups", same)

# %% [markdown]
# For usual responses the paper's LRN divides by nearly the same number everywhere,
# k**beta: on an untrained network it is almost a constant factor. Weights trained with
# one of these layers do not fit another, because the next convolution would get inputs
# of another scale. The *groups* are the two halves of the network, one on each graphics
# card: in the code of 2012 a window does not extend to the channels of the other card.
# And note the order. Some networks normalise before ReLU, where negative responses
# still exist and their squares count.
#
# Before you run this: if LRN comes first, are the neighbours of a negative response
# smaller or larger?

# %%
with ta.no_grad():
    norm_first, relu_first = F.relu(norm(signed)).numpy(), norm(x).numpy()
smaller = 1 - norm_first[responses > 0] / relu_first[responses > 0]
text = f"none is larger with LRN first, and some are {100 * smaller.max():.0f} % smaller"
lesson.claim(text, -1e-5 < smaller.min() < smaller.max())

# %% [markdown]
# ## A sweep over alpha
#
# Alpha is multiplied by the *square* of the responses, so it has a meaning only
# together with their scale. Before you run this: pixels are divided by 255. Which other
# alpha would have had the same effect?

# %%
for alpha in 10.0 ** np.arange(-6, 1):
    print(f"  alpha {alpha:.0e} divides: usual, largest {divided_by(with_sum(alpha, 2))}")
scaled = 255 * norm(x / 255).numpy()
same = np.allclose(scaled, with_sum(1e-4 / 255**2, 2), rtol=1e-5)
lesson.claim(f"it is alpha / {255**2}", same)
constant = norm.k**norm.beta
deviation = abs(responses[usual] / scaled[usual] / constant - 1).max()
text = f"then LRN only divides by {constant:.2f}, up to a relative difference of {deviation:.0e}"
lesson.claim(text, deviation < 1e-3)

# The effect of beta: only one channel responds, with increasing strength. With 0.5 the
# output has a limit, since x / sqrt(alpha * x * x) does not depend on x. With 0.75 the
# divisor grows faster than x, and the output finally decreases (see the figure).
strengths = np.geomspace(1, 1e4, 2000)
alone = np.where(channels == strong, strengths[:, None], 0)[:, :, None]
curves = {name: lrn(alone).numpy()[:, strong, 0] for name, lrn in norms.items()}
# The derivative of x / (k + alpha * x * x)**beta is zero at
peak = (norm.k / (norm.alpha * (2 * norm.beta - 1))) ** 0.5
past = np.diff(curves["paper"][strengths > peak])
text = f"the paper's output decreases for lone responses above {peak:.0f}"
lesson.claim(text, past.size and (past < 0).all())
lesson.claim("TensorFlow's does not", (np.diff(curves["keras"]) >= 0).all())

# %% [markdown]
# ## The gradient: a channel lowers its neighbours
#
# If x[c] increases a little, so does the divisor of each y[j] whose window contains c.
# By the chain rule, with ds[j]/dx[c] = 2 * alpha * x[c],
#
#     dy[j]/dx[c] = (s[c]**-beta if j == c else 0)
#                   - 2 * alpha * beta * x[c] * y[j] / s[j]
#
# The second term is the *cross-channel term*. Before you run this: the strong channel
# increases a little. Does the *sum* of all sixteen outputs increase?

# %%
copies = ta.Tensor(np.repeat(row, 16, axis=0), requires_grad=True)
norm(copies).backward(np.eye(16)[:, :, None])  # copy j: the gradient of y[j] alone
derivatives = ta.Tensor(copies.grad).numpy()[:, strong, 0]
step = 1e-4 * (channels == strong)[None, :, None]
numerical = (norm(row + step) - norm(row - step)).numpy()[0, :, 0] / 2e-4
print("  derivatives", *(f"{derivative:+.3f}" for derivative in derivatives))
same = np.allclose(derivatives, numerical, atol=1e-8)
lesson.claim("backward() agrees with the numerical derivatives", same)
negative = np.array_equal(derivatives < 0, near & (channels != strong))
lesson.claim("its neighbours decrease, channels outside the window do not", negative)
total = derivatives.sum()
lesson.claim(f"the derivative of the sum is {total:+.3f}: it decreases", total < 0)

figure = lesson.figure(13, 4.2)
labels = {"xlabel": "channel", "xticks": channels[::3]}
title = "A strong channel lowers its window"
axes = lesson.axes(figure, 1, 3, 1, title=title, ylabel="response", **labels)
axes.bar(channels, row[0, :, 0] / constant, color="#d5dbe1", label="x / k**beta")
axes.bar(channels, y, width=0.5, color=lesson.BLUE, label="y")
axes.legend(frameon=False, loc="upper left")
title, limits = "Four layers called LRN", {"ylim": (0.3, 1500)}
x_label = "x, alone in its window"
axes = lesson.axes(figure, 1, 3, 2, title=title, xlabel=x_label, ylabel="y", **limits)
styles = {
    "paper": ("paper", lesson.BLUE, "-"),
    "original": ("code of 2012", lesson.GREEN, "-"),
    "caffe": ("Caffe", lesson.GREY, "--"),
    "keras": ("TensorFlow's defaults", lesson.RED, "-"),
}
for variant, (label, colour, line) in styles.items():
    axes.loglog(strengths, curves[variant], line, color=colour, linewidth=2, label=label)
axes.legend(frameon=False, loc="upper left")
title = f"Derivatives with respect to channel {strong}"
axes = lesson.axes(figure, 1, 3, 3, title=title, ylabel="derivative of y", **labels)
axes.bar(channels, derivatives, color=np.where(derivatives > 0, lesson.BLUE, lesson.RED))
lesson.show(figure, "09_lrn")

# %% [markdown]
# ## Break it
#
# A common mistake is to treat s as a constant, which omits the cross-channel term.
# Before you run this: is that visible with small responses, or with large ones?


# %%
class WithoutCrossTerm(LocalResponseNorm):
    def backward(self, dy):
        return dy * self.s**-self.beta


def gradient(function, x):
    leaf = ta.Tensor(x, requires_grad=True)
    function.apply(leaf, size=5, a=1e-4, beta=0.75, k=2.0, groups=1).sum().backward()
    return ta.Tensor(leaf.grad).numpy()


right, wrong = (gradient(f, row)[0, strong, 0] for f in (LocalResponseNorm, WithoutCrossTerm))
text = f"the strong channel's gradient should be {right:+.3f} and is {wrong:+.3f}: the wrong sign"
lesson.claim(text, right < 0 < wrong)
small = abs(np.random.default_rng(args.seed).standard_normal((4, 16, 9)))
error = abs(gradient(WithoutCrossTerm, small) / gradient(LocalResponseNorm, small) - 1).max()
text = f"with responses of about 1 the largest error is {100 * error:.1f} %"
lesson.claim(text, error < 0.01)

# %% [markdown]
# The symptom to remember: a backward pass that passes a coarse check on small values,
# and is wrong on large ones. Check at the scale of real inputs.
#
# ## Exercises
#
# 1. Write the backward pass of LRN yourself: `tinyalex learn start 9` creates the file
#    in `my/`, `tinyalex learn check 9` checks it.
# 2. Run `ta.gradcheck` on `WithoutCrossTerm` with small responses and with large ones.
#    It is more accurate than our comparison: what does it report?
# 3. CaffeNet pools *before* it normalises, so LRN takes a quarter of the work. Is the
#    result the same? Try both orders on `x`.
