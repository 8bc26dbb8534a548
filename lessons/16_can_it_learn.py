# %% [markdown]
"""
# 16. Can it learn?

    python lessons/16_can_it_learn.py [--seed 1] [--device cuda]

A training loop with a mistake in it rarely raises an exception. It runs and prints a
loss, which is too high, or only a little too high. The cause may be the data, the
initial weights, the learning rate, the loss function or the graph. This lesson collects
five measurements (the loss before training, the spread of the logits, the size of a
step, dead units, and the error on a few images), each of which takes seconds, and which
together tell these causes apart. First they are made on a network that is trained
correctly. Then you see the measurements of six trainings with one fault each, and name
the faults before you read the code.
"""

# %%
import inspect
import math

import numpy as np

import tinyalex as ta
from tinyalex import data, device, optim
from tinyalex.course import lesson, patients

args = lesson.options(__doc__)
train, test, _ = lesson.images(1000, 500)
train = train[np.random.default_rng(args.seed).permutation(1000)]
few = train[np.tile(np.arange(64), 80)]  # the same 64 images, 80 times
healthy = patients.Healthy(train.images)
print(healthy.network())

# %% [markdown]
# The network has two convolutions and a linear layer. Its initial weights are He's
# (lesson 12), except that those of the last layer are smaller. Training is plain SGD
# with a learning rate of 0.02, on pixels of mean 0 and standard deviation 1.
#
# `patients.Healthy` describes a training without a fault. Its methods return the
# network, the transform of the pixels, the labels of a batch and the loss; `rate` is
# the learning rate. (A faulty training is a subclass that replaces one of them: a
# *patient*.)
#
# ## Loss and spread before training
#
# Let the logits of an image be $z_1, \ldots, z_K$, for K classes. If all are equal,
# softmax gives each class the probability 1/K, and the loss (log is the natural
# logarithm) is
#
# $$
# -\log \frac{1}{K} = \log K
# $$
#
# Random initial weights give logits that are not equal. Let them vary by little, with
# variance v, around their mean m. For a normal distribution the mean of $e^{z}$ is
# $e^{m + v/2}$ (lesson 11), so $\log \sum_k e^{z_k}$ is about $m + v/2 + \log K$. The
# logit of the right class, chosen by chance, is m on average. The loss is the
# difference:
#
# $$
# \text{loss before training} \approx \log K + \frac{v}{2}
# $$
#
# **Before you run this:** a network for ten classes starts with a loss of 2.5. Is that
# all right? And 23?


# %%
def signals(net, x):
    """The output of each layer, by name."""
    outputs = {}
    for name, layer in net.named_children():
        x = outputs[name] = layer(x)
    return outputs


def batches(training, dataset=few, size=64, **options):
    transform = training.transform()
    return data.Loader(dataset, size, transform=transform, device=args.device, **options)


ta.manual_seed(args.seed)
x, labels = next(iter(batches(healthy, train, 1000)))
logits = signals(healthy.network().to(args.device), x)["fc3"]
start = healthy.loss(logits, labels).item()
v = logits.numpy().var(axis=1).mean()  # over the classes
print(f"loss {start:.3f}, log 10 = {math.log(10):.3f}, log 10 + v/2 = {math.log(10) + v / 2:.3f}")

# %% answer [markdown]
# 2.5 is near log 10 = 2.303, with logits that vary a little, as here. 23 is not: before
# seeing any label, the network gives probabilities near 1 to wrong classes. Its logits
# vary by tens, because pixels or weights are far too large. The first steps then have
# to undo this, and are often so large that they do damage.
#
# A loss of *exactly* log 10 is suspicious too: then the logits are all equal, and
# perhaps do not depend on the image. The **spread** of the logits (lesson 12) shows it:
# their standard deviation from image to image.

# %% claims
text = f"the loss before training, {start:.2f}, is log K + v/2 within 0.1"
lesson.claim(text, abs(start - math.log(10) - v / 2) < 0.1)
lesson.claim("and at most 0.5 above log K", math.log(10) < start < math.log(10) + 0.5)

