# %% [markdown]
"""
# 17. CIFAR-10 for real: which differences are real?

    python lessons/17_cifar10.py [--seed 1] [--device cuda] [--full]

The paper says that overlapping pooling reduces the top-1 error by 0.4 % (section 3.4).
The lessons before this one compared networks too, with one or two runs each. Would the
result be the same with other test images, and with another seed? An error that was
measured has an error itself. Lesson 14 computed it for one network; here we verify that
formula, and then derive the error of the difference of two. With this we judge an
experiment on CIFAR-10: a small AlexNet, from which one of its parts is removed at a
time. At the end we look at the most common way to get a good result that is not true.
"""

# %%
import inspect
import math
from pathlib import Path

import numpy as np

import tinyalex as ta
from tinyalex import data, nn, optim
from tinyalex import functional as F
from tinyalex.course import ablations, lesson
from tinyalex.nn import init

args = lesson.options(__doc__)
rng = np.random.default_rng(args.seed)

# %% [markdown]
# ## Twenty networks that differ by nothing but the seed
#
# We need networks to judge. These are small: a hidden layer of 32 units, trained for
# four epochs on 1500 images. They differ only in the seed of the initial weights and of
# the order of the images. `wrong` has one row for each network, and one column for each
# of 6000 other images: 1 if the network's prediction is wrong, otherwise 0.

# %%
train, pool, _ = lesson.images(1500, 6000)
normalize = data.Normalize(data.mean_image(train.images), scale=1 / train.images.std())
loader = data.Loader(train, 50, shuffle=True, transform=normalize, device=args.device)
pool_images = ta.Tensor(normalize(pool.images)).to(args.device)
wrong = []
for seed in range(20):
    ta.manual_seed(1000 * args.seed + seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 32), nn.ReLU(), nn.Linear(32, 10))
    init.kaiming_(net.to(args.device))
    optimizer = optim.SGD(net.parameters(), lr=0.005, momentum=0.9)
    for epoch in range(4):
        for x, labels in loader.epoch(epoch):
            optimizer.zero_grad()
            F.cross_entropy(net(x), labels).backward()
            optimizer.step()
    with ta.no_grad():
        wrong.append(net(pool_images).numpy().argmax(axis=1) != pool.labels)
wrong = np.array(wrong, float)
errors = wrong.mean(axis=1)
print(f"errors on {len(pool)} images: {errors.min():.1%} to {errors.max():.1%}")

# %% [markdown]
# ## The error of an error
#
# From lesson 1: the *variance* of a random value is the mean of its squared distance
# from its mean, and its root is the *standard deviation*, the size of a typical
# deviation. The variance is also the mean of the square minus the square of the mean.
#
# Lesson 14 derived the standard error with z and e; here they are called w and p. Let p
# be the error of a network on *all* images of this kind. We cannot measure p; we test n
# images, chosen at random. Let w be 1 for an image with a wrong prediction,
# otherwise 0. The mean of w over all images is p, and so is the mean of its square,
# since 0 and 1 are their own squares. So the variance of w is $p - p^2$. The variance
# of a sum of n independent values is the sum of their variances, and dividing by n
# divides the variance by $n^2$. The *standard error* is the standard deviation of the
# measured error:
#
# $$
# se = \sqrt{\frac{n \, (p - p^2)}{n^2}} = \sqrt{\frac{p (1 - p)}{n}}
# $$
#
# To verify it, let the 6000 images be all images there are. Then p is known, and we can
# test the first network as often as we like, each time on n images drawn at random. (An
# image may be drawn more than once; so n can be larger than 6000.)
#
# **Before you run this:** how many times as many images halve the standard error? And
# is the standard error with 100 images below 1 %, or above?

# %%
first = wrong[0]
measured, formula = {}, {}
for n in (100, 400, 1600, 6400):
    choices = rng.integers(0, len(pool), (2000, n))  # 2000 tests of n images
    measured[n] = first[choices].mean(axis=1).std()
    formula[n] = math.sqrt(errors[0] * (1 - errors[0]) / n)
    print(f"  {n:>4} images: standard deviation of the errors {measured[n]:.2%}", end="")
    print(f", formula {formula[n]:.2%}")

