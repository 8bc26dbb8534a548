# %% [markdown]
r"""
# 7. Why ReLU?

    python lessons/07_relu.py [--seed 1] [--device cuda] [--full]

Between two layers with weights there is an *activation function*, applied to each
element. Without one, two linear layers would be equivalent to one: $W_2 (W_1 x) = (W_2
W_1) x$. For decades it was S-shaped and smooth: the *sigmoid*, between 0 and 1, or
*tanh* (lesson 1), between -1 and 1. AlexNet uses the *rectified linear unit*, ReLU:

$$
\mathrm{sigmoid}(x) = \frac{1}{1 + e^{-x}}, \qquad
\tanh(x) = 2 \, \mathrm{sigmoid}(2 x) - 1, \qquad
\mathrm{ReLU}(x) = \max(0, x)
$$

The paper lists ReLU first among its new features, as the most important one (section
3.1). Its figure 1 shows a four-layer network on CIFAR-10 that reaches 25 % training
error six times as fast with ReLU as with tanh. We examine how activation functions
change gradients, and then run a small comparison. Its result may surprise you.
"""

# %%
from itertools import islice

import numpy as np

import tinyalex as ta
from tinyalex import data, nn, optim
from tinyalex import functional as F
from tinyalex.course import lesson
from tinyalex.nn import init

args = lesson.options(__doc__)
rng = np.random.default_rng(args.seed)
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "ReLU": nn.ReLU}

# %% [markdown]
# ## Derivatives
#
# In the backward pass, an activation function multiplies the gradient by its
# derivative, element by element. Where the derivative is 0, no gradient passes.
#
# **Before you run this:** where is the derivative of each function largest, and how
# large is it there and at x = 5?


# %%
def derivative(name, x):
    x = ta.Tensor(x, requires_grad=True)
    ACTIVATIONS[name]()(x).sum().backward()
    return ta.Tensor(x.grad).numpy()


x = np.linspace(-6, 6, 1201)  # in steps of 0.01
derivatives = {name: derivative(name, x) for name in ACTIVATIONS}
for name, values in derivatives.items():
    print(f"  {name:<8} at most {values.max():.2f}, at x = 5 {values[x.searchsorted(5)]:.4f}")

# %% answer [markdown]
# With $s = \mathrm{sigmoid}(x)$ and $t = \tanh(x)$, the derivatives are
#
# $$
# \mathrm{sigmoid}' = s (1 - s) \le \tfrac{1}{4}, \qquad
# \tanh' = 1 - t^2 \le 1, \qquad
# \mathrm{ReLU}' = 1 \text{ if } x > 0, \text{ else } 0
# $$
#
# The first follows from the quotient rule: $e^{-x} / (1 + e^{-x})^2 = s (1 - s)$, which
# is largest for $s = 1/2$, at x = 0. For large |x|, sigmoid and tanh are flat: they
# *saturate*. ReLU never saturates for positive x.

# %% claims
s, t = 1 / (1 + np.exp(-x)), np.tanh(x)
formulas = {"sigmoid": s * (1 - s), "tanh": 1 - t**2, "ReLU": (x > 0) * 1.0}
same = all(np.allclose(derivatives[name], formula) for name, formula in formulas.items())
lesson.claim("backward() agrees with the three formulas", same)
lesson.claim("that of sigmoid is a quarter at most", np.isclose(derivatives["sigmoid"].max(), 0.25))
same = np.array_equal(derivatives["ReLU"], derivative("ReLU", 10 * x))
lesson.claim("that of ReLU is the same for 10x as for x", same)

