# %% [markdown]
"""
# 12. How should weights start?

    python lessons/12_initialization.py [--seed 1] [--device cuda] [--full]

Before the first training step the weights need values. They must not all be equal, as
the last experiment shows; so they are random, usually from the normal distribution with
mean 0 and standard deviation sigma (lesson 1). The paper uses sigma = 0.01, with biases
of 1 in some layers (section 5). Users of this value often report that training does not
start: for a long time the loss stays at log K, where K is the number of classes. What
is missing?
"""

# %%
import math
from functools import partial
from itertools import count, islice

import numpy as np

import tinyalex as ta
from tinyalex import data, models, optim
from tinyalex import functional as F
from tinyalex.course import lesson
from tinyalex.nn import init

args = lesson.options(__doc__)
photos = lesson.photos(16, size=224).pixels.astype(np.float32)
photos -= photos.mean(axis=(0, 2, 3), keepdims=True)  # minus the mean colour: about -128 to 128
deviation = photos.std()
print(f"16 images; the standard deviation of their pixels is {deviation:.0f}")

# %% [markdown]
# ## How large an output is
#
# An output y of a layer is a sum of n products w * x, for weights w and inputs x. (The
# bias is 0 here.) The number n is the *fan-in*: the number of inputs of a linear layer;
# of a convolution, channels times the window's height and width. The weights are
# random, independent of each other and of the inputs, with mean 0. Let E be the mean
# over all random weights. In the square of the sum, the products of different weights
# have the mean 0, and only the squares remain:
#
# $$
# E[y^2] = \sum_{k=1}^{n} E[w_k^2] \, x_k^2 = n \, \sigma^2 \, \overline{x^2}
# $$
#
# where the bar is the mean over the n inputs. The next layer's inputs are ReLU(y). Half
# of the values y are negative and become 0, the other half stay, so the mean square is
# halved. Together, from the inputs of one layer to those of the next:
#
# $$
# \overline{x_{next}^2} = \frac{n \, \sigma^2}{2} \; \overline{x^2}
# $$
#
# To keep the size of the signals from layer to layer, the factor must be 1:
#
# $$
# \sigma = \sqrt{2 / n}
# $$
#
# This is *He's initialization* (He et al. 2015); `init.kaiming_` computes it. The code
# below first tests the formula on ten layers in a row. Then it computes the standard
# deviations of the initial weights of three AlexNets: with the paper's sigma, with that
# of the code of 2012 (`models.alexnet("original")`), and with He's.
#
# **Before you run this:** is the paper's 0.01 smaller than He's sigma, or larger? In
# how many of the eight layers?


# %%
rng = np.random.default_rng(args.seed)
squares = {}
for sigma in (math.sqrt(2 / 500), 0.05):
    x = rng.standard_normal((100, 500))
    squares[sigma] = [(x**2).mean()]
    for _ in range(10):
        x = np.maximum(x @ rng.normal(0, sigma, (500, 500)), 0)
        squares[sigma].append((x**2).mean())
    print(f"  sigma {sigma:.4f}: mean square after each layer", end=" ")
    print(" ".join(f"{value:.3g}" for value in squares[sigma]))


def sigmas(net):
    """Of the weights of each layer; the biases have one axis only."""
    return {name: p.numpy().std() for name, p in net.named_parameters() if p.ndim > 1}


nets = {"paper": models.alexnet("paper"), "2012": models.alexnet("original")}
nets["He"] = models.alexnet("paper")
fan_ins = [init.fan_in(p) for p in nets["He"].parameters() if p.ndim > 1]
init.kaiming_(nets["He"])
initial = {name: sigmas(net) for name, net in nets.items()}
for name, n in zip(initial["He"], fan_ins, strict=True):
    row = ", ".join(f"{start} {found[name]:.4f}" for start, found in initial.items())
    print(f"  {name:<13} fan-in {n:>5}: sigma {row}")

# %% answer [markdown]
# With 0.05 instead of sqrt(2 / 500) = 0.0632 each of the ten layers multiplies the mean
# square by $500 \cdot 0.05^2 / 2 = 0.625$. In AlexNet, the paper's sigma is smaller
# than He's in all eight layers. So signals shrink from layer to layer.
#
# And the code of 2012 has, unlike the paper's text, a sigma of 0.03 in conv3, conv4 and
# conv5: nearly He's. This is the first thing that is missing.

