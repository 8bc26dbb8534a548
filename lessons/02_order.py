# %% [markdown]
"""
# 2. Why does backward need an order?

    python lessons/02_order.py [--seed 1] [--device cuda]

`backward()` of lesson 1 traverses a computation from its end to its beginning, and
computes all derivatives on the way. We first do this by hand for four numbers. Then we
build a small autograd (short for automatic gradient), run it in three orders, train a
network with it, and read tinyalex's.
"""

# %%
import inspect
from collections import Counter
from itertools import count
from timeit import timeit
from unittest.mock import patch

import numpy as np

import tinyalex as ta
from tinyalex import function
from tinyalex import functional as F
from tinyalex.course import lesson

args = lesson.options(__doc__)

# %% [markdown]
# ## The chain rule by hand
#
# Let b = a * a, c = b * b and d = b + c. The figure shows this computation as a
# *graph*: its nodes are the numbers, here for a = 3, and an arrow points from each
# number to an input that it was computed from. At each arrow is the derivative of the
# number with respect to that input, all others being constant. For a product x * y
# these are y and x, so a * a has two arrows to a, each with the derivative 3.
#
# We want the derivative of the result d with respect to a. If a number is used several
# times, a small change of it has an effect through each *use*, and these effects are
# added. That is the *chain rule*:
#
# $$
# \frac{\partial d}{\partial x} = \sum_{\text{uses } u \text{ of } x}
# \frac{\partial d}{\partial u} \frac{\partial u}{\partial x}
# $$
#
# A use of x is one arrow that ends at x, from a number u that was computed from x.
# $\partial u / \partial x$ is the derivative at this arrow, with all other inputs
# constant, even a second factor that is x itself. So b = a * a has two uses of a, each
# with the derivative 3, and not one with the derivative 6.
#
# From the result downwards:
#
# $$
# \frac{\partial d}{\partial c} = 1, \qquad
# \frac{\partial d}{\partial b} = 1 + 1 \cdot 9 + 1 \cdot 9 = 19, \qquad
# \frac{\partial d}{\partial a} = 19 \cdot 3 + 19 \cdot 3 = 114
# $$
#
# Since $d = a^2 + a^4$, this is $2a + 4a^3 = 6 + 108 = 114$, as it should be. Note
# that the derivative for a needs that for b, 19, which in turn needs that for c.

# %% plot
POSITIONS = {"d": (0, 3), "c": (1, 2.2), "b": (0, 1.3), "a": (0, 0)}
ARROWS = {"d b 0": 1, "d c 0": 1, "c b 0.45": 9, "c b -0.1": 9, "b a 0.3": 3, "b a -0.3": 3}
LIMITS = {"xlim": (-0.6, 2.2), "ylim": (-0.4, 3.4)}


def draw_graph(axes, texts, colours):
    """Nodes and arrows ("use input curvature"), with a text next to each node."""
    axes.set_axis_off()
    for arrow in ARROWS:
        use, source, curvature = arrow.split()
        style = {"arrowstyle": "-|>", "color": lesson.GREY, "shrinkA": 15, "shrinkB": 15}
        style["connectionstyle"] = f"arc3,rad={curvature}"
        axes.annotate("", POSITIONS[source], POSITIONS[use], arrowprops=style)
    for name, (x, y) in POSITIONS.items():
        circle = {"boxstyle": "circle", "color": colours[name]}
        axes.text(x, y, name, color="white", ha="center", va="center", bbox=circle)
        below = 0.12 * (name == "b")  # an arrow ends there
        axes.text(x + 0.22, y - below, texts[name], va="center", color=colours[name])


figure = lesson.figure(5.5, 4.8)
axes = lesson.axes(figure, title="Numbers, and the derivative at each arrow", **LIMITS)
values = {"d": "b + c = 90", "c": "b * b = 81", "b": "a * a = 9", "a": "3"}
draw_graph(axes, values, dict.fromkeys(POSITIONS, lesson.BLUE))
places = {"d b 0": (-0.1, 2.15), "d c 0": (0.6, 2.7), "c b 0.45": (0.2, 2.12)}
places |= {"c b -0.1": (0.72, 1.65), "b a 0.3": (-0.3, 0.65), "b a -0.3": (0.3, 0.65)}
for arrow, (x, y) in places.items():
    axes.text(x, y, ARROWS[arrow], ha="center", va="center", color=lesson.RED)
