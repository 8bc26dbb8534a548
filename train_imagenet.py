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
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinyalex as ta
from tinyalex import data, device, models, nn, optim, plots, predicting, serialization, training

IN_MEMORY = 2 << 30
"""Bytes of decoded pictures that are kept in memory, rather than decoded again in each epoch."""

MEASURED = 2000
"""Training pictures whose colours are measured, where `tinyalex prepare` has not measured all of them."""

PANEL = 8
"""Validation pictures that are drawn with the network's answers after each epoch."""

MEAN = "mean.safetensors"

FIXED = (
    *(
        "data",
        "classes",
        "images_per_class",
        "variant",
        "image_size",
        "resize",
        "init",
        "batch_size",
        "lr",
        "weight_decay",
        "schedule",
    ),
    *("mean", "colour_noise", "noise_until", "together", "divide", "seed"),
)
"""What must stay the same when a run is resumed."""


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--data", required=True, metavar="PATH", help="class folders in train/ and val/, ILSVRC2012's tars, shards; or imagenette"
    )
    p.add_argument("--classes", type=positive, metavar="N", help="the first N classes only")
    p.add_argument("--images-per-class", type=positive, metavar="M", help="the first M training images of each class only")
    p.add_argument("--variant", choices=models.VARIANTS, default="paper", help="which AlexNet (default: paper)")
    p.add_argument(
        "--image-size", type=positive, metavar="S", help="pixels of the squares it sees (default: the variant's, 224 or 227)"
    )
    p.add_argument(
        "--resize", type=positive, metavar="R", help="shorter side the images get first (default: 256/224 of that; section 2)"
    )
    p.add_argument(
        "--init", choices=["own", "he"], default="own", help="initial weights: the variant's own (default; section 5), or He's"
    )
    p.add_argument("--epochs", type=positive, default=90, help="default: 90 (section 5)")
    p.add_argument("--batch-size", type=positive, default=128, help="default: 128 (section 5)")
    p.add_argument("--lr", type=float, default=0.01, help="of the weights; biases have twice that (default: 0.01, section 5)")
    p.add_argument("--weight-decay", type=float, default=0.0005, help="of the weights (default: 0.0005, section 5)")
    p.add_argument(
        "--schedule",
        choices=optim.lr_scheduler.NAMES,
        default="plateau",
        help=(
            "of the rate: plateau (default; section 5), a tenth when the validation error has stopped falling; step, a tenth for the last "
            "quarter of the epochs; dexp, the discrete exponential of cuda-convnet2"
        ),
    )
    p.add_argument("--mean", choices=["image", "colour"], default="image", help="what is subtracted (default: image, as in 2012)")
    p.add_argument(
        "--colour-noise",
        choices=["own", "imagenet", "none"],
        default="own",
        help="along the principal colours (section 4.1) of these training images (default) or of all of ImageNet, or none",
    )
    p.add_argument(
        "--noise-until", type=positive, metavar="E", help="train without colour noise after epoch E (2012: from 67 of 91)"
    )
    p.add_argument("--together", type=positive, default=1, metavar="N", help="move and mirror N images alike (the 2012 code: 32)")
    p.add_argument(
        "--divide", type=float, default=1.0, metavar="D", help="training pixels, for the noise added to them (2012: 1.1)"
    )
    p.add_argument("--workers", type=positive, metavar="N", help="threads that decode (default: one a core)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--device", default="auto", help="auto (default: a GPU if there is one), cpu, cuda or cuda:1")
    p.add_argument("--tf32", action="store_true", help="on a GPU: faster matrix products with 10 bits instead of 23")
    p.add_argument("--output", default="runs/imagenet", metavar="DIR", help="default: runs/imagenet")
    p.add_argument("--resume", metavar="auto|PATH", help="go on from a checkpoint; auto: the one in the output folder, if any")
    p.add_argument("--patience", type=positive, metavar="N", help="stop when the validation error has not fallen for N epochs")
    p.add_argument("--evaluate", nargs="+", metavar="FILE", help="do not train: test these weights, and the mean of their answers")
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


def positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def find(args: argparse.Namespace) -> data.Source:
    folder = data.imagenette() if args.data == "imagenette" and not Path(args.data).exists() else args.data
    return data.find_pictures(folder).subset(args.classes, args.images_per_class)


