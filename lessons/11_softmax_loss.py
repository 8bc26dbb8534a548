# %% [markdown]
"""
# 11. Why softmax and log together?

    python lessons/11_softmax_loss.py [--seed 1] [--device cuda]

The last layer of a network outputs a value x[i] for each class, the *logit*: the larger
it is, the more likely the class. *Softmax* turns them into probabilities, which are not
negative and sum to 1; the *cross-entropy* loss is the negative logarithm of the
probability of the right class r, which is 0 for p[r] = 1 and grows as p[r] decreases:

    p[i] = exp(x[i]) / (sum over all classes j of exp(x[j]))
    loss = -log(p[r]) = -x[r] + log(sum over j of exp(x[j]))

So an exponential is followed by a logarithm, its inverse. All frameworks compute the
two in one step. Why?
"""

# %%
import math

import numpy as np

import tinyalex as ta
from tinyalex import data, models, nn, optim
from tinyalex import functional as F
from tinyalex.course import lesson

args = lesson.options(__doc__)
train = lesson.images(200).train
labels = train.labels
pixels = data.Normalize(data.mean_image(train.images))(train.images)  # about -128 to 128
scaled = pixels / pixels.std()  # the same with a standard deviation of 1

# %% [markdown]
# ## The range of a float
#
# `exp` grows fast. We take two logits, with the wrong class ahead of the right one by a
# gap d, and compute the loss in three ways: as in the textbook; with tinyalex's
# `softmax` and then `log`; and with `cross_entropy`, which combines both. All values
# are float32.
#
# Before you run this: for a large gap d the loss is nearly d. At which gap will each of
# the three fail, if at all?


# %%
def textbook(x, labels):
    powers = np.exp(x)
    return -np.log(powers / powers.sum(axis=1, keepdims=True))[np.arange(len(x)), labels]


def two_steps(x, labels):
    return -F.softmax(x, 1).log()[np.arange(len(x)), labels]


def one_step(x, labels):
    return F.cross_entropy(x, labels, reduction="none")


def two_classes(gaps):
    """Logits of two classes; that of the right one, class 0, is smaller by each gap."""
    return np.stack([np.zeros(len(gaps)), gaps], axis=1).astype("f"), np.zeros(len(gaps), int)


gaps = np.arange(0, 151)
methods = {"textbook": textbook, "softmax, then log": two_steps, "cross_entropy": one_step}
with np.errstate(all="ignore"):
    losses = {name: ta.Tensor(f(*two_classes(gaps))).numpy() for name, f in methods.items()}
for gap in (1, 50, 88, 89, 103, 104, 150):
    values = ", ".join(f"{name} {loss[gap]:.4f}" for name, loss in losses.items())
    print(f"  gap {gap:>3}: {values}")
last = {name: gaps[np.isfinite(loss)].max() for name, loss in losses.items()}
largest, (first, second, _) = math.log(np.finfo("f").max), last.values()
text = f"the textbook's works up to {first}: no float32 is above e**{largest:.1f}"
lesson.claim(text, first == int(largest))
lesson.claim(f"the second works up to {second}: then p underflows to 0", 80 < second < 110)
always = np.allclose(losses["cross_entropy"], np.logaddexp(0, gaps), rtol=1e-6)
lesson.claim("cross_entropy is right for every gap", always)

# %% [markdown]
# `cross_entropy` does two things. It subtracts the largest logit from all of them: the
# probabilities stay the same, and no exponential is above 1. And it does not compute p:
# the loss is log(sum) - x[r]. tinyalex's `softmax` subtracts the largest logit too, but
# returns p, which underflows.
#
# Do such logits occur? We take an untrained network with pixels of about -128 to 128, a
# scale that does not suit its initial weights, and then the same pixels divided by
# their standard deviation. Before you run this: for how many images will the loss be
# infinite or NaN?

