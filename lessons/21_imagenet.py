# %% [markdown]
"""
# 21. ImageNet, honestly: what do the numbers mean?

    python lessons/21_imagenet.py [--seed 1] [--device cuda] [--full]

15.3 % is the number for which AlexNet is known: its error in the competition of 2012,
ILSVRC-2012, on photographs of a thousand classes. Can we repeat it? First we measure
how many images a second this computer trains, and compute how long the paper's 90
epochs would take. Then we look at what can be done in half an hour, ten classes, and
what its result says. Last, we look at the number itself. It is not the error of a
network, and not the fraction of images that were classified wrongly.
"""

# %%
import io
import timeit
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

import tinyalex as ta
from tinyalex import data, models, nn, optim, training
from tinyalex import functional as F
from tinyalex.course import lesson, ten_classes
from tinyalex.nn import init

args = lesson.options(__doc__)

# %% [markdown]
# ## Images a second
#
# Photographs are stored as JPEG files. A step of training has three parts:
#
# - *decode*: compute the pixels from the files. The images have 256 x 256 pixels, as
#   `tinyalex prepare` stores them;
# - *augment*: subtract the mean, and crop to 224 x 224 at random (lesson 14);
# - *train*: forward, backward and update, for AlexNet with its 61 million weights.
#
# While a batch is being trained, the next ones can be decoded and augmented by other
# threads: `data.Loader` does so. Then the slowest part alone determines the rate. It is
# called the *bottleneck*.
#
# The weights are all equal here, since the time does not depend on their values. The
# first of six calls, which allocates memory, is not counted.
#
# **Before you run this:** which of the three is the bottleneck on this computer, and by
# what factor?

# %%
photos, _ = lesson.photos(16)
files = [io.BytesIO() for _ in photos]
for file, pixels in zip(files, photos, strict=True):
    Image.fromarray(pixels.transpose(1, 2, 0)).save(file, "JPEG", quality=90)
augment = data.Augment(data.mean_image(photos), size=224, scale=1 / 64)
x = ta.Tensor(augment(photos, epoch=0, first=0)).to(args.device)
labels = ta.Tensor(np.arange(len(photos))).to(args.device).data
with init.skipped():
    net = models.alexnet("paper").to(args.device)
for parameter in net.parameters():
    init.constant_(parameter, 1e-3)  # instead of the zeros of init.skipped
optimizer = optim.SGD(net.parameters(), lr=1e-6, momentum=0.9)


def train_step():
    optimizer.zero_grad()
    loss = F.cross_entropy(net(x), labels)
    loss.backward()
    optimizer.step()
    return loss.item()


parts = {
    "decode": lambda: [np.asarray(Image.open(file).convert("RGB")) for file in files],
    "augment": lambda: augment(photos, epoch=0, first=0),
    "train": train_step,
}
times = {}  # seconds per image
for name, part in parts.items():
    times[name] = np.array(timeit.repeat(part, number=1, repeat=6)[1:]) / len(photos)
    median = np.median(times[name])
    print(f"  {name:<8} {1000 * median:7.2f} ms per image, {1 / median:7.1f} images a second")

# %% answer [markdown]
# On a CPU it is the training step, by a wide margin: decoding and augmenting could be
# several times slower, and training would take the same time; a faster JPEG decoder
# would bring nothing. This changes with the machine. A modern GPU trains hundreds of
# times as fast, and then decoding is the bottleneck, unless many cores share it. (In
# 2012, the CPU augmented the next batch while the GPUs trained, section 4.1.) So
# measure the parts one by one before you make one of them faster.

# %% claims
decode, augmented, step = (np.median(part) for part in times.values())
ratio = step / (decode + augmented)
text = f"the step takes {ratio:.0f} times as long as decoding and augmenting together"
if args.device == "cpu":
    lesson.claim(text, ratio > 3)
else:
    lesson.skip(text, "not on the CPU")

