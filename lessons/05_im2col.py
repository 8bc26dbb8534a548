# %% [markdown]
"""
# 5. How is a convolution a matrix multiplication?

    python lessons/05_im2col.py [--seed 1] [--device cuda]

A convolution moves a small window over an image; the pixels in the window are the
*patch*. A filter is an array of weights of the patch's size. At each position, patch
and filter are multiplied element by element and the products summed: one value, large
where the patch resembles the filter. Then the window moves by the *stride*. The values
of one filter at all positions form its *feature map*. (Strictly, this is a
cross-correlation: a convolution in mathematics flips the filter.) With a bias b[o] for
each filter o:

    y[n, o, i, j] = b[o] + sum over c, u, v of
                    w[o, c, u, v] * x[n, c, i*stride + u, j*stride + v]

Nearly all of AlexNet's operations are in convolutions, and computers are fastest at
matrix multiplication. This lesson computes the one by the other, with a method called
*im2col* (image to columns).
"""

# %%
from timeit import timeit

import numpy as np
from matplotlib.patches import Rectangle

import tinyalex as ta
from tinyalex import device, kernels, models, nn
from tinyalex import functional as F
from tinyalex.course import lesson
from tinyalex.nn import init

args = lesson.options(__doc__)
train = lesson.images(32).train
rng = np.random.default_rng(args.seed)

images = train.images / 255 - 0.5  # (N, C, H, W), in float64
filters = rng.standard_normal((6, 3, 5, 5))  # (O, C, KH, KW)
filters[0] = np.array([1, 1, 0, -1, -1])[:, None] / 30  # an edge: bright above, dark below
stride, padding = 2, 1

# %% [markdown]
# ## In loops
#
# First the definition, in plain loops. *Padding* adds zeros around the image, so that
# windows can extend past its edge.


