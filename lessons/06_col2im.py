# %% [markdown]
"""
# 6. What does the backward of a convolution add up?

    python lessons/06_col2im.py [--seed 1] [--device cuda]

Lesson 5 split a convolution into two steps. *im2col* copies each patch of the image
into a column, and one matrix multiplication applies all filters to all columns. The
backward pass receives the gradient of the loss with respect to the output (`dy`), and
computes those with respect to the weights (`dw`) and the pixels (`dx`). The backward
pass of the multiplication is easy. That of the copying needs more thought: a pixel was
copied to many columns, and each copy has its own gradient. What is the gradient of the
pixel?
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import device, kernels
from tinyalex import functional as F
from tinyalex.course import lesson

args = lesson.options(__doc__)
photo = lesson.photos(1, 64).pixels / 255
rng = np.random.default_rng(args.seed)


def im2col(x, kernel, stride, padding):
    """tinyalex's: (N, C, H, W) to (C, KH, KW, N, OH, OW), one column per patch."""
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
# If a pixel increases a little, each of its copies increases by the same amount. Each
# copy changes the loss, and the changes add up. So the gradient of a pixel is the *sum*
# of the gradients of its copies: not their mean, and not the last one. `col2im`
# computes this sum: it takes an array of the columns' shape and adds each element to
# the pixel that it was copied from.
#
# Applied to ones, it counts the copies. Before you run this: windows of 3 x 3 move over
# 7 x 7 pixels with stride 2. Which pixel is in the most windows, and in how many?


# %%
def overlap(size, kernel, stride, padding):
    """The number of windows that each pixel is in."""
    shape = 1, 1, size, size
    ones = np.ones_like(im2col(np.ones(shape), kernel, stride, padding))
    return col2im(ones, shape, stride, padding)[0, 0]


def windows_at(row, column):
    """The same for one of 7 x 7 pixels, by the definition of a 3 x 3 window."""
    corners = np.ndindex(3, 3)
    return sum(0 <= row - 2 * i < 3 and 0 <= column - 2 * j < 3 for i, j in corners)


counts = overlap(7, 3, 2, 0)
print(counts.astype(int))
same = all(count == windows_at(*pixel) for pixel, count in np.ndenumerate(counts))
lesson.claim(f"counting windows pixel by pixel agrees; the maximum is {counts.max():.0f}", same)
product = np.outer(counts[0], counts[:, 0])
lesson.claim("each is its row's count times its column's", np.array_equal(counts, product))
conv1, conv2 = overlap(224, 11, 4, 2), overlap(27, 5, 1, 2)
inner1, inner2 = (sorted({int(n) for n in c[12:-12, 12:-12].ravel()}) for c in (conv1, conv2))
print(f"away from the edges: conv1 of AlexNet (11 x 11, stride 4) {inner1}", end="")
print(f", conv2 (5 x 5, stride 1) {inner2}")
lesson.claim("in conv2 each pixel is in as many windows as a window has pixels", inner2 == [5 * 5])
varies = inner1 == [2 * 2, 2 * 3, 3 * 3]
lesson.claim("in conv1 it depends on the position: 11 is not a multiple of 4", varies)

# %% [markdown]
# ## The test that needs no derivative
#
# Write <a, b> for the *dot product* of two arrays of one shape: the sum of their
# elementwise products. Take any image x and any array c of the columns' shape. In
# <im2col(x), c> each element of c is multiplied by the pixel that was copied to its
# position. Collect the terms pixel by pixel: each pixel is multiplied by the sum of c
# over its copies, and that sum is col2im(c). So <im2col(x), c> = <x, col2im(c)>, for
# all x and c.
#
# Two linear functions with this property are *adjoint*. This is the condition that a
# backward pass must satisfy: a small change v of x changes the columns by im2col(v),
# and the loss by <im2col(v), dcol>. We want the dx with <v, dx> equal to that, for
# every v.
#
# Before you run this: does im2col followed by col2im restore the image?

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
lesson.claim(f"they are equal, up to rounding ({worst:.0e})", worst < 1e-10)
round_trip = col2im(im2col(photo, 11, 4, 2), photo.shape, 4, 2)
lesson.claim("col2im(im2col(image)) is not the image", not np.allclose(round_trip, photo))
overlapped = np.allclose(round_trip, photo * overlap(64, 11, 4, 2))
lesson.claim("but the image times the overlap", overlapped)

# %% [markdown]
# The adjoint is not the inverse. As matrices: im2col is a large matrix of zeros and
# ones, and col2im is its *transpose*. For a tiny image we can compute both, from the
# results for a single 1 among zeros at each position.

# %%
pixels, elements = np.eye(25).reshape(25, 1, 1, 5, 5), np.eye(36).reshape(36, 1, 3, 3, 1, 2, 2)
forward = np.stack([im2col(one, 3, 2, 0).ravel() for one in pixels], axis=1)
backward = np.stack([col2im(one, (1, 1, 5, 5), 2, 0).ravel() for one in elements], axis=1)
text = f"the matrix of col2im {backward.shape} is that of im2col {forward.shape}, transposed"
lesson.claim(text, np.array_equal(backward, forward.T))

# %% [markdown]
# ## Three matrix multiplications
#
# The whole backward pass, with w (O, C*KH*KW) one filter per row, and col (C*KH*KW,
# positions):
#
#     forward    y    = w @ col
#     backward   dw   = dy @ col.T     sum over positions: each uses the weight
#                dcol = w.T @ dy       sum over filters: each uses the element
#                dx   = col2im(dcol)   sum over windows: each uses the pixel
#
# The rule is the same three times: *a value that is used several times gets the sum of
# the contributions*. The shapes determine which matrix is transposed: in general only
# one order fits.
#
# Before you run this: how much more work than the forward pass is the backward pass?