# %% [markdown]
# ## Ninety epochs
#
# With E epochs of N images, and r images a second, training takes the time
#
# $$
# T = \frac{E \, N}{r}
# $$
#
# r was measured, so T is uncertain too. A small change dr of r changes T by
# $dT = -E N / r^2 \, dr$. Divided by T,
#
# $$
# \frac{dT}{T} = - \frac{dr}{r}
# $$
#
# which says that T is uncertain by as many *per cent* as r. The training set of
# ILSVRC-2012 has 1,281,167 images. The paper trains for roughly 90 epochs, which took
# five to six days on two GTX 580 (section 5; the paper counts 1.2 million images).
#
# **Before you run this:** how long would it take here: hours, days, or months? How many
# images a second did the two GPUs train?

# %%
E, N, day = 90, 1_281_167, 24 * 60 * 60
rates = 1 / times["train"]
days = E * N / rates / day
print(f"median {np.median(rates):.1f} images a second; days, by step: {np.sort(days).round(1)}")
rates_2012 = [E * 1.2e6 / (d * day) for d in (6, 5)]
run = lesson.results("21_imagenet")
if args.full:
    run = ten_classes.experiment(Path("runs/lessons/21_imagenet.json"), device_name=args.device)

# %% answer [markdown]
# On a CPU, months: the output has E N / r for each measured step. The two GPUs of 2012
# trained more than 200 images a second.
#
# A few steps tell little about such a run. In the run of half an hour that follows
# below, nothing was changed on the way, and still its epochs had different rates:
# other programs used the same computer at times. A duration that is computed from a few
# seconds should be given with one digit: "about 4 hours", and not "4 hours 13 minutes".

# %% claims
text = f"the two GPUs of 2012 trained {rates_2012[0]:.0f} to {rates_2012[1]:.0f} images a second"
lesson.claim(text, 200 < rates_2012[0] < rates_2012[1] < 260)
relative = np.ptp(np.log(days)), np.ptp(np.log(rates))
text = f"the longest time is {np.exp(relative[0]):.2f} times the shortest, as with the rates"
lesson.claim(text, np.isclose(*relative))
recorded = [epoch["images_per_second"] for epoch in run["epochs"]]
factor = max(recorded) / min(recorded)
text = f"the rates of the epochs of one run differ by a factor of {factor:.1f}"
lesson.claim(text, factor > 1.2)

# %% [markdown]
# ## Ten classes in half an hour
#
# Imagenette is a part of ImageNet: ten classes that are easy to tell apart, from tench
# (a fish) to parachute. The paper's network was trained on 6,000 of its images, of 128
# x 128 pixels, for 30 epochs, and tested on 1,000. The results are in
# lessons/results/21_imagenet.json. `--full` makes such a run; it uses all 9,469 and
# 3,925 images, unless `TINYALEX_DATA` has a folder imagenette-160.
#
# ImageNet's competition reports two errors (lesson 8). The *top-1 error* is the one of
# lesson 0. For the *top-5 error*, the network names its five most probable classes, and
# the answer counts as right if the label is among them. In general, with K classes:
#
# $$
# top\text{-}k \; error =
# \frac{\text{number of images whose label is not among the k most probable}}{n}
# $$
#
# A network that knows nothing names k of K classes at random. They contain the label
# with the probability k / K, so its error is 1 - k / K.
#
# **Before you run this:** the winner of 2012 has a top-5 error of 15.3 %. Will the run
# on ten classes have less or more? Which of the two networks is better?

# %%
print(f"{run['command']}\n{run['machine']}, {run['date']}; {run['images']}")
one, ten = run["one_view"], run["ten_views"]
for k in (1, 5):
    for name, result in (("one view", one), ("ten views", ten)):
        error = result[f"top{k}_error"]
        se = np.sqrt(error * (1 - error) / result["images"])  # lesson 17
        print(f"  top-{k} error, {name:<9}: {error:.1%}, standard error {se:.1%}", end="")
        print(f"; guessing: {1 - k / 10:.0%}, with 1000 classes {1 - k / 1000:.1%}")