# %% claims
he_row, low_row = squares.values()
factor = (low_row[-1] / low_row[0]) ** (1 / 10)
lesson.claim(f"with 0.05 the factor is {factor:.3f} per layer", abs(factor - 0.625) < 0.05)
text = f"with He's sigma the mean square after ten layers is {he_row[-1]:.2f}, from {he_row[0]:.2f}"
lesson.claim(text, 0.5 < he_row[-1] / he_row[0] < 2)
expected = np.sqrt(2 / np.array(fan_ins))
paper, original, he = (np.array(list(found.values())) for found in initial.values())
lesson.claim("`init.kaiming_` uses sqrt(2 / fan-in)", np.allclose(he, expected, rtol=0.03))
lesson.claim("the paper's sigma is smaller in every layer", (paper < expected).all())
factor = np.prod(expected / paper)
lesson.claim(f"the product of the ratios over the eight layers is {factor:,.0f}", factor > 1000)
ratios = original[2:5] / expected[2:5]
text = (
    f"in conv3 to conv5, the code of 2012 has {ratios.min():.2f} to {ratios.max():.2f} times He's"
)
lesson.claim(text, (abs(ratios - 1) < 0.15).all())

# %% [markdown]
# ## The signal in each layer
#
# A network can distinguish images only if the values of its last layer differ. So we
# pass 16 images through untrained AlexNets, and measure for each layer: how much does a
# value vary *from image to image*? Its standard deviation over the images, averaged
# over all values of the layer, is the layer's *spread*.
#
# Four starts: the paper's weights, with pixels as in the paper, from 0 to 255 minus the
# mean; the paper's weights, with pixels divided by 255, as images are often given
# today; the weights of the code of 2012, with pixels as in the paper; and He's, with
# pixels of standard deviation 1.
#
# **Before you run this:** eight layers have weights. By what power of ten will the
# spread of the last one differ between the first two? And by what factor between the
# first and the third?


# %%
def statistics(net, pixels):
    """By layer, after its ReLU: spread, deviation of all values, fraction of zeros."""
    x, found = ta.Tensor(pixels), {}
    with ta.no_grad():
        for name, layer in net.eval().named_children():  # in order
            x = layer(x)
            if name.startswith("relu") or name == "fc8":
                values = x.numpy().reshape(len(pixels), -1)
                found[name] = values.std(axis=0).mean(), values.std(), (values == 0).mean()
    return found


LARGE, SMALL, CODE, HE = "paper, to 255", "paper, to 1", "2012, to 255", "He, deviation 1"
starts = {LARGE: statistics(nets["paper"], photos), SMALL: statistics(nets["paper"], photos / 255)}
starts[CODE] = statistics(nets["2012"], photos)
starts[HE] = statistics(nets["He"], photos / deviation)
print(f"  {'':<8}" + "".join(f"{name:>17}" for name in starts))
for layer in starts[HE]:
    print(f"  {layer:<8}" + "".join(f"{found[layer][0]:>17.5f}" for found in starts.values()))

# %% answer [markdown]
# The pixels differ by a factor of 255, and the spread of the last layer differs by
# nearly as much. (Most of the rest is lost because of the biases of 1 in conv2: with
# large pixels, some sums are negative nevertheless, and ReLU sets them to 0; with small
# pixels, none is. A little is lost in the normalization of lesson 9, which divides
# large values by more.) The sigma of 0.01 only works with large pixels: sigma and pixel
# scale must be chosen together. This is the second thing that is missing.
#
# Even with large pixels the paper's weights lose most of the signal from conv3 to
# conv5. Those of the code of 2012 keep it there, and lose some in the linear layers,
# where the sigma is 0.01 again.
#
# The standard deviation of *all* values of a layer, which many programs plot, does not
# show any of this. It is mostly caused by differences between units, from the biases
# of 1 and the random weights, which do not depend on the image. (The purpose of the
# biases of 1, says the paper, is that ReLUs have positive inputs, so that gradients
# pass from the start.)

