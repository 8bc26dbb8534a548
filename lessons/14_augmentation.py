# %% [markdown]
"""
# 14. How do you make 2048 images from one?

    python lessons/14_augmentation.py [--seed 1] [--device cuda]

The best remedy against overfitting (lesson 10) is more training images. The next best
is to change the existing ones without changing their class: a cat shifted to the left
is still a cat, and so is its mirror image. This is *data augmentation*. The paper uses
three kinds (section 4.1): it shifts, mirrors, and changes colours. Without the first
two, it says, the network suffers from substantial overfitting.
"""

# %%
import numpy as np
from matplotlib.patches import Rectangle

import tinyalex as ta
from tinyalex import data, nn, optim, training
from tinyalex import functional as F
from tinyalex.course import lesson
from tinyalex.nn import init

args = lesson.options(__doc__)

# %% [markdown]
# ## Counting
#
# The paper scales a photograph to 256 x 256 pixels and cuts out a square of 224 x 224,
# a *crop*: at a random position, and mirrored with a probability of one half. It says
# that this increases the size of the training set by a factor of 2048 (section 4.1),
# which is 32 * 32 * 2.
#
# `data.Augment`, which the training scripts use, computes such crops. Its random
# numbers depend on `epoch` and on `first`, the position of the batch's first image in
# that epoch. We apply it many times and count. To identify each result, we make an
# image whose red channel is the row index and whose green channel is the column index.
# To save time both sizes are reduced by the same amount, so that there are as many
# positions as in the paper.
#
# **Before you run this:** how many positions are there for a crop in an image that is
# 32 pixels larger?

# %%
size, margin = 8, 256 - 224
side = size + margin
indices = np.zeros((1, 3, side, side), np.uint8)
indices[0, 0], indices[0, 1] = np.arange(side)[:, None], np.arange(side)
augment = data.Augment([0, 0, 0], size=size)  # subtracts a mean colour of 0
found = np.zeros((side, side, 2), int)  # by row, column, mirrored or not
for epoch in range(15):
    crops = augment(np.repeat(indices, 4000, axis=0), epoch=epoch, first=0).astype(int)
    top, left, right = crops[:, 0, 0, 0], crops[:, 1, 0, 0], crops[:, 1, 0, -1]
    np.add.at(found, (top, np.minimum(left, right), (left > right).astype(int)), 1)
different = int((found > 0).sum())
print(f"{found.sum():,} crops, {different} different ones", end="")
print(f", each {found[found > 0].min()} to {found.max()} times")

# %% answer [markdown]
# A crop can be shifted by 0, 1, 2, ... 32 pixels, which are 33 shifts, not 32:
#
# $$
# (256 - 224 + 1)^2 \cdot 2 = 33 \cdot 33 \cdot 2 = 2178
# $$
#
# The paper counts 32 shifts, for rows and for columns: an off-by-one error. The code of
# 2012 uses all 33.

# %% claims
text = f"there are {different}: {margin + 1} rows * {margin + 1} columns * 2"
lesson.claim(text, different == (margin + 1) ** 2 * 2)

# %% [markdown]
# ## For a network it is another image
#
# To us, two crops of a photograph look the same. For a network, the values at each
# position change; we measure by how much.
#
# **Before you run this:** guess the mean difference of two pixels at the same position,
# for two crops of one photograph, and for crops of two unrelated ones. (Black and white
# differ by 255.)

# %%
photos, source = lesson.photos(40)
mean = data.mean_image(photos).mean(axis=(1, 2))
crop = data.Augment(mean, size=224)
some, others = crop(photos, epoch=0, first=0), crop(photos, epoch=1, first=0)
same = abs(some - others).mean()
unrelated = abs(some - np.roll(others, 1, axis=0)).mean()
print(f"two crops of one image: {same:.0f}; of two images: {unrelated:.0f}")

# %% answer [markdown]
# For the network, two crops of one image differ a lot: about half as much as crops of
# two unrelated images. Of course, many crops of one cat are worth less than images of
# as many cats; the paper itself calls them "highly interdependent".

# %% claims
text = f"crops of one image differ by {same / unrelated:.0%} of the difference of unrelated ones"
lesson.claim(text, 0.3 < same / unrelated < 0.75)

