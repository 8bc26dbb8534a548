# %% [markdown]
"""
# 13. What do momentum, decay and schedule do to a step?

    python lessons/13_momentum.py [--seed 1] [--device cuda]

`backward()` hands us a gradient. The simplest way to use it is a step against it, its length set by the *learning rate*. The paper does
a little more (section 5). It keeps a second number beside each weight w, its velocity v, and with the gradient g does

    v = 0.9 * v  -  0.0005 * rate * w  -  rate * g
    w = w + v

The first term is *momentum*: most of the last step is taken again. The second is *weight decay*: a weak pull towards zero. And the rate
does not stay: when the validation error stops improving, it is divided by 10. That is the *schedule*. What is each of them good for?
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import data, nn, optim
from tinyalex import functional as F
from tinyalex.learning import lesson

args = lesson.options(__doc__)

# %% [markdown]
# ## Three steps by hand
#
# One weight, starting at 1, and as its loss w * w, whose gradient is 2w. Beside it runs `optim.SGD`, which trains the networks here.
#
# Before you run this: will the second step be shorter than the first, since the slope is smaller there, or longer?

# %%
rate, momentum, decay = 0.01, 0.9, 0.0005  # section 5
w, v, steps = 1.0, 0.0, []
weight = ta.Tensor(np.array([w]), requires_grad=True)
optimizer = optim.SGD([weight], lr=rate, momentum=momentum, weight_decay=decay)
for n in range(3):
    v = momentum * v - decay * rate * w - rate * 2 * w
    w = w + v
    steps.append(-v)
    optimizer.zero_grad()
    (weight * weight).sum().backward()
    optimizer.step()
    print(f"  step {n + 1}: v {v:+.6f}, w {w:.6f}; SGD says {weight.item():.6f}")
lesson.claim("SGD has the numbers of the two lines", abs(w - weight.item()) < 1e-12)
lesson.claim("each step is longer than the one before", steps == sorted(steps))

# %% [markdown]
# ## How fast can it get?
#
# On an even slope, where the gradient is always 1, steps grow until the tenth that each loses is as much as what is added. Then we divide
# the rate by 10. Beside it runs torch's form: collect *gradients*, b = 0.9 * b + g, and multiply at the end, w = w - rate * b.
#
# Before you run this: how long does a step become, in units of the rate? And what does each of the two forms do when the rate drops?

# %%
drop = 80
place = ta.Tensor(np.array([0.0]), requires_grad=True)
optimizer = optim.SGD([place], lr=1.0, momentum=momentum)
schedule = optim.lr_scheduler.StepLR(
    optimizer, step_size=drop
)  # a tenth after every `drop` calls of schedule.step()
paper, torch, b = [], [], 0.0
for _ in range(2 * drop):
    optimizer.zero_grad()
    place.sum().backward()
    before, b = place.item(), momentum * b + 1
    torch.append(optimizer.param_groups[0]["lr"] * b)
    optimizer.step()
    schedule.step()
    paper.append(before - place.item())
longest, after = paper[drop - 1], (paper[drop], torch[drop])
lesson.claim(
    f"a step grows to {longest:.2f} rates: 1 / (1 - momentum)",
    abs(longest * (1 - momentum) - 1) < 0.01,
)
lesson.claim(
    "as long as the rate stays the same, the two forms agree",
    np.allclose(paper[:drop], torch[:drop]),
)
lesson.claim(
    f"right after the drop it is {after[0]:.2f} in the paper's form, {after[1]:.2f} in torch's",
    after[0] > 5 * after[1],
)

# %% [markdown]
# In the paper's form the rate went into v when v was made, so what rolls rolls on; torch's form brakes at once.
#
# ## What decay does, and to whom
#
# Where the loss does not care about a weight, its gradient is 0 and only decay is left. The paper says that decay "is not merely a
# regularizer: it reduces the model's training error" (section 5). A pull of rate * decay a step, carried on by momentum, should leave a
# share of exp(-steps * rate * decay / (1 - momentum)). The 2012 code spares the biases, and gives them twice the rate.

# %%
idle = ta.Tensor(np.array([1.0]), requires_grad=True)
idle.grad = ta.Tensor(np.array([0.0])).data
optimizer = optim.SGD([idle], lr=rate, momentum=momentum, weight_decay=decay)
for _ in range(2000):
    optimizer.step()
kept = np.exp(-2000 * rate * decay / (1 - momentum))
lesson.claim(
    f"2000 steps leave {idle.item():.3f} of such a weight; the formula says {kept:.3f}",
    abs(idle.item() - kept) < 0.001,
)
weights, biases = optim.paper_groups(nn.Linear(3, 2), rate)
lesson.claim(
    "`paper_groups`: biases have twice the rate, no decay",
    (biases["lr"], biases["weight_decay"]) == (2 * rate, 0),
)

# %% [markdown]
# ## Why roll at all?
#
# The loss of a network has directions in which it is steep and others in which it is nearly flat, like a long and narrow valley. Here is
# one of two weights. A rate that is small enough for the walls makes a crawl along the floor.
#
# Before you run this: each method may pick its best of a dozen rates. How many steps does each need to bring the loss to a ten-thousandth?


# %%
def walk(rate, momentum, steps=400, forget=True):
    """(steps, 3): places and losses on the way down a valley that is a hundred times as steep across as along."""
    w = ta.Tensor(np.array([-1.0, 0.1]), requires_grad=True)
    optimizer = optim.SGD([w], lr=rate, momentum=momentum)
    path = []
    for _ in range(steps):
        if forget:
            optimizer.zero_grad()
        loss = (ta.Tensor(np.array([1.0, 100.0])) * w * w).sum() / 2
        loss.backward()
        path.append((*w.numpy(), loss.item()))
        optimizer.step()
    return np.array(path)


best, needed = {}, {}
for m in (0.0, momentum):
    walks = [(walk(r, m)[:, 2], r) for r in np.geomspace(0.002, 0.019, 12)]
    needed[m], best[m] = min(
        (len(losses) - np.argmax(losses[::-1] >= losses[0] / 10_000), r) for losses, r in walks
    )
    print(f"  momentum {m}: {needed[m]} steps, at the rate {best[m]:.4f}")
lesson.claim("with momentum it takes less than half as many", needed[momentum] < needed[0.0] / 2)

# %% [markdown]
# Across the valley, gradients point left and right in turn, and cancel in v. Along the floor they all point the same way, and add up.
#
# ## On pictures
#
# One linear layer learns from twenty pictures a step. The gradient of so few is a noisy guess, and the weights jitter about. One run has
# a tenth of the rate in its last quarter.
#
# Before you run this: what will the loss do in the moment in which the rate drops?

# %%
curves, epochs, fall, rate = {}, 16, 12, 0.004
train = lesson.images(2000).train
normalize = data.Normalize(data.mean_image(train.images), scale=1 / train.images.std())
for name, m, drop_after in (
    ("no momentum", 0.0, epochs),
    ("momentum", momentum, epochs),
    ("rate drops", momentum, fall),
):
    ta.manual_seed(args.seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    optimizer = optim.SGD(optim.paper_groups(net, rate), lr=rate, momentum=m)
    falls = optim.lr_scheduler.StepLR(optimizer, step_size=drop_after)
    curves[name], loader = (
        [],
        data.Loader(train, 20, shuffle=True, transform=normalize, device=args.device),
    )
    for epoch in range(epochs):
        for images, labels in loader.epoch(epoch):
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimizer.step()
        falls.step()
        with ta.no_grad():
            curves[name].append(
                F.cross_entropy(net(ta.Tensor(normalize(train.images))), train.labels).item()
            )
    print(f"  {name:<12} " + " ".join(f"{loss:.2f}" for loss in curves[name]))
slow, noisy, settled = curves.values()
lesson.claim(
    "momentum and the drop reach less than half the loss of plain steps", settled[-1] < slow[-1] / 2
)
lesson.claim(
    f"the first epoch after the drop is the best so far: {settled[fall]:.2f}",
    settled[fall] < min(noisy[:fall]),
)

# %% [markdown]
# The jitter shrinks with the rate. But a low rate is slow, and so it should come late: the paper drops it when the validation error no
# longer improves, three times in all (section 5). `optim.lr_scheduler.ReduceLROnPlateau` is that rule.
#
# ## Break it
#
# `backward()` *adds* to the gradient that is there. Forget `zero_grad()`, and each step uses the sum of all gradients so far.
#
# Before you run this: in the valley, at the rate that was best a moment ago, will it still come down?

# %%
losses = walk(best[momentum], momentum, steps=60, forget=False)[:, 2]
lesson.claim(
    f"no error; after {len(losses)} steps the loss is {losses[-1]:.0e} times that of the start",
    losses[-1] > 1000,
)

figure = lesson.figure(12, 3.8)
valley = lesson.axes(
    figure,
    1,
    3,
    1,
    title="Forty steps down a valley",
    xlabel="along",
    ylabel="across",
    ylim=(-0.14, 0.14),
)
x, y = np.meshgrid(np.linspace(-1.1, 0.3, 100), np.linspace(-0.14, 0.14, 100))
valley.contour(
    x, y, x**2 + 100 * y**2, levels=np.geomspace(0.005, 2, 8), colors=lesson.GREY, linewidths=0.7
)
for m, ink, name in ((0.0, lesson.RED, "no momentum"), (momentum, lesson.BLUE, "momentum")):
    valley.plot(*walk(best[m], m, 40)[:, :2].T, ".-", color=ink, label=name, linewidth=1)
lengths = lesson.axes(
    figure,
    1,
    3,
    2,
    title="An even slope; the rate drops",
    xlabel="step",
    ylabel="length in rates",
    ylim=(0, 13),
)
lengths.plot(torch, color=lesson.RED, linewidth=2, label="torch's form brakes at once")
lengths.plot(paper, color=lesson.BLUE, linewidth=2, label="the paper's rolls on")
training = lesson.axes(
    figure,
    1,
    3,
    3,
    title="Pictures in ten classes",
    xlabel="epoch",
    ylabel="loss over the training images",
)
for (name, losses), ink in zip(curves.items(), (lesson.RED, lesson.GREY, lesson.BLUE), strict=True):
    training.plot(range(1, epochs + 1), losses, color=ink, linewidth=2, label=name)
training.set(ylim=0, xticks=range(0, epochs + 1, 4))
for axes, corner in ((valley, "lower right"), (lengths, "upper right"), (training, "lower left")):
    axes.legend(frameon=False, loc=corner)
lesson.show(figure, "13_momentum")

# %% [markdown]
# The symptom to remember: the loss grows beyond all bounds at a rate that others train with. Look for `zero_grad()` first.
#
# ## Exercises
#
# 1. `tinyalex learn start 13` puts the momentum step into `my/`, for you to write; `tinyalex learn check 13` says what is wrong with it.
# 2. On pictures, let the rate drop after every 4 epochs, or 8. What is the loss at the end, and why?
# 3. Steps with momentum grow to ten rates. Give plain steps ten times the rate: do they catch up on pictures? And in the valley?
