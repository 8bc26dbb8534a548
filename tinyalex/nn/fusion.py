"""Fusion: adjacent layers of a Sequential are computed in one pass.

    ReLU, MaxPool2d -> max_pool2d(relu=True)
        ReLU is monotonic: it may come second, and then has fewer elements.
    Conv2d, ReLU -> conv2d(relu=True)
        ReLU is applied while y is in the cache.
    Conv2d, ReLU, LocalResponseNorm -> conv2d(relu=True, norm=options)
        On a GPU: saves a pass over y.
    Linear, ReLU -> linear(relu=True)
        ReLU is applied together with the bias.
    Linear, ReLU, Dropout -> linear(relu=True, dropout=p)
        In training.

A ReLU between a convolution and a max-pooling is fused with the pooling. Layers are
fused only if they are of exactly these classes (not subclasses), without forward hooks
or a replaced `forward`. A dilated max-pooling is not fused: a window may contain only
padding, whose maximum, -inf, would become 0.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from tinyalex.nn.activations import ReLU
from tinyalex.nn.layers import Conv2d, Dropout, Linear, MaxPool2d
from tinyalex.nn.module import Module
from tinyalex.nn.normalization import LocalResponseNorm


class Stage(NamedTuple):
    """A layer, the call that computes it, and the layers fused into that call."""

    layer: Module
    run: Callable[[Any], Any]
    fused: tuple[Module, ...] = ()


def fuse(layers: Sequence[Module]) -> Iterator[Stage]:
    """The layers as stages, in order.

    Each is decided when it is reached: earlier layers may register hooks.
    """
    i = 0
    while i < len(layers):
        layer, following = layers[i], layers[i + 1 : i + 3]
        if fuses_with_pooling(layers[i : i + 2]):
            stage = Stage(following[0], partial(following[0], relu=True), (layer,))
        elif takes_norm(layers[i : i + 3]):
            options = following[1].options()  # type: ignore[attr-defined]
            stage = Stage(layer, partial(layer, relu=True, norm=options), tuple(following))
        elif takes_dropout(layers[i : i + 3]):
            run = partial(layer, relu=True, dropout=layers[i + 2].p)  # type: ignore[attr-defined]
            stage = Stage(layer, run, tuple(following))
        elif takes_relu(layers[i : i + 2]) and not fuses_with_pooling(following):
            stage = Stage(layer, partial(layer, relu=True), (following[0],))
        else:
            stage = Stage(layer, layer)
        yield stage
        i += 1 + len(stage.fused)


def takes_relu(pair: Sequence[Module]) -> bool:
    return are_plain(pair, (Conv2d, ReLU)) or are_plain(pair, (Linear, ReLU))


def takes_norm(three: Sequence[Module]) -> bool:
    """On a GPU only: on the CPU, a pass of its own keeps all threads busy."""
    classes = Conv2d, ReLU, LocalResponseNorm
    return are_plain(three, classes) and three[0].weight.device != "cpu"  # type: ignore[attr-defined]


def takes_dropout(three: Sequence[Module]) -> bool:
    return are_plain(three, (Linear, ReLU, Dropout)) and three[2].training


def fuses_with_pooling(pair: Sequence[Module]) -> bool:
    return are_plain(pair, (ReLU, MaxPool2d)) and pair[1].dilation in (1, (1, 1))  # type: ignore[attr-defined]


def are_plain(layers: Sequence[Module], classes: tuple[type, ...]) -> bool:
    """Whether the layers are of these classes, without hooks or another `forward`."""
    return tuple(map(type, layers)) == classes and not any(
        vars(layer).get("_forward_hooks") or "forward" in vars(layer) for layer in layers
    )
