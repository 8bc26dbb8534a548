#!/usr/bin/env python3
"""Train a convolutional network on 32 x 32 images.

    python train_cifar.py --data shapes                  drawn objects, no files needed, about a minute
    python train_cifar.py                                CIFAR-10 (downloaded once), cuda-convnet's quick net
    python train_cifar.py --model alexnet                AlexNet fitted to 32 x 32
    python train_cifar.py --resume auto                  go on with the run in the output folder

One training image in ten is set aside for validation: they steer --schedule plateau and --patience, and pick best.safetensors. The
test set is looked at once, at the end.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

import tinyalex as ta
from tinyalex import data, device, models, optim, plots, serialization, training
from tinyalex.training import script

# The defaults of each network. Rates and initial weights belong to pixels with the mean image taken out and a standard deviation near 1.
RECIPES: dict[str, dict[str, Any]] = {
    "quick": {
        "epochs": 8,
        "batch_size": 64,  # half of cuda-convnet's 128: twice the steps for a run this short
        "lr": 0.01,
        "weight_decay": 0.004,  # cuda-convnet's, for its convolutions
        "augment": "flip",  # cuda-convnet's own run of this net used no augmentation at all
    },
    "alexnet": {
        "epochs": 10,
        "batch_size": 128,  # section 5
        "lr": 0.01,  # section 5
        "weight_decay": 0.0005,  # section 5
        "augment": "crop+flip",  # section 4.1
    },
}

FIXED = (
    "data",
    "model",
    "batch_size",
    "lr",
    "weight_decay",
    "augment",
    "schedule",
    "subset",
    "seed",
)
"""What must stay the same when a run is resumed."""


def by_model(name: str) -> str:
    """What --help says of a default that depends on the model."""
    values = {model: recipe[name] for model, recipe in RECIPES.items()}
    same = len(set(values.values())) == 1
    return f"default: {values['quick'] if same else ', '.join(f'{value} for {model}' for model, value in values.items())}"


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--data",
        default="cifar10",
        help=(
            "cifar10 (default; downloaded once), shapes (drawn, no files), or a path: CIFAR-10's archive, its "
            "folder, or train/ and test/ with folders of images"
        ),
    )
    p.add_argument("--model", choices=sorted(RECIPES), default="quick", help="default: quick")
    p.add_argument("--epochs", type=script.positive, help=by_model("epochs"))
    p.add_argument("--batch-size", type=script.positive, help=by_model("batch_size"))
    p.add_argument(
        "--lr",
        type=float,
        help=f"learning rate of the weights; biases have twice that ({by_model('lr')})",
    )
    p.add_argument("--weight-decay", type=float, help=by_model("weight_decay"))
    p.add_argument("--augment", choices=["none", "flip", "crop+flip"], help=by_model("augment"))
    p.add_argument(
        "--schedule",
        choices=optim.lr_scheduler.NAMES,
        default="step",
        help=(
            "of the rate: step (default), a tenth for the last quarter of the epochs; plateau, a tenth when the "
            "validation error stops falling; dexp, cuda-convnet's discrete exponential"
        ),
    )
    p.add_argument(
        "--subset", type=script.positive, metavar="N", help="use the first N training images only"
    )
    script.add_running(p, "runs/cifar")
    args = p.parse_args()
    for name, value in RECIPES[args.model].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def load_data(args: argparse.Namespace) -> tuple[data.Dataset, data.Dataset, data.Dataset]:
    """The images to train on, to validate on (a tenth of the training set), and to test on."""
    if args.data == "shapes":
        train, test = data.shapes()
    else:
        train, test = data.cifar10(None if args.data == "cifar10" else args.data)
    train = train[: args.subset]
    shuffled = device.generator("split", 0, seed=0).permutation(
        len(train)
    )  # the same split for every --seed
    held_out = np.isin(np.arange(len(train)), shuffled[: len(train) // 10])
    if not held_out.any():
        raise ValueError(
            f"{len(train)} training images are too few: one in ten is set aside for validation. Use 10 or more."
        )
    return train[~held_out], train[held_out], test


def main() -> int:
    args = arguments()
    began = time.perf_counter()
    place = device.check(args.device)
    if args.tf32 and place != "cpu":
        device.allow_tf32()
    ta.manual_seed(args.seed)
    output = Path(args.output)
    script.open_output(output, args.resume)

    train, valid, test = load_data(args)
    mean = data.mean_image(train.images)
    scale = float(1 / train.images.std())
    normalize = data.Normalize(mean, scale=scale)
    augment = (
        normalize
        if args.augment == "none"
        else data.Augment(mean, scale=scale, padding=4 if "crop" in args.augment else 0)
    )

    model = models.cifar(args.model, num_classes=len(train.classes)).to(place)
    print(model.summary((3, 32, 32)))
    print(
        f"{len(train)} images to train on, {len(valid)} to validate, {len(test)} to test, on {place}"
    )
    optimizer = optim.SGD(
        optim.paper_groups(model, args.lr, args.weight_decay), lr=args.lr, momentum=0.9
    )
    trainer = training.Trainer(
        model,
        optimizer,
        optim.lr_scheduler.named(args.schedule, optimizer, args.epochs),
        data.Loader(train, args.batch_size, shuffle=True, transform=augment, device=place),
        data.Loader(valid, 256, transform=normalize, device=place),
        epochs=args.epochs,
        output=output,
        metadata={"variant": f"cifar-{args.model}"},
        patience=args.patience,
        options={name: getattr(args, name) for name in FIXED},
        after_epoch=lambda log: plots.draw_curves(log, output / "curves.png"),
    )
    script.go_on(trainer, args.resume)
    # Only now: a run that cannot be resumed with these options keeps its own.
    serialization.save(
        output / "preprocessing.safetensors", {"mean": mean, "scale": np.float32(scale)}
    )
    try:
        trainer.fit()
    except training.Interrupted:
        print(
            f"\nStopped, and saved in {trainer.checkpoint}. To go on: the same command with --resume auto"
        )
        return 130

    result = training.evaluate(model, data.Loader(test, 256, transform=normalize, device=place))
    plots.draw_filters(model.conv1.weight.numpy(), output / "filters.png")
    plots.draw_confusion(result.confusion, test.classes, output / "confusion.png")
    print(
        f"pictures: {output}/curves.png, filters.png, confusion.png    weights: {output}/model.safetensors, best.safetensors"
    )
    print(f"time {time.perf_counter() - began:.0f} s")
    print(f"test error {100 * result.error:.2f} %")
    return 0


if __name__ == "__main__":
    script.run(main)