# %% answer [markdown]
# Four times as many images halve it, since n is under the root. With 100 images it is
# nearly 5 %: two tests of the *same* network often differ by that much. The mean of
# many independent values has nearly a normal distribution (lesson 14), so about two
# thirds of the measured errors are within one standard error of p, and 95 % within two.
# The formula also says how many images a result needs. To know an error near 50 % up to
# one standard error of 1 %, 2500 images are needed, and for 0.1 %, a quarter of a
# million.

# %% claims
text = "the formula is right within a few per cent, for each n"
ratios = [measured[n] / formula[n] for n in measured]
lesson.claim(text, max(abs(r - 1) for r in ratios) < 0.08)
text = f"16 times as many images have {formula[1600] / formula[100]:.2f} times the standard error"
lesson.claim(text, math.isclose(formula[1600] / formula[100], 1 / 4))
lesson.claim("with 100 images it is more than 3 %", measured[100] > 0.03)
distance = abs(first[choices].mean(axis=1) - errors[0]) / formula[n]  # of the last n
one, two = (distance < 1).mean(), (distance < 2).mean()
text = f"n = {n}: {one:.0%} are within one standard error, {two:.0%} within two"
lesson.claim(text, 0.62 < one < 0.74 and 0.93 < two < 0.975)

# %% [markdown]
# ## The error of a difference
#
# To compare two networks, test both, and subtract their errors A and B. Let a and b be
# the deviations of A and B from their means. The mean of $(a - b)^2 = a^2 + b^2 - 2ab$
# is
#
# $$
# Var(A - B) = Var(A) + Var(B) - 2 \, Cov(A, B)
# $$
#
# where the *covariance* Cov(A, B) is the mean of ab: positive if A and B tend to be
# high at the same time, and 0 if they are independent.
#
# If the networks are tested on *different* images, A and B are independent, and the
# variances add: the standard error of the difference is $\sqrt 2$ times that of one. If
# both are tested on the *same* images, the comparison is *paired*. An image that is
# difficult for one network is usually difficult for the other. Let rho be the
# *correlation* of the two rows of `wrong`: their covariance, divided by both standard
# deviations, a number from -1 to 1. If the networks have nearly the same p, Cov(A, B)
# is rho * Var(A), and
#
# $$
# Var(A - B) = \frac{2 \, p (1 - p) \, (1 - rho)}{n}
# $$
#
# **Before you run this:** what part of the variance will remain if both networks are
# tested on the same images? Guess rho, for two networks that differ in the seed only.

# %%
wrong_a, wrong_b = wrong[:2]
rho, n = np.corrcoef(wrong_a, wrong_b)[0, 1], 400
choices, others = rng.integers(0, len(pool), (2, 2000, n))
same_images = (wrong_a[choices] - wrong_b[choices]).mean(axis=1).std()
other_images = (wrong_a[choices] - wrong_b[others]).mean(axis=1).std()
p = errors[:2].mean()
predicted = math.sqrt(2 * p * (1 - p) * (1 - rho) / n)
print(f"A: {errors[0]:.1%}, B: {errors[1]:.1%}; correlation rho: {rho:.2f}")
print(f"standard deviation of A - B on {n} images: other images {other_images:.2%}", end="")
print(f", the same images {same_images:.2%}, formula {predicted:.2%}")

# %% answer [markdown]
# rho is well above 0: mostly the same images are difficult for both. The fraction rho
# of the variance is saved, and pairing costs nothing. Only the images on which exactly
# one of the two is wrong make a difference; the others cancel. Let them be the part f
# of all images. The difference of the two values of w is 1 or -1 for these images and 0
# for the others, so the mean of its square is f. If both networks have nearly the same
# p, its mean is nearly 0, and f is its variance. So there is a simple rule: the
# standard error of the difference is about $\sqrt{f / n}$.

