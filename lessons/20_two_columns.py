# %% [markdown]
"""
# 20. What are two columns for?

    python lessons/20_two_columns.py [--seed 1] [--device cuda]

The network of the paper was trained on two GPUs. The filters of each layer are divided
into two *columns*, one on each GPU. In conv2, conv4 and conv5 a filter reads only the
maps of its own column; conv3 and the linear layers read those of both (section 3.5;
lesson 15). The paper gives a reason: each of its GPUs, a GTX 580, has 3 GB of memory,
and this limits the size of the network (section 3.2).

In this lesson we check that reason. We compute the memory of a training step from the
shapes, and count it; then the bytes that the two GPUs exchange, which we compare with
another way to use two GPUs. No GPU is needed: bytes can be counted on any device.
"""

# %%
import math
from collections import Counter

import numpy as np

import tinyalex as ta
from tinyalex import device, models, nn, optim
from tinyalex import functional as F
from tinyalex.course import lesson
from tinyalex.nn import init
from tinyalex.nn.partitioned import column_segments
from tinyalex.parallel import cost

args = lesson.options(__doc__)

# %% [markdown]
# ## The memory of a step
#
# A value in single precision (float32) has 4 bytes. A step of SGD with momentum keeps
# three values for each of the P parameters: the parameter, its gradient, and its
# velocity (lesson 13). The backward pass of a layer also reads values of the forward
# pass, so these are kept until then. Let layer $l$ keep $k_l$ bytes for each image.
# With the V values of the input image and a batch of B images, a step needs
#
# $$
# M = 3 \cdot 4\,P + B\,\Big(4\,V + \sum_l k_l\Big) \ \textrm{bytes.}
# $$
#
# We count the output of each layer, because it is the input of the next layer: 4 bytes
# for each value. (A program can release an output that no backward pass reads, such as
# the input of ReLU, as tinyalex does.) Some layers keep more for each value of their
# output:
#
# - LRN: its denominator s, 4 bytes (lesson 9);
# - max pooling: the position of the maximum in its window, 1 byte (lesson 8);
# - dropout: whether the value was dropped, 1 byte (lesson 10).
#
# The columns of im2col are not kept: the backward pass computes them again (lesson 5).
#
# `models.outline` lists the layers of a network with the shapes of their outputs for
# one image. With `column_lrn=True`, LRN reads only maps of its own column, as in the
# code of 2012. With `init.skipped`, random weights are replaced by zeros, to save time:
# only shapes matter here.

# %%
BATCH, FLOAT = 128, 4  # images in a batch (section 5 of the paper); bytes of a float32

with init.skipped():
    net = models.alexnet("paper", column_lrn=True).to(args.device)
layers = {layer.name: layer for layer in models.outline(net)}
outputs = {name: math.prod(layer.shape) for name, layer in layers.items()}
outputs["flatten"] *= args.device == "cpu"  # on a GPU it is not a copy of its input


def kept_bytes(name):
    """The bytes that a layer keeps of one image."""
    more = {nn.LocalResponseNorm: 4, nn.MaxPool2d: 1, nn.Dropout: 1}
    return outputs[name] * (FLOAT + more.get(type(layers[name].module), 0))


P, V = sum(parameter.size for parameter in net.parameters()), 3 * 224 * 224
fixed, per_image = 3 * FLOAT * P, FLOAT * V + sum(map(kept_bytes, layers))

# %% [markdown]
# **Before you run this:** the network has 61 million parameters and is trained with
# batches of 128 images. Which part of M is larger: the one of the parameters, or the
# one of the images? Which layers keep the most?


# %%
print(f"parameters, gradients, velocities: {fixed / 1e6:8,.0f} MB")
print(f"images and what the layers keep:   {BATCH * per_image / 1e6:8,.0f} MB in a batch of 128")
kept = {name: kept_bytes(name) for name in layers}
for name in sorted(kept, key=kept.get, reverse=True)[:6]:
    print(f"  {name:<6} {BATCH * kept[name] / 1e6:6,.0f} MB, {kept[name] / per_image:.0%}")

