# %% [markdown]
"""
# 3. Where does a broadcast's gradient go?

    python lessons/03_broadcasting.py [--seed 1] [--device cuda]

A layer ends with a *bias*: one value for each output, added for every image. The
outputs are a table with one row for each image; the bias is a single row. NumPy can add
them because it repeats the row as often as needed, which is called *broadcasting*. In
the backward pass the gradient has the shape of the table, but the gradient of the bias
must be a single row. We see how the one is computed from the other, and what happens if
this step is omitted.
"""

# %%
import inspect

import numpy as np

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import models, ops
from tinyalex.course import lesson
from tinyalex.nn import init
from tinyalex.ops.broadcasting import unbroadcast

args = lesson.options(__doc__)
rng = np.random.default_rng(args.seed)

# %% [markdown]
# ## One value, many uses
#
# A table x of four rows, a bias b of three values, y = x + b. As the loss we take a
# weighted sum of all y. Its weights `dy`, which we choose, are then the gradient of the
# loss with respect to y.
#
# Before you run this: if b[0] increases a little, which elements of y increase, and
# what does that do to the loss?

# %%
x, bias = rng.standard_normal((4, 3)), np.array([3.0, -1.0, 2.0])
dy = rng.integers(1, 10, (4, 3)) * rng.choice((-1.0, 1.0), (4, 3))


def loss(b):
    return ((x + b) * ta.Tensor(dy)).sum()


def gradient(values):
    b = ta.Tensor(values, requires_grad=True)
    loss(b).backward()
    return ta.Tensor(b.grad).numpy()


db, h = gradient(bias), 1e-3
print(f"dy:\n{dy}\ngradient of the bias, by backward(): {db}")
steps = h * np.eye(3)
numerical = [(loss(bias + step).item() - loss(bias - step).item()) / (2 * h) for step in steps]
same = np.allclose(numerical, db)
lesson.claim(f"the numerical gradient is the same: {np.round(numerical, 6)}", same)
lesson.claim("each is the sum of a column of dy", np.array_equal(db, dy.sum(axis=0)))

# %% [markdown]
# There is only one b[0], but it is used four times, once in each row. As in lesson 2,
# the contributions of all uses are summed. So the rule is short: **forward repeats,
# backward sums**, over the axes along which NumPy repeated.
#
# NumPy aligns shapes at their *last* axis. It repeats an array along leading axes that
# the array does not have, and along its axes of size 1. Below is the function that
# tinyalex calls in the backward pass of all operations on two arrays, after the
# operation's own derivative. `like` is the input.

# %%
print(inspect.getsource(unbroadcast))

# %% [markdown]
# ## Every shape
#
# Is this sum right for every shape? There is a test that needs no numerical gradient.
# The contribution of b to the loss can be written in two ways:
#
#     sum of (b repeated) * dy  =  sum of b * (dy summed over the repeated axes)
#
# On the right, each element of b is factored out of the terms in which it occurs.
# Lesson 6 explains this test.
#
# Before you run this: what shape has the gradient of a scalar, and how many terms does
# it sum?

# %%
agree = []
for shape in ((3,), (1, 3), (4, 1), (), (4, 3)):
    b = np.asarray(rng.standard_normal(shape))
    grad = gradient(b)
    uses = dy.size // b.size
    print(
        f"  b {shape!s:<7} uses of an element {uses:>2}; gradient {grad.shape!s:<7} {grad.tolist()}"
    )
    left, right = (np.broadcast_to(b, dy.shape) * dy).sum(), (b * grad).sum()
    agree.append(np.isclose(left, right) and grad.shape == b.shape)
lesson.claim("the two sums agree for every shape", all(agree))

# %% [markdown]
# ## How often AlexNet uses a bias
#
# In a convolution the bias has one element for each filter, added at every position of
# that filter's feature map, in each image. If all of dy is 1, the gradient of the bias
# counts its uses.
#
# Before you run this: AlexNet's first layer has feature maps of 55 x 55 (figure 2 of
# the paper) and is trained on batches of 128 images (section 5). How many terms does
# the gradient of one bias sum in one step?

# %%
with init.skipped():
    conv1 = models.alexnet("paper").conv1
image = np.zeros((1, 3, 224, 224), "f")
F.conv2d(image, conv1.weight, conv1.bias, stride=4, padding=2).sum().backward()
(uses,) = {int(n) for n in conv1.bias.grad}
text = f"each bias is used {uses:,} times in an image, {128 * uses:,} times in a step"
lesson.claim(text, uses == 55 * 55)

# %% [markdown]
# ## Break it: omit the sum
#
# Below is an addition whose backward pass returns dy for both inputs. At first sight
# this is right: the derivative of x + b with respect to b is 1. Before you run this:
# what will happen?


# %%
class AddWithoutSum(ops.Add):
    def backward(self, dz):
        return dz, dz


def error_message(action):
    try:
        action()
    except ValueError as error:
        return str(error)


y = AddWithoutSum.apply(ta.Tensor(x), ta.Tensor(bias, requires_grad=True))
message = error_message(y.sum().backward)
print(message)
helpful = message and "sum its gradient over the repeated axes" in message
lesson.claim("tinyalex compares the shapes and suggests what to do", helpful)

