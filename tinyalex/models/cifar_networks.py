"""Networks for 32 x 32 images: cuda-convnet's fastest, and a small AlexNet."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tinyalex import nn
from tinyalex.models.alexnet_variants import NORM, linear_layers, numbered
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


NETWORKS: dict[str, Callable[..., nn.Sequential]] = {"quick": quick, "alexnet": alexnet}


def cifar(
    name: str,
    num_classes: int = 10,
    *,
    column_lrn: bool = False,
    devices: Sequence[str] | None = None,
) -> Any:
    """The network "quick" or "alexnet": RGB images (N, 3, 32, 32) to (N, num_classes).

    The initial weights are those of `nn.init.kaiming_`, for pixels of mean 0 and a
    standard deviation near 1.

    column_lrn  "alexnet": LRN stays within each of the two columns
    devices     "alexnet" with column_lrn=True: one for each column

    Raises ValueError for an unknown name, or options that the network does not have.
    """
    if name not in NETWORKS:
        raise ValueError(f"models.cifar: expected one of {', '.join(NETWORKS)}, got {name!r}.")
    if column_lrn and name != "alexnet":
        raise ValueError(
            f"models.cifar: {name!r} has no columns for column_lrn=True. Use 'alexnet'."
        )
    options = {"column_lrn": True} if column_lrn else {}
    model = NETWORKS[name](num_classes, **options)
    init.kaiming_(model)
    return model if devices is None else Columns(model, devices)