# %% [markdown]
# ## The colour of the light
#
# The same cat is redder in the evening sun, and darker in the shade. So the paper adds
# one colour to each whole image. The *principal axes* are the directions in the space
# of red, green and blue along which the pixels of the training images vary most: three
# perpendicular vectors e of length 1. Let s be the standard deviation of all pixels
# along an axis, and let $a$ be a normally distributed random number with mean 0 and
# standard deviation 0.1, another one for each image and axis. The colour is (in the
# code of 2012; the text of the paper differs, see "Break it")
#
# $$
# shift = a_1 s_1 e_1 + a_2 s_2 e_2 + a_3 s_3 e_3
# $$
#
# The axes are perpendicular, so the part of this along e[i] is a[i] * s[i]: over many
# images its standard deviation is 0.1 * s[i]. (`data.colour_axes` returns the three
# vectors s * e. For readers who know linear algebra: the vectors e are the eigenvectors
# of the covariance matrix of red, green and blue, and $s^2$, the variances along them,
# are its eigenvalues. The lesson does not need this.)
#
# **Before you run this:** which colours does the axis with the largest s connect? What
# causes most of the variance of the pixels of photographs?

# %%
axes = data.colour_axes(photos)
spread = np.linalg.norm(axes, axis=1)
units = axes / spread[:, None]
light = data.Augment(mean, size=224, colours=axes)
shift = light(photos, epoch=0, first=0) - some  # the crops are the same
many = np.repeat(indices, 4000, axis=0)  # other images; their shifts have the same formula
shifts = data.Augment([0, 0, 0], size=size, colours=axes)(many, epoch=0, first=0)
shifts = (shifts - augment(many, epoch=0, first=0)).mean(axis=(2, 3)) @ units.T
for i in (2, 1, 0):
    print(f"  s {spread[i]:5.1f}, red, green, blue {np.round(units[i], 2)}", end="; ")
    print(f"standard deviation of 4000 shifts {shifts[:, i].std():.2f}")

# %% plot
photo = photos[[photos.std(axis=1).mean(axis=(1, 2)).argmax()]]  # the most colourful one
figure = lesson.figure(11, 4.6)
title = "a photograph" if source == lesson.PHOTOS else "an image"
whole = lesson.image_axes(figure, 2, 4, 1, title=title, pixels=photo[0])
colours = [lesson.BLUE, lesson.RED, lesson.GREEN, "#d9a21b", "#7d5ba6", "#333333", "#4fb3bf"]
for epoch, colour in enumerate(colours):
    pixels = crop(photo, epoch=epoch, first=0)[0] + mean[:, None, None]
    pixels, title = np.clip(pixels, 0, 255).astype(np.uint8), "" if epoch else "shifted, mirrored"
    frame = lesson.image_axes(figure, 2, 4, epoch + 2, title=title, pixels=pixels)
    frame.spines[:].set(color=colour, linewidth=3)
    corners = augment(indices, epoch=epoch, first=0)[0]  # the same shifts as the photo's
    corner = min(corners[1, 0, 0], corners[1, 0, -1]) - 0.5, corners[0, 0, 0] - 0.5
    whole.add_patch(Rectangle(corner, 224, 224, fill=False, edgecolor=colour, linewidth=2))
lesson.show(figure, "14_augmentation")

# %% answer [markdown]
# The axis with the largest s goes from dark to light: red, green and blue have the same
# sign, and most of the variance is brightness. The shifts are small. The figure below
# shows, for the same crop, those of two standard deviations in both directions along
# each axis.

# %% claims
share = spread[-1] ** 2 / (spread**2).sum()
text = "on the axis with the largest s, red, green and blue have the same sign"
lesson.claim(text, abs(np.sign(axes[-1]).sum()) == 3)
lesson.claim(f"it has {share:.0%} of the variance", share > 0.6)
lesson.claim("one colour is added to a whole image", shift.std(axis=(2, 3)).max() < 0.01)
ratio = shifts.std(axis=0) / spread
text = f"the shifts along the axes have {np.round(ratio, 3)} times the deviation of the pixels"
lesson.claim(text, np.allclose(ratio, 0.1, rtol=0.1))

