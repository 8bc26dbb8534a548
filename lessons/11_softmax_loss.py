# %% [markdown]
"""
# 11. Why softmax and log together?

    python lessons/11_softmax_loss.py [--seed 1] [--device cuda]

The last layer of a network outputs a logit for each class. Softmax turns the logits
into probabilities, and the cross-entropy loss is -log of the probability of the right
class (lesson 0). So an exponential is followed by a logarithm, its inverse.
Frameworks have a function that computes the two in one step. Why?
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
pixels = data.Normalize(data.mean_image(train.images))(train.images)  # minus their mean image
scaled = pixels / pixels.std()  # divided by their standard deviation

# %% [markdown]
# ## The range of a float
#
# With the logits x of an image, x[i] for class i, and the right class r, the
# probabilities and the loss are
#
# $$
# p_i = \frac{e^{x_i}}{\sum_j e^{x_j}}, \qquad L = -\log p_r
# $$
#
# The logarithm can be taken by hand. That of a quotient is a difference, and the
# numerator becomes the logit itself:
#
# $$
# L = \log \sum_j e^{x_j} - x_r
# $$
#
# And a constant c can be subtracted from all logits: it multiplies numerator and
# denominator of each p by the same factor, so p and L stay the same. With the largest
# logit as c, no exponential is above 1.
#
# `exp` grows fast. We take two logits, with the wrong class ahead of the right one by a
# gap d, and compute the loss in three ways: by the first formula, as in a textbook;
# with `F.softmax`, which subtracts the largest logit, and then the logarithm; and with
# `F.cross_entropy`, which uses the second formula with the subtraction.
# (`F.log_softmax` returns log p of all classes in the same way.) All values are
# float32. The largest float32 is 3.4e38, about $e^{88.7}$; the smallest above 0 is
# 1.4e-45, about $e^{-103.3}$.
#
# **Before you run this:** for a large gap d the loss is nearly d. At which gap will
# each of the three fail, if at all?


# %%
def textbook(x, labels):
    powers = np.exp(x)
    return -np.log(powers / powers.sum(axis=1, keepdims=True))[np.arange(len(x)), labels]


def two_steps(x, labels):
    return -F.softmax(x, 1).log()[np.arange(len(x)), labels]


def one_step(x, labels):
    return F.cross_entropy(x, labels, reduction="none")  # one loss for each image


def two_classes(gaps):
    """Logits of two classes; that of the right one, class 0, is smaller by each gap."""
    return np.stack([np.zeros(len(gaps)), gaps], axis=1).astype("f"), np.zeros(len(gaps), int)


gaps = np.arange(0, 151)
methods = {"textbook": textbook, "softmax, then log": two_steps, "cross_entropy": one_step}
with np.errstate(all="ignore"):  # no warnings of NumPy
    losses = {name: ta.Tensor(f(*two_classes(gaps))).numpy() for name, f in methods.items()}
for gap in gaps[::10]:
    print(f"  gap {gap:>3}:", ", ".join(f"{name} {loss[gap]:.4f}" for name, loss in losses.items()))

# %% plot
last = {name: gaps[np.isfinite(loss)].max() for name, loss in losses.items()}
figure = lesson.figure(7, 4)
title = "The same loss, computed in three ways (X: the last finite value)"
axes = lesson.axes(figure, title=title, xlabel="gap between the logits", ylabel="loss")
styles = (lesson.RED, 2), (lesson.BLUE, 4), ("#d5dbe1", 9)
for (name, loss), (colour, width) in zip(losses.items(), styles, strict=True):
    visible = np.where(np.isfinite(loss), loss, np.nan)
    style = {"linewidth": width, "zorder": 10 / width, "label": name}
    axes.plot(gaps, visible, color=colour, **style)
    if last[name] < gaps[-1]:
        axes.plot(last[name], loss[last[name]], "X", color=colour, markersize=11, zorder=11)
axes.legend(frameon=False)
lesson.show(figure, "11_softmax_loss")

# %% answer [markdown]
# The textbook's method fails first: no float32 is above 3.4e38, which is $e^{88.7}$,
# and the exponential of a larger logit is infinite: it *overflows*. With `F.softmax` no
# exponential is above 1, but now that of the right class becomes smaller and smaller,
# until no float32 is small enough: it *underflows* to 0, and -log 0 is infinite. (Just
# before, the loss may already be inexact: the smallest float32 numbers have few
# digits.) `F.cross_entropy` does not compute p at all. It is right for every gap.

# %% claims
largest, (first, second, _) = math.log(np.finfo("f").max), last.values()
text = f"the textbook's works up to {first}: no float32 is above e**{largest:.1f}"
lesson.claim(text, first == int(largest))
text = f"the second works up to {second}, and returns {losses['softmax, then log'][second]:.2f}"
lesson.claim(f"{text} there: then p underflows to 0", 80 < second < 110)
always = np.allclose(losses["cross_entropy"], np.logaddexp(0, gaps), rtol=1e-6)
lesson.claim("cross_entropy is right for every gap", always)

# %% [markdown]
# Do such logits occur? `models.cifar("quick")` is a small untrained network for images
# of 32 x 32 pixels, with layers of lessons 5 to 8. It gets pixels of about -128 to 128,
# a scale that does not suit its initial weights (lesson 12), and then the same pixels
# divided by their standard deviation.
#
# **Before you run this:** for how many of the 200 images will the loss be infinite or
# NaN ("not a number", such as the result of infinity / infinity)? And what will the
# gradient of the weights of its first layer be?

# %%
results = {}
for name, x in (("unscaled", pixels), ("scaled", scaled)):
    net = models.cifar("quick")
    output = net(x)
    logits = output.numpy()
    with np.errstate(all="ignore"):
        second = two_steps(output, labels)
        second.sum().backward()
        values = textbook(logits, labels), second.numpy(), one_step(output, labels).numpy()
    gradient = ta.Tensor(net.conv1.weight.grad).numpy()  # also copies from a GPU
    failed = [(~np.isfinite(loss)).mean() for loss in values]
    results[name] = values, failed, gradient
    print(f"pixels {name}, largest logit {logits.max():.1f}; losses that are not finite: ", end="")
    print(
        ", ".join(f"{method} {part:.0%}" for method, part in zip(methods, failed, strict=True)),
        end="",
    )
    print(f"; {np.isnan(gradient).mean():.0%} of conv1's gradient is NaN")

# %% answer [markdown]
# With unscaled pixels the first two methods fail for many images. Where p is 0, the
# derivative of log p is infinite and that of softmax is 0; in the backward pass they
# are multiplied, and infinity * 0 is NaN. The gradient of a weight is a sum over all
# images, so one image is enough to make the *whole* gradient of the first layer NaN:
# after one step of SGD, so are its weights. `cross_entropy` is finite for each image.
# With scaled pixels, the logits are small and all three agree.

# %% claims
(_, failed, gradient), (scaled_values, scaled_failed, scaled_gradient) = results.values()
lesson.claim("unscaled: only cross_entropy is finite for all images", min(failed[:2]) > failed[2])
lesson.claim("cross_entropy failed for no image", failed[2] == 0)
lesson.claim("the whole gradient of the first layer is NaN", np.isnan(gradient).all())
agree = all(np.allclose(loss, scaled_values[2], rtol=1e-3) for loss in scaled_values)
finite = max(scaled_failed) == 0 and np.isfinite(scaled_gradient).all()
lesson.claim("with scaled pixels all three agree", agree and finite)

# %% [markdown]
# ## What should the loss be before training?
#
# A network that does not know anything does best to give each of K classes the
# probability 1/K, if they are equally frequent. Its loss is -log(1/K) = log K (lesson
# 0). But the initial logits are not equal: they are random. We assume that they have a
# normal distribution with mean 0 and variance v (lesson 1), and compute the mean of L,
# written E[L], by its second formula. There the mean of the right logit is 0. The sum
# of K exponentials is about K times the mean of $e^x$. For many classes it hardly
# varies around this value, so we take the logarithm of that:
#
# $$
# E[L] \approx \log(K \cdot E[e^x])
# $$
#
# The mean of $e^x$ can be computed exactly. The bell curve of the normal distribution
# is its *density*:
#
# $$
# f(x) = \frac{e^{-x^2 / 2v}}{\sqrt{2 \pi v}}
# $$
#
# That is, a random number falls into a short interval of length dx at x with the
# probability f(x) * dx. Divide the whole line into such intervals: the sum of f(x) * dx
# over all of them, for shorter and shorter dx, is the *integral* of f. All
# probabilities together are 1, so the integral of f is 1. (If integrals are new to you,
# take $E[e^x] = e^{v/2}$ as given.) The mean of $e^x$ is the integral of $e^x$ times
# f(x):
#
# $$
# E[e^x] = \int_{-\infty}^{\infty} f(x) \, e^x \, dx
#        = \int_{-\infty}^{\infty} \frac{e^{v/2 - (x - v)^2 / 2v}}{\sqrt{2 \pi v}} \, dx
#        = e^{v/2} \int_{-\infty}^{\infty} f(x - v) \, dx = e^{v/2}
# $$
#
# (The exponents are equal: $-(x - v)^2 / 2v = -x^2 / 2v + x - v/2$. The last integral
# is that of f, shifted by v, so it is 1.) So
#
# $$
# E[L] \approx \log(K e^{v/2}) = \log K + \frac{v}{2}
# $$
#
# **Before you run this:** the networks below have 10, 100 and 1000 classes. We then
# multiply the weights of the last layer by 0.01. By which factor does that change v,
# and what will the loss be?

# %%
starts = {}
for k in (10, 100, 1000):
    net = models.cifar("quick", k)
    with ta.no_grad():
        initial = net(scaled)
        v = initial.numpy().var(axis=1).mean()
        start = -F.log_softmax(initial, 1).mean().item()  # the mean over all classes as labels
        net.fc2.weight.data *= 0.01  # the last layer
        small = -F.log_softmax(net(scaled), 1).mean().item()
    starts[k] = start, small, v
    print(f"  K = {k:>4}: log K = {math.log(k):.3f}; v/2 = {v / 2:.3f}, loss {start:.3f};", end=" ")
    print(f"with small last weights {small:.3f}")

# %% answer [markdown]
# The loss starts above log K, by about v/2: only about, since the sum does vary, and
# the logits are not exactly normal. With weights of a hundredth, v is multiplied by
# 0.0001, and the loss is log K.
#
# An initial loss far above log K, as with the unscaled pixels, means that the network
# is confident before it has learned anything. And a network whose loss *stays* at log K
# has not begun to learn.

# %% claims
for k, (start, small, v) in starts.items():
    excess = (start - math.log(k)) / (v / 2)
    text = f"K = {k}: the loss starts above log K by {excess:.2f} times v/2"
    lesson.claim(text, 0.6 < excess < 1.4)
    lesson.claim("with small last weights it is log K", 0 < small - math.log(k) < 0.01)

# %% [markdown]
# ## The gradient: p minus one-hot
#
# There is a second reason to combine the two. We derive the gradient of
#
# $$
# L = \log \sum_j e^{x_j} - x_r
# $$
#
# with respect to each logit x[i]. The derivative of a logarithm is 1 / its argument,
# times the derivative of the argument. In the sum, only the term j = i depends on x[i]:
#
# $$
# \frac{\partial}{\partial x_i} \log \sum_j e^{x_j}
#     = \frac{e^{x_i}}{\sum_j e^{x_j}} = p_i
# $$
#
# The derivative of the second term, x[r], is 1 for i = r and otherwise 0. Written as a
# vector, which is 1 for the right class and 0 for the others, this is the *one-hot*
# vector of r. So
#
# $$
# \frac{\partial L}{\partial x_i} = p_i - onehot_i
# $$
#
# The gradient is the prediction minus the target. All exponentials have gone except
# those in p, and each element is between -1 and 1.
#
# Another possible loss is the *squared error*, the sum of the squares of the same
# difference. With two classes, where p is the probability of the right one, it is
# $2 (1 - p)^2$. The derivative of p with respect to the right logit is p (1 - p), so
#
# $$
# \frac{\partial}{\partial x_r} 2 (1 - p)^2 = -4 (1 - p) \cdot p (1 - p)
# $$
#
# **Before you run this:** a network is wrong and very confident. Which of the two
# losses has the larger gradient?


# %%
def gradient_of(loss, x):
    leaf = ta.Tensor(x, requires_grad=True)
    loss(leaf).sum().backward()
    return ta.Tensor(leaf.grad).numpy()


def squared_error(x):
    return ((F.softmax(x, 1) - np.float32([1, 0])) ** 2).sum(axis=1)


def negative_gradients(gaps):
    """With respect to the right logit: of cross-entropy, and of the squared error."""
    logits, right = two_classes(gaps)
    entropy = gradient_of(lambda x: one_step(x, right), logits)
    return -entropy[:, 0], -gradient_of(squared_error, logits)[:, 0]


onehot = np.eye(10, dtype="f")[labels]
with ta.no_grad():
    p = F.softmax(logits, 1).numpy()  # of the network with scaled pixels
dx = gradient_of(lambda x: one_step(x, labels), logits)
fine_gaps = np.linspace(0, 20, 201)
entropy, squares = negative_gradients(fine_gaps)
print("negative gradients with respect to the right logit:")
for i in (0, 20, 50, 100, 200):
    print(f"  gap {fine_gaps[i]:>4}: cross-entropy {entropy[i]:.4f}, squares {squares[i]:.1e}")

# %% plot
figure = lesson.figure(11, 4)
title, ticks = "The gradient is p minus one-hot", range(10)
axes = lesson.axes(figure, 1, 2, 1, title=title, xlabel="class", xticks=ticks)
axes.bar(np.arange(10) - 0.28, p[0], width=0.28, color="#d5dbe1", label="p")
axes.bar(ticks, -onehot[0], width=0.28, color=lesson.GREY, label="minus one-hot")
axes.bar(np.arange(10) + 0.28, dx[0], width=0.28, color=lesson.RED, label="gradient")
axes.axhline(0, color=lesson.GREY, linewidth=0.8)
axes.legend(frameon=False, loc="lower left" if labels[0] > 4 else "lower right")
title = "How strongly each loss corrects a wrong answer"
texts = {"xlabel": "gap between the logits", "ylabel": "negative gradient, right logit"}
axes = lesson.axes(figure, 1, 2, 2, title=title, **texts)
axes.plot(fine_gaps, entropy, color=lesson.BLUE, linewidth=2, label="cross-entropy")
axes.plot(fine_gaps, squares, color=lesson.RED, linewidth=2, label="squared error")
axes.legend(frameon=False, loc="center right")
lesson.show(figure, "11_softmax_loss_gradient")

# %% answer [markdown]
# With cross-entropy: the larger the gap, the larger the gradient, up to 1. That of the
# squared error has the factor p. It is largest at p = 1/3, a gap of log 2 = 0.69, and
# vanishes when p approaches 0: a very wrong answer is hardly corrected. The logarithm
# removes this factor, since its derivative is 1 / p.

# %% claims
largest = abs(dx - (p - onehot)).max()
lesson.claim(f"the gradient is p - onehot, up to {largest:.0e}", largest < 1e-6)
lesson.claim("it sums to 0 over the classes", abs(dx.sum(axis=1)).max() < 1e-5)
text = "that of cross-entropy increases with the gap, up to 1"
lesson.claim(text, (np.diff(entropy) > -1e-6).all() and 0.99 < entropy[-1] <= 1)
right_p = 1 / (1 + np.exp(fine_gaps))
same = np.allclose(squares, 4 * right_p * (1 - right_p) ** 2, atol=1e-6)
text = f"that of the squared error is 4 p (1 - p)**2: {squares[-1]:.0e} at a gap of 20"
lesson.claim(text, same and squares[-1] < 1e-6)

# %% [markdown]
# ## Break it
#
# "The network should return probabilities": a softmax is added at its end, and the
# result is passed to `cross_entropy`, which applies softmax again. We train a network
# with this fault and one without it, on all 200 images in each step. (Momentum is the
# subject of lesson 13.)
#
# **Before you run this:** will there be an error message? Will the network learn, and
# which loss will it reach?

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
    accuracy = (net(scaled).numpy().argmax(axis=1) == labels).mean()
    final[name] = loss.item(), accuracy
    print(f"  {name}: loss {loss.item():.4f}, accuracy {accuracy:.0%}")

# %% answer [markdown]
# There is no error message, and the network learns. But probabilities are between 0 and
# 1, so for the second softmax the gap is 1 at most, and no prediction can be confident.
# If the first softmax returns the best possible result, 1 for the right class and 0 for
# the nine others, the loss is
#
# $$
# \log(e^1 + 9 e^0) - 1 = \log(e + 9) - 1
# $$
#
# The symptom to remember: a loss that stops far above 0 while the predictions are
# right. For this reason all networks of tinyalex return logits.

# %% claims
loss, accuracy = final["softmax twice"]
lowest = F.cross_entropy(np.eye(10, dtype="f"), np.arange(10)).item()  # logits 1 and nine times 0
text = f"with softmax twice it learns, but the loss is above {lowest:.4f}"
lesson.claim(text, loss > lowest and accuracy > 0.8)
formula = math.log(math.e + 9) - 1
lesson.claim(
    f"for logits 1, 0, 0, ... it is log(e + 9) - 1 = {formula:.4f}", abs(lowest - formula) < 1e-6
)
lesson.claim("with one softmax, the loss approaches 0", final["right"][0] < 0.01)

# %% [markdown]
# ## Exercises
#
# 1. Write the loss and its gradient in one function: `tinyalex learn start 11` creates
#    the file in `my/`, `tinyalex learn check 11` checks it. The file has the formula of
#    the loss of a batch; derive that of its gradient.
# 2. Derive the gradient of the squared error for K classes, with respect to each x[i].
#    (First derive that of p[k] with respect to x[i]: the cases k = i and k != i are
#    different.) Compare with `gradient_of` for ten random logits.
# 3. float16 has a smaller range than float32 (`np.finfo`). At which gaps do the first
#    two methods fail there? Predict it, then try it.
# 4. Above, the right logit was the *smaller* one. Make it 20 *larger* than the other.
#    What do the three methods return, and what is the true loss?
