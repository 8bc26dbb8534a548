from itertools import combinations

import numpy as np

import tinyalex as ta
from tinyalex.course import Mistake

HINTS = [
    "Which axes of dy were repeated? Those in front that `shape` does not have, and those where "
    "`shape` has size 1. Sum over all of them.",
    "The number of axes in front is dy.ndim - len(shape). Sum over these first. The remaining "
    "axes are those of `shape`: sum over the ones of size 1 with keepdims=True, which keeps them.",
    "A sum over no axes, axis=(), changes nothing, so this works for every shape:\n\n"
    "    dy = dy.sum(axis=tuple(range(dy.ndim - len(shape))))\n"
    "    ones = tuple(axis for axis, size in enumerate(shape) if size == 1)\n"
    "    return dy.sum(axis=ones, keepdims=True)",
]

COUNT = np.arange(1.0, 7.0).reshape(2, 3)
MORE = np.arange(1.0, 25.0).reshape(4, 2, 3)

CASES = [
    ("nothing was repeated", {"dy": COUNT, "shape": (2, 3)}),
    ("a bias", {"dy": COUNT, "shape": (3,)}),
    ("a column", {"dy": COUNT, "shape": (2, 1)}),
    ("a new axis, and one of size 1", {"dy": MORE, "shape": (2, 1)}),
    ("two new axes", {"dy": MORE, "shape": (3,)}),
    ("two axes of size 1", {"dy": MORE, "shape": (1, 2, 1)}),
    ("a single number", {"dy": MORE, "shape": ()}),
]

RESULTS = ("gradient",)


def answer(exercise, dy, shape):
    return exercise.unbroadcast(dy, shape)


MISTAKES = [
    Mistake(
        "axes of dy as indices of shape",
        {"new = dy.ndim": "[shape[axis] for axis in range(dy.ndim)]\n    new = dy.ndim"},
        "`shape` can have fewer axes than dy, so an axis of dy is no index into `shape`. "
        "Broadcasting aligns them at the last axis: sum over the axes in front first, then dy's axes are those "
        "of `shape`.",
        needs=r"shape\[",
    ),
    Mistake(
        "mean",
        {
            "dy.sum(axis=tuple(range(new)))": "dy.mean(axis=tuple(range(new)))",
            "dy.sum(axis=repeated": "dy.mean(axis=repeated",
        },
        "This is the mean over the uses. The gradients of all uses are summed, not averaged.",
    ),
    Mistake(
        "axes of size 1 forgotten",
        {"return dy.sum(axis=repeated, keepdims=True)": "return dy"},
        "The axes in front are summed. Those where `shape` has size 1 were repeated too: sum over "
        "them with keepdims=True.",
    ),
    Mistake(
        "keepdims forgotten",
        {", keepdims=True": ""},
        "The right axes are summed, but those of size 1 are removed. keepdims=True keeps them.",
    ),
    Mistake(
        "first use only",
        {"dy = dy.sum(axis=tuple(range(new)))": "dy = dy[(0,) * new]"},
        "Only the first use of each element is counted. It was used once per index of the new "
        "axis: sum over that axis.",
    ),
    Mistake(
        "new axes forgotten",
        {"dy = dy.sum(axis=tuple(range(new)))": "pass"},
        "The axes that `shape` does not have are still there: NumPy added dy.ndim - len(shape) "
        "axes in front. Sum over them.",
    ),
    Mistake(
        "new axes at the end",
        {"tuple(range(new))": "tuple(range(dy.ndim - new, dy.ndim))"},
        "The sum is over the last axes. Broadcasting aligns shapes at the last axis and adds new "
        "axes in front: sum over the first ones.",
    ),
    Mistake(
        "one new axis only",
        {"tuple(range(new))": "tuple(range(min(new, 1)))"},
        "Only one of the new axes is summed. There are dy.ndim - len(shape) of them: use `while "
        "dy.ndim > len(shape)`, not `if`.",
    ),
]

RANDOM = np.random.default_rng(0)

PROBES = [
    {"dy": RANDOM.standard_normal(have), "shape": shape}
    for have, shape in [
        ((4, 3), (4, 3)),
        ((4, 3), (3,)),
        ((4, 3), (1, 3)),
        ((4, 3), (4, 1)),
        ((5, 4, 3), (4, 3)),
        ((5, 4, 3), (3,)),
        ((5, 4, 3), (4, 1)),
        ((5, 4, 3), (1, 4, 1)),
        ((5, 4, 3), (5, 1, 3)),
    ]
]