lesson.show(figure, "02_order")

# %% [markdown]
# ## A small autograd
#
# Each `Number` stores the Numbers that it was computed from (`inputs`), and its
# derivative with respect to each of them (`derivatives`). `grad` is the derivative of
# the final result, the *root*, with respect to this number. `visits` lists the visits
# to this number: 1 is the first visit of the traversal to any number, 2 the second, and
# so on. `clock`, created in `compute` below, counts them. The last three methods of the
# root traverse the graph, each in its own order. An order is called *topological* if
# each number comes after all of its uses.


# %%
class Number:
    def __init__(self, value, inputs=(), derivatives=()):
        self.value, self.inputs, self.derivatives = value, inputs, derivatives
        self.grad, self.visits = 0.0, []

    def __add__(self, other):
        return Number(self.value + other.value, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        return Number(self.value * other.value, (self, other), (other.value, self.value))

    def tanh(self):
        y = np.tanh(self.value)
        return Number(y, (self,), (1 - y * y,))

    def pass_on(self):
        self.visits.append(next(Number.clock))
        for source, derivative in zip(self.inputs, self.derivatives, strict=True):
            source.grad += derivative * self.grad

    def ancestors(self):
        """This number, its inputs, their inputs, ...: each once, as they are found."""
        found = [self]
        for number in found:  # the list grows during the loop
            found += [x for x in dict.fromkeys(number.inputs) if x not in found]
        return found

    def in_discovery_order(self):
        """Each number passes on its gradient when it is found."""
        self.grad = 1.0
        for number in self.ancestors():
            number.pass_on()

    def path_by_path(self, share=1.0):
        """Each contribution is passed on at once, separately."""
        self.visits.append(next(Number.clock))
        self.grad += share
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
            ready += [x for x in dict.fromkeys(number.inputs) if waiting_for[x] == 0]


# %% [markdown]
# ## Three orders
#
# **Before you run this:** which gradient of a does each of the three traversals find,
# and how often does it visit a? (The program prints the gradient of each number, and
# its visits.)


# %%
def compute(a):
    Number.clock = count(1)  # numbers the visits from 1 on
    b = a * a
    c = b * b
    return {"a": a, "b": b, "c": c, "d": b + c}


graphs = {}
for traverse in (Number.in_discovery_order, Number.path_by_path, Number.in_topological_order):
    graphs[traverse.__name__] = graph = compute(Number(3.0))
    traverse(graph["d"])
    print(f"  {traverse.__name__:<20}", {name: (x.grad, x.visits) for name, x in graph.items()})

# %% plot
figure = lesson.figure(10, 4.6)
right = {name: x.grad for name, x in graph.items()}
for i, (order, graph) in enumerate(graphs.items(), 1):
    axes = lesson.axes(figure, 1, 3, i, title=order.replace("_", " "), **LIMITS)
    texts, colours = {}, {}
    for name, x in graph.items():
        visits = ", ".join(map(str, x.visits))
        texts[name] = f"gradient {x.grad:g}\nvisit {visits}"
        colours[name] = lesson.BLUE if x.grad == right[name] else lesson.RED
    draw_graph(axes, texts, colours)
lesson.show(figure, "02_order_traversals")

# %% answer [markdown]
# In discovery order, b is visited before c. The gradient of b is 19 in the end, but
# when b passed it on, only the contribution of d had arrived: 1. So a received
# 1 * 3 + 1 * 3 = 6. The contribution of c to b came too late.
#
# Path by path, each of the 6 paths from d to a is followed separately: two through b
# directly, and four through c and b. The sum is right.
#
# In topological order, each number waits for all of its uses, and is visited once.

# %% claims
early, paths, ordered = (graph["a"].grad for graph in graphs.values())
lesson.claim(f"in discovery order the gradient of a is {early:g}: wrong", early == 6)
text = f"path by path, and in topological order, it is {ordered:g}: right"
lesson.claim(text, paths == ordered == 2 * 3 + 4 * 3**3)
visits = [len(graph["a"].visits) for graph in graphs.values()]
lesson.claim(f"the traversals visit a {visits} times", visits == [1, 6, 1])

# %% [markdown]
# ## How many paths are there?
#
# Two of the three are right. But let a number be added to itself, then the sum to
# itself, and so on, n times. Each addition has two arrows to its input, and doubles the
# number of paths. Path by path, the numbers are visited
#
# $$
# 1 + 2 + 4 + ... + 2^n = 2^{n + 1} - 1
# $$
#
# times in all, and in topological order n + 1 times. Many networks after AlexNet add
# the input of a block of layers to its output (a *residual connection*), so that each
# block has two paths.

# %% claims


def doubled(x, times):
    for _ in range(times):
        x = x + x
    return x


def count_visits(traverse, root):
    traverse(root)
    return sum(len(number.visits) for number in root.ancestors())


depths = range(1, 15)
by_path = [count_visits(Number.path_by_path, doubled(Number(1.0), n)) for n in depths]
in_order = [count_visits(Number.in_topological_order, doubled(Number(1.0), n)) for n in depths]
same = by_path == [2 ** (n + 1) - 1 for n in depths]
lesson.claim(f"path by path, n additions need 2**(n + 1) - 1 visits: {by_path}", same)
lesson.claim("in topological order, n + 1 visits", in_order == [n + 1 for n in depths])
seconds = timeit(doubled(Number(1.0), depths[-1]).path_by_path, number=1)
years = seconds * 2.0 ** (50 - depths[-1]) / (365 * 24 * 3600)
text = f"path by path, 50 additions would take {years:,.0f} years on this computer"
lesson.claim(text, years > 1)

# %% [markdown]
# ## A network of Numbers
#
# With sums, products and tanh, `Number` is sufficient for a network. A *neuron* (a
# unit, lesson 0) is here tanh of a weighted sum plus a bias. Four neurons read two
# inputs, and a fifth reads these four: 4 * 3 + 5 = 17 weights and biases. They learn
# the function "exclusive or", with -1 for false and 1 for true: the output is 1 if
# exactly one of the inputs is 1.
#
# No linear layer can compute it. Its output is $w_1 x_1 + w_2 x_2 + b$. For the inputs
# (1, 1) and (-1, -1) the sum of the two outputs is $2b$; for (1, -1) and (-1, 1) it is
# also $2b$. But the first sum should be negative, and the second positive.
#
# The loss is the sum of the squared differences of each output and its *target*, the
# value that it should have. (They are `errors` in the code, in another sense than the
# error of lesson 0.) The loop is that of lesson 0: forward, backward, step, and the
# gradients set to zero.
#
# **Before you run this:** after 200 steps from random weights, how many of the four
# outputs will have the right sign?

# %%
XOR = {(-1, -1): -1, (-1, 1): 1, (1, -1): 1, (1, 1): -1}
rng = np.random.default_rng(args.seed)
weights = [Number(w) for w in rng.standard_normal(17)]
neurons = [weights[0:3], weights[3:6], weights[6:9], weights[9:12], weights[12:17]]


def neuron(inputs, own):
    products = (x * weight for x, weight in zip(inputs, own[:-1], strict=True))
    return sum(products, start=own[-1]).tanh()  # its last weight is the bias


def predict(pair):
    hidden = [neuron(map(Number, pair), own) for own in neurons[:4]]
    return neuron(hidden, neurons[4])


for _ in range(200):
    errors = [predict(pair) + Number(-target) for pair, target in XOR.items()]
    loss = sum((e * e for e in errors), start=Number(0.0))
    loss.in_topological_order()
    for weight in weights:
        weight.value, weight.grad = weight.value - 0.1 * weight.grad, 0.0
print("loss", loss.value, {pair: round(float(predict(pair).value), 2) for pair in XOR})

# %% answer [markdown]
# All four, and they are close to -1 or 1. This is all that training needs. What
# tinyalex adds is speed, since it computes with arrays and not with single numbers, and
# more operations.

# %% claims
products = [predict(pair).value * target for pair, target in XOR.items()]
lesson.claim(f"the loss is {loss.value:.3f}, and all outputs are right", min(products) > 0.5)

# %% [markdown]
# ## The backward pass of tinyalex
#
# Below is the source of tinyalex's traversal. In the graph of the figures the nodes
# were numbers. Here they are operations, each a `Function`, and an arrow is a tensor
# (`GraphTensor`, the base class of `ta.Tensor`), the result of one operation and an
# input of another. A tensor's `creator` is the Function that computed it. A tensor that
# is not the result of an operation, such as a weight, is a *leaf*: `accumulate_grad`
# adds the gradient to its `.grad`.
#
# A *source* stands for a tensor in the graph: the Function that computed it, or the
# leaf itself. `root` is the loss, and `grad` its derivative with respect to itself: 1.
# (Lessons 3 and 4 pass another array: then the derivatives are those of the sum of root
# times grad.) `uses_left` is our `waiting_for`, and `collected` our `grad`: the
# contributions so far. `_input_grads` calls the operation's own `backward`; a `share`
# is one contribution, and `_add` adds two. `_free` deletes the arrays that the
# operation has stored, unless `retain_graph` is true, for a second backward pass.
#
# You can ignore three things: the `with`, in which nothing is cast to another dtype and
# NumPy does not warn about overflow; the `assert`, which is for type checkers; and the
# tests for `None`. (A source is None if that input needs no gradient; a share or
# `total` is None if there is no contribution.)

# %%
print(inspect.getsource(function.backward))

# %% claims
x = ta.Tensor(1.0, requires_grad=True)
milliseconds = 1000 * timeit(doubled(x, 50).backward, number=1)
text = f"tinyalex takes {milliseconds:.1f} ms for 50 additions; the gradient is 2**50"
lesson.claim(text, x.grad == 2.0**50 and milliseconds < 10_000)

# %% [markdown]
# ## Break it
#
# We patch tinyalex so that it counts one use of each tensor, and passes a gradient on
# when the first contribution has arrived. Three functions of x are tried: one applies
# tanh twice, the other two are the same product with its factors in either order.
#
# **Before you run this:** which of the three gradients will be wrong? (`ready` in the
# source above is a stack: what was appended last is processed first.)

# %%
FUNCTIONS = {
    "tanh(tanh(x))": lambda x: F.tanh(F.tanh(x)),
    "x * tanh(x)": lambda x: x * F.tanh(x),
    "tanh(x) * x": lambda x: F.tanh(x) * x,
}


def gradients():
    for f in FUNCTIONS.values():
        x = ta.Tensor([1.0], requires_grad=True)
        f(x).backward()
        yield round(x.grad.item(), 4)


real, right = function._count_uses, list(gradients())
with patch.object(function, "_count_uses", lambda root: dict.fromkeys(real(root), 1)):
    faulty = list(gradients())
print(f"{list(FUNCTIONS)}: right {right}, with the fault {faulty}")

# %% answer [markdown]
# Only the third. In tanh(tanh(x)) each tensor has one use, so the count is right. The
# derivative of the product is $\tanh x + x (1 - \tanh^2 x)$, a contribution from each
# of the two uses of x. In x * tanh(x), tanh(x) is appended to `ready` after x, so it is
# processed first, and its contribution to x arrives in time. In tanh(x) * x, it is x
# that is processed first. It receives only tanh(x), and the second contribution is
# lost.
#
# There is no error message, and two ways to write the same function differ. The symptom
# to remember: a network that is one chain of layers trains as always, and the errors
# begin with the first residual connection. AlexNet is such a chain and would not show
# the fault. Lesson 4 is about tests that do.

# %% claims
lesson.claim("the gradients of the chain and of x * tanh(x) are right", faulty[:2] == right[:2])
text = f"that of tanh(x) * x is {faulty[2]:.4f}, which is tanh(1): one contribution only"
lesson.claim(text, abs(faulty[2] - np.tanh(1)) < 1e-4 and right[2] > faulty[2] + 0.1)

# %% [markdown]
# ## Exercises
#
# 1. Write `backward` yourself: `tinyalex learn start 2` creates the file in `my/`,
#    `tinyalex learn check 2` checks it.
# 2. Add division and the exponential function to `Number`. Derive their derivatives,
#    and compare with numerical ones (lesson 1). Then write tanh with them, and compare
#    its gradient with that of `Number.tanh`.
# 3. A fourth order: when a contribution arrives, a number passes on *its whole gradient
#    so far*. Predict the gradient of a for the graph above, then implement this order.
# 4. The hints (`tinyalex learn hint 2`) describe an order without counting. Implement
#    it, and run it and tinyalex's `backward()` on a chain of `sys.getrecursionlimit()`
#    additions. Which fails?
