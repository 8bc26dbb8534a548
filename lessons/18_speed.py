# %% [markdown]
"""
# 18. Why was it slow, and what made it fast?

    python lessons/18_speed.py [--seed 1]

A convolution can be computed in Python loops, and by tinyalex, on the same processor;
the loops are too slow for any training. This lesson takes four steps from the one to
the other, measures each, and compares it with what the processor could do at most. For
that it needs two numbers of the processor and one number of each computation, which are
plotted in one diagram, the *roofline*. The last step, Winograd's algorithm, computes a
convolution with less than half of its multiplications. It is derived by hand, and then
used with tiles that are too large.

All measurements are on the CPU, also with `--device cuda`. The roofline of a GPU has
the same form, with other numbers.
"""

# %%
import os
from itertools import pairwise
from time import perf_counter

import numpy as np

import tinyalex as ta
from tinyalex import device, kernels
from tinyalex import functional as F
from tinyalex.course import lesson
from tinyalex.functional.convolution import conv2d_naive

args = lesson.options(__doc__)
device.set_default("cpu")
rng = np.random.default_rng(args.seed)


def random(*shape):
    return rng.standard_normal(shape, np.float32)


# %% [markdown]
# ## Two numbers of the processor
#
# A *flop* is one operation on floating-point numbers; a multiply-add (lesson 15) is
# two. The *peak rate* is how many of them the processor can execute in a second. We
# measure it with the product of two large matrices, the program that comes closest.
#
# The operands have to be loaded from main memory. The processor has small fast
# memories, its *caches*, for values that were used recently. The *bandwidth* is how
# many bytes in a second are moved between main memory and processor. We measure it by
# copying a large array, which is read once and written once.
#
# A computation with W flops that moves Q bytes takes at least W/peak seconds for the
# flops, and at least Q/bandwidth seconds for the bytes. Both go on at the same time, so
# the larger of the two limits it:
#
# $$
# \text{seconds} \geq
# \max \left( \frac{W}{\text{peak}}, \; \frac{Q}{\text{bandwidth}} \right)
# $$
#
# Both sides are positive. So W divided by the left side is at most W divided by the
# right side. With the *arithmetic intensity* $I = W/Q$, in flops per byte, this is
#
# $$
# \text{rate} = \frac{W}{\text{seconds}}
# \leq \min ( \text{peak}, \; I \cdot \text{bandwidth} )
# $$
#
# As a curve over I this bound is a slope and then a flat line: the roof. Left of the
# edge a computation is *memory-bound*, right of it *compute-bound*.
#
# Take the linear layer fc7: 4096 outputs, of 4096 inputs each, for N images. It has $W
# = 2 N \cdot 4096^2$ flops. It has to read the weights and the inputs, and to write the
# outputs: $Q = 4 (4096^2 + 2 N \cdot 4096)$ bytes. For small N the weights are most of
# that, so
#
# $$
# I \approx \frac{2 N \cdot 4096^2}{4 \cdot 4096^2} = \frac{N}{2}
# $$
#
# **Before you run this:** the program multiplies for N = 1, 8 and 64 images. How many
# times as long as one image will 64 images take: 64 times, or less?


# %%
def race(actions, repeats=5):
    """The shortest time of each action, in seconds. They take turns, after a warm-up.

    Other programs can only lengthen a time, and rarely all of several.
    """
    times = {name: [] for name in actions}
    for _ in range(repeats + 1):
        for name, action in actions.items():
            start = perf_counter()
            action()
            times[name].append(perf_counter() - start)
    return {name: min(found[1:]) for name, found in times.items()}


a, b, weights = random(1024, 1024), random(1024, 1024), random(4096, 4096)
source = np.ones(1 << 25, np.float32)  # 128 MB
target, inputs = np.zeros_like(source), {n: random(n, 4096) for n in (1, 8, 64)}
actions = {"peak": lambda: a @ b, "copy": lambda: np.copyto(target, source)}
actions |= {n: lambda x=x: weights @ x.T for n, x in inputs.items()}
with device.single_threaded_blas():  # BLAS multiplies matrices for NumPy; one core
    times, linear = race(actions), {}
