# %% [markdown]
"""
# 11. Why softmax and log together?

    python lessons/11_softmax_loss.py [--seed 1] [--device cuda]

The last layer of a network gives a number for each class, its *logits*: the larger, the more likely, and that is all they say. *Softmax*
makes probabilities of them. It takes the exponential of each, which is never negative, and divides by the sum, so that they add up to 1.
The *cross-entropy* loss then asks for the probability p of the right class, and is -log p: nothing if p is 1, and more and more the
smaller p is. Training makes it small.

So there is an exponential, and right behind it a logarithm, which undoes it. Every framework does the two in one step. Why?
"""

# %%
import math

import numpy as np

import tinyalex as ta
from tinyalex import data, models, nn, optim
from tinyalex import functional as F
from tinyalex.learning import lesson

args = lesson.options(__doc__)
train = lesson.images(200).train
labels = train.labels
pixels = data.Normalize(data.mean_image(train.images))(train.images)  # about -128 to 128
scaled = pixels / pixels.std()  # the same with a deviation of 1

# %% [markdown]
# ## What a float can hold
#
# `exp` grows fast. We make two logits, with the wrong class ahead of the right one by a gap, and compute the loss in three ways: as the
# textbook writes it; with tinyalex's `softmax` and then `log`; and with `cross_entropy`, which does both at once. All in float32.
# Before you run this: with a gap of d the loss is nearly d. At which gap will each of the three break, if at all?


# %%
def textbook(x, labels):
    powers = np.exp(x)
    return -np.log(powers / powers.sum(axis=1, keepdims=True))[np.arange(len(x)), labels]


def two_steps(x, labels):
    return -F.softmax(x, 1).log()[np.arange(len(x)), labels]


def one_step(x, labels):
    return F.cross_entropy(x, labels, reduction="none")


gaps = np.arange(0, 151)
logits = np.stack([np.zeros(len(gaps)), gaps], axis=1).astype(
    "f"
)  # (N, classes): class 0 is the right one
right = np.zeros(len(gaps), int)
ways = {"textbook": textbook, "softmax, then log": two_steps, "cross_entropy": one_step}
with np.errstate(all="ignore"):
    losses = {name: ta.Tensor(way(logits, right)).numpy() for name, way in ways.items()}
for gap in (1, 50, 88, 89, 103, 104, 150):
    print(
        f"  gap {gap:>3}: " + ", ".join(f"{name} {loss[gap]:.4f}" for name, loss in losses.items())
    )
last = {name: gaps[np.isfinite(loss)].max() for name, loss in losses.items()}
largest, (book, steps, _) = math.log(np.finfo("f").max), last.values()
lesson.claim(
    f"the textbook's holds up to {book}: no float32 is above e**{largest:.1f}", book == int(largest)
)
lesson.claim(f"the next holds up to {steps}: then the probability is 0", 80 < steps < 110)
lesson.claim(
    "cross_entropy is right for every gap",
    np.allclose(losses["cross_entropy"], np.logaddexp(0, gaps), rtol=1e-6),
)

# %% [markdown]
# It has two tricks. It takes the largest logit from all of them first: the probabilities stay the same, and no exponential is above 1.
# And it never makes p: log(exp(x) / sum) is x - log(sum). The second way, whose softmax knows the first trick, fails for want of the other.
#
# Are such logits real? We take a network as it comes, and feed it pixels of about -128 to 128, a scale for which its weights were not
# made. Then the same pixels, divided by their deviation. Before you run this: of how many pictures will the loss be no number?

