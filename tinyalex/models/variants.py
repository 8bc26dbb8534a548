"""AlexNet in the forms that people mean by the name.

Each function below describes one of them, in the order in which it computes. Where they differ from the paper (Krizhevsky, Sutskever and
Hinton 2012) their docstring says so. All return logits; the softmax is the loss's.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tinyalex import functional as F
from tinyalex import nn
from tinyalex.function import no_grad
from tinyalex.functional.arguments import at_least_one
from tinyalex.models.photos import Preprocessing
from tinyalex.nn import init
from tinyalex.nn.module import Module
from tinyalex.tensor import Tensor

Layers = dict[str, Module]


class AlexNet(nn.Sequential):
    """One of the variants, its layers in the order in which they compute."""

    variant: str
    image_size: int
    """S of the images (N, 3, S, S) that it was made for."""
    options: dict[str, Any]
    """What else `models.alexnet` was given."""
    preprocessing: Preprocessing | None = None
    """What was done to the images that it was trained on, if not what its variant is known for."""
    mean_image: str | None = None
    """The sha256 of the mean image that was subtracted from them, whose colour `preprocessing` has."""
    classes: tuple[str, ...] | None = None
    """What its classes are called, if they are not ImageNet's."""

    def metadata(self) -> dict[str, str]:
        """What a file of its weights must say so that the same network can be made again: `ta.save(path, state, model.metadata())`."""
        said = {name: str(int(on)) for name, on in self.options.items()}
        if self.preprocessing is not None:
            said["preprocessing"] = self.preprocessing.to_text()
        if self.mean_image is not None:
            said["mean_image"] = self.mean_image
        if self.classes is not None:
            said["classes"] = json.dumps(self.classes)
        return {"variant": self.variant, "image_size": str(self.image_size), **said}


def paper(
    num_classes: int, image_size: int, *, column_lrn: bool = False, columns: int = 2
) -> AlexNet:
    """The network as sections 3 and 5 describe it.

    Two columns (groups=2) in conv2, conv4 and conv5, which lay on two GPUs; conv3 and the linear layers see both. With `column_lrn` the
    windows of LRN end at a column's edge, as they had to on two GPUs.
    """
    # Section 3.3.
    norm = partial(
        nn.LocalResponseNorm,
        5,
        alpha=1e-4,
        beta=0.75,
        k=2.0,
        alpha_mode="sum",
        groups=2 if column_lrn else 1,
    )
    features = {
        # The paper's 55 x 55 outputs of 224 x 224 pixels need a border that it does not mention.
        "conv1": nn.Conv2d(3, 96, 11, stride=4, padding=2),
        "relu1": nn.ReLU(),
        "norm1": norm(),
        "pool1": nn.MaxPool2d(3, 2),  # section 3.4
        "conv2": nn.Conv2d(96, 256, 5, padding=2, groups=columns),
        "relu2": nn.ReLU(),
        "norm2": norm(),
        "pool2": nn.MaxPool2d(3, 2),
        "conv3": nn.Conv2d(256, 384, 3, padding=1),
        "relu3": nn.ReLU(),
        "conv4": nn.Conv2d(384, 384, 3, padding=1, groups=columns),
        "relu4": nn.ReLU(),
        "conv5": nn.Conv2d(384, 256, 3, padding=1, groups=columns),
        "relu5": nn.ReLU(),
        "pool5": nn.MaxPool2d(3, 2),
    }
    model = AlexNet(features | linear_layers(features, num_classes, image_size))
    return initialized(model, bias=1.0)


def original(num_classes: int, image_size: int) -> AlexNet:
    """The code that won (layers-145 of cuda-convnet), where it differs from what the paper says:

    sizes are rounded up, and windows hang over the edge;   conv1 is normalised, pooled, and only then rectified;
    LRN divides alpha by its size, and stays in a column;   conv2 has a second norm, over places of the same map;
    conv3, conv4 and conv5 start with sigma 0.03;           dropout halves in testing, instead of doubling in training.
    """
    norm = partial(
        nn.LocalResponseNorm, 5, alpha=1e-4, beta=0.75, k=2.0, alpha_mode="mean", groups=2
    )
    features = {
        "conv1": nn.Conv2d(3, 96, 11, stride=4, ceil_mode=True),
        "norm1": norm(),
        "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),
        "relu1": nn.ReLU(),
        "conv2": nn.Conv2d(96, 256, 5, padding=2, groups=2, ceil_mode=True),
        "relu2": nn.ReLU(),
        "norm2": norm(),
        "cnorm2": nn.SpatialResponseNorm(5, alpha=1e-3, beta=0.75, k=1.0, alpha_mode="mean"),
        "pool2": nn.MaxPool2d(3, 2, ceil_mode=True),
        "conv3": nn.Conv2d(256, 384, 3, padding=1, ceil_mode=True),
        "relu3": nn.ReLU(),
        "conv4": nn.Conv2d(384, 384, 3, padding=1, groups=2, ceil_mode=True),
        "relu4": nn.ReLU(),
        "conv5": nn.Conv2d(384, 256, 3, padding=1, groups=2, ceil_mode=True),
        "pool5": nn.MaxPool2d(3, 2, ceil_mode=True),
        "relu5": nn.ReLU(),
    }
    model = AlexNet(
        features | linear_layers(features, num_classes, image_size, dropout=Dropout2012)
    )
    return initialized(model, bias=1.0, sigmas={"conv3": 0.03, "conv4": 0.03, "conv5": 0.03})


