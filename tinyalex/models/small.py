"""Two networks for 32 x 32 images: cuda-convnet's fastest one, and AlexNet fitted to the size."""

from collections.abc import Callable

from tinyalex import nn
from tinyalex.nn import init


def quick(num_classes: int = 10) -> nn.Sequential:
    """cuda-convnet's "26 % in 80 seconds" net: three 5 x 5 convolutions, each with overlapping pooling, and two linear layers.

    145,578 parameters, 12.35 million multiply-adds an image. Sizes are rounded up in pooling: 32, 16, 8, 4.
    """
    return nn.Sequential(
        {
            "conv1": nn.Conv2d(3, 32, 5, padding=2),
            "relu1": nn.ReLU(),
            "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),
            "conv2": nn.Conv2d(32, 32, 5, padding=2),
            "relu2": nn.ReLU(),
            "pool2": nn.AvgPool2d(3, 2, ceil_mode=True),
            "conv3": nn.Conv2d(32, 64, 5, padding=2),
            "relu3": nn.ReLU(),
            "pool3": nn.AvgPool2d(3, 2, ceil_mode=True),
            "flatten": nn.Flatten(),
            "fc1": nn.Linear(64 * 4 * 4, 64),
            "relu4": nn.ReLU(),
            "fc2": nn.Linear(64, num_classes),
        }
    )


def alexnet(num_classes: int = 10) -> nn.Sequential:
    """AlexNet at 32 x 32: the paper's order of layers and its two columns (groups=2), half its widths, smaller windows in conv1.

    conv1 has stride 1 and a 5 x 5 window where the paper has 4 and 11 x 11: pooling alone takes 32 to 16, 8 and 4.
    """

    def norm() -> nn.Module:
        return nn.LocalResponseNorm(
            5, alpha=1e-4, beta=0.75, k=2.0, alpha_mode="sum"
        )  # section 3.3

    return nn.Sequential(
        {
            "conv1": nn.Conv2d(3, 48, 5, padding=2),
            "relu1": nn.ReLU(),
            "norm1": norm(),
            "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),
            "conv2": nn.Conv2d(48, 128, 5, padding=2, groups=2),
            "relu2": nn.ReLU(),
            "norm2": norm(),
            "pool2": nn.MaxPool2d(3, 2, ceil_mode=True),
            "conv3": nn.Conv2d(128, 192, 3, padding=1),
            "relu3": nn.ReLU(),
            "conv4": nn.Conv2d(192, 192, 3, padding=1, groups=2),
            "relu4": nn.ReLU(),
            "conv5": nn.Conv2d(192, 128, 3, padding=1, groups=2),
            "relu5": nn.ReLU(),
            "pool5": nn.MaxPool2d(3, 2, ceil_mode=True),
            "flatten": nn.Flatten(),
            "fc6": nn.Linear(128 * 4 * 4, 1024),
            "relu6": nn.ReLU(),
            "drop6": nn.Dropout(0.5),  # section 4.2
            "fc7": nn.Linear(1024, 1024),
            "relu7": nn.ReLU(),
            "drop7": nn.Dropout(0.5),
            "fc8": nn.Linear(1024, num_classes),
        }
    )


NETWORKS: dict[str, Callable[[int], nn.Sequential]] = {"quick": quick, "alexnet": alexnet}


def cifar(name: str, num_classes: int = 10) -> nn.Sequential:
    """The network "quick" or "alexnet" for 32 x 32 colour images, with He's initial weights; it returns logits (N, num_classes).

    Pixels are expected with mean 0 and a standard deviation near 1.
    """
    if name not in NETWORKS:
        raise ValueError(f"models.cifar: expected one of {', '.join(NETWORKS)}, got {name!r}.")
    model = NETWORKS[name](num_classes)
    init.kaiming_(model)
    return model