peak, bandwidth = 2 * 1024**3 / times["peak"], 2 * source.nbytes / times["copy"]
print(f"one core: {peak / 1e9:.1f} Gflop/s, {bandwidth / 1e9:.1f} GB/s", end="")
print(f"; the edge of the roof is at {peak / bandwidth:.1f} flops per byte")
for n, x in inputs.items():
    flops, moved = 2 * n * weights.size, 4 * (weights.size + 2 * x.size)
    linear[n] = flops / moved, flops / times[n]
    print(f"  N = {n:>2}: {1e3 * times[n]:>5.1f} ms, {linear[n][1] / 1e9:>5.1f} Gflop/s")

# %% answer [markdown]
# Much less than 64 times. With one image each weight is read from memory for one
# multiply-add: the layer is memory-bound, and its time is that of reading the weights.
# With more images they are read once, and used for all of them. The rate rises with N,
# until the layer reaches the flat part. This is why networks are trained, and photos
# classified, in batches.
#
# The bound is a model: it knows only one kind of memory. A copy does not measure
# exactly the bandwidth of reading, and a matrix product not exactly the peak. Measured
# rates may exceed it somewhat.

# %% claims
rate = {n: measured for n, (_, measured) in linear.items()}
times = 64 * rate[1] / rate[64]
lesson.claim(f"64 images take {times:.1f} times as long as one", times < 40)
text = f"one image runs at {rate[1] / peak:.0%} of the peak, 64 at {rate[64] / peak:.0%}"
lesson.claim(text, rate[1] < 0.6 * peak and rate[1] < rate[64] / 1.6)
bounds = {n: min(peak, intensity * bandwidth) for n, (intensity, _) in linear.items()}
ratios = [rate[n] / bounds[n] for n in rate]
text = f"the measured rates are {min(ratios):.2f} to {max(ratios):.2f} times the bound"
lesson.claim(text, max(ratios) < 4)

# %% [markdown]
# ## Five versions of a convolution
#
# The layer: 16 images, 64 channels, 28 x 28 pixels, 64 filters of 3 x 3, padding 1. It
# has nearly a billion flops.
#
# 1. **Loops**: the definition, one multiply-add after the other in Python.
# 2. **im2col and one matrix product** (lesson 5), for the whole batch, on one core.
# 3. **Tiles**: the same for a few images at a time. The columns of the whole batch have
#    nine times the size of the images; those of a tile fit into the cache.
# 4. **Threads** (parts of a program that run at the same time): tiles are shared among
#    all cores of the processor.
# 5. **Winograd's algorithm**, with tiles and threads.
#
# Their intensities: all read x and w and write y. Version 2 also writes the columns to
# memory, and reads them again:
#
# $$
# Q = 4 (|x| + |w| + |y|), \qquad Q_2 = 4 (|x| + |w| + |y| + 2 |\text{col}|)
# $$
#
# where |x| is the number of elements of x.
#
# **Before you run this:** which of the four steps, from one version to the next, gains
# most? How far below the roof is each version: by a factor of 2, 10, 1000 or 100,000?


# %%
x, w = random(16, 64, 28, 28), random(64, 64, 3, 3)
y, col = np.empty_like(x), np.empty((64, 3, 3, 16, 28, 28), np.float32)
flops, cores = 2 * y.size * 64 * 9, device.workers()


def im2col_and_matmul():
    with device.single_threaded_blas():
        kernels.of(x).im2col(x, col, (3, 3), (1, 1), (1, 1), (1, 1))
        product = w.reshape(64, -1) @ col.reshape(64 * 9, -1)
        y[...] = product.reshape(64, 16, 28, 28).swapaxes(0, 1)


def conv2d(fast, workers=cores):
    os.environ["TINYALEX_THREADS"] = str(workers)  # of tinyalex's own threads
    device.workers.cache_clear()
    with ta.fast(fast), ta.no_grad(), device.single_threaded_blas():
        F.conv2d(x, w, padding=1)  # fast: Winograd; otherwise im2col in tiles


