# %% [markdown]
"""
# 4. How do I know that my backward is right?

    python lessons/04_gradcheck.py [--seed 1] [--device cuda]

A wrong forward pass usually shows: shapes do not fit, pictures look odd. A wrong backward pass hardly ever does. Its numbers are numbers
like all others, the loss falls with them too, only not as far as it might, and nobody ever learns what was missed. So gradients are not
looked at but checked: by nudging, as in lesson 1, every number of every input. `ta.gradcheck` does that.

This lesson writes a layer that tinyalex does not have, gets its backward wrong twice, and finds out that a check can be blind.
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import ops
from tinyalex.functional.activation import ReLU, Sigmoid
from tinyalex.functional.linear import Linear
from tinyalex.functional.normalization import LocalResponseNorm
from tinyalex.functional.pooling import AvgPool2d, avg_pool2d_naive
from tinyalex.functional.softmax import Softmax
from tinyalex.kernels.window import Window
from tinyalex.learning import lesson

args = lesson.options(__doc__)
random = np.random.default_rng((4, args.seed))  # not the stream that gradcheck draws from

# %% [markdown]
# ## A layer of your own
#
# Many networks that came after AlexNet *standardise*: they shift and scale a row of numbers so that its mean is 0 and its spread is 1,
# y = (x - m) / s. Here m is the mean of the row and s its standard deviation, the root of the mean squared distance from m.
#
# A layer is a `ta.Function`: `forward` computes y and keeps what backward will need; `backward` is given `dy`, how fast the loss changes
# with each y, and returns the same for each x. A first draft: x is divided by s, so the slope is 1/s. Before you run this: what does it
# overlook?


# %%
class Standardise(ta.Function):
    def forward(self, x):
        self.s = x.std(axis=1, keepdims=True)
        self.y = (x - x.mean(axis=1, keepdims=True)) / self.s
        return self.y

    def backward(self, dy):
        return dy / self.s


rows, limit = random.standard_normal((3, 5)), 1e-6
first = ta.gradcheck(Standardise, rows, raise_exception=False)
print(first)
lesson.claim(
    f"wrong in {first.worst.wrong} of {first.worst.checked} places",
    first.worst.wrong > first.worst.checked / 2,
)

# %% [markdown]
# Read the report from left to right: how many elements of x are right, where it is worst, what `backward` says there, what nudging says.
# The layer has many outputs, and a slope needs *one* number. So gradcheck multiplies each output with a random number and adds all up.
# The random numbers are then the `dy` that backward is given. They are called the *cotangent*; remember them, they will matter.
#
# The draft overlooks that m and s depend on x as well. A nudged x moves the mean, and so *all* y of its row, by the same amount.
# A second draft takes that into account, and a third one also that s moves.


# %%
class SecondDraft(Standardise):
    def backward(self, dy):
        return (dy - dy.mean(axis=1, keepdims=True)) / self.s


class ThirdDraft(Standardise):
    def backward(self, dy):
        return (
            dy - dy.mean(axis=1, keepdims=True) - self.y * (dy * self.y).mean(axis=1, keepdims=True)
        ) / self.s


second, third = (
    ta.gradcheck(draft, rows, raise_exception=False) for draft in (SecondDraft, ThirdDraft)
)
print(second, third, sep="\n")
lesson.claim("the second draft is still wrong", second.worst.wrong > 0)
lesson.claim(f"the third is right in all {third.worst.checked} places", third.ok)

# %% [markdown]
# ## A check that is blind
#
# Why random numbers? `y.sum().backward()` is simpler, and many a test is written like that. Its cotangent is 1 everywhere. Here is such a
# test, for a cotangent of any kind, and one more draft, which returns zeros. Before you run this: which will pass, with random numbers,
# and with ones?


# %%
def off(kind, f, *inputs, h=1e-5):
    """How far backward and nudging are apart, at worst; `kind` makes the cotangent."""
    tensors = [ta.Tensor(x, requires_grad=True) for x in inputs]
    y, worst = f(*tensors), 0.0
    u = kind(y.shape)
    y.backward(u)
    for x, t in zip(inputs, tensors, strict=True):
        for direction in np.eye(x.size).reshape(-1, *x.shape):
            up, down = (
                [z + h * side * direction if z is x else z for z in inputs] for side in (1, -1)
            )
            slope = (
                u * (f(*map(ta.Tensor, up)).numpy() - f(*map(ta.Tensor, down)).numpy())
            ).sum() / (2 * h)
            worst = max(worst, abs(slope - (ta.Tensor(t.grad).numpy() * direction).sum()))
    return worst


def both(f, *inputs):
    return off(random.standard_normal, f, *inputs), off(np.ones, f, *inputs)


nothing = type("Nothing", (Standardise,), {"backward": lambda self, dy: 0 * dy})
drafts = {
    "standardise: zeros": nothing,
    "first draft": Standardise,
    "second draft": SecondDraft,
    "third draft (right)": ThirdDraft,
}
found = {name: both(draft.apply, rows) for name, draft in drafts.items()}
for name, (by_random, by_ones) in found.items():
    print(f"  {name:<19} with random numbers off by {by_random:.0e}, with ones by {by_ones:.0e}")
verdicts = [[error < limit for error in errors] for errors in zip(*found.values(), strict=True)]
lesson.claim(
    "with random numbers only the third draft passes", verdicts[0] == [False, False, False, True]
)
lesson.claim(
    "with ones the second draft passes, and so does a backward that returns zeros",
    verdicts[1] == [True, False, True, True],
)
lesson.claim(
    "the reason: each row of y adds up to 0, whatever x is",
    np.allclose(Standardise.apply(rows).sum(axis=1), 0),
)

# %% [markdown]
# A sum that cannot change has no slope: the test compares 0 with 0. Softmax is such a layer too, since its outputs add up to 1. And where
# all dy are 1 there is more that cannot be seen: whether backward multiplies by dy at all, and whether each dy goes to where it belongs.
#
# ## Break it, eight times
#
# Eight layers of tinyalex, each with a mistake that people make. `sabotaged` takes the real layer and gives it another backward. Before
# you run this: read the eight. Which will gradcheck find, and which will ones find?


# %%
def sabotaged(layer, backward, **options):
    broken = type(layer.__name__, (layer,), {"backward": backward})
    return lambda *inputs: broken.apply(*inputs, **options)


def mean_for_bias(self, dy):
    dx, dw, db = Linear.backward(self, dy)
    return dx, dw, db / len(dy)


x, square, maps = (
    random.standard_normal((4, 5)),
    random.standard_normal((4, 4)),
    random.standard_normal((2, 6, 4, 4)),
)
layer = x, random.standard_normal((3, 5)), random.standard_normal(3)
norm = {"size": 5, "a": 0.1, "beta": 0.75, "k": 2.0, "groups": 1}
pool = {
    "window": Window((2, 2), (2, 2), (0, 0)),
    "out": (2, 2),
    "divisor": ta.Tensor(np.full((2, 2), 4.0)).data,
}
cases = {
    "ReLU lets all through": (sabotaged(ReLU, lambda self, dy: 1 * dy), x),
    "tanh with sigmoid's slope": (
        sabotaged(ops.Tanh, lambda self, dy: dy * self.y * (1 - self.y)),
        x,
    ),
    "linear: a mean for the bias": (sabotaged(Linear, mean_for_bias), *layer),
    "LRN without its neighbours": (
        sabotaged(LocalResponseNorm, lambda self, dy: dy * self.s**-self.beta, **norm),
        maps,
    ),
    "sigmoid forgets dy": (sabotaged(Sigmoid, lambda self, dy: self.y * (1 - self.y)), x),
    "transpose does not go back": (
        sabotaged(ops.Transpose, lambda self, dy: 1 * dy, axes=None),
        square,
    ),
    "softmax with a wrong sign": (
        sabotaged(Softmax, lambda self, dy: -Softmax.backward(self, dy), axis=1),
        x,
    ),
    "pooling mixes up channels": (
        sabotaged(AvgPool2d, lambda self, dy: AvgPool2d.backward(self, dy[:, ::-1]), **pool),
        maps,
    ),
}
reports = {
    name: ta.gradcheck(f, inputs, raise_exception=False) for name, (f, *inputs) in cases.items()
}
for name, report in reports.items():
    found[name] = both(*cases[name])
    print(
        f"  {name}, seen by ones: {'yes' if found[name][1] > limit else 'NO'}\n      {report.worst.hint.text.split(': ')[0]}"
    )
lesson.claim("gradcheck finds all eight", not any(report.ok for report in reports.values()))
blind = [found[name][1] < limit for name in cases]
lesson.claim(
    "ones find the first four, and are blind to the others", blind == 4 * [False] + 4 * [True]
)

# %% [markdown]
# The indented lines are gradcheck's guess at the mistake. It compares the whole gradient with the one measured, and looks for patterns.
#
# ## What no gradient check can know
#
# gradcheck says that backward is the slope of *this* forward. Whether forward is what you meant, it cannot know. Here is an average
# pooling, each output the mean of a 2 x 2 window, in which somebody forgot to divide. Before you run this: what does gradcheck say?


# %%
def average(x):
    return 4 * F.avg_pool2d(x, 2)


loops = avg_pool2d_naive(maps, pool["window"], pool["out"])
lesson.claim("gradcheck is content", ta.gradcheck(average, maps).ok)
lesson.claim(
    "who compares with the definition, in loops, is not",
    not np.allclose(average(maps).numpy(), loops),
)

# %%
figure = lesson.figure(8.5, 4.8)
labels = {"xlabel": "how far backward and nudging are apart", "ylim": (len(found) - 0.5, -0.5)}
axes = lesson.axes(figure, title=f"What a check sees: below {limit:g}, nothing", **labels)
for k, (ink, label) in enumerate(
    ((lesson.BLUE, "cotangent of random numbers"), (lesson.RED, "cotangent of ones"))
):
    axes.semilogx(
        [max(errors[k], 1e-13) for errors in found.values()],
        range(len(found)),
        "os"[k],
        color=ink,
        label=label,
    )
axes.axvline(limit, color=lesson.GREY, linestyle=":")
axes.set_yticks(range(len(found)), list(found))
figure.legend(frameon=False, loc="outside lower center", ncols=2)
lesson.show(figure, "04_gradcheck")

# %% [markdown]
# ## Exercises
#
# 1. `tinyalex learn start 4` puts a layer into `my/` whose backward is for you to write; `tinyalex learn check 4` says what is wrong.
# 2. Sabotage the third draft so that random numbers find nothing if they are the same in each row.
# 3. `fast=True` nudges all numbers at once, in a few random directions. Which of the eight does it find? Why are so few enough?