def new_axes(dy, shape):
    return tuple(range(dy.ndim - len(shape)))


def repeated_axes(dy, shape):
    """The axes of dy that NumPy repeated."""
    new = dy.ndim - len(shape)
    return (*range(new), *(new + i for i, size in enumerate(shape) if size == 1))


REDUCTIONS = {
    "the sum": np.sum,
    "the mean": np.mean,
    "the maximum": np.max,
    "the product": np.prod,
    "the first element": lambda a, axis: first(a, axis),
    "the last element": lambda a, axis: first(np.flip(a, axis), axis),
}


def first(a, axes):
    return a[tuple(0 if axis in axes else slice(None) for axis in range(a.ndim))]


def reductions(dy, got):
    """(name of the reduction, axes) with which dy becomes `got`, up to its shape."""
    found = []
    for axes in all_axes(dy.ndim):
        for name, f in REDUCTIONS.items() if axes else [("the sum", np.sum)]:
            result = np.asarray(f(dy, axis=axes))
            if result.size == got.size and np.allclose(result.ravel(), got.ravel()):
                found.append((name, axes))
    return found


def all_axes(ndim):
    return [c for count in range(ndim + 1) for c in combinations(range(ndim), count)]


def summed_one_by_one(dy, removed, kept=()):
    """The axes of dy that are summed if the sums at `removed` remove their axis."""
    left = list(range(dy.ndim))
    axes = [left.pop(i) for i in removed if i < len(left)]
    return tuple(sorted({*axes, *(left[i] for i in kept if i < len(left))}))


# Which axes a learner's code sums, by the mistake.
RULES = {
    "The shapes are aligned at their first axis: `shape`'s axis i is taken for dy's axis i. "
    "Broadcasting aligns them at the last axis.": [
        lambda dy, shape: tuple(
            i for i in range(dy.ndim) if i >= len(shape) or shape[i] == 1
        ),
        lambda dy, shape: tuple(
            i for i, (a, b) in enumerate(zip(dy.shape, shape)) if a != b
        ),
        lambda dy, shape: tuple(
            i for i, a in enumerate(dy.shape) if i >= len(shape) or a != shape[i]
        ),
        lambda dy, shape: tuple(i for i, b in enumerate(shape) if b == 1),
        lambda dy, shape: tuple(
            sorted({*new_axes(dy, shape), *(i for i, b in enumerate(shape) if b == 1)})
        ),
    ],
    "The index is counted from the end, as in a loop over reversed shapes, and used as one from "
    "the start: the last axis is -1, the one before it -2.": [
        lambda dy, shape: tuple(
            i for i, b in enumerate(reversed(shape)) if b == 1
        ),
        lambda dy, shape: tuple(
            sorted({*new_axes(dy, shape), *(
                dy.ndim - len(shape) + i for i, b in enumerate(reversed(shape)) if b == 1
            )})
        ),
        lambda dy, shape: tuple(
            i for i, (a, b) in enumerate(zip(reversed(dy.shape), reversed(shape))) if a != b
        ),
    ],
    "A sum without keepdims=True removes its axis, and the axes after it move down by one: the "
    "next index is that of another axis.": [
        lambda dy, shape: summed_one_by_one(dy, range(dy.ndim - len(shape))),
        lambda dy, shape: summed_one_by_one(dy, repeated_axes(dy, shape)),
        lambda dy, shape: summed_one_by_one(
            dy, range(dy.ndim - len(shape)), [i for i, b in enumerate(shape) if b == 1]
        ),
    ],
    "All axes are summed as soon as the shapes differ.": [
        lambda dy, shape: () if dy.shape == tuple(shape) else tuple(range(dy.ndim)),
    ],
    "Axis 0 is summed in all cases.": [lambda dy, shape: (0,)],
    "The last axis is summed in all cases.": [lambda dy, shape: (dy.ndim - 1,)],
    "Only axis 0 is summed.": [
        lambda dy, shape: () if dy.shape == tuple(shape) else (0,),
        lambda dy, shape: (0,) if dy.ndim > len(shape) else (),
    ],
    "Nothing is summed.": [lambda dy, shape: ()],
    "Only the new axes are summed. Those where `shape` has size 1 were repeated too.": [new_axes],
    "Only the axes where `shape` has size 1 are summed. The new ones in front were added by "
    "broadcasting, and are summed too.": [
        lambda dy, shape: tuple(
            dy.ndim - len(shape) + i for i, b in enumerate(shape) if b == 1
        ),
    ],
    "Only the first axis that was repeated is summed: a loop or a branch ends too early.": [
        lambda dy, shape: repeated_axes(dy, shape)[:1],
    ],
    "The axes that were not repeated are summed, and the others kept.": [
        lambda dy, shape: tuple(
            i for i in range(dy.ndim) if i not in repeated_axes(dy, shape)
        ),
    ],
    "The new axes are taken from the end. Broadcasting aligns shapes at the last axis and adds new "
    "axes in front.": [
        lambda dy, shape: tuple(range(len(shape), dy.ndim)),
    ],
}  # fmt: skip


