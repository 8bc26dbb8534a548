"""What `tinyalex predict` and `tinyalex models` do: a network's answers to photos, and the variants side by side."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyalex import nn
from tinyalex.functional import softmax
from tinyalex.models import (
    VARIANTS,
    Preprocessing,
    alexnet,
    class_names,
    fetch_weights,
    load_weights,
    names_by_wnid,
    preprocessing,
    read_weights,
)
from tinyalex.models.image_preprocessing import read_image
from tinyalex.models.tracing import outline
from tinyalex.models.variants import AlexNet
from tinyalex.models.weights import DOWNLOADS
from tinyalex.nn.module import Module, Step, run

EIGHTHS = " ▏▎▍▌▋▊▉█"
NAME = 30
"""Letters for a class's name in a report. All bars then begin at one place, and have one scale."""


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of an image as (name, probability), the likeliest first; and the square that the network saw, (S, S, 3)."""

    file: str
    answers: tuple[tuple[str, float], ...]
    picture: np.ndarray


def predict(
    model: Module,
    file: str | os.PathLike[str],
    *,
    top: int = 5,
    views: int = 1,
    names: Sequence[str] | None = None,
    preprocess: Preprocessing | None = None,
) -> Prediction:
    """The model's answer to an image file.

    top         how many classes
    views       10: the probabilities are the mean over ten views of the image (section 4.1); 1: the middle alone
    names       of the classes, in the order of their labels. Without them, those that the weights' file has; else 1000 classes are
                ImageNet's, and others have numbers
    preprocess  as the network was trained; an AlexNet has its variant's

    ValueError for an image that cannot be read, and for names that are more or fewer than the network's classes.
    """
    if views not in (1, 10):
        raise ValueError(f"predict: expected views=1 or views=10, got {views!r}.")
    if top < 1:
        raise ValueError(f"predict: top must be 1 or more, got {top}.")
    if preprocess is None:
        if not isinstance(model, AlexNet):
            raise ValueError(
                f"predict: {type(model).__name__} does not say how its images were prepared. Give preprocess."
            )
        preprocess = model.preprocessing or preprocessing(model.variant, model.image_size)
    if names is None and isinstance(model, AlexNet):
        names = model.classes
    photo = read_image(file)
    logits = run(model, preprocess(photo) if views == 1 else preprocess.views(photo))
    probabilities = softmax(logits, 1).numpy().astype(np.float64).mean(axis=0)
    if not np.isfinite(probabilities).all():
        raise ValueError(
            "predict: the answer is no number: there is NaN or infinity in the weights. Has training diverged?"
        )
    names = _names(len(probabilities), names)
    best = np.argsort(-probabilities, kind="stable")[:top]
    return Prediction(
        os.fspath(file),
        tuple((names[i], float(probabilities[i])) for i in best),
        preprocess.crop(photo),
    )


def network(
    weights: str | os.PathLike[str], variant: str | None = None, image_size: int | None = None
) -> AlexNet:
    """The AlexNet whose weights a file holds, or whose published weights are downloaded ("torchvision").

    variant     needed where the file does not say it (those of tinyalex do, and torchvision's are known by their names)
    image_size  as in models.alexnet, if the weights are not for the variant's own

    The number of classes is that of the last layer's weights. ValueError where they do not fit.
    """
    if weights in DOWNLOADS and not Path(weights).exists():
        variant, weights = variant or str(weights), fetch_weights(str(weights))
    found = read_weights(weights)
    if not found.arrays:
        raise ValueError(f"predict: {weights} holds no weights. Save a model's state_dict().")
    torch_names = any(name.endswith("classifier.6.weight") for name in found.arrays)
    said = found.variant or ("torchvision" if torch_names else None)
    if said is not None and said not in VARIANTS:
        raise ValueError(
            f"predict: the weights in {weights} are those of {said!r}, not of an AlexNet: {', '.join(VARIANTS)}."
        )
    if variant is None and said is None:
        raise ValueError(
            f"predict: {weights} does not say which AlexNet it is for. Give its variant: {', '.join(VARIANTS)}."
        )
    if None not in (variant, said) and variant != said:
        raise ValueError(
            f"predict: variant {variant!r} was asked for, but the weights in {weights} are for {said!r}. Leave it out."
        )
    # ONNX has other names, in the graph's order: the last array is the last layer's bias.
    last = [
        name for name in found.arrays if name.endswith(("fc8.weight", "classifier.6.weight"))
    ] or list(found.arrays)
    classes = found.arrays[last[-1]].shape[0]
    size = image_size or int(found.metadata.get("image_size", 0)) or None
    options = {"column_lrn": True} if found.metadata.get("column_lrn") == "1" else {}
    with nn.init.skipped():
        model = alexnet(variant or said or "", classes, size, **options)
    try:
        load_weights(model, weights)
    except ValueError as error:
        hint = (
            "\nIf it was trained with images of another size, give it: --image-size S."
            if "fc6" in str(error)
            else ""
        )
        raise ValueError(f"{error}{hint}") from None
    if "preprocessing" in found.metadata:
        model.preprocessing = Preprocessing.from_text(found.metadata["preprocessing"])
    model.mean_image = found.metadata.get("mean_image")
    if "classes" in found.metadata:
        model.classes = tuple(map(str, json.loads(found.metadata["classes"])))
    return model


def read_names(file: str | os.PathLike[str]) -> tuple[str, ...]:
    """Names of classes from a text file, a line each, in the order of their labels."""
    lines = Path(file).expanduser().read_text(encoding="utf-8-sig").splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def _names(count: int, names: Sequence[str] | None) -> Sequence[str]:
    if names is None:
        return (
            class_names()
            if count == len(class_names())
            else [f"class {label}" for label in range(count)]
        )
    if len(names) != count:
        raise ValueError(
            f"predict: the network has {count} classes, but {len(names)} names were given. Give a name for each class."
        )
    return names


def report(prediction: Prediction, width: int = 80, blocks: bool = True) -> str:
    """The file's name, and under it a line for each class: name, percentage, and a bar from 0 to 1. `blocks` False: bars of #."""
    lines = [prediction.file]
    for name, probability in prediction.answers:
        shown = name if len(name) <= NAME else name[: NAME - 3] + "..."
        bar = _bar(probability, max(width - NAME - 13, 8), blocks)
        lines.append(f"  {shown:<{NAME}} {100 * probability:5.1f} %  {bar}".rstrip())
    return "\n".join(lines)


def _bar(share: float, length: int, blocks: bool) -> str:
    if not blocks:
        return "#" * round(share * length)
    whole, rest = divmod(round(share * length * 8), 8)
    return "█" * whole + (EIGHTHS[rest] if rest else "")


def predict_files(
    model: Module,
    files: Iterable[str | os.PathLike[str]],
    *,
    top: int = 5,
    views: int = 1,
    names: Sequence[str] | None = None,
    preprocess: Preprocessing | None = None,
    figure: str | os.PathLike[str] | None = None,
    width: int = 80,
) -> int:
    """Prints the answer to each file as soon as there is one, and draws them all into `figure` (Figure 4).

    A file that cannot be read is named on stderr, and the others go on. Returns the exit status: 1 if there was such a file.
    """
    blocks, found, failed = _can_print(EIGHTHS), [], False
    for file in files:
        try:
            prediction = predict(
                model, file, top=top, views=views, names=names, preprocess=preprocess
            )
        except (OSError, ValueError) as error:
            print(f"tinyalex predict: {error}", file=sys.stderr)
            failed = True
            continue
        print(report(prediction, width, blocks), end="\n\n", flush=True)
        found.append(prediction)
    if figure is not None and found:
        try:
            draw(found, figure)
        except OSError as error:
            print(f"tinyalex predict: cannot write {os.fspath(figure)}: {error}", file=sys.stderr)
            return 1
        print(f"drawn: {os.fspath(figure)}")
    return 1 if failed else 0


def draw(predictions: Sequence[Prediction], path: str | os.PathLike[str]) -> None:
    """Figure 4 (left). Where a file lies in a folder named by ImageNet's wnid, its true class is known: its bar is red."""
    from tinyalex.plots import draw_predictions

    truths = [true_class(one.file) for one in predictions]
    titles = [truth or Path(one.file).name for one, truth in zip(predictions, truths, strict=True)]
    pictures, answers = [one.picture for one in predictions], [one.answers for one in predictions]
    draw_predictions(pictures, answers, path, titles=titles, truths=truths)


def true_class(file: str | os.PathLike[str]) -> str | None:
    """The name of the class whose wnid a file's folder has, as in train/n02110958/pug.JPEG; None for any other folder."""
    return names_by_wnid().get(Path(file).absolute().parent.name)


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


# `tinyalex models`

LETTERS: dict[type, str] = {
    nn.ZeroPad2d: "Z",
    nn.ReLU: "R",
    nn.LocalResponseNorm: "N",
    nn.SpatialResponseNorm: "S",
    nn.MaxPool2d: "P",
    nn.AdaptiveAvgPool2d: "A",
    nn.Flatten: "",
}
LEGEND = """channels x height x width; multiply-adds in millions, for one image; groups: of conv2, conv4 and conv5
R ReLU, N response norm across channels, S across places, P max pooling, A average pooling, D dropout, Z zeros at top and left"""
LAYERS = ("image", "conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


def models_table(num_classes: int = 1000) -> str:
    """All variants side by side: each layer's output, what comes after it in which order, parameters and multiply-adds."""
    with nn.init.skipped():
        return side_by_side(alexnet(variant, num_classes) for variant in VARIANTS)


def side_by_side(networks: Iterable[AlexNet]) -> str:
    """The table of any of them. Each is made, looked at, and given up before the next."""
    columns = [_column(model) for model in networks]
    labels = list(columns[0])
    lines = [
        "".join(
            [
                f"{label:<{max(map(len, labels))}}",
                *(f"{c[label]:>{max(map(len, c.values())) + 1}}" for c in columns),
            ]
        )
        for label in labels
    ]
    return "\n".join([*lines, "", LEGEND])


def _column(model: AlexNet) -> dict[str, str]:
    """A network's cells, from top to bottom."""
    steps = outline(model)
    blocks: list[list[Step]] = [[]]
    for step in steps:
        if isinstance(step.module, (nn.Conv2d, nn.Linear)):
            blocks.append([])
        blocks[-1].append(step)
    cells = {"": model.variant}
    for layer, block in zip(LAYERS, blocks, strict=True):
        own = 0 if layer == "image" else 1  # the image is no layer: all of its block comes after it
        cells[layer] = _shape(block[0].shape if own else steps[0].seen)
        if layer != "fc8":
            cells[f"  after {layer}"] = (
                "".join(LETTERS.get(type(step.module), "D") for step in block[own:]) or "-"
            )
        if layer in ("conv1", "conv2", "conv5"):
            maps = [step.shape for step in block if len(step.shape) == 3]
            cells[f"  pooled {layer}"] = _shape(maps[-1])
    cells["groups"] = str(
        max(
            getattr(step.module, "groups", 1)
            for step in steps
            if isinstance(step.module, nn.Conv2d)
        )
    )
    cells["parameters"] = f"{sum(p.size for p in model.parameters()):,}"
    cells["multiply-adds"] = f"{sum(step.multiply_adds for step in steps) / 1e6:,.1f}"
    return cells


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def model_summary(variant: str, num_classes: int = 1000, image_size: int | None = None) -> str:
    """Every layer of one variant."""
    with nn.init.skipped():
        model = alexnet(variant, num_classes, image_size)
    return model.summary((3, model.image_size, model.image_size))
