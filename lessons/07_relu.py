# %% [markdown]
"""
# 7. Why ReLU?

    python lessons/07_relu.py [--seed 1] [--device cuda] [--full]

Between two layers with weights there is an *activation function*, applied to each
element. Without one, two linear layers would be equivalent to one. For decades it was
S-shaped and smooth: the *sigmoid* 1 / (1 + e**-x), between 0 and 1, or *tanh*, between
-1 and 1. AlexNet uses max(0, x), the *rectified linear unit*, ReLU. The paper lists it
first among its new features, as the most important one (section 3.1), and its figure 1
shows a four-layer network on CIFAR-10 that reaches 25 % training error six times as
fast with ReLU as with tanh. We examine how activation functions affect gradients, and
run a small comparison. Its result may surprise you.
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import data, nn, optim
from tinyalex import functional as F
from tinyalex.course import lesson
from tinyalex.nn import init

args = lesson.options(__doc__)
rng = np.random.default_rng(args.seed)
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "ReLU": nn.ReLU}
COLOURS = {"sigmoid": lesson.GREY, "tanh": lesson.RED, "ReLU": lesson.BLUE}

# %% [markdown]
# ## Derivatives
#
# In the backward pass, an activation function multiplies the gradient by its
# derivative, element by element. Where the derivative is 0, no gradient passes.
#
# Before you run this: where is the derivative of each function largest, and how large
# is it at x = 5?


# %%
def derivative(name, x):
    x = ta.Tensor(x, requires_grad=True)
    ACTIVATIONS[name]()(x).sum().backward()
    return ta.Tensor(x.grad).numpy()


x = np.linspace(-6, 6, 1201)
for name in ACTIVATIONS:
    largest, at_5 = derivative(name, x).max(), derivative(name, np.array([5.0]))[0]
    print(f"  {name:<8} largest derivative {largest:.4f}, at x = 5 {at_5:.4f}")
quarter = np.isclose(derivative("sigmoid", x).max(), 0.25)
lesson.claim("the derivative of sigmoid is a quarter at most", quarter)
near, far = derivative("ReLU", x), derivative("ReLU", 10 * x)
text = "that of ReLU is 0 or 1, and the same for 10x as for x"
lesson.claim(text, set(near) == {0, 1} and np.array_equal(near, far))

# %% [markdown]
# For large |x|, sigmoid and tanh are flat: they *saturate*. ReLU never saturates for
# positive x.
#
# ## Twenty layers
#
# On its way to the first layer, a gradient is multiplied in each layer by the
# derivative of the activation function, and by the weights. We stack twenty layers of
# 100 units and compute the *norm* of each layer's gradient. The initial weights suit
# the activation function: they keep the size of the signals in the forward pass, with
# twice the variance for ReLU, which sets half of the elements to 0 (lesson 12).
#
# Before you run this: how large will the gradient of the first sigmoid layer be,
# compared with that of the last?


# %%
def weights(net):
    return [p for p in net.parameters() if p.ndim > 1]


def initialize(net, name):
    gain = 2 if name == "ReLU" else 1
    for p in net.parameters():
        init.normal_(p, std=np.sqrt(gain / init.fan_in(p))) if p.ndim > 1 else init.zeros_(p)


x, labels, norms = rng.standard_normal((200, 100)).astype("f"), rng.integers(0, 10, 200), {}
for name, activation in ACTIVATIONS.items():
    layers = (layer for _ in range(20) for layer in (nn.Linear(100, 100), activation()))
    net = nn.Sequential(*layers, nn.Linear(100, 10)).to(args.device)
    initialize(net, name)
    F.cross_entropy(net(ta.Tensor(x)), labels).backward()
    norms[name] = [np.linalg.norm(ta.Tensor(p.grad).numpy()) for p in weights(net)[:20]]
    print(f"  {name:<8}", "   ".join(f"layer {n}: {norms[name][n - 1]:.1e}" for n in (1, 10, 20)))
ratio = {name: norm[0] / norm[-1] for name, norm in norms.items()}
text = f"sigmoid: the gradient of layer 1 is {ratio['sigmoid']:.0e} times that of layer 20"
lesson.claim(text, ratio["sigmoid"] < 1e-6)
lesson.claim("tanh and ReLU: more than a hundredth", min(ratio["tanh"], ratio["ReLU"]) > 0.01)

# %% [markdown]
# This is the *vanishing gradient* problem, the reason not to use sigmoid between
# layers. But with suitable initial weights, the gradients of tanh do not vanish. So why
# was it slower in 2012?
#
# ## The comparison
#
# A network of four layers with weights, three of them convolutions, is trained with SGD
# and momentum (lesson 13) until its training error is a quarter. Each network is
# trained with several *learning rates*, and the best result counts, as in the paper.
# There are two recipes. "2012" is close to the authors' own programs for CIFAR-10:
# pixels from 0 to 255, minus their mean, and very small initial weights. "today" scales
# pixels to a standard deviation of 1, and initialises weights as above. We count
# epochs: in one epoch each image is used once. Images are synthetic shapes; `--full`
# uses CIFAR-10.
#
# Before you run this: which is faster, with which recipe, and by how much?

# %%
train = lesson.images(50_000).train if args.full else data.shapes(2000, 0, seed=args.seed)[0]
batch, width, max_epochs = (128, 32, 20) if args.full else (50, 16, 12)
TARGET = 0.25
SIGMAS = (1e-4, 0.01, 0.01, 0.1)  # as in cuda-convnet's quick network, which has one layer more
RATES = {  # best on shapes first; slower runs are stopped early; the third for --full
    "2012": {"tanh": (0.01, 0.003, 0.03), "ReLU": (0.001, 0.0003, 0.003)},
    "today": {"tanh": (0.03, 0.01, 0.1), "ReLU": (0.01, 0.003, 0.03)},
}


def four_layers(recipe, name):
    ta.manual_seed(args.seed)
    activation = ACTIVATIONS[name]
    layers = [nn.Conv2d(3, width, 5, stride=2, padding=2), activation()]
    for channels in (width, 2 * width):
        layers += [nn.Conv2d(width, channels, 5, padding=2), activation()]
        layers += [nn.MaxPool2d(3, 2, ceil_mode=True)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(2 * width * 4 * 4, 10)).to(args.device)
    initialize(net, name)
    if recipe == "2012":
        for p, sigma in zip(weights(net), SIGMAS, strict=True):
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


def epochs_needed(errors):
    """Epochs until the target, with a fraction of the last one by interpolation."""
    before, last = errors[-2:]
    return np.inf if last > TARGET else len(errors) - 2 + (before - TARGET) / (before - last)


best, needed, saturated = {}, {}, {}
for recipe, name in [(r, name) for r in RATES for name in RATES[r]]:
    key, limit = (recipe, name), max_epochs
    for rate in RATES[recipe][name][: 3 if args.full else 2]:
        net, images, errors = four_layers(recipe, name), batches(recipe), [0.9]
        optimizer = optim.SGD(net.parameters(), lr=rate, momentum=0.9)
        while len(errors) <= limit and errors[-1] > TARGET:
            errors.append(train_epoch(net, optimizer, images))
        percent = " ".join(f"{100 * error:.0f} %" for error in errors[1:])
        print(f"  {recipe:<5} {name:<4} rate {rate:<6g} errors {percent}")
        result = epochs_needed(errors), errors[-1]
        if key not in best or result <= (needed[key], best[key][-1]):
            best[key], needed[key], limit = errors, result[0], len(errors) - 1
            first_layer = net[0](next(iter(images))[0]).data
            saturated[key] = (derivative(name, first_layer) < 0.05).mean()
for key, epochs in needed.items():
    recipe, name = key
    print(f"{recipe:<5} {name:<4} {epochs:.1f} epochs; then {saturated[key]:.0%}", end="")
    print(" of the derivatives of the first activation are below 0.05")
factor = {recipe: needed[recipe, "tanh"] / needed[recipe, "ReLU"] for recipe in RATES}
if args.full:
    lesson.skip("the results", "the claims are about the synthetic shapes")
else:
    text = f"with the recipe of 2012 tanh needs {factor['2012']:.1f} times the epochs of ReLU"
    lesson.claim(text, factor["2012"] > 1.2)
    text = f"with today's, {factor['today']:.1f} times: ReLU has no advantage"
    lesson.claim(text, factor["today"] < 1.1)
    only_2012 = saturated["2012", "tanh"] > 0.8 > 0.3 > saturated["today", "tanh"]
    lesson.claim("the recipe of 2012 saturates the first tanh, today's does not", only_2012)

# %% [markdown]
# So ReLU has an advantage, which depends on the rest of the recipe. Large pixels
# saturate tanh, and saturated units hardly learn. ReLU does not saturate: about half of
# its derivatives are 0, and the others are 1. With inputs of a suitable scale, and only
# four layers, tanh is as fast. This small comparison does not prove that the paper's
# factor was only a matter of scale. But ReLU is less sensitive to the scale.
#
# ## Break it
#
# ReLU has a weakness of its own. With today's recipe we train both for one epoch at a
# rate ten times the best of tanh (which is an even larger multiple of the best of
# ReLU).
#
# Before you run this: with ten classes, what is the loss of a network whose output does
# not depend on its input?

# %%
for name in ("tanh", "ReLU"):
    net, images = four_layers("today", name), batches("today")
    optimizer = optim.SGD(net.parameters(), lr=10 * RATES["today"]["tanh"][0], momentum=0.9)
    train_epoch(net, optimizer, images)
    net.zero_grad()
    x, y = next(iter(images))
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    largest = max(abs(p.grad).max().item() for p in weights(net))
    print(f"  {name:<4} loss {loss.item():.2f}, largest gradient of all weights {largest:.1e}")
lesson.claim("with ReLU, the gradient of every weight is exactly 0", largest == 0)
chance = abs(loss.item() - np.log(10)) < 0.2
lesson.claim(f"and the loss is about ln 10 = {np.log(10):.2f}, that of random guesses", chance)

# %% [markdown]
# *Dead units*: too long a step has made their inputs negative for every image. There
# the derivative is 0, so their weights get no gradient and cannot recover. One dead
# layer is enough to zero all gradients of weights: the layers before it receive a
# gradient of 0, and those after it an input of 0. At this rate tanh learns badly too,
# but its gradients are not 0.
#
# The symptom to remember: a loss that stays at the logarithm of the number of classes,
# and gradients of exactly zero. The remedy is a smaller rate, from the start.

# %%
figure = lesson.figure(10.5, 4.4)
labels = {"xlabel": "layer", "ylabel": "norm of the gradient", "xticks": (1, 5, 10, 15, 20)}
axes = lesson.axes(figure, 1, 2, 1, title="Gradients in twenty layers", yscale="log", **labels)
for name, values in norms.items():
    axes.plot(range(1, 21), values, color=COLOURS[name], linewidth=2, label=name)
axes.legend(frameon=False)
labels = {"xlabel": "epoch", "ylabel": "training error", "ylim": (0, 0.95)}
axes = lesson.axes(figure, 1, 2, 2, title="Training with two recipes", **labels)
for (recipe, name), errors in best.items():
    style = {"color": COLOURS[name], "linestyle": "-" if recipe == "2012" else "--"}
    axes.plot(errors, linewidth=2, label=f"{name}, {recipe}", **style)
axes.axhline(TARGET, color=lesson.GREY, linestyle=":", label=f"{TARGET:.0%}")
axes.legend(frameon=False)
lesson.show(figure, "07_relu")

# %% [markdown]
# ## Exercises
#
# 1. Write ReLU's backward pass yourself: `tinyalex learn start 7` creates the file in
#    `my/`, `tinyalex learn check 7` checks it.
# 2. The derivative of sigmoid is a quarter at most. Initialise its weights four times
#    as large: do the gradients of the twenty layers recover? Why not fully?
# 3. Add sigmoid to the comparison. What does it need to learn at all?
