#!/usr/bin/env python3
"""Train a convolutional network on 32 x 32 images.

    python train_cifar.py --data shapes --output runs/shapes
        synthetic images, no files; a minute
    python train_cifar.py
        CIFAR-10 and cuda-convnet's quick net, in runs/cifar-quick; three minutes on two
        cores
    python train_cifar.py --model alexnet
        AlexNet for 32 x 32 pixels, in runs/cifar-alexnet
    python train_cifar.py --model 18pct
        a recipe of cuda-convnet (docs/cifar.md)
    python train_cifar.py --resume auto
        resume the run in runs/cifar-quick
    mpirun -n 2 python train_cifar.py --parallel data
        two processes, each with half of each batch (docs/scaling.md)

One training image in ten is held out for validation, on which --schedule plateau,
--patience and best.safetensors are based; with --no-validation, none is. The test set
is used once, at the end.
"""

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex import data, device, models, optim, parallel, plots, training
from tinyalex.cli import resuming, training_scripts
from tinyalex.cli.options import file_path, number_from_zero, positive_integer, positive_number
from tinyalex.models import cifar_weights
from tinyalex.training.plateau import COMMON_REMEDIES

RECIPES: dict[str, dict[str, Any]] = {
    "quick": {
        "epochs": 8,
        "batch_size": 64,  # half of cuda-convnet's 128: more steps in a run this short
        "lr": 0.01,
        "weight_decay": 0.004,  # cuda-convnet's, for its convolutions
        "augment": "flip",  # cuda-convnet used no augmentation for this net
        "stages": "3,1",
    },
    "alexnet": {
        "epochs": 10,
        "batch_size": 128,  # section 5
        "lr": 0.01,  # section 5
        "weight_decay": 0.0005,  # section 5
        "augment": "crop+flip",  # section 4.1
        "stages": "3,1",
    },
    # cuda-convnet's, from its parameter files and the notes in them.
    "18pct": {
        "epochs": 140,
        "batch_size": 128,
        "lr": 0.001,
        "weight_decay": {"conv1": 0.004, "conv2": 0.004, "conv3": 0.004, "fc": 1.0},
        "augment": "none",
        "stages": "120,10,10",
        "scale": 1.0,
    },
    "13pct": {
        "epochs": 160,
        "batch_size": 128,
        "lr": 0.001,
        "weight_decay": {"local3": 0.004, "local4": 0.004, "fc": 0.004},
        "augment": "crop+flip",
        "stages": "140,10,10",
        "scale": 1.0,
        "crop": 24,
        "lrn": False,
    },
    "11pct": {
        "epochs": 520,
        "batch_size": 128,
        "lr": 0.001,
        "weight_decay": {"local3": 0.004, "local4": 0.004, "fc": 0.01},
        "augment": "crop+flip",
        "stages": "500,10,10",
        "scale": 1.0,
        "crop": 24,
        "lrn": True,
    },
}
"""The defaults of each network's options. weight_decay may be that of each layer."""

NOT_OPTIONS: dict[str, Any] = {"scale": None, "crop": None}
"""What a recipe may determine besides the options.

scale  of pixels minus the mean image. None: a standard deviation of 1
crop   S: the network's images are crops of S x S pixels; in testing, the predictions
       for ten views are averaged
"""

# fmt: off
FIXED = (
    "model", "column_lrn", "batch_size", "lr", "weight_decay", "augment", "schedule", "stages",
    "subset", "seed", "amp", "no_validation", "lrn",
)
# fmt: on
"""Options that must stay the same when a run is resumed; the images must too."""


def default(name: str) -> str:
    """The defaults of an option for each model, for --help."""
    values = {model: as_text(recipe[name]) for model, recipe in RECIPES.items()}
    if len(set(values.values())) == 1:
        return f"default: {values['quick']}"
    return "default: " + ", ".join(f"{value} for {model}" for model, value in values.items())