# %% answer [markdown]
# At 128 images the larger part is that of the images, though the network has so many
# parameters. Four fifths of it belong to conv1, conv2 and the layers after them: their
# maps are large, and their weights few. The linear layers are the opposite: they have
# 96 % of the parameters and keep almost nothing. The two parts are equal at a batch of
# about 70 images.
#
# To check the formula, the first claim counts the arrays of a step of two images. A
# *hook* is a function that a Module calls after its forward pass, with its input and
# output. Here hooks collect the output of each layer. The arrays that operations have
# stored are found by visiting the graph of lesson 2, from the output back to the input.
# Arrays that share memory are counted once.


# %% claims
def address(array):
    return getattr(array.data, "ptr", None) or array.__array_interface__["data"][0]


def stored_arrays(tensor):
    """The arrays that the operations in the graph of a tensor have stored."""
    arrays, to_visit = [], [tensor.creator]
    while to_visit:
        operation = to_visit.pop()
        arrays += filter(device.is_array, vars(operation).values())
        to_visit += [x for x in operation.inputs if isinstance(x, ta.Function)]
    return arrays


found = []
remove = [m.register_forward_hook(lambda m, x, y: found.append(y.data)) for m in net.modules()]
with ta.fast(False):  # without merging a ReLU with the layer before it (exercise 2)
    logits = net(np.zeros((2, 3, 224, 224), "f"))
for function in remove:
    function()
kept_arrays = {address(array): array for array in found + stored_arrays(logits)}
for parameter in net.parameters():
    kept_arrays.pop(address(parameter.data), None)
counted = sum(array.nbytes for array in kept_arrays.values())
F.cross_entropy(logits, [0, 1]).backward()
optimizer = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
velocities = [v for group in optimizer.velocity for v in group]
early = sum(kept[name] for name in kept if name[-1] in "12")
linear = sum(layers[name].parameters for name in ("fc6", "fc7", "fc8"))
text = f"a batch of two images keeps {counted:,} bytes, exactly as computed"
lesson.claim(text, counted == 2 * per_image)
stored = sum(a.nbytes for p in net.parameters() for a in (p.data, p.grad))
stored += sum(v.nbytes for v in velocities)
lesson.claim(f"parameters, gradients and velocities are 3 * 4 * {P:,} bytes", stored == fixed)
lesson.claim("the images need more than the parameters", BATCH * per_image > 1.5 * fixed)
text = f"layers 1 and 2 keep {early / per_image:.0%}; the linear layers have {linear / P:.0%} of P"
lesson.claim(text, early / per_image > 0.75 and linear / P > 0.95)
lesson.claim(f"equal parts at {fixed / per_image:.0f} images", 65 < fixed / per_image < 75)

# %% [markdown]
# ## Does it fit into 3 GB?
#
# M is not all. During the backward pass there are gradients of activations, too. It
# depends on the program how many of them exist at the same time:
#
# - At least two: the gradient of a layer's output, and the gradient of its input, which
#   is computed from it. The largest pair is that of the layers of conv1.
# - A program may keep a buffer for the gradient of each layer's output, as the code of
#   2012 does, unless it is started with `--conserve-mem`. (We count no buffer for ReLU:
#   the gradient of its input can overwrite that of its output.)
#
# The other question is the *workspace*, the memory for intermediate results within a
# layer. A convolution by im2col needs the columns of at least some images. The code of
# 2012 needs none: its convolution reads the maps directly.
#
# **Before you run this:** 3 GB are 3,221 million bytes. In which of these cases does
# the training of the whole network fit into one GPU, at 128 images?

# %%
GTX_580 = 3 * 2**30
pair = 2 * FLOAT * outputs["conv1"]
every = FLOAT * sum(n for name, n in outputs.items() if name[:4] not in ("relu", "flat"))
im2col = FLOAT * (5 * 5 * 96) * (27 * 27)  # of conv2, the largest: patch * positions