# %%
for name, x in (("too large", pixels), ("scaled", scaled)):
    net = models.cifar("quick")
    said = net(x)
    answer, exact = said.numpy(), one_step(said, labels).numpy()
    with np.errstate(all="ignore"):
        by_book, in_two = textbook(answer, labels), two_steps(said, labels)
        in_two.sum().backward()
    lost = [100 * (~np.isfinite(loss)).mean() for loss in (by_book, in_two.numpy())]
    slope = ta.Tensor(net.conv1.weight.grad).numpy()
    print(f"pixels {name}, largest logit {answer.max():.1f}. ", end="")
    print(
        f"Losses that are no number: {lost[0]:.0f} % by the textbook, {lost[1]:.0f} % in two steps"
    )
    lesson.claim(
        f"cross_entropy finds a number for all, {exact.mean():.1f} on average",
        np.isfinite(exact).all(),
    )
    if name == "too large":
        lesson.claim("the other two do not", min(lost) > 0)
        lesson.claim(
            "one infinite loss is enough: the first layer's slopes are no numbers",
            np.isnan(slope).all(),
        )
lesson.claim(
    "with scaled pixels all three agree",
    np.allclose(by_book, exact, rtol=1e-3) and np.isfinite(slope).all(),
)

# %% [markdown]
# ## What should the loss be before training?
#
# A network that knows nothing should give each of K classes the probability 1/K. The loss is then -log(1/K), the logarithm of K.
#
# Before you run this: the first logits are not all alike but vary at random, by a *variance* (mean square deviation) of v. Will the loss
# be above ln K or below?

# %%
for k in (10, 100, 1000):
    net = models.cifar("quick", k)
    with ta.no_grad():
        first = net(scaled)
        start = (
            -F.log_softmax(first, 1).mean().item()
        )  # the mean over all classes: as if labels were drawn by lot
        net.fc2.weight.data *= 0.01
        calm = -F.log_softmax(net(scaled), 1).mean().item()
    v = first.numpy().var(axis=1).mean()
    print(
        f"  K = {k:>4}: ln K = {math.log(k):.3f}, loss {start:.3f}, v/2 {v / 2:.3f}; with small last weights {calm:.3f}"
    )
    excess = (start - math.log(k)) / (v / 2)
    lesson.claim(
        f"the loss starts above ln K, by about v/2: {excess:.2f} times as much", 0.6 < excess < 1.4
    )
    lesson.claim("with small last weights it starts at ln K", 0 < calm - math.log(k) < 0.01)

# %% [markdown]
# So a loss far above ln K at the start, as with the pixels that were too large, says that a network is sure of itself before it has seen
# anything. And one that *stays* at ln K has not begun to learn.
#
# ## The gradient: p minus one-hot
#
# There is a second reason for the pair. Write the right answer as a row with 1 at the right class and 0 elsewhere (*one-hot*). How fast
# the loss changes with the logits is then the simplest thing one could wish: what the network said, minus what it should have said.
# Compare it with another loss that comes to mind, the sum of the squares of just this difference.
# Before you run this: a network is wrong, and very sure of it. Which of the two losses pushes harder?


# %%
def slopes(x, loss):
    leaf = ta.Tensor(x, requires_grad=True)
    loss(leaf).sum().backward()
    return ta.Tensor(leaf.grad).numpy()


onehot = np.eye(10, dtype="f")[labels]
with ta.no_grad():
    p = F.softmax(answer, 1).numpy()
gradient = slopes(answer, lambda x: one_step(x, labels))
lesson.claim(
    "the gradient is p - onehot, to the last digits", np.allclose(gradient, p - onehot, atol=1e-6)
)
lesson.claim(
    "it adds up to 0: what one logit gains, the others lose", abs(gradient.sum(axis=1)).max() < 1e-5
)
entropy = -slopes(logits, lambda x: one_step(x, right))[:, 0]
squares = -slopes(logits, lambda x: ((F.softmax(x, 1) - np.float32([1, 0])) ** 2).sum(axis=1))[:, 0]
for gap in (0, 2, 5, 10, 20):
    print(
        f"  behind by {gap:>2}: cross-entropy pushes the right logit by {entropy[gap]:.4f}, squares by {squares[gap]:.1e}"
    )
lesson.claim(
    "the more wrong, the harder cross-entropy pushes, up to 1",
    (np.diff(entropy) >= 0).all() and entropy.max() <= 1,
)
lesson.claim(
    "squares push less and less: who is very wrong stays there",
    (np.diff(squares[2:20]) < 0).all() and squares[20] < 1e-6,
)

