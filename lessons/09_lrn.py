# %% [markdown]
r"""
# 9. What does LRN do, and which LRN?

    python lessons/09_lrn.py [--seed 1] [--device cuda]

After its first two convolutions AlexNet has a layer that later networks left out:
*local response normalization*, LRN (section 3.3). At one position of the image there is
one value for each channel (feature map): the responses of the filters. LRN makes
neighbouring channels compete. Each response is divided by a number that is large where
the responses of the channels around it are large:

$$
s[c] = k + \alpha \sum_{j \text{ in the window of } c} x[j]^2, \qquad
y[c] = x[c] \cdot s[c]^{-\beta}
$$

The window of channel c consists of the channels from c - n//2 to c + n//2 that exist.
The idea comes from nerve cells, where an active one inhibits its neighbours. The paper
uses k = 2, n = 5, $\alpha$ = 0.0001 and $\beta$ = 0.75, and reports that LRN lowers its
top-1 error by 1.4 % and its top-5 error by 1.2 % (lesson 8). Other layers with this
name have other constants.
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
# We use conv1 and norm1 only. 67 pixels keep the layers that we do not use small.
alexnet = models.alexnet("paper", num_classes=10, image_size=67)
norm = alexnet.norm1

# %% [markdown]
# ## One strong channel
#
# We start with a constructed input: sixteen channels at one position, one with a strong
# response, the others with equal weaker ones.
#
# **Before you run this:** which are divided by more than the others: the strong one,
# its neighbours, or both?

# %%
channels, strong = np.arange(16), 7
row = np.where(channels == strong, 200.0, 40.0)[None, :, None]  # (N, C, positions)
y = norm(row).numpy()
for name, values in {"x": row, "y": y, "x / y": row / y}.items():
    print(f"  {name:<6}", *(f"{value:6.2f}" for value in values.ravel()))

# %% answer [markdown]
# Both: all channels whose window contains the strong one have the same large s. The
# strong channel keeps its ratio to its neighbours. What changes is the ratio of all of
# them to the channels outside.

# %% claims
near, divisors = abs(channels - strong) <= norm.size // 2, (row / y).ravel()
inside, outside = divisors[near].min(), divisors[~near].max()
text = f"the {near.sum()} channels around it are divided by the same number, {inside:.2f}"
lesson.claim(text, np.allclose(divisors[near], inside))
lesson.claim(f"the others are divided by less, {outside:.2f} at most", outside < inside)

# %% [markdown]
# ## At the paper's own scale
#
# The responses above were chosen. Now we take those of AlexNet's first convolution on
# images, with the paper's initial weights and its pixels from 0 to 255, minus the mean.
# Many responses are 0, since they come from ReLU. We call the responses above 1
# *usual*, and those above the *quantile* 0.999 (the value that 99.9 % of all responses
# are below) *largest*.
#
# **Before you run this:** between the smallest and the largest responses, how different
# are the numbers that the paper's LRN divides by: 10 times, 2 times, a few percent?

# %%
with ta.no_grad():
    x = F.relu(alexnet.conv1(pixels))
responses = x.numpy()
usual = responses > 1
largest = responses >= np.quantile(responses, 0.999)
print(f"median response {np.median(responses[usual]):.1f}, largest {responses.max():.1f}")


def divided_by(y):
    """The medians of x / y, for usual responses and for the largest ones."""
    return [float(np.median(responses[where] / y[where])) for where in (usual, largest)]


print("x / y: usual {:.3f}, largest {:.3f}".format(*divided_by(norm(x).numpy())))

# %% answer [markdown]
# The usual responses are divided by $k^\beta$, the smallest possible number, or a few
# percent more; the largest by less than a fifth more. If all responses in a window are
# about x, then $s = k + \alpha n x^2$, and the second term is as large as the first
# only for
#
# $$
# x = \sqrt{\frac{k}{\alpha n}} = \sqrt{\frac{2}{0.0001 \cdot 5}} \approx 63
# $$
#
# Far below that, $s \approx k$, and LRN divides by $k^\beta = 2^{0.75} \approx 1.68$,
# the same for all. At the start of training AlexNet's LRN is nearly a constant factor,
# and a constant factor can be absorbed by the weights of the next layer. The
# competition in the paper's formula has hardly any effect until training has made the
# responses larger.

# %% claims
constant, limit = norm.k**norm.beta, (norm.k / norm.alpha / norm.size) ** 0.5
x_over_y = responses[usual] / norm(x).numpy()[usual]
text = f"nothing is divided by less than k**beta = {constant:.3f}"
lesson.claim(text, x_over_y.min() > constant - 1e-3)
share = (x_over_y < 1.1 * constant).mean()
lesson.claim(f"{share:.1%} are divided by at most 10 % more", share > 0.95)
usually, more = (divisor / constant - 1 for divisor in divided_by(norm(x).numpy()))
lesson.claim(f"usual responses are divided by {usually:.1%} more", usually < 0.03)
lesson.claim(f"the largest responses by {more:.0%} more", more < 0.2)
above = (responses > limit).sum()
text = f"{above} of {responses.size:,} responses are above {limit:.0f}"
lesson.claim(text, above < 1e-3 * responses.size)

# %% plot
figure = lesson.figure(11, 4)
title = "A strong channel lowers its window"
labels = {"xlabel": "channel", "ylabel": "response", "xticks": channels[::3]}
axes = lesson.axes(figure, 1, 2, 1, title=title, **labels)
axes.bar(channels, row.ravel() / constant, color="#d5dbe1", label="x / k**beta")
axes.bar(channels, y.ravel(), width=0.5, color=lesson.BLUE, label="y")
axes.legend(frameon=False, loc="upper left")
title = "The divisors at the start of training"
labels = {"xlabel": "response x of conv1", "ylabel": "x / y", "ylim": (1, 2.5)}
axes = lesson.axes(figure, 1, 2, 2, title=title, **labels)
some = slice(None, None, max(1, usual.sum() // 5000))
axes.plot(responses[usual][some], x_over_y[some], ".", color=lesson.BLUE, markersize=2, alpha=0.5)
axes.axhline(constant, color=lesson.RED, linewidth=1.5, label="k**beta")
axes.legend(frameon=False, loc="upper left")
lesson.show(figure, "09_lrn")

# %% [markdown]
# ## Does it help?
#
# These are the facts, all about ImageNet (1.2 million photographs of 1000 classes),
# with top-1 and top-5 errors (section 3.3 of the paper). The code of 2012 comes with a
# file for each of its experiments, in which the authors noted the errors; the numbers
# with # are the authors' numbers of their experiments.
#
# - The paper: 1.4 % and 1.2 % less with LRN.
# - The code: 40.66 % and 18.21 % with LRN (#145), 42.03 % and 19.36 % without (#148).
#   That confirms the paper, but #148 also omits a second kind of normalization, over a
#   window of pixels, that the paper does not mention.
# - The code, with another sequence of learning rates during the training: 40.53 % and
#   18.05 % with all normalizations (#170), 40.49 % and 18.12 % without those of the
#   second layer (#167), which therefore gain nothing.
# - The authors of VGG, a network of 2014 with up to 19 layers (section 2.1 of their
#   paper): LRN "does not improve the performance".
#
# The paper also reports 11 % instead of 13 % on CIFAR-10. In the authors' files of
# these two networks, the width of a layer and a weight decay (lesson 13) differ too.
# None of these numbers isolates LRN. Lesson 17 compares a network with and without it
# on CIFAR-10, with five seeds.
#
# ## Which LRN?
#
# Some libraries use the sum of the squares, others their mean, which makes alpha five
# times smaller for n = 5. The defaults of TensorFlow (another library) differ in nearly
# all constants; a popular version of AlexNet for Keras, a library on top of TensorFlow,
# uses them. Six of tinyalex's variants of AlexNet have an LRN; the table shows its
# constants. The alpha of the table is the factor of the *sum*. With 2 groups, the
# channels are split into two halves, and a window does not extend into the other half.
#
# | variant | LRN of | n | alpha | beta | k | groups |
# |---|---|---|---|---|---|---|
# | paper | the paper | 5 | 1e-4 | 0.75 | 2 | 1 |
# | original | the code of 2012 | 5 | 2e-5 | 0.75 | 2 | 2 |
# | single | the paper, in a network for one GPU | 5 | 1e-4 | 0.75 | 2 | 1 |
# | caffe | Caffe's AlexNet | 5 | 2e-5 | 0.75 | 1 | 1 |
# | caffenet | CaffeNet, Caffe's variation of it | 5 | 2e-5 | 0.75 | 1 | 1 |
# | keras | TensorFlow's defaults | 11 | 1 | 0.5 | 1 | 1 |
#
# The program applies each to the same responses of conv1.
#
# **Before you run this:** weights were trained with one of these layers. With which
# others will the next layer get inputs of about the same scale?


# %%
def with_sum(alpha, k, **options):
    return F.local_response_norm(x, 5, alpha, 0.75, k, alpha_mode="sum", **options).numpy()


norms = {}
print("  variant   divides usual, largest by   order")
for variant in models.VARIANTS:
    with init.skipped():  # all weights 0, to save time: only the layers are needed
        layers = dict(models.alexnet(variant, num_classes=10, image_size=99).named_children())
    if "norm1" in layers:
        lrn = norms[variant] = layers["norm1"]
        print(f"  {variant:<10}", end="")
        print("{:13.2f} {:8.2f}      ".format(*divided_by(lrn(x).numpy())), end="")
        print(*(name for name in layers if name in ("conv1", "relu1", "norm1", "pool1")))

# %% answer [markdown]
# For these responses only k matters in the first five: with k = 2 ("paper", "original",
# "single") they are divided by about 1.7, with k = 1 (Caffe's two networks) by about 1.
# The LRN of the Keras version divides by far more, and differently for usual and large
# responses. torchvision's AlexNet has none. In the code of 2012 the two *groups* are
# the two halves of the network, one on each graphics card (lesson 20). And note the
# order: some networks normalize before ReLU, where negative responses still exist and
# their squares count.

# %% claims
lesson.claim("torchvision's AlexNet has none", "torchvision" not in norms)
table = {
    "paper": (5, 1e-4, 0.75, 2, 1),
    "original": (5, 2e-5, 0.75, 2, 2),
    "single": (5, 1e-4, 0.75, 2, 1),
    "caffe": (5, 2e-5, 0.75, 1, 1),
    "caffenet": (5, 2e-5, 0.75, 1, 1),
    "keras": (11, 1, 0.5, 1, 1),
}
constants = {}
for variant, lrn in norms.items():
    alpha = lrn.alpha / lrn.size if lrn.alpha_mode == "mean" else lrn.alpha
    constants[variant] = lrn.size, alpha, lrn.beta, lrn.k, lrn.groups
same = norms.keys() == table.keys()
same = same and all(np.allclose(constants[name], table[name], rtol=1e-6, atol=0) for name in table)
lesson.claim("the six layers have the constants of the table", same)
usual_of = {name: divided_by(lrn(x).numpy())[0] for name, lrn in norms.items()}
same = all(abs(usual_of[name] / constant - 1) < 0.1 for name in ("paper", "original", "single"))
lesson.claim(f"with k = 2 usual responses are divided by about {constant:.2f}", same)
other = usual_of["keras"]
lesson.claim(f"with TensorFlow's defaults by {other:.1f}", other > 2 * constant)
bounded = norms["keras"](x).numpy().max() <= 1
lesson.claim("with TensorFlow's defaults no output is above 1", bounded)
code, caffe = (norms[variant](x).numpy() for variant in ("original", "caffe"))
same = np.allclose(code, with_sum(2e-5, 2, groups=2))
lesson.claim("the code of 2012 has a fifth of the paper's alpha, and two groups", same)
same = np.allclose(caffe, with_sum(2e-5, 1))
lesson.claim("Caffe's LRN has the same alpha, k = 1, and no groups", same)

# %% [markdown]
# ## Another scale of pixels
#
# Many programs divide pixels by 255. The responses are then divided by 255 too, except
# for a bias, which is 0 here.
#
# **Before you run this:** which other alpha, at the old scale, would have the same
# effect as this division?

# %%
for alpha in 10.0 ** np.arange(-6, 1):
    medians = divided_by(with_sum(alpha, 2))
    print("  alpha {:.0e} divides: usual {:6.2f}, largest {:7.2f}".format(alpha, *medians))
scaled = 255 * norm(x / 255).numpy()
print("  pixels / 255  divides: usual {:6.2f}, largest {:7.2f}".format(*divided_by(scaled)))

# %% answer [markdown]
# Alpha is multiplied by the *square* of the responses, so it has a meaning only
# together with their scale:
#
# $$
# s = k + \alpha \sum_j \left( \frac{x[j]}{255} \right)^2
# = k + \frac{\alpha}{255^2} \sum_j x[j]^2
# $$
#
# The same effect would need an alpha smaller by a factor of 65,025. With pixels from 0
# to 1 the paper's alpha does nothing at all, and nothing in the program will tell you.

# %% claims
same = np.allclose(scaled, with_sum(norm.alpha / 255**2, 2), rtol=1e-5)
lesson.claim(f"it is alpha / {255**2:,}", same)
deviation = abs(responses[usual] / scaled[usual] / constant - 1).max()
text = f"then LRN divides by {constant:.2f}, up to a relative difference of {deviation:.0e}"
lesson.claim(text, deviation < 1e-3)

# %% [markdown]
# ## The gradient: a channel lowers its neighbours
#
# x[c] occurs in two places: in its own y[c], and in s[j] of each channel j whose window
# contains c. First s, then y by the product rule and the chain rule:
#
# $$
# \frac{\partial s[j]}{\partial x[c]} = 2 \alpha \, x[c] \quad
# \text{if the window of } j \text{ contains } c \text{, else } 0
# $$
#
# $$
# \frac{\partial y[j]}{\partial x[c]} =
# \underbrace{s[c]^{-\beta}}_{\text{only if } j = c} - \;
# \beta \, x[j] \, s[j]^{-\beta - 1} \cdot \frac{\partial s[j]}{\partial x[c]} =
# \underbrace{s[c]^{-\beta}}_{\text{only if } j = c} - \;
# 2 \alpha \beta \, x[c] \, \frac{y[j]}{s[j]}
# $$
#
# (The last form is for channels j whose window contains c; for all others the
# derivative is 0.) The second term is the *cross-channel term*. For positive x it is
# negative. The last step, from these derivatives to dx, is exercise 1.
#
# **Before you run this:** the strong channel increases a little. Does the *sum* of all
# sixteen outputs increase?

# %%
copies = ta.Tensor(np.repeat(row, 16, axis=0), requires_grad=True)
norm(copies).backward(np.eye(16)[:, :, None])  # copy j: the gradient of y[j] alone
derivatives = ta.Tensor(copies.grad).numpy()[:, strong, 0]
print("  derivatives", *(f"{derivative:+.3f}" for derivative in derivatives))
print(f"  their sum {derivatives.sum():+.3f}")

# %% answer [markdown]
# The strong channel's own output increases by less than the outputs of its four
# neighbours decrease, so the sum decreases.
#
# A channel that is alone in its window shows how far this goes. Then $s = k + \alpha
# x^2$, and the two terms have opposite signs:
#
# $$
# \frac{dy}{dx} = s^{-\beta - 1} \left( k + \alpha x^2 - 2 \alpha \beta x^2 \right) = 0
# \quad \text{for} \quad x = \sqrt{\frac{k}{\alpha \, (2 \beta - 1)}} = 200
# $$
#
# with the paper's constants. Beyond this point a stronger response makes its own output
# smaller. With $\beta = 0.5$, as in TensorFlow's defaults, there is no such point.

# %% claims
step = 1e-4 * (channels == strong)[None, :, None]
numerical = (norm(row + step) - norm(row - step)).numpy()[0, :, 0] / 2e-4
values, s = row.ravel(), (row / y).ravel() ** (1 / norm.beta)
formula = -2 * norm.alpha * norm.beta * values[strong] * y.ravel() / s * near
formula[strong] += s[strong] ** -norm.beta
same = np.allclose(derivatives, numerical, atol=1e-8) and np.allclose(derivatives, formula)
lesson.claim("backward(), the formula and the numerical derivatives agree", same)
negative = np.array_equal(derivatives < 0, near & (channels != strong))
lesson.claim("its neighbours decrease, channels outside the window do not", negative)
total = derivatives.sum()
lesson.claim(f"the derivative of the sum is {total:+.3f}: it decreases", total < 0)
strengths = np.geomspace(1, 1e4, 2000)
alone = np.where(channels == strong, strengths[:, None], 0)[:, :, None]
curves = {name: lrn(alone).numpy()[:, strong, 0] for name, lrn in norms.items()}
peak = (norm.k / (norm.alpha * (2 * norm.beta - 1))) ** 0.5
past = np.diff(curves["paper"][strengths > peak])
text = f"the paper's output decreases for lone responses above {peak:.0f}"
lesson.claim(text, past.size and (past < 0).all())
lesson.claim("TensorFlow's does not", (np.diff(curves["keras"]) >= 0).all())

# %% plot
figure = lesson.figure(11, 4)
title = f"Derivatives with respect to channel {strong}"
labels = {"xlabel": "channel", "ylabel": "derivative of y", "xticks": channels[::3]}
axes = lesson.axes(figure, 1, 2, 1, title=title, **labels)
axes.bar(channels, derivatives, color=np.where(derivatives > 0, lesson.BLUE, lesson.RED))
title, limits = "Four layers called LRN", {"ylim": (0.3, 1500)}
labels = {"xlabel": "x, alone in its window", "ylabel": "y"}
axes = lesson.axes(figure, 1, 2, 2, title=title, **labels, **limits)
styles = {
    "paper": ("paper", lesson.BLUE, "-"),
    "original": ("code of 2012", lesson.GREEN, "-"),
    "caffe": ("Caffe", lesson.GREY, "--"),
    "keras": ("TensorFlow's defaults", lesson.RED, "-"),
}
for variant, (label, colour, line) in styles.items():
    axes.loglog(strengths, curves[variant], line, color=colour, linewidth=2, label=label)
axes.legend(frameon=False, loc="upper left")
lesson.show(figure, "09_lrn_gradient")

# %% [markdown]
# ## Break it
#
# A common mistake is to treat s as a constant in the backward pass, which omits the
# cross-channel term. We compare the gradient of the sum of the outputs, once for the
# strong channel of our row, once for responses of about 1.
#
# **Before you run this:** how wrong is the gradient in each of the two cases?


# %%
class ConstantS(LocalResponseNorm):
    def backward(self, dy):
        return dy * self.s**-self.beta


def gradient(function, x):
    leaf = ta.Tensor(x, requires_grad=True)
    function.apply(leaf, size=5, a=1e-4, beta=0.75, k=2.0, groups=1).sum().backward()
    return ta.Tensor(leaf.grad).numpy()


small = abs(np.random.default_rng(args.seed).standard_normal((4, 16, 9)))
of_row = [gradient(function, row)[0, strong, 0] for function in (LocalResponseNorm, ConstantS)]
of_small = [gradient(function, small) for function in (LocalResponseNorm, ConstantS)]
deviation = abs(of_small[1] / of_small[0] - 1).max()
print("strong channel: tinyalex {:+.3f}, with s constant {:+.3f}".format(*of_row))
print(f"responses of about 1: largest relative difference {deviation:.1%}")

# %% answer [markdown]
# For the strong channel the sign is wrong: a training step would increase what it
# should decrease. For small responses the cross-channel term is nearly 0, and the
# mistake is hard to see.
#
# The symptom to remember: a backward pass that passes a coarse check on small values,
# and is wrong on large ones. Check at the scale of real inputs.

# %% claims
lesson.claim("for the strong channel the sign is wrong", of_row[0] < 0 < of_row[1])
text = f"with responses of about 1 the largest error is {deviation:.1%}"
lesson.claim(text, deviation < 0.01)

# %% [markdown]
# ## Exercises
#
# 1. Derive the backward pass of LRN from the derivatives above, and write it:
#    `tinyalex learn start 9` creates the file in `my/`, `tinyalex learn check 9` checks
#    it. The formula of dx is not given. Each output y[j] has its upstream gradient
#    dy[j].
# 2. Run `ta.gradcheck` on `ConstantS` with small responses and with large ones. It is
#    more accurate than our comparison: what does it report?
# 3. CaffeNet pools *before* it normalizes, so LRN takes a quarter of the work. Is the
#    result the same? Try both orders on `x`.
# 4. If LRN comes before ReLU, are the outputs next to a negative response smaller or
#    larger than with ReLU first? Try it with `alexnet.conv1(pixels)`.