# %% [markdown]
# ## The size of a step
#
# How large should a step be? The gradient alone does not tell, because its size depends
# on the layer and on the loss. Compare the change of a layer's weights w with the
# weights themselves, both by their norm (the square root of the sum of squares). This
# is the *update-to-weight ratio*:
#
# $$
# r = \frac{\lVert \Delta w \rVert}{\lVert w \rVert}
#   = \frac{\text{lr} \cdot \lVert dw \rVert}{\lVert w \rVert}
# $$
#
# If all steps had the same direction, the weights would have changed by their own size
# after
#
# $$
# T = \frac{1}{r} \quad \text{steps}
# $$
#
# so for a training of some thousands of steps, r should be about 1/1000. With r = 1e-6
# hardly anything happens in them. With r = 1/10 the weights are replaced within
# ten steps, and what they had learned from earlier batches is lost. A rule of thumb is
# r between 1e-4 and 1e-2. It is measured for each layer, here in the first step.
#
# ## Overfit 64 images
#
# Train on 64 images only, always the same. This network has more than a hundred weights
# for each image, so it can memorise the 64 labels. If it does not reach an error of
# nearly 0, the cause is not that the images are difficult; there is a mistake. This is
# the best single test of a training loop, because it uses all of its parts.
#
# ## Dead units
#
# All outputs of a filter have the same weights, so here a unit (lesson 7) is a whole
# filter: it is *dead* if its ReLU is 0 at every position of every image. Then no
# gradient passes through it (lesson 7), so it stays dead. `examine` does all
# measurements at once. Its table has four numbers for dead units: of relu1 and relu2
# before the training, and of relu1 and relu2 after it.
#
# **Before you run this:** three learning rates, 0.0001, 0.02 and 1. What will r be for
# the first, if it is 0.002 for the second? Which of the three will learn the 64 labels?


# %%
TITLE = """             loss   spread  update to weight ratio   dead units, %     after 80 steps
           before  (logits)   conv1   conv2    fc3  before    after       loss  error"""


def dead(outputs):
    """Of each ReLU, the fraction of filters that are 0 for all images."""
    relus = [outputs[name].numpy() for name in ("relu1", "relu2")]
    return [(y.max(axis=(0, 2, 3)) == 0).mean() for y in relus]


