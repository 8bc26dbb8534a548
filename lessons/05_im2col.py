# %% [markdown]
r"""
# 5. How is a convolution a matrix multiplication?

    python lessons/05_im2col.py [--seed 1] [--device cuda]

In lesson 0 a weight was multiplied by one pixel, always the same one. A *convolution*
uses the same few weights at every position of the image. It moves a small window over
the image; the pixels in the window are the *patch*. A *filter* is an array of weights
of the patch's size. At each position, patch and filter are multiplied element by
element and the products are summed: one value, large where the patch resembles the
filter. Then the window moves by the *stride*. The values of one filter at all positions
form its *feature map*. *Padding* adds zeros around the image, so that windows can
extend past its edge.

With images $x$ (N, C, H, W), O filters $w$ (O, C, K, K) for windows of K x K pixels in
all C channels, one bias $b$ for each filter, stride $S$ and padding $P$, the value of
filter $o$ at position $(i, j)$ of image $n$ is

$$
y[n, o, i, j] = b[o] +
\sum_{c, u, v} w[o, c, u, v] \; x[n, c, \; S i + u - P, \; S j + v - P]
$$

where c runs over all channels, u and v from 0 to K - 1, and $x$ is 0 outside the image.
(Strictly, this is a *cross-correlation*. The convolution of mathematics flips the
filter: it has $-u$ and $-v$ for $u$ and $v$. Since the weights are learned, the flip
makes no difference, and the libraries for neural networks omit it.)

Of AlexNet's multiplications, 92 % are in convolutions (lesson 15 counts them), and no
operation of a numerical library executes more multiplications in a second than the
matrix multiplication. This lesson computes the one by the other, with a method called
*im2col* (image to columns).
"""

# %%
from timeit import repeat

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
filters = rng.standard_normal((6, 3, 5, 5))  # (O, C, K, K)
filters[0] = np.array([1, 1, 0, -1, -1])[:, None] / 30  # an edge: bright above, dark below
bias = rng.standard_normal(6)
stride, padding = 2, 1

# %% [markdown]
# ## In loops
#
# First the formula as it is written, with one output element at a time.