figure = lesson.figure(13, 4.2)
axes = lesson.axes(
    figure,
    1,
    3,
    1,
    title="The same loss, computed in three ways",
    xlabel="gap between the logits",
    ylabel="loss",
)
for (name, loss), ink, width in zip(
    losses.items(), (lesson.RED, lesson.BLUE, "#d5dbe1"), (2, 4, 9), strict=True
):
    axes.plot(
        gaps,
        np.where(np.isfinite(loss), loss, np.nan),
        color=ink,
        linewidth=width,
        zorder=10 / width,
        label=name,
    )
    if last[name] < gaps[-1]:
        axes.plot(last[name], loss[last[name]], "X", color=ink, markersize=11, zorder=11)
axes.legend(frameon=False)
axes = lesson.axes(
    figure,
    1,
    3,
    2,
    title="How hard the loss pushes who is wrong",
    xlabel="gap",
    ylabel="slope",
    xlim=(0, 20),
)
axes.plot(gaps, entropy, color=lesson.BLUE, linewidth=2, label="cross-entropy")
axes.plot(gaps, squares, color=lesson.RED, linewidth=2, label="squares")
axes.legend(frameon=False, loc="center right")
axes = lesson.axes(
    figure, 1, 3, 3, title="The gradient is p minus one-hot", xlabel="class", xticks=range(10)
)
bars = {
    "p": (p[0], "#d5dbe1"),
    "minus one-hot": (-onehot[0], lesson.GREY),
    "gradient": (gradient[0], lesson.RED),
}
for i, (name, (height, ink)) in enumerate(bars.items()):
    axes.bar(np.arange(10) + 0.28 * (i - 1), height, width=0.28, color=ink, label=name)
axes.legend(frameon=False)
lesson.show(figure, "11_softmax_loss")

# %% [markdown]
# ## Break it
#
# "The network should return probabilities", says a classmate, puts a softmax at its end, and hands the result to `cross_entropy`, which
# takes softmax again. We train both on a few pictures until they are known by heart.
# Before you run this: will there be an error message? Will the network learn?

# %%
ends = {}
for name, end in (("right", []), ("softmax twice", [nn.Softmax(1)])):
    ta.manual_seed(args.seed)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(3 * 32 * 32, 64), nn.ReLU(), nn.Linear(64, 10), *end
    )
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for _ in range(200):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(scaled), labels)
        loss.backward()
        optimizer.step()
    ends[name] = loss.item()
    correct = (net(scaled).numpy().argmax(axis=1) == labels).mean()
    print(f"  {name}: loss {ends[name]:.4f}, {100 * correct:.0f} % of the answers are right")
floor = F.cross_entropy(
    np.eye(10, dtype="f"), np.arange(10)
).item()  # all of the probability on the right class
lesson.claim(
    f"no error: it learns, but its loss cannot fall below {floor:.4f}",
    ends["softmax twice"] > floor and correct > 0.8,
)
lesson.claim(
    "it is ln(e + 9) - 1, for nine other classes", abs(floor - math.log(math.e + 9) + 1) < 1e-6
)
lesson.claim("done rightly, the loss goes to 0", ends["right"] < 0.01)

# %% [markdown]
# Probabilities are between 0 and 1: the second softmax sees a gap of 1 at most, and cannot be sure of anything. The symptom to remember:
# a loss that stops far above 0 while the answers are right. For this reason all networks of tinyalex return logits.
#
# ## Exercises
#
# 1. `tinyalex learn start 11` has you write loss and gradient in one; `tinyalex learn check 11` tries it on logits of 1000.
# 2. float16 holds less than float32 (`np.finfo`). At which gaps do the first two ways break there? Work it out, then try it.
# 3. Above the right logit was *behind*. Put it 20 *ahead*. What do the three ways say, and what is the true loss?
