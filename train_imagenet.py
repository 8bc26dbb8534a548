#!/usr/bin/env python3
"""Train AlexNet on ImageNet, on a part of it, or on photos of your own in folders.

    python train_imagenet.py --data imagenette --epochs 30          ten classes, downloaded once (341 MB)
    python train_imagenet.py --data shards/                         what `tinyalex prepare ILSVRC2012/ shards/` has made: the paper's run
    python train_imagenet.py --data photos/ --classes 5             photos/train/cat/1.jpg, photos/val/cat/2.jpg, ...
    python train_imagenet.py --data shards/ --resume auto           go on with the run in the output folder
    python train_imagenet.py --data shards/ --evaluate runs/a/best.safetensors runs/b/best.safetensors

The defaults are the recipe of 2012 (the paper's section is beside each). Its rates and initial weights belong to pixels from 0 to 255 minus
their mean; --init he starts from weights for pixels with a standard deviation of 1, and learns sooner from few images.
"""

import argparse
import hashlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinyalex as ta
from tinyalex import data, device, models, nn, optim, plots, serialization, training
from tinyalex.cli import predict
from tinyalex.training import script

IN_MEMORY = 2 << 30
"""Bytes of decoded pictures that are kept in memory, rather than decoded again in each epoch."""

MEASURED = 2000
"""Training pictures, evenly chosen, whose mean and colours are measured where they are too many to be kept in memory."""

PANEL = 8
"""Validation pictures that are drawn with the network's answers after each epoch."""

MEAN = "mean.safetensors"

FIXED = [
    *(
        "classes",
        "images_per_class",
        "variant",
        "image_size",
        "resize",
        "mean",
        "colour_noise",
        "noise_until",
        "together",
        "divide",
    ),
    *("init", "batch_size", "lr", "weight_decay", "schedule", "seed"),
]
"""What must stay the same when a run is resumed; the pictures must too."""


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--data",
        required=True,
        metavar="PATH",
        help="class folders in train/ and val/, ILSVRC2012's tars, shards; or imagenette",
    )
    p.add_argument("--classes", type=script.positive, metavar="N", help="the first N classes only")
    p.add_argument(
        "--images-per-class",
        type=script.positive,
        metavar="M",
        help="the first M training images of each class only",
    )
    p.add_argument(
        "--variant", choices=models.VARIANTS, default="paper", help="which AlexNet (default: paper)"
    )
    p.add_argument(
        "--image-size",
        type=script.positive,
        metavar="S",
        help="pixels of the squares it sees (default: the variant's, 224 or 227)",
    )
    p.add_argument(
        "--resize",
        type=script.positive,
        metavar="R",
        help="shorter side the images get first (default: 256/224 of that; section 2)",
    )
    p.add_argument(
        "--init",
        choices=["own", "he"],
        default="own",
        help="initial weights: the variant's own (default; section 5), or He's",
    )
    p.add_argument("--epochs", type=script.positive, default=90, help="default: 90 (section 5)")
    p.add_argument(
        "--batch-size", type=script.positive, default=128, help="default: 128 (section 5)"
    )
    p.add_argument(
        "--lr",
        type=float,
        default=0.01,
        help="of the weights; biases have twice that (default: 0.01, section 5)",
    )
    p.add_argument(
        "--weight-decay",
        type=float,
        default=0.0005,
        help="of the weights (default: 0.0005, section 5)",
    )
    p.add_argument(
        "--schedule",
        choices=optim.lr_scheduler.NAMES,
        default="plateau",
        help=(
            "of the rate: plateau (default; section 5), a tenth when the validation error has stopped falling; step, a tenth for the last "
            "quarter of the epochs; dexp, the discrete exponential of cuda-convnet2"
        ),
    )
    p.add_argument(
        "--mean",
        choices=["image", "colour"],
        default="image",
        help="what is subtracted (default: image; section 2)",
    )
    p.add_argument(
        "--colour-noise",
        choices=["own", "imagenet", "none"],
        default="own",
        help="along the principal colours (section 4.1) of these training images (default) or of all of ImageNet, or none",
    )
    p.add_argument(
        "--noise-until",
        type=script.positive,
        metavar="E",
        help="train without colour noise after epoch E (2012: from 67 of 91)",
    )
    p.add_argument(
        "--together",
        type=script.positive,
        default=1,
        metavar="N",
        help="move and mirror N images alike (the 2012 code: 32)",
    )
    p.add_argument(
        "--divide",
        type=float,
        default=1.0,
        metavar="D",
        help="pixels by this while noise is added to them (2012: 1.1)",
    )
    p.add_argument(
        "--workers",
        type=script.positive,
        metavar="N",
        help="threads that decode (default: one a core)",
    )
    script.add_running(p, "runs/imagenet")
    p.add_argument(
        "--evaluate",
        nargs="+",
        metavar="FILE",
        help="do not train: test these weights, and the mean of their answers",
    )
    p.add_argument(
        "--views",
        type=int,
        choices=[1, 10],
        help="test the middle of each image, or ten views of it (default: one, then the other)",
    )
    args = p.parse_args()
    size = models.preprocessing(args.variant, args.image_size)
    args.image_size, args.resize = size.size, args.resize or size.resize
    return args