def follows(rule, found):
    """Whether a rule gives the axes of each trial."""
    return all(
        rule(trial.inputs["dy"], trial.inputs["shape"]) in {axes for _, axes in how}
        for trial, how in found
    )


def drawn(dy, shape):
    """Both shapes, aligned as in broadcasting."""
    have, want = (" ".join(f"{n:>2}" for n in sizes) for sizes in (dy.shape, shape))
    return f"    dy     {have}\n    shape  {want:>{len(have)}}"


def named(axes):
    if not axes:
        return "no axis"
    return f"ax{'is' if len(axes) == 1 else 'es'} {' and '.join(map(str, axes))}"


class SummedAxes:
    """Which axes of dy the learner's code reduces, and how."""

    def explain(self, attempt):
        found = [
            (trial, how)
            for trial in attempt.trials
            if (how := reductions(trial.inputs["dy"], trial.got["gradient"]))
        ]
        if not found or found[0][0] is not attempt.trials[0]:
            return None
        trial, how = found[0]
        # Of several reductions with this result, the one that other cases have, too.
        name, axes = max(how, key=lambda h: sum(h[0] in dict(other) for _, other in found))
        dy, shape, got = trial.inputs["dy"], trial.inputs["shape"], trial.got["gradient"]
        right, rule = repeated_axes(dy, shape), self.rule(found)
        if axes == right and name == "the sum":
            return self.shape(shape, got, rule)
        what = f"{name} of dy along {named(axes)}" if axes else "dy itself, without a sum"
        text = (
            f"Your gradient is {what}. Here it should be the sum along {named(right)}: the shapes, "
            f"aligned at the last axis, are\n\n{drawn(dy, shape)}\n\n"
        )
        sentences = [rule] if axes != right else []
        if name != "the sum" and axes:
            sentences.append("The gradients of all uses are summed.")
        sentences.append("The axes to sum are those that `shape` does not have or where it has 1.")
        return text + " ".join(sentences)

    def rule(self, found):
        """The mistake that explains the summed axes in all cases, or an empty text."""
        if follows(repeated_axes, found):
            return ""
        fitting = (words for words, rules in RULES.items() if any(follows(r, found) for r in rules))
        return next(fitting, "")

    def shape(self, shape, got, rule):
        """The right axes are summed, but the result has another shape."""
        if got.size != np.prod(shape):
            return None
        if got.ndim > len(shape):
            return (
                f"The right axes are summed, but their result has shape {got.shape} and not "
                f"{shape}: the new axes are kept with size 1. `shape` does not have them: sum them "
                f"without keepdims=True, or reshape the result to `shape`. {rule}"
            )
        return (
            f"The right axes are summed, but the result has shape {got.shape} and not {shape}: an "
            "axis of size 1 is removed. keepdims=True keeps it; squeeze and [0] remove it."
        )


EXPLANATIONS = [SummedAxes()]

WRITES_BACKWARD = True


def gradient(exercise):
    """x + bias, whose backward uses the learner's function."""

    class Add(ta.Function):
        def forward(self, x, bias):
            self.shapes = x.shape, bias.shape
            return x + bias

        def backward(self, dy):
            return tuple(exercise.unbroadcast(dy, shape) for shape in self.shapes)

    random = np.random.default_rng(0)
    return Add.apply, [random.standard_normal((2, 1, 3)), random.standard_normal((4, 1))]
