# %% [markdown]
"""
# 9. What does LRN do, and which LRN?

    python lessons/09_lrn.py [--seed 1] [--device cuda]

After its first two convolutions AlexNet has a layer that later networks left out: *local response normalisation*, LRN (section 3.3). A
convolution leaves many maps of the same picture, one a filter; each is a *channel*. At one place of the picture there is then a row of
numbers, one a channel: the *responses* of the filters to what is there. LRN makes neighbours in this row compete. Each response is
divided by something that is large where the channels around it are loud:

    s[c] = k + alpha * (sum of x[j]**2 over the n channels j around c)
    y[c] = x[c] / s[c]**beta

The idea comes from nerve cells, where an excited one quiets those beside it. The paper takes k = 2, n = 5, alpha = 1e-4, beta = 0.75, and
says that LRN took 1.4 % off its top-1 error. Under the same name you will find other numbers.
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import models
from tinyalex.functional.normalization import LocalResponseNorm
from tinyalex.learning import lesson
from tinyalex.nn import init

args = lesson.options(__doc__)
photos = lesson.photos(4, 224).pixels
pixels = (photos - photos.mean(axis=(0, 2, 3), keepdims=True)).astype(
    "f"
)  # about -128 to 128: the scale of the paper's numbers
alexnet = models.alexnet(
    "paper", num_classes=10, image_size=67
)  # of which we use conv1 and the norm behind it
norm = alexnet.norm1

# %% [markdown]
# ## One loud channel
#
# First a row that we make ourselves: sixteen channels of which one is loud, and the others all alike.
# Before you run this: which are divided by more than the others: the loud one, those beside it, or both?

# %%
channels, loud = np.arange(16), 7
row = np.where(channels == loud, 200.0, 40.0)[
    None, :, None
]  # (N, C, places): one picture, sixteen channels, one place
after = norm(row).numpy()[0, :, 0]
divisors = row[0, :, 0] / after
for name, numbers in (("x", row[0, :, 0]), ("y", after), ("x / y", divisors)):
    print(f"  {name:<6}", *(f"{number:6.2f}" for number in numbers))
near = abs(channels - loud) <= norm.size // 2
least, most = divisors[near].min(), divisors[~near].max()
lesson.claim(
    f"the {near.sum()} around it are divided alike, by {least:.2f}",
    np.allclose(divisors[near], least),
)
lesson.claim(f"the others are divided by less, {most:.2f} at most", most < least)

# %% [markdown]
# Within its window the loud channel keeps its lead; what changes is how this window stands beside others.
#
# ## Which LRN?
#
# Some sum the squares; some take their mean, which makes alpha five times weaker where n = 5. TensorFlow's defaults differ in nearly
# everything; a popular Keras port uses them. Here are the networks that people call AlexNet, each with its own LRN, on the same responses:
# those of the paper's first convolution as it starts. The alpha in the table is what multiplies the *sum*.
# Before you run this: with which of them would the next layer see quite another picture?

# %%
with ta.no_grad():
    signed = alexnet.conv1(pixels)  # what the filters say: yes is above zero, no below
    x = F.relu(signed)
responses = x.numpy()
usual, loudest = responses > 1, responses >= np.quantile(responses, 0.999)


def divided_by(y):
    """The median of x / y: of usual responses, and of the loudest ones."""
    return "{:7.2f} {:9.2f}".format(
        *(np.median(responses[where] / y[where]) for where in (usual, loudest))
    )


def by_sum(alpha, k, **options):
    return F.local_response_norm(x, 5, alpha, 0.75, k, alpha_mode="sum", **options).numpy()


norms = {}
print("  variant      n  alpha  beta  k  columns   divides: usual, loudest   order")
for variant in models.VARIANTS:
    with init.skipped():
        layers = dict(models.alexnet(variant, num_classes=10, image_size=99).named_children())
    if "norm1" in layers:
        its = norms[variant] = layers["norm1"]
        total = its.alpha / its.size if its.alpha_mode == "mean" else its.alpha
        order = " ".join(name for name in layers if name in ("conv1", "relu1", "norm1", "pool1"))
        numbers = f"{its.size:>2} {total:>6.0e} {its.beta:>5} {its.k:>2.0f} {its.groups:>8}"
        print(f"  {variant:<11} {numbers}         {divided_by(its(x).numpy())}   {order}")
lesson.claim("torchvision's AlexNet has none", "torchvision" not in norms)
lesson.claim(
    "TensorFlow's defaults squeeze every response to 1 at most",
    norms["keras"](x).numpy().max() <= 1,
)
code, caffe = (norms[variant](x).numpy() for variant in ("original", "caffe"))
lesson.claim(
    "the 2012 code's has a fifth of the paper's alpha, column by column",
    np.allclose(code, by_sum(2e-5, 2, groups=2)),
)
lesson.claim("Caffe's is that with k = 1, across the columns", np.allclose(caffe, by_sum(2e-5, 1)))

# %% [markdown]
# Weights trained with one of these do not fit another: the next convolution would get inputs of another size. *Columns* are the halves of
# the network that lay on two graphics cards: in the code a window ends where its card's channels end. And look at the order. Some
# normalise before ReLU, when a filter's "no" is still there, and its square counts.
# Before you run this: if LRN comes first, do the neighbours of a "no" come out smaller or larger?

# %%
with ta.no_grad():
    norm_first, relu_first = F.relu(norm(signed)).numpy(), norm(x).numpy()
lost = 1 - norm_first[responses > 0] / relu_first[responses > 0]
lesson.claim(
    f"no response is larger with LRN first, and some are {100 * lost.max():.0f} % smaller",
    -1e-5 < lost.min() < lost.max(),
)

# %% [markdown]
# ## A sweep over alpha
#
# Alpha meets the *square* of the responses, and means nothing without their scale. Before you run this: somebody divides all pixels by
# 255. Which other alpha would have done the same to LRN?

# %%
for alpha in 10.0 ** np.arange(-6, 1):
    print(f"  alpha {alpha:.0e} divides: usual, loudest {divided_by(by_sum(alpha, 2))}")
small = 255 * norm(x / 255).numpy()
lesson.claim(f"it is alpha / {255**2}", np.allclose(small, by_sum(1e-4 / 255**2, 2), rtol=1e-5))
quiet = norm.k**norm.beta
off = abs(responses[usual] / small[usual] / quiet - 1).max()
lesson.claim(
    f"LRN is off then: it divides everything by {quiet:.2f}, up to a factor of 1 + {off:.0e}",
    off < 1e-3,
)

# And beta? Let a channel be loud alone, and ever louder. With 0.5 its output levels off, as x / sqrt(alpha * x * x) does not depend on x.
# With 0.75 the divisor wins, and in the end the output falls: look at the middle of the figure.
alone = np.where(channels == loud, np.geomspace(1, 1e4, 2000)[:, None], 0)[:, :, None]
curves = {name: its(alone).numpy()[:, loud, 0] for name, its in norms.items()}
turn = (
    norm.k / (norm.alpha * (2 * norm.beta - 1))
) ** 0.5  # where the slope of x / (k + alpha * x * x)**beta is zero
past = np.diff(curves["paper"][alone[:, loud, 0] > turn])
lesson.claim(
    f"the paper's output falls for lone responses above {turn:.0f}", past.size and (past < 0).all()
)
lesson.claim("TensorFlow's does not fall", (np.diff(curves["keras"]) >= 0).all())

# %% [markdown]
# ## Raising one lowers its neighbours
#
# If x[c] grows a little, so does the divisor of each y[j] that has c in its window. That is the *cross-channel term*, with a minus:
#
#     slope of y[j] with x[c] = (s[c]**-beta, if j is c)  -  2 * alpha * beta * x[c] * y[j] / s[j]
# Before you run this: the loud channel is raised a little. Does the *sum* of all sixteen outputs rise?

# %%
copies = ta.Tensor(np.repeat(row, 16, axis=0), requires_grad=True)
norm(copies).backward(np.eye(16)[:, :, None])  # the j-th copy asks about y[j] alone
slopes = ta.Tensor(copies.grad).numpy()[:, loud, 0]
h = 1e-4 * (channels == loud)[None, :, None]
nudged = (norm(row + h) - norm(row - h)).numpy()[0, :, 0] / 2e-4
print("  slopes", *(f"{slope:+.3f}" for slope in slopes))
lesson.claim("backward() says what nudging says", np.allclose(slopes, nudged, atol=1e-8))
lesson.claim(
    "its neighbours fall, those outside the window stay",
    np.array_equal(slopes < 0, near & (channels != loud)),
)
lesson.claim(f"the slope of the sum is {slopes.sum():+.3f}: together they fall", slopes.sum() < 0)

figure = lesson.figure(13, 4.2)
labels = {"xlabel": "channel", "xticks": channels[::3]}
axes = lesson.axes(
    figure, 1, 3, 1, title="The loud one quiets its window", ylabel="response", **labels
)
axes.bar(channels, row[0, :, 0] / quiet, color="#d5dbe1", label="x / k**beta")
axes.bar(channels, after, width=0.5, color=lesson.BLUE, label="y")
axes.legend(frameon=False, loc="upper left")
axes = lesson.axes(
    figure,
    1,
    3,
    2,
    title="Four layers, one name",
    xlabel="x, alone in its window",
    ylabel="y",
    ylim=(0.3, 1500),
)
styles = {
    "paper": ("paper", lesson.BLUE, "-"),
    "original": ("2012 code", lesson.GREEN, "-"),
    "caffe": ("Caffe", lesson.GREY, "--"),
}
for variant, (label, ink, line) in (
    styles | {"keras": ("TensorFlow's defaults", lesson.RED, "-")}
).items():
    axes.loglog(
        alone[:, loud, 0], curves[variant], color=ink, linestyle=line, linewidth=2, label=label
    )
axes.legend(frameon=False, loc="upper left")
axes = lesson.axes(
    figure, 1, 3, 3, title="Raise the loud one: who falls?", ylabel="slope of y", **labels
)
axes.bar(channels, slopes, color=[lesson.BLUE if slope > 0 else lesson.RED for slope in slopes])
lesson.show(figure, "09_lrn")

# %% [markdown]
# ## Break it
#
# The cross-channel term is easily forgotten: one takes s for a constant. Before you run this: does it show on small responses, on large?


# %%
class Forgetful(LocalResponseNorm):
    def backward(self, dy):
        return dy * self.s**-self.beta


def gradient(function, numbers):
    leaf = ta.Tensor(numbers, requires_grad=True)
    function.apply(leaf, size=5, a=1e-4, beta=0.75, k=2.0, groups=1).sum().backward()
    return ta.Tensor(leaf.grad).numpy()


normal = abs(np.random.default_rng(args.seed).standard_normal((4, 16, 9)))
error = abs(gradient(Forgetful, normal) / gradient(LocalResponseNorm, normal) - 1).max()
lesson.claim(
    f"responses of about 1 hide it: the worst slope is off by {100 * error:.1f} %", error < 0.01
)
right, wrong = (gradient(function, row)[0, loud, 0] for function in (LocalResponseNorm, Forgetful))
lesson.claim(
    f"in our row the loud one's slope is {right:+.3f}, and comes out as {wrong:+.3f}: wrong way",
    right < 0 < wrong,
)

# %% [markdown]
# The symptom to remember: a backward that passes a coarse check on small numbers, and is wrong where it matters. Check at true scale.
#
# ## Exercises
#
# 1. `tinyalex learn start 9` has you write LRN's backward, both terms; `tinyalex learn check 9` compares it with nudging.
# 2. Run `ta.gradcheck` on `Forgetful` with small responses and with large ones. It is finer than our check: what does it say of each?
# 3. CaffeNet pools *before* it normalises, and has a quarter of the work. Is the result the same? Try both orders on `x`.
