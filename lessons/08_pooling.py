# %% [markdown]
r"""
# 8. Why max pooling, why with overlap, and which pixel gets the gradient?

    python lessons/08_pooling.py [--seed 1] [--device cuda]

A filter's feature map shows how well its pattern matches at each pixel. A classifier
needs less: for "dog" it matters that there is an ear, but not at which pixel. *Pooling*
makes the map smaller. A window of K x K elements moves over it by the stride S, and
outputs one value at each position: the largest in the window (*max pooling*), or the
mean (*average pooling*). There are no weights to train.

$$
y_{\max}[i, j] = \max_{u, v} \; x[S i + u, S j + v], \qquad
y_{\mathrm{mean}}[i, j] = \frac{1}{K^2} \sum_{u, v} x[S i + u, S j + v]
$$

with u and v from 0 to K - 1, for each channel of each image. AlexNet has three max
pooling layers with K = 3 and S = 2 (section 3.4): since K > S, their windows overlap
(*overlapping pooling*). We ask why, and what this means in the backward pass, in which
each window distributes its gradient to its pixels.
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
noise = rng.random((4, 1, 55, 55)).astype("f")  # no equal values: each window has one maximum
edge = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], "f") / 3  # bright left of dark
filters = np.tile(edge, (1, 3, 1, 1))  # one filter, the same in all three channels
maps = F.relu(F.conv2d(photos, filters)).numpy()  # as in AlexNet: convolution, ReLU

# %% [markdown]
# ## Maximum or mean
#
# We pool the images and their maps of edges, once or several times in succession. As a
# measure of contrast we take the 99th *percentile* of the differences between
# neighbouring pixels: the value that 99 % of them are below.
#
# **Before you run this:** what will each kind of pooling do to an image? And to a thin,
# strong edge in a map that is nearly 0 elsewhere?


# %%
def pooled(pool, x, times):
    for _ in range(times):
        x = pool(x, 3, 2)
    return ta.Tensor(x).numpy()


def contrast(x):
    """The 99th percentile of the horizontal differences."""
    return np.quantile(abs(np.diff(x, axis=3)), 0.99)


kept, images_pooled = {}, {}
for name, pool in {"max": F.max_pool2d, "mean": F.avg_pool2d}.items():
    tops = [pooled(pool, maps, times).max(axis=(1, 2, 3)) for times in range(4)]
    kept[name] = [(top / tops[0]).mean() for top in tops]
    print(f"  {name:<4} pooled 1, 2, 3 times: the strongest edges have", end="")
    print("{:>5.0%}{:>5.0%}{:>5.0%} of their value".format(*kept[name][1:]))
    images_pooled[name] = small = pooled(pool, photos, 2)
    print(f"       images, pooled twice: contrast {contrast(small):.3f}", end="")
    print(f", brightness {small.mean() / photos.mean():.2f} times that of the image")

# %% answer [markdown]
# To reduce an *image*, take the mean: it keeps the brightness, and an image of maxima
# is too bright. The mean also blurs: the differences between neighbouring pixels become
# smaller than with the maximum, which keeps edges steep. A *feature map* is not an
# image. A large value (a strong *response* of the filter) means "the pattern is here",
# a 0 means "not here". If an edge in the map is as thick as the window, its mean is
# still large; if it is thinner, zeros are averaged into it. Each pooling makes the map
# smaller, and with it the thickness of the edge in pixels, so more zeros are averaged
# into it and the strongest response becomes smaller each time. The maximum answers the
# question "is the pattern anywhere in this window?", and keeps the value.

# %% claims
lesson.claim("the maximum keeps the strongest response unchanged", kept["max"] == [1, 1, 1, 1])
text = f"the mean, applied three times, leaves {kept['mean'][3]:.0%} of it"
lesson.claim(text, kept["mean"][3] < 0.5)
sharper = contrast(images_pooled["mean"]) < contrast(images_pooled["max"])
lesson.claim("the mean blurs, the maximum keeps edges steep", sharper)
bright = {name: small.mean() / photos.mean() for name, small in images_pooled.items()}
text = f"the mean keeps the brightness, the maximum multiplies it by {bright['max']:.2f}"
lesson.claim(text, abs(bright["mean"] - 1) < 0.1 and bright["max"] > 1.02)

# %% plot
figure = lesson.figure(10, 3.4)
images = {
    "a photograph" if source == lesson.PHOTOS else "an image": photos[0],
    "average pooling, twice": images_pooled["mean"][0],
    "max pooling, twice": images_pooled["max"][0],
}
for i, (title, pixels) in enumerate(images.items(), 1):
    lesson.image_axes(figure, 1, 3, i, title=title, pixels=pixels, vmin=0, vmax=1)
lesson.show(figure, "08_pooling")

# %% [markdown]
# ## With or without overlap
#
# Windows of 2 x 2 with stride 2 do not overlap, and reduce the map by the same factor.
# The paper reports two errors on ImageNet's 1000 classes. The *top-1 error* is the
# usual one: the label is not the most probable class. For the *top-5 error*, the label
# is not even among the five most probable classes. Section 3.4 compares the two kinds
# of windows: with overlap, top-1 and top-5 errors are lower by 0.4 % and 0.3 %. Such
# differences are in *percentage points*: 40.4 % and 40.0 % differ by 0.4. (The errors
# that are recorded in the code of 2012 confirm it: 0.39 % and 0.30 %.) The only reason
# that the paper gives is an observation during training: networks with overlap are
# "slightly more difficult to overfit". To *overfit* is to fit the training images
# better than others of the same kind. So small a difference cannot be seen in a short
# run. Lesson 17 looks for it on CIFAR-10, with five seeds.
#
# There is a property that can be measured here. Pooling should make the output less
# sensitive to small shifts of the image. When the image moves by one pixel, each window
# loses a column of K pixels and gets a new one.
#
# **Before you run this:** for which of the two does the output change more? On noise
# (independent random pixels), in what fraction of the windows does the maximum change?

# %%
changed, relative = {}, {}
for kernel in (2, 3):
    for name, x in {"noise": noise, "maps": maps}.items():
        size = x.shape[3] // 2 - 2  # so that both kinds have the same number of windows
        here = F.max_pool2d(x[..., :-1], kernel, 2).numpy()[..., :size, :size]
        shifted = F.max_pool2d(x[..., 1:], kernel, 2).numpy()[..., :size, :size]
        changed[kernel, name] = (here != shifted).mean()
        relative[kernel, name] = abs(here - shifted).sum() / here.sum()
    print(f"  {kernel} x {kernel}, noise: {changed[kernel, 'noise']:.1%} of the maxima change")
    print(f"         maps: the output changes by {relative[kernel, 'maps']:.1%} in total")

# %% answer [markdown]
# The window before and the one after the shift have $K (K - 1)$ pixels in common, and
# $K (K + 1)$ together. In noise, the largest of all these is equally likely to be any
# of them. If it is one of the common pixels, both windows have the same maximum; if
# not, only one window has it, and the maximum changes:
#
# $$
# P(\mathrm{change}) = 1 - \frac{K (K - 1)}{K (K + 1)} = \frac{2}{K + 1}
# $$
#
# That is 2/3 for K = 2, and 1/2 for K = 3. In maps of real patterns neighbouring pixels
# are similar, so the changes are smaller, but here too the output changes less with
# K = 3 than with K = 2.

# %% claims
for kernel in (2, 3):
    text = f"{kernel} x {kernel}: {changed[kernel, 'noise']:.3f} of the maxima of noise change"
    expected = 2 / (kernel + 1)
    near = abs(changed[kernel, "noise"] - expected) < 0.05
    lesson.claim(f"{text}, predicted {expected:.3f}", near)
lesson.claim("on maps the output changes less, too", relative[3, "maps"] < relative[2, "maps"])
sizes = {kernel: F.max_pool2d(noise, kernel, 2).shape[2] for kernel in (2, 3)}
lesson.claim(f"both reduce conv1's 55 x 55 to the same size: {sizes}", sizes[2] == sizes[3])

# %% [markdown]
# ## Which pixel gets the gradient?
#
# A window's maximum is one of its pixels. If this pixel increases a little, so does the
# output, by the same amount: the derivative is 1. A small change of any other pixel of
# the window has no effect: the derivative is 0. A pixel in several windows gets the sum
# over its uses (lesson 2):
#
# $$
# dx[p] = \sum_{\text{windows whose maximum is } p} dy[\mathrm{window}]
# $$
#
# In average pooling the derivative is $1 / K^2$ for each pixel of the window. Below,
# the gradient of each window is 1. So the gradient of a pixel is a number of windows,
# or a number of ninths.
#
# **Before you run this:** what is the largest gradient that a pixel can get, with max
# pooling of 2 x 2, max pooling of 3 x 3 and average pooling of 3 x 3, all with stride
# 2?


# %%
def gradient(pool, x, *window):
    """The gradient of the sum of all outputs, and the number of windows."""
    x = ta.Tensor(x, requires_grad=True)
    y = pool(x, *window)
    y.sum().backward()
    return ta.Tensor(x.grad).numpy(), y.size


of_noise = {}
for pool, kernel in ((F.max_pool2d, 2), (F.max_pool2d, 3), (F.avg_pool2d, 3)):
    of_noise[pool, kernel] = dx, windows = gradient(pool, noise, kernel, 2)
    print(f"  {pool.__name__} {kernel} x {kernel}: at most {dx.max():.2f}, not 0 for", end="")
    print(f" {(dx > 0).mean():.0%} of the pixels, sum {dx.sum():.1f} for {windows} windows")

# %% answer [markdown]
# Windows of 2 x 2 do not overlap: a pixel is the maximum of one window at most. With 3
# x 3 and stride 2, a pixel whose row and column are both even is in four windows, away
# from the edges (lesson 6), and can be the maximum of all four. In average pooling it
# gets a ninth from each of the four. In all three cases each window distributes its
# gradient completely: the sums of dx and dy are equal.

# %% claims
for (pool, kernel), (dx, windows) in of_noise.items():
    text = f"{pool.__name__} {kernel} x {kernel}: the sum is the number of windows"
    lesson.claim(text, np.isclose(dx.sum(), windows))
tops = [dx.max() for dx, _ in of_noise.values()]
text = "the largest gradients are {:.2f}, {:.2f}, and {:.2f}".format(*tops)
lesson.claim(text, np.allclose(tops, [1, 4, 4 / 9]))

# %% [markdown]
# ## Ties
#
# The values of real maps are not all different. After ReLU there are many zeros, and in
# a window of zeros all pixels are the maximum. The paper does not state which one gets
# the gradient. In tinyalex it is the first, row by row.
#
# **Before you run this:** does it matter which zero gets it? Think of the ReLU before
# the pooling.

# %%
equal, _ = gradient(F.max_pool2d, np.zeros((1, 1, 7, 7)), 3, 2)
print(equal[0, 0].astype(int))
sums = F.conv2d(photos, filters).numpy()
tied = (F.max_pool2d(F.relu(sums), 3, 2).numpy() == 0).mean()
of_pool, _ = gradient(F.max_pool2d, maps, 3, 2)
of_both, _ = gradient(lambda x: F.max_pool2d(F.relu(x), 3, 2), sums)
print(f"{tied:.0%} of the windows on our maps are all zeros; zeros that get a gradient:")
print(f"  from pooling {(of_pool[maps == 0] > 0).sum()}", end="")
print(f", from pooling and the ReLU before it {(of_both[sums <= 0] > 0).sum()}")

# %% answer [markdown]
# Pooling does pass gradients to some of these zeros, and the ReLU before it multiplies
# them by its derivative, which is 0 there (lesson 7). So after a ReLU, ties of zeros do
# not matter.

# %% claims
first = (equal[0, 0, :6:2, :6:2] == 1).all() and equal.sum() == 9
lesson.claim("in a window of equal values the upper left pixel gets all of it", first)
lesson.claim("pooling passes gradients to zeros", of_pool[maps == 0].sum() > 0)
lesson.claim("the ReLU before it does not", not of_both[sums <= 0].any())

# %% [markdown]
# ## Break it
#
# A max pooling of our own. Its forward pass finds each window's maximum, and its
# backward pass puts the window's gradient there. `max_pool` is the function that
# tinyalex's layer calls; it fills `y` with the maxima, and `argmax` with their
# positions as u * K + v, with row u and column v within the window.
#
# **Before you run this:** find the mistake. Which of the two windows, 2 x 2 and 3 x 3
# with stride 2, will pass the gradient check of lesson 4?


# %%
class Pool(ta.Function):
    def forward(self, x, *, kernel):
        backend, xp = kernels.of(x), device.xp(x)  # tinyalex's functions for CPU or GPU
        x = backend.ready(x)  # in the memory order that they need
        out = [(size - kernel) // 2 + 1 for size in x.shape[2:]]
        y = xp.empty((*x.shape[:2], *out), x.dtype)
        argmax = xp.empty(y.shape, "uint8")
        window = (kernel, kernel), (2, 2), (0, 0), (1, 1)  # size, stride, padding, dilation
        backend.max_pool(x, y, argmax, *window)
        n, c, i, j = np.indices(y.shape)
        u, v = np.divmod(device.to_numpy(argmax).astype(int), kernel)
        self.x, self.maximum = x, (n, c, 2 * i + u, 2 * j + v)
        return y

    def backward(self, dy):
        dx = np.zeros(self.x.shape, dy.dtype)
        dx[self.maximum] = device.to_numpy(dy)
        return device.to(dx, device.of(dy))


reports = {}
for kernel in (2, 3):
    corner = noise[:1, :, :9, :9]
    own = lambda x, k=kernel: Pool.apply(x, kernel=k)  # noqa: E731
    reports[kernel] = ta.gradcheck(own, corner, raise_exception=False)
    dx, windows = gradient(own, maps)
    print(f"  {kernel} x {kernel}: gradcheck {'passes' if reports[kernel].ok else 'fails'}", end="")
    print(f"; the sum of dx is {dx.sum():.0f}, that of dy {windows}")

# %% answer [markdown]
# The mistake is `=` where values should be summed, as in lesson 6. A pixel that is the
# maximum of several windows gets only the last of their gradients. These are the
# strongest responses, and they get too small a gradient. With windows that do not
# overlap the code is right.
#
# The symptom to remember: the sum of dx differs from the sum of dy (for positive dy, it
# is smaller). There is no error, and all shapes are right. Two tests find the mistake:
# a gradient check with windows that overlap, and a comparison of the two sums.

# %% claims
lesson.claim("without overlap the gradient check passes", reports[2].ok)
lesson.claim("with overlap it fails", not reports[3].ok)
lost = 1 - dx.sum() / windows
lesson.claim(f"of {windows} ones {lost:.0%} are lost", lost > 0.1)
text = "those of pixels that are the maximum of several windows, and no others"
lesson.claim(text, np.array_equal(dx, np.minimum(of_pool, 1)))

# %% plot
figure = lesson.figure(11, 3.4)
part, title = np.s_[0, 0, 40:72, 40:72], "feature map of edges (part)"
lesson.image_axes(figure, 1, 3, 1, title=title, pixels=maps[part], cmap="gray")
gradients = {"gradient of max pooling": of_pool, "the same with = instead of +=": dx}
scale = {"cmap": "Blues", "vmin": 0, "vmax": 4}
for i, (title, of_map) in enumerate(gradients.items(), 2):
    axes = lesson.image_axes(figure, 1, 3, i, title=title, pixels=of_map[part], **scale)
    figure.colorbar(axes.images[0], ax=axes, shrink=0.8, ticks=range(5))
lesson.show(figure, "08_pooling_gradient")

# %% [markdown]
# ## Exercises
#
# 1. Write the backward pass of max pooling yourself: `tinyalex learn start 8` creates
#    the file in `my/`, `tinyalex learn check 8` checks it.
# 2. Divide the gradient of a tie equally among all maxima. Does gradcheck accept both
#    versions? What does it report for a tie?
# 3. Replace max by average pooling in the section on overlap. Which output changes
#    less, and is that all that matters?