# %% [markdown]
# ## Twenty layers
#
# On its way to the first layer, a gradient passes through all others. Let $z$ be the
# sums of a layer (a linear layer and its activation function) with n outputs, $z_i =
# \sum_j w_{ij} x_j$, and $y_i = f(z_i)$ its outputs. Backward, the layer computes
#
# $$
# dx_j = \sum_{i=1}^{n} w_{ij} \, f'(z_i) \, dy_i
# $$
#
# Let the weights be random and independent, with mean 0 and standard deviation $\sigma$
# (lesson 1). We take the mean of $dx_j^2$ over these weights. The square of the sum
# consists of products of two terms. The product of two *different* weights is as often
# positive as negative and has the mean 0, so these products contribute nothing. The n
# squares remain, and the mean of $w_{ij}^2$ is $\sigma^2$. If weights, derivatives and
# dy are independent of each other, which is only approximately true, the mean of their
# product is the product of their means:
#
# $$
# \mathrm{mean}(dx^2) \approx
# n \sigma^2 \cdot \mathrm{mean}(f'^2) \cdot \mathrm{mean}(dy^2)
# $$
#
# We stack twenty layers of n = 100 *units* (a unit is one output of a layer).
# $\sigma^2$ is 1/n for sigmoid and tanh. For ReLU, which sets half of the elements to
# 0, it is 2/n: He's initialization (lesson 0), derived in lesson 12. With 2/n, ReLU
# multiplies the gradient by about $\sqrt{2 \cdot 1/2} = 1$ in each layer.
#
# **Before you run this:** the mean of $f'^2$ is at most 1/16 for sigmoid. How large is
# the gradient of the first sigmoid layer, compared with that of the last?


# %%
GAINS = {"sigmoid": 1, "tanh": 1, "ReLU": 2}  # n * sigma**2 of the formula


def weights(net):
    return [p for p in net.parameters() if p.ndim > 1]


def initialize(net, name):
    for p in net.parameters():
        init.zeros_(p)
    for p in weights(net):  # fan_in is n, the number of inputs of each sum
        init.normal_(p, std=np.sqrt(GAINS[name] / init.fan_in(p)))


inputs, labels = rng.standard_normal((200, 100)).astype("f"), rng.integers(0, 10, 200)
deep, norms = {}, {}
for name, activation in ACTIVATIONS.items():
    layers = [layer for _ in range(20) for layer in (nn.Linear(100, 100), activation())]
    deep[name] = net = nn.Sequential(*layers, nn.Linear(100, 10)).to(args.device)
    initialize(net, name)
    F.cross_entropy(net(ta.Tensor(inputs)), labels).backward()
    norms[name] = [np.linalg.norm(ta.Tensor(p.grad).numpy()) for p in weights(net)[:20]]
    print(f"  {name:<8}", "   ".join(f"layer {n}: {norms[name][n - 1]:.1e}" for n in (1, 10, 20)))

# %% answer [markdown]
# The root of the mean of $f'^2$ is at most 1/4, and nineteen factors of 1/4 are about
# $4 \cdot 10^{-12}$. This is the *vanishing gradient* problem, the reason not to use
# sigmoid between layers.
#
# The formula is about the gradients of the layers' inputs. The program prints those of
# the weights, which are also multiplied by the layer's input (lesson 6). So the claims
# below predict the root of the product of the nineteen factors, times one more: the
# size of the input of layer 1, divided by that of the input of layer 20. For tanh this
# last factor is well above 1, since tanh makes the values smaller in each layer. The
# prediction is right within a factor of ten.
#
# But with suitable initial weights, the gradients of tanh do not vanish. So why was it
# slower in 2012?


# %% claims
def predicted(name):
    """The gradient of the weights of layer 1, divided by that of layer 20."""
    z, factors, squares = ta.Tensor(inputs), [], []
    for layer in deep[name]:
        if isinstance(layer, ACTIVATIONS[name]):
            factors.append(GAINS[name] * (derivative(name, z.numpy()) ** 2).mean())
        else:
            squares.append((z.numpy() ** 2).mean())
        z = layer(z)
    return np.sqrt(np.prod(factors[:19]) * squares[0] / squares[19])


