"""Fine-tuning (train_imagenet.py --weights): training begins with trained weights.

The network has the sizes and the preprocessing of the weights. Its last layer is
replaced unless the classes are the same. --head-lr is the learning rate of the last
layer, --lr that of all others, of which --freeze excludes some from training.
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

OPTIONS = ("freeze", "head_lr")
"""Options that must stay the same when a run is resumed. The path of the weights may
change: see `of_weights`."""

LR = 0.001
"""The default of --lr: a tenth of the paper's, so that the features are kept."""

HEAD_FACTOR = 10
"""The default of --head-lr for a new layer, with random weights, in units of --lr."""


def add_options(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--weights",
        type=file_path,
        metavar="FILE",
        help='fine-tune: begin with the weights in a file, or with "torchvision" (downloaded once, '
        "244 MB); the last layer is new unless the classes are the same",
    )
    p.add_argument(
        "--freeze",
        choices=["features"],
        help="with --weights: do not train the convolutional layers",
    )
    p.add_argument(
        "--head-lr",
        type=positive_number,
        help="with --weights: learning rate of the last layer (default: --lr, or "
        f"{HEAD_FACTOR} times --lr if the layer is new)",
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
    if args.init is not None:
        raise ValueError("--init is for new networks. Leave out --init or --weights.")
    evaluation.check_file(args.weights, "--weights")
    pretrained = load_network(args.weights, args.variant, args.image_size)
    preprocessing = preprocessing_of(pretrained)
    args.variant, args.squash = pretrained.variant, preprocessing.squash
    for name, own in (
        ("image_size", preprocessing.size),
        ("resize", preprocessing.resize),
        ("mean", "colour" if pretrained.mean_image is None else "image"),
        ("column_lrn", pretrained.options.get("column_lrn") or None),
    ):
        given = getattr(args, name)
        if given not in (None, own):
            raise ValueError(_contradiction(args, f"--{name.replace('_', '-')}", given, own))
        setattr(args, name, own)
    args.lr = LR if args.lr is None else args.lr
    return pretrained


def _contradiction(args: argparse.Namespace, option: str, given: Any, own: Any) -> str:
    value, known = (f" {given}", f"with {own}") if own is not None else ("", "without it")
    advice = "Leave the option out"
    if args.resume is not None:
        advice += ", or give the weights that the run began with (--weights)"
    return f"{option}{value}: {args.weights} was trained {known}. {advice}."


def of_weights(args: argparse.Namespace) -> dict[str, Any]:
    """What --weights determines besides the options: the same when a run is resumed.

    Not the weights themselves, which are in the checkpoint, nor their path.
    """
    if args.pretrained is None:
        return {}
    preprocessing = preprocessing_of(args.pretrained).to_text()
    return {
        "preprocessing of --weights": preprocessing,
        "mean image of --weights": args.pretrained.mean_image,
    }


def preprocessing_of(network: models.AlexNet) -> models.Preprocessing:
    return network.preprocessing or models.preprocessing(network.variant, network.image_size)


def start(args: argparse.Namespace, classes: tuple[str, ...], setup: Setup) -> Start:
    """The network for `classes`, with the preprocessing of the weights.

    Sets args.head_lr, if it is not given.
    """
    pretrained = args.pretrained
    preprocessing = preprocessing_of(pretrained)
    image = evaluation.read_mean(pretrained, Path(args.weights))
    mean = preprocessing.in_bytes()[0] if image is None else image
    network = replace_last_layer(pretrained, classes)
    if args.head_lr is None:
        args.head_lr = args.lr if network is pretrained else HEAD_FACTOR * args.lr
    if args.freeze:
        freeze(network, setup)
    return Start(network, preprocessing, mean, None)


def replace_last_layer(pretrained: models.AlexNet, classes: tuple[str, ...]) -> models.AlexNet:
    """A network for `classes`, with all trained weights but those of the last layer.

    If the weights are for the same classes, the last layer is kept: then this is the
    network itself. 1000 classes without names are ImageNet's.
    """
    *_, last_bias = pretrained.parameters()
    learned = pretrained.classes
    if learned is None and len(last_bias) == len(models.class_names()):
        learned = models.class_names()
    if learned == classes:
        print(f"fine-tuning: all layers, for the same {len(classes)} classes")
        return pretrained
    size = pretrained.image_size
    network = models.alexnet(pretrained.variant, len(classes), size, **pretrained.options)
    *features, weight, bias = pretrained.state_dict().items()
    network.load_state_dict(dict(features), strict=False)
    print(
        f"fine-tuning: a new last layer, for {len(classes)} classes instead of {len(last_bias)}"
        f"{' others' if len(classes) == len(last_bias) else ''} ({weight[0]}, {bias[0]})"
    )
    return network


def freeze(network: models.AlexNet, setup: Setup) -> None:
    """Exclude the layers before the first linear one from training."""
    if setup.world is not None or setup.has_columns:
        raise ValueError(
            "--freeze needs one process and one device. Leave out --freeze, or --devices and "
            "--parallel."
        )
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            return
        if not list(layer.children()):
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
