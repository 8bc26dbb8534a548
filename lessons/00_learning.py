# %% [markdown]
"""
# 0. How does a network learn?

    python lessons/00_learning.py [--seed 1] [--device cuda]

This lesson trains a small network to recognise ten kinds of objects in images, with
about 40 lines of code, and explains the words that all other lessons use. You need
Python, NumPy arrays, matrix multiplication and the derivative of a function.

How to read a lesson: run the command above in the folder of the repository, and read
the file, or its page, from top to bottom. At **Before you run this**, stop and predict
the result; the answer follows the code. The program checks many statements of the text,
its *claims*. For each claim that holds it prints a line with the mark ✓; if one does
not hold, the program stops with an error. Figures are written to `runs/lessons`.
Exercises are at the end.

`--seed` is the *random seed*, the number from which all random numbers of a run are
computed: the same seed gives the same run. `--device cuda` computes on a GPU. The
module `lesson` loads images, checks claims and writes figures; the rest is what you
would write in a program of your own.

The course leads to *AlexNet*, the network that won the ImageNet competition of 2012.
*ImageNet* is a collection of photographs; the competition used 1.2 million photographs
of 1000 kinds of objects. *The paper* is A. Krizhevsky, I. Sutskever and G. E. Hinton,
*ImageNet Classification with Deep Convolutional Neural Networks*, 2012. *The code of
2012* is the authors' program, cuda-convnet. Some lessons compare tinyalex with
*PyTorch*, a widely used library whose module is named `torch`, and with *torchvision*,
its collection of networks.
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import data, nn, optim
from tinyalex import functional as F
from tinyalex.course import lesson

args = lesson.options(__doc__)

# %% [markdown]
# ## Images and labels
#
# A set of N images is one array of the shape (N, C, H, W): C is the number of colour
# channels (red, green, blue), H the height and W the width in pixels. An element is the
# brightness of one channel of one pixel, from 0 to 255.
#
# Each image belongs to one of ten *classes*, such as `star` or `ship`. Classes are
# numbered from 0 to 9, and the number of an image's class is its *label*. A network
# that predicts the label of an image is called a *classifier*.
#
# There are two sets, each a `data.Dataset` of images, labels and the names of the
# classes. The network learns from the *training images*. The *test images* are used
# only to measure how well it predicts labels of images that it has not seen. (They are
# photographs if you have downloaded CIFAR-10, a collection of small photographs.
# Otherwise they are synthetic: the program draws them.)

# %%
train, test, source = lesson.images(4000, 1000)
print(f"training images {train.images.shape}, labels {train.labels.shape}; test {len(test)}")
print(f"classes: {', '.join(train.classes)}")
print(f"the first image: label {train.labels[0]}, {train.classes[train.labels[0]]}")

# %% [markdown]
# ## Tensors and gradients
#
# A *network* computes predictions from images with numbers that are learned, its
# *weights*. Learning changes the weights until the *loss* is small: one number that
# measures how wrong the predictions are. First we take one weight w and a loss with a
# known minimum, at w = 1:
#
# $$
# L(w) = (w - 1)^2, \qquad \frac{dL}{dw} = 2 (w - 1)
# $$
#
# The derivative says in which direction to change w. Where it is positive, L increases
# with w, so w must decrease. *Gradient descent* repeats the step
#
# $$
# w \leftarrow w - lr \frac{dL}{dw}
# $$
#
# where lr is the *learning rate*: it determines how long the steps are. (With several
# weights, their derivatives together are the *gradient*. It is the direction in which
# the loss increases fastest: lesson 1.)
#
# tinyalex computes derivatives. A `ta.Tensor` is an array, its `.data`, together with a
# record of the operations and the tensors from which it was computed. `loss.backward()`
# uses this record to compute the derivative of the loss with respect to each tensor
# that was made with `requires_grad=True`, and **adds** it to the `.grad` of that
# tensor. Since it adds, the old gradient has to be removed first. `.item()` is a
# tensor's only element, as a Python number; `.numpy()` is all of it, as a NumPy array.
# Numbers and lists become `float32`, 32-bit numbers with about 7 decimal digits; a
# NumPy array keeps its dtype.
#
# **Before you run this:** w starts at 3. With which of the rates 0.01, 0.3, 0.9 and 1.1
# does it approach 1, how fast, and with which does it not?


# %%
def descend(lr, steps=10):
    """The values of w during gradient descent."""
    w = ta.Tensor([3.0], requires_grad=True)
    path = [w.item()]
    for _ in range(steps):
        w.grad = None  # remove the old gradient
        loss = (w - 1) * (w - 1)
        loss.backward()
        w.data = w.data - lr * w.grad
        path.append(w.item())
    return path


paths = {lr: descend(lr) for lr in (0.01, 0.3, 0.9, 1.1)}
for lr, path in paths.items():
    print(f"  lr = {lr:<5}", " ".join(f"{w:7.3f}" for w in path[:9]))

# %% answer [markdown]
# Insert the derivative into the step, and subtract 1:
#
# $$
# w - 1 \leftarrow (1 - 2 lr) (w - 1)
# $$
#
# Each step multiplies the distance from the minimum by 1 - 2 lr. With lr = 0.01 this
# factor is 0.98: w approaches 1, but slowly. With 0.3 it is 0.4, which is fast. With
# 0.9 it is -0.8: each step goes too far, to the other side of the minimum, but w still
# approaches it. With 1.1 it is -1.2: the distance grows with each step. So a rate can
# be too small or too large.
#
# For any parabola with its minimum at m, the derivative is c (w - m), where c is the
# second derivative. So the factor is 1 - c lr, and it is between -1 and 1 if lr is
# below 2 / c. Here c = 2, and the limit is 1.

# %% claims
for lr, path in paths.items():
    expected = [1 + 2 * (1 - 2 * lr) ** n for n in range(len(path))]
    same = np.allclose(path, expected, rtol=1e-4)
    lesson.claim(f"lr = {lr}: each step multiplies w - 1 by {1 - 2 * lr:.2g}", same)

# %% [markdown]
# ## The network: one linear layer
#
# The network computes ten numbers for an image, one for each class, called *logits*.
# The class with the largest logit is its prediction. Each logit is a weighted sum of
# the 3 * 32 * 32 = 3072 pixel values x of the image, plus a constant, the *bias* b. The
# *weights* W have a row for each class. For all images at once, x has a row for each
# image:
#
# $$
# logits = x W^T + b
# $$
#
# This is a *linear layer*, `nn.Linear`. A layer is an `nn.Module`: an object which is
# called like a function, and which holds the tensors to learn, its *parameters*. Each
# of a layer's outputs is called a *unit*, or a *neuron*; here there are ten.
# `nn.Sequential` is a Module that applies layers one after the other; `nn.Flatten`
# makes a row of each image. The method `state_dict()` returns all parameters of a
# Module as NumPy arrays, by name: below, "1.weight" and "1.bias" are those of layer 1,
# the linear one (layer 0 is Flatten). Two preparations:
#
# - Pixel values from 0 to 255 are scaled to -0.5 to 0.5. With large inputs the loss
#   changes fast when a weight changes, and only very small rates would work.
# - The weights start from zero. This is possible for a single layer only (lesson 12
#   shows what happens otherwise). With several layers they start from random numbers,
#   usually of the size that keeps the values similar from layer to layer: *He
#   initialization* (named after K. He), lesson 12.
#
# ## The loss
#
# *Softmax* turns the logits of an image into probabilities p: positive numbers with the
# sum 1; the largest logit gets the largest probability. The *cross-entropy* loss is
# -log of the probability that the network gives to the right class: 0 if this is 1, and
# large if it is close to 0. `F.cross_entropy` (F is `tinyalex.functional`) computes
# both, and the mean over the N images:
#
# $$
# p_k = \frac{e^{logits_k}}{\sum_j e^{logits_j}}, \qquad
# L = -\frac{1}{N} \sum_n \log p_{n, label_n}
# $$
#
# (log is the natural logarithm. Lesson 11 is about this loss.)
#
# **Before you run this:** all weights and biases are zero. What is the loss, for any
# images?


# %%
def scaled(images, **unused):
    """Pixels from -0.5 to 0.5. (`unused`: other arguments that the Loader passes.)"""
    return images.astype("float32") / 255 - 0.5


def network():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    return net.to(args.device)  # the CPU or a GPU


net = network()
logits = net(ta.Tensor(scaled(train.images)))
loss = F.cross_entropy(logits, train.labels)
print(f"logits {logits.shape}, the first row: {logits.numpy()[0]}")
print(f"loss {loss.item():.6f}")

# %% answer [markdown]
# All logits are 0, so each class has the probability 1 / 10, and the loss is -log(1/10)
# = log 10 = 2.302585. A larger loss is worse than no knowledge at all. Check the first
# loss of a training: with 1000 classes it should be about log 1000 = 6.9.

# %% claims
lesson.claim("the loss of ten equal probabilities is log 10", np.isclose(loss.item(), np.log(10)))

# %% [markdown]
# ## Training
#
# The loop below is the same for every network. To compute the gradient from all images
# would be too much work for a single step. So each step uses a *batch* of 128 images,
# and the gradient of their loss. The batches are random, hence the name *stochastic
# gradient descent*, SGD. An *epoch* is one pass over all training images, here 32
# batches, the last one of 32 images. `data.Loader` yields the batches, with the images
# in a new random order in each epoch. It calls its `transform`, here `scaled`, with the
# images of each batch, and also with the numbers of the epoch and of the batch's first
# image, which lesson 14 uses. For each batch, the *forward pass* computes the loss, and
# the *backward pass* the gradients. The step for all weights and biases,
#
# $$
# W \leftarrow W - lr \frac{\partial L}{\partial W}, \qquad
# b \leftarrow b - lr \frac{\partial L}{\partial b}
# $$
#
# is `optim.SGD(parameters, lr).step()`; its `zero_grad()` removes the old gradients.
# (In a derivative, $\partial$ is written for d if there are several variables: all
# others are constant. $\partial L / \partial W$ is the array of the derivatives of L
# with respect to each element of W.)
#
# The *error* is the fraction of images whose prediction is wrong; 1 - error is called
# the *accuracy*. To compute it no gradients are needed, so nothing has to be recorded:
# `with ta.no_grad():`.
#
# **Before you run this:** predicting the same class for all images has an error of
# about 90 %. What will the error be after 20 epochs, on the training and on the test
# images?


# %%
def train_network(dataset, lr, epochs):
    """A network, and the mean loss of each epoch."""
    net, losses = network(), []
    optimizer = optim.SGD(net.parameters(), lr=lr)
    loader = data.Loader(dataset, 128, shuffle=True, transform=scaled, device=args.device)
    for _ in range(epochs):
        total = 0.0
        for x, labels in loader:
            loss = F.cross_entropy(net(x), labels)  # forward
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(loader))
    return net, losses


def error(net, dataset):
    with ta.no_grad():
        logits = net(ta.Tensor(scaled(dataset.images))).numpy()
    return (logits.argmax(axis=1) != dataset.labels).mean()


net, losses = train_network(train, lr=0.03, epochs=20)
train_error, test_error = error(net, train), error(net, test)
print(f"loss in epoch 1: {losses[0]:.3f}, in epoch 20: {losses[-1]:.3f}")
print(f"error on training images {train_error:.1%}, on test images {test_error:.1%}")

# %% plot
figure = lesson.figure(10, 4.4)
weights = net.state_dict()["1.weight"].reshape(10, 3, 32, 32)
for label, name in enumerate(train.classes):
    pixels = 0.5 + weights[label] / (2 * abs(weights).max())  # grey is 0
    lesson.image_axes(figure, 2, 5, label + 1, title=name, pixels=pixels)
lesson.show(figure, "00_learning")

# %% answer [markdown]
# The error is below 90 %, and far from 0. The figure shows what was learned: the 3072
# weights of each class, as an image. Grey is a weight of 0, brighter is positive,
# darker is negative, in each of the three colours. A logit is large if bright weights
# are multiplied by bright pixels, and dark weights by dark pixels (after scaling, both
# are negative). So each class has *one* pattern, at one position. The same object at
# another position, or a dark one on a bright background, does not match it. This is why
# networks have more layers, and layers of other kinds.
#
# The error on the test images is higher than that on the training images: the weights
# also fit details that only the training images have. This is called *overfitting*
# (lesson 10).

# %% claims
text = f"the test error is {test_error:.1%}, better than 90 % and worse than in training"
lesson.claim(text, train_error + 0.02 < test_error < 0.85)
lesson.claim(f"the loss decreased to {losses[-1]:.2f}", losses[-1] < losses[0] < np.log(10))

# %% [markdown]
# ## How to choose the learning rate
#
# For the parabola above we computed which rates work. For a network one tries a few
# rates that differ by factors of ten, for a few epochs each, and then some between the
# best two, such as three times the smaller one.
#
# **Before you run this:** with which of the rates 0.001, 0.01, 0.1 and 1 will the loss
# fall fastest? How will you recognise a rate that is too small, and one that is too
# large?

# %%
curves = {}
for lr in (0.001, 0.01, 0.1, 1.0):
    tried, curves[lr] = train_network(train, lr, epochs=8)
    few = " ".join(f"{loss:.2f}" for loss in curves[lr])
    print(f"  lr = {lr:<6} loss of each epoch {few}; test error {error(tried, test):.1%}")

# %% plot
figure = lesson.figure(7.5, 4)
title = "The loss with four learning rates"
labels = {"xlabel": "epoch", "ylabel": "loss (training images)", "yscale": "log"}
axes = lesson.axes(figure, title=title, **labels)
axes.set_yticks((1.5, 2, 3, 4, 6, 8), ("1.5", "2", "3", "4", "6", "8"))
axes.minorticks_off()
colours = lesson.GREY, lesson.GREEN, lesson.BLUE, lesson.RED
for (lr, curve), colour in zip(curves.items(), colours, strict=True):
    axes.plot(range(1, len(curve) + 1), curve, color=colour, linewidth=2, label=f"lr = {lr:g}")
axes.axhline(np.log(10), color="black", linestyle=":", label="log 10: no knowledge")
axes.legend(frameon=False)
lesson.show(figure, "00_learning_rates")

# %% answer [markdown]
# The loss falls fastest with 0.1.
#
# A rate that is too small: the loss falls steadily, but slowly. With 0.001 it would
# take many more epochs. A rate that is too large: the loss rises at once, is irregular,
# and here it stays above log 10, the loss of a network that knows nothing. The steps go
# too far, as those of the parabola did. Between a rate that is too small and one that
# is too large, a factor of ten makes less difference; the network above was trained
# with 0.03, between 0.01 and 0.1.
#
# With the largest rate the test error is below 90 % all the same. The error counts
# wrong predictions; the loss also measures with how much confidence they are made.
#
# (If the rate is chosen by the test error, this error no longer measures how well the
# network predicts new images. Lesson 10 uses a third set of images for such choices,
# the *validation images*.)

# %% claims
slow, middle, fast, too_fast = (curve[-1] for curve in curves.values())
lesson.claim(f"lr = 0.001 reaches a loss of {slow:.2f}, lr = 0.1 {fast:.2f}", slow > fast + 0.1)
lesson.claim(f"lr = 0.01 is between these two, with {middle:.2f}", fast < middle < slow)
lesson.claim(f"lr = 1 ends at {too_fast:.2f}, above log 10", too_fast > np.log(10))

# %% [markdown]
# ## Break it
#
# Images and labels are often read from different files. If one of them is sorted in
# another order, label i does not belong to image i. Below the labels are shuffled.
#
# **Before you run this:** there is now nothing to learn. What will the loss do, and
# what will the two errors be?

# %%
rng = np.random.default_rng(args.seed)
mixed = data.Dataset(train.images, rng.permutation(train.labels), train.classes)
mixed_net, mixed_losses = train_network(mixed, lr=0.03, epochs=20)
mixed_error, mixed_test_error = error(mixed_net, mixed), error(mixed_net, test)
print(f"loss in epoch 1: {mixed_losses[0]:.3f}, in epoch 20: {mixed_losses[-1]:.3f}")
print(f"error on its training images {mixed_error:.1%}, on test images {mixed_test_error:.1%}")

# %% answer [markdown]
# There is no error message, and the loss falls: with 30,730 weights and biases the
# network fits details of 4000 images to any labels. Only the test images show that it
# learned nothing that is true of other images. The symptom to remember: the loss falls,
# and the test error stays at that of guessing. Then look at some images with their
# labels, as the loader yields them.

# %% claims
text = f"the loss decreases all the same, from {mixed_losses[0]:.2f} to {mixed_losses[-1]:.2f}"
lesson.claim(text, mixed_losses[-1] < mixed_losses[0] - 0.05)
text = f"so does the error on the training images, to {mixed_error:.1%}; the test error is"
lesson.claim(f"{text} {mixed_test_error:.1%}", mixed_error < 0.82 and mixed_test_error > 0.86)

# %% [markdown]
# ## Exercises
#
# 1. Write the training loop yourself: `tinyalex learn start 0` creates the file in
#    `my/`, `tinyalex learn check 0` checks it.
# 2. Double all values that `scaled` returns. By what must the rate of the weights be
#    multiplied so that the predictions stay the same? And the rate of the biases? (A
#    weight's gradient is proportional to its pixel values.)
# 3. Use batches of 4000 images, then of 8, each for 20 epochs with `lr=0.03`. How many
#    steps does each run make, and what does the loss show?
