# %% [markdown]
"""
# 8. Why max pooling, why with overlap, and which pixel gets the gradient?

    python lessons/08_pooling.py [--seed 1] [--device cuda]

A filter's feature map shows how well its pattern matches at each pixel. A classifier
needs less: for "dog" it matters that there is an ear, but not at which pixel. *Pooling*
makes the map smaller. A window moves over it and outputs one value at each position:
the largest in the window (*max pooling*), or the mean (*average pooling*). There are no
weights to train.

AlexNet has three max pooling layers, with windows of 3 x 3 and stride 2 (section 3.4):
they overlap. We ask why, and what this means in the backward pass, in which each window
distributes its gradient to its pixels.
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import device, kernels
from tinyalex import functional as F
from tinyalex.course import lesson

args = lesson.options(__doc__)
photos, source = lesson.photos(4, 129)
photos = photos.astype("f") / 255
rng = np.random.default_rng(args.seed)
sobel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], "f") / 3
edge = np.tile(sobel, (1, 3, 1, 1))  # the left brighter than the right, in all three channels
maps = F.relu(F.conv2d(photos, edge)).numpy()  # as in AlexNet: convolution, ReLU

# %% [markdown]
# ## Maximum or mean
#
# We pool the images and their maps of edges. Before you run this: what will each kind
# of pooling do to an image? And to a thin, strong edge in a map that is nearly 0
# elsewhere?


# %%
def pooled(pool, x, times):
    for _ in range(times):
        x = pool(x, 3, 2)
    return ta.Tensor(x).numpy()


def contrast(x):
    """The 99th percentile of the differences between neighbouring pixels."""
    return np.quantile(abs(np.diff(x, axis=3)), 0.99)


def strongest(x):
    return x.max(axis=(1, 2, 3))


for times in (1, 2, 3):
    by_max = strongest(pooled(F.max_pool2d, maps, times)) / strongest(maps)
    by_mean = strongest(pooled(F.avg_pool2d, maps, times)) / strongest(maps)
    print(
        f"  pooled {times} times, the strongest edge keeps {by_max.mean():.0%} of its value", end=""
    )
    print(f" by max pooling, {by_mean.mean():.0%} by average pooling")
lesson.claim("the maximum keeps a strong response unchanged", (by_max == 1).all())
lesson.claim("the mean, applied three times, loses more than half of it", by_mean.max() < 0.5)
photo_max, photo_mean = (pooled(pool, photos, 2) for pool in (F.max_pool2d, F.avg_pool2d))
sharp, blurred = contrast(photo_max), contrast(photo_mean)
print(f"images pooled twice: contrast {blurred:.3f} by the mean, {sharp:.3f} by the maximum")
lesson.claim("the mean blurs, the maximum keeps edges steep", blurred < sharp)
brightness = photo_mean.mean() / photos.mean()
lesson.claim("but the mean keeps the brightness", abs(brightness - 1) < 0.1)
brightness = photo_max.mean() / photos.mean()
lesson.claim(f"which the maximum raises, by {brightness - 1:.0%}", brightness > 1.02)

# %% [markdown]
# So to reduce an image, take the mean: an image of maxima is too bright. A feature map
# is not an image. A large value means "the pattern is here", a 0 means "not here", and
# the mean of one large value and many zeros is small. The maximum answers "is the
# pattern anywhere in this window?"
#
# ## With or without overlap
#
# Windows of 2 x 2 with stride 2 do not overlap, and reduce the map by the same factor.
# Section 3.4 compares the two: with overlap, top-1 and top-5 errors are lower by 0.4 %
# and 0.3 %, and the networks are "slightly more difficult to overfit". Measuring such a
# small difference requires all of ImageNet. Here we measure the effect of overlap when
# the image moves: every window loses a column of pixels and gets a new one.
#
# Before you run this: we shift the maps by one pixel. For which of the two do the
# maxima change more?

# %%
conv1_map = np.zeros((1, 1, 55, 55), "f")
sizes = {kernel: F.max_pool2d(conv1_map, kernel, 2).shape[2] for kernel in (2, 3)}
lesson.claim(f"both reduce conv1's 55 x 55 to the same size: {sizes}", sizes[2] == sizes[3])
changed = {}
for kernel in (2, 3):
    here = F.max_pool2d(maps[..., :-1], kernel, 2).numpy()[..., :61, :61]
    shifted = F.max_pool2d(maps[..., 1:], kernel, 2).numpy()[..., :61, :61]
    changed[kernel] = abs(here - shifted).sum() / here.sum()
    print(f"  {kernel} x {kernel}: after a shift by one pixel, changed by {changed[kernel]:.1%}")
lesson.claim("with overlap the output changes less", changed[3] < changed[2])

# %% [markdown]
# When a window of 3 moves by one pixel, two thirds of it remain; of a window of 2 only
# half. The purpose of pooling is to make the output less sensitive to small shifts.
#
# ## Which pixel gets the gradient?
#
# In the forward pass a window's output is one of its pixels, the maximum. If this pixel
# increases a little, so does the output; a change of any other pixel has no effect. So
# the maximum gets all of the window's gradient, and the others get 0. In average
# pooling each of the nine pixels has the weight 1/9, and gets 1/9 of the gradient. With
# a gradient of 1 for each window, the gradient of a pixel in max pooling is the number
# of windows whose maximum it is.
#
# Before you run this: what is the largest gradient that a pixel can get, in each of the
# three?


# %%
def gradient(pool, x, *window):
    """The gradient of the sum of all outputs, and the number of windows."""
    x = ta.Tensor(x, requires_grad=True)
    y = pool(x, *window)
    y.backward(device.xp(y.data).ones(y.shape, y.dtype))
    return ta.Tensor(x.grad).numpy(), y.size


noise = rng.random((4, 1, 55, 55)).astype("f")  # no equal values: each window has one maximum
largest, max_pool, avg_pool = {}, F.max_pool2d, F.avg_pool2d
cases = ("max 2 x 2", max_pool, 2), ("max 3 x 3", max_pool, 3), ("average 3 x 3", avg_pool, 3)
for name, pool, kernel in cases:
    dx, windows = gradient(pool, noise, kernel, 2)
    largest[name] = dx.max()
    print(f"  {name:<14} non-zero for {(dx > 0).mean():.0%} of the pixels, at most {dx.max():.2f}")
    text = f"the sum over the pixels, {dx.sum():.1f}, is that over {windows} windows"
    lesson.claim(text, np.isclose(dx.sum(), windows))
lesson.claim("without overlap, a pixel is the maximum once at most", largest["max 2 x 2"] == 1)
lesson.claim("where four windows overlap, it can be that of all four", largest["max 3 x 3"] == 4)

# %% [markdown]
# ## Ties
#
# The values of real maps are not all different. After ReLU there are many zeros, and in
# a window of zeros all pixels are the maximum. The paper does not state which one gets
# the gradient; in tinyalex it is the first, row by row.
#
# Before you run this: does it matter which one gets it?

# %%
flat, _ = gradient(F.max_pool2d, np.zeros((1, 1, 7, 7)), 3, 2)
print(flat[0, 0].astype(int))
first = (flat[0, 0, :6:2, :6:2] == 1).all() and flat.sum() == 9
lesson.claim("in a window of equal values the upper left pixel gets all of it", first)
before = F.conv2d(photos, edge).numpy()
tied = (F.max_pool2d(F.relu(before), 3, 2).numpy() == 0).mean()
to_zeros, _ = gradient(F.max_pool2d, maps, 3, 2)
through, _ = gradient(lambda x: F.max_pool2d(F.relu(x), 3, 2), before)
print(f"{tied:.0%} of the windows on our maps are all zeros")
lesson.claim("pooling passes gradients to some of these zeros", to_zeros[maps == 0].sum() > 0)
text = "and the ReLU before it sets them to 0: after a ReLU, ties of zeros do not matter"
lesson.claim(text, not through[before <= 0].any())

# %% [markdown]
# ## Break it
#
# A max pooling of our own. Its backward pass finds each window's maximum, and puts the
# window's gradient there. `max_pool` is the function that tinyalex's layer calls; it
# returns the position of the maximum as u * KW + v, with row u and column v within the
# window.
#
# Before you run this: find the mistake. Which window sizes will show it?


# %%
class Pool(ta.Function):
    def forward(self, x, *, kernel):
        k, xp = kernels.of(x), device.xp(x)
        x = k.ready(x)
        out = [(size - kernel) // 2 + 1 for size in x.shape[2:]]
        y = xp.empty((*x.shape[:2], *out), x.dtype)
        argmax = xp.empty(y.shape, "uint8")
        k.max_pool(x, y, argmax, (kernel, kernel), (2, 2), (0, 0), (1, 1))
        n, c, i, j = np.indices(y.shape)
        u, v = np.divmod(device.to_numpy(argmax).astype(int), kernel)
        self.x, self.maximum = x, (n, c, 2 * i + u, 2 * j + v)
        return y

    def backward(self, dy):
        dx = np.zeros(self.x.shape, dy.dtype)
        dx[self.maximum] = device.to_numpy(dy)
        return device.to(dx, device.of(dy))


for kernel in (2, 3):
    small = noise[:1, :, :9, :9]
    report = ta.gradcheck(lambda x, k=kernel: Pool.apply(x, kernel=k), small, raise_exception=False)
    print(f"gradcheck, {kernel} x {kernel}:", "passes" if report.ok else "fails")
    text = "without overlap it is right" if kernel == 2 else "with overlap it is wrong"
    lesson.claim(text, report.ok == (kernel == 2))
right, windows = gradient(F.max_pool2d, maps, 3, 2)
wrong, _ = gradient(lambda x: Pool.apply(x, kernel=3), maps)
text = f"of {windows} ones {1 - wrong.sum() / windows:.0%} are lost"
lesson.claim(text, wrong.sum() < 0.9 * windows)
text = "those of pixels that are the maximum of several windows, and no others"
lesson.claim(text, np.array_equal(wrong, np.minimum(right, 1)))

# %% [markdown]
# The mistake is `=` where values should be summed. A pixel that is the maximum of four
# windows gets only the last of the four gradients, so the strongest responses get too
# small a gradient. There is no error, and all shapes are right. Two tests find it: a
# gradient check with windows that overlap, and a comparison of the sums of dy and dx.

# %%
figure = lesson.figure(10, 6.8)
images = {
    "a photograph" if source == lesson.PHOTOS else "an image": photos[0],
    "average pooling, twice": photo_mean[0],
    "max pooling, twice": photo_max[0],
}
for i, (title, pixels) in enumerate(images.items(), 1):
    lesson.image_axes(figure, 2, 3, i, title=title, pixels=pixels, vmin=0, vmax=1)
part, title = np.s_[0, 0, 40:72, 40:72], "feature map of edges (part)"
lesson.image_axes(figure, 2, 3, 4, title=title, pixels=maps[part], cmap="gray")
gradients = {"gradient of max pooling": right, "the same with = instead of +=": wrong}
scale = {"cmap": "Blues", "vmin": 0, "vmax": 4}
for i, (title, dx) in enumerate(gradients.items(), 5):
    axes = lesson.image_axes(figure, 2, 3, i, title=title, pixels=dx[part], **scale)
    figure.colorbar(axes.images[0], ax=axes, shrink=0.8, ticks=range(5))
lesson.show(figure, "08_pooling")

# %% [markdown]
# ## Exercises
#
# 1. Write the backward pass of max pooling yourself: `tinyalex learn start 8` creates
#    the file in `my/`, `tinyalex learn check 8` checks it.
# 2. Divide the gradient of a tie equally among all maxima. Does gradcheck accept both
#    versions? What does it report for a tie?
# 3. Replace max by average pooling in the section on overlap. Which output changes
#    less, and is that all that matters?