# %% answer [markdown]
# The top-5 error is far below 15.3 %, and it says nothing about which network is
# better: five of ten classes contain the label by chance every second time, five of a
# thousand once in two hundred. Errors can be compared for the same classes, the same k,
# the same images and the same number of views.
#
# Are ten views better than one here? The paper finds 37.5 % instead of 39.0 % (on
# ILSVRC-2010; section 6), and here the difference is nearly twice as large. Both were
# measured on the same images, so this is a paired comparison (lesson 17): if exactly
# one of the two is wrong on a part f of the n images, the standard error of the
# difference is about $\sqrt{f / n}$. f was not recorded, but it is at most the sum of
# both errors. With this f the difference is less than two standard errors; with f =
# 10 %, it is nearly three. So ten views are probably better here, and a record of f
# would decide it.
#
# And one more thing that lesson 17 taught: the weights that were evaluated are those of
# the best epoch, *chosen by the same 1000 images*. Both errors are a little too low.

# %% claims
gain = one["top1_error"] - ten["top1_error"]
largest = np.sqrt((one["top1_error"] + ten["top1_error"]) / one["images"])
text = f"ten views lower the error by {100 * gain:.1f} percentage points; standard error at most "
lesson.claim(f"{text}{100 * largest:.1f}", 0 < gain < 2 * largest)
text = f"top-5 of ten classes: {ten['top5_error']:.1%}, less than 15.3 %, but guessing has 50 %"
lesson.claim(text, ten["top5_error"] < 0.153)

# %% [markdown]
# ## What 15.3 % is
#
# The results of the paper (section 6, table 2), in per cent. "Pre-trained" networks
# were first trained on the whole ImageNet release of Fall 2011, with 15 million images
# of 22,000 classes, and have a sixth convolution.
#
# | ILSVRC-2012 | top-1, validation | top-5, validation | top-5, test |
# |---|---|---|---|
# | one network | 40.7 | 18.2 | |
# | the mean of five | 38.1 | 16.4 | 16.4 |
# | one pre-trained network | 39.0 | 16.6 | |
# | the mean of these five and two pre-trained | 36.7 | 15.4 | **15.3** |
# | the second of the competition | | | 26.2 |
#
# So 15.3 % is the top-5 error of *seven* networks, two of which have seen more images
# than the competition provides. Each looks at *ten views* of an image: 70 predictions
# are averaged. *One* network of the paper has 18.2 %: a single AlexNet that reaches
# 18 % has been trained correctly. On ILSVRC-2010, whose test labels were public, one
# network has 37.5 % (top-1) and 17.0 % (top-5) with ten views, and 39.0 % and 18.3 %
# with one view.
#
# ## Why is the mean of networks better than a network?
#
# Networks whose predicted probabilities are averaged are called an *ensemble*.
#
# Let $p_m$ be the probability that network m gives to the right class of an image; the
# loss is $-\log p_m$. For two networks, since a square is never negative,
#
# $$
# \left( \frac{p_1 + p_2}{2} \right)^2 - p_1 p_2 =
# \left( \frac{p_1 - p_2}{2} \right)^2 \ge 0
# \quad\Rightarrow\quad
# -\log \frac{p_1 + p_2}{2} \le \frac{-\log p_1 - \log p_2}{2}
# $$
#
# where the logarithm of both sides was taken, and divided by -2. The same holds for M
# networks (*Jensen's inequality*, for functions that curve as -log does):
#
# $$
# -\log \left( \frac{1}{M} \sum_m p_m \right) \le \frac{1}{M} \sum_m -\log p_m
# $$
#
# The loss of the mean prediction is at most the mean of the losses. It is equal only if
# all networks give the same probability: the gain comes from their *disagreement*.
#
# Below, five small networks are trained, which differ in the seed only.
#
# **Before you run this:** does the same law hold for the error? Can the mean prediction
# be wrong on an image where most of the networks are right? Can it be right where most
# are wrong, and which of the two is more frequent?