# %% claims
large, small, code, he = (found["fc8"][0] for found in starts.values())
text = f"pixels to 255 make the last layer's spread {large / small:.0f} times as large"
lesson.claim(text, large > 50 * small)
text = f"with the weights of 2012 it is {code / large:.1f} times that of the paper's weights"
lesson.claim(text, code > 2 * large)
lesson.claim(f"with He's weights it is {he:.2f}", he > 0.1)
before, after = (starts[CODE][name][0] for name in ("relu2", "relu5"))
text = f"the code of 2012 keeps the spread from layer 2 to 5: {before:.2f}, {after:.2f}"
lesson.claim(text, 0.3 < after / before < 3)
before, after = (starts[LARGE][name][0] for name in ("relu2", "relu5"))
text = f"the paper's text does not: {before:.2f}, {after:.2f}"
lesson.claim(text, after < before / 5)
first, second = starts[LARGE]["relu7"][1], starts[SMALL]["relu7"][1]
text = f"the deviation of all values of layer 7: {first:.2f} and {second:.2f}, nearly the same"
lesson.claim(text, 0.9 < first / second < 1.1)
zeros, he_zeros = starts[LARGE]["relu4"][2], starts[HE]["relu4"][2]
text = f"with biases of 1, {zeros:.0%} of conv4's outputs are 0, without them {he_zeros:.0%}"
lesson.claim(text, zeros < 0.1 < he_zeros)

# %% [markdown]
# ## The plateau
#
# Now a network that trains in seconds: `models.cifar("quick")` of lesson 11, which the
# code of 2012 has for images of 32 x 32 pixels. Three runs: sigma 0.01 with pixels from
# 0 to 255 minus the mean; sigma 0.01 with these pixels divided by 255; and He's sigma,
# with pixels of standard deviation 1. All have the same images in the same order and
# the paper's rate, 0.01. Biases start at 0, so that only sigma and pixel scale differ.
# (`optim.paper_groups` gives biases twice the rate, as the code of 2012 did; momentum
# is the subject of lesson 13.)
#
# A network that knows nothing does best to give each of ten classes probability 1/10
# (lesson 11). **Before you run this:** what is its loss, and which of the three runs
# will stay at this loss?

# %%
steps, classes = 1500 if args.full else 300, 10
train = lesson.images(2000).train
mean, scale = data.mean_image(train.images), 1 / float(train.images.std())


def forever(loader):
    for epoch in count():
        yield from loader.epoch(epoch)  # the batches of this epoch


