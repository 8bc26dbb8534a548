"""Networks for CIFAR-10's images: cuda-convnet's fastest, and a small AlexNet."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tinyalex import nn
from tinyalex.functional.arguments import at_least_one
from tinyalex.models.alexnet_variants import NORM, linear_layers, numbered
from tinyalex.models.cifar_recipes import recipe_11pct, recipe_13pct, recipe_18pct
from tinyalex.models.columns import Columns
from tinyalex.nn import init


def quick(num_classes: int = 10) -> nn.Sequential:
    """cuda-convnet's "26 % in 80 seconds" network.

    145,578 parameters and 12.35 million multiply-adds per image. Pooling rounds sizes
    up: 32, 16, 8, 4.
    """
    features = numbered(
        [nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)],
        [nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(), nn.AvgPool2d(3, 2, ceil_mode=True)],
        [nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.AvgPool2d(3, 2, ceil_mode=True)],
    )
    linear = {
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(64 * 4 * 4, 64),
        "relu4": nn.ReLU(),
        "fc2": nn.Linear(64, num_classes),
    }
    return nn.Sequential(features | linear)


def alexnet(num_classes: int = 10, *, column_lrn: bool = False) -> nn.Sequential:
    """The paper's network with half the filters; conv1 is 5 x 5 with stride 1.

    Pooling rounds sizes up: 32, 16, 8, 4. With `column_lrn`, LRN's windows end at the
    edge of a column.
    """
    norm = partial(NORM, alpha_mode="sum", groups=2 if column_lrn else 1)
    pool = partial(nn.MaxPool2d, 3, 2, ceil_mode=True)
    features = numbered(
        [nn.Conv2d(3, 48, 5, padding=2), nn.ReLU(), norm(), pool()],
        [nn.Conv2d(48, 128, 5, padding=2, groups=2), nn.ReLU(), norm(), pool()],
        [nn.Conv2d(128, 192, 3, padding=1), nn.ReLU()],
        [nn.Conv2d(192, 192, 3, padding=1, groups=2), nn.ReLU()],
        [nn.Conv2d(192, 128, 3, padding=1, groups=2), nn.ReLU(), pool()],
    )
    return nn.Sequential(features | linear_layers(features, num_classes, 32, width=1024))


RECIPES: dict[str, tuple[Callable[..., nn.Sequential], int]] = {
    "18pct": (recipe_18pct, 32),
    "13pct": (recipe_13pct, 24),
    "11pct": (recipe_11pct, 24),
}
"""cuda-convnet's networks with its initial weights, and the sizes of their images."""

NETWORKS: dict[str, Callable[..., nn.Sequential]] = {"quick": quick, "alexnet": alexnet}


def cifar(
    name: str,
    num_classes: int = 10,
    *,
    column_lrn: bool = False,
    devices: Sequence[str] | None = None,
    image_size: int | None = None,
    lrn: bool | None = None,
) -> Any:
    """A network for CIFAR-10: RGB images (N, 3, S, S) to (N, num_classes).

    "quick" and "alexnet" have S = 32. Their initial weights are those of
    `nn.init.kaiming_`, for pixels of mean 0 and a standard deviation near 1. "18pct",
    "13pct" and "11pct" are cuda-convnet's networks with its initial weights, for pixels
    of 0 to 255 minus the mean image.

    column_lrn  "alexnet": LRN stays within each of the two columns
    devices     "alexnet" with column_lrn=True: one for each column
    image_size  S; by default 32, and 24 for "13pct" and "11pct", which are trained with
                crops
    lrn         "13pct" and "11pct": whether they have LRN; by default, only "11pct" has

    Raises ValueError for an unknown name, or options that the network does not have.
    """
    if name not in NETWORKS and name not in RECIPES:
        names = ", ".join([*NETWORKS, *RECIPES])
        raise ValueError(f"models.cifar: expected one of {names}, got {name!r}.")
    if column_lrn and name != "alexnet":
        raise ValueError(
            f"models.cifar: {name!r} has no columns for column_lrn=True. Use 'alexnet'."
        )
    if lrn is not None and name not in ("13pct", "11pct"):
        raise ValueError(
            f"models.cifar: {name!r} does not have the option lrn. '13pct' and '11pct' do."
        )
    if image_size not in (None, 32) and name not in RECIPES:
        raise ValueError(f"models.cifar: {name!r} is for image_size=32, got {image_size!r}.")
    if name in RECIPES:
        build, size = RECIPES[name]
        size = size if image_size is None else image_size
        at_least_one("models.cifar", "image_size", size)
        model = build(num_classes, size, **({} if lrn is None else {"lrn": lrn}))
    else:
        model = NETWORKS[name](num_classes, **({"column_lrn": True} if column_lrn else {}))
        init.kaiming_(model)
    return model if devices is None else Columns(model, devices)