# %%
train, test, _ = lesson.images(1500, 2000)
normalize = data.Normalize(data.mean_image(train.images), scale=1 / train.images.std())
loader = data.Loader(train, 50, shuffle=True, transform=normalize, device=args.device)
test_images, labels = ta.Tensor(normalize(test.images)).to(args.device), test.labels
p = []
for seed in range(5):
    ta.manual_seed(1000 * args.seed + seed)
    layers = [nn.Conv2d(3, 16, 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool2d(2, 2)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 8 * 8, 10))
    init.kaiming_(net.to(args.device))
    optimizer = optim.SGD(net.parameters(), lr=0.005, momentum=0.9)
    for epoch in range(6):
        for x, y in loader.epoch(epoch):
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
    with ta.no_grad():
        p.append(F.softmax(net(test_images), 1).numpy())
p = np.array(p, float)  # network, image, class

of_label = p[:, np.arange(len(labels)), labels]  # network, image
losses, loss = -np.log(of_label), -np.log(of_label.mean(axis=0))
wrong, mean_wrong = p.argmax(axis=2) != labels, p.mean(axis=0).argmax(axis=1) != labels
at_most = loss <= losses.mean(axis=0) + 1e-9
print(f"loss: {losses.mean(axis=1).round(3)}, of the mean prediction {loss.mean():.3f}")
print(f"error: {wrong.mean(axis=1).round(3)}, of the mean prediction {mean_wrong.mean():.3f}")
print(f"the loss of the mean is at most the mean loss on {at_most.mean():.1%} of the images")

# %% plot
by_size = []  # the error of the mean of m networks, averaged over all choices of m
for m in range(1, 6):
    means = [p[list(chosen)].mean(axis=0) for chosen in combinations(range(5), m)]
    by_size.append(np.mean([(q.argmax(axis=1) != labels).mean() for q in means]))
figure = lesson.figure(11, 4.2)
title = "ILSVRC-2012, top-5 error (the paper, table 2)"
axes = lesson.axes(figure, 1, 2, 1, title=title, xlabel="per cent", xlim=(14.5, 19.5))
paper = (
    ("one network", 18.2),
    ("one pre-trained", 16.6),
    ("mean of five", 16.4),
    ("mean of seven,\ntwo pre-trained", 15.4),
)
for row, (_, value) in enumerate(paper):
    axes.plot(value, row, "o", color=lesson.BLUE, markersize=9)
    axes.annotate(f"{value}", (value, row), (9, 0), textcoords="offset points", va="center")
axes.plot(15.3, 4, "o", color=lesson.RED, markersize=9)
axes.annotate("15.3", (15.3, 4), (9, 0), textcoords="offset points", va="center")
names = [name for name, _ in paper] + ["the same seven,\ntest images"]
axes.set(yticks=range(5), yticklabels=names, ylim=(4.6, -0.6))
title = "Five small networks of this lesson"
labels_ = {"xlabel": "networks in the mean prediction", "ylabel": "error in per cent"}
axes = lesson.axes(figure, 1, 2, 2, title=title, **labels_)
axes.plot(np.full(5, 0.8), 100 * wrong.mean(axis=1), "o", color=lesson.GREY, label="each network")
axes.plot(range(1, 6), 100 * np.array(by_size), "o-", color=lesson.BLUE, label="mean prediction")
axes.set_xticks(range(1, 6))
axes.legend(frameon=False)
lesson.show(figure, "21_imagenet")

# %% answer [markdown]
# For the loss it is a law, and it holds for each image. For the error there is no such
# law: the mean can be wrong where most networks are right, if the others give a high
# probability to one wrong class. But the reverse is more frequent: networks that are
# wrong often name different classes, whose probabilities do not add up, while those of
# the right class do. So the mean has a lower error than its networks. Most of the gain
# comes from the first few. It costs M times the training and M times the prediction: a
# fair comparison of two methods uses as many networks, and as many views, for both.

# %% claims
lesson.claim("the loss of the mean is at most the mean loss, on every image", at_most.all())
text = f"the mean prediction has an error of {mean_wrong.mean():.1%}, the networks"
lesson.claim(f"{text} {wrong.mean():.1%} on average", mean_wrong.mean() < wrong.mean() - 0.005)
most = wrong.mean(axis=0) > 0.5
rescued, lost = (most & ~mean_wrong).sum(), (mean_wrong & ~most).sum()
text = f"the mean is right where most are wrong {rescued} times; the reverse: {lost} times"
lesson.claim(text, rescued > 1.5 * lost)