def examine(name, training, rate=None):
    """Measurements before, during and after 80 steps on the same 64 images."""
    ta.manual_seed(args.seed)
    net, losses = training.network().to(args.device), []
    optimizer = optim.SGD(net.parameters(), lr=rate or training.rate)
    weights = [p for p in net.parameters() if p.ndim > 1]
    before = [p.numpy().copy() for p in weights]
    for step, (x, labels) in enumerate(batches(training)):
        outputs, labels = signals(net, x), training.labels(device.to_numpy(labels), step)
        loss = training.loss(outputs["fc3"], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step == 0:
            first, pairs = outputs, zip(weights, before, strict=True)
            ratio = [np.linalg.norm(p.numpy() - w) / np.linalg.norm(w) for p, w in pairs]
    outputs = signals(net, x)
    error = (outputs["fc3"].numpy().argmax(axis=1) != labels).mean()
    spread = first["fc3"].numpy().std(axis=0).mean()
    print(f"  {name:<8} {losses[0]:>6.3f} {spread:>7.4f} ", *(f"{r:7.0e}" for r in ratio), end=" ")
    print(*(f"{100 * d:4.0f}" for d in (*dead(first), *dead(outputs))), end="  ")
    print(f" {losses[-1]:>6.3f} {100 * error:>4.0f} %")
    return spread, dead(first), ratio, losses, dead(outputs), error


print(TITLE)
rates = [examine(f"lr {rate}", healthy, rate) for rate in (0.0001, 0.02, 1)]

# %% answer [markdown]
# The ratio is proportional to the rate: 200 times smaller for 0.0001. That network is
# not wrong, but in 80 steps it learns next to nothing. With 0.02 the ratios of the
# convolutions agree with the rule of thumb, and the 64 labels are memorised. That of
# the last layer is larger, because its initial weights are small: the first steps go
# too far, and the loss rises for a moment (see the figure below). The ratio becomes
# smaller when the weights have grown.
#
# With a rate of 1 the first step changes the last layer by many times its size (with
# the synthetic images, by twenty times). After some such steps conv2 is dead: all of
# its filters are 0 for all images, the gradients of everything before it are 0, and the
# network cannot recover. Its logits are its last biases, and its loss is that of a
# network that knows only how often each label occurs: close to log 10. This is nearly
# the final loss of the rate that is too small, for the opposite reason. The ratio and
# the dead units tell which.

# %% claims
slow, good, fast = rates
factor = good[2][0] / slow[2][0]
lesson.claim(f"the ratio of conv1 is {factor:.0f} times as large with 0.02", 180 < factor < 220)
text = f"with 0.02 it is {good[2][0]:.4f}, and the 64 images are learned: error {good[5]:.0%}"
lesson.claim(text, 5e-4 < good[2][0] < 5e-3 and good[5] < 0.1)
lesson.claim(f"with 0.0001 the error is {slow[5]:.0%}", slow[5] > 0.5)
text = f"with 1, {fast[4][1]:.0%} of conv2's filters are dead; the error is {fast[5]:.0%}"
lesson.claim(text, fast[4][1] > 0.9 and fast[5] > 0.5)
text = f"with 1, the first step changes fc3 by {fast[2][2]:.0f} times its size"
lesson.claim(text, fast[2][2] > 3)

# %% [markdown]
# ## Six faults
#
# Six trainings, A to F. Each is the training above with one fault. All faults are
# common. Their code is in `tinyalex/course/patients.py`; do not open it yet. Here are
# their measurements; for comparison, those of the training without a fault are the line
# "lr 0.02" above.

# %%
print(TITLE)
found = {"no fault": rates[1]}  # with the rate 0.02
for name, fault in patients.PATIENTS.items():
    found[name] = examine(name, fault(train.images))

# %% plot
figure = lesson.figure(11, 5.2)
for position, (name, measurements) in enumerate(found.items(), 1):
    losses = measurements[3]
    axes = lesson.axes(figure, 2, 4, position, title=name, xlim=(-2, 80), ylim=(0, 3.2))
    axes.axhline(math.log(10), color=lesson.GREY, linestyle=":")
    axes.plot(losses, color=lesson.BLUE if name == "no fault" else lesson.RED)
    if losses[0] > 3.2:
        axes.text(14, 3.1, f"starts at {losses[0]:.0f}", va="top", fontsize=9)
    if position in (1, 5):
        axes.set_ylabel("loss on 64 images")
    axes.set_xlabel("step")
labels = {"yscale": "log", "xticks": (0, 1, 2), "xticklabels": ("conv1", "conv2", "fc3")}
axes = lesson.axes(figure, 2, 4, 8, title="update to weight ratio", ylim=(1e-6, 1e3), **labels)
axes.axhspan(1e-4, 1e-2, color="#eef3f6")
offsets = np.linspace(-0.3, 0.3, len(found))
for offset, (name, measurements) in zip(offsets, found.items(), strict=True):
    for layer, ratio in enumerate(measurements[2]):
        label, colour = name[0].upper(), lesson.BLUE if name == "no fault" else lesson.RED
        label = "ok" if name == "no fault" else label
        style = {"ha": "center", "va": "center", "color": colour, "fontsize": 8}
        axes.text(layer + offset, max(ratio, 1.5e-6), label, **style)
axes.set(xlim=(-0.5, 2.5), xlabel="at the lower edge: 0")
lesson.show(figure, "16_can_it_learn")

# %% [markdown]
# The candidates. Three of them do not occur.
#
# - the pixels are not scaled: they are from 0 to 255
# - the initial weights are much too small
# - the biases of a layer are so negative that its ReLU is always 0
# - the learning rate is much too small
# - the learning rate is much too large
# - a softmax is applied before `F.cross_entropy`, which contains one
# - the labels of each batch are shuffled, but not its images
# - the output of a layer is detached from the graph, with `x.detach()`: the gradient
#   ends there
# - images are not shuffled between epochs
#
# **Before you run this:** which fault has A, which B, C, D, E and F? Write down the
# six, each with the measurement that shows it. The next cell prints the code.

# %%
for fault in (*patients.PATIENTS.values(), patients.Detach):
    print(inspect.getsource(fault))

# %% answer [markdown]
# **A: two softmaxes.** The loss begins at log 10, although the logits have the usual
# spread; it falls slowly, and is far too high for its error. The second softmax
# receives probabilities p, from 0 to 1, instead of logits. Even if the first one is
# certain and right, the loss is not 0 but
#
# $$
# -\log \frac{e^1}{e^1 + (K - 1) e^0} = \log \left( 1 + \frac{K - 1}{e} \right) = 1.461
# $$
#
# for K = 10. If only the error is plotted, this looks like slow learning.
#
# **B: negative biases.** All filters of conv2 are dead from the start, the spread is 0,
# and so are the ratios of all weights. Only the last biases learn.
#
# **C: shuffled labels.** Everything is right before training: loss, spread, ratios,
# dead units. But the loss stays near log 10. There is nothing to learn: the labels are
# assigned to the images of the batch at random, and differently in each step. If the
# measurements of the network are right and it cannot overfit, look at the data: plot a
# batch as the network receives it, with its labels as titles.
#
# **D: unscaled pixels.** The loss before training is far above log 10, the spread far
# above 1. The first step then destroys the network: afterwards units are dead.
#
# **E: detached.** The ratio of conv1 is exactly 0: it receives no gradient. And yet the
# 64 images are memorised, because the layers after it learn from the outputs of its
# random filters. Only the ratios by layer show the fault.
#
# **F: small weights.** The spread is nearly 0 (the table rounds it to 0.0000), but no
# unit is dead and the ratios are not 0. It is the plateau of lesson 12.

# %% claims
floor = math.log(1 + 9 / math.e)
a = found["A"]
text = f"A: the loss is never below {floor:.3f}; at the end it is {a[3][-1]:.2f}, with an error "
lesson.claim(text + f"of {a[5]:.0%}", min(a[3]) > floor and a[5] < 0.8)
b, f = found["B"], found["F"]
text = "B: all filters of conv2 are dead, and no weight changes"
lesson.claim(text, b[1][1] == 1 and max(b[2]) == b[0] == 0)
c = found["C"]
same = abs(c[3][0] - good[3][0]) < 0.2 and np.allclose(c[2], good[2], rtol=0.8)
lesson.claim("C: the measurements before training are as without a fault", same)
lesson.claim(f"C: but its error stays at {c[5]:.0%}", c[5] > 0.5 and c[3][-1] > 2)
d = found["D"]
text = f"D: the loss before training is {d[3][0]:.0f}; afterwards {max(d[4]):.0%} of the filters "
lesson.claim(text + "of a layer are dead", d[3][0] > 20 and max(d[4]) > 0.5)
e = found["E"]
text = f"E: the ratio of conv1 is 0, and the 64 images are learned: error {e[5]:.0%}"
lesson.claim(text, e[2][0] == 0 and e[5] < 0.15)
text = f"F: the spread is {f[0]:.0e}, and no unit is dead"
lesson.claim(text, f[0] < 1e-3 and max(f[1]) < 0.5 and min(f[2]) > 0)

# %% [markdown]
# ## Break it: labels with an offset
#
# A list of labels was read with an offset of one: image i has the label of image i + 1.
# It is the same wrong label in each epoch.
#
# **Before you run this:** which of the measurements will differ from those of the
# correct training? What will the training error be after eight epochs on 1000 images?
# And the error on 500 test images, whose labels are right?


# %%
class Offset(patients.Healthy):
    def labels(self, labels, step):
        return np.roll(labels, -1)


def errors(labels):
    """Training and test error of each of eight epochs."""
    ta.manual_seed(args.seed)
    net, wrong = healthy.network().to(args.device), []
    optimizer = optim.SGD(net.parameters(), lr=healthy.rate)
    loader = batches(healthy, data.Dataset(train.images, labels, train.classes), 25, shuffle=True)
    for epoch in range(8):
        counts = []
        for x, y in loader.epoch(epoch):
            logits = net(x)
            optimizer.zero_grad()
            healthy.loss(logits, y).backward()
            optimizer.step()
            counts.append(float((logits.data.argmax(axis=1) != y).mean()))
        x, y = next(iter(batches(healthy, test, 500)))
        with ta.no_grad():
            wrong.append((np.mean(counts), float((net(x).data.argmax(axis=1) != y).mean())))
    return np.array(wrong)


print(TITLE)
offset = examine("offset", Offset(train.images))
right, shifted = errors(train.labels), errors(np.roll(train.labels, -1))
for name, wrong in (("right labels", right), ("offset by one", shifted)):
    print(f"  {name:<14} training error {wrong[-1, 0]:.0%}, test error {wrong[-1, 1]:.0%}")

# %% plot
figure = lesson.figure(9, 3.6)
pairs = ("right labels", right), ("labels of the next image", shifted)
for position, (title, wrong) in enumerate(pairs, 1):
    axes = lesson.axes(figure, 1, 2, position, title=title, ylim=(0, 1), xlabel="epoch")
    epochs = np.arange(1, len(wrong) + 1)
    axes.plot(epochs, wrong[:, 0], color=lesson.BLUE, label="1000 training images")
    axes.plot(epochs, wrong[:, 1], color=lesson.RED, label="500 test images")
    axes.axhline(0.9, color=lesson.GREY, linestyle=":", label="chance")
    if position == 1:
        axes.set_ylabel("error")
        axes.legend(frameon=False, fontsize=9, loc="lower left")
lesson.show(figure, "16_can_it_learn_offset")

# %% answer [markdown]
# All measurements are as usual, the overfitting test too: 64 wrong labels are memorised
# like 64 right ones. Trained on 1000 images, the network learns less than with the
# right labels, since each image has to be memorised by itself. On test images its error
# is that of guessing.
#
# **The symptom to remember: the training error falls, and the test error stays at
# that of guessing.** A network that only overfits is better than guessing on test
# images. If it is not, the labels do not belong to the images, in training or in
# testing, or the test images are prepared in another way. Look at some images of both
# with their labels.
#
# ## The checklist
#
# In this order, since each step needs the ones before. All but the last take seconds.
#
# 1. A batch as the network receives it: its mean is 0, its deviation 1, and plotted
#    images fit their labels. Otherwise: pixel scale, order of channels, labels.
# 2. The loss before training is log K or a little more. Far above: the scale of pixels
#    or weights. Exactly log K: see 3.
# 3. The spread of the logits is not 0. Otherwise: small weights, dead units.
# 4. Few units are dead. Otherwise: biases, or a rate that is too large.
# 5. The ratio of the first step is between 1e-4 and 1e-2 in all layers but the last,
#    and nowhere exactly 0. Otherwise: the rate, a detached layer, or vanishing
#    gradients (lesson 7).
# 6. After training on 64 images, the error on them is near 0. Otherwise: the loss
#    function, labels that change, the rate.
# 7. After a short training on all images, the test error is lower than that of
#    guessing. Otherwise: labels, or test images that are prepared in another way.

# %% claims
text = f"offset: the 64 images are learned, error {offset[5]:.0%}; loss before training, dead "
passes = offset[5] < 0.15 and abs(offset[3][0] - good[3][0]) < 0.2 and max(offset[1]) < 0.1
lesson.claim(text + "units and ratios are as usual", passes and min(offset[2]) > 1e-4)
text = f"right labels: the test error is {right[-1, 1]:.0%} after {len(right)} epochs"
lesson.claim(text, right[-1, 1] < 0.8)
text = f"offset by one: it is {shifted[-1, 1]:.0%}, chance is 90%"
lesson.claim(text, 0.84 < shifted[-1, 1] < 0.96)
text = f"but the training error falls to {shifted[-1, 0]:.0%}"
lesson.claim(text, shifted[-1, 0] < 0.85)

# %% [markdown]
# ## Exercises
#
# 1. Write the ratio and the fraction of dead units yourself: `tinyalex learn start 16`
#    creates the file in `my/`, `tinyalex learn check 16` checks it.
# 2. With `examine`, find the range of learning rates that overfit 64 images in 80
#    steps. Which ratios of conv2 do they have in the first step?
# 3. Write a seventh faulty training, a subclass of `patients.Healthy`, and let someone
#    else name the fault from its measurements. Which faults cannot be found with them?
# 4. How low can the loss with two softmaxes become for K = 1000 classes, as in
#    ImageNet? What would the plot of its loss look like?