# %% claims
saved = 1 - (same_images / other_images) ** 2
text = f"the same images save {saved:.0%} of the variance; rho is {rho:.2f}"
lesson.claim(text, abs(saved - rho) < 0.12 and rho > 0.2)
ratio = same_images / predicted
lesson.claim("the formula is right within a few per cent", abs(ratio - 1) < 0.08)
different = (wrong_a != wrong_b).mean()
text = (
    f"exactly one of the two is wrong on {different:.0%} of the images: sqrt({different:.2f} / n)"
)
expected = math.sqrt(different / n)
lesson.claim(f"{text} is {expected:.2%}", abs(expected / predicted - 1) < 0.02)

# %% [markdown]
# ## The error of a seed
#
# A standard error from n test images answers one question only: what would *these
# weights* do on other images? A method is more than its weights. With another seed, the
# same method has other weights, and another error. So a difference of two methods has
# to be measured with several seeds. With N seeds there are N differences d, with the
# mean D and the standard deviation s:
#
# $$
# s^2 = \frac{1}{N - 1} \sum_i (d_i - D)^2, \qquad se = \frac{s}{\sqrt N}
# $$
#
# (N - 1 and not N, because the d are closer to their own mean D than to the true one.)
# If s were known exactly, D would be within 1.96 se of the true difference in 95 % of
# all cases: this holds for normal random numbers. But s is computed from the same N
# values. Let us try it with N = 5, with random numbers whose true mean is 0, a hundred
# thousand times.
#
# **Before you run this:** in what part of the cases is the true mean, 0, *outside* of
# the interval D - 1.96 se to D + 1.96 se?

# %%
d = rng.standard_normal((100_000, 5))
D, se = d.mean(axis=1), d.std(axis=1, ddof=1) / math.sqrt(5)  # ddof=1: divide by N - 1
outside = {t: (abs(D) > t * se).mean() for t in (1.96, 2.776)}
for t, part in outside.items():
    print(f"  D - {t} se to D + {t} se: the true mean is outside in {part:.1%} of the cases")

# %% answer [markdown]
# More than twice as often as promised: where s happens to be too small, so is the
# interval. The right factor for five values is 2.776. It is a number of *Student's t
# distribution*, the distribution of D / se if the true mean is 0: 2.5 % of the values
# are above 2.776 and 2.5 % below -2.776. The number depends on N - 1 (here 4, called
# the *degrees of freedom*), and can be looked up in a table:
#
# | N | 5 | 6 | 7 | 8 | 10 |
# |---|---|---|---|---|---|
# | t | 2.776 | 2.571 | 2.447 | 2.365 | 2.262 |
#
# The *t interval* is D - 2.776 se to D + 2.776 se. If 0 is outside of it, we say that
# the difference is *significant*: two equally good methods would show such a difference
# in one of twenty experiments.

# %% claims
text = (
    f"with 1.96, {outside[1.96]:.1%} are outside instead of 5 %; with 2.776, {outside[2.776]:.1%}"
)
lesson.claim(text, outside[1.96] > 0.11 and abs(outside[2.776] - 0.05) < 0.005)

# %% [markdown]
# ## The experiment
#
# A small AlexNet has five ideas of the paper in it: ReLU (section 3.1; lesson 7), LRN
# (3.3; lesson 9), overlapping pooling (3.4; lesson 8), dropout (4.2; lesson 10) and
# augmentation (4.1; lesson 14). Each variant lacks one of them: an *ablation*. This is
# the network:

# %%
print(inspect.getsource(ablations.network))

# %% [markdown]
# The rules were fixed before the first comparison was run:
#
# 1. CIFAR-10 is split into three parts. 10,000 images are for training. 5,000 others,
#    the *validation images*, are for choosing. The 10,000 test images are for the
#    results; nothing is chosen by them.
# 2. The learning rate is the better one of 0.01 and 0.03 on the validation images, with
#    a seed that is not used again. It is chosen for the network with all five, and for
#    tanh, whose derivative is different. The other variants have the rate of the first.
#    (Each should have its own, but this takes more time.)
# 3. Then each variant is trained for 10 epochs, the last two with a tenth of the rate,
#    with the seeds 0, 1, 2, 3 and 4, and each is compared with the network that has all
#    five, seed by seed. All are tested on the same images: this pairs the images. The
#    same seed has the same order of the images and, as far as the layers agree, the
#    same initial weights.
# 4. All results are published, also those that show nothing.
#
# This takes an hour. The results are in lessons/results/17_cifar10.json; `--full`
# repeats the experiment (and can be interrupted: it continues where it stopped).
#
# **Before you run this:** which of the five make a difference that five seeds can show?
# Which one the largest? Is there one that makes things worse?

