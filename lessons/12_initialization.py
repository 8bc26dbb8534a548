# %% [markdown]
"""
# 12. How should weights start?

    python lessons/12_initialization.py [--seed 1] [--device cuda] [--full]

Before the first training step the weights need values. They must not all be equal, as
the last experiment shows; so they are random, usually from the normal distribution with
mean 0 and *standard deviation* sigma. The paper uses sigma = 0.01, with biases of 1 in
some layers (section 5). Users of this value often report that training does not start:
for a long time the loss stays at ln K, where K is the number of classes. What is
missing?
"""

# %%
import math
from functools import partial
from itertools import chain, count, islice

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
# ## The signal in each layer
#
# A network can distinguish images only if the values of its last layer differ. So we
# pass 16 images through the paper's AlexNet, untrained, and measure for each layer: how
# much does a value vary *from image to image*? Its standard deviation over the images,
# averaged over all values of the layer, is the layer's *spread*.
#
# Three initializations: the paper's, with pixels as in the paper, from 0 to 255 minus
# the mean; the paper's, with pixels divided by 255, as images are often given today;
# and He's (He et al. 2015, explained below), with pixels of standard deviation 1.
#
# Before you run this: eight layers have weights. By what power of ten will the spread
# of the last one differ between the first two?


# %%
def statistics(net, pixels):
    """By layer, after its ReLU: spread, deviation of all values, fraction of zeros."""
    x, found = ta.Tensor(pixels), {}
    with ta.no_grad():
        for name, layer in net.eval().named_children():
            x = layer(x)
            if name.startswith("relu") or name == "fc8":
                values = x.numpy().reshape(len(pixels), -1)
                found[name] = values.std(axis=0).mean(), values.std(), (values == 0).mean()
    return found


alexnet = models.alexnet("paper")
weights = {name: p for name, p in alexnet.named_parameters() if p.ndim > 1}
paper_sigmas = np.array([p.numpy().std() for p in weights.values()])
LARGE, SMALL, HE = "0.01, pixels to 255", "0.01, pixels to 1", "He, deviation 1"
starts = {LARGE: statistics(alexnet, photos), SMALL: statistics(alexnet, photos / 255)}
init.kaiming_(alexnet)
he_sigmas = np.array([p.numpy().std() for p in weights.values()])
starts[HE] = statistics(alexnet, photos / deviation)
print(f"  {'':<8}" + "".join(f"{name:>22}" for name in starts))
for layer in starts[HE]:
    print(f"  {layer:<8}" + "".join(f"{found[layer][0]:>22.5f}" for found in starts.values()))
large, small, he = (found["fc8"][0] for found in starts.values())
text = f"pixels to 255 make the last layer's spread {large / small:.0f} times as large"
lesson.claim(text, large > 50 * small)
lesson.claim(f"with He's weights it is {he:.2f}", he > 0.1)

# %% [markdown]
# The standard deviation of *all* values of a layer, which many programs plot, does not
# show this. It is mostly caused by differences between neurons, from the biases of 1
# and the random weights, which do not depend on the image.

# %%
first, second = starts[LARGE]["relu7"][1], starts[SMALL]["relu7"][1]
text = f"that of the last hidden layer is the same in both: {first:.2f} and {second:.2f}"
lesson.claim(text, 0.9 < first / second < 1.1)
zeros, he_zeros = starts[LARGE]["relu4"][2], starts[HE]["relu4"][2]
text = f"with biases of 1, {zeros:.0%} of conv4's outputs are 0, without them {he_zeros:.0%}"
lesson.claim(text, zeros < 0.1 < he_zeros)

# %% [markdown]
# Where the ReLU's output is positive, gradients pass from the start: that is the
# purpose of the biases of 1 (section 5).
#
# ## Where He's sigma comes from
#
# An output y is a sum of n products w * x. The number n, channels times the window's
# height and width, is the *fan-in*. With random weights of mean 0 the variances of the
# products add up:
#
#     var(y) = n * sigma**2 * mean(x**2)
#
# ReLU sets half of the values to 0 and so halves the mean of the squares. To keep the
# size of the signals from layer to layer, n * sigma**2 / 2 must be 1, so sigma = sqrt(2
# / n).
#
# Before you run this: is the paper's 0.01 smaller than that, or larger?

# %%
fan_ins = np.array([init.fan_in(p) for p in weights.values()])
expected = np.sqrt(2 / fan_ins)
for name, fan_in, he_sigma, sigma in zip(weights, fan_ins, expected, paper_sigmas, strict=True):
    print(f"  {name:<13} fan-in {fan_in:>5}: He's sigma {he_sigma:.4f}, the paper's {sigma:.4f}")
same = np.allclose(he_sigmas, expected, rtol=0.03)
lesson.claim("`init.kaiming_` uses sqrt(2 / fan-in)", same)
lesson.claim("the paper's sigma is smaller in every layer", (paper_sigmas < expected).all())
factor = np.prod(expected / paper_sigmas)
text = f"the product of the ratios over the eight layers is {factor:,.0f}"
lesson.claim(text, factor > 1000)

# %% [markdown]
# So with sigma = 0.01 signals shrink from layer to layer, and only large pixels
# compensate. Sigma must be chosen for the pixel scale. (The code of 2012, unlike the
# paper, has a larger sigma in conv3, conv4 and conv5, close to He's: see
# `models.alexnet("original")`.)
#
# ## The plateau
#
# Now a network that trains in seconds, cuda-convnet's small one for 32 x 32 pixels. All
# runs have the same images in the same order and the paper's rate, 0.01. Biases start
# at 0, so that only sigma and pixel scale differ.
#
# The loss is the negative logarithm of the probability of the right class (lesson 11).
# If the output of a network does not depend on its input, the best it can predict is
# the probability 1/10 for each of ten classes. Before you run this: what is its loss,
# and which of the three runs will stay at this loss?