# %% plot
figure = lesson.figure(6.6, 7)
middle = photo[0, :, 16:240, 16:240].astype(float)
for row, axis in enumerate(axes[::-1]):
    axis = axis * np.sign(axis.sum())  # so that plus is brighter
    for column, times in enumerate((-2, 0, 2)):
        pixels = np.clip(middle + 0.1 * times * axis[:, None, None], 0, 255).astype(np.uint8)
        title = f"axis {row + 1}: {times:+} deviations" if times else "no shift"
        lesson.image_axes(figure, 3, 3, 3 * row + column + 1, title=title, pixels=pixels)
lesson.show(figure, "14_augmentation_light")

# %% [markdown]
# ## Does it help?
#
# Two identical networks are trained on the same 500 small images for the same number of
# steps. One always gets the central crop of 24 x 24 pixels, the other a different
# random crop in each epoch. Then both are tested on other images.
#
# Testing should not be random. The paper uses *ten views* of each test image, the four
# corners and the centre and their mirror images, and averages the ten predictions.
# Without that, its top-1 error is 39.0 % instead of 37.5 % (section 6).
#
# How exact is a test error? If a network is wrong on a fraction e of all possible
# images, the number z of errors on a single random image is 1 with the probability e,
# otherwise 0. Its mean is e. Its variance is the mean of
# $(z - e)^2 = z^2 - 2 e z + e^2$, and since $z^2 = z$, this is
# $e - 2 e^2 + e^2 = e (1 - e)$.
#
# The variances of independent numbers are added: for their deviations a and b from the
# mean, $(a + b)^2 = a^2 + 2 a b + b^2$, and the mean of a b is 0. So the sum of z over
# n images has the variance n e (1 - e). The mean is 1/n of the sum, and its variance
# $1/n^2$ of that. The square root of this is the *standard error* of the measured
# error:
#
# $$
# \sqrt{\frac{e (1 - e)}{n}}
# $$
#
# Two standard errors are a usual limit. The mean of many independent values is nearly
# normally distributed, whatever the distribution of the values (the *central limit
# theorem*, which we do not prove). So larger differences are rarely due to the choice
# of the test images (lesson 1: 95 % of a normal distribution are within two standard
# deviations). For two networks on the same images take the differences of their z: 1, 0
# or -1 for each image. The standard error of their mean is their standard deviation
# divided by sqrt(n).
#
# **Before you run this:** which of the two networks has the lower training error? Which
# has the lower test error, and by how many standard errors?

# %%
train, test, _ = lesson.images(500, 2000)
small_mean = data.mean_image(train.images).mean(axis=(1, 2))
options = {"mean": small_mean, "scale": 1 / train.images.std(), "size": 24}
CENTRE, RANDOM = "central crop", "random crops"
transforms = {CENTRE: data.Normalize(**options), RANDOM: data.Augment(**options)}
centre, ten_views = transforms[CENTRE], data.TenViews(**options)


def network():
    ta.manual_seed(args.seed)
    layers = [nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()]
    net = nn.Sequential(*layers, nn.Linear(32 * 5 * 5, 64), nn.ReLU(), nn.Linear(64, 10))
    init.kaiming_(net)
    return net


def errors(net, images, views):
    """The mean loss, and z for each image."""
    loader = data.Loader(images, 250, transform=views, device=args.device)
    predictions, labels = training.log_probabilities(net, loader)
    return training.score(predictions, labels).loss, predictions.argmax(axis=1) != labels


results = {}
for name, transform in transforms.items():
    net = network()
    optimizer = optim.SGD(optim.paper_groups(net, lr=0.01), lr=0.01, momentum=0.9)
    loader = data.Loader(train, 50, shuffle=True, transform=transform, device=args.device)
    for epoch in range(50):
        for images, labels in loader.epoch(epoch):
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimizer.step()
    cases = (train, centre), (test, centre), (test, ten_views)
    (_, own), (loss, one), (_, ten) = [errors(net, images, views) for images, views in cases]
    results[name] = own.mean(), loss, one, ten
    standard = np.sqrt(one.mean() * (1 - one.mean()) / len(one))
    print(f"  {name}: training error {own.mean():.1%}; test loss {loss:.2f}, error", end=" ")
    print(f"{one.mean():.1%} (standard error {standard:.1%}), with ten views {ten.mean():.1%}")