times = race(
    {
        "loops": lambda: conv2d_naive(x[:1, :, :5, :5], w[:4]),  # 9 positions, 4 filters
        "im2col": im2col_and_matmul,
        "tiles": lambda: conv2d(False, 1),
        "threads": lambda: conv2d(False),
        "Winograd": lambda: conv2d(True),
        "peak": lambda: a @ b,
    }
)
times["loops"] *= flops / (2 * 9 * 4 * 64 * 9)  # of the whole layer
whole_peak, moved = max(peak, 2 * 1024**3 / times.pop("peak")), 4 * (x.size + w.size + y.size)
versions = {name: [flops / moved, flops / seconds] for name, seconds in times.items()}
versions["im2col"][0] = flops / (moved + 4 * 2 * col.size)
for name, (intensity, rate) in versions.items():
    bound = min(whole_peak if name in ("threads", "Winograd") else peak, intensity * bandwidth)
    print(f"  {name:<9} intensity {intensity:>5.1f}, {rate / 1e6:>10,.1f} Mflop/s", end="")
    print(f", the bound is {bound / rate:,.1f} times that")

# %% plot
figure = lesson.figure(9, 5.4)
labels = {"xscale": "log", "yscale": "log", "xlabel": "arithmetic intensity (flops per byte)"}
labels["ylabel"] = "rate (Gflop/s)"
axes = lesson.axes(figure, title="Roofline of this machine, and what was measured", **labels)
intensities = np.geomspace(0.2, 1000, 200)
roofs = (peak, "-", "one core", "top"), (whole_peak, "--", f"{cores} cores", "bottom")
for top, style, name, side in roofs:
    roof = np.minimum(top, intensities * bandwidth) / 1e9
    axes.plot(intensities, roof, style, color=lesson.GREY, linewidth=2)
    style = {"color": "#666666", "fontsize": 9}
    axes.text(1000, top / 1e9, name, va=side, ha="right", **style)
for n, (intensity, measured) in linear.items():
    axes.plot(intensity, measured / 1e9, "o", color=lesson.GREEN)
    options = {"textcoords": "offset points", "fontsize": 9, "ha": "right"}
    axes.annotate(f"fc7, N = {n}", (intensity, measured / 1e9), (-6, -14), **options)
for name, (intensity, measured) in versions.items():
    axes.plot(intensity, measured / 1e9, "o", color=lesson.RED)
    left = name in ("tiles", "Winograd")
    options = {"textcoords": "offset points", "fontsize": 9, "ha": "right" if left else "left"}
    axes.annotate(name, (intensity, measured / 1e9), (-8 if left else 8, -3), **options)
lesson.show(figure, "18_speed")

# %% answer [markdown]
# The first step gains most, by far. The loops are below the roof by a factor of tens of
# thousands, and neither memory nor arithmetic is the reason. For each product the
# interpreter looks up types, checks indices and creates objects. im2col writes and
# reads nine times as many values as there are pixels, and is faster nevertheless,
# because compiled loops do the rest. The roofline shows which change is worth a try.
# Half of the multiplications would at best halve the time of the loops, which are tens
# of thousands of times below the roof. The other versions are below it by a small
# factor only (printed above); for them a factor of two is a lot.
#
# Tiles gain little here. The bound assumes that values are moved and multiplied at the
# same time; version 2 first copies all columns, then multiplies. Tiles keep the copies
# in the cache. Threads raise the roof itself (dashed), if the other cores are free.
#
# The rate of Winograd's algorithm is computed from the flops of the definition, as for
# the others. It needs fewer, so its point may be *above* the roof. How can a
# convolution be computed with fewer multiplications?

