# %% [markdown]
"""
# 3. Where does a broadcast's gradient go?

    python lessons/03_broadcasting.py [--seed 1] [--device cuda]

A layer ends with a *bias*: one number for each output, added to what the weights have made of every picture. The outputs are a table,
a row for each picture; the bias is a single row. NumPy adds them all the same. It repeats the row as often as needed, which is called
*broadcasting*, so natural that nobody thinks about it. Until backward: what comes back has the shape of the table, and the bias, still
a single row, wants to know in which direction to move. We look where the gradient goes, and what happens where one line is forgotten.
"""

# %%
import inspect

import numpy as np

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import models, ops
from tinyalex.learning import lesson
from tinyalex.nn import init
from tinyalex.ops.arithmetic import unbroadcast

args = lesson.options(__doc__)
random = np.random.default_rng(args.seed)

# %% [markdown]
# ## One number, many places
#
# A table x of four rows, a bias b of three numbers, y = x + b. Our loss is a sum of all y, each times a number of its own, which says
# how much that y counts. So these numbers, `dy`, are the gradient of the loss along y, and we have chosen them.
#
# Before you run this: if b[0] grows by a little, which of the y grow, and what does that do to the loss?

# %%
x, bias = random.standard_normal((4, 3)), np.array([3.0, -1.0, 2.0])
dy = random.integers(1, 10, (4, 3)) * random.choice((-1.0, 1.0), (4, 3))


def loss(b):
    return ((x + b) * ta.Tensor(dy)).sum()


def gradient(numbers):
    b = ta.Tensor(numbers, requires_grad=True)
    loss(b).backward()
    return ta.Tensor(b.grad).numpy()


db = gradient(bias)
print(f"dy:\n{dy}\ngradient of the bias, by backward(): {db}")
nudged = [
    (loss(bias + nudge).item() - loss(bias - nudge).item()) / 2e-3 for nudge in 1e-3 * np.eye(3)
]
lesson.claim(f"by nudging it is the same: {np.round(nudged, 6)}", np.allclose(nudged, db))
lesson.claim("each is the sum of a column of dy", np.array_equal(db, dy.sum(axis=0)))

# %% [markdown]
# There is only one b[0], but it has been used four times: in each row. It is the case of lesson 2, a number with several uses, and what
# the uses send back adds up. So the rule is short: **forward repeats, backward sums**, over the very axes along which NumPy repeated.
#
# NumPy lines shapes up at their *last* axis. It repeats along axes that the smaller array lacks in front, and along those where it has
# size 1. Here is what tinyalex does with all operations of two arrays, after their own slope is multiplied in. `like` is the input.

# %%
print(inspect.getsource(unbroadcast))

# %% [markdown]
# ## Every shape
#
# Is this sum right for every shape? There is a test that needs no nudging. What b adds to the loss, we can write down in two ways:
#
#     all numbers of (b repeated) * dy, added up    =    all numbers of b * (dy summed back), added up
#
# On the right, each number of b has been put in front of brackets that hold the dy of all its places. Lesson 6 has more of this test.
#
# Before you run this: what shape has the gradient of a single number, and how many numbers does it sum?

# %%
same = []
for shape in ((3,), (1, 3), (4, 1), (), (4, 3)):
    b = np.asarray(random.standard_normal(shape))
    grad = gradient(b)
    print(
        f"  b {shape!s:<7} each number used {dy.size // b.size:>2} times; gradient {grad.shape!s:<7} {grad.tolist()}"
    )
    same.append(
        np.isclose((np.broadcast_to(b, dy.shape) * dy).sum(), (b * grad).sum())
        and grad.shape == b.shape
    )
lesson.claim("the two ways agree for every shape", all(same))

# %% [markdown]
# ## How often AlexNet uses a bias
#
# In a convolution the bias has one number for each filter, added at every place of that filter's map, in each picture. If all of dy is 1,
# the gradient of the bias simply counts: one for each use.
#
# Before you run this: AlexNet's first layer has maps of 55 x 55 (figure 2 of the paper) and it learns from 128 pictures at a time
# (section 5). How many numbers does the gradient of a single bias sum up in one step?

# %%
with init.skipped():
    conv1 = models.alexnet("paper").conv1
F.conv2d(
    np.zeros((1, 3, 224, 224), "f"), conv1.weight, conv1.bias, stride=4, padding=2
).sum().backward()
(uses,) = {int(n) for n in conv1.bias.grad}
lesson.claim(
    f"each bias is used {uses:,} times a picture, once a place, so {128 * uses:,} times a step",
    uses == 55 * 55,
)

# %% [markdown]
# ## Break it: forget the sum
#
# Below is an addition whose backward hands dy to both inputs as it is. At first sight this is even right: the slope of x + b along b
# is 1. Before you run this: what will happen?


# %%
class HastyAdd(ops.Add):
    def backward(self, dz):
        return dz, dz


def refusal(action):
    try:
        action()
    except ValueError as error:
        return str(error)