class Colours(NamedTuple):
    """Of the training images: what is subtracted, (3, R, R) or (3,); the axes of colour noise, (3, 3); the deviation of a pixel."""

    mean: np.ndarray
    axes: np.ndarray
    deviation: float


def measure(args: argparse.Namespace, train: data.StoredPictures) -> Colours:
    """From some of the pictures, evenly chosen; where `tinyalex prepare` has looked at all of them, colours are as it says."""
    some = train.in_memory(np.unique(np.linspace(0, len(train) - 1, MEASURED).astype(np.int64))).images
    image = data.mean_image(some)
    colour, axes = image.mean(axis=(1, 2)), data.colour_axes(some)
    if (Path(args.data) / "index.json").exists() and not (args.classes or args.images_per_class):
        index = data.read_index(Path(args.data))
        colour, axes = np.array(index["mean"], np.float32), data.principal_axes(np.array(index["covariance"]))
    # The squares of the axes' lengths add up to the variances of the three channels.
    return Colours(image if args.mean == "image" else colour, axes, float(np.sqrt((axes**2).sum() / 3)))


class Views:
    """Images (N, 3, R, R) as a network wants them when it is tested: their middle, or with `ten` their ten views (section 4.1)."""

    def __init__(self, preprocessing: models.Preprocessing, mean: np.ndarray | None, ten: bool) -> None:
        colour, deviation = preprocessing.in_bytes()
        self.cut = (data.TenViews if ten else data.Normalize)(colour if mean is None else mean, size=preprocessing.size)
        self.deviation, self.reverse = deviation[:, None, None], preprocessing.channels == "BGR"

    def __call__(self, images: Any, *, epoch: int = 0, first: int = 0) -> Any:
        x = self.cut(images)
        x /= device.to(self.deviation, device.of(x))
        return x[..., ::-1, :, :] if self.reverse else x


def mean_beside(weights: Path) -> np.ndarray | None:
    """The mean image that a run has left beside its weights. Without it the mean colour stands for it, as in `tinyalex predict`."""
    file = weights.with_name(MEAN)
    return serialization.load(file)["mean"] if file.exists() else None


def report(files: list[Path], source: data.Source, args: argparse.Namespace, place: str) -> None:
    """How good the weights in each file are on the validation images, and all of them together: the mean of their answers."""
    for ten in (False, True) if args.views is None else (args.views == 10,):
        name, said = "ten views" if ten else "one view", []
        for file in files:
            model = predicting.network(file).to(place)
            preprocessing = model.preprocessing or models.preprocessing(model.variant, model.image_size)
            pictures = data.StoredPictures(
                source.val, source.classes, preprocessing.resize, args.workers, squash=preprocessing.squash
            )
            views = Views(preprocessing, mean_beside(file), ten)
            answer, labels = training.answers(model, data.Loader(pictures, 16 if ten else 128, transform=views, device=place))
            if answer.shape[1] != len(source.classes):
                raise ValueError(
                    f"{file} has {answer.shape[1]} classes, the data {len(source.classes)}.\nGive the data it was trained on."
                )
            said.append(answer)
            print(f"{name:<9}  {file}: {training.score(answer, labels)}", flush=True)
        if len(files) > 1:
            print(f"{name:<9}  all {len(files)}: {training.score(training.mean_answer(said), labels)}", flush=True)


def readable_names(classes: tuple[str, ...]) -> tuple[str, ...]:
    """ImageNet's wnids become the names of their classes; other names stay."""
    known = {row.wnid: name for row, name in zip(models.imagenet_classes(), models.class_names(), strict=True)}
    return tuple(known.get(name, name) for name in classes)


def kept(pictures: data.StoredPictures) -> Any:
    """The pictures, decoded once and for all if they are few."""
    return pictures.in_memory() if 3 * len(pictures) * pictures.size**2 <= IN_MEMORY else pictures


