# %% [markdown]
"""
# 2. Why does backward need an order?

    python lessons/02_order.py [--seed 1] [--device cuda]

`backward()` of lesson 1 traverses a computation from its end to its beginning. Each
operation receives the derivative of the loss with respect to its *result*, multiplies
it by its own derivatives, and passes the products on to its inputs. That is the *chain
rule*. A value a that is used several times gets a contribution from each use u:

    dloss/da = sum over all uses u of  dloss/du * du/da

If a passes on its gradient before all of them have arrived, a contribution is missing.
We build a small autograd, run it in three orders, and then read tinyalex's.
"""

# %%
import inspect
from collections import Counter
from timeit import timeit
from unittest.mock import patch

import numpy as np

import tinyalex as ta
from tinyalex import function, nn, ops
from tinyalex.course import lesson

args = lesson.options(__doc__)

# %% [markdown]
# ## A small autograd
#
# *Autograd* is short for automatic gradient. Each `Number` stores the `Number`s that it
# was computed from (`inputs`) and its derivative with respect to each of them
# (`derivatives`). This is a *graph*: nodes and edges between them. `grad` is the
# derivative of the final result, the *root*, with respect to this number. The last
# three methods of the root traverse the graph, each in its own order.


# %%
class Number:
    def __init__(self, value, inputs=(), derivatives=()):
        self.value, self.inputs, self.derivatives = value, inputs, derivatives
        self.grad, self.visits = 0.0, 0

    def __add__(self, other):
        return Number(self.value + other.value, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        return Number(self.value * other.value, (self, other), (other.value, self.value))

    def pass_on(self):
        self.visits += 1
        for source, derivative in zip(self.inputs, self.derivatives, strict=True):
            source.grad += derivative * self.grad

    def ancestors(self):
        """This number, its inputs, their inputs, ...: each once, breadth first."""
        found = [self]
        for number in found:  # the list grows during the loop
            found += [source for source in dict.fromkeys(number.inputs) if source not in found]
        return found

    def in_discovery_order(self):
        """Each number passes on its gradient when it is found, complete or not."""
        self.grad = 1.0
        for number in self.ancestors():
            number.pass_on()

    def path_by_path(self, share=1.0):
        """Each contribution is passed on at once, separately."""
        self.grad, self.visits = self.grad + share, self.visits + 1
        for source, derivative in zip(self.inputs, self.derivatives, strict=True):
            source.path_by_path(derivative * share)

    def in_topological_order(self):
        """Each number waits until all of its uses have contributed."""
        waiting_for = Counter(source for number in self.ancestors() for source in number.inputs)
        self.grad, ready = 1.0, [self]
        while ready:
            number = ready.pop()
            number.pass_on()
            waiting_for.subtract(number.inputs)
            ready += [source for source in dict.fromkeys(number.inputs) if waiting_for[source] == 0]


# %% [markdown]
# ## Three orders
#
# b is the square of a, c the square of b, and d = b + c. So d depends on b directly,
# and also through c: d = a**2 + a**4. We compute its derivative with respect to a
# numerically, with a central difference.
#
# Before you run this: which traversals find that derivative, and how often does each of
# them visit a?


# %%
def compute(a):
    b = a * a
    c = b * b
    return {"a": a, "b": b, "c": c, "d": b + c}


numerical, graphs = (compute(3 + 1e-4)["d"] - compute(3 - 1e-4)["d"]) / 2e-4, {}
print(f"numerical derivative of d with respect to a: {numerical:.4f}; gradients (and visits):")
for traverse in (Number.in_discovery_order, Number.path_by_path, Number.in_topological_order):
    graphs[traverse.__name__] = graph = compute(Number(3.0))
    traverse(graph["d"])
    results = (f"{name} {number.grad:g} ({number.visits})" for name, number in graph.items())
    print(f"  {traverse.__name__:<20}", "   ".join(results))
early, paths, ordered = (graph["a"].grad for graph in graphs.values())
wrong = abs(early / numerical - 1) > 0.5
lesson.claim(f"in discovery order the gradient of a is {early:g}: wrong", wrong)
right = paths == ordered and np.isclose(ordered, numerical)
lesson.claim(f"path by path, and in topological order, it is {ordered:g}: right", right)

# %% [markdown]
# In the first line, the gradient of b is right in the end, but b passed it on before
# the contribution of c arrived, so a did not receive this contribution. `path_by_path`
# follows each path from d to a separately, and a sums the contributions. What is wrong
# with this method? Add a number to itself, then the sum to itself, and so on.
#
# Before you run this: how does the number of visits grow with the number of additions?


# %%
def doubled(x, times):
    for _ in range(times):
        x = x + x
    return x


def count_visits(traverse, root):
    traverse(root)
    return sum(number.visits for number in root.ancestors())


depths = range(1, 17)
by_path = [count_visits(Number.path_by_path, doubled(Number(1.0), n)) for n in depths]
in_order = [count_visits(Number.in_topological_order, doubled(Number(1.0), n)) for n in depths]
lesson.claim(f"path by path, visits double: {by_path}", by_path == [2 * 2**n - 1 for n in depths])
linear = in_order == [n + 1 for n in depths]
lesson.claim("in topological order, each number is visited once", linear)
depth, seconds = 50, timeit(doubled(Number(1.0), depths[-1]).path_by_path, number=1)
years = seconds * 2.0 ** (depth - depths[-1]) / (365 * 24 * 3600)
text = f"path by path, {depth} additions would take {years:,.0f} years on this computer"
lesson.claim(text, years > 1)

# %% [markdown]
# Many networks after AlexNet add the input of a block of layers to its output (residual
# connections). Each block has two paths, so the number of paths doubles with each
# block.
#
# ## The backward pass of tinyalex
#
# An order in which each node comes after all of its uses is called *topological*. Below
# is the source of tinyalex's traversal. A `Function` is an operation, also called a
# node; a tensor is an array in the graph; `root` is the loss.
#
# Before you run this: how long will tinyalex take for the additions that would have
# taken years?

# %%
print(inspect.getsource(function.backward))
x = ta.Tensor(1.0, requires_grad=True)
real = ops.Add.backward
with patch.object(ops.Add, "backward", autospec=True, side_effect=real) as counted:
    milliseconds = 1000 * timeit(doubled(x, depth).backward, number=1)
right = counted.call_count == depth and x.grad == 2.0**depth
text = f"each of {depth} additions is visited once, in {milliseconds:.1f} ms in total"
lesson.claim(f"{text}, and the gradient is 2**{depth}", right)

# %% [markdown]
# `uses_left` is our `waiting_for`, `collected` our `grad`: the contributions so far.
# `_input_grads` calls the operation's own `backward`. A tensor that is not the result
# of an operation is a *leaf*, such as a weight, and keeps its gradient. `_free` deletes
# the arrays that the operation has stored.
#
# ## Break it
#
# We patch tinyalex so that it counts one use of each value, and passes on the first
# contribution. `gradcheck` compares gradients with numerical ones (lesson 4): those of
# a small network with AlexNet's kinds of layers, one after the other, and those of x *
# (1 + x**2)**-0.75 with its factors in either order (AlexNet's response normalisation,
# lesson 9, has this form).
#
# Before you run this: what will gradcheck find wrong?

# %%
rng = np.random.default_rng(args.seed)
layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.LocalResponseNorm(5), nn.Flatten()
chain = nn.Sequential(*layers, nn.Linear(8 * 4 * 4, 10))
images = rng.standard_normal((2, 3, 6, 6))
points = np.linspace(-2, 2, 8) + 0.1 * rng.random()
cases = (
    (chain, images),
    (lambda x: x * (1 + x * x) ** -0.75, points),
    (lambda x: (1 + x * x) ** -0.75 * x, points),
)


def reports():
    return [ta.gradcheck(f, x, raise_exception=False) for f, x in cases]


all_right = all(report.ok for report in reports())
lesson.claim("with the unmodified engine, all gradients are right", all_right)
real = function._count_uses
with patch.object(function, "_count_uses", lambda root: dict.fromkeys(real(root), 1)):
    network, x_first, x_last = reports()
print(x_last)
lesson.claim("with the injected fault, the gradients of the network are still right", network.ok)
differ = x_first.ok and not x_last.ok
lesson.claim("those of x * f(x) are right too, and those of f(x) * x are wrong", differ)

# %% [markdown]
# There is no error message, and two ways to write the same function differ. The reason
# is that `ready` is a stack: of the inputs of a product, the last is processed first.
# In f(x) * x that is x, before the contribution of f(x) has arrived; in x * f(x) it is
# f(x). The symptom to remember: a network that is one chain trains as always, and the
# errors begin with the first residual connection. AlexNet is such a chain and would not
# have shown the fault; gradcheck did.

# %%
figure = lesson.figure(8.5, 4.2)
positions = {"d": (0, 3), "c": (1, 2.2), "b": (0, 1.3), "a": (0, 0)}
edges = ("d b 0", "d c 0", "c b 0.4", "c b 0", "b a 0.25", "b a -0.25")  # use, input, curvature
style = {"arrowstyle": "-|>", "color": lesson.GREY, "shrinkA": 15, "shrinkB": 15}
limits = {"xlim": (-0.4, 2.3), "ylim": (-0.4, 3.4)}
for i, (name, graph) in enumerate(graphs.items(), 1):
    axes = lesson.axes(figure, 1, 3, i, title=name.replace("_", " "), **limits)
    axes.set_axis_off()
    for use, source, curvature in map(str.split, edges):
        arrow = style | {"connectionstyle": f"arc3,rad={curvature}"}
        axes.annotate("", positions[source], positions[use], arrowprops=arrow)
    for name, number in graph.items():
        right = number.grad == graphs["in_topological_order"][name].grad
        colour = lesson.BLUE if right else lesson.RED
        x, y = positions[name]
        circle = {"boxstyle": "circle", "color": colour}
        axes.text(x, y, name, color="white", ha="center", va="center", bbox=circle)
        text = f"gradient {number.grad:g}\nvisits {number.visits}"
        axes.text(x + 0.3, y, text, va="center", color=colour)
lesson.show(figure, "02_order")

# %% [markdown]
# ## Exercises
#
# 1. Write `backward` yourself: `tinyalex learn start 2` creates the file in `my/`,
#    `tinyalex learn check 2` checks it.
# 2. A fourth order: when a contribution arrives, a number passes on *its whole gradient
#    so far*. Predict the gradient of a for the graph above, then implement this order.
# 3. `tinyalex learn hint 2` leads to an order without counting. Run it, and tinyalex,
#    on `sys.getrecursionlimit()` additions. Which fails?
