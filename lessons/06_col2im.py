# %% [markdown]
r"""
# 6. What does the backward of a convolution add up?

    python lessons/06_col2im.py [--seed 1] [--device cuda]

Lesson 5 split a convolution into two steps. *im2col* copies each patch of the image
into a column, and one matrix multiplication applies all filters to all columns. The
backward pass receives the gradient of the loss with respect to the output, `dy`, and
computes those with respect to the weights, `dw`, and the pixels, `dx`. In names like
these, d means "the gradient of the loss with respect to". The backward pass of the
multiplication follows from the chain rule of lesson 2. That of the copying needs more
thought: a pixel was copied to many columns, and each copy has its own gradient. What is
the gradient of the pixel?
"""

# %%
import inspect

import numpy as np

import tinyalex as ta
from tinyalex import device, kernels
from tinyalex import functional as F
from tinyalex.course import lesson
from tinyalex.kernels.cpu.columns import col2im as col2im_on_cpu

args = lesson.options(__doc__)
photo = lesson.photos(1, 64).pixels / 255
rng = np.random.default_rng(args.seed)


def im2col(x, kernel, stride, padding):
    """tinyalex's: (N, C, H, W) to (C, K, K, N, OH, OW), one column per patch."""
    x = ta.Tensor(x).data
    (n, c), out = x.shape[:2], ((size + 2 * padding - kernel) // stride + 1 for size in x.shape[2:])
    col = device.xp(x).empty((c, kernel, kernel, n, *out), x.dtype)
    kernels.of(x).im2col(x, col, (kernel, kernel), (stride, stride), (padding, padding), (1, 1))
    return device.to_numpy(col)


def col2im(col, shape, stride, padding):
    """tinyalex's: the columns added into an array of the image's shape."""
    col = ta.Tensor(col).data
    x = device.xp(col).empty(shape, col.dtype)
    kernels.of(col).col2im(col, x, col.shape[1:3], (stride, stride), (padding, padding), (1, 1))
    return device.to_numpy(x)


# %% [markdown]
# ## One pixel, many windows
#
# im2col copies: each element $q$ of the columns is one pixel of the image, or a zero of
# the padding, whose gradient is not needed. For a pixel we write from(q) for its index,
# so $\mathrm{col}[q] = x[\mathrm{from}(q)]$. If a pixel increases by a small amount,
# each of its copies increases by the same amount, so the derivative of each copy is 1.
# By the chain rule a value that is used several times gets the sum over its uses, here
# its copies:
#
# $$
# dx[p] = \sum_{q \, : \, \mathrm{from}(q) = p} dcol[q]
# $$
#
# It is neither their mean nor the last of them. `col2im` computes this sum: it takes an
# array of the columns' shape and adds each element to the pixel that it was copied
# from. Applied to ones, it counts the copies of each pixel.
#
# **Before you run this:** windows of 3 x 3 move over 7 x 7 pixels with stride 2. Which
# pixels are in the most windows, and in how many? And in how many windows is a pixel in
# the middle of the inputs of AlexNet's conv1 (11 x 11, stride 4) and conv2 (5 x 5,
# stride 1)?


# %%
def overlap(size, kernel, stride, padding):
    """The number of windows that each pixel is in."""
    shape = 1, 1, size, size
    ones = np.ones_like(im2col(np.ones(shape), kernel, stride, padding))
    return col2im(ones, shape, stride, padding)[0, 0]


counts = overlap(7, 3, 2, 0)
print(counts.astype(int))
overlaps = {"conv1": overlap(224, 11, 4, 2), "conv2": overlap(27, 5, 1, 2)}
for name, of_layer in overlaps.items():
    print(f"{name}, away from the edges:", *np.unique(of_layer[12:-12, 12:-12]).astype(int))

# %% answer [markdown]
# Consider one axis. With stride S and padding P, window i covers the pixels from
# $S i - P$ to $S i - P + K - 1$. It contains pixel h if
#
# $$
# h + P - K + 1 \; \le \; S i \; \le \; h + P
# $$
#
# That is a range of K consecutive integers, in which we count the multiples of S:
#
# $$
# \mathrm{count}(h) = \left\lfloor \frac{h + P}{S} \right\rfloor -
# \left\lceil \frac{h + P - K + 1}{S} \right\rceil + 1
# $$
#
# away from the edges. If K is a multiple of S this is K / S for every pixel. If not, it
# is one more for some pixels than for others: in conv1, 2 or 3. With 3 x 3, stride 2
# and no padding it is 2 for even h and 1 for odd h. In two dimensions the counts of the
# two axes are multiplied, so the pixels in even rows and columns, away from the edges,
# are in four windows, the most.

# %% claims
product = np.outer(counts[0], counts[:, 0])
lesson.claim("each count is its row's times its column's", np.array_equal(counts, product))
lesson.claim("3 x 3 with stride 2: at most 4 windows", counts.max() == 2 * 2)
for name, (k, s, p) in {"conv1": (11, 4, 2), "conv2": (5, 1, 2)}.items():
    h = np.arange(12, len(overlaps[name]) - 12) + p
    formula = h // s + (-h + k - 1) // s + 1
    same = np.array_equal(overlaps[name][12:-12, 12:-12], np.outer(formula, formula))
    lesson.claim(f"{name}: the formula gives {sorted(set(formula.tolist()))} for each axis", same)

# %% plot
figure = lesson.figure(10, 3.3)
panels = {
    "3 x 3, stride 2": overlap(13, 3, 2, 0),
    "conv1, 11 x 11, stride 4: a corner": overlaps["conv1"][:32, :32],
    "conv2, 5 x 5, stride 1": overlaps["conv2"],
}
for i, (title, values) in enumerate(panels.items(), 1):
    axes = lesson.image_axes(figure, 1, 3, i, title=title, pixels=values, cmap="Blues", vmin=0)
    bar = figure.colorbar(axes.images[0], ax=axes, shrink=0.8, ticks=np.unique(values))
    bar.ax.tick_params(labelsize=7)
lesson.show(figure, "06_col2im")

# %% [markdown]
# ## The test that needs no derivative
#
# Write $\langle a, b \rangle$ for the *dot product* of two arrays of one shape: the sum
# of their elementwise products. Take any image $x$, and any array $c$ of the columns'
# shape. Collect the terms of the sum by the pixel that they were copied from:
#
# $$
# \langle \mathrm{im2col}(x), c \rangle = \sum_{q} x[\mathrm{from}(q)] \, c[q]
# = \sum_{p} x[p] \sum_{q \, : \, \mathrm{from}(q) = p} c[q]
# = \langle x, \mathrm{col2im}(c) \rangle
# $$
#
# A function A is *linear* if A(x + v) = A(x) + A(v) and A(t x) = t A(x) for each number
# t. Two linear functions A and B are *adjoint* if $\langle A(x), c \rangle = \langle x,
# B(c) \rangle$ for all x and c. The backward pass of a linear function must be its
# adjoint: a small change $v$ of x changes the columns by im2col(v), and the loss by
# $\langle \mathrm{im2col}(v), dcol \rangle$. The gradient $dx$ is the array with
# $\langle v, dx \rangle$ equal to that for every v. So the equation is also a test,
# with random x and c and without any derivative.
#
# **Before you run this:** the two sides are equal. But what is col2im(im2col(image)):
# is it the image again?

# %%
worst = 0.0
for kernel, stride, padding in ((3, 1, 1), (3, 2, 0), (5, 1, 2), (11, 4, 2), (2, 3, 0)):
    x = rng.standard_normal((2, 3, 19, 22))
    columns = im2col(x, kernel, stride, padding)
    c = rng.standard_normal(columns.shape)
    left, right = (columns * c).sum(), (x * col2im(c, x.shape, stride, padding)).sum()
    worst = max(worst, abs(left - right) / np.linalg.norm(c))
    print(f"  window {kernel:>2}, stride {stride}, padding {padding}:", end="")
    print(f"  <im2col(x), c> = {left:+.9f}   <x, col2im(c)> = {right:+.9f}")
round_trip = col2im(im2col(photo, 11, 4, 2), photo.shape, 4, 2)
print(f"from pixels up to {photo.max():.2f} to values up to {round_trip.max():.2f}")

# %% answer [markdown]
# The round trip multiplies each pixel by its number of copies. The adjoint is not the
# inverse. Written as matrices: im2col is a large matrix of zeros and ones, with one row
# for each element of the columns and one column for each pixel, and col2im is its
# *transpose*. The claims below compute both matrices for an image of 5 x 5 pixels.

# %% claims
lesson.claim(f"the two dot products are equal, up to rounding ({worst:.0e})", worst < 1e-10)
lesson.claim("col2im(im2col(image)) is not the image", not np.allclose(round_trip, photo))
overlapped = np.allclose(round_trip, photo * overlap(64, 11, 4, 2))
lesson.claim("but the image times the overlap", overlapped)
pixels, elements = np.eye(25).reshape(25, 1, 1, 5, 5), np.eye(36).reshape(36, 1, 3, 3, 1, 2, 2)
forward = np.stack([im2col(one, 3, 2, 0).ravel() for one in pixels], axis=1)
backward = np.stack([col2im(one, (1, 1, 5, 5), 2, 0).ravel() for one in elements], axis=1)
text = f"the matrix of col2im {backward.shape} is that of im2col {forward.shape}, transposed"
lesson.claim(text, np.array_equal(backward, forward.T))

# %% [markdown]
# ## Three matrix multiplications
#
# Number the elements of a window by r and the positions by p, as in lesson 5 (here p is
# not a pixel). Each weight w[o, r] is used once at each position, with the factor
# col[r, p], and each element col[r, p] once by each filter, with the factor w[o, r]. So
# the chain rule has a sum over positions for dw, and a sum over filters for dcol:
#
# $$
# y[o, p] = \sum_r w[o, r] \, col[r, p]
# \quad \Rightarrow \quad
# dw[o, r] = \sum_p dy[o, p] \, col[r, p], \qquad
# dcol[r, p] = \sum_o w[o, r] \, dy[o, p]
# $$
#
# Both sums are matrix multiplications. Together with col2im, the whole backward pass is
#
#     forward    y    = w @ col
#     backward   dw   = dy @ col.T     sum over positions
#                dcol = w.T @ dy       sum over filters
#                dx   = col2im(dcol)   sum over windows
#                db   = dy.sum(axis=1) sum over positions, if there is a bias (lesson 3)
#
# **Before you run this:** there are three matrix multiplications: for y, for dw and for
# dcol. Which of them needs the most multiplications of numbers?

# %%
x, w = rng.standard_normal((4, 3, 23, 23)), rng.standard_normal((8, 3, 5, 5))
x_tensor, w_tensor = ta.Tensor(x, requires_grad=True), ta.Tensor(w, requires_grad=True)
y = F.conv2d(x_tensor, w_tensor, stride=2, padding=1)
dy = rng.standard_normal(y.shape)
y.backward(ta.Tensor(dy).data)  # from this dy: tinyalex's dx and dw, for comparison

col = im2col(x, 5, 2, 1)
rows, columns = w.reshape(8, -1), col.reshape(3 * 5 * 5, -1)
dmaps = dy.swapaxes(0, 1).reshape(8, -1)
dw, dcol = dmaps @ columns.T, rows.T @ dmaps
dx = col2im(dcol.reshape(col.shape), x.shape, 2, 1)
for name, (a, b) in {
    "w @ col": (rows, columns),
    "dy @ col.T": (dmaps, columns.T),
    "w.T @ dy": (rows.T, dmaps),
}.items():
    print(f"  {name:<10} {a.shape} @ {b.shape}: {a.size * b.shape[1]:,} multiplications")

# %% answer [markdown]
# None of them: each needs the same number, O * C*K*K * positions. So the backward pass
# costs two forward passes. The first layer omits one of its two: conv1 computes no
# dcol, since the gradient of the image is not needed.

# %% claims
same_dw = np.allclose(ta.Tensor(w_tensor.grad).numpy(), dw.reshape(w.shape))
lesson.claim("the backward pass of conv2d computes the same dw", same_dw)
lesson.claim("and the same dx", np.allclose(ta.Tensor(x_tensor.grad).numpy(), dx))
matmuls = (rows, columns), (dmaps, columns.T), (rows.T, dmaps)
counted = [a.size * b.shape[1] for a, b in matmuls]
text = f"three times {counted[0]:,} multiplications: one forward and two backward"
lesson.claim(text, counted == 3 * counted[:1])

# %% [markdown]
# ## col2im itself
#
# This is the place for exercise 1: write `col2im` yourself (`tinyalex learn start 6`).
# Then read tinyalex's. Compare its loop with that of `my_im2col` in lesson 5: the same
# slices, with `+=` on the side of the image. `padded` is an array of zeros with room
# for the padding, and `image` is the part of it without the padding. Both have the axes
# (C, N, H, W), as in `col`. `wide` is the dtype of the sums: that of `col`, but float32
# for float16. `dilation` is the distance between neighbouring pixels of a window,
# always 1 here.

# %%
print(inspect.getsource(col2im_on_cpu))

# %% [markdown]
# ## Break it
#
# Here is a typical first version of col2im. `origin` is from(q), the index of the pixel
# that each element of the columns was copied from; we get it by applying im2col to an
# image of indices. The line after it is meant to add up the columns.
#
# **Before you run this:** with windows of 2, 3 and 5 pixels, each with stride 2, which
# will fail the adjoint test, and why? Will the round trip show a fault too?


# %%
def col2im_by_index(col, shape, stride):
    indices = np.arange(np.prod(shape), dtype=float).reshape(shape)
    origin = im2col(indices, col.shape[1], stride, 0).astype(int)
    x = np.zeros(np.prod(shape))
    x[origin] += col
    return x.reshape(shape)


differences = {}
for kernel in (2, 3, 5):
    columns = im2col(x, kernel, 2, 0)
    c = rng.standard_normal(columns.shape)
    difference = (columns * c).sum() - (x * col2im_by_index(c, x.shape, 2)).sum()
    differences[kernel] = abs(difference) / np.linalg.norm(c)
    print(f"  window {kernel}, stride 2: the two dot products differ by {differences[kernel]:.0e}")
round_trip = col2im_by_index(im2col(photo, 4, 3, 0), photo.shape, 3)
print(f"  round trip: largest difference from the image {abs(round_trip - photo).max():.0e}")
a, b = col2im_by_index(c, x.shape, 2), col2im(c, x.shape, 2, 0)
cosine = (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)
print(f"  cosine of the angle between this gradient and tinyalex's: {cosine:.2f}")

# %% answer [markdown]
# `x[origin] += col` reads all elements of x[origin], adds, and then writes. Where an
# index occurs several times, the last value is written, and the others are lost. With a
# window of 2 and stride 2 no index occurs twice, and the test passes. With overlap it
# fails.
#
# The round trip restores the image, which looks like a success, but shows the fault:
# the right result is the image times the overlap. And the wrong gradient has roughly
# the right direction. The cosine is 1 for equal directions and 0 for perpendicular
# ones. A short step against the wrong gradient reduces the loss by this fraction of
# what a step of the same length against the right one would (lesson 1). In training, a
# step is the gradient times the learning rate, so a gradient of the wrong length makes
# the steps too long or too short as well.
#
# The symptom to remember: training works, but more slowly than it should; there is no
# error, and all shapes are right. So gradients must be tested, with windows that
# overlap.

# %% claims
lesson.claim("without overlap the adjoint test passes", differences[2] < 1e-10)
lesson.claim("with overlap it fails", min(differences[3], differences[5]) > 1e-6)
lesson.claim("the round trip restores the image", np.allclose(round_trip, photo))
text = f"the gradient has roughly the right direction: cosine {cosine:.2f}"
lesson.claim(text, 0.1 < cosine < 0.9)

# %% plot
figure = lesson.figure(10, 3.4)
summed = col2im(im2col(photo, 4, 3, 0), photo.shape, 3, 0)
panels = {
    "image": photo[0],
    "col2im(im2col(image))": summed[0] / summed.max(),
    "the same, last value only": round_trip[0],
}
for i, (title, values) in enumerate(panels.items(), 1):
    lesson.image_axes(figure, 1, 3, i, title=title, pixels=values)
lesson.show(figure, "06_col2im_round_trip")

# %% [markdown]
# ## Exercises
#
# 1. Write `col2im` yourself: `tinyalex learn start 6` creates the file in `my/`,
#    `tinyalex learn check 6` checks it.
# 2. Divide each pixel by its overlap, so that col2im inverts im2col. Does it pass the
#    adjoint test, and why?
# 3. Correct `col2im_by_index` with `np.add.at`, and compare its time with that of
#    `col2im`. Why do the slices of tinyalex's loop not have the fault?