# %%
def convolution(x, w, b):
    """(N, C, H, W), (O, C, K, K) and (O,) to (N, O, OH, OW)."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    k = w.shape[2]
    oh, ow = ((size - k) // stride + 1 for size in x.shape[2:])
    y = np.zeros((len(x), len(w), oh, ow))
    for n, o, i, j in np.ndindex(y.shape):
        patch = x[n, :, i * stride : i * stride + k, j * stride : j * stride + k]
        y[n, o, i, j] = b[o] + (w[o] * patch).sum()
    return y


def conv2d():
    return F.conv2d(images, filters, bias, stride=stride, padding=padding)


looped = convolution(images, filters, bias)
print(f"images {images.shape}, filters {filters.shape} -> feature maps {looped.shape}")

# %% claims
difference = abs(conv2d().numpy() - looped).max()
text = f"tinyalex's conv2d computes the same values, up to {difference:.0e}"
lesson.claim(text, np.allclose(conv2d().numpy(), looped))
line, three = rng.standard_normal(9), rng.standard_normal(3)
correlated = [(three * line[i : i + 3]).sum() for i in range(7)]
same = np.allclose(correlated, np.convolve(line, three[::-1], "valid"))
lesson.claim("in one dimension it is NumPy's convolve with the filter flipped", same)

# %% [markdown]
# ## How large is the output?
#
# Consider one axis, the height: H pixels with P zeros at each end are H + 2P elements.
# Window i has K elements and begins at S i, for i = 0, 1, 2, ... It must end within
# them:
#
# $$
# S i + K \le H + 2P
# \quad \Rightarrow \quad
# i \le \frac{H + 2P - K}{S}
# $$
#
# The largest such i is this quotient, rounded down. Since i begins at 0, there is one
# more window than that:
#
# $$
# OH = \left\lfloor \frac{H + 2P - K}{S} \right\rfloor + 1
# $$
#
# and OW likewise, from W.
#
# The paper says (section 3.5) that its first layer filters a 224 x 224 image with
# filters of 11 x 11 and stride 4. In its figure 2 the output is 55 x 55. The paper
# mentions no padding.
#
# The code prints the size for several paddings, and then for three versions of AlexNet
# that tinyalex has: that of the paper, that of the code of 2012 ("original", lesson 0),
# and that of Caffe, a library of 2014.
#
# **Before you run this:** with which padding is the output 55 x 55? Is there only one
# answer?

# %%
for p in range(5):
    positions = range(0, 224 + 2 * p - 11 + 1, 4)  # where the windows begin
    print(f"  padding {p}: (224 + {2 * p} - 11) / 4 = {(224 + 2 * p - 11) / 4:.2f}", end="")
    print(f"; {len(positions)} positions, from {positions[0]} to {positions[-1]}")
with init.skipped():  # all weights 0, to save time: only shapes are needed
    networks = {variant: models.alexnet(variant) for variant in ("paper", "original", "caffe")}
for variant, size in ("paper", 224), ("original", 224), ("caffe", 227):
    conv1 = networks[variant].conv1
    out = conv1(np.zeros((1, 3, size, size), "f")).shape
    print(f"  {variant:<9} {size} pixels, padding {conv1.padding}: {out}")

# %% answer [markdown]
# Paddings 2 and 3 both give 55; their quotients, 54.25 and 54.75, are rounded down to
# 54. Without padding the quotient is 53.25, and the size 54. The code of 2012 had no
# padding, but rounded the quotient *up*, to 54, so that the size is 55. The last window
# then extends past the right and lower edge, where it reads zeros (`ceil_mode` in
# tinyalex). Caffe cuts out 227 x 227 pixels instead, for which the division has no
# remainder. torchvision (PyTorch's collection of networks, lesson 0) and the "paper"
# variant of tinyalex have padding 2. All of these are called AlexNet.

# %% claims
of_paddings = [len(range(0, 224 + 2 * p - 11 + 1, 4)) for p in range(5)]
lesson.claim(f"for the paddings 0 to 4 the size is {of_paddings}", of_paddings[2:4] == [55, 55])
cases = [
    (h, k, s, p) for h in range(3, 30) for k in (1, 2, 3) for s in (1, 2, 3) for p in (0, 1, 2)
]
fits = all(len(range(0, h + 2 * p - k + 1, s)) == (h + 2 * p - k) // s + 1 for h, k, s, p in cases)
lesson.claim(f"counting positions and the formula agree in {len(cases)} cases", fits)
x, w = rng.standard_normal((1, 3, 224, 224)), rng.standard_normal((2, 3, 11, 11))
at_the_end = np.pad(x, ((0, 0), (0, 0), (0, 3), (0, 3)))
code_of_2012 = F.conv2d(x, w, stride=4, ceil_mode=True).numpy()
same = np.allclose(code_of_2012, F.conv2d(at_the_end, w, stride=4).numpy())
lesson.claim("rounding up is the same as 3 zeros at the right and at the bottom", same)

# %% [markdown]
# ## Each patch becomes a column
#
# The sum in the formula runs over three indices $c, u, v$, and the output has three
# indices of position $n, i, j$. Number the triples $(c, u, v)$ by one index $r$, and
# the triples $(n, i, j)$ by one index $p$. Write each filter as a row of a matrix, and
# each patch as a column of another:
#
# $$
# \mathrm{rows}[o, r] = w[o, c, u, v], \qquad
# \mathrm{col}[r, p] = x[n, c, \; S i + u - P, \; S j + v - P]
# $$
#
# Then the formula for $y$ becomes
#
# $$
# y[o, p] = b[o] + \sum_{r} \mathrm{rows}[o, r] \; \mathrm{col}[r, p]
# $$
#
# and that is the definition of a matrix multiplication: *y = rows @ col + b*. All
# output elements, of all filters at all positions of all images, are one call of `@`.
# Below, `kernels.of(x).im2col` is tinyalex's own function. Its last argument, (1, 1),
# is the *dilation*: the distance between neighbouring pixels of a window. Here it is
# always 1.
#
# (In programs the side K of the window is called `kernel` or `kernel_size`, since a
# filter is also called a *kernel*. The module `tinyalex.kernels` is something else:
# functions for the CPU and the GPU.)
#
# **Before you run this:** what are the shapes of the two matrices? And by what factor
# will the two steps be faster than the loops: 2, 10, 100?

# %%
x, w = ta.Tensor(images).data, ta.Tensor(filters).data
(n, c, *_), (o, _, k, _), (*_, oh, ow) = x.shape, w.shape, looped.shape
col = device.xp(x).empty((c, k, k, n, oh, ow))  # device.xp(x): NumPy, or CuPy for a GPU


def im2col():
    kernels.of(x).im2col(x, col, (k, k), (stride, stride), (padding, padding), (1, 1))


def matmul(rows):
    """rows @ columns + bias, as feature maps (N, O, OH, OW)."""
    y = device.to_numpy(rows @ col.reshape(c * k * k, n * oh * ow)) + bias[:, None]
    return y.reshape(o, n, oh, ow).swapaxes(0, 1)


im2col()
rows = w.reshape(o, c * k * k)
y = matmul(rows)
print(f"filters {rows.shape} @ columns {(c * k * k, n * oh * ow)} = maps {(o, n * oh * ow)}")


def milliseconds(function, runs):
    """The shortest time of a call: other programs can only lengthen it."""
    return 1000 * min(repeat(function, number=1, repeat=runs))


slow = milliseconds(lambda: convolution(images, filters, bias), 3)
copying, product = milliseconds(im2col, 25), milliseconds(lambda: matmul(rows), 25)
library = milliseconds(conv2d, 25)
print(f"loops {slow:.1f} ms; im2col {copying:.2f} ms + matmul {product:.2f} ms", end="")
print(f"; conv2d {library:.2f} ms")

# %% answer [markdown]
# By a factor of tens to hundreds, depending on the computer; the claim below has the
# factor of this run.
#
# The number of multiplications is the same. In the loops Python executes several calls
# for each output element; in the two steps it executes a few calls in total, and
# compiled code does the rest. `conv2d` is listed separately, since it also uses threads
# and computes the columns of a few images at a time. On images as small as these, that
# may or may not gain time; lesson 18 measures it on AlexNet's own layers.

# %% claims
text = f"the matmul equals the loops, up to {abs(y - looped).max():.0e}"
lesson.claim(text, np.allclose(y, looped))
text = f"im2col and matmul are {slow / (copying + product):.0f} times as fast as the loops"
lesson.claim(text, slow > 4 * (copying + product))

# %% plot
figure = lesson.figure(10, 5)
grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 1.6), height_ratios=(1.6, 1))
gray = {"cmap": "gray"}
patches = lesson.image_axes(figure, grid[0, :2], title="three patches", pixels=train.images[0])
lesson.image_axes(figure, grid[1, 0], title="the filter", pixels=filters[0, 0], **gray)
lesson.image_axes(figure, grid[1, 1], title="feature map: edges", pixels=y[0, 0], **gray)
above, below = 3, 10  # two rows of output positions of the first image
matrix = device.to_numpy(col)[:, :, :, 0, [above, below]].reshape(c * k * k, 2 * ow)
title = "a column for each patch"
columns = lesson.image_axes(figure, grid[:, 2], title=title, pixels=matrix, aspect="auto", **gray)
marked = (above, 4, lesson.BLUE), (above, 5, lesson.RED), (below, 8, lesson.GREEN)
for i, j, colour in marked:
    style = {"fill": False, "edgecolor": colour, "linewidth": 2.5}
    corner = (j * stride - padding - 0.5, i * stride - padding - 0.5)
    patches.add_patch(Rectangle(corner, k, k, **style))
    position = j if i == above else ow + j
    columns.add_patch(Rectangle((position - 0.5, -0.5), 1, c * k * k, **style))
columns.set_yticks([(channel + 0.5) * k * k for channel in range(c)], ["red", "green", "blue"])
labels = [f"positions in row {i + 1}" for i in (above, below)]
columns.set_xticks([(half + 0.5) * ow for half in range(2)], labels)
lesson.show(figure, "05_im2col")

# %% [markdown]
# ## im2col itself
#
# This is the place for exercise 1: write `im2col` yourself (`tinyalex learn start 5`).
# The next cell has an answer; read it when yours passes. The obvious loops are over the
# *positions* of the window. The loops here are over its *elements*: for fixed u and v,
# the pixels of all positions form a regular grid, which NumPy copies with one slice.
# With K * K instead of OH * OW iterations, each iteration copies more.


# %%
def my_im2col(x, k, s, p):
    x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    oh, ow = ((size - k) // s + 1 for size in x.shape[2:])
    col = np.empty((x.shape[1], k, k, len(x), oh, ow))
    for u in range(k):
        for v in range(k):
            grid = x[:, :, u : u + s * oh : s, v : v + s * ow : s]
            col[:, u, v] = grid.swapaxes(0, 1)
    return col


print(f"iterations: over elements {k * k}, over positions {oh * ow}")
mine = my_im2col(images, k, stride, padding)

# %% claims
same = np.array_equal(mine, device.to_numpy(col))
lesson.claim("these loops and tinyalex's im2col give the same columns", same)

# %% [markdown]
# tinyalex's own has no loop in Python: it copies the image into an array with zeros
# around it, describes all windows as a view of that array with `as_strided`, and copies
# this view to the columns (`tinyalex/kernels/cpu/columns.py`; on a GPU, `columns.cu`).
#
# ## What it costs
#
# Windows overlap, so a pixel is copied into many columns.
#
# **Before you run this:** by what factor do AlexNet's columns have more elements than
# the input? Think of conv2: windows of 5 x 5 with stride 1.

# %%
maps, growth = ta.Tensor(np.zeros((1, 3, 224, 224), "f")), {}
with ta.no_grad():
    for name, layer in networks["paper"].named_children():  # its layers, in order
        if isinstance(layer, nn.Flatten):
            break
        before, maps = maps, layer(maps)
        if isinstance(layer, nn.Conv2d):
            window = before.shape[1] * layer.weight[0, 0].size  # C * K * K
            elements = window * maps[0, 0].size
            growth[name] = elements / before.size
            print(f"  {name}: input {before.size:>7,}, columns {elements:>9,} elements", end="")
            print(f": {growth[name]:.2f} times as many")

# %% answer [markdown]
# The matrix of columns has $C K^2$ rows and one column for each of the $OH \cdot OW$
# positions of an image. A window position for every $S$ pixels means $OH \approx H /
# S$, so
#
# $$
# \frac{C K^2 \cdot OH \cdot OW}{C \cdot H \cdot W} \approx \left( \frac{K}{S} \right)^2
# $$
#
# In conv2 each element is copied 25 times. Therefore tinyalex computes the columns of a
# few images at a time, in one reused array.

# %% claims
lesson.claim(f"in conv2 the factor is {growth['conv2']:.0f}: K * K", growth["conv2"] == 5 * 5)
estimates = dict(zip(growth, ((11 / 4) ** 2, 5**2, 3**2, 3**2, 3**2), strict=True))
error = max(abs(growth[name] / estimates[name] - 1) for name in growth)
lesson.claim(f"in all five layers (K / S)**2 is right within {error:.1%}", error < 0.05)

# %% [markdown]
# ## Break it
#
# The rows of `col` are numbered channel by channel, and within a channel row by row of
# the window. Each filter must be flattened in the same order. Some libraries store
# images with the channels last: row, column, channel. Below, filters that were
# flattened in that order are multiplied by our `col`.
#
# The code compares the map with the right one by their *correlation* (lesson 17 defines
# it): 1 if they agree up to a positive factor and a constant, about 0 if they have
# nothing in common.
#
# **Before you run this:** will there be an error message? What will the feature map of
# the edge filter look like?

# %%
other = matmul(w.transpose(0, 2, 3, 1).reshape(o, c * k * k))
correlation = np.corrcoef(other[:, 0].ravel(), y[:, 0].ravel())[0, 1]
print(f"shape {other.shape}; correlation with the right map of edges {correlation:+.2f}")

# %% answer [markdown]
# There is no error, and the shape is right, but the map does not show edges. The
# figure shows the effect: the weights of the filter's upper rows were applied to red,
# those of its lower rows to blue. A network that is trained like this learns as well as
# any other, since its weights are only in another order. It fails when weights of a
# correct network are loaded into it.
#
# The symptom to remember: loaded weights give random answers, and all shapes are right.
# The test that finds it uses a filter whose result is known. A single 1 among zeros
# copies one channel of the image, shifted by the position of the 1.

# %% claims
lesson.claim(f"the edges are missing: correlation {correlation:+.2f}", abs(correlation) < 0.9)
copy = images[:, 1, 0::stride, 1::stride][:, :oh, :ow]
one = device.xp(x).zeros_like(w)
one[0, 1, padding, padding + 1] = 1
copied = [
    np.allclose(matmul(one.transpose(order).reshape(o, -1))[:, 0] - bias[0], copy)
    for order in ((0, 1, 2, 3), (0, 2, 3, 1))
]
text = "a single 1 copies the image if flattened in the right order, and not in the wrong one"
lesson.claim(text, copied == [True, False])

# %% plot
figure = lesson.figure(9, 3.3)
titles = {"filter in the right order": y, "filter in the wrong order": other}
lesson.image_axes(figure, 1, 3, 1, title="image", pixels=train.images[0])
for position, (title, feature_maps) in enumerate(titles.items(), 2):
    lesson.image_axes(figure, 1, 3, position, title=title, pixels=feature_maps[0, 0], **gray)
lesson.show(figure, "05_im2col_order")

# %% [markdown]
# ## Exercises
#
# 1. Write `im2col` yourself: `tinyalex learn start 5` creates the file in `my/`,
#    `tinyalex learn check 5` checks it.
# 2. With stride 1, which padding gives an output as large as the input, for a window of
#    3, of 5, of K? And for an even K?
# 3. A filter of 1 x 1 needs no im2col. Why? Which `reshape` and which matmul replace
#    it, and what is such a filter used for?