# %% [markdown]
# ## Break it: the other order of the classes
#
# There are two usual ways to number the classes of ImageNet. The development kit of the
# competition numbers them from 1 to 1000, in an order of its own, and gives the labels
# of the validation images as such numbers. Most programs number the folders of the
# training images from 0, in the alphabetical order of their names (n01440764 is the
# tench). A program that evaluates a network must translate between them. (`tinyalex
# prepare` does.) Below, the labels of the test images are those of another order, in
# which no class has the same number. The network is the mean of the five. The program
# also prints the *confusion matrix*: in row i and column j it has the number of images
# with label i that were predicted as class j.
#
# **Before you run this:** what will the error and the loss be, compared with those of
# guessing (90 %, and log 10 = 2.30)? Can we see that the network is good, although the
# labels are not?

# %%
cycle = np.random.default_rng(args.seed).permutation(10)
number = np.empty(10, int)
number[cycle] = np.roll(cycle, 1)  # the other number of each class
mean = np.log(p.mean(axis=0))
same, other = training.score(mean, labels), training.score(mean, number[labels])
for score in (same, other):
    print(f"error {score.error:.1%}, loss {score.loss:.2f}; confusion matrix:\n{score.confusion}")

# %% plot
figure = lesson.figure(9.5, 4.4)
titles = "the same order", "the other order"
for position, (name, score) in enumerate(zip(titles, (same, other), strict=True), 1):
    pixels = score.confusion / score.confusion.sum(axis=1, keepdims=True)
    options = {"cmap": "Blues", "vmin": 0, "vmax": 0.8}
    axes = lesson.image_axes(figure, 1, 2, position, title=name, pixels=pixels, **options)
    axes.set(xticks=range(10), yticks=range(10), xlabel="predicted class", ylabel="label")
bar = figure.colorbar(axes.images[0], ax=figure.axes, shrink=0.8)
bar.set_label("part of the images with this label")
lesson.show(figure, "21_imagenet_order")

# %% answer [markdown]
# The error is that of guessing, or higher. And the loss is far above log 10, the loss
# of a network that knows nothing: this network knows a lot, and gives high
# probabilities to classes that count as wrong. If the labels had nothing to do with the
# images, as in the break of lesson 0, all rows of the confusion matrix would be alike.
# Here each row has one large element, as with the right order, but in another column.
#
# The symptom to remember: **training went well, the evaluation is no better than
# guessing, and the confusion matrix has one large element in each row, off the
# diagonal.** The large elements even tell the order. With a thousand classes the matrix
# is too large to look at; then test with images of one class, and look at the predicted
# names.

# %% claims
text = f"with the other order the error is {other.error:.1%}, with the same order {same.error:.1%}"
lesson.claim(text, other.error > 0.88 and same.error < 0.7)
lesson.claim(f"its loss is {other.loss:.2f}, above log 10", other.loss > np.log(10) + 0.5)
found = (other.confusion.argmax(axis=1)[number] == np.arange(10)).sum()
text = f"the largest element of a row tells the right class of {found} of the 10 labels"
lesson.claim(text, found >= 7)

# %% [markdown]
# ## Exercises
#
# 1. Write the error of a mean prediction yourself, top-1 and top-5: `tinyalex learn
#    start 21` creates the file in `my/`, `tinyalex learn check 21` checks it.
# 2. How long would all seven networks of the paper take here? And the predictions for
#    the 100,000 test images of ILSVRC-2012, with seven networks and ten views? (A
#    prediction is the forward pass only: lesson 6 says which part of a step that is.)
# 3. Average the logits of the five networks instead of their probabilities. Is the loss
#    still at most the mean loss? (Is -log of a softmax curved like -log? Lesson 11.)
# 4. Train one network that is five times as wide (80 filters), for as many epochs. Is
#    it better than the mean of five? Use several seeds, and lesson 17.
