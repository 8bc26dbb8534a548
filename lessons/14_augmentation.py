# %% [markdown]
"""
# 14. How do you make 2048 images from one?

    python lessons/14_augmentation.py [--seed 1] [--device cuda]

A network with millions of weights can memorise its training images, and overfits
(lesson 10). The best remedy is more images. The next best is to change the existing
ones without changing their class: a cat shifted to the left is still a cat, and so is
its mirror image. This is *data augmentation*. The paper uses three kinds (section 4.1):
it shifts, mirrors, and changes colours. Without the first two, it says, the network
suffers from substantial overfitting.
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
# We apply `data.Augment`, which the training scripts use, many times and count. To
# identify each result, we make an image whose red channel is the row index and whose
# green channel is the column index. To save time both sizes are reduced by the same
# amount, so that there are as many positions as in the paper.
#
# Before you run this: how many positions are there for a crop in an image that is 32
# pixels larger?

# %%
size, margin = 8, 256 - 224
side = size + margin
indices = np.zeros((1, 3, side, side), np.uint8)
indices[0, 0], indices[0, 1] = np.arange(side)[:, None], np.arange(side)
augment = data.Augment([0, 0, 0], size=size)
found = np.zeros((side, side, 2), int)  # by row, column, mirrored or not
for epoch in range(15):
    crops = augment(np.repeat(indices, 4000, axis=0), epoch=epoch, first=0).astype(int)
    top, left, right = crops[:, 0, 0, 0], crops[:, 1, 0, 0], crops[:, 1, 0, -1]
    np.add.at(found, (top, np.minimum(left, right), (left > right).astype(int)), 1)
different = int((found > 0).sum())
print(f"{found.sum():,} crops, {different} different ones", end="")
print(f", each {found[found > 0].min()} to {found.max()} times")
text = f"there are {different}: {margin + 1} rows * {margin + 1} columns * 2"
lesson.claim(text, different == (margin + 1) ** 2 * 2)

# %% [markdown]
# A crop can be shifted by 0, 1, 2, ... 32 pixels, which are 33 shifts, not 32: the
# paper has this off-by-one error in both directions. The code of 2012 uses all 33.
#
# ## For a network it is another image
#
# To us, two crops of a photograph look the same. For a network, the values at each
# position change; we measure by how much.
#
# Before you run this: guess the mean difference of two pixels at the same position, for
# two crops of one photograph, and for crops of two unrelated ones. (Black and white
# differ by 255.)

# %%
photos, source = lesson.photos(40)
mean = data.mean_image(photos).mean(axis=(1, 2))
crop = data.Augment(mean, size=224)
some, others = crop(photos, epoch=0, first=0), crop(photos, epoch=1, first=0)
same = abs(some - others).mean()
unrelated = abs(some - np.roll(others, 1, axis=0)).mean()
print(f"two crops of one image: {same:.0f}; of two images: {unrelated:.0f}")
text = f"crops of one image differ by {same / unrelated:.0%} of the difference of unrelated ones"
lesson.claim(text, same > unrelated / 4)

# %% [markdown]
# Of course, many crops of one cat are worth less than images of as many cats; the paper
# itself calls them "highly interdependent".
#
# ## The colour of the light
#
# The same cat is redder in the evening sun, and darker in the shade. So the paper adds
# one colour to each whole image. The *principal axes* are the directions in the space
# of red, green and blue along which the pixels of the training images vary most: three
# perpendicular vectors. The shift along each is a normal random number with a standard
# deviation of 0.1, times the spread of the pixels in this direction.
#
# Before you run this: which colours does the longest axis connect? What causes most of
# the variance of the pixels of photographs?

# %%
axes = data.colour_axes(photos)
spread = np.linalg.norm(axes, axis=1)
for length, axis in zip(spread[::-1], axes[::-1], strict=True):
    print(f"  spread {length:5.1f} along red, green, blue = {np.round(axis / length, 2)}")
share = spread[-1] ** 2 / (spread**2).sum()
text = "the longest axis goes from dark to light: red, green and blue have the same sign"
lesson.claim(text, abs(np.sign(axes[-1]).sum()) == 3)
lesson.claim(f"it has {share:.0%} of the variance", share > 0.6)
shifted = data.Augment(mean, size=224, colours=axes)(photos, epoch=0, first=0)
shift = shifted - some
lesson.claim("one colour is added to a whole image", shift.std(axis=(2, 3)).max() < 0.01)
print(f"the largest of these shifts: {abs(shift).max():.0f} of 255")

# %% [markdown]
# ## Break it
#
# What exactly is the "spread"? The paper uses the *eigenvalue* of each axis, which is
# the variance along it. The code of 2012 uses the standard deviation, its square root.
# We follow the text of the paper literally.
#
# Before you run this: what will the images look like?

# %%
variances = axes * spread[:, None]
literal = data.Augment(mean, size=224, colours=variances)(photos, epoch=0, first=0)
pixels = literal + mean[:, None, None]
outside = ((pixels < 0) | (pixels > 255)).mean()
print(f"shifts up to {abs(literal - some).max():,.0f}, where black and white differ by 255")
lesson.claim(
    f"{outside:.0%} of all values are darker than black or lighter than white", outside > 0.5
)

# %% [markdown]
# There is no error here either: a network accepts any values. It trains badly, without
# an obvious reason. So display the input of your network as images, with the mean added
# again, before you train. And note that a variance has squared units: adding it to
# pixels makes no sense.

# %%
light = data.Augment(mean, size=224, colours=axes)
with_eigenvalues = data.Augment(mean, size=224, colours=variances)
photo = photos[[photos.std(axis=1).mean(axis=(1, 2)).argmax()]]  # the most colourful one
figure = lesson.figure(12, 4.4)
title = "a photograph" if source == lesson.PHOTOS else "an image"
whole = lesson.image_axes(figure, 2, 6, 1, title=title, pixels=photo[0])
colours = [lesson.BLUE, lesson.RED, lesson.GREEN, "#d9a21b", "#7d5ba6"]
rows = (
    ("shifted, mirrored", crop, 5),
    ("and colour shift", light, 4),
    ("with eigenvalues", with_eigenvalues, 2),
)
for title, change, count in rows:
    for epoch in range(count):
        pixels = change(photo, epoch=epoch, first=0)[0] + mean[:, None, None]
        pixels, title = np.clip(pixels, 0, 255).astype(np.uint8), "" if epoch else title
        frame = lesson.image_axes(figure, 2, 6, len(figure.axes) + 1, title=title, pixels=pixels)
        if change is crop:
            frame.spines[:].set(color=colours[epoch], linewidth=3)
            corners = augment(indices, epoch=epoch, first=0)[0]  # the same shifts as the photo's
            corner = min(corners[1, 0, 0], corners[1, 0, -1]) - 0.5, corners[0, 0, 0] - 0.5
            style = {"fill": False, "edgecolor": colours[epoch], "linewidth": 2}
            whole.add_patch(Rectangle(corner, 224, 224, **style))
lesson.show(figure, "14_augmentation")

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
# Before you run this: which of the two networks has the lower training error? And the
# lower test error?

# %%
train, test, _ = lesson.images(500, 1000)
small_mean = data.mean_image(train.images).mean(axis=(1, 2))
options = {"mean": small_mean, "scale": 1 / train.images.std(), "size": 24}
centre, ten_views = data.Normalize(**options), data.TenViews(**options)


def evaluate(net, images, views):
    return training.evaluate(net, data.Loader(images, 250, transform=views, device=args.device))


results = {}
for name, transform in (("central crop", centre), ("random crops", data.Augment(**options))):
    ta.manual_seed(args.seed)
    layers = [nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()]
    net = nn.Sequential(*layers, nn.Linear(32 * 5 * 5, 64), nn.ReLU(), nn.Linear(64, 10))
    init.kaiming_(net)
    optimizer = optim.SGD(optim.paper_groups(net, lr=0.01), lr=0.01, momentum=0.9)
    loader = data.Loader(train, 50, shuffle=True, transform=transform, device=args.device)
    for epoch in range(50):
        for images, labels in loader.epoch(epoch):
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimizer.step()
    cases = (train, centre), (test, centre), (test, ten_views)
    own, one, ten = results[name] = [evaluate(net, images, views) for images, views in cases]
    print(f"  {name}: training error {own.error:.1%}, test error {one.error:.1%}", end="")
    print(f", with ten views {ten.error:.1%}")
(own, one, ten), (own_random, one_random, ten_random) = results.values()
text = f"central crop: training error {own.error:.1%}, the images are memorised"
lesson.claim(text, own.error < 0.02)
lesson.claim("random crops: the training error is higher", own_random.error > own.error)
lesson.claim("and the test error is lower", one_random.error < one.error)
text = f"the test loss decreases from {one.loss:.2f} to {one_random.loss:.2f}"
lesson.claim(text, one_random.loss < 0.7 * one.loss)
fewer = ten.error + ten_random.error < one.error + one_random.error
lesson.claim("ten views make fewer errors than one, both networks together", fewer)

# %% [markdown]
# Augmentation increases the training error and decreases the test loss: images that
# differ in each epoch are harder to memorise. On real images the difference in test
# error can be within the standard error of such a small test; the difference in loss is
# not.
#
# ## Exercises
#
# 1. Write the ten views yourself: `tinyalex learn start 14` creates the file in `my/`,
#    `tinyalex learn check 14` checks it.
# 2. Omit shifting or mirroring alone (`flip=False`). Which of the two helps more? And
#    for which images would mirroring be wrong?
# 3. The code of 2012 shifted 32 consecutive images equally, to save time:
#    `data.Augment(..., together=32)`. Does it make a difference?