# %%
results = lesson.results("17_cifar10")
if args.full:
    file = Path("runs/lessons/17_cifar10.json")
    results = ablations.experiment(file, args.device)
print(f"{results['command']}, {results['date']}, {results['machine']}\n{results['images']}")
error, rates = {}, {}
for run in results["runs"]:
    if run["phase"] == "compare":
        error.setdefault(run["variant"], []).append(100 * run["test_error"])
        rates[run["variant"]] = run["lr"]
every = np.array(error.pop(ablations.ALL))
print(f"{'all five':<16} lr {rates['all five']}  test error {every.mean():.2f} %, seeds", every)
differences = {name: np.array(errors) - every for name, errors in error.items()}
intervals = {}
for name, d in differences.items():
    D, se = d.mean(), d.std(ddof=1) / math.sqrt(len(d))
    intervals[name] = low, high = D - 2.776 * se, D + 2.776 * se
    print(f"{name:<16} lr {rates[name]}  difference {D:+.2f}, standard error {se:.2f}", end="")
    print(f", 95 % interval {low:+.2f} to {high:+.2f}", "" if low * high > 0 else "(contains 0)")

# %% plot
figure = lesson.figure(9, 4.2)
title = "Test error without one part, minus test error with all five"
labels = {"xlabel": "difference in per cent (right: worse without the part)"}
axes = lesson.axes(figure, title=title, **labels)
axes.axvline(0, color="black", linewidth=1)
for row, (name, d) in enumerate(differences.items()):
    low, high = intervals[name]
    colour = lesson.RED if low * high > 0 else lesson.GREY
    axes.plot([low, high], [row, row], color=colour, linewidth=9, alpha=0.4, solid_capstyle="butt")
    axes.plot(d, np.full(len(d), row), "o", color=lesson.BLUE, markersize=5, alpha=0.7)
    axes.plot(d.mean(), row, "|", color="black", markersize=18, markeredgewidth=2)
axes.set(yticks=range(len(differences)), yticklabels=list(differences), ylim=(4.6, -0.6))
for colour, label in ((lesson.RED, "95 % interval"), (lesson.GREY, "95 % interval, contains 0")):
    axes.plot([], [], color=colour, linewidth=9, alpha=0.4, label=label)
axes.plot([], [], "o", color=lesson.BLUE, markersize=5, alpha=0.7, label="one seed")
axes.plot([], [], "|", color="black", markersize=12, markeredgewidth=2, label="mean")
axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
lesson.show(figure, "17_cifar10")

# %% answer [markdown]
# Three differences are large, and have the other sign than in the paper: with tanh in
# the place of ReLU, without dropout and without augmentation, this network is *better*.
# Without overlapping pooling it is worse, by a little, and the interval does not
# contain 0. Without LRN it is worse by much more, with each of the five seeds, and the
# interval contains 0: a *null result*, an experiment that shows no difference, which
# does not prove that there is none.
#
# How can a large difference be less certain than a small one? The five differences
# without LRN are very unequal: one seed made far more errors than the others, and this
# makes s large. (That all five have the same sign is no proof either. With two equal
# methods it happens in 2 of $2^5$ cases, that is 6 %.) We may not leave out the seed
# that does not fit. More seeds would decide it; five do not.
#
# What does LRN do in this network? The pixels have a standard deviation of 1, for which
# the paper's alpha is far too small (lesson 9): before training, it divides all
# responses by 1.68 to 1.69. So this variant compares two scales of the activations. It
# does not test the competition between channels.
#
# Is the paper wrong about the other three? No, this is another question. Below, the
# training error of the network with all five is printed. It is nearly as high as the
# test error: the network does not overfit. It *underfits*, it was not trained enough.
# Dropout and augmentation are remedies for overfitting, and they have a price: with
# dropout, about twice as many iterations are needed (section 4.2). In ten epochs we see
# the price only; the paper's network was trained for ninety. Why tanh is better, and by
# so much, the experiment does not say; exercise 3 looks for the reason. An ablation
# measures what a part does in *this* network, with the other parts in place, with these
# images, rates and epochs.
#
# Did it help to pair the seeds? The standard deviation of the five differences is
# printed below, and that of differences of unpaired runs, whose variances add. Pairing
# makes it smaller for all five, and most of all for overlapping pooling. There, without
# pairing, two single runs show the wrong sign in about one of four cases.
#
# Two warnings. First, an interval of 95 % misses in one of twenty experiments, and here
# are five: if they were independent, at least one of five would miss with a probability
# of 1 - 0.95^5 = 23 %. (They have the runs with all five parts in common.) Second,
# these intervals are about seeds only. All runs have the same 10,000 test images. If
# exactly one of two networks is wrong on a part f = 0.3 of them, other images can
# change the difference of two runs by $\sqrt{f / n}$ = 0.5 %, and the small difference
# is not much larger. So we look at the validation images too, which are others.

