"""cuda-convnet's networks for CIFAR-10, each named after its published test error.

Their initial sigmas are for pixels of 0 to 255 minus the mean image.
"""

from functools import partial

from tinyalex import nn
from tinyalex.models.alexnet_variants import Layers, numbered, output_features
from tinyalex.nn import init


def recipe_18pct(num_classes: int, image_size: int) -> nn.Sequential:
    """ "18 %": three convolutions with normalization within each map.

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
