#!/usr/bin/env python3
"""Train AlexNet on ImageNet, a subset of it, or your own photos in folders.

    python train_imagenet.py --data imagenette --epochs 30
        ten classes, downloaded once (341 MB)
    python train_imagenet.py --data shards/
        the paper's run, on the output of `tinyalex prepare ILSVRC2012/ shards/`
    python train_imagenet.py --data photos/ --classes 5
        photos/train/cat/1.jpg, photos/val/cat/2.jpg, ...
    python train_imagenet.py --data shards/ --resume auto
        resume the run in the output folder
    python train_imagenet.py --data shards/ --evaluate a.safetensors b.safetensors
        evaluate weights on the validation images
    python train_imagenet.py --data shards/ --devices cuda:0,cuda:1
        each of the network's two columns on a GPU, as in the paper
    mpirun -n 4 python train_imagenet.py --data shards/ --parallel hybrid
        several processes, each with a GPU (docs/scaling.md)

The defaults are those of the paper, whose sections are in parentheses. Its learning
rates and initial weights are for pixels from 0 to 255 minus their mean. --init he
divides them by their standard deviation, and learns faster from few images.
"""

import argparse
import hashlib
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyalex import data, device, models, nn, optim, parallel, plots, serialization, training
from tinyalex.cli import training_scripts
from tinyalex.cli.options import file_path, number_from_zero, positive_integer, positive_number
from tinyalex.data.text_files import printable
from tinyalex.models.image_preprocessing import MAX_STORED_SIZE
from tinyalex.models.prediction import load_network
from tinyalex.models.weights import DOWNLOADS

MAX_IN_MEMORY_BYTES = 2 << 30
"""If the decoded images are larger, each epoch decodes them again."""

MEASURED_IMAGES = 2000
"""The number of evenly spaced training images for the colour axes, and for the mean if
not all images are in memory."""

FIGURE_IMAGES = 8
"""Validation images in the figure of predictions after each epoch."""

MEAN = "mean.safetensors"

# fmt: off
FIXED = (
    "classes", "images_per_class", "variant", "column_lrn", "image_size", "resize", "mean",
    "colour_noise", "noise_until", "together", "divide", "init", "batch_size", "lr",
    "weight_decay", "schedule", "seed",
)
# fmt: on
"""Options that must stay the same when a run is resumed; the images must too."""


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--data",
        required=True,
        type=file_path,
        metavar="PATH",
        help="a folder with class folders in train/ and val/, ILSVRC2012's tar files or shards; "
        "or imagenette",
    )
    p.add_argument("--classes", type=positive_integer, metavar="N", help="the first N classes only")
    p.add_argument(
        "--images-per-class",
        type=positive_integer,
        metavar="M",
        help="the first M training images of each class only",
    )
    p.add_argument(
        "--variant",
        choices=models.VARIANTS,
        default="paper",
        help="AlexNet's variant (default: paper)",
    )
    p.add_argument(
        "--image-size",
        type=positive_integer,
        metavar="S",
        help="side of the network's input, in pixels (default: the variant's, 224 or 227)",
    )
    p.add_argument(
        "--resize",
        type=positive_integer,
        metavar="R",
        help="shorter side of the images before cropping (default: 256/224 of S; section 2)",
    )
    p.add_argument(
        "--init",
        choices=["own", "he"],
        default="own",
        help="initial weights: the variant's own (default; section 5), or He's",
    )
    p.add_argument("--epochs", type=positive_integer, default=90, help="default: 90 (section 5)")
    p.add_argument(
        "--batch-size", type=positive_integer, default=128, help="default: 128 (section 5)"
    )
    p.add_argument(
        "--lr",
        type=positive_number,
        default=0.01,
        help="learning rate of weights; twice as high for biases (default: 0.01, section 5)",
    )
    p.add_argument(
        "--weight-decay",
        type=number_from_zero,
        default=0.0005,
        help="of the weights (default: 0.0005, section 5)",
    )
    p.add_argument(
        "--schedule",
        choices=optim.lr_scheduler.NAMES,
        default="plateau",
        help="learning rate schedule: plateau (default; section 5) divides it by 10 when the "
        "validation error stops falling; step divides it by 10 for the last quarter of the "
        "epochs; dexp is the discrete exponential of cuda-convnet2",
    )
    p.add_argument(
        "--mean",
        choices=["image", "colour"],
        default="image",
        help="subtract the mean image (default; section 2) or the mean colour",
    )
    p.add_argument(
        "--colour-noise",
        choices=["own", "imagenet", "none"],
        default="own",
        help="shift colours along the principal components (section 4.1) of these training "
        "images (own, default) or of ImageNet, or not",
    )
    p.add_argument(
        "--noise-until",
        type=positive_integer,
        metavar="E",
        help="no colour noise after epoch E (2012: none from 67 of 91)",
    )
    p.add_argument(
        "--together",
        type=positive_integer,
        default=1,
        metavar="N",
        help="crop and mirror groups of N images alike (the 2012 code: 32)",
    )
    p.add_argument(
        "--divide",
        type=positive_number,
        default=1.0,
        metavar="D",
        help="divide pixels by D in epochs with colour noise (2012: 1.1)",
    )
    p.add_argument(
        "--workers",
        type=positive_integer,
        metavar="N",
        help="threads that decode images (default: one for each core of the process)",
    )
    training_scripts.add_run_options(p, "runs/imagenet")
    p.add_argument(
        "--evaluate",
        nargs="+",
        type=file_path,
        metavar="FILE",
        help="do not train: evaluate these weights, and the mean of their predictions",
    )
    p.add_argument(
        "--views",
        type=int,
        choices=[1, 10],
        help="evaluate on the centre of each image, or on ten views (default: both)",
    )
    args = p.parse_args()
    if args.image_size is not None and args.image_size > MAX_STORED_SIZE:
        p.error(f"argument --image-size: expected at most {MAX_STORED_SIZE}, got {args.image_size}")
    preprocessing = models.preprocessing(args.variant, args.image_size)
    if args.image_size is not None:
        with nn.init.skipped():
            models.alexnet(args.variant, 1, args.image_size)  # raises for too small a size
    args.image_size, args.resize = preprocessing.size, args.resize or preprocessing.resize
    models.Preprocessing(args.image_size, args.resize)  # raises if they do not fit
    return args