# %% claims
runs = {(r["variant"], r["seed"]): r for r in results["runs"] if r["phase"] == "compare"}


def percent(variant, measure):
    return np.array([100 * runs[variant, seed][measure] for seed in ablations.SEEDS])


own = percent("all five", "training_error").mean()
text = f"all five: training error {own:.1f} %, test error {every.mean():.1f} %"
lesson.claim(text, every.mean() - own < 5)
for name in ("no dropout", "no augmentation"):
    other = percent(name, "training_error").mean()
    lesson.claim(f"{name}: training error {other:.1f} %, lower", other < own - 4)
worse = [name for name, (low, high) in intervals.items() if low > 0]
better = [name for name, (low, high) in intervals.items() if high < 0]
expected = worse == ["no overlap"] and better == ["tanh", "no dropout", "no augmentation"]
lesson.claim(f"significant: worse {worse}, better {better}", expected or args.full)
d, (low, high) = differences["no LRN"], intervals["no LRN"]
text = f"no LRN: the differences are {d.min():+.1f} to {d.max():+.1f}, the mean {d.mean():+.1f}"
text = f"{text}, and the interval contains 0"
lesson.claim(text, (low < 0 < high and d.min() > 0) or args.full)
for name, d in differences.items():
    other = percent(name, "test_error")
    unpaired = math.hypot(other.std(ddof=1), every.std(ddof=1))
    opposite = (np.subtract.outer(other, every) * d.mean() < 0).sum()
    text = f"{name}: standard deviation paired {d.std(ddof=1):.2f}, unpaired {unpaired:.2f}"
    text = f"{text}; wrong sign in {opposite} of 25 unpaired comparisons of two runs"
    lesson.claim(text, d.std(ddof=1) < unpaired or args.full)
for name, d in differences.items():
    validation = percent(name, "validation_error") - percent("all five", "validation_error")
    text = f"{name}: test images {d.mean():+.2f}, validation images {validation.mean():+.2f}"
    lesson.claim(text, validation.mean() * d.mean() > 0 or args.full)

# %% [markdown]
# ## Break it: choose by the test images
#
# Now a fault in which nothing crashes. Take the twenty networks of the beginning as
# twenty ideas: twenty values of a setting, say. Test each on the same 200 test images,
# keep the one with the lowest error, and report this error. We can check the report,
# since there are other images that were not used for the choice, and we can repeat it
# with other test images.
#
# What should we expect? Assume that all K networks are equally good. Their measured
# errors still differ. The part of the error that all share, because the images are the
# same, does not matter for the choice. The variance of the other part is half of that
# of the difference A - B above, in which it occurs twice, once in A and once in B: it
# is $p (1 - p) (1 - rho) / n$. Let c be the mean of the largest of K normal random
# numbers with mean 0 and standard deviation 1. Then the lowest of the K errors is, on
# average, too low by the *optimism*
#
# $$
# c \sqrt{\frac{p (1 - p) \, (1 - rho)}{n}}
# $$
#
# There is no simple formula for c, but it is easy to measure.
#
# **Before you run this:** by how much will the reported error be too low? Will the
# chosen network be better than the average network on other images?