groups = one.reshape(min(40, len(one)), -1).mean(axis=1)  # on 40 groups of 50 test images
print(f"groups of 50 images: errors from {groups.min():.0%} to {groups.max():.0%}")
difference = results[CENTRE][2].astype(int) - results[RANDOM][2]
gain, standard = difference.mean(), difference.std() / np.sqrt(len(difference))
print(f"random crops lower the test error by {100 * gain:.1f} percentage points,", end=" ")
print(f"standard error {100 * standard:.1f}")

# %% answer [markdown]
# Augmentation increases the training error and decreases the test error and the test
# loss: images that differ in each epoch are harder to memorise. On synthetic images the
# error decreases by many standard errors. On CIFAR-10 it decreases by less, but still
# by several standard errors: with 2000 test images the effect is clear. With 100 test
# images the standard error would be more than four times as large, and it would not be.
#
# The standard error covers only the choice of the test images. With another training
# set or seed the difference varies too: lesson 17 repeats such comparisons.

# %% claims
(own, loss, one, ten), (own_random, loss_random, one_random, ten_random) = results.values()
text = f"{CENTRE}: training error {own:.1%}, the images are memorised"
lesson.claim(text, own < 0.02)
lesson.claim(f"{RANDOM}: the training error is higher, {own_random:.1%}", own_random > own)
text = f"the test loss decreases from {loss:.2f} to {loss_random:.2f}"
lesson.claim(text, loss_random < 0.7 * loss)
text = f"the test error decreases by {gain / (standard or 1):.1f} standard errors"
lesson.claim(text, gain > 2 * standard)
fewer = ten.mean() + ten_random.mean() < one.mean() + one_random.mean()
lesson.claim("ten views make fewer errors than one, both networks together", fewer)
e = one_random.mean()
predicted = np.sqrt(e * (1 - e) / 50)
text = (
    f"the errors of groups of 50 vary by {groups.std():.3f}, the formula predicts {predicted:.3f}"
)
lesson.claim(text, 0.65 * predicted < groups.std() < 1.5 * predicted)

# %% [markdown]
# ## Break it
#
# What exactly is s? The text of the paper uses the variance along each axis (an
# *eigenvalue*). The code of 2012 uses the standard deviation, its square root. We
# follow the text of the paper literally.
#
# **Before you run this:** what will the images look like?

# %%
variances = axes * spread[:, None]
literal = data.Augment(mean, size=224, colours=variances)
pixels = literal(photos, epoch=0, first=0) + mean[:, None, None]
outside = ((pixels < 0) | (pixels > 255)).mean()
largest = abs(literal(photos, epoch=0, first=0) - some).max()
print(f"largest shift: {abs(shift).max():.0f} with deviations, {largest:,.0f} with variances")
print(f"values below black or above white: {outside:.0%}")

# %% plot
figure = lesson.figure(11, 2.7)
for column in range(4):
    pixels = literal(photo, epoch=column, first=0)[0] + mean[:, None, None]
    pixels, title = np.clip(pixels, 0, 255).astype(np.uint8), "" if column else "with variances"
    lesson.image_axes(figure, 1, 4, column + 1, title=title, pixels=pixels)
lesson.show(figure, "14_augmentation_variances")

# %% answer [markdown]
# Most values are outside the range of pixels: the images are nearly uniform. There is
# no error message, since a network accepts any values. It trains badly, without an
# obvious reason. So display the input of your network as images, with the mean added
# again, before you train. And note that a variance has squared units: adding it to
# pixels makes no sense.
#
# The symptom to remember: the network learns without augmentation and not with it; and
# its input, displayed as images, cannot be recognised.

# %% claims
text = f"{outside:.0%} of all values are darker than black or lighter than white"
lesson.claim(text, outside > 0.5)
lesson.claim(f"the largest shift is {largest:,.0f} of 255", largest > 255)

# %% [markdown]
# ## Exercises
#
# 1. Write the ten views yourself: `tinyalex learn start 14` creates the file in `my/`,
#    `tinyalex learn check 14` checks it.
# 2. Omit shifting or mirroring alone (`flip=False`). Which of the two helps more, and
#    by how many standard errors? And for which images would mirroring be wrong?
# 3. A test set has 10,000 images, and two networks have errors of 40.0 and 39.2 %. How
#    many standard errors is this difference, if the errors are independent, so that
#    their variances are added?
# 4. The code of 2012 shifted and mirrored 32 consecutive images alike, to save time:
#    `data.Augment(..., together=32)`. Does it make a difference?