# %%
for name, x in (("unscaled", pixels), ("scaled", scaled)):
    net = models.cifar("quick")
    output = net(x)
    logits, exact = output.numpy(), one_step(output, labels).numpy()
    with np.errstate(all="ignore"):
        first, second = textbook(logits, labels), two_steps(output, labels)
        second.sum().backward()
    failed = [100 * (~np.isfinite(loss)).mean() for loss in (first, second.numpy())]
    gradient = ta.Tensor(net.conv1.weight.grad).numpy()
    print(f"pixels {name}, largest logit {logits.max():.1f}; losses that are not finite: ", end="")
    print(f"textbook {failed[0]:.0f} %, in two steps {failed[1]:.0f} %")
    text = f"cross_entropy is finite for all images, {exact.mean():.1f} on average"
    lesson.claim(text, np.isfinite(exact).all())
    if name == "unscaled":
        lesson.claim("the other two are not", min(failed) > 0)
        text = "one infinite loss is enough: the whole gradient of the first layer is NaN"
        lesson.claim(text, np.isnan(gradient).all())
agree = np.allclose(first, exact, rtol=1e-3) and np.isfinite(gradient).all()
lesson.claim("with scaled pixels all three agree", agree)

# %% [markdown]
# ## What should the loss be before training?
#
# If the output of a network does not depend on its input, its lowest possible loss, for
# K equally frequent classes, is that of the probabilities 1/K: -log(1/K) = ln K.
#
# Before you run this: the initial logits are not equal but random, with a *variance* v.
# Will the loss be above ln K or below?

# %%
for k in (10, 100, 1000):
    net = models.cifar("quick", k)
    with ta.no_grad():
        initial = net(scaled)
        start = -F.log_softmax(initial, 1).mean().item()  # the mean over all classes as labels
        net.fc2.weight.data *= 0.01
        small = -F.log_softmax(net(scaled), 1).mean().item()
    v, minimum = initial.numpy().var(axis=1).mean(), math.log(k)
    print(f"  K = {k:>4}: ln K = {minimum:.3f}, loss {start:.3f}, v/2 {v / 2:.3f}", end="")
    print(f"; with small last weights {small:.3f}")
    excess = (start - minimum) / (v / 2)
    text = f"the loss starts above ln K, by {excess:.2f} times v/2"
    lesson.claim(text, 0.6 < excess < 1.4)
    lesson.claim("with small last weights it starts at ln K", 0 < small - minimum < 0.01)

# %% [markdown]
# The v/2 comes from log(sum exp(x)): for normal x with mean 0, the mean of exp(x) is
# exp(v/2). So an initial loss far above ln K, as with the unscaled pixels, means that
# the network is confident before it has learned anything. And a network whose loss
# *stays* at ln K has not begun to learn.
#
# ## The gradient: p minus one-hot
#
# There is a second reason to combine the two. Write the right class as a *one-hot*
# vector: 1 for the right class and 0 for the others. The derivative of log(sum over j
# of exp(x[j])) with respect to x[i] is p[i], so that of the loss is p[i] - onehot[i]:
# the prediction minus the target. Compare it with another possible loss, the sum of the
# squares of the same difference.
#
# Before you run this: a network is wrong and very confident. Which of the two losses
# has the larger gradient?


# %%
def gradient(x, loss):
    leaf = ta.Tensor(x, requires_grad=True)
    loss(leaf).sum().backward()
    return ta.Tensor(leaf.grad).numpy()


def squared_error(x):
    return ((F.softmax(x, 1) - np.float32([1, 0])) ** 2).sum(axis=1)


def negative_gradients(gaps):
    """With respect to the right logit: of cross-entropy, and of the squared error."""
    logits, right = two_classes(gaps)
    entropy = gradient(logits, lambda x: one_step(x, right))
    return -entropy[:, 0], -gradient(logits, squared_error)[:, 0]


onehot = np.eye(10, dtype="f")[labels]
with ta.no_grad():
    p = F.softmax(logits, 1).numpy()
dx = gradient(logits, lambda x: one_step(x, labels))
same = np.allclose(dx, p - onehot, atol=1e-6)
lesson.claim("the gradient is p - onehot, up to rounding", same)
lesson.claim("it sums to 0 over the classes", abs(dx.sum(axis=1)).max() < 1e-5)
entropy, squares = negative_gradients(gaps)
print("negative gradients with respect to the right logit:")
for gap in (0, 2, 5, 10, 20):
    print(f"  gap {gap:>2}: cross-entropy {entropy[gap]:.4f}, squared error {squares[gap]:.1e}")