def train(args: argparse.Namespace, source: data.Source, place: str) -> list[data.StoredPictures]:
    """Trains, and returns the pictures, which know which of them could not be read."""
    output = Path(args.output)
    if args.resume is None and (output / "checkpoint.safetensors").exists():
        raise FileExistsError(f"{output} holds a run already. Go on with it (--resume auto), or choose another folder (--output).")
    output.mkdir(parents=True, exist_ok=True)

    halves = [data.StoredPictures(half, source.classes, args.resize, args.workers) for half in (source.train, source.val)]
    colours = measure(args, halves[0])
    scale = 1.0 if args.init == "own" and args.variant not in ("torchvision", "keras") else 1 / colours.deviation
    noise = {"own": colours.axes, "imagenet": data.IMAGENET_COLOURS, "none": None}[args.colour_noise]
    augment = data.Augment(
        colours.mean, size=args.image_size, scale=scale / args.divide, colours=noise, until=args.noise_until, together=args.together
    )

    model = models.alexnet(args.variant, len(source.classes), args.image_size)
    if args.init == "he":
        nn.init.kaiming_(model)
    colour = tuple(map(float, colours.mean.reshape(3, -1).mean(axis=1)))
    model.preprocessing = models.Preprocessing(args.image_size, args.resize, mean=colour, std=(1 / scale,) * 3)
    model.classes = readable_names(source.classes)
    print(model.to(place).summary((3, args.image_size, args.image_size)))
    print(f"{len(source.train)} images to train on, {len(source.val)} to validate, {len(source.classes)} classes, on {place}")

    seen = Views(model.preprocessing, colours.mean, ten=False)
    fit, valid = (kept(half) for half in halves)
    optimizer = optim.SGD(optim.paper_groups(model, args.lr, args.weight_decay), lr=args.lr, momentum=0.9)  # section 5

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
        options={name: getattr(args, name) for name in FIXED},
        after_epoch=draw,
    )
    if args.resume == "auto" and trainer.checkpoint.exists():
        trainer.resume(trainer.checkpoint)
    elif args.resume not in (None, "auto"):
        if trainer.checkpoint.exists() and not trainer.checkpoint.samefile(args.resume):
            raise FileExistsError(f"{output} holds another run. Go on with {args.resume} in a new folder (--output).")
        trainer.resume(args.resume)
    if args.mean == "image":  # only now: a run that cannot be resumed with these options keeps its own
        serialization.save(output / MEAN, {"mean": colours.mean})
    trainer.fit()
    return halves


def draw_answers(model: nn.Module, valid: Any, seen: Views, path: Path) -> None:
    """Some validation images, evenly chosen, and the five likeliest classes of each."""
    rows = np.unique(np.linspace(0, len(valid) - 1, PANEL).astype(np.int64))
    images, labels = valid.take(rows) if hasattr(valid, "take") else (valid.images[rows], valid.labels[rows])
    place = device.of(next(iter(model.parameters())).data)
    said, _ = training.answers(model, [(seen(device.to(images, place)), labels)])
    likeliest = np.argsort(-said, axis=1, kind="stable")[:, :5]
    answers = [[(model.classes[i], float(np.exp(one[i]))) for i in best] for one, best in zip(said, likeliest, strict=True)]
    plots.draw_predictions(images.transpose(0, 2, 3, 1), answers, path, truths=[model.classes[label] for label in labels])


def main() -> int:
    args = arguments()
    began = time.perf_counter()
    place = device.check(args.device)
    if args.tf32 and place != "cpu":
        device.allow_tf32()
    ta.manual_seed(args.seed)
    source = find(args)
    if args.evaluate:
        report([Path(file) for file in args.evaluate], source, args, place)
        return 0
    try:
        halves = train(args, source, place)
    except training.Interrupted:
        print(f"\nStopped, and saved in {args.output}. To go on: the same command with --resume auto")
        return 130
    for half in halves:
        for name, reason in half.unreadable.items():
            print(f"left out: {name}: {reason}")
    if unreadable := sum(len(half.unreadable) for half in halves):
        print(f"{unreadable} pictures could not be read, and were left out")
    print(
        f"pictures: {args.output}/curves.png, filters.png, answers.png    weights: {args.output}/model.safetensors, best.safetensors"
    )
    report([Path(args.output) / "best.safetensors"], source, args, place)
    print(f"time {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, RuntimeError, FloatingPointError) as error:
        sys.exit(f"train_imagenet.py: {error}")
    except MemoryError as error:
        sys.exit(f"train_imagenet.py: out of memory ({error}). Use a smaller --batch-size.")
    except KeyboardInterrupt:
        print("\nStopped. If an epoch was finished, it is saved; to go on: the same command with --resume auto", file=sys.stderr)
        sys.exit(130)
