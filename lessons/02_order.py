# %% [markdown]
"""
# 2. Why does backward need an order?

    python lessons/02_order.py [--seed 1] [--device cuda]

`backward()` of lesson 1 goes through a computation from its end to its beginning. Each operation on the way is told how fast the loss
changes with its *result*, multiplies by its own slope (school's chain rule), and tells each of its inputs how fast the loss changes with
*that one*. So backward is a mail service. A number that was used in two places gets two letters, and if it answers after the first, half
of the truth is missing. Here we build such a service, deliver in three orders, and then read tinyalex's own.
"""

# %%
import inspect
from collections import Counter
from timeit import timeit
from unittest.mock import patch

import numpy as np

import tinyalex as ta
from tinyalex import function, nn, ops
from tinyalex.learning import lesson

args = lesson.options(__doc__)

# %% [markdown]
# ## A small autograd
#
# *Autograd* is short for automatic gradient. Every `Number` knows which numbers it was made of (`inputs`) and how fast it changes with
# each of them (`slopes`): a *graph*, things and arrows between them. `grad` is its gradient: how fast the last result, the *root*,
# changes with it. The last three methods of the root walk the graph, each in its own order.


# %%
class Number:
    def __init__(self, value, inputs=(), slopes=()):
        self.value, self.inputs, self.slopes, self.grad, self.visits = value, inputs, slopes, 0.0, 0

    def __add__(self, other):
        return Number(self.value + other.value, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        return Number(self.value * other.value, (self, other), (other.value, self.value))

    def pass_on(self):
        self.visits += 1
        for source, slope in zip(self.inputs, self.slopes, strict=True):
            source.grad += slope * self.grad

    def behind(self):
        """This number, then its inputs, then theirs, ...: each once, in the order in which it is found."""
        found = [self]
        for number in found:  # which grows meanwhile
            found += [source for source in dict.fromkeys(number.inputs) if source not in found]
        return found

    def as_found(self):
        """Each number passes on what it has when it is found."""
        self.grad = 1.0
        for number in self.behind():
            number.pass_on()

    def path_by_path(self, share=1.0):
        """Whatever arrives is passed on at once, by itself."""
        self.grad, self.visits = self.grad + share, self.visits + 1
        for source, slope in zip(self.inputs, self.slopes, strict=True):
            source.path_by_path(slope * share)

    def when_complete(self):
        """Each number waits until all of its uses have sent their share, and passes on the sum."""
        waiting_for = Counter(source for number in self.behind() for source in number.inputs)
        self.grad, ready = 1.0, [self]
        while ready:
            number = ready.pop()
            number.pass_on()
            waiting_for.subtract(number.inputs)
            ready += [source for source in dict.fromkeys(number.inputs) if waiting_for[source] == 0]


# %% [markdown]
# ## Three orders
#
# b is the square of a, c the square of b, and d = b + c. So d uses b at once, and again by the way of c. What the slope of d along a
# is, we ask by nudging a to both sides. Before you run this: which walks find that slope, and how often does each of them visit a?


# %%
def steps(a):
    b = a * a
    c = b * b
    return {"a": a, "b": b, "c": c, "d": b + c}


truth, walks = (steps(3 + 1e-4)["d"] - steps(3 - 1e-4)["d"]) / 2e-4, {}
print(
    f"the slope of d along a, by nudging: {truth:.4f}; gradients, and in brackets visits, of each walk:"
)
for walk in (Number.as_found, Number.path_by_path, Number.when_complete):
    walks[walk.__name__] = graph = steps(Number(3.0))
    walk(graph["d"])
    print(
        f"  {walk.__name__:<14}",
        *(f"{letter} {number.grad:g} ({number.visits})  " for letter, number in graph.items()),
    )
early, paths, ordered = (graph["a"].grad for graph in walks.values())
lesson.claim(
    f"in the order in which numbers are found, the slope comes out as {early:g}: wrong",
    abs(early / truth - 1) > 0.5,
)
lesson.claim(
    f"path by path, and when complete, as {ordered:g}: right",
    paths == ordered and np.isclose(ordered, truth),
)

# %% [markdown]
# Look at b in the first line. Its gradient is right in the end, but b had passed it on before c's share arrived, and nobody told a.
# `path_by_path` has no such trouble: it walks every way from d to a by itself, and a adds up what arrives. Why not do it like that?
# Add a number to itself, the sum to itself, and so on. Before you run this: how do the visits grow with the number of additions?


# %%
def doubled(x, times):
    for _ in range(times):
        x = x + x
    return x


depths, by_path, in_order = range(1, 17), [], []
for walk, visits in ((Number.path_by_path, by_path), (Number.when_complete, in_order)):
    for root in (doubled(Number(1.0), times) for times in depths):
        walk(root)
        visits.append(sum(number.visits for number in root.behind()))
lesson.claim(f"path by path, visits double: {by_path}", by_path == [2 * 2**n - 1 for n in depths])
lesson.claim("when complete, there is one a number", in_order == [n + 1 for n in depths])
depth, seconds = 50, timeit(doubled(Number(1.0), depths[-1]).path_by_path, number=1)
years = seconds * 2.0 ** (depth - depths[-1]) / (365 * 24 * 3600)
lesson.claim(
    f"path by path, {depth} additions would take {years:,.0f} years on this computer", years > 1
)

# %% [markdown]
# Many networks after AlexNet add what goes into a block of layers to what comes out: two ways through each, and the paths double.
#
# ## tinyalex's own, read together
#
# An order in which everything comes after all that uses it is called *topological*. Here is how tinyalex finds one: the real text, taken
# from the file. A `Function` is an operation, here also called a node; a tensor is an array of numbers; `root` is the loss. Before you
# run this: how long will tinyalex take for the additions that would have cost us years?

# %%
print(inspect.getsource(function.backward))
x = ta.Tensor(1.0, requires_grad=True)
with patch.object(
    ops.Add, "backward", autospec=True, side_effect=ops.Add.backward
) as counted:  # the real one, with a counter
    took = 1000 * timeit(doubled(x, depth).backward, number=1)
right = counted.call_count == depth and x.grad == 2.0**depth
lesson.claim(
    f"each of the {depth} additions is visited once, in {took:.1f} ms together, and the slope is 2**{depth}",
    right,
)

# %% [markdown]
# `uses_left` is our `waiting_for`, `collected` our `grad`: what has come in so far. `_input_grads` calls the operation's own `backward`.
# A tensor that no operation made is a *leaf*, such as a weight, and keeps its gradient. `_free` drops what will not be needed again.
#
# ## Break it
#
# We tell tinyalex's engine that everything is used once, so that it passes on after the first letter, as `as_found` did. `gradcheck`
# compares gradients with nudges (lesson 4): those of a small network of AlexNet's kinds of layers, one after the other, and those of
# x * (1 + x**2)**-0.75, with its factors in either order (AlexNet's response normalisation, lesson 9, is much like it).
# Before you run this: what will gradcheck find wrong?

# %%
random = np.random.default_rng(args.seed)
chain = nn.Sequential(
    nn.Conv2d(3, 8, 3), nn.ReLU(), nn.LocalResponseNorm(5), nn.Flatten(), nn.Linear(8 * 4 * 4, 10)
)
pictures, points = (
    random.standard_normal((2, 3, 6, 6)),
    np.linspace(-2, 2, 8) + 0.1 * random.random(),
)
cases = (
    (chain, pictures),
    (lambda x: x * (1 + x * x) ** -0.75, points),
    (lambda x: (1 + x * x) ** -0.75 * x, points),
)


def checks():
    return [ta.gradcheck(f, x, raise_exception=False) for f, x in cases]


real = function._count_uses
lesson.claim(
    "with the engine as it is, all gradients are right", all(report.ok for report in checks())
)
with patch.object(function, "_count_uses", lambda root: dict.fromkeys(real(root), 1)):
    layers, x_first, x_last = checks()
print(x_last)
lesson.claim("with the broken one, the gradients of the network are right, still", layers.ok)
lesson.claim(
    "those of x * f(x) as well, and those of f(x) * x are wrong", x_first.ok and not x_last.ok
)

# %% [markdown]
# No error, and two ways to write the same thing that learn differently. The symptom to remember: a network that is one long chain
# trains as ever, and the trouble starts with the first shortcut. AlexNet is such a chain and would not have shown it. A check did.

# %%
figure, places = lesson.figure(8.5, 4.2), {"d": (0, 3), "c": (1, 2.2), "b": (0, 1.3), "a": (0, 0)}
for i, (name, graph) in enumerate(walks.items(), 1):
    axes = lesson.axes(
        figure, 1, 3, i, title=name.replace("_", " "), xlim=(-0.4, 2.3), ylim=(-0.4, 3.4)
    )
    axes.set_axis_off()
    for use, source, bend in (
        ("d", "b", 0),
        ("d", "c", 0),
        ("c", "b", 0.4),
        ("c", "b", 0),
        ("b", "a", 0.25),
        ("b", "a", -0.25),
    ):
        arrow = {
            "arrowstyle": "-|>",
            "color": lesson.GREY,
            "shrinkA": 15,
            "shrinkB": 15,
            "connectionstyle": f"arc3,rad={bend}",
        }
        axes.annotate("", places[source], places[use], arrowprops=arrow)
    for letter, number in graph.items():
        ink = lesson.BLUE if number.grad == walks["when_complete"][letter].grad else lesson.RED
        x, y = places[letter]
        axes.text(
            x,
            y,
            letter,
            color="white",
            ha="center",
            va="center",
            bbox={"boxstyle": "circle", "color": ink},
        )
        axes.text(
            x + 0.3, y, f"gradient {number.grad:g}\nvisits {number.visits}", va="center", color=ink
        )
lesson.show(figure, "02_order")

# %% [markdown]
# ## Exercises
#
# 1. `tinyalex learn start 2` puts a file into `my/` in which `backward` is for you to write; `tinyalex learn check 2` says what is wrong.
# 2. A fourth order: when a letter arrives, a number passes on *all that it has*. Foretell the gradient of a above, then write it.
# 3. `tinyalex learn hint 2` leads to an order without counting. Give it, and tinyalex, `sys.getrecursionlimit()` additions. Who fails?
