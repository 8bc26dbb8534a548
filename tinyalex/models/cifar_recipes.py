"""cuda-convnet's networks for CIFAR-10, each named after its published test error.

Their initial sigmas are for pixels of 0 to 255 minus the mean image.
"""

from functools import partial

from tinyalex import nn
from tinyalex.models.alexnet_variants import Layers, numbered, output_features
from tinyalex.nn import init
from tinyalex.nn.module import Module


def recipe_18pct(num_classes: int, image_size: int) -> nn.Sequential:
    """The network of "18 %": three convolutions, with normalization within each map.

    89,578 parameters. Pooling rounds sizes up: 32, 16, 8, 4.
    """
    norm = partial(nn.SpatialResponseNorm, 3, alpha=5e-5, beta=0.75, k=1.0, alpha_mode="mean")
    average = partial(nn.AvgPool2d, 3, 2, ceil_mode=True)
    features = numbered(
        [nn.Conv2d(3, 32, 5, padding=2), nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU(), norm()],
        [nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(), average(), norm()],
        [nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), average()],
    )
    return classifier(features, num_classes, image_size, {"conv1": 1e-4})


def recipe_13pct(num_classes: int, image_size: int, *, lrn: bool = False) -> nn.Sequential:
    """The network of "13 %": two convolutions and two locally connected layers.

    1,116,490 parameters for images of 24 x 24: pooling makes 24, 12, 6. With `lrn`, it
    has the normalization of "11 %".
    """
    return locally_connected(num_classes, image_size, lrn=lrn, width=32)


def recipe_11pct(num_classes: int, image_size: int, *, lrn: bool = True) -> nn.Sequential:
    """The network of "11 %": as "13 %", with LRN and twice the filters in local3.

    2,112,970 parameters for images of 24 x 24.
    """
    return locally_connected(num_classes, image_size, lrn=lrn, width=64)


def locally_connected(num_classes: int, image_size: int, *, lrn: bool, width: int) -> nn.Sequential:
    """Convolutions, and locally connected layers of `width` and 32 filters.

    LRN follows the pooling of conv1, and precedes that of conv2.
    """

    def norm() -> list[Module]:
        return [nn.LocalResponseNorm(9, alpha=1e-3, beta=0.75, k=1.0)] if lrn else []

    pool = partial(nn.MaxPool2d, 3, 2, ceil_mode=True)
    local = partial(nn.LocallyConnected2d, padding=1, input_size=-(-image_size // 4))
    features = numbered(
        [nn.Conv2d(3, 64, 5, padding=2), nn.ReLU(), pool(), *norm()],
        [nn.Conv2d(64, 64, 5, padding=2), nn.ReLU(), *norm(), pool()],
        [local(64, width, 3), nn.ReLU()],
        [local(width, 32, 3), nn.ReLU()],
    )
    sigmas = {"conv1": 1e-4, "local3": 0.04, "local4": 0.04}
    return classifier(features, num_classes, image_size, sigmas)


def classifier(
    features: Layers, num_classes: int, image_size: int, sigmas: dict[str, float]
) -> nn.Sequential:
    """The features and a linear layer, with weights N(0, sigmas[layer]**2), biases 0.

    Sigma is 0.01 by default.
    """
    linear = nn.Linear(output_features(features, image_size), num_classes)
    model = nn.Sequential(features | {"flatten": nn.Flatten(), "fc": linear})
    for name, p in model.named_parameters():
        layer, _, kind = name.rpartition(".")
        init.zeros_(p) if kind == "bias" else init.normal_(p, 0.0, sigmas.get(layer, 0.01))
    return model