cases = {
    "two gradients, no workspace": pair,
    "all gradients, no workspace": every,
    "two gradients, im2col of all images": pair + im2col,
    "all gradients, im2col of all images": every + im2col,
}
totals = {name: fixed + BATCH * (per_image + more) for name, more in cases.items()}
for name, total in totals.items():
    print(f"  {name:<37} {total / 1e6:6,.0f} of {GTX_580 / 1e6:,.0f} MB")

# %% answer [markdown]
# By this computation the whole network fits into one GTX 580 if the convolution needs
# no workspace, as in 2012, even with a buffer for each gradient. It does not fit if
# im2col's columns of all 128 images exist at once; a program can make them for a few
# images at a time. We left out the memory of CUDA itself, the next batch of images,
# gaps between buffers, and a second normalization in conv2 that the code of 2012 has.
# So 3 GB are tight, but by this computation they are not the only reason for two
# columns. The paper states the limit in general ("networks which are too big to fit on
# one GPU", section 3.2), and does not say how much memory its network needs.
#
# The other reason is time. The paper's network was trained for five to six days on two
# GPUs (section 1). Each does half of the work; one such GPU would need about twice the
# time. The columns themselves also reduce the work: in conv2, conv4 and conv5 a filter
# reads half of the maps, so these layers need half of the multiply-adds that they would
# need without columns.

# %% claims
totals_mb = [total / 1e6 for total in totals.values()]
text = f"without a workspace it fits: {totals_mb[0]:,.0f} or {totals_mb[1]:,.0f} MB"
lesson.claim(text, max(list(totals.values())[:2]) < 0.9 * GTX_580)
text = f"with im2col of all images it does not: {totals_mb[2]:,.0f} or {totals_mb[3]:,.0f} MB"
lesson.claim(text, min(list(totals.values())[2:]) > GTX_580)
work = {name: layer.multiply_adds for name, layer in layers.items()}
without = sum(work.values()) + sum(work[name] for name in ("conv2", "conv4", "conv5"))
text = f"{sum(work.values()) / 1e6:,.0f} million multiply-adds an image, {without / 1e6:,.0f} "
lesson.claim(text + "without columns", without / sum(work.values()) > 1.5)

# %% [markdown]
# ## What crosses from one GPU to the other
#
# There are two common ways to train one network on two GPUs:
#
# - *Columns*: each GPU has half of the parameters, and computes its half of the maps of
#   all images. Before conv3, fc6, fc7 and fc8 the columns exchange their outputs. In
#   the backward pass the gradients of these outputs go back. At the end one GPU
#   receives the other's half of the logits, and returns their gradient.
# - *Data parallelism*: each GPU has all parameters, and computes half of the images.
#   The gradient of the loss is a sum over images, so each GPU sends its gradients to
#   the other, and both add them. No activations cross.
#
# Let $n_l$ be the number of values of the input of layer $l$, for one image. Each GPU
# has $n_l / 2$ of them and sends these to the other: $n_l$ values cross, and as many
# gradients return. Of the 1,000 logits only one half crosses. So in a step
#
# $$
# \textrm{columns:}\quad 2 \cdot 4\,B\,(n_{conv3} + n_{fc6} + n_{fc7} + n_{fc8} + 500)
# $$
#
# $$
# \textrm{data:}\quad 2 \cdot 4\,P
# $$
#
# bytes cross in both directions together. We count them: the function `two_columns`
# computes the network as two columns, and each array that crosses passes through an
# operation that adds up its bytes. `column_segments` returns one column's layers, in
# lists that end where the columns exchange their outputs.
#
# **Before you run this:** which of the two ways sends fewer bytes at 128 images? From
# which number of images on does the other send fewer?


# %%
sent = Counter()


class Cross(ta.Function):
    """The same array on the other GPU. The bytes of both directions are counted."""

    def forward(self, x):
        sent["forward"] += x.nbytes
        return x

    def backward(self, dy):
        sent["backward"] += dy.nbytes
        return dy


