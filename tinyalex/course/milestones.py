"""The networks that `tinyalex learn assemble` trains, after lessons 4, 8 and 14.

`parts` are the operations of parts.py, by name; `p` the weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinyalex.course.parts import Parts, Weights
from tinyalex.tensor import Tensor

HIDDEN = 64
"""Units of the hidden linear layer of the small AlexNet, which dropout masks."""


def linear(parts: Parts, x: Any, w: Tensor, b: Tensor) -> Any:
    return parts["add"](x @ w.transpose(), b)


def linear_network(parts: Parts, p: Weights, x: Any, u: Any = None) -> Any:
    hidden = linear(parts, x.reshape(len(x), -1), p["w1"], p["b1"])
    return linear(parts, parts["prelu"](hidden, p["a"]), p["w2"], p["b2"])


def features(parts: Parts, p: Weights, x: Any, norm: Callable[[Any], Any] = lambda x: x) -> Any:
    """Two convolutional layers as (N, features); `norm` normalizes the first."""
    x = parts["relu"](parts["conv2d"](x, p["w1"], p["b1"], stride=2, padding=2))
    x = parts["max_pool2d"](norm(x), 3, 2)
    x = parts["relu"](parts["conv2d"](x, p["w2"], p["b2"], stride=1, padding=1))
    return parts["max_pool2d"](x, 3, 2).reshape(len(x), -1)


def convolutional_network(parts: Parts, p: Weights, x: Any, u: Any = None) -> Any:
    return linear(parts, features(parts, p, x), p["w3"], p["b3"])


def small_alexnet(parts: Parts, p: Weights, x: Any, u: Any = None) -> Any:
    def norm(x: Any) -> Any:
        return parts["lrn"](x, size=5, alpha=1e-4, beta=0.75, k=2.0)

    x = parts["relu"](linear(parts, features(parts, p, x, norm), p["w3"], p["b3"]))
    if u is not None:
        x = parts["dropout"](x, p=0.5, u=u)
    return linear(parts, x, p["w4"], p["b4"])


@dataclass(frozen=True)
class Milestone:
    """A network, and the parts that it uses. `sizes` are the shapes of its weights.

    crop  the size of random crops of the training images; None: the whole images
    """

    title: str
    logits: Callable[..., Any]
    parts: tuple[str, ...]
    epochs: int
    sizes: dict[str, tuple[int, ...]]
    crop: int | None = None


ALWAYS = ("backward", "add")
CONVOLUTIONAL = (*ALWAYS, "conv2d", "relu", "max_pool2d")
FEATURES = {"w1": (8, 3, 5, 5), "b1": (8,), "w2": (32, 8, 3, 3), "b2": (32,)}

MILESTONES = {
    4: Milestone(
        "a network of linear layers",
        linear_network,
        (*ALWAYS, "prelu"),
        8,
        {"w1": (32, 3072), "b1": (32,), "a": (32,), "w2": (10, 32), "b2": (10,)},
    ),
    8: Milestone(
        "a convolutional network",
        convolutional_network,
        CONVOLUTIONAL,
        8,
        {**FEATURES, "w3": (10, 32 * 3 * 3), "b3": (10,)},
    ),
    14: Milestone(
        "a small AlexNet",
        small_alexnet,
        (*CONVOLUTIONAL, "lrn", "dropout", "cross_entropy", "sigma", "step", "views"),
        12,
        {
            **FEATURES,
            **{"w3": (HIDDEN, 32 * 2 * 2), "b3": (HIDDEN,), "w4": (10, HIDDEN), "b4": (10,)},
        },
        crop=28,
    ),
}
"""By the lesson after which they can be reached."""
