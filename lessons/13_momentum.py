# %% [markdown]
"""
# 13. What do momentum, decay and schedule do to a step?

    python lessons/13_momentum.py [--seed 1] [--device cuda]

`backward()` computes a gradient. The simplest way to use it is a step in the opposite
direction, its length set by the learning rate (lesson 0). The paper does more (section
5): it adds *momentum* and *weight decay* to each step, and a *schedule* reduces the
rate during training. What is the effect of each of them?
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
# For each weight w the paper stores a second value, its *velocity* v, which starts at
# 0. With the gradient g, the momentum m = 0.9, the decay d = 0.0005 and the rate lr,
# each step computes
#
# $$
# v \leftarrow m v - d \cdot lr \cdot w - lr \cdot g
# $$
#
# $$
# w \leftarrow w + v
# $$
#
# The first term is momentum: it repeats most of the last step. The second is weight
# decay: a small step towards zero. The third is the step of lesson 0.
#
# We take one weight, initially 1, with the loss w * w and its gradient 2w; and the same
# with `optim.SGD`, which trains the networks here.
#
# **Before you run this:** will the second step be shorter than the first, since the
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

# %% answer [markdown]
# Each step is longer than the one before: it adds its own gradient to 0.9 of the last
# step, and the gradient is nearly as large as before.

# %% claims
lesson.claim("SGD computes the two lines", abs(w - weight.item()) < 1e-12)
lesson.claim("each step is longer than the one before", steps == sorted(steps))

# %% [markdown]
# ## How long can a step become?
#
# With a constant gradient g, the velocity after many steps is a geometric series:
#
# $$
# v = -lr \cdot g \, (1 + m + m^2 + m^3 + \ldots) = -\frac{lr \cdot g}{1 - m}
# $$
#
# After 80 such steps with g = 1, we divide the rate by 10. For comparison we compute
# PyTorch's form. It accumulates *gradients*, and multiplies them by the current rate:
#
# $$
# b \leftarrow m b + g, \qquad w \leftarrow w - lr \cdot b
# $$
#
# Weight decay can be predicted as well. Where the loss does not depend on a weight, its
# gradient is 0 and only decay is left. Here d * w takes the place of g. It is nearly
# constant over a few dozen steps, after which the further terms of the series are
# negligible. So each step becomes lr * d * w / (1 - m). It multiplies w by 1 - lr * d /
# (1 - m), and after n steps there remains
#
# $$
# w_n = \left(1 - \frac{lr \cdot d}{1 - m}\right)^n w_0
#     \approx e^{-n \cdot lr \cdot d / (1 - m)} \, w_0
# $$
#
# **Before you run this:** how long does a step become, as a multiple of the rate? What
# does each of the two forms do right after the rate drops? And how much of a weight
# without a gradient remains after 2000 steps with the paper's values?

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
print(f"step 81: {paper[drop]:.3f} in the paper's form, {torch[drop]:.3f} in PyTorch's")
unused = ta.Tensor(np.array([1.0]), requires_grad=True)
unused.grad = ta.Tensor(np.array([0.0])).data
optimizer = optim.SGD([unused], lr=rate, momentum=momentum, weight_decay=decay)
for _ in range(2000):
    optimizer.step()
print(f"2000 steps leave {unused.item():.3f} of a weight without a gradient")

# %% answer [markdown]
# A step grows to 1 / (1 - 0.9) = 10 times the rate. As long as the rate is constant,
# the two forms agree. In the paper's form v contains the rate of the step in which each
# gradient was added, so after the drop the steps shrink gradually; in PyTorch's form
# they shrink at once. Of the weight, exp(-2000 * 0.01 * 0.0005 / 0.1) = 90 % remains:
# decay acts over tens of thousands of steps.

# %% claims
longest, after, torch_after = paper[drop - 1], paper[drop], torch[drop]
text = f"a step grows to {longest:.2f} times the rate: 1 / (1 - momentum)"
lesson.claim(text, abs(longest * (1 - momentum) - 1) < 0.01)
same = np.allclose(paper[:drop], torch[:drop])
lesson.claim("as long as the rate is constant, the two forms agree", same)
text = f"right after the drop it is {after:.2f} in the paper's form, {torch_after:.2f} in PyTorch's"
lesson.claim(text, after > 5 * torch_after)
left, predicted = unused.item(), np.exp(-2000 * rate * decay / (1 - momentum))
text = f"decay leaves {left:.3f}; the formula predicts {predicted:.3f}"
lesson.claim(text, abs(left - predicted) < 0.001)

# %% [markdown]
# ## Why momentum?
#
# The loss of a network is steep in some directions and nearly flat in others, like a
# long and narrow valley. A valley of two weights: the loss is the sum of $c w^2 / 2$,
# with the *curvature* c = 1 for the first weight and c = 100 for the second. The
# gradient is c * w, so a plain step, without momentum, multiplies each weight by a
# constant factor:
#
# $$
# w_{t+1} = (1 - lr \cdot c) \, w_t
# $$
#
# Across the valley, |1 - 100 lr| must be below 1, so the rate is limited to 2 / 100.
# Then along the valley the factor is at least 1 - 0.02 = 0.98 a step.
#
# With momentum, v is the last step, w[t] - w[t-1]. The step becomes
#
# $$
# w_{t+1} = w_t + m (w_t - w_{t-1}) - lr \cdot c \, w_t
# $$
#
# We look for solutions that change by a constant factor r in each step. With w[t] =
# $r^t$ and a division by $r^{t-1}$ this is a quadratic equation for r:
#
# $$
# r^2 - (1 + m - lr \cdot c) \, r + m = 0
# $$
#
# The product of its two solutions is the last term, m. They are complex numbers if the
# discriminant is negative. (A complex number a + b i is a point (a, b) of a plane, with
# i * i = -1; its absolute value is its distance from 0. If complex numbers are new to
# you, read on at the result, |r| = sqrt(m).) That is the case for
#
# $$
# (1 + m - lr \cdot c)^2 < 4 m
# $$
#
# Then 1 + m - lr * c is between -2 sqrt(m) and 2 sqrt(m). Since 1 + m - 2 sqrt(m) is
# $(1 - \sqrt m)^2$, and 1 + m + 2 sqrt(m) is $(1 + \sqrt m)^2$, this is a wide range of
# rates:
#
# $$
# (1 - \sqrt{m})^2 < lr \cdot c < (1 + \sqrt{m})^2
# $$
#
# In this range the two solutions are a + b i and a - b i, with the same absolute value
# $|r| = \sqrt{a^2 + b^2}$. Their product is $a^2 + b^2$, and it is m. So
#
# $$
# |r| = \sqrt{m}
# $$
#
# whatever the curvature and the rate. (The powers of a complex number r turn around 0
# in the plane of a and b, while their distance from 0 is $|r|^t$. So the weight
# oscillates, and the oscillation shrinks by the factor |r| in each step.) If the rate
# is in this range for both curvatures, both weights shrink equally fast.
#
# **Before you run this:** the loss is to decrease to a ten-thousandth, and so each
# weight to a hundredth. How many steps does this take with the factor 0.98, and with
# sqrt(0.9)? Is a momentum of 0.7 faster or slower?


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
    too_large = np.flatnonzero(losses >= losses[0] / 10_000)
    return too_large[-1] + 1  # the index after the last loss that is too large


best, needed = {}, {}
for m in (0.0, 0.7, 0.9):
    rates = np.geomspace(0.002, 0.032, 25)
    needed[m], best[m] = min((steps_needed(descend(rate, m)[:, 2]), rate) for rate in rates)
    print(f"  momentum {m}: {needed[m]} steps at its best rate, {best[m]:.4f}")

# %% plot
figure = lesson.figure(8, 6)
x, y = np.meshgrid(np.linspace(-1.1, 0.4, 200), np.linspace(-0.2, 0.2, 100))
contours = {"levels": np.geomspace(0.002, 4, 9), "colors": lesson.GREY, "linewidths": 0.7}
for position, (m, colour) in enumerate(
    ((0.0, lesson.RED), (0.7, lesson.GREEN), (0.9, lesson.BLUE)), 1
):
    title = f"momentum {m}, rate {best[m]:.4f}: forty steps" if m else "no momentum: forty steps"
    axes = lesson.axes(figure, 3, 1, position, title=title, ylabel="weight 2")
    axes.contour(x, y, x**2 + 100 * y**2, **contours)
    path = descend(best[m], m, 40)
    axes.plot(path[:, 0], path[:, 1], ".-", color=colour, linewidth=1)
    axes.set(aspect="equal", xlim=(-1.1, 0.4), ylim=(-0.2, 0.2), yticks=(-0.1, 0, 0.1))
axes.set_xlabel("weight 1")
lesson.show(figure, "13_momentum")

# %% answer [markdown]
# $0.98^n = 1/100$ has the solution n = log 100 / -log 0.98 = 228, and
# $\sqrt{0.9}^n = 1/100$ has n = 87. For 0.7 it is n = 26: faster. (The counts of the
# run differ a little: an oscillation may be below the limit somewhat earlier or later
# than $|r|^n$, and the program only tries 25 rates.) So the most momentum is not the
# best here. The valley's best is the smallest m for which some rate is in both ranges.
# For this m, the lowest rate of the range for c = 1 is equal to the highest rate of the
# range for c = 100: $(1 - \sqrt m)^2 / 1 = (1 + \sqrt m)^2 / 100$, and
# $m = (9 / 11)^2 = 0.67$.
#
# It is often said that momentum helps since gradients across the valley cancel in v.
# The figure shows something else: plain steps cross the valley in each step, but with
# 0.9 and its best rate weight 2 swings slowly, for several steps in the same direction.
# Momentum helps since both weights shrink by the same factor, while plain steps whose
# rate is low enough across the valley are much too short along it.

# %% claims
paths = {m: descend(rate, m) for m, rate in best.items()}
# The loss is a sum of squares of weights: in 200 steps it gets the factor 400 times.
factors = {m: (path[200, 2] / path[0, 2]) ** (1 / 400) for m, path in paths.items()}
for m in (0.7, 0.9):
    text = f"momentum {m}: the factor is {factors[m]:.3f}, predicted {np.sqrt(m):.3f}"
    lesson.claim(text, abs(factors[m] - np.sqrt(m)) < 0.03)
text = f"no momentum: it is {factors[0.0]:.3f}, above 0.98"
lesson.claim(text, 0.98 < factors[0.0] < 0.99)
lesson.claim("0.9 needs less than half as many steps", needed[0.9] < needed[0.0] / 2)
lesson.claim("0.7 needs less than half as many again", needed[0.7] < needed[0.9] / 2)
turns = {m: (np.diff(np.sign(path[:40, 1])) != 0).sum() for m, path in paths.items()}
text = f"in forty steps, weight 2 changes sign {turns[0.0]} times without momentum"
lesson.claim(f"{text}, {turns[0.9]} times with 0.9", turns[0.0] > 30 > 20 > turns[0.9])

# %% [markdown]
# ## On images
#
# One linear layer is trained on batches of twenty images. The gradient of such a small
# batch is *noisy*: it differs at random from that of all images, and so the weights
# vary too. There are five runs:
#
# - plain steps;
# - plain steps with ten times the rate, which drops: the last quarter of the run has a
#   tenth of the rate. (Since momentum makes steps ten times as long, plain steps of the
#   same rate alone would be an unfair comparison.)
# - momentum;
# - momentum, and the rate drops;
# - the same without decay. The paper says that decay "is not merely a regularizer: it
#   reduces the model's training error" (section 5). (A *regularizer* is a remedy
#   against overfitting, such as dropout in lesson 10.)
#
# (`optim.paper_groups` gives the weights the paper's decay, and biases none and twice
# the rate, as in the code of 2012. `loader.epoch(e)` yields the batches of epoch e.)
#
# **Before you run this:** what will the loss do when the rate drops? And in which order
# will the five runs end, from the lowest loss to the highest?

# %%
epochs, drop_epoch, rate, curves = 16, 12, 0.004, {}
train = lesson.images(2000).train
normalize = data.Normalize(data.mean_image(train.images), scale=1 / train.images.std())
pixels = ta.Tensor(normalize(train.images))
PLAIN, FAST, CONSTANT = "plain steps", "plain, 10 times the rate, drops", "momentum"
DROPS, NO_DECAY = "momentum, drops", "momentum, drops, no decay"
runs = {PLAIN: (rate, 0.0, epochs, 0.0005), FAST: (10 * rate, 0.0, drop_epoch, 0.0005)}
runs |= {CONSTANT: (rate, 0.9, epochs, 0.0005), DROPS: (rate, 0.9, drop_epoch, 0.0005)}
runs |= {NO_DECAY: (rate, 0.9, drop_epoch, 0.0)}
for name, (lr, m, step_size, decay) in runs.items():
    ta.manual_seed(args.seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    optimizer = optim.SGD(optim.paper_groups(net, lr), lr=lr, momentum=m)
    optimizer.param_groups[0]["weight_decay"] = decay  # of the weights
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
            curves[name].append(F.cross_entropy(net(pixels), train.labels).item())
    print(f"  {name:<32}" + " ".join(f"{loss:.2f}" for loss in curves[name]))

# %% plot
figure = lesson.figure(11, 4)
title, texts = "Constant gradient; the rate drops", {"xlabel": "step", "ylim": (0, 13)}
axes = lesson.axes(figure, 1, 2, 1, title=title, ylabel="step length / initial rate", **texts)
axes.plot(torch, color=lesson.RED, linewidth=2, label="PyTorch's form")
axes.plot(paper, color=lesson.BLUE, linewidth=2, label="the paper's form")
axes.legend(frameon=False, loc="upper right")
texts = {"xlabel": "epoch", "ylabel": "training loss", "xticks": range(0, epochs + 1, 4)}
axes = lesson.axes(figure, 1, 2, 2, title="One linear layer on images", **texts)
colours = {PLAIN: lesson.RED, FAST: "#d9a21b", CONSTANT: lesson.GREY, DROPS: lesson.BLUE}
for name, colour in colours.items():
    axes.plot(range(1, epochs + 1), curves[name], color=colour, linewidth=2, label=name)
axes.set_ylim(bottom=0)
axes.legend(frameon=False)
lesson.show(figure, "13_momentum_images")

# %% answer [markdown]
# The loss decreases at once when the rate drops, since a smaller rate means less noise
# in the weights: each noisy gradient moves the weights less. More gradients are then
# added over the same distance, and their noise partly cancels. But a low rate learns
# slowly, so it should be used late: the paper reduces it when the validation error no
# longer improves, three times in all (section 5).
# `optim.lr_scheduler.ReduceLROnPlateau` implements this rule.
#
# Plain steps of the same rate end far behind. But with ten times the rate and the drop,
# they come close to momentum. Here, most of what momentum seems to do is to make steps
# longer.
#
# Without decay the training loss is a little lower. One linear layer does not confirm
# the paper's statement, which was made about a deep network.

# %% claims
plain, plain10, constant, drops, no_decay = (curve[-1] for curve in curves.values())
first = curves[DROPS][drop_epoch]
text = f"the first epoch after the drop is the best so far: {first:.2f}"
lesson.claim(text, first < min(curves[CONSTANT][:drop_epoch]))
text = f"final loss: plain {plain:.2f}, plain with ten times the rate {plain10:.2f}"
lesson.claim(f"{text}, momentum {drops:.2f}", drops < plain10 < plain / 1.5)
text = (
    f"of the advantage of momentum, the longer steps are {(plain - plain10) / (plain - drops):.0%}"
)
lesson.claim(text, plain - plain10 > 3 * (plain10 - drops))
text = f"without decay the training loss is {no_decay:.3f}, with it {drops:.3f}"
lesson.claim(text, no_decay < drops < no_decay + 0.03)

# %% [markdown]
# ## Break it
#
# `backward()` *adds* to the existing gradient. Without `zero_grad()`, each step uses
# the sum of all gradients so far. This is the formula for b with m = 1, so what is
# meant as plain steps is in fact momentum 1.
#
# **Before you run this:** what does |r| = sqrt(m) predict for 2000 plain steps down the
# valley, at a rate of a quarter of the limit?

# %%
forgotten = descend(0.005, 0.0, steps=2000, zero_grad=False)[:, 2]
correct = descend(0.005, 0.0, steps=2000)[:, 2]
relative = forgotten / forgotten[0]
low, high = relative[-500:].min(), relative[-500:].max()
print(f"loss / first loss in the last 500 steps: {low:.4f} to {high:.4f}")

# %% plot
figure = lesson.figure(8, 3.6)
title = "Plain steps in the valley: the first 300 of 2000"
axes = lesson.axes(figure, title=title, xlabel="step", ylabel="loss / first loss")
axes.plot(relative[:300], color=lesson.RED, linewidth=1, label="without zero_grad()")
axes.plot(correct[:300] / correct[0], color=lesson.BLUE, linewidth=2, label="with zero_grad()")
axes.set_ylim(0, 1.5)
axes.legend(frameon=False, loc="upper right")
lesson.show(figure, "13_momentum_zero_grad")

# %% answer [markdown]
# |r| = 1: an oscillation that never shrinks. The loss falls nearly to 0 and rises to
# its first value again and again. There is no error, and it does not diverge. (At m = 1
# the steps are those of a body that rolls in the valley without friction.)
#
# The symptom to remember: the loss falls at first, then rises and falls without end,
# and no lower rate helps. Check for a missing `zero_grad()` first.

# %% claims
text = f"after 1500 steps the loss still varies from {low:.4f} to {high:.2f} of the first"
lesson.claim(text, low < 0.05 and high > 0.9)
lesson.claim("it never exceeds the first loss by more than a fifth", relative.max() < 1.2)
lesson.claim("with zero_grad() it is below a millionth", correct[-1] < 1e-6 * correct[0])

# %% [markdown]
# ## Exercises
#
# 1. Write the momentum step yourself: `tinyalex learn start 13` creates the file in
#    `my/`, `tinyalex learn check 13` checks it.
# 2. On images, let the rate drop after every 4 epochs, or 8. What is the loss at the
#    end, and why?
# 3. Try momentum 0.67 and a rate of 0.033 in the valley. Then derive the best momentum
#    and rate for the curvatures 1 and 10,000. How many steps do they need?
# 4. Forget `zero_grad()` on images. What does the loss do, and why is it worse than in
#    the valley? (There, each step has the gradient of the same loss.)
