"""The variants of AlexNet: functions that list the layers in the order of computation.

The docstrings name the differences from the paper (Krizhevsky, Sutskever and Hinton
2012). All variants return logits.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinyalex import device, nn
from tinyalex.functional.arguments import at_least_one
from tinyalex.models.columns import Columns
from tinyalex.models.image_preprocessing import PRESETS, Preprocessing
from tinyalex.modes import no_grad
from tinyalex.nn import init
from tinyalex.nn.module import Module
from tinyalex.tensor import Tensor

Layers = dict[str, Module]

NORM = partial(nn.LocalResponseNorm, 5, alpha=1e-4, beta=0.75, k=2.0)
"""The normalization of section 3.3."""


class AlexNet(nn.Sequential):
    """A variant of AlexNet."""

    variant: str
    image_size: int
    """S of its input images (N, 3, S, S)."""
    options: dict[str, Any]
    """The variant's options, as given to `models.alexnet`."""
    preprocessing: Preprocessing | None = None
    """The preprocessing of the training images, if it is not the variant's own."""
    mean_image: str | None = None
    """The sha256 of the mean image that was subtracted in training."""
    classes: tuple[str, ...] | None = None
    """The names of the classes, if they are not ImageNet's."""

    def metadata(self) -> dict[str, str]:
        """The header of a weights file: `ta.save(path, state, model.metadata())`."""
        entries = {"variant": self.variant, "image_size": str(self.image_size)}
        entries |= {name: str(int(value)) for name, value in self.options.items()}
        if self.preprocessing is not None:
            entries["preprocessing"] = self.preprocessing.to_text()
        if self.mean_image is not None:
            entries["mean_image"] = self.mean_image
        if self.classes is not None:
            entries["classes"] = json.dumps(self.classes)
        return entries


def paper(
    num_classes: int, image_size: int, *, column_lrn: bool = False, columns: int = 2
) -> AlexNet:
    """The network of sections 3 and 5.

    conv2, conv4 and conv5 have two columns (groups=2), one on each of two GPUs; conv3
    and the linear layers read both. With `column_lrn`, LRN's windows end at the edge of
    a column.
    """
    norm = partial(NORM, alpha_mode="sum", groups=2 if column_lrn else 1)
    pool = partial(nn.MaxPool2d, 3, 2)  # section 3.4
    features = numbered(
        # 55 x 55 outputs for 224 x 224 pixels need a padding, which the paper does not
        # mention.
        [nn.Conv2d(3, 96, 11, stride=4, padding=2), nn.ReLU(), norm(), pool()],
        [nn.Conv2d(96, 256, 5, padding=2, groups=columns), nn.ReLU(), norm(), pool()],
        [nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()],
        [nn.Conv2d(384, 384, 3, padding=1, groups=columns), nn.ReLU()],
        [nn.Conv2d(384, 256, 3, padding=1, groups=columns), nn.ReLU(), pool()],
    )
    return network(features, num_classes, image_size, bias=1.0)


def original(num_classes: int, image_size: int) -> AlexNet:
    """The 2012 code (layers-145 of cuda-convnet). Its differences from the paper:

    - sizes are rounded up: the last windows extend past the edge
    - LRN divides alpha by its size, and stays within a column
    - ReLU follows the normalization and pooling of conv1, and the pooling of conv5
    - conv2 has a second normalization, over the positions of each map
    - conv3, conv4 and conv5 are initialized with sigma 0.03
    - dropout halves the values in testing, instead of doubling them in training
    """
    conv = partial(nn.Conv2d, ceil_mode=True)
    pool = partial(nn.MaxPool2d, 3, 2, ceil_mode=True)
    norm = partial(NORM, alpha_mode="mean", groups=2)
    within_map = nn.SpatialResponseNorm(5, alpha=1e-3, beta=0.75, k=1.0, alpha_mode="mean")
    features = numbered(
        [conv(3, 96, 11, stride=4), norm(), pool(), nn.ReLU()],
        [conv(96, 256, 5, padding=2, groups=2), nn.ReLU(), norm(), within_map, pool()],
        [conv(256, 384, 3, padding=1), nn.ReLU()],
        [conv(384, 384, 3, padding=1, groups=2), nn.ReLU()],
        [conv(384, 256, 3, padding=1, groups=2), pool(), nn.ReLU()],
    )
    sigmas = {"conv3": 0.03, "conv4": 0.03, "conv5": 0.03}
    return network(features, num_classes, image_size, bias=1.0, sigmas=sigmas, dropout=Dropout2012)