def find_images(args: argparse.Namespace) -> data.Source:
    download = args.data == "imagenette" and not Path(args.data).exists()
    folder = data.imagenette() if download else args.data
    return data.find_images(folder).subset(args.classes, args.images_per_class)


class Colours(NamedTuple):
    """Statistics of the training images: the mean to subtract, (3, R, R) or (3,); the
    axes of colour noise, (3, 3); the standard deviation of a pixel."""

    mean: np.ndarray
    axes: np.ndarray
    deviation: float


def measure(args: argparse.Namespace, source: data.Source, train: Any) -> Colours:
    """Compute the mean of all images if they are in memory, otherwise of a sample.

    Colour statistics from `tinyalex prepare`, which are of all images, are preferred.
    """
    if isinstance(train, data.Dataset):
        images = train.images
    else:
        rows = np.unique(np.linspace(0, len(train) - 1, MEASURED_IMAGES).astype(np.int64))
        images = train.in_memory(rows).images
    mean_image = data.mean_image(images)
    axes = data.colour_axes(images[:: -(-len(images) // MEASURED_IMAGES)])
    colour = mean_image.mean(axis=(1, 2))
    if source.note is not None:
        colour = np.array(source.note["mean"], np.float32)
        axes = data.principal_axes(np.array(source.note["covariance"]))
    # The squared lengths of the axes add up to the variances of the three channels.
    deviation = float(np.sqrt((axes**2).sum() / 3))
    return Colours(mean_image if args.mean == "image" else colour, axes, deviation)


class Views:
    """Crops images (N, 3, R, R) for testing: the centre, or ten views (section 4.1)."""

    def __init__(
        self, preprocessing: models.Preprocessing, mean: np.ndarray | None, ten: bool
    ) -> None:
        colour, deviation = preprocessing.in_bytes()
        crop = data.TenViews if ten else data.Normalize
        self.crop = crop(colour if mean is None else mean, size=preprocessing.size)
        self.deviation = deviation[:, None, None]
        self.reverse_channels = preprocessing.channels == "BGR"

    def __call__(self, images: Any, *, epoch: int = 0, first: int = 0) -> Any:
        x = self.crop(images)
        x /= device.to(self.deviation, device.of(x))
        return x[..., ::-1, :, :] if self.reverse_channels else x


def digest(mean: np.ndarray) -> str:
    return hashlib.sha256(mean.tobytes()).hexdigest()


def read_mean(model: models.AlexNet, weights: Path) -> np.ndarray | None:
    """The mean image subtracted in training, from the folder of the weights.

    None if it was trained without one. Raises ValueError if it is not in the folder.
    """
    if model.mean_image is None:
        return None
    file = weights.with_name(MEAN)
    mean = serialization.load(file)["mean"] if file.exists() else None
    if mean is None or digest(mean) != model.mean_image:
        raise ValueError(
            f"{weights} was trained with a mean image, which {file} does not contain.\n"
            f"Copy {MEAN} from the folder of its run."
        )
    return mean


def report(
    files: list[str],
    source: data.Source,
    args: argparse.Namespace,
    setup: training_scripts.Setup,
) -> list[data.StoredImages]:
    """Evaluate each weights file on the validation images, and their mean prediction.

    Several processes divide the images; each has the whole network. Returns the data
    sets that were read, which list their unreadable images.
    """
    read = []
    for ten in (False, True) if args.views is None else (args.views == 10,):
        title, predictions = "ten views" if ten else "one view", []
        for file in files:
            model = load_network(file).to(setup.device)
            check_classes(file, model, source)
            preprocessing = model.preprocessing or models.preprocessing(
                model.variant, model.image_size
            )
            images = data.StoredImages(
                source.val,
                source.classes,
                preprocessing.resize,
                args.workers,
                squash=preprocessing.squash,
            )
            views = Views(preprocessing, read_mean(model, Path(file)), ten)
            size = setup.shard[1] * (16 if ten else 128)
            options = {"device": setup.device, "shard": setup.shard}
            batches = data.Loader(images, size, transform=views, **options)
            prediction, labels = map(setup.concatenate, training.log_probabilities(model, batches))
            read.append(images)
            predictions.append(prediction)
            print(f"{title:<9}  {file}: {training.score(prediction, labels)}", flush=True)
        if len(files) > 1:
            mean = training.mean_log_probabilities(predictions)
            print(f"{title:<9}  all {len(files)}: {training.score(mean, labels)}", flush=True)
    return read


def check_classes(file: str, model: models.AlexNet, source: data.Source) -> None:
    """Raises ValueError if the classes of a network are not those of the images."""
    *_, last_bias = model.parameters()
    learned, given = model.classes, readable_names(source.classes)
    if len(last_bias) == len(given) and learned in (None, given):
        return
    names = "" if learned is None else f" ({first_five(learned)})"
    raise ValueError(
        f"{file} was trained with {len(last_bias)} classes{names}, but the images have "
        f"{len(given)} ({first_five(given)}).\nGive images of the same classes."
    )


def first_five(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def print_unreadable(
    datasets: Iterable[data.StoredImages], world: parallel.Communicator | None = None
) -> None:
    """Print a line for each image that was left out, and their number.

    With several processes, of all, each of which has read other images.
    """
    reasons = {
        dataset.records[row].name: reason
        for dataset in datasets
        for row, reason in dataset.unreadable.items()
    }
    if world is not None:
        for others in world.gather_objects(reasons):
            reasons |= others
    for name, reason in reasons.items():
        print(f"left out: {printable(name)}: {printable(reason)}")
    if reasons:
        print(f"{len(reasons)} images could not be read, and were left out")


def readable_names(classes: tuple[str, ...]) -> tuple[str, ...]:
    """The classes, with ImageNet's WordNet ids replaced by names."""
    known = models.names_by_wnid()
    return tuple(known.get(name, name) for name in classes)


def load_if_small(splits: list[data.StoredImages]) -> list[Any]:
    """The splits, decoded into memory if they are small enough."""
    if sum(3 * len(split) * split.size**2 for split in splits) > MAX_IN_MEMORY_BYTES:
        return splits
    print(f"reading {sum(map(len, splits))} images into memory", flush=True)
    return [split.in_memory() for split in splits]


def train(
    args: argparse.Namespace,
    source: data.Source,
    splits: list[data.StoredImages],
    setup: training_scripts.Setup,
    output: Path,
) -> None:
    train_images, valid_images = load_if_small(splits)
    colours = measure(args, source, train_images)
    # Initial weights are for pixels from 0 to 255, or for a standard deviation of 1.
    for_bytes = args.init == "own" and args.variant not in ("torchvision", "keras")
    scale = 1.0 if for_bytes else 1 / (colours.deviation or 1.0)
    noise = {"own": colours.axes, "imagenet": data.IMAGENET_COLOURS, "none": None}
    augment = data.Augment(
        colours.mean,
        size=args.image_size,
        scale=scale,
        colours=noise[args.colour_noise],
        until=args.noise_until,
        divide=args.divide,
        together=args.together,
    )

    options = {"column_lrn": True} if args.column_lrn else {}
    network = models.alexnet(args.variant, len(source.classes), args.image_size, **options)
    if args.init == "he":
        nn.init.kaiming_(network)
    colour = tuple(map(float, colours.mean.reshape(3, -1).mean(axis=1)))
    network.preprocessing = preprocessing = models.Preprocessing(
        args.image_size, args.resize, mean=colour, std=(1 / scale,) * 3
    )
    network.mean_image = digest(colours.mean) if args.mean == "image" else None
    network.classes = classes = readable_names(source.classes)
    metadata = network.metadata()
    print(network.summary((3, args.image_size, args.image_size)))
    print(
        f"{len(source.train)} training and {len(source.val)} validation images, "
        f"{len(classes)} classes, {setup}"
    )
    scheme = setup.distribute(network)
    del network  # this process may need a part of it only
    model = scheme.model

    loader = partial(data.Loader, device=scheme.device, shard=scheme.shard)
    centre = Views(preprocessing, colours.mean, ten=False)
    optimizer = optim.SGD(
        optim.paper_groups(model, args.lr, args.weight_decay), lr=args.lr, momentum=0.9
    )  # section 5

    def plot(log: list[training.Epoch]) -> None:
        # Several processes may have to compute both.
        weights = model.state_dict()
        some, predictions, labels = predict_some(scheme, valid_images, centre)
        if scheme.is_main:
            plots.draw_curves(log, output / "curves.png")
            plots.draw_filters(next(iter(weights.values())), output / "filters.png")
            plot_predictions(some, predictions, labels, classes, output / "answers.png")

    trainer = training.Trainer(
        model,
        optimizer,
        optim.lr_scheduler.named(args.schedule, optimizer, args.epochs),
        loader(train_images, args.batch_size, shuffle=True, transform=augment),
        loader(valid_images, 128, transform=centre),
        epochs=args.epochs,
        output=output,
        metadata=metadata,
        patience=args.patience,
        skip_bad_steps=args.skip_bad_steps,
        options=training_scripts.fixed_options(args, FIXED, source.digest()),
        scheme=scheme,
        **training_scripts.checkpoint_options(args),
        after_epoch=plot,
    )
    training_scripts.resume(trainer, args.resume)
    if args.mean == "image" and scheme.is_main:
        # Not earlier: a rejected resume must not overwrite the file of the other run.
        serialization.save(output / MEAN, {"mean": colours.mean})
    trainer.fit()
    if isinstance(scheme, parallel.DataParallel):
        # Also: when it returns on any rank, rank 0 has written all files.
        print(scheme.describe_ranks())


def predict_some(
    scheme: training.Scheme, valid_images: Any, centre: Views
) -> tuple[data.Dataset, np.ndarray, np.ndarray]:
    """Evenly spaced validation images, their log probabilities and labels."""
    rows = np.unique(np.linspace(0, len(valid_images) - 1, FIGURE_IMAGES).astype(np.int64))
    in_memory = isinstance(valid_images, data.Dataset)
    some = valid_images[rows] if in_memory else valid_images.in_memory(rows)
    batches = data.Loader(some, FIGURE_IMAGES, transform=centre, device=scheme.device)
    return some, *training.log_probabilities(scheme.model, batches)


def plot_predictions(
    images: data.Dataset,
    predictions: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
    path: Path,
) -> None:
    """Plot images and their five most probable classes."""
    best = np.argsort(-predictions, kind="stable")[:, :5]
    classes = [
        [(names[i], float(np.exp(prediction[i]))) for i in row]
        for prediction, row in zip(predictions, best, strict=True)
    ]
    truths = [names[label] for label in labels]
    plots.draw_predictions(images.images.transpose(0, 2, 3, 1), classes, path, truths=truths)


def check_files(args: argparse.Namespace) -> None:
    """Raises FileNotFoundError if weights or a checkpoint do not exist."""
    training_scripts.check_resume(args)
    for file in args.evaluate or ():
        if file not in DOWNLOADS and not Path(file).is_file():
            raise FileNotFoundError(f"there is no file {file!r}. Check --evaluate.")


def main() -> int:
    args = arguments()
    began = time.perf_counter()
    setup = training_scripts.Setup(args)
    if setup.has_columns and args.variant == "paper":
        args.column_lrn = True
    if args.column_lrn and args.variant != "paper":
        raise ValueError("--column-lrn is an option of --variant paper. Leave it out.")
    if setup.has_columns and args.variant not in ("paper", "original"):
        raise ValueError(f"--variant {args.variant} has no columns. Use paper or original.")
    check_files(args)
    with parallel.main_first(setup.world):
        source = find_images(args)
    if args.evaluate:
        print_unreadable(report(args.evaluate, source, args, setup), setup.world)
        return 0
    splits = [
        data.StoredImages(split, source.classes, args.resize, args.workers)
        for split in (source.train, source.val)
    ]
    try:
        with training_scripts.output_folder(args, setup) as output:
            train(args, source, splits, setup, output)
    except training.Interrupted:
        print_unreadable(splits, setup.world)
        print(f"\nStopped, and saved in {args.output}. {training_scripts.HOW_TO_RESUME}")
        return 130
    print_unreadable(splits, setup.world)
    print(
        f"figures: {args.output}/curves.png, filters.png, answers.png    "
        f"weights: {args.output}/model.safetensors, best.safetensors"
    )
    report([f"{args.output}/best.safetensors"], source, args, setup)
    print(f"time {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    training_scripts.run(main)
