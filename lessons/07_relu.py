# %% [markdown]
"""
# 7. Why ReLU?

    python lessons/07_relu.py [--seed 1] [--device cuda] [--full]

Between two layers with weights stands a *unit*: a fixed curve that each number goes through. Without one, two layers would be no more
than one, since a sum of sums is a sum. For decades the curve was a smooth S: the *sigmoid* 1 / (1 + e**-x), between 0 and 1, or *tanh*,
between -1 and 1. AlexNet has max(0, x), the *rectified linear unit*, ReLU. In the paper it is the first of the new features, the most
important one (section 3.1), and figure 1 shows a four-layer network on CIFAR-10 that reaches 25 % training error six times as fast with
ReLU as with tanh. We look at what the curves do to gradients, and run a small race of our own. It has a surprise.
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import data, nn, optim
from tinyalex import functional as F
from tinyalex.learning import lesson
from tinyalex.nn import init

args = lesson.options(__doc__)
random = np.random.default_rng(args.seed)
UNITS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "ReLU": nn.ReLU}
COLOURS = {"sigmoid": lesson.GREY, "tanh": lesson.RED, "ReLU": lesson.BLUE}

# %% [markdown]
# ## Slopes
#
# On the way back, a unit multiplies the gradient by its slope, at each number. A slope of 0 stops it. Before you run this: where is each
# curve steepest, and what is left of its slope at x = 5?


# %%
def slopes(unit, x):
    x = ta.Tensor(x, requires_grad=True)
    unit()(x).sum().backward()
    return ta.Tensor(x.grad).numpy()


line = np.linspace(-6, 6, 1201)
for name, unit in UNITS.items():
    print(
        f"  {name:<8} steepest {slopes(unit, line).max():.4f}, at x = 5 {slopes(unit, np.array([5.0]))[0]:.4f}"
    )
lesson.claim(
    "sigmoid passes on a quarter at most", np.isclose(slopes(nn.Sigmoid, line).max(), 0.25)
)
passed, far = slopes(nn.ReLU, line), slopes(nn.ReLU, 10 * line)
lesson.claim(
    "ReLU passes on all or nothing, for ten times x as for x",
    set(passed) == {0, 1} and np.array_equal(passed, far),
)

# %% [markdown]
# Far out, sigmoid and tanh are flat: they *saturate*. To the right of 0 ReLU never does: for it no number is "far out".
#
# ## Twenty layers deep
#
# A gradient on its way to the first layer is multiplied by a slope in each layer, and by the weights. We stack twenty layers of 100 units
# and look at the *norm* of each layer's gradient, the length of that long arrow. The weights start with the size that suits the unit:
# large enough for the numbers to keep their size on the way forward; twice the variance for ReLU, which lets half of them through.
#
# Before you run this: how much will the first layer of the sigmoid network hear of the loss?


# %%
def start(net, unit):
    for p in net.parameters():
        init.normal_(
            p, std=np.sqrt((2 if unit == "ReLU" else 1) / init.fan_in(p))
        ) if p.ndim > 1 else init.zeros_(p)


x, labels, norms = random.standard_normal((200, 100)).astype("f"), random.integers(0, 10, 200), {}
for name, unit in UNITS.items():
    net = nn.Sequential(
        *(layer for _ in range(20) for layer in (nn.Linear(100, 100), unit())), nn.Linear(100, 10)
    ).to(args.device)
    start(net, name)
    F.cross_entropy(net(ta.Tensor(x)), labels).backward()
    norms[name] = [
        np.linalg.norm(ta.Tensor(p.grad).numpy()) for p in net.parameters() if p.ndim > 1
    ][:-1]
    print(
        f"  {name:<8} layer 1: {norms[name][0]:.1e}   layer 10: {norms[name][9]:.1e}   layer 20: {norms[name][19]:.1e}"
    )
fall = {name: norm[0] / norm[-1] for name, norm in norms.items()}
lesson.claim(
    f"in the sigmoid network, layer 1 hears {fall['sigmoid']:.0e} of what layer 20 hears",
    fall["sigmoid"] < 1e-6,
)
lesson.claim(
    "with tanh and with ReLU, more than a hundredth", min(fall["tanh"], fall["ReLU"]) > 0.01
)

# %% [markdown]
# This is the *vanishing gradient*, and the end of sigmoid between layers. But tanh, well started, holds out. So why did it lose in 2012?
#
# ## The race
#
# Four layers with weights, three of them convolutions, trained until only a quarter of the answers on the training images is wrong. Each
# network tries several *learning rates*, the lengths of its steps, and its best counts, as in the paper. There are two recipes. "2012" is
# near that of the authors' own programs for CIFAR-10: pixels from 0 to 255, less their mean, and weights that start tiny. "today" makes
# pixels of size 1, and starts weights as above. We count epochs: one shows each image once. Shapes are drawn here; `--full` is CIFAR-10.
#
# Before you run this: who wins, in which recipe, and by how much?

# %%
train = lesson.images(50_000).train if args.full else data.shapes(2000, 0, seed=args.seed)[0]
batch, width, most = (128, 32, 20) if args.full else (50, 16, 12)
TARGET, SIGMAS = (
    0.25,
    (1e-4, 0.01, 0.01, 0.1),
)  # as in cuda-convnet's quick network, which has one layer more at the end
RATES = {  # the best on shapes first, and the next is given up when it is slower; the third is for --full
    "2012": {"tanh": (0.01, 0.003, 0.03), "ReLU": (0.001, 0.0003, 0.003)},
    "today": {"tanh": (0.03, 0.01, 0.1), "ReLU": (0.01, 0.003, 0.03)},
}


def four_layers(recipe, unit):
    ta.manual_seed(args.seed)
    one = [nn.Conv2d(3, width, 5, stride=2, padding=2), UNITS[unit]()]
    two = [nn.Conv2d(width, width, 5, padding=2), UNITS[unit](), nn.MaxPool2d(3, 2, ceil_mode=True)]
    three = [
        nn.Conv2d(width, 2 * width, 5, padding=2),
        UNITS[unit](),
        nn.MaxPool2d(3, 2, ceil_mode=True),
    ]
    net = nn.Sequential(*one, *two, *three, nn.Flatten(), nn.Linear(2 * width * 4 * 4, 10)).to(
        args.device
    )
    start(net, unit)
    if recipe == "2012":
        for p, sigma in zip((p for p in net.parameters() if p.ndim > 1), SIGMAS, strict=True):
            init.normal_(p, std=sigma)
    return net


def batches(recipe):
    look = data.Normalize(
        data.mean_image(train.images),
        scale=1 if recipe == "2012" else float(1 / train.images.std()),
    )
    return data.Loader(train, batch, shuffle=True, transform=look, device=args.device)


def epoch(net, optimizer, images):
    wrong = 0
    for x, y in images:
        optimizer.zero_grad()
        answers = net(x)
        F.cross_entropy(answers, y).backward()
        optimizer.step()
        wrong += int((answers.data.argmax(axis=1) != y).sum())
    return wrong / len(train)


best, took, flat = {}, {}, {}
for recipe, unit in ((r, u) for r in RATES for u in RATES[r]):
    limit = most
    for rate in RATES[recipe][unit][: 3 if args.full else 2]:
        net, images, errors = four_layers(recipe, unit), batches(recipe), [0.9]
        optimizer = optim.SGD(net.parameters(), lr=rate, momentum=0.9)
        while len(errors) <= limit and errors[-1] > TARGET:
            errors.append(epoch(net, optimizer, images))
        print(
            f"  {recipe:<5} {unit:<4} rate {rate:<6g} errors {' '.join(f'{100 * e:.0f} %' for e in errors[1:])}"
        )
        before, last = errors[-2:]  # and of the last epoch only the part that it took:
        epochs = np.inf if last > TARGET else len(errors) - 2 + (before - TARGET) / (before - last)
        if (epochs, last) <= (
            took.get((recipe, unit), np.inf),
            best.get((recipe, unit), errors)[-1],
        ):
            best[recipe, unit], took[recipe, unit], limit = errors, epochs, len(errors) - 1
            flat[recipe, unit] = (
                slopes(UNITS[unit], net[0](next(iter(images))[0]).data) < 0.05
            ).mean()
for (recipe, unit), epochs in took.items():
    print(
        f"{recipe:<5} {unit:<4} {epochs:.1f} epochs; then {flat[recipe, unit]:.0%} of the first unit's slopes are below 0.05"
    )
lead = {recipe: took[recipe, "tanh"] / took[recipe, "ReLU"] for recipe in RATES}
if args.full:
    lesson.skip("what the race shows", "what is said of it below is said of the drawn shapes")
else:
    lesson.claim(
        f"in the recipe of 2012 tanh needs {lead['2012']:.1f} times the epochs of ReLU",
        lead["2012"] > 1.2,
    )
    lesson.claim(
        f"in today's {lead['today']:.1f} times: ReLU has lost its lead", lead["today"] < 1.1
    )
    lesson.claim(
        "2012's recipe saturates tanh's first unit, today's not",
        flat["2012", "tanh"] > 0.8 > 0.3 > flat["today", "tanh"],
    )

# %% [markdown]
# So the lead is real, and it depends on the rest of the recipe. Large pixels drive tanh into its flat ends, where it hardly learns. ReLU
# has no such end: about half of its slopes are 0, and the others stay 1. Give tanh numbers of the size it likes, and over four layers it
# keeps up. Ours is a small race, and no proof that the paper's factor was all a matter of scale. But ReLU forgives a bad one.
#
# ## Break it
#
# ReLU has a weakness of its own. We give both units, in today's recipe, a rate ten times as large as tanh's best, for one epoch.
#
# Before you run this: which loss do you expect, with ten classes, of a network that knows nothing?

# %%
for unit in ("tanh", "ReLU"):
    net, images = four_layers("today", unit), batches("today")
    epoch(net, optim.SGD(net.parameters(), lr=10 * RATES["today"]["tanh"][0], momentum=0.9), images)
    net.zero_grad()
    x, y = next(iter(images))
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    largest = max(abs(p.grad).max().item() for p in net.parameters() if p.ndim > 1)
    print(f"  {unit:<4} loss {loss.item():.2f}, the largest slope of all weights {largest:.1e}")
lesson.claim("with ReLU, the gradient of every weight is exactly 0", largest == 0)
lesson.claim(
    f"and the loss is about ln 10 = {np.log(10):.2f}, that of guessing",
    abs(loss.item() - np.log(10)) < 0.2,
)

# %% [markdown]
# *Dead units*: a step too long has pushed them below zero for every picture. There the slope is 0, so nothing pulls them back. tanh at
# this rate is in a bad way too, but it still has slopes. The symptom to remember: a loss that stands still at the logarithm of the number
# of classes, and gradients of exactly zero. The cure is a smaller rate, from the start.

# %%
figure = lesson.figure(10.5, 4.4)
axes = lesson.axes(
    figure,
    1,
    2,
    1,
    title="Norm of each layer's gradient",
    xlabel="layer",
    xticks=(1, 5, 10, 15, 20),
    yscale="log",
)
for name in UNITS:
    axes.plot(range(1, 21), norms[name], color=COLOURS[name], linewidth=2, label=name)
axes.legend(frameon=False)
axes = lesson.axes(
    figure, 1, 2, 2, title="Training error in the race", xlabel="epoch", ylim=(0, 0.95)
)
for (recipe, unit), errors in best.items():
    axes.plot(
        errors,
        color=COLOURS[unit],
        linestyle="-" if recipe == "2012" else "--",
        linewidth=2,
        label=f"{unit}, {recipe}",
    )
axes.axhline(TARGET, color=lesson.GREY, linestyle=":", label=f"{TARGET:.0%}")
axes.legend(frameon=False)
lesson.show(figure, "07_relu")

# %% [markdown]
# ## Exercises
#
# 1. `tinyalex learn start 7` puts ReLU into `my/`, its backward for you to write; `tinyalex learn check 7` says what is wrong with it.
# 2. Sigmoid's slope is a quarter at most. Start its weights four times as large: does the twenty-layer stack come alive? Why not quite?
# 3. Let sigmoid take part in the race. What does it take to make it move at all?