ratio = {name: norm[0] / norm[-1] for name, norm in norms.items()}
for name in ACTIVATIONS:
    text = f"{name}: the gradient of layer 1 is {ratio[name]:.1e} times that of layer 20;"
    expected = predicted(name)
    text = f"{text} predicted {expected:.1e}"
    lesson.claim(text, 0.1 < ratio[name] / expected < 10)
lesson.claim("that of sigmoid vanishes", ratio["sigmoid"] < 1e-10)
lesson.claim("those of the others do not", min(ratio["tanh"], ratio["ReLU"]) > 0.02)

# %% plot
COLOURS = {"sigmoid": lesson.GREY, "tanh": lesson.RED, "ReLU": lesson.BLUE}
figure = lesson.figure(10.5, 4)
labels_of = {"xlabel": "x", "ylabel": "derivative"}
axes = lesson.axes(figure, 1, 2, 1, title="Three derivatives", **labels_of)
for name, values in derivatives.items():
    axes.plot(x, values, color=COLOURS[name], linewidth=2, label=name)
labels_of = {"xlabel": "layer", "ylabel": "norm of the gradient", "xticks": (1, 5, 10, 15, 20)}
title = "Gradients of the weights of twenty layers"
axes = lesson.axes(figure, 1, 2, 2, title=title, yscale="log", **labels_of)
for name, values in norms.items():
    axes.plot(range(1, 21), values, color=COLOURS[name], linewidth=2, label=name)
axes.legend(frameon=False)
lesson.show(figure, "07_relu")

# %% [markdown]
# ## The comparison
#
# A network of four layers with weights, three of them convolutions (two with pooling,
# which keeps the largest value of each window of 3 x 3: lesson 8), is trained until its
# training error is a quarter. The optimizer is SGD with *momentum*: each step also
# repeats 0.9 of the step before (lesson 13). There are two recipes. "2012" is close to
# the authors' own programs for CIFAR-10: pixels from 0 to 255, minus the *mean image*
# (at each pixel, the mean over all training images), and very small initial weights.
# "today" also scales the pixels to a standard deviation of 1, and initializes the
# weights as above. Images are synthetic shapes; `--full` uses CIFAR-10.
#
# As in the paper, each network is trained with several learning rates, and the best
# counts. RATES has the best ones, found in a search. The claims below repeat a part of
# the search.
#
# **Before you run this:** which function is faster, with which recipe, and by what
# factor?

# %%
train = lesson.images(50_000).train if args.full else data.shapes(2000, 0, seed=args.seed)[0]
batch, width, max_epochs = (128, 32, 20) if args.full else (50, 16, 12)
TARGET = 0.25
RATES = {"2012 tanh": 0.01, "2012 ReLU": 0.001, "today tanh": 0.03, "today ReLU": 0.01}


def four_layers(recipe, name):
    ta.manual_seed(args.seed)
    activation = ACTIVATIONS[name]
    layers = [nn.Conv2d(3, width, 5, stride=2, padding=2), activation()]
    for channels in (width, 2 * width):
        convolution = nn.Conv2d(width, channels, 5, padding=2)
        layers += [convolution, activation(), nn.MaxPool2d(3, 2, ceil_mode=True)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(2 * width * 4 * 4, 10)).to(args.device)
    initialize(net, name)
    if recipe == "2012":  # as in a network of the authors' program, with one layer more
        for p, sigma in zip(weights(net), (1e-4, 0.01, 0.01, 0.1), strict=True):
            init.normal_(p, std=sigma)
    return net


def batches(recipe):
    scale = 1 if recipe == "2012" else float(1 / train.images.std())
    normalize = data.Normalize(data.mean_image(train.images), scale=scale)
    return data.Loader(train, batch, shuffle=True, transform=normalize, device=args.device)


def train_epoch(net, optimizer, images):
    """The training error of one epoch."""
    wrong = 0
    for x, y in images:
        optimizer.zero_grad()
        logits = net(x)
        F.cross_entropy(logits, y).backward()
        optimizer.step()
        wrong += int((logits.data.argmax(axis=1) != y).sum())
    return wrong / len(train)


