#!/usr/bin/env python3
"""Train AlexNet on ImageNet, a subset of it, or your own photos in folders.

    python train_imagenet.py --data imagenette --epochs 30 --output runs/imagenette
        ten classes, downloaded once (341 MB)
    python train_imagenet.py --data shards/
        the paper's run, on the output of `tinyalex prepare ILSVRC2012/ shards/`
    python train_imagenet.py --data photos/ --output runs/photos
        photos/cat/1.jpg, photos/dog/2.jpg, ...; or so in photos/train/ and photos/val/
    python train_imagenet.py --data photos/ --weights torchvision --output runs/tuned
        fine-tune trained weights (downloaded once, 244 MB) for your own classes
    python train_imagenet.py --resume auto
        resume the run in runs/imagenet-paper, with its options
    python train_imagenet.py --data shards/ --evaluate a.safetensors b.safetensors
        evaluate weights on the validation images
    python train_imagenet.py --data shards/ --devices cuda:0,cuda:1
        each of the network's two columns on a GPU, as in the paper
    mpirun -n 4 python train_imagenet.py --data shards/ --parallel hybrid
        several processes, each with a GPU (docs/scaling.md)

Two cores train at 117 images/s, batches of 128. A run needs 2.7 GB of disk, of which
checkpoints are 2.2 GB (--keep-checkpoints).

The defaults are those of the paper, whose sections are in parentheses. Its learning
rates and initial weights are for pixels from 0 to 255 minus their mean. With --init
he, these pixels are also divided by their standard deviation, and the network learns
faster from few images.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tinyalex import data, models, nn, optim, parallel, plots, serialization, training
from tinyalex.cli import fine_tuning, imagenet_network, resuming, training_scripts
from tinyalex.cli import imagenet_evaluation as evaluation
from tinyalex.cli.imagenet_images import find_images, load_if_small, measure
from tinyalex.cli.options import (
    file_path,
    fraction,
    number_from_zero,
    positive_integer,
    positive_number,
)
from tinyalex.models.image_preprocessing import MAX_STORED_SIZE
from tinyalex.training.plateau import COMMON_REMEDIES

# fmt: off
FIXED = (
    "val_fraction", "classes", "images_per_class", "variant", "column_lrn", "image_size",
    "resize", "mean", "colour_noise", "noise_until", "together", "divide", "init",
    "batch_size", "lr", "weight_decay", "schedule", "seed", "amp", *fine_tuning.OPTIONS,
)
# fmt: on
"""Options that must stay the same when a run is resumed; the images must too."""


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--data",
        type=file_path,
        metavar="PATH",
        help="a folder with class folders in train/ and val/, class folders only, ILSVRC2012's "
        "tar files or shards; a tar file of class folders; or imagenette",
    )
    p.add_argument(
        "--val-fraction",
        type=fraction,
        metavar="F",
        help="of each class, for validation, if there are class folders only (default: 0.1)",
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
        help="AlexNet's variant (default: that of --weights, or paper)",
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
        help="initial weights: the variant's own (default; section 5), or He's",
    )
    p.add_argument("--epochs", type=positive_integer, default=90, help="default: 90 (section 5)")
    p.add_argument(
        "--batch-size", type=positive_integer, default=128, help="default: 128 (section 5)"
    )
    p.add_argument(
        "--lr",
        type=positive_number,
        help="learning rate of weights; twice as high for biases (default: 0.01, section 5; with "
        f"--weights {fine_tuning.LR})",
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
    fine_tuning.add_options(p)
    training_scripts.add_run_options(p, "runs/imagenet-VARIANT")
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
    args = resuming.parse_arguments(p, FIXED, default_output)
    if args.data is None:
        resuming.require_run(args)
        p.error("the following arguments are required: --data")
    if args.image_size is not None and args.image_size > MAX_STORED_SIZE:
        p.error(f"argument --image-size: expected at most {MAX_STORED_SIZE}, got {args.image_size}")
    args.pretrained = fine_tuning.read(args)
    args.variant, args.lr = args.variant or "paper", args.lr or 0.01  # section 5
    args.mean = args.mean or "image"
    if args.pretrained is None:
        args.init = args.init or "own"
    preprocessing = models.preprocessing(args.variant, args.image_size)
    if args.image_size is not None:
        with nn.init.skipped():
            models.alexnet(args.variant, 1, args.image_size)  # raises for too small a size
    args.image_size, args.resize = preprocessing.size, args.resize or preprocessing.resize
    models.Preprocessing(args.image_size, args.resize)  # raises if they do not fit
    return args


def default_output(args: argparse.Namespace) -> str:
    return "runs/imagenet-tuned" if args.weights else f"runs/imagenet-{args.variant or 'paper'}"


def train(
    args: argparse.Namespace,
    source: data.Source,
    splits: list[data.StoredImages],
    setup: training_scripts.Setup,
    output: Path,
) -> training.Trainer:
    train_images, valid_images = load_if_small(splits)
    colours = measure(args, source, train_images)
    classes = evaluation.readable_names(source.classes)
    if args.pretrained is None:
        start = imagenet_network.untrained(args, len(classes), colours)
    else:
        start = fine_tuning.start(args, classes, setup)
    network, preprocessing, mean, scale = start
    noise = {"own": colours.axes, "imagenet": data.IMAGENET_COLOURS, "none": None}
    augment: Callable[..., Any] = data.Augment(
        mean,
        size=args.image_size,
        scale=1.0 if scale is None else scale,
        colours=noise[args.colour_noise],
        until=args.noise_until,
        divide=args.divide,
        together=args.together,
    )
    if scale is None:
        augment = evaluation.Scaled(augment, preprocessing)
    network.preprocessing, network.classes = preprocessing, classes
    network.mean_image = evaluation.digest(mean) if args.mean == "image" else None
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
    centre = evaluation.Views(preprocessing, mean, ten=False)
    head_lr = args.lr if args.head_lr is None else args.head_lr
    groups = fine_tuning.groups(model, args.lr, head_lr, args.weight_decay)
    optimizer = optim.SGD(groups, lr=args.lr, momentum=0.9)  # section 5

    def plot(log: list[training.Epoch]) -> None:
        # Several processes may have to compute both.
        weights = model.state_dict()
        with scheme.precision():
            predicted = evaluation.predict_some(scheme.model, valid_images, centre, scheme.device)
        if scheme.is_main:
            plots.draw_curves(log, output / "curves.png")
            plots.draw_filters(next(iter(weights.values())), output / "filters.png")
            shown = f"epoch {len(log)}"
            evaluation.plot_predictions(*predicted, output / "answers.png", shown)

    trainer = training.Trainer(
        model,
        optimizer,
        optim.lr_scheduler.named(args.schedule, optimizer, args.epochs),
        loader(train_images, args.batch_size, shuffle=True, transform=augment),
        loader(valid_images, 128, transform=centre),
        output=output,
        metadata=metadata,
        scheme=scheme,
        **training_scripts.trainer_options(
            args, FIXED, source.digest(), fine_tuning.of_weights(args)
        ),
        remedies=imagenet_network.REMEDIES if args.weights is None else COMMON_REMEDIES,
        after_epoch=plot,
    )
    resuming.resume(trainer, args.resume)
    # Not earlier: a rejected resume must not overwrite the files of the other run.
    if args.mean == "image" and scheme.is_main:
        serialization.save(output / evaluation.MEAN, {"mean": mean})
    if source.is_split and scheme.is_main:
        with serialization.atomic_write(output / "validation.txt") as unfinished:
            names = "".join(f"{record.name}\n" for record in source.val)
            unfinished.write_text(names, encoding="utf-8", errors="surrogateescape")
    trainer.fit()
    if isinstance(scheme, parallel.DataParallel):
        # Also: when it returns on any rank, rank 0 has written all files.
        print(scheme.describe_ranks())
    return trainer


def main() -> int:
    args = arguments()
    began = time.perf_counter()
    setup = training_scripts.Setup(args)
    for file in args.evaluate or ():
        evaluation.check_file(file, "--evaluate")
    if setup.has_columns and args.variant == "paper":
        args.column_lrn = True
    if args.column_lrn and args.variant != "paper":
        raise ValueError("--column-lrn is an option of --variant paper. Leave it out.")
    if setup.has_columns and args.variant not in ("paper", "original"):
        raise ValueError(f"--variant {args.variant} has no columns. Use paper or original.")
    with parallel.main_first(setup.world):
        source = find_images(args)
    if args.evaluate:
        read, _ = evaluation.report(args.evaluate, source, args, setup)
        evaluation.print_unreadable(read, setup.world)
        return 0
    splits = [
        data.StoredImages(split, source.classes, args.resize, args.workers, squash=args.squash)
        for split in (source.train, source.val)
    ]
    try:
        with training_scripts.output_folder(args, setup) as output:
            trainer = train(args, source, splits, setup, output)
    except training.Interrupted:
        evaluation.print_unreadable(splits, setup.world)
        print(training_scripts.how_to_resume(args, setup))
        return 130
    evaluation.print_unreadable(splits, setup.world)
    best = f"{args.output}/best.safetensors"
    answers = evaluation.plot_answers(best, trainer.progress.best_epoch, source, args, setup)
    print(
        f"figures: {args.output}/curves.png, filters.png, {answers}    "
        f"weights: {args.output}/model.safetensors, best.safetensors"
    )
    _, results = evaluation.report([best], source, args, setup)
    print(f"time {time.perf_counter() - began:.0f} s")
    print(training_scripts.next_steps(args, setup, trainer, results[0]))
    return 0


if __name__ == "__main__":
    training_scripts.run(main)