message = refusal(HastyAdd.apply(ta.Tensor(x), ta.Tensor(bias, requires_grad=True)).sum().backward)
print(message)
lesson.claim(
    "tinyalex compares shapes and says what to do",
    message and "sum its gradient over the repeated axes" in message,
)

# %% [markdown]
# The engine can notice, since a gradient must have its input's shape. Plain NumPy knows no such rule. So let us move the bias by hand:
# 64 pictures with labels drawn by lot, and a network that is *nothing but a bias*. It never sees a picture. The best that it can do is
# to answer with the most frequent label, always. Before you run this: what will it learn if the sum is forgotten?

# %%
labels, others = random.integers(0, 10, (2, 64))


def learnt(summed):
    """The bias after some steps downhill, and its share of right answers on the labels that it learns from."""
    b = np.zeros(10)
    for _ in range(200):
        scores = ta.Tensor(
            np.zeros((64, 10)) + b, requires_grad=True
        )  # a row for each picture; the highest is the answer
        F.cross_entropy(scores, labels, reduction="sum").backward()
        b = b - 0.1 * summed(ta.Tensor(scores.grad).numpy())
    return b, ((np.zeros((64, 10)) + b).argmax(axis=1) == labels).mean()


(right, share), (wrong, by_heart) = learnt(lambda dy: dy.sum(axis=0)), learnt(lambda dy: dy)
print(
    f"summed: bias {right.shape}, {share:.0%} right; not summed: bias {wrong.shape}, {by_heart:.0%} right"
)
lesson.claim(
    "with the sum it is right as often as the most frequent label comes",
    share == np.bincount(labels).max() / 64,
)
lesson.claim("without the sum it is right always, and has not seen a single picture", by_heart == 1)
elsewhere = (wrong.argmax(axis=1) == others).mean()
lesson.claim(f"on 64 other pictures it is right in {elsewhere:.0%}", elsewhere < 0.5)
lesson.claim(
    "and 32 pictures it refuses: the shapes do not fit", refusal(lambda: np.zeros((32, 10)) + wrong)
)

# %% [markdown]
# No error: `b - 0.1 * dy` is broadcast too, and from the first step on b is a table, with a bias for each picture. The network learns
# the labels by heart, row by row. The symptoms to remember: training goes suspiciously well, and a batch of another size is refused.
#
# ## The right shape and the wrong numbers
#
# Somebody reads the engine's message in a hurry, and takes the mean instead of the sum: the shape fits, and the engine is content.
# `gradcheck` compares with nudges (the next lesson has more of it). Before you run this: by what factor is the gradient wrong?


# %%
class MeanAdd(ops.Add):
    def backward(self, dz):
        return dz, dz.mean(axis=0)


report = ta.gradcheck(MeanAdd, [x, bias], raise_exception=False)
print(report)
lesson.claim(
    f"the bias would learn at 1/{len(x)} of the rate, and gradcheck sees it",
    np.isclose(report.worst.ratio, 1 / len(x)),
)
lesson.claim(
    "it even names the axis",
    "axis 0: backward takes a mean where uses add up" in report.worst.hint.text,
)

# %%
forward, backward = np.full((6, 3), np.nan), np.full((6, 5), np.nan)
forward[0], forward[2:] = bias, bias
backward[:4, :3], backward[5, :3], backward[:4, 4], backward[5, 4] = (
    dy,
    dy.sum(axis=0),
    dy.sum(axis=1),
    dy.sum(),
)

figure = lesson.figure(10, 4.4)
for place, title, table in (
    (1, "forward: a row is repeated", forward),
    (2, "backward: the uses are summed", backward),
):
    shown = lesson.picture(
        figure, 1, 3, place, title=title, pixels=table, cmap="RdBu", vmin=-45, vmax=45
    )
    shown.spines[:].set_visible(False)
    for (i, j), number in np.ndenumerate(table):
        shown.text(j, i, "" if np.isnan(number) else f"{number:+g}", ha="center", va="center")
for i, j, text in (
    (4, 1, "sum of each column: (3,)"),
    (1.5, 3, "sum of each row: (4, 1)"),
    (4, 4, "all: ()"),
):
    shown.text(
        j,
        i,
        text,
        ha="center",
        va="center",
        color="#555555",
        fontsize=8,
        rotation=90 if j == 3 else 0,
    )
table = lesson.picture(
    figure,
    1,
    3,
    3,
    title="sum forgotten: a bias a picture",
    pixels=wrong[:24],
    cmap="Blues",
    aspect="auto",
)
table.plot(labels[:24], np.arange(24), ".", color=lesson.RED)
table.set(xlabel="ten outputs; red: the label", ylabel="a row for each picture (24 of 64)")
lesson.show(figure, "03_broadcasting")

# %% [markdown]
# ## Exercises
#
# 1. `tinyalex learn start 3` puts a file with `unbroadcast` to write into `my/`; `tinyalex learn check 3` says what is wrong with it.
# 2. Predictions of shape (64, 1), targets of shape (64,): what shape has their difference? What does a network learn from its square?
# 3. A number per picture, (4, 1), times a number per column, (3,): both are repeated. Write down both gradients, then ask tinyalex.