def single(num_classes: int, image_size: int) -> AlexNet:
    """The paper's widths in one column: every filter reads all channels."""
    return paper(num_classes, image_size, columns=1)


def caffe(num_classes: int, image_size: int) -> AlexNet:
    """BVLC's AlexNet. Biases are 0.1: its readme reports a flat loss with 1."""
    return bvlc(num_classes, image_size, norm_first=True, bias=0.1)


def caffenet(num_classes: int, image_size: int) -> AlexNet:
    """BVLC's CaffeNet: LRN after pooling, at a quarter of its cost; biases are 1."""
    return bvlc(num_classes, image_size, norm_first=False, bias=1.0)


def bvlc(num_classes: int, image_size: int, *, norm_first: bool, bias: float) -> AlexNet:
    """No padding in conv1, LRN with alpha / 5 and k=1, sigma 0.005 in fc6 and fc7."""
    pool = partial(nn.MaxPool2d, 3, 2, ceil_mode=True)

    def norm_and_pool() -> list[Module]:
        norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
        return [norm, pool()] if norm_first else [pool(), norm]

    features = numbered(
        [nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(), *norm_and_pool()],
        [nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), *norm_and_pool()],
        [nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()],
        [nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()],
        [nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), pool()],
    )
    sigmas = {"fc6": 0.005, "fc7": 0.005}
    return network(features, num_classes, image_size, bias=bias, sigmas=sigmas)