def single(num_classes: int, image_size: int) -> AlexNet:
    """The paper's widths in one column, as most books draw it: every filter sees all channels."""
    return paper(num_classes, image_size, columns=1)


def caffe(num_classes: int, image_size: int) -> AlexNet:
    """BVLC's AlexNet. With biases of 1, says its readme, the loss stayed flat."""
    return bvlc(num_classes, image_size, norm_first=True, bias=0.1)


def caffenet(num_classes: int, image_size: int) -> AlexNet:
    """BVLC's CaffeNet: pooling before normalisation, which then has a quarter of the work; and the paper's biases of 1."""
    return bvlc(num_classes, image_size, norm_first=False, bias=1.0)


def bvlc(num_classes: int, image_size: int, *, norm_first: bool, bias: float) -> AlexNet:
    """What Caffe's two have in common: 227 x 227 pixels and no border, LRN with alpha / 5 and k = 1, sigma 0.005 in fc6 and fc7."""

    def norm_and_pool(i: int) -> Layers:
        norm: Layers = {f"norm{i}": nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)}
        pool: Layers = {f"pool{i}": nn.MaxPool2d(3, 2, ceil_mode=True)}
        return norm | pool if norm_first else pool | norm

    features = {
        "conv1": nn.Conv2d(3, 96, 11, stride=4),
        "relu1": nn.ReLU(),
        **norm_and_pool(1),
        "conv2": nn.Conv2d(96, 256, 5, padding=2, groups=2),
        "relu2": nn.ReLU(),
        **norm_and_pool(2),
        "conv3": nn.Conv2d(256, 384, 3, padding=1),
        "relu3": nn.ReLU(),
        "conv4": nn.Conv2d(384, 384, 3, padding=1, groups=2),
        "relu4": nn.ReLU(),
        "conv5": nn.Conv2d(384, 256, 3, padding=1, groups=2),
        "relu5": nn.ReLU(),
        "pool5": nn.MaxPool2d(3, 2, ceil_mode=True),
    }
    model = AlexNet(features | linear_layers(features, num_classes, image_size))
    return initialized(model, bias=bias, sigmas={"fc6": 0.005, "fc7": 0.005})


def torchvision(num_classes: int, image_size: int) -> AlexNet:
    """torchvision's, after "One weird trick" (Krizhevsky 2014): one column, 64 and 192 filters at first, no LRN, dropout *before* fc6, fc7.

    Parameters have torch's names and torch's initial values. Whatever the image's size, its maps are averaged to 6 x 6.
    """
    features = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
    )
    features_seen({"features": features}, image_size)  # an image that is too small is refused here
    classifier = nn.Sequential(
        nn.Dropout(),
        nn.Linear(256 * 6 * 6, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, num_classes),
    )
    return AlexNet(
        {
            "features": features,
            "avgpool": nn.AdaptiveAvgPool2d(6),
            "flatten": nn.Flatten(),
            "classifier": classifier,
        }
    )


def keras(num_classes: int, image_size: int) -> AlexNet:
    """The popular Keras port: one column; TensorFlow's defaults for LRN, before ReLU; windows that do not overlap; no ReLU on conv3, conv4.

    depth_radius 5 are 11 maps, with alpha = 1 on their sum, beta = 0.5 and k = 1: far more than the paper's norm. Keras flattens maps as
    H, W, C, and so has the columns of fc6 in another order than here.
    """
    norm = partial(nn.LocalResponseNorm, 11, alpha=1.0, beta=0.5, k=1.0, alpha_mode="sum")
    features = {
        "pad": nn.ZeroPad2d((3, 0, 3, 0)),
        "conv1": nn.Conv2d(3, 96, 11, stride=4),
        "norm1": norm(),
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(2, 2),
        "conv2": nn.Conv2d(96, 256, 5, padding="same"),
        "norm2": norm(),
        "relu2": nn.ReLU(),
        "pool2": nn.MaxPool2d(2, 2),
        "conv3": nn.Conv2d(256, 384, 3, padding="same"),
        "conv4": nn.Conv2d(384, 384, 3, padding="same"),
        "conv5": nn.Conv2d(384, 256, 3, padding="same"),
        "relu5": nn.ReLU(),
        "pool5": nn.MaxPool2d(2, 2),
    }
    model = AlexNet(features | linear_layers(features, num_classes, image_size))
    initialized(model, bias=0.0)
    init.xavier_uniform_(model[-1].weight)
    return model


