# %% [markdown]
"""
# 8. Why max, why with overlap, and who gets the gradient?

    python lessons/08_pooling.py [--seed 1] [--device cuda]

A filter's feature map says at each pixel how much of its pattern is there. That is more than a network wants to know: for "a dog" it
matters that there is an ear, hardly on which pixel. *Pooling* makes the map smaller. A window moves over it and leaves one number at each
place: the largest number it sees (*max-pooling*), or their mean (*average pooling*). There is nothing to learn in it, no weights.

AlexNet pools three times, with the maximum, over windows of 3 x 3 that move by 2 (section 3.4): they overlap. We ask why, and what
this means on the way back, where each window has a gradient to give to its pixels.
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import device, kernels
from tinyalex import functional as F
from tinyalex.learning import lesson

args = lesson.options(__doc__)
photos = lesson.photos(4, 129).pixels.astype("f") / 255
random = np.random.default_rng(args.seed)
edge = np.tile(
    np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], "f") / 3, (1, 3, 1, 1)
)  # left brighter than right, in all three colours
maps = F.relu(
    F.conv2d(photos, edge)
).numpy()  # and where the right is brighter, 0: what a layer of AlexNet makes

# %% [markdown]
# ## Max or average
#
# We pool the photos and their maps of edges twice. Before you run this: what will happen to a photo in either way? And to a thin, strong
# edge in a map that is nearly black elsewhere?


# %%
def pooled(pool, x, times):
    for _ in range(times):
        x = pool(x, 3, 2)
    return ta.Tensor(x).numpy()


def steepest(x):
    """What only a hundredth of the steps from one pixel to its neighbour exceeds."""
    return np.quantile(abs(np.diff(x, axis=3)), 0.99)


strongest = maps.max(axis=(1, 2, 3))
for times in (1, 2, 3):
    by_max, by_mean = (
        pooled(pool, maps, times).max(axis=(1, 2, 3)) / strongest
        for pool in (F.max_pool2d, F.avg_pool2d)
    )
    print(
        f"  pooled {times} times: the strongest edge has {by_max.mean():.0%} of its strength by max, {by_mean.mean():.0%} by average"
    )
lesson.claim("the maximum passes a strong answer on as it is", (by_max == 1).all())
lesson.claim("the average thins it out, by more than half", by_mean.max() < 0.5)
photo_max, photo_mean = (pooled(pool, photos, 2) for pool in (F.max_pool2d, F.avg_pool2d))
print(
    f"photos: the steepest steps are {steepest(photo_mean):.3f} after the average, {steepest(photo_max):.3f} after the maximum"
)
lesson.claim(
    "the average blurs, the maximum keeps edges steep", steepest(photo_mean) < steepest(photo_max)
)
lesson.claim(
    "but the average keeps the brightness", abs(photo_mean.mean() / photos.mean() - 1) < 0.1
)
lesson.claim(
    f"which the maximum raises, by {photo_max.mean() / photos.mean() - 1:.0%}",
    photo_max.mean() > 1.02 * photos.mean(),
)

# %% [markdown]
# So to make a photo smaller, take the average: a photo made from maxima is glaring. A feature map is not a photo. A high number says "it
# is here", and a 0 says nothing; the mean of one cry and eight silences is a mumble. The maximum asks "is it anywhere in this window?"
#
# ## With overlap or without
#
# Windows of 2 x 2 in steps of 2 lie side by side, and make the map just as small: section 3.4 compares the two, and reports top-1 and
# top-5 errors lower by 0.4 % and 0.3 % with overlap. So small a difference takes a whole ImageNet to see. What can be seen here is
# what overlap does when the picture moves: every window loses a column of pixels and gets a new one.
#
# Before you run this: we move the maps by one pixel. In which of the two do the maxima change more?

# %%
sizes = {
    kernel: F.max_pool2d(np.zeros((1, 1, 55, 55), "f"), kernel, 2).shape[2] for kernel in (2, 3)
}
lesson.claim(f"of conv1's 55 x 55 both make the same size: {sizes}", sizes[2] == sizes[3])
changed = {}
for kernel in (2, 3):
    here, moved = (
        F.max_pool2d(part, kernel, 2).numpy()[..., :61, :61]
        for part in (maps[..., :-1], maps[..., 1:])
    )
    changed[kernel] = abs(here - moved).sum() / here.sum()
    print(
        f"  {kernel} x {kernel}: moved by one pixel, the pooled maps change by {changed[kernel]:.1%} of all that is in them"
    )
lesson.claim("with overlap the answer is steadier", changed[3] < changed[2])

# %% [markdown]
# Two thirds of a window of 3 stay when it moves by one; of a window of 2 only half. To be steady where the picture trembles is what
# pooling is for.
#
# ## Who gets the gradient?
#
# Forward, a window's number was one pixel's: the winner's. Turn the winner up a little and the output follows; turn any other pixel and
# nothing happens. So the winner gets all the gradient of the window, and the others get nothing. With the average each of the nine pixels
# has a ninth of a say, and gets a ninth. We send a 1 back from each window, so that the gradient counts.
#
# Before you run this: what is the largest number that a pixel can get, in each of the three?


# %%
def gradient(pool, x, *window):
    x = ta.Tensor(x, requires_grad=True)
    y = pool(x, *window)
    y.backward(device.xp(y.data).ones(y.shape, y.dtype))
    return ta.Tensor(x.grad).numpy(), y.size


noise = random.random((4, 1, 55, 55)).astype("f")  # no two alike: each window has one winner
most = {}
for name, pool, kernel in (
    ("max 2 x 2", F.max_pool2d, 2),
    ("max 3 x 3", F.max_pool2d, 3),
    ("average 3 x 3", F.avg_pool2d, 3),
):
    dx, windows = gradient(pool, noise, kernel, 2)
    most[name] = dx.max()
    print(
        f"  {name:<14} {(dx > 0).mean():.0%} of the pixels get something, the most {dx.max():.2f}"
    )
    lesson.claim(
        f"what {windows} windows give is what the pixels get: {dx.sum():.1f}",
        np.isclose(dx.sum(), windows),
    )
lesson.claim("side by side, a pixel wins at most once", most["max 2 x 2"] == 1)
lesson.claim("where four windows overlap, one pixel can win all of them", most["max 3 x 3"] == 4)

# %% [markdown]
# ## Ties
#
# Real maps have no 55 x 55 different numbers. After ReLU they are full of zeros, and in a window of zeros all pixels are the largest.
# Somebody must get the gradient. The paper does not say who; tinyalex gives it to the first, row by row.
#
# Before you run this: does it matter who gets it?

# %%
flat, _ = gradient(F.max_pool2d, np.zeros((1, 1, 7, 7)), 3, 2)
print(flat[0, 0].astype(int))
lesson.claim(
    "in a window of equals the upper left pixel gets it all",
    (flat[0, 0, :6:2, :6:2] == 1).all() and flat.sum() == 9,
)
before = F.conv2d(photos, edge).numpy()
tied = (F.max_pool2d(F.relu(before), 3, 2).numpy() == 0).mean()
to_zeros, _ = gradient(F.max_pool2d, maps, 3, 2)
through, _ = gradient(lambda x: F.max_pool2d(F.relu(x), 3, 2), before)
print(f"{tied:.0%} of the windows on our maps are all zeros")
lesson.claim("pooling sends gradients to some of these zeros", to_zeros[maps == 0].sum() > 0)
lesson.claim(
    "and the ReLU before it stops them all: behind a ReLU, ties of zeros do not matter",
    not through[before <= 0].any(),
)

# %% [markdown]
# ## Break it
#
# Our own backward pass of max-pooling: find each window's winner, and put the window's gradient there. `max_pool` is the routine that
# tinyalex's own layer calls; it tells the winners as u * KW + v, row and column within the window.
#
# Before you run this: find the mistake. Which window sizes will show it?


# %%
class Pool(ta.Function):
    def forward(self, x, *, kernel):
        out = [(size - kernel) // 2 + 1 for size in x.shape[2:]]
        y = device.xp(x).empty((*x.shape[:2], *out), x.dtype)
        tap = device.xp(x).empty(y.shape, "uint8")
        kernels.of(x).max_pool(x, y, tap, (kernel, kernel), (2, 2), (0, 0), (1, 1))
        n, c, i, j = np.indices(y.shape)
        tap = device.to_numpy(tap).astype(int)
        self.x, self.winner = x, (n, c, 2 * i + tap // kernel, 2 * j + tap % kernel)
        return y

    def backward(self, dy):
        dx = np.zeros(self.x.shape, dy.dtype)
        dx[self.winner] = device.to_numpy(dy)
        return device.to(dx, device.of(dy))


for kernel in (2, 3):
    report = ta.gradcheck(
        lambda x, kernel=kernel: Pool.apply(x, kernel=kernel),
        [noise[:1, :, :9, :9]],
        raise_exception=False,
    )
    print(f"gradcheck, {kernel} x {kernel}:", "passes" if report.ok else "fails")
    lesson.claim(
        "side by side nothing is wrong" if kernel == 2 else "with overlap something is",
        report.ok == (kernel == 2),
    )
right, windows = gradient(F.max_pool2d, maps, 3, 2)
wrong, _ = gradient(lambda x: Pool.apply(x, kernel=3), maps)
lesson.claim(
    f"of {windows} ones sent back {1 - wrong.sum() / windows:.0%} are lost",
    wrong.sum() < 0.9 * windows,
)
lesson.claim(
    "those of pixels that won more than once, and no others",
    np.array_equal(wrong, np.minimum(right, 1)),
)

# %% [markdown]
# `=` where it should add up. A pixel that wins four windows keeps one gradient of four, so it is the strongest answers, those that the
# maximum is there for, that get less than their share. No error, and the right shapes. Two things find it: a gradient check with windows
# that overlap, and the question whether all that was sent has arrived.

# %%
figure = lesson.figure(10, 6.8)
show = {
    "a photo": photos[0],
    "averaged twice: blurred": photo_mean[0],
    "maximum twice: steep edges, too bright": photo_max[0],
}
for place, (title, pixels) in enumerate(show.items(), 1):
    lesson.picture(figure, 2, 3, place, title=title, pixels=pixels, vmin=0, vmax=1)
part = np.s_[0, 0, 40:72, 40:72]
lesson.picture(figure, 2, 3, 4, title="a part of its map of edges", pixels=maps[part], cmap="gray")
for place, title, dx in (
    (5, "how many windows a pixel won", right),
    (6, "what = for += leaves", wrong),
):
    axes = lesson.picture(
        figure, 2, 3, place, title=title, pixels=dx[part], cmap="Blues", vmin=0, vmax=4
    )
    figure.colorbar(axes.images[0], ax=axes, shrink=0.8, ticks=range(5))
lesson.show(figure, "08_pooling")

# %% [markdown]
# ## Exercises
#
# 1. `tinyalex learn start 8` puts a file with max-pooling's backward into `my/`; `tinyalex learn check 8` says what is wrong with yours.
# 2. Give the gradient of a tie to all winners in equal parts. Does gradcheck prefer one of the two? What does it say of a tie?
# 3. Replace max by average in the section on overlap. Which of the two is steadier, and is that all one wants?