def two_columns(columns, x, cross):
    """The logits of a network, computed as two columns."""
    inputs = [x, x]
    *exchanging, last = zip(*columns, strict=True)
    for segments in exchanging:
        a, b = (segment(h) for segment, h in zip(segments, inputs, strict=True))
        # F.cat concatenates, here along axis 1: maps or units
        inputs = [F.cat([a, cross(b)], 1), F.cat([cross(a), b], 1)]
    a, b = (segment(h) for segment, h in zip(last, inputs, strict=True))
    return F.cat([a, Cross.apply(b)], 1)


def columns_of(network):
    """The two columns, each a list of segments; without dropout, as in testing."""
    return [[nn.Sequential(s).eval() for s in column_segments(network, i, 2)] for i in (0, 1)]


logits = two_columns(columns_of(net), np.zeros((2, 3, 224, 224), "f"), Cross.apply)
F.cross_entropy(logits, [0, 1]).backward()
exchanged = ("conv3", "fc6", "fc7", "fc8")
n = sum(math.prod(layers[name].input_shape) for name in exchanged) + 500
by_columns, by_data = 2 * FLOAT * BATCH * n, 2 * FLOAT * P
print(f"counted for two images: {dict(sent)}; equal at {P / n:.1f} images")
print(f"at {BATCH} images: columns {by_columns / 1e6:.1f} MB, data {by_data / 1e6:.1f} MB")

# %% answer [markdown]
# At 128 images, columns send an eighth of the bytes of data parallelism. The bytes of
# columns are proportional to the batch, those of data parallelism do not depend on it,
# and the two are equal where B n = P, at about 1,000 images. (In data parallelism each
# GPU has half of these images.)
#
# The linear layers have most of the parameters and the fewest activations; for the
# convolutions it is the opposite. So at 128 images it is cheaper still to divide the
# linear layers by units, as columns do, and the convolutions by images, as data
# parallelism does. Krizhevsky published this in 2014 ("One weird trick for
# parallelizing convolutional neural networks"); in tinyalex it is `--parallel hybrid`
# (docs/scaling.md).

# %% claims
lesson.claim("the counted bytes are those of the formula", sent.total() == 2 * 2 * FLOAT * n)
shapes = cost.layer_shapes(net)
predicted = {s: 2 * cost.sent_bytes(shapes, s, 2, BATCH) for s in ("columns", "data", "hybrid")}
text = f"and those that tinyalex predicts for two processes: {predicted['columns']:,}"
same = predicted["columns"] == by_columns and abs(predicted["data"] - by_data) < 100
lesson.claim(text, same)
gradient_bytes = sum(p.grad.nbytes for p in net.parameters())
lesson.claim("the gradients of all parameters are 4 P bytes", 2 * gradient_bytes == by_data)
lesson.claim(f"columns send {by_columns / by_data:.0%} of data", by_columns < by_data / 7)
less, more = math.floor(P / n), math.ceil(P / n)
order = [
    cost.sent_bytes(shapes, "columns", 2, b) < cost.sent_bytes(shapes, "data", 2, b)
    for b in (less, more)
]
lesson.claim(f"up to {less} images columns send less, from {more} on data", order == [True, False])
lesson.claim(f"hybrid sends {predicted['hybrid'] / 1e6:.1f} MB", predicted["hybrid"] < by_columns)

# %% plot
half = FLOAT * sum(math.prod(layers[name].input_shape) for name in exchanged) / 2
parts = {  # fixed; for an image: values, bytes kept, gradients, workspace
    "one GPU": (fixed, V, sum(kept.values()), pair, 0),
    "one GPU, im2col of all": (fixed, V, sum(kept.values()), pair, im2col),
    "columns, each GPU": (fixed / 2, V, sum(kept.values()) / 2 + half, pair / 2, 0),
    "data, each GPU": (fixed, V / 2, sum(kept.values()) / 2, pair / 2, 0),
}
figure = lesson.figure(11, 4)
title = "Memory of a step, 128 images"
axes = lesson.axes(figure, 1, 2, 1, title=title, xlabel="MB")
names = ["parameters, gradients, velocities", "images", "kept by layers"]
names += ["two gradients of activations", "workspace"]
colours = [lesson.BLUE, "#7fb3c8", lesson.GREEN, lesson.RED, lesson.GREY]
left = np.zeros(len(parts))
for i, (name, colour) in enumerate(zip(names, colours, strict=True)):
    values = np.array([p[i] if i == 0 else BATCH * p[i] for p in parts.values()]) / 1e6
    values *= FLOAT if i == 1 else 1
    axes.barh(list(parts), values, left=left, color=colour, label=name)
    left += values