def run(recipe, name, rate, limit):
    """The trained network, and its error before the first and after each epoch."""
    net, images, errors = four_layers(recipe, name), batches(recipe), [0.9]
    optimizer = optim.SGD(net.parameters(), lr=rate, momentum=0.9)
    while len(errors) <= limit and errors[-1] > TARGET:
        errors.append(train_epoch(net, optimizer, images))
    return net, errors


nets, errors = {}, {}
for key, rate in RATES.items():
    nets[key], errors[key] = run(*key.split(), rate, max_epochs)
    print(f"  {key:<10} rate {rate:<5g} errors", *(f"{error:.0%}" for error in errors[key][1:]))

# %% answer [markdown]
# ReLU has an advantage with the recipe of 2012, and has lost it with today's. Large
# pixels saturate tanh: a small change of the weights changes the sums of the first
# layer by a lot, and once a unit is saturated, it hardly learns. ReLU does not
# saturate: about half of its derivatives are 0, and the others are 1. With inputs of a
# suitable scale and only four layers, tanh is at least as fast. The factors differ from
# seed to seed.
#
# This small comparison does not prove that the paper's factor of six was only a matter
# of scale, as the recipes differ in the initial weights too. It does show that it
# depends on the recipe which function is faster.


# %% claims
def epochs_needed(errors):
    """Epochs until the target, with a fraction of the last one by interpolation."""
    before, last = errors[-2:]
    return np.inf if last > TARGET else len(errors) - 2 + (before - TARGET) / (before - last)


def saturated(key):
    """The fraction of the first layer's derivatives below 0.05, on one batch."""
    recipe, name = key.split()
    sums = nets[key][0](next(iter(batches(recipe)))[0])
    return float((derivative(name, sums.data) < 0.05).mean())


# The search, in part: the slower network of each recipe, three epochs at other rates.
# With --full: all networks, until the target.
needed = {key: epochs_needed(errors[key]) for key in RATES}
for key in RATES if args.full else ("2012 tanh", "today ReLU"):
    for rate in (RATES[key] / 3, RATES[key] * 3):
        others = run(*key.split(), rate, max_epochs if args.full else 3)[1]
        text = f"{key} at rate {rate:.2g}: after {len(others) - 1} epochs error {others[-1]:.0%}"
        if args.full:
            print(f"  {text}")
            needed[key] = min(needed[key], epochs_needed(others))
        else:
            at_best = errors[key][:4][-1]
            text = f"{text}, at {RATES[key]} {at_best:.0%}: no better"
            lesson.claim(text, others[-1] > at_best - 0.05)
factor = {r: needed[f"{r} tanh"] / needed[f"{r} ReLU"] for r in ("2012", "today")}
old, new = (
    f"tanh needs {needed[f'{r} tanh']:.1f} epochs, ReLU {needed[f'{r} ReLU']:.1f}" for r in factor
)
if args.full:
    lesson.skip(f"2012: {old}; today: {new}", "the claims are about the synthetic shapes")
else:
    lesson.claim(f"with the recipe of 2012 {old}", factor["2012"] > 1.2)
    lesson.claim(f"with today's {new}: no advantage for ReLU", factor["today"] < 1.1)
    old, new = saturated("2012 tanh"), saturated("today tanh")
    text = "derivatives of the first tanh below 0.05 in the end:"
    text = f"{text} {old:.0%} with the recipe of 2012, {new:.0%} with today's"
    lesson.claim(text, old > 0.8 > 0.3 > new)

# %% plot
figure = lesson.figure(7.5, 4.2)
labels_of = {"xlabel": "epoch", "ylabel": "training error", "ylim": (0, 0.95)}
axes = lesson.axes(figure, title="Training with two recipes", **labels_of)
for key in RATES:
    recipe, name = key.split()
    style = {"color": COLOURS[name], "linestyle": "-" if recipe == "2012" else "--"}
    axes.plot(errors[key], linewidth=2, label=f"{name}, {recipe}", **style)
