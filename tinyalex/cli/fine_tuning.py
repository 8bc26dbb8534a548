"""Fine-tuning (train_imagenet.py --weights): training begins with trained weights.

The network has the sizes and the preprocessing of the weights. Its last layer is
replaced if the classes differ. --head-lr is the learning rate of the last layer, --lr
that of all others, which --freeze excludes from training.
"""

import argparse
from pathlib import Path
from typing import Any

from tinyalex import models, nn, optim
from tinyalex.cli import imagenet_evaluation as evaluation
from tinyalex.cli.imagenet_network import Start
from tinyalex.cli.options import file_path, positive_number
from tinyalex.cli.training_scripts import Setup
from tinyalex.models.prediction import load_network

OPTIONS = ("weights", "freeze", "head_lr")

LR = 0.001
"""The default of --lr: a tenth of the paper's, so that the features are kept."""

HEAD_FACTOR = 10
"""The default of --head-lr, in units of --lr: a new layer has random weights."""


def add_options(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--weights",
        type=file_path,
        metavar="FILE",
        help='fine-tune: begin with the weights in a file, or with "torchvision" (downloaded once, '
        "244 MB); the last layer is new if the classes differ",
    )
    p.add_argument(
        "--freeze",
        choices=["features"],
        help="with --weights: do not train the convolutional layers",
    )
    p.add_argument(
        "--head-lr",
        type=positive_number,
        help=f"with --weights: learning rate of the last layer (default: {HEAD_FACTOR} times --lr)",
    )


def read(args: argparse.Namespace) -> models.AlexNet | None:
    """The network with --weights, to whose sizes the options are set; also args.squash.

    Raises ValueError for options that need weights, or that contradict them.
    """
    args.squash = False
    if args.weights is None:
        for name in ("freeze", "head_lr"):
            if getattr(args, name) is not None:
                raise ValueError(f"--{name.replace('_', '-')} needs --weights FILE.")
        return None
    pretrained = load_network(args.weights, args.variant, args.image_size)
    preprocessing = preprocessing_of(pretrained)
    for name, given, own in (
        ("--image-size", args.image_size, preprocessing.size),
        ("--resize", args.resize, preprocessing.resize),
    ):
        if given not in (None, own):
            raise ValueError(
                f"{name} {given}: {args.weights} was trained with {own}. Leave the option out."
            )
    args.variant = pretrained.variant
    args.image_size, args.resize = preprocessing.size, preprocessing.resize
    args.column_lrn = args.column_lrn or pretrained.options.get("column_lrn")
    args.squash = preprocessing.squash
    args.mean = "colour" if pretrained.mean_image is None else "image"
    args.lr = LR if args.lr is None else args.lr
    args.head_lr = HEAD_FACTOR * args.lr if args.head_lr is None else args.head_lr
    return pretrained


def preprocessing_of(network: models.AlexNet) -> models.Preprocessing:
    return network.preprocessing or models.preprocessing(network.variant, network.image_size)


def start(args: argparse.Namespace, classes: tuple[str, ...], setup: Setup) -> Start:
    """The network for `classes`, with the preprocessing of the weights."""
    pretrained = args.pretrained
    preprocessing = preprocessing_of(pretrained)
    image = evaluation.read_mean(pretrained, Path(args.weights))
    mean = preprocessing.in_bytes()[0] if image is None else image
    network = replace_last_layer(pretrained, classes)
    if args.freeze:
        freeze(network, setup)
    return Start(network, preprocessing, mean, None)


def replace_last_layer(pretrained: models.AlexNet, classes: tuple[str, ...]) -> models.AlexNet:
    """A network for `classes`, with all trained weights but those of the last layer.

    If its classes are the same, or unknown and of the same number, the last layer is
    kept: then this is the network itself.
    """
    *_, last_bias = pretrained.parameters()
    if len(last_bias) == len(classes) and pretrained.classes in (None, classes):
        print(f"fine-tuning: all layers, for the same {len(classes)} classes")
        return pretrained
    size = pretrained.image_size
    network = models.alexnet(pretrained.variant, len(classes), size, **pretrained.options)
    *features, weight, bias = pretrained.state_dict().items()
    network.load_state_dict(dict(features), strict=False)
    print(
        f"fine-tuning: a new last layer, for {len(classes)} classes instead of {len(last_bias)} "
        f"({weight[0]}, {bias[0]})"
    )
    return network


def freeze(network: models.AlexNet, setup: Setup) -> None:
    """Exclude the convolutional layers from training."""
    if setup.world is not None or setup.has_columns:
        raise ValueError("--freeze: train in one process and on one device.")
    for layer in network.children():
        if isinstance(layer, nn.Linear):
            return
        layer.requires_grad_(False)


def groups(model: Any, lr: float, head_lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """`optim.paper_groups`, with another rate for the last layer's parameters."""
    *_, weight, bias = model.parameters()
    head = {id(weight), id(bias)}
    found = []
    for group in optim.paper_groups(model, lr, weight_decay):
        for in_head, factor in ((False, 1.0), (True, head_lr / lr)):
            params = [p for p in group["params"] if (id(p) in head) == in_head]
            if params:
                found.append(group | {"params": params, "lr": group["lr"] * factor})
    return found