axes.axvline(GTX_580 / 1e6, color="#333333", linestyle="--")
axes.text(GTX_580 / 1e6 - 40, 3.42, "3 GB", ha="right", va="bottom", fontsize=8)
axes.invert_yaxis()
axes.grid(axis="y", visible=False)
axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.4, -0.16), ncols=2, frameon=False)
axes = lesson.axes(
    figure, 1, 2, 2, title="Bytes that cross in a step", xlabel="images in a batch", ylabel="MB"
)
batches = np.array([16, 32, 64, 128, 256, 512, 1024, 2048, 4096])
for scheme, colour in (("data", lesson.RED), ("columns", lesson.BLUE), ("hybrid", lesson.GREEN)):
    megabytes = [2 * cost.sent_bytes(shapes, scheme, 2, int(b)) / 1e6 for b in batches]
    axes.loglog(batches, megabytes, ".-", color=colour, label=scheme)
axes.axvline(BATCH, color=lesson.GREY, linestyle=":")
axes.text(BATCH * 1.08, 9, "the paper's batch", fontsize=8, color="#555555")
axes.plot(P / n, by_data / 1e6, "o", color="#333333", fillstyle="none", markersize=9)
axes.text(P / n / 1.15, by_data / 0.8e6, f"{P / n:.0f} images", ha="right", fontsize=8)
axes.set_xticks(batches[::2], [f"{b:,}" for b in batches[::2]])
axes.minorticks_off()
axes.legend(fontsize=8)
lesson.show(figure, "20_two_columns")

# %% [markdown]
# ## Break it
#
# An array that is copied to another GPU by hand leaves the graph: the forward pass
# receives its values, and the backward pass returns no gradient for it. We compute one
# step of the smaller two-column network of `train_cifar.py` in that way, on 64 images,
# and compare the gradients of its weights with those of one device.
#
# The output h of a layer is read by both columns. By the chain rule its gradient is a
# sum of two terms, one for each use (lesson 2):
#
# $$
# \frac{\partial L}{\partial h} = W_a^T \delta_a + W_b^T \delta_b
# $$
#
# Here $\delta_a$ is the gradient of what column a computes from h, and $W_a$ are its
# weights. The fault omits one of the two terms. With random weights the terms are
# nearly perpendicular and about equally long, so by the theorem of Pythagoras one alone
# has $1/\sqrt{2}$ of the length of the sum. A gradient that has passed k faulty
# exchanges has $2^{-k/2}$ of the right length.
#
# **Before you run this:** the exchanges are before conv3, fc6, fc7 and fc8. How wrong
# is the loss of this step? What length has the gradient of conv2, compared with the
# right one?


# %%
class CrossOnce(Cross):
    def backward(self, dy):
        return dy * 0


train, _, _ = lesson.images(64)
pixels = (train.images - train.images.mean(axis=(0, 2, 3), keepdims=True)) / train.images.std()
images, labels = ta.Tensor(pixels.astype("f")), train.labels
small = models.cifar("alexnet", column_lrn=True).to(args.device).eval()
one_device = F.cross_entropy(small(images), labels)
one_device.backward()


def gradient_lengths(networks):
    """The length of the gradient of each layer's weights, over all of the networks."""
    squares = Counter()
    for name, parameter in (pair for network in networks for pair in network.named_parameters()):
        if name.endswith(".weight"):
            squares[name.removesuffix(".weight")] += float((parameter.grad**2).sum())
    return {name: square**0.5 for name, square in squares.items()}