# %% claims
gains = [times[slower] / times[faster] for slower, faster in pairwise(times)]
lesson.claim(f"im2col is {gains[0]:,.0f} times as fast as loops", gains[0] > 500)
text = "the other steps gain less: " + ", ".join(f"{gain:.1f}" for gain in gains[1:])
lesson.claim(text, max(gains[1:]) < gains[0] / 10)
gain = times["im2col"] / times["Winograd"]
text = f"Winograd with {cores} cores is {gain:.1f} times as fast as im2col on one"
lesson.claim(text, gain > 1)
text = f"the loops reach {versions['loops'][1] / peak:.0e} of the peak of one core"
lesson.claim(text, versions["loops"][1] < 1e-2 * peak)
slowest = min(rate for name, (_, rate) in versions.items() if name != "loops")
lesson.claim(f"the others reach {slowest / peak:.0%} of it or more", slowest > 1e-2 * peak)

# %% [markdown]
# ## Fewer multiplications
#
# Take one row, a filter of three weights, and two outputs next to each other. They read
# four pixels:
#
# $$
# y_0 = x_0 w_0 + x_1 w_1 + x_2 w_2, \qquad y_1 = x_1 w_0 + x_2 w_1 + x_3 w_2
# $$
#
# That is six multiplications. Winograd (1980) found that four are enough:
#
# $$
# m_1 = (x_0 - x_2) \, w_0 \qquad m_2 = (x_1 + x_2) \, \frac{w_0 + w_1 + w_2}{2}
# $$
#
# $$
# m_3 = (x_2 - x_1) \, \frac{w_0 - w_1 + w_2}{2} \qquad m_4 = (x_1 - x_3) \, w_2
# $$
#
# $$
# y_0 = m_1 + m_2 + m_3, \qquad y_1 = m_2 - m_3 - m_4
# $$
#
# Check the first: expanded, $m_2 + m_3 = x_1 w_1 + x_2 (w_0 + w_2)$. Adding $m_1 = x_0
# w_0 - x_2 w_0$ removes the term $x_2 w_0$, which is not in $y_0$, and leaves $y_0$.
# For the second, $m_2 - m_3 = x_1 (w_0 + w_2) + x_2 w_1$, and subtracting $m_4$
# replaces $x_1 w_2$ by $x_3 w_2$.
#
# The sums of weights are computed once for all images. The sums of pixels cost
# additions, but each of them is used for all filters, and the sums for y are taken
# after those over the channels. So in a layer with many channels and filters nearly all
# work is in the products $m$.
#
# It is called F(2, 3): two outputs, three weights. Written with matrices it is
#
# $$
# y = A^T \left( (G w) \odot (B^T x) \right)
# $$
#
# where the circle is the elementwise product, and
#
#     A^T =  1  1  1  0     G =   1    0    0      B^T =  1  0 -1  0
#            0  1 -1 -1          1/2  1/2  1/2            0  1  1  0
#                                1/2 -1/2  1/2            0 -1  1  0
#                                 0    0    1             0  1  0 -1
#
# **Any number of outputs.** (You can skip this derivation: it is only needed for
# m > 2.) Where do such matrices come from? From the product of two polynomials (Toom
# and Cook). If u has m coefficients and w three, their product has the m + 2
# coefficients $c_k = \sum_i w_{k-i} u_i$. Instead of multiplying all pairs of
# coefficients, evaluate u and w at m + 1 numbers, the *points*, and "at infinity",
# which means: take the highest coefficient. Multiply the m + 2 pairs of values, and
# compute c from these products. An evaluation is a matrix whose rows are powers of the
# points: A for u, G for w. Let B be the inverse of such a matrix, for m + 2
# coefficients: it computes the coefficients from the values. Then
#
# $$
# c = B \left( (G w) \odot (A u) \right)
# $$
#
# For a given w, the product with G w, element by element, is the product with a
# diagonal matrix D, which has the values of G w on its diagonal. So c = B D A u: one
# matrix, with the elements $w_{k-i}$, times u. The filter $y_i = \sum_k w_{k-i} x_k$
# multiplies x by its transpose (it is the adjoint, lesson 6). Transposing a product of
# matrices transposes each and reverses their order, and D is its own transpose. So the
# filter is $A^T D B^T x$: that is the formula for y above. The points of F(2, 3) are 0,
# 1 and -1. (`transforms` below has the factors 1/2 in B instead of G, and $-m_4$.)
#
# For an image the transforms are applied to rows and columns: 4 x 4 pixels, also called
# a *tile* (not the tiles of images above), give 2 x 2 outputs with 16 multiplications
# instead of 36. In general m x m outputs of a 3 x 3 filter take $(m + 2)^2$ instead of
# $9 m^2$.
#
# **Before you run this:** how many multiplications for each output are left for m = 2,
# 4 and 6? What is the least that is possible, for very large m?


