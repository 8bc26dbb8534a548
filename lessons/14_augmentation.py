# %% [markdown]
"""
# 14. How do you make 2048 images of one?

    python lessons/14_augmentation.py [--seed 1] [--device cuda]

A network with millions of weights can learn its training images by heart, and then it knows these and nothing else: it *overfits*. The
best cure is more images. The next best is to change those we have in ways that leave their meaning alone. A cat that sits a little further
left is a cat, and so is its mirror image. This is *augmentation*, and the paper does it in three ways (section 4.1): it moves, it mirrors,
and it shifts colours. Without the first two, it says, the network suffers from substantial overfitting.
"""

# %%
import numpy as np
from matplotlib.patches import Rectangle

import tinyalex as ta
from tinyalex import data, nn, optim, training
from tinyalex import functional as F
from tinyalex.learning import lesson
from tinyalex.nn import init

args = lesson.options(__doc__)

# %% [markdown]
# ## Counting
#
# The paper scales a photo to 256 x 256 pixels and cuts a square of 224 x 224 from it, a *crop*: each time at another place, and half
# of the time mirrored. It says that this makes the training set larger by a factor of 2048 (section 4.1), which is 32 * 32 * 2.
#
# We let `data.Augment`, which the training scripts use, do it many times, and count. So that each result can be told from all others, the
# picture is made for the purpose: a pixel's red is its row and its green its column. To save time both sizes are smaller by the same
# amount, which leaves the squares as much room as in the paper.
#
# Before you run this: how many places are there for a square in a picture that is 32 pixels larger?

# %%
size, room = 8, 256 - 224
side = size + room
picture = np.zeros((1, 3, side, side), np.uint8)
picture[0, 0], picture[0, 1] = np.arange(side)[:, None], np.arange(side)
augment = data.Augment([0, 0, 0], size=size)
found = np.zeros((side, side, 2), int)  # by row, column, mirrored or not
for epoch in range(15):
    views = augment(np.repeat(picture, 4000, axis=0), epoch=epoch, first=0).astype(int)
    top, left, right = views[:, 0, 0, 0], views[:, 1, 0, 0], views[:, 1, 0, -1]
    np.add.at(found, (top, np.minimum(left, right), (left > right).astype(int)), 1)
different = int((found > 0).sum())
print(
    f"{found.sum():,} tries, {different} different results, each {found[found > 0].min()} to {found.max()} times"
)
lesson.claim(
    f"there are {different}: {room + 1} rows * {room + 1} columns * 2",
    different == (room + 1) ** 2 * 2,
)

# %% [markdown]
# A square can move by 0, 1, 2 ... 32 pixels, and these are one more than 32: the mistake of the farmer who forgets the last post of his
# fence. The code of 2012 draws from all of them; the text of the paper is off by one, twice. Nothing hangs on it but this: count things.
#
# ## To a network it is another image
#
# To us, two crops of a photo look the same. A network sees numbers in places, and here is how much these change.
#
# Before you run this: guess the mean difference of two pixels in the same place, if 255 is that of black and white. In two crops of one
# photo? And in crops of two photos that have nothing to do with each other?

# %%
photos = lesson.photos(40).pixels
mean = data.mean_image(photos).mean(axis=(1, 2))
cut = data.Augment(mean, size=224)
some, others = (cut(photos, epoch=epoch, first=0) for epoch in (0, 1))
same = abs(some - others).mean()
strange = abs(some - np.roll(others, 1, axis=0)).mean()
print(f"two crops of one photo: {same:.0f}; of two photos: {strange:.0f}")
lesson.claim(
    f"crops of one photo differ by {same / strange:.0%} of what strangers do", same > strange / 4
)

# %% [markdown]
# Of course, 2178 images of one cat are not as good as one each of 2178 cats; the paper itself calls them "highly interdependent".
#
# ## The colour of the light
#
# The same cat in the evening sun is redder, in the shade darker. So the paper shifts the colour of each whole image. It asks the training
# images in which direction, in the space of red, green and blue, their pixels vary most: these are the *principal axes*, three arrows at
# right angles. It then goes along each by 0.1 times a random normal number, times how widely pixels are spread in this direction.
#
# Before you run this: which colours does the longest arrow join? What makes most of the difference between pixels of photographs?

# %%
axes = data.colour_axes(photos)
spread = np.linalg.norm(axes, axis=1)
for length, axis in zip(spread[::-1], axes[::-1], strict=True):
    print(f"  spread {length:5.1f} along red, green, blue = {np.round(axis / length, 2)}")
share = spread[-1] ** 2 / (spread**2).sum()
lesson.claim(
    "the longest arrow goes from dark to light: red, green and blue together",
    abs(np.sign(axes[-1]).sum()) == 3,
)
lesson.claim(
    f"it has {share:.0%} of the variance, the mean squared distance from the mean", share > 0.6
)
tinted = data.Augment(mean, size=224, colours=axes)(photos, epoch=0, first=0)
shift = tinted - some
lesson.claim("a whole image is shifted by one colour", shift.std(axis=(2, 3)).max() < 0.01)
print(f"the largest of these shifts: {abs(shift).max():.0f} of 255")

# %% [markdown]
# ## Break it
#
# How widely is "spread"? The paper takes the *eigenvalue* of each axis, a word for the variance along it. The code of 2012 takes the
# standard deviation, which is its square root. Follow the paper to the letter:
#
# Before you run this: what will the pictures look like?