whole, ratios, losses, crossed = gradient_lengths([small]), {}, {}, {}
for name, cross in (("right", Cross.apply), ("faulty", CrossOnce.apply)):
    sent.clear()
    columns = columns_of(small)
    loss = F.cross_entropy(two_columns(columns, images, cross), labels)
    loss.backward()
    lengths = gradient_lengths(columns[0] + columns[1])
    ratios[name] = {layer: length / whole[layer] for layer, length in lengths.items()}
    losses[name], crossed[name] = loss.item(), sent.total()
    print(f"{name:<6} loss {losses[name]:.6f};", {k: f"{x:.2f}" for k, x in ratios[name].items()})

# %% answer [markdown]
# The loss is right, and so are all activations: a test of the forward pass finds
# nothing. Only fc8 has the right gradient. From there to the input, each exchange makes
# the gradient shorter by a factor of about $\sqrt{2}$: conv1 and conv2 receive about a
# quarter. The directions are wrong, too. Such a network may still learn, more slowly.
#
# The symptom to remember: the loss of several devices equals that of one, the gradients
# do not, and the error grows towards the input. The bytes show it without any
# computation: only half of those that the formula predicts have crossed.

# %% claims
for layer, ratio in ratios["right"].items():
    assert abs(ratio - 1) < 1e-3, layer
text = "with both directions, two columns compute the loss and gradients of one device"
lesson.claim(text, abs(losses["right"] - one_device.item()) < 1e-4)
text = "without the gradients, the loss is the same"
lesson.claim(text, abs(losses["faulty"] - losses["right"]) < 1e-5)
exchanges = {"fc8": 0, "fc7": 1, "fc6": 2, "conv5": 3, "conv4": 3, "conv3": 3}
exchanges |= {"conv2": 4, "conv1": 4}
expected = {layer: 2 ** (-k / 2) for layer, k in exchanges.items()}
lesson.claim("fc8 has the right gradient", abs(ratios["faulty"]["fc8"] - 1) < 1e-3)
fit = {layer: ratios["faulty"][layer] / length for layer, length in expected.items()}
text = f"fc7 and fc6 have {fit['fc7']:.2f} and {fit['fc6']:.2f} times the length 2 ** (-k / 2)"
lesson.claim(text, all(0.8 < fit[layer] < 1.25 for layer in ("fc7", "fc6")))
within = all(0.5 < ratio < 2 for ratio in fit.values())
lesson.claim("the other lengths are 2 ** (-k / 2) within a factor of 2", within)
text = f"{crossed['faulty']:,} bytes cross instead of {crossed['right']:,}"
of_logits = 2 * FLOAT * 64 * 5  # their exchange is not faulty
lesson.claim(text, 2 * (crossed["faulty"] - of_logits) == crossed["right"] - of_logits)

# %% plot
figure = lesson.figure(7, 3.2)
title, label = "One direction of the exchange is missing", "length of the gradient / right one"
axes = lesson.axes(figure, 1, 1, 1, title=title, ylabel=label)
names = list(expected)
axes.bar(names, [ratios["faulty"][name] for name in names], color=lesson.RED, label="measured")
for i, name in enumerate(names):
    label = "expected: 2 ** (-k / 2)" if i == 0 else None
    axes.plot([i - 0.4, i + 0.4], 2 * [expected[name]], color="#333333", label=label)
axes.set_xlabel("layer, from the output to the input")
axes.legend(fontsize=8)
lesson.show(figure, "20_two_columns_fault")

# %% [markdown]
# ## Exercises
#
# 1. Write the function that computes the bytes of a step from the shapes of the layers,
#    for both ways: `tinyalex learn start 20` creates the file in `my/`, `tinyalex learn
#    check 20` checks it.
# 2. Compute the kept bytes with `ta.fast(True)`, where a ReLU is computed together with
#    the convolution or pooling next to it. Which arrays disappear, and why are they not
#    needed?
# 3. Omit the exchange before conv3 in both directions: give conv3 `groups=2`. How many
#    bytes cross then? (A network of 2012 whose columns do not communicate at all made
#    1.2 percentage points more top-1 errors, although its columns were wider.)
# 4. With K GPUs, in data parallelism each GPU sums a K-th of the gradients and sends
#    the result to all others. How many bytes does each send? Compare with
#    `cost.sent_bytes(shapes, "data", K, 128)`.