# %%
POINTS = [0, 1, -1, 2, -2, 1 / 2, -1 / 2, 3, -3, 1 / 3, -1 / 3, 4, -4]


def transforms(m):
    """AT, G and BT of F(m, 3): powers of m + 1 points and, at infinity, the highest."""
    at, g, square = (
        np.array([[p**k for k in range(n)] for p in POINTS[: m + 1]] + [[0] * (n - 1) + [1]], float)
        for n in (m, 3, m + 2)
    )
    return at.T, g, np.linalg.inv(square).T


def winograd(x, w, m):
    """Tiles x (T, C, m+2, m+2) and filters w (C, 3, 3) to outputs (T, m, m)."""
    at, g, bt = (matrix.astype(x.dtype) for matrix in transforms(m))
    products = (g @ w @ g.T) * (bt @ x @ bt.T)
    return at @ products.sum(axis=1) @ at.T


print("multiplications for an output:", {m: round((m + 2) ** 2 / m**2, 2) for m in (2, 4, 6, 100)})

# %% answer [markdown]
# 4, 2.25 and 1.78 instead of 9. For large m it approaches 1, a ninth. tinyalex uses m =
# 5 for 3 x 3 filters: 49 multiplications for 25 outputs, 4.6 times fewer. The gain
# that was measured above is another number: the transforms take time too and are
# memory-bound, and each time depends on what else the machine is doing.

# %% claims
x0, x1, x2, x3, w0, w1, w2 = rng.standard_normal(7)
m1, m2 = (x0 - x2) * w0, (x1 + x2) * (w0 + w1 + w2) / 2
m3, m4 = (x2 - x1) * (w0 - w1 + w2) / 2, (x1 - x3) * w2
by_hand = m1 + m2 + m3, m2 - m3 - m4
at, g, bt = transforms(2)
matrices = at @ ((g @ [w0, w1, w2]) * (bt @ [x0, x1, x2, x3]))
definition = x0 * w0 + x1 * w1 + x2 * w2, x1 * w0 + x2 * w1 + x3 * w2
lesson.claim("F(2, 3) by hand equals the definition", np.allclose(by_hand, definition))
lesson.claim("so does the form with matrices", np.allclose(matrices, definition))
u = rng.standard_normal(2)
values = (g @ [w0, w1, w2]) * (at.T @ u)
product = np.polynomial.polynomial.polymul(u, [w0, w1, w2])
lesson.claim("the product of polynomials uses the same three", np.allclose(bt.T @ values, product))

# %% [markdown]
# ## Break it: larger tiles
#
# If larger tiles need fewer multiplications, why does tinyalex stop at m = 5? We go on
# to m = 12, with float32 as in training.
#
# **Before you run this:** the algebra is exact for every m. What is the relative error
# of the result at m = 12: 1e-7, as of any float32 value, 1e-4, or more?

# %%
print("relative errors: Winograd in float32, in float64, and the definition in float32")
errors = {}
for m in (2, 4, 5, 6, 8, 10, 12):
    tiles, filters = rng.standard_normal((50, 64, m + 2, m + 2)), rng.standard_normal((64, 3, 3))
    single = tiles.astype("f"), filters.astype("f")
    with ta.fast(False):  # im2col
        exact, direct = (F.conv2d(x, w[None]).numpy()[:, 0] for x, w in ((tiles, filters), single))
    results = winograd(*single, m), winograd(tiles, filters, m), direct
    errors[m] = [np.linalg.norm(y - exact) / np.linalg.norm(exact) for y in results]
    print(f"  m = {m:>2}:", *(f"{error:.0e}" for error in errors[m]))