def as_text(value: Any) -> str:
    """A default, for --help."""
    return "that of each layer" if isinstance(value, dict) else str(value)


def stages(text: str) -> str:
    return ",".join(str(positive_integer(epochs)) for epochs in text.split(","))


def lengths(stages: str) -> list[int]:
    return list(map(int, stages.split(",")))


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--data",
        default="cifar10",
        type=file_path,
        help="cifar10 (default; downloaded once), shapes (synthetic, no files), or a path: "
        "CIFAR-10's archive, its folder, or train/ and test/ with folders of images",
    )
    p.add_argument("--model", choices=sorted(RECIPES), default="quick", help="default: quick")
    p.add_argument("--epochs", type=positive_integer, help=default("epochs"))
    p.add_argument("--batch-size", type=positive_integer, help=default("batch_size"))
    p.add_argument(
        "--lr",
        type=positive_number,
        help=f"learning rate of weights; twice as high for biases ({default('lr')})",
    )
    p.add_argument("--weight-decay", type=number_from_zero, help=default("weight_decay"))
    p.add_argument("--augment", choices=["none", "flip", "crop+flip"], help=default("augment"))
    p.add_argument(
        "--schedule",
        choices=optim.lr_scheduler.NAMES,
        default="step",
        help="learning rate schedule: step (default) divides it by 10 after each of the --stages; "
        "plateau divides it by 10 when the validation error stops falling; dexp is "
        "cuda-convnet's discrete exponential",
    )
    p.add_argument(
        "--stages",
        type=stages,
        metavar="A,B,...",
        help="numbers of epochs at each learning rate of --schedule step; with --epochs, their "
        f"ratios ({default('stages')})",
    )
    p.add_argument(
        "--subset", type=positive_integer, metavar="N", help="use the first N training images only"
    )
    p.add_argument(
        "--no-validation",
        action="store_true",
        default=None,
        help="train on all training images; best.safetensors is then the latest",
    )
    p.add_argument(
        "--lrn",
        action=argparse.BooleanOptionalAction,
        help="for 13pct and 11pct: LRN or none, with no other difference (default: 11pct has LRN)",
    )
    training_scripts.add_run_options(p, "runs/cifar-MODEL")
    args = resuming.parse_arguments(p, FIXED, lambda args: f"runs/cifar-{args.model}")
    if args.stages is not None and args.epochs is None:
        args.epochs = sum(lengths(args.stages))
    for name, value in (NOT_OPTIONS | RECIPES[args.model]).items():
        if getattr(args, name, None) is None:
            setattr(args, name, value)
    return args


