"""Classify images with a trained network: the five most probable classes.

  tinyalex predict cat.jpg dog.jpg --weights torchvision    downloads them once (244 MB)
  tinyalex predict cat.jpg --weights runs/imagenet-paper/best.safetensors
  tinyalex predict cat.png --weights cifar-13pct            the ten classes of CIFAR-10
  tinyalex predict cat.png --weights runs/cifar-quick/best.safetensors
  tinyalex predict cat.jpg --weights bvlcalexnet-12.onnx --variant caffe --views 10

Weights files of tinyalex, torch (.pth) and ONNX are recognised by their content.
Nothing in them is executed.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tinyalex import device
from tinyalex.cli.options import (
    Commands,
    add_command,
    check_figure,
    file_path,
    positive_integer,
)
from tinyalex.data.text_files import printable_lines
from tinyalex.models import VARIANTS, names_by_wnid
from tinyalex.models.prediction import Prediction, load_classifier, predict, read_names
from tinyalex.models.weights import DOWNLOADS, INCLUDED
from tinyalex.nn.module import Module

BLOCKS = " ▏▎▍▌▋▊▉█"

NAME_WIDTH = 30
"""Columns for a class name in a report, so that all bars are aligned."""


def add_parser(commands: Commands) -> None:
    p = add_command(commands, "predict", run, __doc__)
    p.add_argument("images", nargs="+", type=file_path, metavar="IMAGE", help="image files")
    p.add_argument(
        "--weights",
        required=True,
        type=file_path,
        metavar="FILE",
        help=f"weights file, or one of {', '.join((*DOWNLOADS, *INCLUDED))}",
    )
    p.add_argument(
        "--variant",
        choices=VARIANTS,
        metavar="V",
        help="AlexNet's variant, if the weights file does not name it",
    )
    p.add_argument(
        "--image-size",
        type=positive_integer,
        metavar="S",
        help="side of the training images, if not the variant's own",
    )
    p.add_argument(
        "--views",
        type=int,
        choices=(1, 10),
        default=1,
        help="10: average over the ten views of section 4.1",
    )
    p.add_argument(
        "--top",
        type=positive_integer,
        default=5,
        metavar="K",
        help="number of classes to print (default 5)",
    )
    p.add_argument(
        "--classes",
        type=file_path,
        metavar="FILE",
        help="class names, one per line, if not ImageNet's",
    )
    p.add_argument("--device", default="auto")
    p.add_argument(
        "--save",
        type=file_path,
        metavar="PNG",
        help="save a figure of the images and their probabilities, like the paper's figure 4",
    )


def run(args: argparse.Namespace) -> int:
    where = device.check(args.device)
    names = read_names(args.classes) if args.classes else None
    if args.save:
        check_figure(args.save, "--save")
        if any(os.path.realpath(image) == os.path.realpath(args.save) for image in args.images):
            raise ValueError(f"--save {args.save} is one of the images. Give another path.")
    model, options = load_classifier(args.weights, args.variant, args.image_size)
    if names is not None:
        options["names"] = names
    return predict_files(
        model.to(where),
        args.images,
        top=args.top,
        views=args.views,
        figure=args.save,
        **options,
    )


def predict_files(
    model: Module,
    files: Iterable[str | os.PathLike[str]],
    *,
    figure: str | os.PathLike[str] | None = None,
    **options: Any,
) -> int:
    """Print the predictions for each file; save all of them as a `figure` (Figure 4).

    `options` are those of `predict`. Files that cannot be read are named on stderr and
    skipped. Returns the exit status: 1 if a file could not be read or written.
    """
    blocks, predictions, status = _can_print(BLOCKS), [], 0
    for file in files:
        try:
            prediction = predict(model, file, **options)
        except (OSError, ValueError, MemoryError) as error:
            print(printable_lines(f"tinyalex predict: {error}"), file=sys.stderr)
            status = 1
            continue
        print(report(prediction, blocks=blocks), end="\n\n", flush=True)
        predictions.append(prediction)
    if figure is not None and predictions:
        try:
            save_figure(predictions, figure)
        except OSError as error:
            print(f"tinyalex predict: cannot write {os.fspath(figure)}: {error}", file=sys.stderr)
            return 1
        print(f"figure: {os.fspath(figure)}")
    return status


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def report(prediction: Prediction, width: int = 80, blocks: bool = True) -> str:
    """The file's name, then for each class its name, percentage, and a bar from 0 to 1.

    blocks  draw the bars with Unicode blocks; False: with #
    """
    lines = [printable_lines(prediction.file)]
    for name, probability in prediction.classes:
        shown = name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 3] + "..."
        bar = _bar(probability, max(width - NAME_WIDTH - 13, 8), blocks)
        lines.append(f"  {shown:<{NAME_WIDTH}} {100 * probability:5.1f} %  {bar}".rstrip())
    return "\n".join(lines)


def _bar(share: float, length: int, blocks: bool) -> str:
    if not blocks:
        return "#" * round(share * length)
    full, eighths = divmod(round(share * length * 8), 8)
    return "█" * full + (BLOCKS[eighths] if eighths else "")


def save_figure(predictions: Sequence[Prediction], path: str | os.PathLike[str]) -> None:
    """Figure 4 (left). The bar of the true class is red, if the folder names it."""
    from tinyalex.plots import draw_predictions

    truths = [true_class(p.file) for p in predictions]
    titles = [truth or Path(p.file).name for p, truth in zip(predictions, truths, strict=True)]
    images, classes = [p.image for p in predictions], [p.classes for p in predictions]
    draw_predictions(images, classes, path, titles=titles, truths=truths)


def true_class(file: str | os.PathLike[str]) -> str | None:
    """The class whose WordNet id is the folder's name: train/n02110958/pug.JPEG."""
    return names_by_wnid().get(Path(file).absolute().parent.name)
