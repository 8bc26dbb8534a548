# %% [markdown]
"""
# 3. Where does a broadcast's gradient go?

    python lessons/03_broadcasting.py [--seed 1] [--device cuda]

A linear layer adds a bias, one value for each output, to the outputs of every image.
The outputs are a table with one row for each image; the bias is a single row. NumPy can
add them because it repeats the row as often as needed, which is called *broadcasting*.
In the backward pass the gradient has the shape of the table, but the gradient of the
bias must be a single row. This lesson derives how the one is computed from the other,
and shows what happens if this step is omitted.
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
# A table x has four rows, a bias b has three values, and y = x + b. As the loss L we
# take a weighted sum of all y. We choose its weights, dy:
#
# $$
# y_{ij} = x_{ij} + b_j, \qquad L = \sum_i \sum_j dy_{ij} \, y_{ij}
# $$
#
# So dy is the gradient of the loss with respect to y: if $y_{ij}$ increases by h, L
# increases by $h \, dy_{ij}$. (`dy` is one name. In this course d before a name means
# "the gradient of the loss with respect to".)
#
# **Before you run this:** if b[0] increases a little, which elements of y increase, and
# what does that do to the loss? Derive the gradient of b, then compare.

# %%
x, bias = rng.standard_normal((4, 3)), np.array([3.0, -1.0, 2.0])
dy = rng.integers(1, 10, (4, 3)) * rng.choice((-1.0, 1.0), (4, 3))


def loss(b):
    return ((x + b) * ta.Tensor(dy)).sum()


def gradient(values):
    b = ta.Tensor(values, requires_grad=True)
    loss(b).backward()
    return ta.Tensor(b.grad).numpy()


h = 1e-3
numerical = [(loss(bias + u).item() - loss(bias - u).item()) / (2 * h) for u in h * np.eye(3)]
print(f"dy:\n{dy}\ngradient of the bias, by backward(): {gradient(bias)}")
print(f"numerical gradient: {np.round(numerical, 6)}")

# %% answer [markdown]
# There is only one b[0], but it is used four times, once in each row. By the chain rule
# (lesson 2) the contributions of all uses are added, and the derivative of each y with
# respect to its b is 1:
#
# $$
# \frac{\partial L}{\partial b_j}
# = \sum_i \frac{\partial L}{\partial y_{ij}} \frac{\partial y_{ij}}{\partial b_j}
# = \sum_i dy_{ij}
# $$
#
# This is the sum of column j of dy. So the rule is short: **forward repeats, backward
# sums**, over the axes along which NumPy repeated.

# %% claims
lesson.claim(
    "backward() agrees with the numerical gradient", np.allclose(numerical, gradient(bias))
)
lesson.claim("each element is the sum of a column of dy", np.array_equal(gradient(bias), dy.sum(0)))

# %% [markdown]
# ## Every shape
#
# NumPy aligns shapes at their *last* axis. It repeats an array along leading axes that
# the array does not have, and along its axes of size 1. Below is the function that
# tinyalex calls in the backward pass of every operation on two arrays, after the
# operation's own derivative. `like` is the input, and `added` the number of axes that
# it does not have. `a == 1 != b` is Python's short form of `a == 1 and 1 != b`.
# `sum_over` sums over the given axes. (An input is *promoted* if it is converted to the
# dtype of the other, such as float32 to float64; its gradient is converted back.)
#
# Is this sum right for every shape? The contribution of b to the loss can be written in
# two ways. In the second, each element of b is factored out of the terms in which it
# occurs:
#
# $$
# \sum_{ij} (b \text{ repeated})_{ij} \, dy_{ij}
# = \sum_k b_k \, (dy \text{ summed over the repeated axes})_k
# $$
#
# On the right, the factor of $b_k$ is the derivative with respect to $b_k$: dy summed
# over the repeated axes. The equation is also a test of a gradient that needs no small
# step: for random b, a wrong gradient satisfies it only by an improbable coincidence.
# Lesson 6 uses such a test again.
#
# **Before you run this:** what shape has the gradient of a scalar, and how many terms
# does it sum?

# %%
print(inspect.getsource(unbroadcast))
cases = {shape: rng.standard_normal(shape) for shape in ((3,), (1, 3), (4, 1), (), (4, 3))}
for shape, b in cases.items():
    grad = gradient(b)
    print(
        f"  b {shape!s:<6} uses {dy.size // b.size:>2}; gradient {grad.shape!s:<6} {grad.tolist()}"
    )

# %% answer [markdown]
# The gradient of a scalar is a scalar, the sum of all 12 elements of dy. An array of
# shape (4, 1) is repeated in each column, so its gradient has the sum of each row. An
# array that has the shape of the table is not repeated, and nothing is summed.

# %% claims
agree = [
    np.isclose((np.broadcast_to(b, dy.shape) * dy).sum(), (b * gradient(b)).sum())
    and gradient(b).shape == shape
    for shape, b in cases.items()
]
lesson.claim("the two sums agree for every shape", len(agree) == 5 and all(agree))
lesson.claim("the gradient of a scalar is the sum of dy", gradient(cases[()]) == dy.sum())

# %% [markdown]
# ## How often AlexNet uses a bias
#
# The first layer of AlexNet is a *convolution*: the same small filter is applied at
# every position of the image (lesson 5). Each of its filters has one bias, which is
# added at all these positions, in each image. If all of dy is 1, the gradient of the
# bias is the number of its uses.
#
# **Before you run this:** the filters are applied at 55 x 55 positions (figure 2 of the
# paper) and the network is trained on batches of 128 images (section 5). How many terms
# does the gradient of one bias sum in one step?

# %%
with init.skipped():  # zeros instead of random weights, which are not needed here
    conv1 = models.alexnet("paper").conv1
image = ta.Tensor(np.zeros((1, 3, 224, 224), "f"))
conv1(image).sum().backward()
(uses,) = {int(n) for n in conv1.bias.grad}
print(f"{uses:,} uses in an image, {128 * uses:,} in a step")

# %% answer [markdown]
# 55 * 55 * 128 = 387,200. A backward pass that computes a mean instead of the sum would
# be wrong by this factor.

# %% claims
lesson.claim(f"the gradient of a bias of conv1 sums {128 * uses:,} terms", uses == 55 * 55)

# %% [markdown]
# ## Break it: omit the sum
#
# Below is an addition whose backward pass returns dy for both inputs. At first sight
# this is right: the derivative of x + b with respect to b is 1. `ops.Add` is tinyalex's
# addition, and `apply` runs its forward pass (lesson 4).
#
# **Before you run this:** what will happen?


# %%
class AddWithoutSum(ops.Add):
    def backward(self, dy):
        return dy, dy


b = ta.Tensor(bias, requires_grad=True)
try:
    AddWithoutSum.apply(ta.Tensor(x), b).backward(dy)  # dy: the gradient of the result
    print(b.grad)
except ValueError as error:
    print(f"ValueError: {error}")

# %% answer [markdown]
# An error that names the remedy. tinyalex can detect the mistake because a gradient
# must have the shape of its input.

# %% claims
try:
    AddWithoutSum.apply(ta.Tensor(x), ta.Tensor(bias, requires_grad=True)).backward(dy)
    message = ""
except ValueError as error:
    message = str(error)
helpful = "sum its gradient over the repeated axes" in message
lesson.claim("tinyalex compares the shapes and suggests what to do", helpful)

# %% [markdown]
# Plain NumPy has no such rule. So let us train a bias by hand, on 64 images with random
# labels, with a network that consists of *nothing but a bias*. Its logits do not depend
# on the image. The best that it can do is to predict the most frequent label for all
# images.
#
# **Before you run this:** what will it learn if the sum is omitted?

# %%
labels, other_labels = rng.integers(0, 10, (2, 64))


def train(summed):
    """The bias after 200 steps of gradient descent, and its training accuracy."""
    b = np.zeros(10)
    for _ in range(200):
        logits = ta.Tensor(np.zeros((64, 10)) + b, requires_grad=True)  # a row for each image
        F.cross_entropy(logits, labels, reduction="sum").backward()  # not their mean
        b = b - 0.1 * summed(ta.Tensor(logits.grad).numpy())
    predictions = (np.zeros((64, 10)) + b).argmax(axis=1)
    return b, (predictions == labels).mean()


right, right_accuracy = train(lambda dy: dy.sum(axis=0))
wrong, wrong_accuracy = train(lambda dy: dy)
print(f"with the sum: bias {right.shape}, accuracy {right_accuracy:.0%}")
print(f"without it:   bias {wrong.shape}, accuracy {wrong_accuracy:.0%}")

# %% plot
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
title, options = "sum omitted: one bias per image", {"cmap": "Blues", "aspect": "auto"}
axes = lesson.image_axes(figure, 1, 3, 3, title=title, pixels=wrong[:24], **options)
axes.plot(labels[:24], np.arange(24), ".", color=lesson.RED)
axes.set(xlabel="ten outputs; red: the label", ylabel="images (24 of 64)")
lesson.show(figure, "03_broadcasting")

# %% answer [markdown]
# Everything. There is no error, since `b - 0.1 * dy` is broadcast too: from the first
# step on, b is a table with one bias per image, and the network memorises the labels
# row by row (on the right of the figure). The symptoms to remember: training is
# suspiciously successful, and a batch of another size fails.

# %% claims
most_frequent = np.bincount(labels).max() / 64
text = "with the sum, the accuracy is the frequency of the most frequent label"
lesson.claim(text, right_accuracy == most_frequent)
lesson.claim("without it the accuracy is 100 %, without using any image", wrong_accuracy == 1)
accuracy = (wrong.argmax(axis=1) == other_labels).mean()
lesson.claim(f"on 64 other labels it is {accuracy:.0%}", accuracy < 0.5)
try:
    message = str(np.zeros((32, 10)) + wrong)
except ValueError as error:
    message = str(error)
lesson.claim("and a batch of 32 images fails: the shapes do not match", "broadcast" in message)

# %% [markdown]
# ## The right shape and the wrong values
#
# The next mistake is to take the mean instead of the sum. The shape is right, and
# tinyalex accepts it.
#
# **Before you run this:** by what factor is the gradient of the bias wrong? Would you
# notice it in a training?


# %%
class AddWithMean(ops.Add):
    def backward(self, dy):
        return dy, dy.mean(axis=0)


b = ta.Tensor(bias, requires_grad=True)
AddWithMean.apply(ta.Tensor(x), b).backward(dy)
print(f"gradient {ta.Tensor(b.grad).numpy()}, numerical {np.round(numerical, 6)}")

# %% answer [markdown]
# By 1/4: there are four rows. In a training it is as if the learning rate of the bias
# were divided by the number of its uses. The loss decreases, only more slowly, so such
# a mistake is hardly ever noticed. A comparison with the numerical gradient finds it at
# once. Lesson 4 makes such comparisons for whole layers.

# %% claims
ratio = ta.Tensor(b.grad).numpy() / numerical
lesson.claim(f"the gradient is {ratio[0]:.2f} times the right one", np.allclose(ratio, 1 / 4))

# %% [markdown]
# ## Exercises
#
# 1. Write `unbroadcast` yourself: `tinyalex learn start 3` creates the file in `my/`,
#    `tinyalex learn check 3` checks it.
# 2. Predictions of shape (64, 1), targets of shape (64,): what shape has their
#    difference? What does a network learn from its square?
# 3. One value for each image, (4, 1), times one for each column, (3,): both are
#    repeated. Derive both gradients, then compare with tinyalex.