text = "that of cross-entropy increases with the gap, up to 1"
lesson.claim(text, (np.diff(entropy) >= 0).all() and entropy.max() <= 1)
vanishes = (np.diff(squares[2:20]) < 0).all() and squares[20] < 1e-6
lesson.claim("that of the squared error vanishes: a very wrong answer is not corrected", vanishes)

figure = lesson.figure(13, 4.2)
title, gap = "The same loss, computed in three ways", "gap between the logits"
axes = lesson.axes(figure, 1, 3, 1, title=title, xlabel=gap, ylabel="loss")
styles = (lesson.RED, 2), (lesson.BLUE, 4), ("#d5dbe1", 9)
for (name, loss), (colour, width) in zip(losses.items(), styles, strict=True):
    visible = np.where(np.isfinite(loss), loss, np.nan)
    style = {"linewidth": width, "zorder": 10 / width, "label": name}
    axes.plot(gaps, visible, color=colour, **style)
    if last[name] < gaps[-1]:
        axes.plot(last[name], loss[last[name]], "X", color=colour, markersize=11, zorder=11)
axes.legend(frameon=False)
title, gaps = "Gradient with respect to the right logit", np.linspace(0, 20, 201)
axes = lesson.axes(figure, 1, 3, 2, title=title, xlabel=gap, ylabel="negative gradient")
entropy, squares = negative_gradients(gaps)
axes.plot(gaps, entropy, color=lesson.BLUE, linewidth=2, label="cross-entropy")
axes.plot(gaps, squares, color=lesson.RED, linewidth=2, label="squared error")
axes.legend(frameon=False, loc="center right")
title, ticks = "The gradient is p minus one-hot", range(10)
axes = lesson.axes(figure, 1, 3, 3, title=title, xlabel="class", xticks=ticks)
axes.bar(np.arange(10) - 0.28, p[0], width=0.28, color="#d5dbe1", label="p")
axes.bar(ticks, -onehot[0], width=0.28, color=lesson.GREY, label="minus one-hot")
axes.bar(np.arange(10) + 0.28, dx[0], width=0.28, color=lesson.RED, label="gradient")
axes.legend(frameon=False)
lesson.show(figure, "11_softmax_loss")

# %% [markdown]
# ## Break it
#
# "The network should return probabilities": a softmax is added at its end, and the
# result is passed to `cross_entropy`, which applies softmax again. We train both
# networks on 200 images until they are memorised.
#
# Before you run this: will there be an error message? Will the network learn?

# %%
final = {}
for name, end in (("right", []), ("softmax twice", [nn.Softmax(1)])):
    ta.manual_seed(args.seed)
    layers = nn.Flatten(), nn.Linear(3 * 32 * 32, 64), nn.ReLU(), nn.Linear(64, 10)
    net = nn.Sequential(*layers, *end)
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for _ in range(200):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(scaled), labels)
        loss.backward()
        optimizer.step()
    final[name] = loss.item()
    accuracy = (net(scaled).numpy().argmax(axis=1) == labels).mean()
    print(f"  {name}: loss {final[name]:.4f}, accuracy {100 * accuracy:.0f} %")
minimum = F.cross_entropy(np.eye(10, dtype="f"), np.arange(10)).item()  # p = 1 for the right class
learns = final["softmax twice"] > minimum and accuracy > 0.8
lesson.claim(f"no error: it learns, but its loss cannot fall below {minimum:.4f}", learns)
formula = abs(minimum - math.log(math.e + 9) + 1) < 1e-6
lesson.claim("that is ln(e + 9) - 1, for nine other classes", formula)
lesson.claim("with one softmax, the loss approaches 0", final["right"] < 0.01)

# %% [markdown]
# Probabilities are between 0 and 1, so for the second softmax the gap is 1 at most, and
# no prediction can be confident. The symptom to remember: a loss that stops far above 0
# while the predictions are right. For this reason all networks of tinyalex return
# logits.
#
# ## Exercises
#
# 1. Write the loss and its gradient in one function: `tinyalex learn start 11` creates
#    the file in `my/`, `tinyalex learn check 11` checks it.
# 2. float16 has a smaller range than float32 (`np.finfo`). At which gaps do the first
#    two methods fail there? Predict it, then try it.
# 3. Above, the right logit was the *smaller* one. Make it 20 *larger* than the other.
#    What do the three methods return, and what is the true loss?