def find(args: argparse.Namespace) -> data.Source:
    folder = (
        data.imagenette()
        if args.data == "imagenette" and not Path(args.data).exists()
        else args.data
    )
    return data.find_images(folder).subset(args.classes, args.images_per_class)


class Colours(NamedTuple):
    """Of the training images: what is subtracted, (3, R, R) or (3,); the axes of colour noise, (3, 3); the deviation of a pixel."""

    mean: np.ndarray
    axes: np.ndarray
    deviation: float


def measure(args: argparse.Namespace, source: data.Source, train: Any) -> Colours:
    """Of the pictures in memory; else of some of them, and where `tinyalex prepare` has looked at all, colours are as it says."""
    some = np.unique(np.linspace(0, len(train) - 1, MEASURED).astype(np.int64))
    images = train.images if isinstance(train, data.Dataset) else train.in_memory(some).images
    image, axes = data.mean_image(images), data.colour_axes(images[:: -(-len(images) // MEASURED)])
    colour = image.mean(axis=(1, 2))
    if source.note is not None:
        colour = np.array(source.note["mean"], np.float32)
        axes = data.principal_axes(np.array(source.note["covariance"]))
    # The squares of the axes' lengths add up to the variances of the three channels.
    return Colours(
        image if args.mean == "image" else colour, axes, float(np.sqrt((axes**2).sum() / 3))
    )


class Views:
    """Images (N, 3, R, R) as a network wants them when it is tested: their middle, or with `ten` their ten views (section 4.1)."""

    def __init__(
        self, preprocessing: models.Preprocessing, mean: np.ndarray | None, ten: bool
    ) -> None:
        colour, deviation = preprocessing.in_bytes()
        self.cut = (data.TenViews if ten else data.Normalize)(
            colour if mean is None else mean, size=preprocessing.size
        )
        self.deviation, self.reverse = deviation[:, None, None], preprocessing.channels == "BGR"

    def __call__(self, images: Any, *, epoch: int = 0, first: int = 0) -> Any:
        x = self.cut(images)
        x /= device.to(self.deviation, device.of(x))
        return x[..., ::-1, :, :] if self.reverse else x


def digest(mean: np.ndarray) -> str:
    return hashlib.sha256(mean.tobytes()).hexdigest()


def mean_of(model: models.AlexNet, weights: Path) -> np.ndarray | None:
    """The mean image that a network was trained with, which lies beside its weights. ValueError if it does not."""
    if model.mean_image is None:
        return None
    file = weights.with_name(MEAN)
    mean = serialization.load(file)["mean"] if file.exists() else None
    if mean is None or digest(mean) != model.mean_image:
        raise ValueError(
            f"{weights} was trained with a mean image, and {file} is not it.\nCopy {MEAN} from its run beside it."
        )
    return mean


def report(
    files: list[str], source: data.Source, args: argparse.Namespace, place: str
) -> list[data.StoredImages]:
    """How good the weights in each file are on the validation images, and all of them together: the mean of their answers.

    Returns the pictures as each was given them, which know which of them could not be read.
    """
    given = []
    for ten in (False, True) if args.views is None else (args.views == 10,):
        name, said = "ten views" if ten else "one view", []
        for file in files:
            model = predict.network(file).to(place)
            check_classes(file, model, source)
            preprocessing = model.preprocessing or models.preprocessing(
                model.variant, model.image_size
            )
            pictures = data.StoredImages(
                source.val,
                source.classes,
                preprocessing.resize,
                args.workers,
                squash=preprocessing.squash,
            )
            views = Views(preprocessing, mean_of(model, Path(file)), ten)
            answer, labels = training.answers(
                model, data.Loader(pictures, 16 if ten else 128, transform=views, device=place)
            )
            given.append(pictures)
            said.append(answer)
            print(f"{name:<9}  {file}: {training.score(answer, labels)}", flush=True)
        if len(files) > 1:
            print(
                f"{name:<9}  all {len(files)}: {training.score(training.mean_answer(said), labels)}",
                flush=True,
            )
    return given


def check_classes(file: str, model: models.AlexNet, source: data.Source) -> None:
    """ValueError where a network has learned other classes than those of the pictures."""
    *_, last = model.parameters()
    own, theirs = model.classes, readable_names(source.classes)
    if len(last) != len(theirs) or own not in (None, theirs):
        named = "" if own is None else f" ({', '.join(own[:5])}{', ...' if len(own) > 5 else ''})"
        raise ValueError(
            f"{file} has learned {len(last)} classes{named}, the pictures are of {len(theirs)} "
            f"({', '.join(theirs[:5])}{', ...' if len(theirs) > 5 else ''}).\nGive pictures of the same classes."
        )


def name_unreadable(given: Iterable[data.StoredImages]) -> None:
    """A line for each picture that was left out, and their number."""
    reasons = {
        pictures.records[row].name: reason
        for pictures in given
        for row, reason in pictures.unreadable.items()
    }
    for name, reason in reasons.items():
        print(f"left out: {name}: {reason}")
    if reasons:
        print(f"{len(reasons)} pictures could not be read, and were left out")


def readable_names(classes: tuple[str, ...]) -> tuple[str, ...]:
    """ImageNet's wnids become the names of their classes; other names stay."""
    known = models.names_by_wnid()
    return tuple(known.get(name, name) for name in classes)


def kept(halves: list[data.StoredImages]) -> list[Any]:
    """The pictures, decoded once and for all if they are few."""
    if sum(3 * len(half) * half.size**2 for half in halves) > IN_MEMORY:
        return halves
    print(f"{sum(map(len, halves))} pictures are read, and kept in memory", flush=True)
    return [half.in_memory() for half in halves]


def train(
    args: argparse.Namespace, source: data.Source, halves: list[data.StoredImages], place: str
) -> None:
    output = Path(args.output)
    script.open_output(output, args.resume)

    fit, valid = kept(halves)
    colours = measure(args, source, fit)
    # Weights that are made for pixels from 0 to 255, or for a deviation of 1.
    scale = (
        1.0
        if args.init == "own" and args.variant not in ("torchvision", "keras")
        else 1 / (colours.deviation or 1.0)
    )
    noise = {"own": colours.axes, "imagenet": data.IMAGENET_COLOURS, "none": None}[
        args.colour_noise
    ]
    augment = data.Augment(
        colours.mean,
        size=args.image_size,
        scale=scale,
        colours=noise,
        until=args.noise_until,
        divide=args.divide,
        together=args.together,
    )

    model = models.alexnet(args.variant, len(source.classes), args.image_size)
    if args.init == "he":
        nn.init.kaiming_(model)
    colour = tuple(map(float, colours.mean.reshape(3, -1).mean(axis=1)))
    model.preprocessing = models.Preprocessing(
        args.image_size, args.resize, mean=colour, std=(1 / scale,) * 3
    )
    model.mean_image = digest(colours.mean) if args.mean == "image" else None
    model.classes = readable_names(source.classes)
    print(model.to(place).summary((3, args.image_size, args.image_size)))
    print(
        f"{len(source.train)} images to train on, {len(source.val)} to validate, {len(source.classes)} classes, on {place}"
    )

    seen = Views(model.preprocessing, colours.mean, ten=False)
    optimizer = optim.SGD(
        optim.paper_groups(model, args.lr, args.weight_decay), lr=args.lr, momentum=0.9
    )  # section 5

    def draw(log: list[training.Epoch]) -> None:
        plots.draw_curves(log, output / "curves.png")
        plots.draw_filters(next(iter(model.parameters())).numpy(), output / "filters.png")
        draw_answers(model, valid, seen, output / "answers.png")

    trainer = training.Trainer(
        model,
        optimizer,
        optim.lr_scheduler.named(args.schedule, optimizer, args.epochs),
        data.Loader(fit, args.batch_size, shuffle=True, transform=augment, device=place),
        data.Loader(valid, 128, transform=seen, device=place),
        epochs=args.epochs,
        output=output,
        metadata=model.metadata(),
        patience=args.patience,
        options={name: getattr(args, name) for name in FIXED} | {"pictures": source.digest()},
        after_epoch=draw,
    )
    script.go_on(trainer, args.resume)
    if (
        args.mean == "image"
    ):  # only now: a run that cannot be resumed with these options keeps its own
        serialization.save(output / MEAN, {"mean": colours.mean})
    trainer.fit()


def draw_answers(model: nn.Module, valid: Any, seen: Views, path: Path) -> None:
    """Some validation images, evenly chosen, and the five likeliest classes of each."""
    rows = np.unique(np.linspace(0, len(valid) - 1, PANEL).astype(np.int64))
    some = valid[rows] if isinstance(valid, data.Dataset) else valid.in_memory(rows)
    place = device.of(next(iter(model.parameters())).data)
    said, labels = training.answers(model, data.Loader(some, PANEL, transform=seen, device=place))
    likeliest = np.argsort(-said, axis=1, kind="stable")[:, :5]
    answers = [
        [(model.classes[i], float(np.exp(one[i]))) for i in best]
        for one, best in zip(said, likeliest, strict=True)
    ]
    plots.draw_predictions(
        some.images.transpose(0, 2, 3, 1),
        answers,
        path,
        truths=[model.classes[label] for label in labels],
    )


def main() -> int:
    args = arguments()
    began = time.perf_counter()
    place = device.check(args.device)
    if args.tf32 and place != "cpu":
        device.allow_tf32()
    ta.manual_seed(args.seed)
    source = find(args)
    if args.evaluate:
        name_unreadable(report(args.evaluate, source, args, place))
        return 0
    halves = [
        data.StoredImages(half, source.classes, args.resize, args.workers)
        for half in (source.train, source.val)
    ]
    try:
        train(args, source, halves, place)
    except training.Interrupted:
        name_unreadable(halves)
        print(
            f"\nStopped, and saved in {args.output}. To go on: the same command with --resume auto"
        )
        return 130
    name_unreadable(halves)
    print(
        f"pictures: {args.output}/curves.png, filters.png, answers.png    weights: {args.output}/model.safetensors, best.safetensors"
    )
    report([f"{args.output}/best.safetensors"], source, args, place)
    print(f"time {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    script.run(main)