def load_data(args: argparse.Namespace) -> tuple[data.Dataset, data.Dataset, data.Dataset]:
    """The images for training, validation (a tenth of the training set, or none) and
    testing."""
    if args.data == "shapes":
        train, test = data.shapes()
    else:
        source = data.cifar10_source(None if args.data == "cifar10" else args.data)
        train, test = data.cifar10(source)
        print(f"images: {source}")
    train = train[: args.subset]
    if args.no_validation:
        return train, train[:0], test
    # The same split for every --seed.
    shuffled = device.generator("split", 0, seed=0).permutation(len(train))
    held_out = np.isin(np.arange(len(train)), shuffled[: len(train) // 10])
    if not held_out.any():
        raise ValueError(too_few(len(train)))
    return train[~held_out], train[held_out], test


def too_few(images: int) -> str:
    return (
        f"{images} training images are too few: one in ten is held out for validation. "
        "Use 10 or more."
    )


def main() -> int:
    args = arguments()
    setup = training_scripts.Setup(args)
    args.column_lrn = setup.has_columns or args.column_lrn
    if args.column_lrn and args.model != "alexnet":
        raise ValueError(f"--model {args.model} has no columns. Use --model alexnet.")
    if args.crop is not None and args.augment == "flip":
        raise ValueError(
            f"--model {args.model} is trained with crops of {args.crop} x {args.crop} pixels. "
            "Use --augment crop+flip, or none for the centre."
        )
    if args.no_validation and (args.patience or args.schedule == "plateau"):
        raise ValueError(
            "--patience and --schedule plateau need a validation error. Leave out --no-validation."
        )
    if args.subset is not None and args.subset < 10 and not args.no_validation:
        raise ValueError(too_few(args.subset))
    with training_scripts.output_folder(args, setup) as output:
        return train_and_test(args, setup, output)


def train_and_test(args: argparse.Namespace, setup: training_scripts.Setup, output: Path) -> int:
    began = time.perf_counter()
    with parallel.main_first(setup.world):
        train, valid, test = load_data(args)
    data_digest = " ".join(part.digest()[:16] for part in (train, valid, test))
    mean = data.mean_image(train.images)
    scale = float(1 / train.images.std()) if args.scale is None else args.scale
    crop, size = args.crop, args.crop or 32
    normalize = augment = data.Normalize(mean, scale, crop)
    if args.augment != "none":
        padding = 4 if args.augment == "crop+flip" and crop is None else 0
        augment = data.Augment(mean, scale=scale, size=crop, padding=padding)

    options = {"column_lrn": "1"} if args.column_lrn else {}
    options |= {} if args.lrn is None else {"lrn": str(int(args.lrn))}
    network = models.cifar(
        args.model,
        len(train.classes),
        column_lrn=bool(args.column_lrn),
        image_size=size,
        lrn=args.lrn,
    )
    print(network.summary((3, size, size)))
    print(f"{len(train)} training, {len(valid)} validation and {len(test)} test images, {setup}")
    scheme = setup.distribute(network)
    del network  # this process may need a part of it only
    model = scheme.model
    loader = partial(data.Loader, device=scheme.device, shard=scheme.shard)
    optimizer = optim.SGD(
        optim.paper_groups(model, args.lr, args.weight_decay), lr=args.lr, momentum=0.9
    )

    def draw_curves(log: list[training.Epoch]) -> None:
        if scheme.is_main:
            plots.draw_curves(log, output / "curves.png")

    trainer = training.Trainer(
        model,
        optimizer,
        optim.lr_scheduler.named(
            args.schedule, optimizer, args.epochs, stages=lengths(args.stages)
        ),
        loader(train, args.batch_size, shuffle=True, transform=augment),
        loader(valid, 256, transform=normalize) if len(valid) else None,
        output=output,
        metadata=cifar_weights.metadata(args.model, train.classes, mean, scale, crop, **options),
        scheme=scheme,
        **training_scripts.trainer_options(args, FIXED, data_digest),
        remedies=COMMON_REMEDIES,
        after_epoch=draw_curves,
    )
    resuming.resume(trainer, args.resume)
    try:
        trainer.fit()
    except training.Interrupted:
        print(training_scripts.how_to_resume(args, setup))
        return 130

    result = scheme.evaluate(loader(test, 256, transform=normalize))
    if crop is not None:
        print(f"test error {100 * result.error:.2f} % (centre crop; below, ten views)")
        views = data.TenViews(mean, scale, size=crop)
        result = scheme.evaluate(loader(test, 32, transform=views))
    weights = model.state_dict()
    if isinstance(scheme, parallel.DataParallel):
        print(scheme.describe_ranks())
    if not scheme.is_main:
        return 0
    plots.draw_filters(weights["conv1.weight"], output / "filters.png")
    plots.draw_confusion(result.confusion, test.classes, output / "confusion.png")
    print(
        f"figures: {output}/curves.png, filters.png, confusion.png    "
        f"weights: {output}/model.safetensors, best.safetensors"
    )
    print(f"time {time.perf_counter() - began:.0f} s")
    print(f"test error {100 * result.error:.2f} %")
    print(training_scripts.next_steps(args, setup, trainer, result))
    return 0


if __name__ == "__main__":
    training_scripts.run(main)