# %%
n, networks = 200, len(wrong)
p, rho = errors.mean(), np.corrcoef(wrong)[np.triu_indices(networks, 1)].mean()
reported, fresh = [], []  # in each test, the lowest error of the first 1, 2, ... networks
for _ in range(1000):
    chosen_by = rng.choice(wrong.shape[1], n, replace=False)
    tested = wrong[:, chosen_by].mean(axis=1)
    on_others = (wrong.sum(axis=1) - n * tested) / (wrong.shape[1] - n)
    best = [tested[:k].argmin() for k in range(1, networks + 1)]
    reported.append(tested[best])
    fresh.append(on_others[best])
reported, fresh = np.mean(reported, axis=0), np.mean(fresh, axis=0)
largest = np.maximum.accumulate(rng.standard_normal((20_000, networks)), axis=1).mean(axis=0)
optimism = largest * math.sqrt(p * (1 - p) * (1 - rho) / n)
for k in (2, 5, 10, 20):
    print(f"  the best of {k:>2}: reported {reported[k - 1]:.1%}, on other images", end="")
    print(f" {fresh[k - 1]:.1%}; c = {largest[k - 1]:.2f}, optimism {optimism[k - 1]:.1%}")

# %% plot
figure = lesson.figure(7.5, 4)
title = "The best of K networks, chosen by 200 test images"
labels = {"xlabel": "K, the number of networks tried", "ylabel": "error in per cent"}
axes = lesson.axes(figure, title=title, **labels)
tried = np.arange(1, networks + 1)
axes.plot(tried, 100 * fresh, "o-", color=lesson.BLUE, label="on other images")
axes.plot(tried, 100 * reported, "o-", color=lesson.RED, label="reported: on the 200 images")
axes.plot(tried, 100 * (fresh - optimism), "--", color="black", label="blue minus the formula")
axes.set_xticks([1, 5, 10, 15, 20])
axes.legend(frameon=False)
lesson.show(figure, "17_cifar10_optimism")

# %% answer [markdown]
# The reported error falls as more networks are tried, and the error on other images
# hardly does. The small part that is real comes from networks that are truly a little
# better; the rest is luck, which other images do not repeat. (The networks are not
# exactly equally good, so the formula gives a little too much.) A learning rate, the
# number of epochs, the best seed: whatever is chosen by the test images makes their
# error too low.
#
# The symptom to remember: **the result is worse on every set of images but the one by
# which it was chosen**, and it improves with the number of things tried, whatever they
# are. The remedy is a third set: choose by validation images, as many times as you
# like, and use the test images once, at the end.

# %% claims
gap = fresh - reported
text = f"one network: no optimism ({gap[0]:+.1%}); the best of 20 is too low by {gap[-1]:.1%}"
lesson.claim(text, abs(gap[0]) < 0.007 and gap[-1] > 0.02)
text = f"the formula predicts {optimism[-1]:.1%}"
lesson.claim(text, 0.7 < gap[-1] / optimism[-1] < 1.1)
text = f"on other images the choice gains {p - fresh[-1]:.1%}, and the report says"
lesson.claim(f"{text} {p - reported[-1]:.1%}", p - fresh[-1] < 0.5 * (p - reported[-1]))

# %% [markdown]
# ## Exercises
#
# 1. Write the paired comparison yourself: `tinyalex learn start 17` creates the file in
#    `my/`, `tinyalex learn check 17` checks it.
# 2. How many seeds would be needed to show a difference of 0.4 %, the paper's for
#    overlapping pooling, in the experiment above? Use the s of "no overlap", and
#    N instead of 5, with the t of the table above.
# 3. Why is tanh better? One hypothesis: dropout does more harm to ReLU networks, in so
#    few epochs. Which two variants would test it? Add them to
#    tinyalex/course/ablations.py, and run them with the same seeds. Before you look,
#    write down what you expect.
# 4. Replace the seeds by epochs: train one network for 40 epochs, and choose the best
#    epoch by 200 images. The networks of two successive epochs are alike. What does
#    that do to rho, and to the optimism?
