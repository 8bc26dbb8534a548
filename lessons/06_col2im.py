# %% [markdown]
"""
# 6. What does the backward of a convolution add up?

    python lessons/06_col2im.py [--seed 1] [--device cuda]

Lesson 5 made a convolution of two steps. *im2col* copies each patch of the picture into a column, and one matrix product multiplies all
columns by all filters. Going backward, we are told how much the loss changes with each output number (its gradient, `dy`), and want to
know how much it changes with each weight (`dw`) and with each pixel (`dx`). The matrix product will turn out to be easy. The copying is
what needs thought: one pixel was copied to many places, and each of them has a wish of its own. Whose wish counts?
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import device, kernels
from tinyalex import functional as F
from tinyalex.learning import lesson

args = lesson.options(__doc__)
photo = lesson.photos(1, 64).pixels / 255
random = np.random.default_rng(args.seed)


def im2col(x, kernel, stride, padding):
    """tinyalex's own: (N, C, H, W) to (C, KH, KW, N, OH, OW), every patch a column."""
    x = ta.Tensor(x).data
    (n, c), out = x.shape[:2], ((size + 2 * padding - kernel) // stride + 1 for size in x.shape[2:])
    col = device.xp(x).empty((c, kernel, kernel, n, *out), x.dtype)
    kernels.of(x).im2col(x, col, (kernel, kernel), (stride, stride), (padding, padding), (1, 1))
    return device.to_numpy(col)


def col2im(col, shape, stride, padding):
    """tinyalex's own: the columns back to an array of the picture's shape."""
    col = ta.Tensor(col).data
    x = device.xp(col).empty(shape, col.dtype)
    kernels.of(col).col2im(col, x, col.shape[1:3], (stride, stride), (padding, padding), (1, 1))
    return device.to_numpy(x)


# %% [markdown]
# ## One pixel, many windows
#
# Turn one pixel up by a little, and every number that was copied from it goes up by as much. Each changes the loss a bit, and the bits
# add up. So the slope for the pixel is the *sum* of the slopes for its copies: not their mean, and not the last one. This sum is what
# `col2im` makes: it takes an array of the columns' shape and adds each number to the pixel that it once was copied from.
#
# To see how many copies there are, let it add up ones. Before you run this: windows of 3 x 3 move over 7 x 7 pixels in steps of 2. Which
# pixel is in the most windows, and in how many?

# %%


def overlap(size, kernel, stride, padding):
    """For each pixel, in how many windows it is."""
    shape = 1, 1, size, size
    return col2im(
        np.ones_like(im2col(np.ones(shape), kernel, stride, padding)), shape, stride, padding
    )[0, 0]


counts = overlap(7, 3, 2, 0)
print(counts.astype(int))
by_hand = [
    [sum(0 <= r - 2 * i < 3 and 0 <= c - 2 * j < 3 for i, j in np.ndindex(3, 3)) for c in range(7)]
    for r in range(7)
]
lesson.claim(
    f"counting windows pixel by pixel finds the same, up to {counts.max():.0f}",
    np.array_equal(counts, by_hand),
)
lesson.claim(
    "and each is its row's count times its column's",
    np.array_equal(counts, np.outer(counts[0], counts[:, 0])),
)
conv1, conv2 = overlap(224, 11, 4, 2), overlap(27, 5, 1, 2)
inside1, inside2 = (sorted({int(n) for n in c[12:-12, 12:-12].ravel()}) for c in (conv1, conv2))
print(
    f"away from the edges: AlexNet's conv1 (11 x 11 in steps of 4) {inside1}, its conv2 (5 x 5 in steps of 1) {inside2}"
)
lesson.claim("conv2 has each pixel as often as its window has places", inside2 == [5 * 5])
lesson.claim(
    "in conv1 it depends on the place: 4 does not go into 11 evenly",
    inside1 == [2 * 2, 2 * 3, 3 * 3],
)

# %% [markdown]
# ## The test that needs no derivative
#
# Write two arrays of one shape as <a, b>: multiply them number by number, and add all that up. Now take any picture x and any array c of
# the columns' shape. In <im2col(x), c> each number of c meets the pixel that its place was copied from. Collect the terms pixel by pixel,
# and each pixel meets the sum of all c at its copies. But that is <x, col2im(c)>. The two must be equal, whatever x and c are.
#
# Two functions with this property are *adjoint*. It is all that a backward pass has to fulfil: a change of x by a little v changes the
# columns by im2col(v), and the loss by <im2col(v), dcol>. We want one dx with <v, dx> equal to that, for every v.
#
# Before you run this: im2col followed by col2im, does that give the picture back?

# %%
worst = 0.0
for kernel, stride, padding in ((3, 1, 1), (3, 2, 0), (5, 1, 2), (11, 4, 2), (2, 3, 0)):
    x = random.standard_normal((2, 3, 19, 22))
    c = random.standard_normal(im2col(x, kernel, stride, padding).shape)
    left, right = (
        (im2col(x, kernel, stride, padding) * c).sum(),
        (x * col2im(c, x.shape, stride, padding)).sum(),
    )
    worst = max(worst, abs(left - right) / np.linalg.norm(c))
    print(
        f"  window {kernel:>2}, step {stride}, padding {padding}:  <im2col x, c> = {left:+.9f}   <x, col2im c> = {right:+.9f}"
    )
lesson.claim(f"they are equal, up to rounding ({worst:.0e})", worst < 1e-10)
there_and_back = col2im(im2col(photo, 11, 4, 2), photo.shape, 4, 2)
lesson.claim("there and back is not the picture", not np.allclose(there_and_back, photo))
lesson.claim(
    "but the picture times the overlap", np.allclose(there_and_back, photo * overlap(64, 11, 4, 2))
)

# %% [markdown]
# Adjoint is not inverse. If you know matrices: im2col is a large matrix of zeros and ones, and col2im is that matrix with rows and columns
# exchanged, its *transpose*. For a tiny picture we can write both down, by asking what becomes of a single 1 among zeros, place by place.

# %%
pixels, cells = np.eye(25).reshape(25, 1, 1, 5, 5), np.eye(36).reshape(36, 1, 3, 3, 1, 2, 2)
forward = np.stack([im2col(one, 3, 2, 0).ravel() for one in pixels], axis=1)
backward = np.stack([col2im(one, (1, 1, 5, 5), 2, 0).ravel() for one in cells], axis=1)
lesson.claim(
    f"col2im's matrix {backward.shape} is im2col's {forward.shape}, transposed",
    np.array_equal(backward, forward.T),
)

# %% [markdown]
# ## Three products
#
# Now the whole backward pass, with w (O, C*KH*KW) the filters in rows, and col (C*KH*KW, positions):
#
#     forward    y    = w @ col
#     backward   dw   = dy @ col.T       a weight is used at every position: the sum over positions
#                dcol = w.T @ dy         a number in a column is used by every filter: the sum over filters
#                dx   = col2im(dcol)     a pixel is used in every window round it: the sum over windows
#
# Three times the same thought: *whatever is used often gets the sum of its shares*. You need not learn by heart which matrix is to be
# transposed. Only one order has the right shape.
#
# Before you run this: how much more work than the forward pass is the backward pass?

# %%
x, w = random.standard_normal((4, 3, 23, 23)), random.standard_normal((8, 3, 5, 5))
x_, w_ = ta.Tensor(x, requires_grad=True), ta.Tensor(w, requires_grad=True)
y = F.conv2d(x_, w_, stride=2, padding=1)
dy = random.standard_normal(y.shape)
y.backward(ta.Tensor(dy).data)

col = im2col(x, 5, 2, 1)
rows, columns = w.reshape(8, -1), col.reshape(3 * 5 * 5, -1)
dmaps = dy.swapaxes(0, 1).reshape(8, -1)
dw, dcol = dmaps @ columns.T, rows.T @ dmaps
dx = col2im(dcol.reshape(col.shape), x.shape, 2, 1)
print(
    f"w {rows.shape}, col {columns.shape}, dy {dmaps.shape} -> dw {dw.shape}, dcol {dcol.shape} -> dx {dx.shape}"
)
lesson.claim(
    "conv2d's own backward has the same dw",
    np.allclose(ta.Tensor(w_.grad).numpy(), dw.reshape(w.shape)),
)
lesson.claim("and the same dx", np.allclose(ta.Tensor(x_.grad).numpy(), dx))
work = {a.size * b.shape[1] for a, b in ((rows, columns), (dmaps, columns.T), (rows.T, dmaps))}
lesson.claim(
    f"each product takes {max(work):,} multiply-adds: backward costs two forwards", len(work) == 1
)

# %% [markdown]
# The first layer can save one of them: nobody asks for the gradient of the photo, so conv1 makes no dcol.
#
# ## Break it
#
# Here is a col2im as many write it at first. `origin` says for each place in the columns which pixel it came from, which we get by
# sending the pixels' numbers through im2col. Then one line adds the columns up, or so it seems.
#
# Before you run this: for which windows will the adjoint test notice?


# %%
def hasty(col, shape, stride):
    origin = im2col(
        np.arange(np.prod(shape), dtype=float).reshape(shape), col.shape[1], stride, 0
    ).astype(int)
    x = np.zeros(np.prod(shape))
    x[origin] += (
        col  # reads all, adds, writes all back: where a pixel occurs twice, only the last one stays
    )
    return x.reshape(shape)


gaps = {}
for kernel in (2, 3, 5):
    c = random.standard_normal(im2col(x, kernel, 2, 0).shape)
    gaps[kernel] = abs(
        (im2col(x, kernel, 2, 0) * c).sum() - (x * hasty(c, x.shape, 2)).sum()
    ) / np.linalg.norm(c)
    print(
        f"  window {kernel}, step 2: the two sides of the adjoint test differ by {gaps[kernel]:.0e}"
    )
lesson.claim(
    "windows side by side: all is right, and a test without overlap passes", gaps[2] < 1e-10
)
lesson.claim("windows that overlap: the adjoint test fails", min(gaps[3], gaps[5]) > 1e-6)
restored = hasty(im2col(photo, 4, 2, 0), photo.shape, 2)
lesson.claim(
    "worse: it gives the picture back, so who expects an inverse is content with it",
    np.allclose(restored, photo),
)
wrong, right = hasty(c, x.shape, 2), col2im(c, x.shape, 2, 0)
cosine = (wrong * right).sum() / np.linalg.norm(wrong) / np.linalg.norm(right)
lesson.claim(
    f"and its gradient points roughly where it should: cosine {cosine:.2f}", 0.1 < cosine < 0.9
)

# %% [markdown]
# A cosine is 1 if two directions are the same, 0 if they have nothing to do with each other. A short step against a wrong gradient gains
# that share of what one against the right gradient gains: the loss still falls, only more slowly than it might. No crash, no odd picture.
# That is why gradients are tested and not looked at, and tested with windows that overlap.

# %%
figure = lesson.figure(10, 6.4)
maps = {
    "3 x 3, step 2: in how many windows": overlap(13, 3, 2, 0),
    "conv1, 11 x 11, step 4: a corner": conv1[:32, :32],
}
for place, (title, count) in enumerate(
    (maps | {"conv2, 5 x 5, step 1: all of it": conv2}).items(), 1
):
    axes = lesson.picture(figure, 2, 3, place, title=title, pixels=count, cmap="Blues", vmin=0)
    figure.colorbar(axes.images[0], ax=axes, shrink=0.9, ticks=np.unique(count)).ax.tick_params(
        labelsize=7
    )
lesson.picture(figure, 2, 3, 4, title="a picture", pixels=photo[0])
lesson.picture(
    figure,
    2,
    3,
    5,
    title="im2col, then col2im: times the overlap",
    pixels=there_and_back[0] / there_and_back.max(),
)
lesson.picture(figure, 2, 3, 6, title="the hasty one: looks right, is wrong", pixels=restored[0])
lesson.show(figure, "06_col2im")

# %% [markdown]
# ## Exercises
#
# 1. `tinyalex learn start 6` puts a file into `my/` in which `col2im` is for you to write; `tinyalex learn check 6` says what is wrong.
# 2. Divide each pixel by its overlap, so that there and back is the picture. What does the adjoint test say, and why is it right?
# 3. Repair `hasty` with `np.add.at`, and compare the time it takes with that of `col2im`. How does tinyalex's loop avoid it?
