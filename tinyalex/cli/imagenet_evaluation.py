"""Evaluates the weights of train_imagenet.py, and plots some of their predictions."""

import argparse
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex import data, device, models, parallel, plots, serialization, training
from tinyalex.cli.training_scripts import Setup
from tinyalex.data.text_files import printable
from tinyalex.models.prediction import load_network
from tinyalex.models.weights import DOWNLOADS

MEAN = "mean.safetensors"

FIGURE_IMAGES = 8
"""Validation images in the figure of predictions."""


class Scaled:
    """A transform of pixels, then divided by the deviations of the three channels."""

    def __init__(self, transform: Any, preprocessing: models.Preprocessing) -> None:
        self.transform = transform
        self.deviation = preprocessing.in_bytes()[1][:, None, None]
        self.reverse_channels = preprocessing.channels == "BGR"

    def __call__(self, images: Any, *, epoch: int = 0, first: int = 0) -> Any:
        x = self.transform(images, epoch=epoch, first=first)
        x /= device.to(self.deviation, device.of(x))
        return x[..., ::-1, :, :] if self.reverse_channels else x


class Views(Scaled):
    """Crops images (N, 3, R, R) for testing: the centre, or ten views (section 4.1)."""

    def __init__(
        self, preprocessing: models.Preprocessing, mean: np.ndarray | None, ten: bool
    ) -> None:
        colour = preprocessing.in_bytes()[0]
        crop = data.TenViews if ten else data.Normalize
        transform = crop(colour if mean is None else mean, size=preprocessing.size)
        super().__init__(transform, preprocessing)


def check_file(file: str, option: str) -> None:
    """Raises FileNotFoundError or ValueError if an option's weights are not a file."""
    path = Path(file)
    if path.is_file() or (file in DOWNLOADS and not path.exists()):
        return
    if path.exists():
        raise ValueError(f"{option} {file} is not a file. Give a file of weights.")
    raise FileNotFoundError(f"there is no file {file!r}. Check {option}.")


def digest(mean: np.ndarray) -> str:
    return hashlib.sha256(mean.tobytes()).hexdigest()


def read_mean(model: models.AlexNet, weights: Path) -> np.ndarray | None:
    """The mean image subtracted in training, from the folder of the weights.

    None if it was trained without one. Raises ValueError if it is not in the folder.
    """
    if model.mean_image is None:
        return None
    file = weights.with_name(MEAN)
    state = serialization.load(file) if file.exists() else None
    mean = state.get("mean") if isinstance(state, dict) else None
    if not isinstance(mean, np.ndarray) or digest(mean) != model.mean_image:
        raise ValueError(
            f"{weights} was trained with a mean image, which {file} does not contain.\n"
            f"Copy {MEAN} from the folder of its run."
        )
    return mean


def report(
    files: list[str], source: data.Source, args: argparse.Namespace, setup: Setup
) -> tuple[list[data.StoredImages], list[training.Evaluation]]:
    """Evaluate each weights file on the validation images, and their mean prediction.

    Several processes divide the images; each has the whole network. Returns the data
    sets that were read, which list their unreadable images, and the results of files.
    """
    read, results = [], []
    for ten in (False, True) if args.views is None else (args.views == 10,):
        title, predictions = "ten views" if ten else "one view", []
        for file in files:
            model, images, views = prepare(file, source, args, setup, ten)
            size = setup.shard[1] * (16 if ten else 128)
            batches = data.Loader(
                images, size, transform=views, device=setup.device, shard=setup.shard
            )
            with setup.precision():
                own = training.log_probabilities(model, batches)
            prediction, labels = map(setup.concatenate, own)
            read.append(images)
            predictions.append(prediction)
            results.append(training.score(prediction, labels))
            print(f"{title:<9}  {file}: {results[-1]}", flush=True)
        if len(files) > 1:
            mean = training.mean_log_probabilities(predictions)
            print(f"{title:<9}  all {len(files)}: {training.score(mean, labels)}", flush=True)
    return read, results


def prepare(
    file: str, source: data.Source, args: argparse.Namespace, setup: Setup, ten: bool = False
) -> tuple[models.AlexNet, data.StoredImages, Views]:
    """The network with the weights in a file, the validation images, their views."""
    model = load_network(file)
    model.to(setup.device)
    check_classes(file, model, source)
    preprocessing = model.preprocessing or models.preprocessing(model.variant, model.image_size)
    images = data.StoredImages(
        source.val,
        source.classes,
        preprocessing.resize,
        args.workers,
        squash=preprocessing.squash,
    )
    return model, images, Views(preprocessing, read_mean(model, Path(file)), ten)


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

    With several processes, those of all processes: each has read different images.
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


def predict_some(
    model: Any, images: Any, centre: Views, device_name: str
) -> tuple[data.Dataset, np.ndarray, np.ndarray]:
    """Evenly spaced validation images, their log probabilities and labels."""
    rows = np.unique(np.linspace(0, len(images) - 1, FIGURE_IMAGES).astype(np.int64))
    some = images[rows] if isinstance(images, data.Dataset) else images.in_memory(rows)
    batches = data.Loader(some, FIGURE_IMAGES, transform=centre, device=device_name)
    return some, *training.log_probabilities(model, batches)


def plot_predictions(
    images: data.Dataset,
    predictions: np.ndarray,
    labels: np.ndarray,
    path: Path,
    weights: str,
) -> None:
    """Plot images and their five most probable classes, by these `weights`."""
    names = readable_names(images.classes)
    best = np.argsort(-predictions, kind="stable")[:, :5]
    classes = [
        [(names[i], float(np.exp(prediction[i]))) for i in row]
        for prediction, row in zip(predictions, best, strict=True)
    ]
    truths = [names[label] for label in labels]
    pixels, caption = list(images.images.transpose(0, 2, 3, 1)), f"weights: {weights}"
    plots.draw_predictions(pixels, classes, path, truths=truths, caption=caption)


def plot_answers(
    file: str, epoch: int, source: data.Source, args: argparse.Namespace, setup: Setup
) -> str:
    """Plot predictions by the weights in a file. Returns the figure's name."""
    weights = f"{Path(file).name}, epoch {epoch}"
    if setup.is_main:
        model, images, centre = prepare(file, source, args, setup)
        with setup.precision():
            predicted = predict_some(model, images, centre, setup.device)
        plot_predictions(*predicted, Path(args.output) / "answers.png", weights)
    return f"answers.png (of {weights})"