# %%
literal = data.Augment(mean, size=224, colours=axes * spread[:, None])(photos, epoch=0, first=0)
lost = ((literal < -mean[:, None, None]) | (literal > 255 - mean[:, None, None])).mean()
print(f"shifts up to {abs(literal - some).max():,.0f}, where black and white are 255 apart")
lesson.claim(f"{lost:.0%} of all values are beyond black or white", lost > 0.5)

# %% [markdown]
# No error here either: a network takes any number. It trains badly, and nobody knows why. So look at what your network sees, as pictures
# with the mean added again, before you train. And a variance is in squared units; that alone should make one suspicious.

# %%
light, broken = (
    data.Augment(mean, size=224, colours=lengths * axes) for lengths in (1, spread[:, None])
)
photo = photos[[photos.std(axis=1).mean(axis=(1, 2)).argmax()]]  # the most colourful one
figure = lesson.figure(12, 4.4)
whole = lesson.picture(figure, 2, 6, 1, title="a photo", pixels=photo[0])
inks = [lesson.BLUE, lesson.RED, lesson.GREEN, "#d9a21b", "#7d5ba6"]
rows = [
    ("moved, mirrored", cut, range(5)),
    ("and in other light", light, range(4)),
    ("broken: eigenvalues", broken, range(2)),
]
for title, change, epochs in rows:
    for epoch in epochs:
        pixels = change(photo, epoch=epoch, first=0)[0] + mean[:, None, None]
        pixels, title = np.clip(pixels, 0, 255).astype(np.uint8), "" if epoch else title
        frame = lesson.picture(figure, 2, 6, len(figure.axes) + 1, title=title, pixels=pixels)
        if change is cut:
            frame.spines[:].set(color=inks[epoch], linewidth=3)
            row, *columns = augment(picture, epoch=epoch, first=0)[
                0, [0, 1, 1], 0, [0, 0, -1]
            ]  # the same moves as the photo's
            place = (min(columns) - 0.5, row - 0.5)
            whole.add_patch(
                Rectangle(place, 224, 224, fill=False, edgecolor=inks[epoch], linewidth=2)
            )
lesson.show(figure, "14_augmentation")

# %% [markdown]
# ## Does it help?
#
# Two networks, alike in everything, learn from the same 500 small images for the same number of steps. One always sees the square of 24 x
# 24 pixels in the middle, the other a new crop each time. Then both are tested on images they have not seen.
#
# In testing nothing should be left to chance. The paper cuts *ten views* of each test image, the four corners and the middle and their
# mirror images, and takes the mean of the ten answers. Without that, its top-1 error is 39.0 % instead of 37.5 % (section 6).
#
# Before you run this: which of the two networks makes fewer mistakes on its own 500 images? And on the others?

# %%
train, test, _ = lesson.images(500, 1000)
numbers = {
    "mean": data.mean_image(train.images).mean(axis=(1, 2)),
    "scale": 1 / train.images.std(),
    "size": 24,
}
middle, ten = data.Normalize(**numbers), data.TenViews(**numbers)


def tested(net, images, views):
    return training.evaluate(net, data.Loader(images, 250, transform=views, device=args.device))


results = {}
for name, transform in (
    ("the middle only", middle),
    ("a new crop each time", data.Augment(**numbers)),
):
    ta.manual_seed(args.seed)
    first = nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)
    second = nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)
    net = nn.Sequential(
        *first, *second, nn.Flatten(), nn.Linear(32 * 5 * 5, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    init.kaiming_(net)
    optimizer = optim.SGD(optim.paper_groups(net, lr=0.01), lr=0.01, momentum=0.9)
    loader = data.Loader(train, 50, shuffle=True, transform=transform, device=args.device)
    for epoch in range(50):
        for images, labels in loader.epoch(epoch):
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimizer.step()
    results[name] = own, one, many = (
        tested(net, train, middle),
        tested(net, test, middle),
        tested(net, test, ten),
    )
    print(
        f"  {name:<21} errors: its own images {own.error:.1%}, new ones {one.error:.1%}, by ten views {many.error:.1%}"
    )
(own, one, many), (own_cut, one_cut, ten_cut) = results.values()
lesson.claim(
    f"the middle only: {own.error:.1%} of its own images wrong. Learnt by heart", own.error < 0.02
)
lesson.claim("the other one makes more mistakes on its own images", own_cut.error > own.error)
lesson.claim("and fewer on new ones", one_cut.error < one.error)
lesson.claim(
    f"the loss on new images falls from {one.loss:.2f} to {one_cut.loss:.2f}",
    one_cut.loss < 0.7 * one.loss,
)
lesson.claim(
    "ten views make fewer mistakes than one, both networks together",
    many.error + ten_cut.error < one.error + one_cut.error,
)

# %% [markdown]
# A training error that is low beside a high test error is overfitting. Augmentation makes the first worse and the second better: it is
# harder to learn by heart what is never the same twice.
#
# ## Exercises
#
# 1. `tinyalex learn start 14` puts a file into `my/` in which you cut the ten views; `tinyalex learn check 14` says what is wrong.
# 2. Take away moving or mirroring alone (`flip=False`). Which of the two helps more? And for which pictures would mirroring be wrong?
# 3. The 2012 code moved 32 neighbouring images alike, to save time: `data.Augment(..., together=32)`. Does it cost anything?