# %% [markdown]
# The engine can detect it because a gradient must have the shape of its input. Plain
# NumPy has no such rule. So let us train a bias by hand, on 64 images with random
# labels, with a network that consists of *nothing but a bias*. Its output does not
# depend on the image. The best it can do is to always predict the most frequent label.
# (`F.cross_entropy` is the loss, the subject of lesson 11.)
#
# Before you run this: what will it learn if the sum is omitted?

# %%
labels, other_labels = rng.integers(0, 10, (2, 64))


def train(summed):
    """The bias after 200 steps of gradient descent, and its training accuracy."""
    b = np.zeros(10)
    for _ in range(200):
        scores = ta.Tensor(np.zeros((64, 10)) + b, requires_grad=True)  # one row for each image
        F.cross_entropy(scores, labels, reduction="sum").backward()
        b = b - 0.1 * summed(ta.Tensor(scores.grad).numpy())
    predictions = (np.zeros((64, 10)) + b).argmax(axis=1)
    return b, (predictions == labels).mean()


right, right_accuracy = train(lambda dy: dy.sum(axis=0))
wrong, wrong_accuracy = train(lambda dy: dy)
print(f"with the sum: bias {right.shape}, accuracy {right_accuracy:.0%}")
print(f"without it:   bias {wrong.shape}, accuracy {wrong_accuracy:.0%}")
most_frequent = np.bincount(labels).max() / 64
text = "with the sum, the accuracy is the frequency of the most frequent label"
lesson.claim(text, right_accuracy == most_frequent)
lesson.claim("without it the accuracy is 100 %, without using any image", wrong_accuracy == 1)
accuracy = (wrong.argmax(axis=1) == other_labels).mean()
lesson.claim(f"on 64 other labels it is {accuracy:.0%}", accuracy < 0.5)
rejected = error_message(lambda: np.zeros((32, 10)) + wrong)
lesson.claim("and a batch of 32 images fails: the shapes do not match", rejected)

# %% [markdown]
# There is no error: `b - 0.1 * dy` is broadcast too, and from the first step on b is a
# table with one bias for each image. The network memorises the labels row by row. The
# symptoms to remember: training is suspiciously successful, and a batch of another size
# fails.
#
# ## The right shape and the wrong values
#
# The next mistake is to take the mean instead of the sum: the shape is right, and the
# engine accepts it. `gradcheck` compares with numerical gradients (lesson 4). Before
# you run this: by what factor is the gradient wrong?


# %%
class AddWithMean(ops.Add):
    def backward(self, dz):
        return dz, dz.mean(axis=0)


report = ta.gradcheck(AddWithMean, [x, bias], raise_exception=False)
print(report)
factor = np.isclose(report.worst.ratio, 1 / len(x))
lesson.claim(
    f"the gradient of the bias is 1/{len(x)} of the right one; gradcheck detects it", factor
)
lesson.claim(
    "it also names the axis",
    "axis 0: backward computes a mean instead of a sum over uses" in report.worst.hint.text,
)

# %%
forward, backward = np.full((6, 3), np.nan), np.full((6, 5), np.nan)
forward[0], forward[2:] = bias, bias
backward[:4, :3], backward[5, :3] = dy, dy.sum(axis=0)
backward[:4, 4], backward[5, 4] = dy.sum(axis=1), dy.sum()

figure = lesson.figure(10, 4.4)
scale = {"cmap": "RdBu", "vmin": -45, "vmax": 45}
tables = ("forward: a row is repeated", forward), ("backward: the uses are summed", backward)
for position, (title, table) in enumerate(tables, 1):
    axes = lesson.image_axes(figure, 1, 3, position, title=title, pixels=table, **scale)
    axes.spines[:].set_visible(False)
    for (i, j), value in np.ndenumerate(table):
        axes.text(j, i, "" if np.isnan(value) else f"{value:+g}", ha="center", va="center")
style = {"ha": "center", "va": "center", "color": "#555555", "fontsize": 8}
axes.text(1, 4, "sum of each column: (3,)", **style)
axes.text(3, 1.5, "sum of each row: (4, 1)", rotation=90, **style)
axes.text(4, 4, "all: ()", **style)
title, options = "sum omitted: one bias for each image", {"cmap": "Blues", "aspect": "auto"}
axes = lesson.image_axes(figure, 1, 3, 3, title=title, pixels=wrong[:24], **options)
axes.plot(labels[:24], np.arange(24), ".", color=lesson.RED)
axes.set(xlabel="ten outputs; red: the label", ylabel="images (24 of 64)")
lesson.show(figure, "03_broadcasting")

# %% [markdown]
# ## Exercises
#
# 1. Write `unbroadcast` yourself: `tinyalex learn start 3` creates the file in `my/`,
#    `tinyalex learn check 3` checks it.
# 2. Predictions of shape (64, 1), targets of shape (64,): what shape has their
#    difference? What does a network learn from its square?
# 3. One value for each image, (4, 1), times one for each column, (3,): both are
#    repeated. Derive both gradients, then compare with tinyalex.