def run(fill, scale, steps):
    """The network and its loss at each step. `fill` initializes a weight."""
    ta.manual_seed(args.seed)
    net = models.cifar("quick")
    for p in net.parameters():
        fill(p) if p.ndim > 1 else init.zeros_(p)
    optimizer = optim.SGD(optim.paper_groups(net, lr=0.01), lr=0.01, momentum=0.9)
    options = {"transform": data.Normalize(mean, scale=scale), "device": args.device}
    # drop_last: without the last, smaller batch
    loader, losses = data.Loader(train, 32, shuffle=True, drop_last=True, **options), []
    for images, labels in islice(forever(loader), steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return net, np.array(losses)


normal = partial(init.normal_, std=0.01)
plans = {"sigma 0.01, to 255": (normal, 1), "sigma 0.01, to 1": (normal, 1 / 255)}
plans[HE] = init.kaiming_normal_, scale
curves = {name: run(*plan, steps)[1] for name, plan in plans.items()}
print(f"mean losses of {steps // 6} steps each:")
for name, losses in curves.items():
    print(f"  {name:<20} " + " ".join(f"{part.mean():.3f}" for part in np.split(losses, 6)))
for name, plan in plans.items():
    w = run(*plan, 1)[0].conv1.weight
    size = np.linalg.norm(ta.Tensor(w.grad).numpy()) / np.linalg.norm(w.numpy())
    curves[name] = curves[name], size
    print(f"  {name:<20} conv1's first gradient, relative to its weights: {size:.1e}")

# %% plot
figure = lesson.figure(11, 4.2)
texts = {"ylabel": "spread between images", "yscale": "log"}
left = lesson.axes(figure, 1, 2, 1, title="Signal in each layer of AlexNet", **texts)
texts = {"xlabel": "step", "ylabel": "loss (mean of 15 steps)"}
right = lesson.axes(figure, 1, 2, 2, title="Training loss of the small network", **texts)
colours = lesson.GREEN, lesson.RED, "#d9a21b", lesson.BLUE
for (name, found), colour, mark in zip(starts.items(), colours, "osD^", strict=True):
    layers = [layer.replace("relu", "layer ") for layer in found]
    left.plot(layers, [spread for spread, _, _ in found.values()], mark + "-", color=colour)
    left.lines[-1].set_label(name)
for (name, (losses, _)), colour in zip(curves.items(), colours[:2] + colours[3:], strict=True):
    means = losses.reshape(-1, 15).mean(axis=1)
    right.plot(np.arange(len(means)) * 15 + 7, means, color=colour, linewidth=2, label=name)
left.tick_params("x", labelrotation=30)
right.axhline(math.log(10), color=lesson.GREY, linestyle=":")
right.text(steps, math.log(10), "log 10", va="bottom", ha="right")
left.set_ylim(bottom=1e-6)
left.legend(frameon=False, loc="lower left")
right.legend(frameon=False, loc="lower left")
lesson.show(figure, "12_initialization")

# %% answer [markdown]
# The loss of small pixels with sigma 0.01 stays at log 10 = 2.303, that of a network
# that ignores its input: a *plateau*, a part of the curve in which the loss hardly
# falls. In the backward pass the gradients are multiplied by the same small weights, so
# the weights hardly change. When you see log K, check sigma and pixel scale first. The
# training scripts of tinyalex warn about it.

# %% claims
chance = math.log(classes)
large, small, he = (min(p.mean() for p in np.split(c[:300], 6)) for c, _ in curves.values())
plateau = abs(small - chance) < 0.01 * chance
lesson.claim("0.01 with pixels to 1: in 300 steps the loss stays at log 10", plateau)
lesson.claim("the same sigma learns with pixels to 255", large < 0.97 * chance)
lesson.claim("He's weights learn with a deviation of 1", he < 0.97 * chance)
_, small, he = (size for _, size in curves.values())
text = f"with He's weights conv1's first relative gradient is {he / small:,.0f} times as large"
lesson.claim(text, he > 100 * small)

# %% [markdown]
# ## Break it
#
# Why not start with all weights at 0? Or, since zeros pass no signal, with all weights
# at the same small value?
#
# **Before you run this:** after 30 training steps, how will the weights have changed,
# and how will the 32 filters of the first layer differ?

# %%
from_zeros, _ = run(init.zeros_, scale, 30)
largest = max(abs(p.numpy()).max() for p in from_zeros.parameters() if p.ndim > 1)
from_equal, _ = run(partial(init.constant_, val=0.003), scale, 30)
filters = from_equal.conv1.weight.numpy()
change, difference = abs(filters - 0.003).max(), abs(filters - filters[0]).max()
print(f"from 0: the largest weight is {largest}")
print(f"from 0.003: filters change by up to {change:.0e}, and differ by {difference:.0e}")

# %% answer [markdown]
# From zeros no weight changes. By the chain rule, a weight's gradient is a sum of
# products, each of an output of the layer before and of weights of the layers after.
# For the weights of the last layer this output is 0; for all others the weights after
# are 0. From equal values, equal units get equal gradients and stay equal, up to
# rounding: 32 filters compute the same as one. Random weights break this symmetry.
#
# The symptom to remember: all filters of a layer are the same image.

# %% claims
lesson.claim("from zeros, no weight has changed", largest == 0)
text = f"equal filters change by up to {change:.0e}, and differ by {difference:.0e} at most"
lesson.claim(text, difference < 0.01 * change)

# %% [markdown]
# ## Exercises
#
# 1. Write He's sigma yourself: `tinyalex learn start 12` creates the file in `my/`,
#    `tinyalex learn check 12` checks it.
# 2. Without ReLU, or with tanh near 0, nothing halves the mean square. Derive sigma for
#    this case (Glorot and Bengio 2010), and test it on ten linear layers in a row.
# 3. In `run`, start the biases of all layers but the last at 1. With which seeds and
#    scales does it still learn?
# 4. How large must sigma be for the small network to learn with pixels to 1? Find it by
#    experiment, and compare with its fan-ins.