# What the descriptions share


def linear_layers(
    features: Layers,
    num_classes: int,
    image_size: int,
    dropout: Callable[[float], Module] = nn.Dropout,
) -> Layers:
    """Flatten and fc6 to fc8; dropout after the first two (section 4.2)."""
    return {
        "flatten": nn.Flatten(),
        "fc6": nn.Linear(features_seen(features, image_size), 4096),
        "relu6": nn.ReLU(),
        "drop6": dropout(0.5),
        "fc7": nn.Linear(4096, 4096),
        "relu7": nn.ReLU(),
        "drop7": dropout(0.5),
        "fc8": nn.Linear(4096, num_classes),
    }


def features_seen(features: Layers, image_size: int) -> int:
    """How many numbers the convolutions make of an image of that size: fc6's width."""
    try:
        with no_grad():
            return nn.Sequential(features)(
                Tensor(np.zeros((1, 3, image_size, image_size), np.float32))
            ).size
    except ValueError as error:
        raise ValueError(f"alexnet: image_size={image_size} is too small: {error}") from None


def initialized(model: AlexNet, bias: float, sigmas: dict[str, float] | None = None) -> AlexNet:
    """Weights N(0, sigma**2) with sigma 0.01 but where `sigmas` says otherwise; `bias` in conv2, conv4, conv5, fc6 and fc7, else 0.

    Section 5: biases of 1 let the ReLUs of those layers see positive inputs from the start.
    """
    for name, layer in model.named_children():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            init.normal_(layer.weight, 0.0, (sigmas or {}).get(name, 0.01))
            assert layer.bias is not None
            init.constant_(
                layer.bias, bias if name in ("conv2", "conv4", "conv5", "fc6", "fc7") else 0.0
            )
    return model


class Dropout2012(Module):
    """Dropout as the paper says it (section 4.2): numbers are dropped in training, and all are multiplied by 1 - p in testing."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def forward(self, x: Any) -> Tensor:
        # In training F.dropout divides what it keeps by 1 - p, which is undone here; in testing it does nothing.
        return F.dropout(x, self.p, self.training) * (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


BUILDERS: dict[str, tuple[Callable[..., AlexNet], int]] = {
    "paper": (paper, 224),
    "original": (original, 224),
    "single": (single, 224),
    "caffe": (caffe, 227),
    "caffenet": (caffenet, 227),
    "torchvision": (torchvision, 224),
    "keras": (keras, 224),
}
"""Each variant, and the size of its images."""

VARIANTS = tuple(BUILDERS)


def alexnet(
    variant: str = "paper", num_classes: int = 1000, image_size: int | None = None, **options: Any
) -> AlexNet:
    """AlexNet, with initial weights: a network of images (N, 3, S, S) to logits (N, num_classes).

    variant     one of models.VARIANTS: "paper", "original", "single", "caffe", "caffenet", "torchvision", "keras"
    image_size  S, if not the variant's own (224; 227 for Caffe's); the first linear layer's width follows from it
    options     column_lrn=True (paper): LRN stays within each of the two columns

    ValueError for an unknown variant, TypeError for an option that it does not have, ValueError for an image size that is too small.

    >>> model = alexnet("paper", num_classes=10, image_size=67)
    >>> [tuple(p.shape) for name, p in model.named_parameters() if name.endswith("weight")][:3]
    [(96, 3, 11, 11), (256, 48, 5, 5), (384, 256, 3, 3)]
    """
    if variant not in BUILDERS:
        raise ValueError(f"models.alexnet: expected one of {', '.join(VARIANTS)}, got {variant!r}.")
    build, own_size = BUILDERS[variant]
    size = own_size if image_size is None else image_size
    at_least_one("models.alexnet", "num_classes", num_classes)
    at_least_one("models.alexnet", "image_size", size)
    if options and (variant != "paper" or options.keys() != {"column_lrn"}):
        raise TypeError(
            f"models.alexnet: variant {variant!r} does not have the options {', '.join(options)}; 'paper' has column_lrn."
        )
    model = build(num_classes, size, **options)
    model.variant, model.image_size, model.options = variant, size, options
    return model