axes.axhline(TARGET, color=lesson.GREY, linestyle=":", label=f"{TARGET:.0%}")
axes.legend(frameon=False)
lesson.show(figure, "07_relu_training")

# %% [markdown]
# ## Break it
#
# ReLU has a weakness of its own. With today's recipe, both networks are trained for one
# epoch at thirty times the best rate of each, and then for two epochs at the best rate.
#
# **Before you run this:** will the two networks recover from the first epoch?

# %%
zero, after = {}, {}
for name in ("tanh", "ReLU"):
    rate, images, net = RATES[f"today {name}"], batches("today"), four_layers("today", name)
    train_epoch(net, optim.SGD(net.parameters(), lr=30 * rate, momentum=0.9), images)
    zero[name] = []
    for x, y in islice(images, 10):
        net.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        zero[name].append(not any(p.grad.any() for p in weights(net)))
    optimizer = optim.SGD(net.parameters(), lr=rate, momentum=0.9)
    after[name] = [train_epoch(net, optimizer, images) for _ in range(2)]
    print(f"  {name:<4} loss {loss.item():.2f}; {sum(zero[name])} of 10 batches have a", end=" ")
    print("gradient of exactly 0; errors of two more epochs {:.1%}, {:.1%}".format(*after[name]))

# %% answer [markdown]
# Both networks are damaged. tanh is saturated: its gradients are small, but not 0, and
# its error decreases again, slowly. Its loss is large, since the long steps made the
# weights of the last layer large. The loss of an image is $-\log p$, where p is the
# probability of its label (lesson 0). If another logit is larger than that of the label
# by d, then p is at most $e^{-d}$, and the loss at least d.
#
# ReLU has *dead units*: the long steps made their sums negative for every image, or
# nearly every. There the derivative is 0, so their weights get no gradient and cannot
# change.
#
# One layer l whose units are all dead stops nearly all weights. For the layers up to l,
# the gradient is multiplied by the derivatives of layer l, which are 0:
#
# $$
# dz_l = f'(z_l) \cdot dy_l = 0, \qquad dW_{l + 1} = dz_{l + 1} \, y_l^T = 0
# $$
#
# The second equation is the gradient of the weights of the next layer: a product with
# its input (lesson 6), and this input is 0. The layers after that get the same input
# for every image, the ReLU of a bias. If they are dead too, all gradients of weights
# are 0. In any case the output does not depend on the image. The lowest loss of a
# constant output, with ten equally frequent classes, is $-\log \frac{1}{10} = \log 10$:
# each class gets the probability 1/10 (lesson 11).
#
# The symptom to remember: a loss that stays at the logarithm of the number of classes,
# and gradients of exactly zero. The remedy is a smaller rate, from the start.

# %% claims
text = f"with ReLU, {np.mean(zero['ReLU']):.0%} of the batches have a gradient of exactly 0"
lesson.claim(f"{text}; with tanh, none", np.mean(zero["ReLU"]) > 0.7 and not any(zero["tanh"]))
near = abs(loss.item() - np.log(10)) < 0.3
lesson.claim(f"the loss is {loss.item():.2f}, near log 10 = {np.log(10):.2f}", near)
tanh, relu = (after[name][-1] for name in ("tanh", "ReLU"))
text = f"two epochs later the error is {tanh:.1%} with tanh, {relu:.1%} with ReLU"
lesson.claim(text, tanh < relu - 0.01 and relu > 0.87)

# %% [markdown]
# ## Exercises
#
# 1. Write ReLU's backward pass yourself: `tinyalex learn start 7` creates the file in
#    `my/`, `tinyalex learn check 7` checks it.
# 2. The derivative of sigmoid is a quarter at most. Initialize its weights four times
#    as large: do the gradients of the twenty layers recover? Why not fully?
# 3. Add sigmoid to the comparison. Which changes does it need before it learns
#    anything?