# %%
x, w = rng.standard_normal((4, 3, 23, 23)), rng.standard_normal((8, 3, 5, 5))
x_tensor, w_tensor = ta.Tensor(x, requires_grad=True), ta.Tensor(w, requires_grad=True)
y = F.conv2d(x_tensor, w_tensor, stride=2, padding=1)
dy = rng.standard_normal(y.shape)
y.backward(ta.Tensor(dy).data)

col = im2col(x, 5, 2, 1)
rows, columns = w.reshape(8, -1), col.reshape(3 * 5 * 5, -1)
dmaps = dy.swapaxes(0, 1).reshape(8, -1)
dw, dcol = dmaps @ columns.T, rows.T @ dmaps
dx = col2im(dcol.reshape(col.shape), x.shape, 2, 1)
print(f"w {rows.shape}, col {columns.shape}, dy {dmaps.shape}", end="")
print(f" -> dw {dw.shape}, dcol {dcol.shape} -> dx {dx.shape}")
same_dw = np.allclose(ta.Tensor(w_tensor.grad).numpy(), dw.reshape(w.shape))
lesson.claim("the backward pass of conv2d computes the same dw", same_dw)
lesson.claim("and the same dx", np.allclose(ta.Tensor(x_tensor.grad).numpy(), dx))
matmuls = (rows, columns), (dmaps, columns.T), (rows.T, dmaps)
work = [a.size * b.shape[1] for a, b in matmuls]
text = f"each matmul takes {work[0]:,} multiply-adds: a backward pass costs two forward passes"
lesson.claim(text, work == 3 * [work[0]])

# %% [markdown]
# The first layer omits one of the two backward multiplications: the gradient of the
# image is not needed, so conv1 computes no dcol.
#
# ## Break it
#
# Here is a typical first version of col2im. `origin` is the index of the pixel that
# each element of the columns was copied from; we get it by applying im2col to the
# indices. The next line is meant to add up the columns.
#
# Before you run this: for which windows will the adjoint test fail?


# %%
def faulty_col2im(col, shape, stride):
    indices = np.arange(np.prod(shape), dtype=float).reshape(shape)
    origin = im2col(indices, col.shape[1], stride, 0).astype(int)
    x = np.zeros(np.prod(shape))
    x[origin] += col  # where an index occurs several times, only the last value is kept
    return x.reshape(shape)


errors = {}
for kernel in (2, 3, 5):
    columns = im2col(x, kernel, 2, 0)
    c = rng.standard_normal(columns.shape)
    difference = (columns * c).sum() - (x * faulty_col2im(c, x.shape, 2)).sum()
    errors[kernel] = abs(difference) / np.linalg.norm(c)
    print(f"  window {kernel}, stride 2: the adjoint test fails by {errors[kernel]:.0e}")
lesson.claim("without overlap it is right, and the test passes", errors[2] < 1e-10)
lesson.claim("with overlap the adjoint test fails", min(errors[3], errors[5]) > 1e-6)
restored = faulty_col2im(im2col(photo, 4, 2, 0), photo.shape, 2)
text = "it even restores the image, as if col2im were the inverse"
lesson.claim(text, np.allclose(restored, photo))
wrong, right = faulty_col2im(c, x.shape, 2), col2im(c, x.shape, 2, 0)
cosine = (wrong * right).sum() / np.linalg.norm(wrong) / np.linalg.norm(right)
text = f"and its gradient has roughly the right direction: cosine {cosine:.2f}"
lesson.claim(text, 0.1 < cosine < 0.9)

# %% [markdown]
# The cosine is 1 for equal directions and 0 for perpendicular ones. A short step along
# the wrong gradient decreases the loss by this fraction of the decrease along the right
# one: training still works, only more slowly. There is no error and no strange image.
# So gradients must be tested, with windows that overlap.

# %%
figure = lesson.figure(10, 6.4)
overlaps = {
    "overlap: 3 x 3, stride 2": overlap(13, 3, 2, 0),
    "conv1, 11 x 11, stride 4: a corner": conv1[:32, :32],
    "conv2, 5 x 5, stride 1": conv2,
}
for i, (title, counts) in enumerate(overlaps.items(), 1):
    axes = lesson.image_axes(figure, 2, 3, i, title=title, pixels=counts, cmap="Blues", vmin=0)
    bar = figure.colorbar(axes.images[0], ax=axes, shrink=0.9, ticks=np.unique(counts))
    bar.ax.tick_params(labelsize=7)
images = {
    "image": photo[0],
    "col2im(im2col(image))": round_trip[0] / round_trip.max(),
    "the faulty col2im": restored[0],
}
for i, (title, pixels) in enumerate(images.items(), 4):
    lesson.image_axes(figure, 2, 3, i, title=title, pixels=pixels)
lesson.show(figure, "06_col2im")

# %% [markdown]
# ## Exercises
#
# 1. Write `col2im` yourself: `tinyalex learn start 6` creates the file in `my/`,
#    `tinyalex learn check 6` checks it.
# 2. Divide each pixel by its overlap, so that col2im inverts im2col. Does it pass the
#    adjoint test, and why?
# 3. Correct `faulty_col2im` with `np.add.at`, and compare its time with that of
#    `col2im`. How does tinyalex's loop avoid the mistake?