def torchvision(num_classes: int, image_size: int) -> AlexNet:
    """torchvision's, after "One weird trick" (Krizhevsky 2014): one column, no LRN.

    conv1 and conv2 have 64 and 192 filters, dropout precedes the linear layers, and
    feature maps of any size are averaged to 6 x 6. Parameters have torch's names and
    initial distributions.
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
    output_features({"features": features}, image_size)  # raises if the image is too small
    classifier = nn.Sequential(
        nn.Dropout(),
        nn.Linear(256 * 6 * 6, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, num_classes),
    )
    pool, flatten = nn.AdaptiveAvgPool2d(6), nn.Flatten()
    return AlexNet(
        {"features": features, "avgpool": pool, "flatten": flatten, "classifier": classifier}
    )


def keras(num_classes: int, image_size: int) -> AlexNet:
    """The popular Keras port: one column, no overlap in pooling, no relu3 and relu4.

    LRN precedes ReLU and has TensorFlow's defaults, a much stronger normalization than
    the paper's. Keras flattens maps in the order H, W, C, so the columns of its fc6 are
    in another order.
    """
    norm = partial(nn.LocalResponseNorm, 11, alpha=1.0, beta=0.5, k=1.0, alpha_mode="sum")
    conv, pool = partial(nn.Conv2d, padding="same"), partial(nn.MaxPool2d, 2, 2)
    features = {"pad": nn.ZeroPad2d((3, 0, 3, 0))} | numbered(
        [nn.Conv2d(3, 96, 11, stride=4), norm(), nn.ReLU(), pool()],
        [conv(96, 256, 5), norm(), nn.ReLU(), pool()],
        [conv(256, 384, 3)],
        [conv(384, 384, 3)],
        [conv(384, 256, 3), nn.ReLU(), pool()],
    )
    model = network(features, num_classes, image_size, bias=0.0)
    init.xavier_uniform_(model[-1].weight)
    return model


NAMES: dict[type[Module], str] = {
    nn.Conv2d: "conv",
    nn.LocallyConnected2d: "local",
    nn.ReLU: "relu",
    nn.MaxPool2d: "pool",
    nn.AvgPool2d: "pool",
    nn.LocalResponseNorm: "norm",
    nn.SpatialResponseNorm: "cnorm",
}


def numbered(*blocks: list[Module]) -> Layers:
    """The layers by name: "conv1", "relu1" and so on in the first block."""
    return {
        f"{NAMES[type(layer)]}{number}": layer
        for number, block in enumerate(blocks, 1)
        for layer in block
    }


def linear_layers(
    features: Layers,
    num_classes: int,
    image_size: int,
    *,
    width: int = 4096,
    dropout: Callable[[float], Module] = nn.Dropout,
) -> Layers:
    """Flatten and fc6 to fc8, with dropout after fc6 and fc7 (section 4.2)."""
    return {
        "flatten": nn.Flatten(),
        "fc6": nn.Linear(output_features(features, image_size), width),
        "relu6": nn.ReLU(),
        "drop6": dropout(0.5),
        "fc7": nn.Linear(width, width),
        "relu7": nn.ReLU(),
        "drop7": dropout(0.5),
        "fc8": nn.Linear(width, num_classes),
    }


def output_features(features: Layers, image_size: int) -> int:
    """The number of output values of these layers for one image."""
    image = Tensor(np.zeros((1, 3, image_size, image_size), np.float32))
    device.workers()  # raises for its own reasons, not because of the image size
    try:
        with no_grad():
            return nn.Sequential(features)(image).size
    except ValueError as error:
        raise ValueError(f"alexnet: image_size={image_size} is too small: {error}") from None


def network(
    features: Layers,
    num_classes: int,
    image_size: int,
    *,
    bias: float,
    sigmas: dict[str, float] | None = None,
    dropout: Callable[[float], Module] = nn.Dropout,
) -> AlexNet:
    """The features and the linear layers, with initial weights N(0, sigmas[layer]**2).

    Sigma is 0.01 by default. `bias` is the initial bias of conv2, conv4, conv5, fc6 and
    fc7. With 1, the ReLUs of these layers receive positive inputs from the start
    (section 5). Other biases are 0.
    """
    model = AlexNet(features | linear_layers(features, num_classes, image_size, dropout=dropout))
    for name, layer in model.named_children():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            init.normal_(layer.weight, 0.0, (sigmas or {}).get(name, 0.01))
            assert layer.bias is not None
            takes_bias = name in ("conv2", "conv4", "conv5", "fc6", "fc7")
            init.constant_(layer.bias, bias if takes_bias else 0.0)
    return model


class Dropout2012(nn.Dropout):
    """Dropout as in section 4.2: in testing, all values are multiplied by 1 - p."""

    def forward(self, x: Any) -> Tensor:
        # In training this undoes the division by 1 - p in F.dropout.
        return super().forward(x) * (1 - self.p)


BUILDERS: dict[str, Callable[..., AlexNet]] = {
    build.__name__: build
    for build in (paper, original, single, caffe, caffenet, torchvision, keras)
}
VARIANTS = tuple(BUILDERS)
"""The names of the variants, for `alexnet`."""


class AlexNetColumns(Columns, AlexNet):
    """A variant of AlexNet with each of its columns on a device."""


def alexnet(
    variant: str = "paper",
    num_classes: int = 1000,
    image_size: int | None = None,
    *,
    devices: Sequence[str] | None = None,
    **options: Any,
) -> AlexNet:
    """AlexNet with initial weights: images (N, 3, S, S) to logits (N, num_classes).

    variant     one of models.VARIANTS
    image_size  S; by default 224, or 227 for Caffe's. It determines the width of fc6
    devices     one for each of the two columns, as in the paper: ("cuda:0", "cuda:1").
                For "original", and "paper" with column_lrn=True
    options     column_lrn=True ("paper"): LRN stays within each of the two columns

    Raises ValueError for an unknown variant, an image size that is too small, or
    devices of a network without columns; TypeError for an option that the variant does
    not have.

    >>> model = alexnet("paper", num_classes=10, image_size=67)
    >>> model.conv1.weight.shape, model.conv2.weight.shape
    ((96, 3, 11, 11), (256, 48, 5, 5))
    >>> parts = alexnet("paper", 10, 67, column_lrn=True, devices=("cpu", "cpu"))
    >>> [column.conv1.weight.shape for column in parts.columns]
    [(48, 3, 11, 11), (48, 3, 11, 11)]
    """
    if variant not in BUILDERS:
        raise ValueError(f"models.alexnet: expected one of {', '.join(VARIANTS)}, got {variant!r}.")
    size = PRESETS[variant].size if image_size is None else image_size
    at_least_one("models.alexnet", "num_classes", num_classes)
    at_least_one("models.alexnet", "image_size", size)
    if options and (variant != "paper" or options.keys() != {"column_lrn"}):
        raise TypeError(
            f"models.alexnet: variant {variant!r} does not have the options {', '.join(options)}; "
            "'paper' has column_lrn."
        )
    model = BUILDERS[variant](num_classes, size, **options)
    if devices is not None:
        model = AlexNetColumns(model, devices)
    model.variant, model.image_size, model.options = variant, size, options
    return model
