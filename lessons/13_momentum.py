# %% [markdown]
"""
# 13. What do momentum, decay and schedule do to a step?

    python lessons/13_momentum.py [--seed 1] [--device cuda]

`backward()` computes a gradient. The simplest way to use it is a step in the opposite
direction, its length set by the *learning rate*. The paper does more (section 5). For
each weight w it stores a second value, its velocity v, and with the gradient g computes

    v = 0.9 * v - 0.0005 * rate * w - rate * g
    w = w + v

The first term is *momentum*: it repeats most of the last step. The second is *weight
decay*: a small step towards zero. And when the validation error stops improving, the
*schedule* divides the rate by 10. What is the effect of each of them?
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import data, nn, optim
from tinyalex import functional as F
from tinyalex.course import lesson

args = lesson.options(__doc__)

# %% [markdown]
# ## Three steps by hand
#
# One weight, initially 1, with the loss w * w and its gradient 2w; and the same with
# `optim.SGD`, which trains the networks here.
#
# Before you run this: will the second step be shorter than the first, since the
# gradient is smaller there, or longer?

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
    print(f"  step {n + 1}: v {v:+.6f}, w {w:.6f}; SGD: w {weight.item():.6f}")
lesson.claim("SGD computes the two lines", abs(w - weight.item()) < 1e-12)
lesson.claim("each step is longer than the one before", steps == sorted(steps))

# %% [markdown]
# ## How long can a step become?
#
# With a constant gradient of 1, steps grow until the tenth that v loses in each step
# equals what is added. Then we divide the rate by 10. We compare with torch's form,
# which accumulates *gradients*, b = 0.9 * b + g, and multiplies them by the current
# rate, w = w - rate * b.
#
# Before you run this: how long does a step become, as a multiple of the rate? And what
# does each of the two forms do when the rate drops?

# %%
drop = 80
position = ta.Tensor(np.array([0.0]), requires_grad=True)
optimizer = optim.SGD([position], lr=1.0, momentum=momentum)
schedule = optim.lr_scheduler.StepLR(optimizer, step_size=drop)  # divides the rate by 10
paper, torch, b = [], [], 0.0
for _ in range(2 * drop):
    optimizer.zero_grad()
    position.sum().backward()
    before, b = position.item(), momentum * b + 1
    torch.append(optimizer.param_groups[0]["lr"] * b)
    optimizer.step()
    schedule.step()
    paper.append(before - position.item())
longest, after, torch_after = paper[drop - 1], paper[drop], torch[drop]
text = f"a step grows to {longest:.2f} times the rate: 1 / (1 - momentum)"
lesson.claim(text, abs(longest * (1 - momentum) - 1) < 0.01)
same = np.allclose(paper[:drop], torch[:drop])
lesson.claim("as long as the rate is constant, the two forms agree", same)
text = f"right after the drop it is {after:.2f} in the paper's form, {torch_after:.2f} in torch's"
lesson.claim(text, after > 5 * torch_after)

# %% [markdown]
# In the paper's form v contains the rate of the step in which each gradient was added,
# so after a drop the steps shrink gradually; in torch's form they shrink at once.
#
# ## What decay does, and to which parameters
#
# Where the loss does not depend on a weight, its gradient is 0 and only decay is left.
# The paper says that decay "is not merely a regularizer: it reduces the model's
# training error" (section 5), which we do not test here. A step of rate * decay * w,
# repeated by momentum, should leave the fraction exp(-steps * rate * decay / (1 -
# momentum)). The code of 2012 has no decay for biases, and twice the rate.

# %%
unused = ta.Tensor(np.array([1.0]), requires_grad=True)
unused.grad = ta.Tensor(np.array([0.0])).data
optimizer = optim.SGD([unused], lr=rate, momentum=momentum, weight_decay=decay)
for _ in range(2000):
    optimizer.step()
left, predicted = unused.item(), np.exp(-2000 * rate * decay / (1 - momentum))
text = f"2000 steps leave {left:.3f} of such a weight; the formula predicts {predicted:.3f}"
lesson.claim(text, abs(left - predicted) < 0.001)
_, biases = optim.paper_groups(nn.Linear(3, 2), rate)
special = (biases["lr"], biases["weight_decay"]) == (2 * rate, 0)
lesson.claim("`paper_groups`: biases have twice the rate and no decay", special)

# %% [markdown]
# ## Why momentum?
#
# The loss of a network is steep in some directions and nearly flat in others, like a
# long and narrow valley. Here is a valley of two weights. A rate that is small enough
# for the steep direction makes slow progress in the flat one.
#
# Before you run this: each method may use the best of a dozen rates. How many steps
# does each need to reduce the loss to a ten-thousandth?


# %%
def descend(rate, momentum, steps=400, zero_grad=True):
    """(steps, 3): weights and loss at each step. The curvatures are 1 and 100."""
    w = ta.Tensor(np.array([-1.0, 0.1]), requires_grad=True)
    curvature = ta.Tensor(np.array([1.0, 100.0]))
    optimizer = optim.SGD([w], lr=rate, momentum=momentum)
    path = []
    for _ in range(steps):
        if zero_grad:
            optimizer.zero_grad()
        loss = (curvature * w * w).sum() / 2
        loss.backward()
        path.append((*w.numpy(), loss.item()))
        optimizer.step()
    return np.array(path)


def steps_needed(losses):
    return len(losses) - np.argmax(losses[::-1] >= losses[0] / 10_000)


best, needed = {}, {}
for m in (0.0, momentum):
    rates = np.geomspace(0.002, 0.019, 12)
    needed[m], best[m] = min((steps_needed(descend(rate, m)[:, 2]), rate) for rate in rates)
    print(f"  momentum {m}: {needed[m]} steps, at the rate {best[m]:.4f}")
lesson.claim("momentum needs less than half as many", needed[momentum] < needed[0.0] / 2)

# %% [markdown]
# With the curvature c of the steep direction, plain steps diverge there if rate > 2 /
# c: each overshoots by more than the one before. This limits the rate, and so the
# progress in the flat direction, where gradients hardly change from step to step.
# Momentum is stable up to the larger rate 2 (1 + momentum) / c, and in the flat
# direction its steps add up to 1 / (1 - momentum) times the plain step.
#
# ## On images
#
# One linear layer is trained on batches of twenty images. The gradient of such a small
# batch is noisy, and so are the weights. In one run, the last quarter has a tenth of
# the rate.
#
# Before you run this: what will the loss do when the rate drops?

# %%
curves, epochs, drop_epoch, rate = {}, 16, 12, 0.004
train = lesson.images(2000).train
normalize = data.Normalize(data.mean_image(train.images), scale=1 / train.images.std())
pixels = normalize(train.images)
runs = ("no momentum", 0.0, epochs), ("momentum", 0.9, epochs), ("rate drops", 0.9, drop_epoch)
for name, m, step_size in runs:
    ta.manual_seed(args.seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    optimizer = optim.SGD(optim.paper_groups(net, rate), lr=rate, momentum=m)
    schedule = optim.lr_scheduler.StepLR(optimizer, step_size=step_size)
    loader = data.Loader(train, 20, shuffle=True, transform=normalize, device=args.device)
    curves[name] = []
    for epoch in range(epochs):
        for images, labels in loader.epoch(epoch):
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimizer.step()
        schedule.step()
        with ta.no_grad():
            curves[name].append(F.cross_entropy(net(ta.Tensor(pixels)), train.labels).item())
    print(f"  {name:<12} " + " ".join(f"{loss:.2f}" for loss in curves[name]))
plain, constant, dropped = curves.values()
text = "momentum and the drop reach less than half the loss of plain steps of the same rate"
lesson.claim(text, dropped[-1] < plain[-1] / 2)
text = f"the first epoch after the drop is the best so far: {dropped[drop_epoch]:.2f}"
lesson.claim(text, dropped[drop_epoch] < min(constant[:drop_epoch]))

# %% [markdown]
# (Here momentum helps mainly because its steps are longer: see exercise 3.) The noise
# of the weights decreases with the rate. But a low rate learns slowly, so it should be
# used late: the paper reduces it when the validation error no longer improves, three
# times in all (section 5). `optim.lr_scheduler.ReduceLROnPlateau` implements this rule.
#
# ## Break it
#
# `backward()` *adds* to the existing gradient. Without `zero_grad()`, each step uses
# the sum of all gradients so far.
#
# Before you run this: in the valley, at the best rate found above, will the loss still
# decrease?

# %%
losses = descend(best[momentum], momentum, steps=60, zero_grad=False)[:, 2]
text = f"no error; after {len(losses)} steps the loss is {losses[-1]:.0e}; it was {losses[0]:.0e}"
lesson.claim(text, losses[-1] > 1000 * losses[0])

figure = lesson.figure(12, 3.8)
labels = {"xlabel": "weight 1 (flat)", "ylabel": "weight 2 (steep)", "ylim": (-0.14, 0.14)}
axes = lesson.axes(figure, 1, 3, 1, title="Forty steps (axes not to scale)", **labels)
x, y = np.meshgrid(np.linspace(-1.1, 0.3, 100), np.linspace(-0.14, 0.14, 100))
contours = {"levels": np.geomspace(0.005, 2, 8), "colors": lesson.GREY, "linewidths": 0.7}
axes.contour(x, y, x**2 + 100 * y**2, **contours)
for m, colour, name in ((0.0, lesson.RED, "no momentum"), (momentum, lesson.BLUE, "momentum")):
    path = descend(best[m], m, 40)
    axes.plot(path[:, 0], path[:, 1], ".-", color=colour, label=name, linewidth=1)
axes.legend(frameon=False, loc="lower right")
title, labels = "Constant gradient; the rate drops", {"xlabel": "step", "ylim": (0, 13)}
axes = lesson.axes(figure, 1, 3, 2, title=title, ylabel="step length / initial rate", **labels)
axes.plot(torch, color=lesson.RED, linewidth=2, label="torch's form")
axes.plot(paper, color=lesson.BLUE, linewidth=2, label="the paper's form")
axes.legend(frameon=False, loc="upper right")
labels = {"xlabel": "epoch", "ylabel": "training loss", "xticks": range(0, epochs + 1, 4)}
axes = lesson.axes(figure, 1, 3, 3, title="One linear layer on images", **labels)
for (name, losses), colour in zip(
    curves.items(), (lesson.RED, lesson.GREY, lesson.BLUE), strict=True
):
    axes.plot(range(1, epochs + 1), losses, color=colour, linewidth=2, label=name)
axes.set_ylim(bottom=0)
axes.legend(frameon=False, loc="lower left")
lesson.show(figure, "13_momentum")

# %% [markdown]
# The symptom to remember: the loss diverges at a rate that works in other programs.
# Check for a missing `zero_grad()` first.
#
# ## Exercises
#
# 1. Write the momentum step yourself: `tinyalex learn start 13` creates the file in
#    `my/`, `tinyalex learn check 13` checks it.
# 2. On images, let the rate drop after every 4 epochs, or 8. What is the loss at the
#    end, and why?
# 3. With momentum, steps grow to ten times the rate. Give plain steps ten times the
#    rate: do they reach the same loss on images? And in the valley?
