"""The untrained network of train_imagenet.py, and the scale of its pixels."""

import argparse
from typing import Any, NamedTuple

import numpy as np

from tinyalex import models, nn
from tinyalex.cli.imagenet_images import Colours
from tinyalex.training.plateau import COMMON_REMEDIES

REMEDIES = {
    "initial weights": "He's, for few images (--init he)",
    "biases": "0.1 instead of the paper's 1 (--variant caffe)",
} | COMMON_REMEDIES
"""What to try if an untrained network does not learn."""


class Start(NamedTuple):
    """A network before its training, and how images become its inputs.

    mean   the mean image (3, R, R) or the mean colour (3,), which is subtracted
    scale  a factor of the difference; None: each channel has its own deviation
    """

    network: models.AlexNet
    preprocessing: models.Preprocessing
    mean: np.ndarray
    scale: float | None


def untrained(args: argparse.Namespace, num_classes: int, colours: Colours) -> Start:
    """The network of --variant, with the initial weights of --init."""
    options: dict[str, Any] = {"column_lrn": True} if args.column_lrn else {}
    network = models.alexnet(args.variant, num_classes, args.image_size, **options)
    if args.init == "he":
        nn.init.kaiming_(network)
    # Initial weights are for pixels from 0 to 255, or a standard deviation of 1.
    for_bytes = args.init == "own" and args.variant not in ("torchvision", "keras")
    scale = 1.0 if for_bytes else 1 / (colours.deviation or 1.0)
    red, green, blue = map(float, colours.mean.reshape(3, -1).mean(axis=1))
    preprocessing = models.Preprocessing(
        args.image_size, args.resize, mean=(red, green, blue), std=(1 / scale,) * 3
    )
    return Start(network, preprocessing, colours.mean, scale)