# %%
steps, classes = 1500 if args.full else 300, 10
train = lesson.images(2000).train
mean, scale = data.mean_image(train.images), 1 / float(train.images.std())


def run(fill, scale, steps):
    """The network and its loss at each step. `fill` initializes a weight."""
    ta.manual_seed(args.seed)
    net = models.cifar("quick")
    for p in net.parameters():
        fill(p) if p.ndim > 1 else init.zeros_(p)
    optimizer = optim.SGD(optim.paper_groups(net, lr=0.01), lr=0.01, momentum=0.9)
    options = {"transform": data.Normalize(mean, scale=scale), "device": args.device}
    loader, losses = data.Loader(train, 32, shuffle=True, drop_last=True, **options), []
    for images, labels in islice(chain.from_iterable(map(loader.epoch, count())), steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return net, np.array(losses)


paper = partial(init.normal_, std=0.01)
plans = {LARGE: (paper, 1), SMALL: (paper, 1 / 255), HE: (init.kaiming_normal_, scale)}
curves = {name: run(*plan, steps)[1] for name, plan in plans.items()}
chance = math.log(classes)
print(f"ln {classes} = {chance:.4f}; mean losses of {steps // 6} steps each:")
for name, losses in curves.items():
    print(f"  {name:<20} " + " ".join(f"{part.mean():.3f}" for part in np.split(losses, 6)))
lowest = {name: min(part.mean() for part in np.split(curves[name][:300], 6)) for name in curves}
plateau = abs(lowest[SMALL] - chance) < 0.01 * chance
lesson.claim("0.01 with pixels to 1: in 300 steps the loss stays at ln 10", plateau)
lesson.claim("the same weights learn with pixels to 255", lowest[LARGE] < 0.97 * chance)
lesson.claim("He's weights learn with a deviation of 1", lowest[HE] < 0.97 * chance)


def relative_gradient(name):
    """The norm of conv1's first gradient, divided by that of its weights."""
    w = run(*plans[name], 1)[0].conv1.weight
    return np.linalg.norm(ta.Tensor(w.grad).numpy()) / np.linalg.norm(w.numpy())


small, he = relative_gradient(SMALL), relative_gradient(HE)
print(f"conv1's first gradient, relative to its weights: {small:.1e} ({SMALL}), {he:.1e} ({HE})")
lesson.claim(f"with He's weights it is {he / small:,.0f} times as large", he > 100 * small)

figure = lesson.figure(11, 4.2)
labels = {"ylabel": "spread between images", "yscale": "log"}
left = lesson.axes(figure, 1, 2, 1, title="Signal in each layer of AlexNet", **labels)
labels = {"xlabel": "step", "ylabel": "loss (mean of 15 steps)"}
right = lesson.axes(figure, 1, 2, 2, title="Training loss of the small network", **labels)
for name, colour in zip(starts, (lesson.GREEN, lesson.RED, lesson.BLUE), strict=True):
    layers = [layer.replace("relu", "layer ") for layer in starts[name]]
    spreads = [spread for spread, _, _ in starts[name].values()]
    left.plot(layers, spreads, "o-", color=colour, label=name)
    means = curves[name].reshape(-1, 15).mean(axis=1)
    right.plot(np.arange(len(means)) * 15 + 7, means, color=colour, linewidth=2)
right.axhline(chance, color=lesson.GREY, linestyle=":")
right.text(steps, chance, "ln 10", va="bottom", ha="right")
left.legend(frameon=False)
lesson.show(figure, "12_initialization")

# %% [markdown]
# The loss stays at that of a network that ignores its input. In the backward pass the
# gradients are multiplied by the same small weights, so the weights hardly change. When
# you see ln K, check sigma and pixel scale first. The training scripts of tinyalex warn
# about it.
#
# ## Break it
#
# Why not start with all weights at 0? Or, since zeros pass no signal, with all weights
# at the same small value?
#
# Before you run this: after some training steps, how will the 32 filters of the first
# layer differ?

# %%
from_zeros, _ = run(init.zeros_, scale, 30)
unchanged = not any(p.numpy().any() for p in from_zeros.parameters() if p.ndim > 1)
lesson.claim("from zeros, no weight has changed", unchanged)
from_equal, _ = run(partial(init.constant_, val=0.003), scale, 30)
filters = from_equal.conv1.weight.numpy()
change, difference = abs(filters - 0.003).max(), abs(filters - filters[0]).max()
text = f"equal filters change by up to {change:.0e}, and differ by {difference:.0e} at most"
lesson.claim(text, difference < 0.01 * change)

# %% [markdown]
# Equal neurons get equal gradients and stay equal: 32 filters do the work of one.
# Random weights break this symmetry.
#
# ## Exercises
#
# 1. Write He's sigma yourself: `tinyalex learn start 12` creates the file in `my/`,
#    `tinyalex learn check 12` checks it.
# 2. In `run`, start the biases of all layers but the last at 1. With which seeds and
#    scales does it still learn?
# 3. How large must sigma be for the small network to learn with pixels to 1? Find it by
#    experiment, and compare with its fan-ins.
