"""Networks for 32 x 32 images: cuda-convnet's fastest, and a small AlexNet."""

from collections.abc import Callable
from functools import partial

from tinyalex import nn
from tinyalex.nn import init


def quick(num_classes: int = 10) -> nn.Sequential:
    """cuda-convnet's "26 % in 80 seconds" network.

    145,578 parameters and 12.35 million multiply-adds an image. Pooling rounds sizes
    up: 32, 16, 8, 4.
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
    """The paper's network at half its widths, with a 5 x 5 kernel of stride 1 in conv1.

    Pooling rounds sizes up: 32, 16, 8, 4.
    """
    # Section 3.3.
    norm = partial(nn.LocalResponseNorm, 5, alpha=1e-4, beta=0.75, k=2.0, alpha_mode="sum")
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
    """The network "quick" or "alexnet": RGB images (N, 3, 32, 32) to (N, num_classes).

    The initial weights are those of `nn.init.kaiming_`, for pixels of mean 0 and a
    standard deviation near 1.
    """
    if name not in NETWORKS:
        raise ValueError(f"models.cifar: expected one of {', '.join(NETWORKS)}, got {name!r}.")
    model = NETWORKS[name](num_classes)
    init.kaiming_(model)
    return model
