# %% [markdown]
"""
# 10. Why drop half the neurons?

    python lessons/10_dropout.py [--seed 1] [--device cuda]

A network with many weights can memorise a small training set. It then predicts the
training images correctly and does much worse on other images: it *overfits*. The
measure is the gap between the loss on the training images and the loss on test images,
or between the two errors.

AlexNet consists of five convolutions, conv1 to conv5, and three linear layers, fc6 to
fc8 (fc: *fully connected*, another name of a linear layer). The paper's remedy (section
4.2) is *dropout*: in each training step each output of fc6 and fc7 is set to zero with
a probability of one half. No unit can rely on the presence of particular other units,
so each must be useful by itself. This is the idea; the lesson measures what dropout
does.
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import data, device, nn, optim, training
from tinyalex import functional as F
from tinyalex.course import lesson
from tinyalex.models.alexnet_variants import Dropout2012
from tinyalex.nn import init

args = lesson.options(__doc__)

# %% [markdown]
# ## The layer
#
# For each value x the layer draws its *mask*: 0 with the probability p, otherwise 1. In
# training, the layer multiplies x by the mask and divides it by 1 - p:
#
# $$
# y = \frac{mask \cdot x}{1 - p}
# $$
#
# In testing nothing is dropped, and y = x. Why the division? The mean of y over many
# masks should be the y of testing, since the next layer is trained on one and tested on
# the other. The mask is 1 with the probability 1 - p, so this mean is
#
# $$
# (1 - p) \cdot \frac{x}{1 - p} + p \cdot 0 = x
# $$
#
# This form is called *inverted* dropout; `nn.Dropout` computes it. The paper does not
# divide in training, but multiplies by 1 - p in testing: `Dropout2012`. (`.train()`
# switches a layer or network to training mode, in which it starts; `.eval()` switches
# it to testing mode.)
#
# The backward pass follows from the formula: mask / (1 - p) is a constant factor of x,
# so the gradient is multiplied by the same factor. It must be the *same* mask as in the
# forward pass:
#
# $$
# dx = \frac{mask \cdot dy}{1 - p}
# $$
#
# **Before you run this:** what does each of the two layers return for sixteen ones, in
# training and in testing, with p = 1/2? What is the gradient of the sum of y?

# %%
layers = {"inverted": nn.Dropout(0.5), "2012": Dropout2012(0.5)}
outputs = {}
for name, layer in layers.items():
    ones = ta.Tensor(np.ones((1, 16), "f"), requires_grad=True)
    with device.same_draws():  # after this block, the next layer draws the same mask
        y = layer.train()(ones)
    y.sum().backward()
    dx = ta.Tensor(ones.grad).numpy()  # also copies from a GPU
    in_testing = layer.eval()(ones).numpy()
    outputs[name] = y.numpy(), in_testing, dx
    for title, values in ("training", y.numpy()), ("gradient", dx), ("testing", in_testing):
        print(f"  {name:<8} {title:<8} {' '.join(f'{value:g}' for value in values[0])}")
many = nn.Dropout(0.2)(np.ones((1000, 100), "f")).numpy()
print(f"mean of 100,000 values, each 1, after nn.Dropout(0.2): {many.mean():.3f}")

# %% answer [markdown]
# With p = 1/2, inverted dropout doubles the values that are kept; the 2012 form halves
# all values in testing. Both have the same ratio of training to testing. For an input
# of ones, the gradient has the values of y: they are the factors.

# %% claims
double = all(np.array_equal(a, 2 * b) for a, b in zip(*outputs.values(), strict=True))
lesson.claim("inverted dropout always returns twice the values of the paper's", double)
same = all(np.array_equal(y, dx) for y, _, dx in outputs.values())
lesson.claim("the gradient is multiplied by the same mask and the same factor", same)
lesson.claim("with the factor 1 / (1 - p) the mean stays 1", abs(many.mean() - 1) < 0.02)

# %% [markdown]
# ## With and without
#
# Two networks with the same initial weights are trained on the same small training set
# in the same order, one with dropout after its two *hidden layers*, the layers with
# weights before the last one. To be fair, three rules:
#
# - Each network may train for as many epochs as is best for *it*. We measure the error
#   on 1000 *validation images* every fifth epoch, and choose the epoch with the lowest.
# - The error of this epoch is then measured on 2000 other images, the test images. Had
#   we chosen by these, the lowest of many errors would partly be luck.
# - The comparison is repeated with three training sets and seeds, since one difference
#   may be luck too.
#
# The networks have no convolutions, and an average pooling first makes the images
# smaller (16 x 16 pixels), so that all this takes only a few seconds.
# `training.evaluate` computes the loss and the error of a network in testing mode.
# (Momentum: lesson 13.)
#
# **Before you run this:** which of the two memorises its training images first? Which
# has the lower test error at its best epoch? And which has the lower test loss?

# %%
count, epochs, repeats = 600, 50, 3
train, rest, source = lesson.images(repeats * count, 3000)
normalize = data.Normalize(data.mean_image(train.images), 1 / 64)  # about -2 to 2
options = {"transform": normalize, "device": args.device}
validation = data.Loader(rest[np.arange(1000)], 1000, **options)
test = data.Loader(rest[np.arange(1000, 3000)], 1000, **options)


def network(dropout, p=0.5):
    layers = [nn.AvgPool2d(2), nn.Flatten(), nn.Linear(3 * 16 * 16, 256), nn.ReLU(), dropout(p)]
    layers += [nn.Linear(256, 256), nn.ReLU(), dropout(p), nn.Linear(256, 10)]
    net = nn.Sequential(*layers)
    init.kaiming_(net)  # He's initial weights: lesson 12
    return net


def train_network(net, images):
    """Every fifth epoch: (epoch, scores on training, validation and test images)."""
    optimizer = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    loader = data.Loader(images, 60, shuffle=True, **options)
    own = data.Loader(images, count, **options)
    log, step = [], 0
    for epoch in range(1, epochs + 1):
        for x, y in loader:
            device.set_step(step)  # the masks depend on the seed and on this number
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
            step += 1
        if epoch % 5 == 0:
            log.append((epoch, *(training.evaluate(net, part) for part in (own, validation, test))))
    return log


WITHOUT, WITH = "without dropout", "with dropout"
logs = {WITHOUT: [], WITH: []}
for repeat in range(repeats):
    images = train[np.arange(repeat * count, (repeat + 1) * count)]
    for name, p in ((WITHOUT, 0.0), (WITH, 0.5)):
        ta.manual_seed(repeats * args.seed + repeat)
        net = network(nn.Dropout, p)
        log = train_network(net, images)
        logs[name].append(log)
        epoch, _, _, best = min(log, key=lambda entry: entry[2].error)
        print(f"  {name:<15} epoch {epoch:>2}: test error {best.error:.1%};", end=" ")
        print(f"at the end: training error {log[-1][1].error:.1%}, test loss {log[-1][3].loss:.2f}")

# %% plot
figure = lesson.figure(11, 4.2)
for position, measure, title in ((1, "loss", "Loss"), (2, "error", "Error")):
    title = f"{title} with and without dropout, three runs"
    axes = lesson.axes(figure, 1, 2, position, title=title, xlabel="epoch", ylabel=measure)
    for (name, runs), colour in zip(logs.items(), (lesson.RED, lesson.BLUE), strict=True):
        for run in runs:
            epoch, on_train, _, on_test = zip(*run, strict=True)
            for part, scores, line in (("test", on_test, "-"), ("training", on_train, "--")):
                label = f"{name}: {part} images" if run is runs[0] else None
                values = [getattr(score, measure) for score in scores]
                axes.plot(epoch, values, line, color=colour, linewidth=1.6, label=label)
    axes.set_ylim(bottom=0)
axes.legend(frameon=False, loc="center right", bbox_to_anchor=(1, 0.45))
lesson.show(figure, "10_dropout")

# %% answer [markdown]
# Without dropout the training images are memorised after a few epochs. With dropout
# this takes several times as long here. (The paper reports twice the number of
# iterations.) A comparison after the same few epochs would be unfair to it.
#
# Without dropout, the test loss soon reaches its lowest value and then rises, while the
# test error hardly changes. The loss measures how confident a prediction is (lesson
# 11), and a network that has memorised its training images is confident even where it
# is wrong. With dropout it rises much less, and its lowest value is lower.
#
# The errors at the best epochs tell less. On synthetic images dropout has fewer errors.
# On CIFAR-10 it does not: the differences are of both signs, and small. (By chance
# alone, the error measured on 2000 images varies by about one percentage point: lesson
# 14.) So on these real images dropout does not win by error. What it does here is to
# prevent confident wrong predictions. The paper needed it for a network of 60 million
# weights; lesson 17 tests it with convolutions and more images.

# %% claims
memorised = all(log[2][1].error < 0.01 for log in logs[WITHOUT])
slower = all(b[2][1].error > 0.1 for b in logs[WITH])
text = "after 15 epochs the training images are memorised without dropout, and not with it"
lesson.claim(text, memorised and slower)
lowest = {name: [min(s.loss for *_, s in log) for log in runs] for name, runs in logs.items()}
final = {name: [log[-1][3].loss for log in runs] for name, runs in logs.items()}
text = "without dropout the test loss rises by more than a tenth from its lowest value"
lesson.claim(text, all(b > 1.1 * a for a, b in zip(lowest[WITHOUT], final[WITHOUT], strict=True)))
means = [float(np.mean(lowest[name])) for name in logs]
text = f"the lowest test loss is lower with dropout, each time: {means[1]:.2f}, not {means[0]:.2f}"
lesson.claim(text, all(b < a - 0.05 for a, b in zip(*lowest.values(), strict=True)))
best = {n: [min(log, key=lambda e: e[2].error)[3].error for log in logs[n]] for n in logs}
gains = 100 * np.subtract(best[WITHOUT], best[WITH])
points = ", ".join(f"{gain:+.1f}" for gain in gains)
text = f"dropout lowers the test error by {points} percentage points"
if source == lesson.SHAPES:
    lesson.claim(f"{text}: fewer errors on average", gains.mean() > 0.5)
else:
    lesson.claim(f"{text}: no clear difference", abs(gains.mean()) < 3)

# %% [markdown]
# ## The same network in two forms
#
# The factor of the two forms can be moved into the weights. After a 2012 dropout all
# values are 1 - p times those of the inverted form, in training and in testing. So with
# weights 1 / (1 - p) = 2 times as large in the following layers, the two networks
# compute the same.
#
# ## Many networks in one
#
# Each mask selects a different *thinned* network with the same weights. The paper calls
# testing with all weights a reasonable approximation to the *geometric mean* of the
# probabilities of very many thinned networks. The geometric mean of two numbers a and b
# is sqrt(a b), and its logarithm is the mean of log a and log b.
#
# So we need the mean of log q, where q are the probabilities of the classes (p is that
# of dropout). With the logits z, softmax is (lesson 0):
#
# $$
# q_k = \frac{e^{z_k}}{\sum_j e^{z_j}}, \qquad \log q_k = z_k - \log \sum_j e^{z_j}
# $$
#
# The last term is the same for all classes. So the mean of log q[k] is the mean of the
# logits z[k], minus a number that is the same for all classes and has no effect when
# the probabilities are scaled so that their sum is 1.
#
# For the second dropout, before the last linear layer, the mean of the logits is
# exactly the logits of testing. With the input h of the dropout and the layer's weights
# W and bias b, the logits are a linear function of the mask plus a constant, and the
# mean of mask / (1 - p) is 1. With E for the mean over all masks:
#
# $$
# E\left[W \, \frac{mask \cdot h}{1 - p} + b\right] = W h + b
# $$
#
# The first dropout is followed by a linear layer and then by a ReLU, which is not
# linear: there it is an approximation.
#
# **Before you run this:** which has the lowest test loss: one thinned network, the mean
# of 50 of them, or the whole network in testing mode? And if only the second dropout is
# in training mode?

# %%
new, old = net, network(Dropout2012)  # `net` is the last network with dropout
after = [f"{i + 1}.weight" for i, layer in enumerate(new) if isinstance(layer, nn.Dropout)]
state = new.state_dict()  # all weights and biases, by name
old.load_state_dict(state | {name: 2 * state[name] for name in after})
x, labels = next(iter(test))
labels = ta.Tensor(labels).numpy()


def log_probabilities(net):
    with ta.no_grad():
        return F.log_softmax(net(x), 1).numpy()  # the logarithm of softmax: lesson 11


with device.same_draws():
    in_training = log_probabilities(new)
training_equal = np.array_equal(in_training, log_probabilities(old))
testing_equal = np.array_equal(log_probabilities(new.eval()), log_probabilities(old.eval()))


def mean_loss(outputs):
    """Of the geometric mean of the probabilities, scaled so that they sum to 1."""
    return training.score(F.log_softmax(outputs.mean(axis=0), 1).numpy(), labels).loss


new.train()
thinned = np.stack([log_probabilities(new) for _ in range(50)])
new[4].eval()  # the first dropout
second = np.stack([log_probabilities(new) for _ in range(50)])
whole = training.score(log_probabilities(new.eval()), labels).loss
one = float(np.mean([training.score(output, labels).loss for output in thinned]))
mean, second_mean = mean_loss(thinned), mean_loss(second)
print(f"test loss: a thinned network {one:.3f}, the mean of 50 {mean:.3f}", end=", ")
print(f"with the second dropout only {second_mean:.3f}; the whole network {whole:.3f}")

# %% answer [markdown]
# A thinned network is the worst. With the second dropout only, the mean of 50 networks
# has nearly the loss of the whole network, as derived; the difference is that of 50 and
# infinitely many. With both, the approximation is not exact, since a ReLU of values
# that vary has a larger mean than the ReLU of their mean. Here the whole network is
# even better than the mean that it approximates.
#
# The outputs of a network in training mode differ each time. This is the symptom of a
# missing `net.eval()`: predictions for the same image differ from call to call.

# %% claims
lesson.claim("in training, with the same masks, the two forms are identical", training_equal)
lesson.claim("they are also identical in testing", testing_equal)
lesson.claim("a thinned network is worse than the whole network", one > 1.03 * whole)
percent = 100 * abs(second_mean / whole - 1)
text = (
    f"with the second dropout only, the mean of 50 is within {percent:.1f} % of the whole network"
)
lesson.claim(text, percent < 2)
text = "with both, it is worse than the whole network, and better than one thinned network"
lesson.claim(text, whole < mean < one)
text = "with other masks the outputs for the same images differ"
lesson.claim(text, not np.array_equal(thinned[0], thinned[1]))

# %% [markdown]
# ## Break it
#
# The weights of a network from 2012 are loaded into a modern one. All names and shapes
# match. But inverted dropout has no effect in testing, where the 2012 network halves
# the values.
#
# **Before you run this:** how much will the error increase? And the loss?

# %%
unhalved = network(nn.Dropout)
unhalved.load_state_dict(old.state_dict())
wrong, right = training.evaluate(unhalved, test), training.evaluate(old, test)
print(f"  halved as in 2012:   {right}\n  without halving:     {wrong}")

# %% plot
figure = lesson.figure(8, 2.6)
title = "Testing the network with dropout"
axes = lesson.axes(figure, title=title, xlabel="test loss")
bars = {"without halving": wrong.loss, "one thinned": one, "mean of 50": mean, "whole": whole}
colours = [lesson.RED, lesson.GREY, lesson.GREY, lesson.BLUE]
axes.barh(list(bars), list(bars.values()), color=colours)
lesson.show(figure, "10_dropout_testing")

# %% answer [markdown]
# The error hardly changes, and the loss is far too large. The layer after the first
# dropout gets values that are, on average, twice as large as in training. Its outputs
# are then about twice as large too, so the layer after the second dropout gets about
# four times the values. If all logits of an image grow, their order mostly stays, and
# so does the prediction; but the network is overconfident.
#
# The symptom to remember: as many correct predictions as before, and a loss that is far
# too large. If only the error is reported, this is not noticed.

# %% claims
lesson.claim("the error hardly changes", abs(wrong.error - right.error) < 0.05)
factor = wrong.loss / right.loss
lesson.claim(f"but the loss is {factor:.1f} times as large", factor > 1.4)

# %% [markdown]
# ## Exercises
#
# 1. Write inverted dropout yourself, forward and backward: `tinyalex learn start 10`
#    creates the file in `my/`, `tinyalex learn check 10` checks it.
# 2. With twice as many images: does the gap of the network without dropout shrink by
#    more or by less than with dropout?
# 3. Drop a fifth instead of half. By what factor must a 2012 layer multiply in testing
#    then? Which p has the lowest test loss here, and which the lowest error?
# 4. Derive the variance (lesson 1) of y for a constant x. For which p is it equal to
#    $x^2$?