# %% plot
figure = lesson.figure(9, 3.8)
sizes = list(errors)
labels = {"xlabel": "m, outputs of a tile", "ylabel": "multiplications for an output"}
axes = lesson.axes(figure, 1, 2, 1, title="Work", ylim=(0, 9.5), **labels)
axes.plot(sizes, [(m + 2) ** 2 / m**2 for m in sizes], "o-", color=lesson.BLUE)
axes.axhline(9, color=lesson.GREY, linestyle=":")
axes.text(12, 8.9, "definition", va="top", ha="right", fontsize=9)
axes.axhline(1, color=lesson.GREY, linestyle=":")
axes.text(12, 0.9, "limit", va="top", ha="right", fontsize=9)
labels = {"xlabel": "m, outputs of a tile", "ylabel": "relative error", "yscale": "log"}
axes = lesson.axes(figure, 1, 2, 2, title="Error", **labels)
names_of = ("Winograd, float32", lesson.RED), ("Winograd, float64", lesson.BLUE)
for i, (label, colour) in enumerate((*names_of, ("definition, float32", lesson.GREY))):
    axes.plot(sizes, [errors[m][i] for m in sizes], "o-", color=colour, label=label)
axes.legend(frameon=False, fontsize=9)
lesson.show(figure, "18_speed_tiles")

# %% answer [markdown]
# On average, the error becomes about ten times as large whenever m grows by two, and at
# m = 12 nothing useful is left of float32. In float64 the same program is right: the
# algebra is not the problem. m outputs need powers up to m + 1 of the points, and with
# more points these become very large and very small. Large terms cancel in the result,
# but their rounding errors do not (lesson 1). At the same time the gain from m = 6 to
# m = 12 is less than a quarter of the multiplications. So implementations use m from 2
# to 6.
#
# m = 6 is as exact as 5. tinyalex uses 5 because of AlexNet's maps: 13 x 13 outputs are
# 3 x 3 tiles of either size, with 441 multiplications for m = 5 and 576 for m = 6. 55 x
# 55 outputs take 5,929 and 6,400.
#
# tinyalex scales the rows of G and $B^T$, which this lesson does not, and takes its
# points in another order; m = 5 then has an error of some 1e-6. It also compares the
# sizes of the values in each image. If in one image a few are much larger than the
# others, it computes the whole batch by im2col, because the errors are relative to the
# largest value of a tile.
#
# **The symptom to remember: right in float64, and wrong in the third digit in
# float32.** `gradcheck` (lesson 4) computes in float64 and passes. Such a mistake is
# found by comparing float32 with float64 on realistic sizes, with an error measured
# relative to the result.

# %% claims
text = f"in float32 the error is {errors[2][0]:.0e} for m = 2, {errors[12][0]:.0e} for m = 12"
lesson.claim(text, errors[2][0] < 1e-5 and errors[12][0] > 1000 * errors[2][0])
lesson.claim(f"in float64 it is {errors[12][1]:.0e} for m = 12", errors[12][1] < 1e-6)
text = f"the definition has {errors[12][2]:.0e} in float32"
lesson.claim(text, errors[12][2] < 1e-5)

# %% [markdown]
# ## Exercises
#
# 1. Write F(2, 3) for a row of any length: `tinyalex learn start 18` creates the file
#    in `my/`, `tinyalex learn check 18` checks it.
# 2. Derive the intensity of ReLU, y = max(x, 0), counted as one flop. What is the bound
#    on this machine? Measure `np.maximum(x, 0, out=y)` for an array of 100 MB, and for
#    one of 100 KB, which fits into the cache.
# 3. conv1 of AlexNet has filters of 11 x 11, with stride 4, and three channels. If each
#    block of 4 x 4 pixels becomes one pixel with 16 times as many channels (*folding*
#    the stride), how large are the filters, and what is the stride? Why is F(5, 3) used
#    for these 48 channels, but not for a layer with three? See the table in
#    `tinyalex/kernels/cpu/convolution/selection.py`.
# 4. With other POINTS, for example 0, 1, -1, 2, -2, 3, -3, ..., how does the error at m
#    = 6 change? Find better ones.
