# %% [markdown]
"""
# 5. How is a convolution a matrix product?

    python lessons/05_im2col.py [--seed 1] [--device cuda]

A convolution looks at a picture through a small window, the *patch*. A filter is a grid of weights of the patch's size. At each place
of the window, patch and filter are multiplied number by number and all is added up: one number, large where the patch looks like the
filter. Then the window moves on by a *stride*. The numbers that one filter leaves behind are a picture again, its *feature map*.

Nearly all the work of AlexNet is this, and nearly all the skill of a computer is in multiplying matrices. This lesson makes one into the
other. The trick is called *im2col*, from image to columns.
"""

# %%
from timeit import timeit

import numpy as np
from matplotlib.patches import Rectangle

import tinyalex as ta
from tinyalex import device, kernels, models, nn
from tinyalex import functional as F
from tinyalex.learning import lesson
from tinyalex.nn import init

args = lesson.options(__doc__)
train = lesson.images(32).train
random = np.random.default_rng(args.seed)

images = (
    train.images / 255 - 0.5
)  # (N, C, H, W): pictures, colours, rows, columns; float64, to compare to the last digits
filters = random.standard_normal(
    (6, 3, 5, 5)
)  # (O, C, KH, KW): one filter a feature map, as deep as the picture has colours
filters[0] = (
    np.array([1, 1, 0, -1, -1])[:, None] / 30
)  # and this one sees edges: bright above, dark below
stride, padding = 2, 1

# %% [markdown]
# ## In loops
#
# First the definition, with nothing clever in it. *Padding* is a frame of zeros round the picture, so that the window can also stand at
# the edge.