# %%
def convolution(x, w):
    """(N, C, H, W) and (O, C, KH, KW) to (N, O, OH, OW), element by element."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    kh, kw = w.shape[2:]
    oh, ow = ((size - k) // stride + 1 for size, k in zip(x.shape[2:], (kh, kw), strict=True))
    y = np.zeros((len(x), len(w), oh, ow))
    for n, o, i, j in np.ndindex(y.shape):
        patch = x[n, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
        y[n, o, i, j] = (patch * w[o]).sum()
    return y


looped = convolution(images, filters)
print(f"images {images.shape}, filters {filters.shape} -> feature maps {looped.shape}")
called = F.conv2d(images, filters, stride=stride, padding=padding).numpy()
difference = abs(called - looped).max()
text = f"tinyalex's conv2d computes the same values, up to {difference:.0e}"
lesson.claim(text, np.allclose(called, looped))

# %% [markdown]
# ## How large is the output?
#
# Count the positions of a window of K pixels in a row of H pixels, with P zeros at each
# end and stride S: 0, S, 2S, ... as long as the window ends within the padded row.
# `range` counts them; as a formula it is (H + 2P - K) // S + 1.
#
# Before you run this: the paper says (section 3.5) that its first layer filters the 224
# x 224 image with kernels of 11 x 11 and stride 4, and its figure 2 has an output of 55
# x 55. Is that possible without padding?


# %%
def count(size, kernel, stride, padding):
    return len(range(0, size + 2 * padding - kernel + 1, stride))


for p in range(4):
    quotient = (224 + 2 * p - 11) / 4 + 1
    print(
        f"  224 pixels, kernel 11, stride 4, padding {p}: {quotient:.2f}, so {count(224, 11, 4, p)}"
    )
with init.skipped():
    alexnet = models.alexnet("paper")
shape = F.conv2d(np.zeros((1, 3, 224, 224), "f"), alexnet.conv1.weight, stride=4, padding=2).shape
lesson.claim(f"with padding 2, conv2d's output is {shape}", shape[2:] == (55, 55))
lesson.claim("without padding the output is smaller", count(224, 11, 4, 0) < 55)
cases = [
    (h, k, s, p) for h in range(3, 30) for k in (1, 2, 3) for s in (1, 2, 3) for p in (0, 1, 2)
]
fits = all(count(h, k, s, p) == (h + 2 * p - k) // s + 1 for h, k, s, p in cases)
lesson.claim(f"counting and the formula agree in {len(cases)} cases", fits)

# %% [markdown]
# The paper mentions no padding. The code of 2012 had none: it rounded the quotient up,
# so that the last window extended past the edge (`ceil_mode` in tinyalex). Caffe crops
# to 227 pixels; torchvision and tinyalex's "paper" variant pad by 2.
#
# ## Each patch becomes a column
#
# Each output element is the dot product of a patch and a filter. So write each filter
# as a row of a matrix and each patch as a column of another. All output elements, of
# all filters at all positions, are then *one* matrix multiplication. Below, `im2col` is
# the function that tinyalex's `conv2d` calls (`tinyalex/kernels/cpu/`; `columns.cu` on
# a GPU).
#
# Before you run this: what shape do the two matrices have?

# %%
x, w = ta.Tensor(images).data, ta.Tensor(filters).data
(n, c, *_), (o, _, kh, kw), (*_, oh, ow) = x.shape, w.shape, looped.shape
col = device.xp(x).empty((c, kh, kw, n, oh, ow))


def im2col():
    kernels.of(x).im2col(x, col, (kh, kw), (stride, stride), (padding, padding), (1, 1))


def matmul(rows):
    """rows @ columns as feature maps (N, O, OH, OW)."""
    product = rows @ col.reshape(c * kh * kw, n * oh * ow)
    return device.to_numpy(product.reshape(o, n, oh, ow).swapaxes(0, 1))


im2col()
rows = w.reshape(o, c * kh * kw)
y = matmul(rows)
columns_shape, product_shape = (c * kh * kw, n * oh * ow), (o, n * oh * ow)
print(f"filters {rows.shape} @ columns {columns_shape} = feature maps {product_shape}")
same = np.allclose(y, looped)
lesson.claim(f"the matmul equals the loops, up to {abs(y - looped).max():.0e}", same)
slow = timeit(lambda: convolution(images, filters), number=1)
plain = timeit(lambda: (im2col(), matmul(rows)), number=10) / 10
fast = timeit(lambda: F.conv2d(images, filters, stride=stride, padding=padding), number=10) / 10
print(f"loops {1000 * slow:.1f} ms, im2col and matmul {1000 * plain:.2f} ms", end="")
print(f", conv2d (which also uses tiles and threads) {1000 * fast:.2f} ms")
lesson.claim(f"conv2d is {slow / fast:.0f} times as fast as the loops", slow > 5 * fast)

# %% [markdown]
# ## What it costs
#
# Windows overlap, so a pixel is copied into many columns. Before you run this: by what
# factor are AlexNet's columns larger than their inputs? Think of a 5 x 5 window with
# stride 1.

# %%
maps, growth = ta.Tensor(np.zeros((1, 3, 224, 224), "f")), []
with ta.no_grad():
    for layer in alexnet:
        if isinstance(layer, nn.Flatten):
            break
        before, maps = maps, layer(maps)
        if isinstance(layer, nn.Conv2d):
            size = layer.weight[0, 0].size * before.shape[1] * maps[0, 0].size
            growth.append(size / before.size)
            print(
                f"  conv{len(growth)}: input {before.size:>7,}, columns {size:>9,} elements", end=""
            )
            print(f": {growth[-1]:.2f} times as many")
text = f"conv2 copies each element {growth[1]:.0f} times: once for each position in its window"
lesson.claim(text, growth[1] == 5 * 5)
# Therefore tinyalex computes the columns of one tile of images at a time.

# %% [markdown]
# ## Break it
#
# A column stores its patch in the order channel, row, column. The filter must be
# flattened in the same order. Some frameworks store images with the channels last; here
# is what happens when a filter is flattened in their order.
#
# Before you run this: will there be an error message?

# %%
wrong = matmul(w.transpose(0, 2, 3, 1).reshape(o, c * kh * kw))
lesson.claim(f"no error, and the shape is right: {wrong.shape}", wrong.shape == y.shape)
correlation = np.corrcoef(wrong[:, 0].ravel(), y[:, 0].ravel())[0, 1]
text = f"but the edges are missing: correlation with the right map {correlation:+.2f}"
lesson.claim(text, abs(correlation) < 0.9)

# %% [markdown]
# The figure shows the effect: the weights of the filter's upper rows were applied to
# red, those of its lower rows to blue. A network that is trained like this learns as
# well as any other, since its weights are only in another order. It fails when weights
# from a correct network are loaded into it. The mistake is found sooner with a filter
# whose result is known: a single 1 among zeros copies the image, shifted by the
# position of the 1.

# %%
channel, row, column = 1, padding, padding + 1
one = device.xp(x).zeros_like(w)
one[0, channel, row, column] = 1
copy = images[:, channel, 0::stride, 1::stride][:, :oh, :ow]
copied = np.array_equal(matmul(one.reshape(o, -1))[:, 0], copy)
lesson.claim("flattened correctly, a single 1 copies the image", copied)
scrambled = matmul(one.transpose(0, 2, 3, 1).reshape(o, -1))[:, 0]
lesson.claim("flattened in the wrong order, it does not", not np.array_equal(scrambled, copy))

figure = lesson.figure(10, 5.6)
grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 1.6))
gray = {"cmap": "gray"}
patches = lesson.image_axes(figure, grid[0, 0], title="three patches", pixels=train.images[0])
lesson.image_axes(figure, grid[0, 1], title="the filter", pixels=filters[0, 0], **gray)
lesson.image_axes(figure, grid[1, 0], title="feature map: edges", pixels=y[0, 0], **gray)
title = "filter in the wrong order"
lesson.image_axes(figure, grid[1, 1], title=title, pixels=wrong[0, 0], **gray)
above, below = 3, 10  # two rows of output positions of the first image
matrix = device.to_numpy(col)[:, :, :, 0, [above, below]].reshape(c * kh * kw, 2 * ow)
title = "a column for each patch"
columns = lesson.image_axes(figure, grid[:, 2], title=title, pixels=matrix, aspect="auto", **gray)
marked = (above, 4, lesson.BLUE), (above, 5, lesson.RED), (below, 8, lesson.GREEN)
for i, j, colour in marked:
    style = {"fill": False, "edgecolor": colour, "linewidth": 2.5}
    corner = (j * stride - padding - 0.5, i * stride - padding - 0.5)
    patches.add_patch(Rectangle(corner, kw, kh, **style))
    k = j if i == above else ow + j
    columns.add_patch(Rectangle((k - 0.5, -0.5), 1, c * kh * kw, **style))
columns.set_yticks([(k + 0.5) * kh * kw for k in range(c)], ["red", "green", "blue"])
labels = [f"positions in row {i + 1}" for i in (above, below)]
columns.set_xticks([(k + 0.5) * ow for k in range(2)], labels)
lesson.show(figure, "05_im2col")

# %% [markdown]
# ## Exercises
#
# 1. Write `im2col` yourself: `tinyalex learn start 5` creates the file in `my/`,
#    `tinyalex learn check 5` checks it.
# 2. With stride 1, which padding gives an output as large as the input, for a window of
#    3, of 5, of K? And for an even K?
# 3. A filter of 1 x 1 needs no im2col. Why? Which `reshape` and which matmul replace
#    it, and what is such a filter used for?