# %%
def convolution(x, w):
    """(N, C, H, W) and (O, C, KH, KW) to (N, O, OH, OW), one output number at a time."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    kh, kw = w.shape[2:]
    oh, ow = ((size - k) // stride + 1 for size, k in zip(x.shape[2:], (kh, kw), strict=True))
    y = np.zeros((len(x), len(w), oh, ow))
    for n, o, i, j in np.ndindex(y.shape):
        patch = x[n, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
        y[n, o, i, j] = (patch * w[o]).sum()
    return y


looped = convolution(images, filters)
print(
    f"{len(images)} pictures {images.shape[1:]}, {len(filters)} filters {filters.shape[1:]} -> {looped.shape}"
)
called = F.conv2d(images, filters, stride=stride, padding=padding).numpy()
lesson.claim(
    f"tinyalex's conv2d gives the same numbers, up to {abs(called - looped).max():.0e}",
    np.allclose(called, looped),
)

# %% [markdown]
# ## How large is the output?
#
# Count the places where a window of K pixels fits into a row of H, with P zeros at each end and a step of S: the first at 0, then S, 2S,
# and so on as long as the end of the window is not past the end of the row. That is what `range` counts, and as a formula it is
# (H + 2P - K) // S + 1.
#
# Before you run this: the paper says (section 3.5) that its first layer filters the 224 x 224 picture with kernels of 11 x 11 and a
# stride of 4, and its figure 2 has an output of 55 x 55. Does that come out without padding?


# %%
def count(size, kernel, step, zeros):
    return len(range(0, size + 2 * zeros - kernel + 1, step))


for zeros in range(4):
    print(
        f"  224 pixels, kernel 11, stride 4, padding {zeros}: {(224 + 2 * zeros - 11) / 4 + 1:.2f}, so {count(224, 11, 4, zeros)} places"
    )
with init.skipped():
    alexnet = models.alexnet("paper")
shape = F.conv2d(np.zeros((1, 3, 224, 224), "f"), alexnet.conv1.weight, stride=4, padding=2).shape
lesson.claim(
    f"it takes a frame of 2 zeros that the paper does not mention: conv2d gives {shape}",
    shape[2:] == (55, 55),
)
cases = [
    (h, k, s, p) for h in range(3, 30) for k in (1, 2, 3) for s in (1, 2, 3) for p in (0, 1, 2)
]
fits = all(count(h, k, s, p) == (h + 2 * p - k) // s + 1 for h, k, s, p in cases)
lesson.claim(f"counting and the formula agree in {len(cases)} cases", fits)

# %% [markdown]
# ## Every patch a column
#
# Each output number is the patch's numbers times the filter's, added up: row times column. So write each filter as a row, each patch as a
# column, and put the columns side by side. All the output numbers, of all filters at all places, are then *one* product of two matrices.
# Below, `im2col` is the routine that tinyalex's own `conv2d` calls (`tinyalex/kernels/cpu/`; `columns.cu` on a GPU).
#
# Before you run this: what shape do the two matrices have?

# %%
x, w = ta.Tensor(images).data, ta.Tensor(filters).data
(n, c, *_), (o, _, kh, kw), (*_, oh, ow) = x.shape, w.shape, looped.shape
col = device.xp(x).empty((c, kh, kw, n, oh, ow))
kernels.of(x).im2col(x, col, (kh, kw), (stride, stride), (padding, padding), (1, 1))


def product(rows):
    """The rows times the columns, as feature maps again: the product has all maps of one filter in a row."""
    return device.to_numpy(
        (rows @ col.reshape(c * kh * kw, n * oh * ow)).reshape(o, n, oh, ow).swapaxes(0, 1)
    )


y = product(w.reshape(o, c * kh * kw))
print(
    f"filters ({o}, {c * kh * kw}) @ columns ({c * kh * kw}, {n * oh * ow}) = maps ({o}, {n * oh * ow})"
)
lesson.claim(
    f"the product has the numbers of the loops, up to {abs(y - looped).max():.0e}",
    np.allclose(y, looped),
)
slow = timeit(lambda: convolution(images, filters), number=1)
fast = timeit(lambda: F.conv2d(images, filters, stride=stride, padding=padding), number=10) / 10
lesson.claim(
    f"loops {1000 * slow:.1f} ms, conv2d {1000 * fast:.2f} ms: {slow / fast:.0f} times as fast",
    slow > 5 * fast,
)

# %% [markdown]
# ## What it costs
#
# Windows overlap, so a pixel is copied into many columns. Before you run this: by what factor are AlexNet's columns larger than the
# pictures they were made from? Think of a 5 x 5 window that moves by one pixel.

# %%
maps, growth = ta.Tensor(np.zeros((1, 3, 224, 224), "f")), []
with ta.no_grad():
    for layer in alexnet:
        if isinstance(layer, nn.Flatten):
            break
        before, maps = maps, layer(maps)
        if isinstance(layer, nn.Conv2d):
            size = (
                layer.weight.shape[2]
                * layer.weight.shape[3]
                * before.shape[1]
                * maps.shape[2]
                * maps.shape[3]
            )
            growth.append(size / before.size)
            print(
                f"  conv{len(growth)}: {before.size:>9,} numbers in, {size:>11,} in the columns: {growth[-1]:.2f} times as many"
            )
lesson.claim(
    f"conv2 has each number {growth[1]:.0f} times: once for each place in its window",
    growth[1] == 5 * 5,
)
# For this reason tinyalex makes the columns of a few images at a time, and throws them away.

# %% [markdown]
# ## Break it
#
# A column holds its patch in a certain order: colour, row, column. The filter must be unrolled in the same one. Some frameworks store
# pictures with the colours last; here is what happens when a filter is unrolled as they do it.
#
# Before you run this: will there be an error message?

# %%
wrong = product(w.transpose(0, 2, 3, 1).reshape(o, c * kh * kw))
lesson.claim(f"no error, and the shape is right: {wrong.shape}", wrong.shape == y.shape)
likeness = np.corrcoef(wrong[:, 0].ravel(), y[:, 0].ravel())[0, 1]
lesson.claim(
    f"but the edges are not there: correlation with the right map {likeness:+.2f}",
    abs(likeness) < 0.9,
)

# %% [markdown]
# In the figure below you see what it did: the weights of the filter's upper rows came to lie on the reds, those of its lower rows on the
# blues. A network that is made like this even learns, as well as any other, since its weights are only in another order. It falls silent
# when somebody loads a right network's weights into it. What finds the mistake sooner is a filter whose answer you know: a single 1 among
# zeros copies the picture, moved by its place in the filter.

# %%
colour, row, column = 1, padding, padding + 1
one = device.xp(x).zeros_like(w)
one[0, colour, row, column] = 1
copy = images[:, colour, 0::stride, 1::stride][:, :oh, :ow]
lesson.claim(
    "unrolled rightly, a single 1 copies the picture",
    np.array_equal(product(one.reshape(o, -1))[:, 0], copy),
)
scrambled = product(one.transpose(0, 2, 3, 1).reshape(o, -1))[:, 0]
lesson.claim("unrolled wrongly, it does not", not np.array_equal(scrambled, copy))

figure = lesson.figure(10, 5.6)
grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 1.6))
axes = lesson.picture(
    figure, grid[0, 0], title="three patches of a picture", pixels=train.images[0]
)
above, below = (
    3,
    10,
)  # the columns of two rows of places, of the first picture; all of them would be too thin to see
matrix = device.to_numpy(col)[:, :, :, 0, [above, below]].reshape(c * kh * kw, 2 * ow)
columns = lesson.picture(
    figure, grid[:, 2], title="one column a patch", pixels=matrix, cmap="gray", aspect="auto"
)
for (i, j), k, ink in (
    ((above, 4), 4, lesson.BLUE),
    ((above, 5), 5, lesson.RED),
    ((below, 8), ow + 8, lesson.GREEN),
):
    corner = (j * stride - padding - 0.5, i * stride - padding - 0.5)
    axes.add_patch(Rectangle(corner, kw, kh, fill=False, edgecolor=ink, linewidth=2.5))
    columns.add_patch(
        Rectangle((k - 0.5, -0.5), 1, c * kh * kw, fill=False, edgecolor=ink, linewidth=2.5)
    )
columns.set_yticks([(k + 0.5) * kh * kw for k in range(c)], ["red", "green", "blue"])
columns.set_xticks(
    [(k + 0.5) * ow for k in range(2)], [f"places in row {i + 1}" for i in (above, below)]
)
lesson.picture(figure, grid[1, 0], title="edges: filter times columns", pixels=y[0, 0], cmap="gray")
lesson.picture(
    figure, grid[1, 1], title="unrolled in the wrong order", pixels=wrong[0, 0], cmap="gray"
)
lesson.picture(figure, grid[0, 1], title="the filter", pixels=filters[0, 0], cmap="gray")
lesson.show(figure, "05_im2col")

# %% [markdown]
# ## Exercises
#
# 1. `tinyalex learn start 5` puts a file into `my/` in which `im2col` is for you to write; `tinyalex learn check 5` says what is wrong.
# 2. With stride 1, which padding gives an output as large as the picture, for a window of 3, of 5, of K? And for an even K?
# 3. A filter of 1 x 1 needs no im2col at all. Why? Which `reshape` and which product do it, and what is it good for?
