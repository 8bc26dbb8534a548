"""Helpers of the scripts in lessons/: options, images, checked claims, figures.

    args = lesson.options(__doc__)                  --full, --device, --seed
    train, test, source = lesson.images(2000, 500)  CIFAR-10, or synthetic shapes
    lesson.claim(f"the loss is {x:.3f}", x > 0)     printed; an AssertionError if false
    lesson.show(figure, "01_gradient")              runs/lessons/01_gradient.png
    lesson.results("17_cifar10")                    recorded results of --full

A lesson runs as a script and, cell by cell, as a notebook. Without --full, nothing is
downloaded.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyalex import data, device
from tinyalex.cache import cache_folder
from tinyalex.course.exercise import REPOSITORY
from tinyalex.data.download import data_folder
from tinyalex.data.folders import image_files
from tinyalex.device import processor
from tinyalex.models.image_preprocessing import Preprocessing
from tinyalex.plots import figures
from tinyalex.serialization import atomic_write

FIGURES = Path("runs/lessons")

BLUE, RED, GREEN, GREY = "#0b6e99", "#c8553d", "#4f8a3c", "#9aa5b1"
"""Distinguishable in print and by most colour-blind readers; grey is for references."""

CIFAR10, PHOTOS, SHAPES = "CIFAR-10", "photos", "shapes"
"""The `source` of `images` and `photos`."""

CIFAR10_NAMES = (
    "cifar-10-batches-py",
    "cifar-10-batches-bin",
    "cifar-10-python.tar.gz",
    "cifar-10-binary.tar.gz",
)

PHOTO_FOLDERS = (
    "imagenet-sample-images",
    "imagenet-sample-full",
    "imagenette2-320",
    "imagenette2-160",
    "imagenette-160",
)
"""Published folders of photographs, in TINYALEX_DATA; large images first."""

GET_CIFAR10 = 'python -c "from tinyalex import data; data.cifar10()"'
GET_PHOTOS = "git clone --depth 1 https://github.com/EliSchwartz/imagenet-sample-images"

figure = figures.new_figure


class Images(NamedTuple):
    train: data.Dataset
    test: data.Dataset
    source: str


class Photos(NamedTuple):
    pixels: np.ndarray
    source: str


def in_notebook() -> bool:
    """Whether a notebook kernel runs this; its command line is not the lesson's."""
    return "ipykernel" in sys.modules


def options(doc: str | None) -> argparse.Namespace:
    """The options full, device and seed. Sets the default device and the random seed.

    In a notebook, options have their defaults; set `args.full = True` in a cell.
    """
    p = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--full", action="store_true", help="the long version, if the lesson has one")
    p.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, or auto")
    p.add_argument("--seed", type=int, default=0, help="of the random numbers (default 0)")
    args = p.parse_args([] if in_notebook() else None)
    try:
        args.device = device.check(args.device)
        device.manual_seed(args.seed)
    except (ValueError, RuntimeError) as error:
        p.error(str(error))
    device.set_default(args.device)
    return args


def claim(text: str, holds: Any) -> None:
    """Print the claim with a check mark; AssertionError if it does not hold."""
    if not holds:
        raise AssertionError(f"this claim does not hold: {text}")
    print(_mark("✓", "ok"), text)


def skip(text: str, reason: str) -> None:
    """Print a claim that is not checked in this run, and the reason."""
    print(_mark("–", "--"), f"not checked: {text} ({reason})")


def _mark(mark: str, ascii_mark: str) -> str:
    """`ascii_mark` on consoles that cannot print `mark` (Windows code pages)."""
    try:
        mark.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return ascii_mark
    return mark


def axes(figure: Any, *position: Any, title: str, **labels: Any) -> Any:
    """Axes in one style. `position` as in add_subplot, `labels` as in Axes.set."""
    made = figure.add_subplot(*position)
    made.set(**labels)
    made.set_title(title, loc="left", fontsize=11)
    made.grid(color="#eeeeee")
    made.set_axisbelow(True)
    made.spines[["top", "right"]].set_visible(False)
    return made


def image_axes(figure: Any, *position: Any, title: str, pixels: np.ndarray, **options: Any) -> Any:
    """Axes that show pixels (H, W), (H, W, 3) or (3, H, W). `options` are imshow's."""
    made = figure.add_subplot(*position)
    if pixels.ndim == 3 and len(pixels) == 3:
        pixels = pixels.transpose(1, 2, 0)
    made.imshow(pixels, interpolation="nearest", **options)
    made.set_title(title, loc="left", fontsize=11)
    made.set(xticks=[], yticks=[])
    made.spines[:].set_color("#dddddd")
    return made


def show(figure: Any, name: str) -> None:
    """Write runs/lessons/NAME.png and print its path; in a notebook, display it."""
    path = FIGURES / f"{name}.png"
    figures.save(figure, path)
    print(f"figure: {path.as_posix()}")
    if in_notebook():
        from IPython.display import Image, display

        display(Image(str(path)))


def results(name: str) -> dict[str, Any]:
    """The recorded results of a lesson's --full run: lessons/results/NAME.json.

    Raises FileNotFoundError if the lesson runs outside of the repository.
    """
    roots = REPOSITORY, Path.cwd(), *Path.cwd().parents
    for file in (root / "lessons" / "results" / f"{name}.json" for root in roots):
        if file.exists():
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return found
    raise FileNotFoundError(
        f"there is no lessons/results/{name}.json: the results are not in the installed package.\n"
        "Clone tinyalex's repository, and run the lesson in its folder."
    )


def origin(command: str, device_name: str) -> dict[str, str]:
    """How, where and when results were made, which a record states."""
    return {
        "command": command,
        "machine": f"{processor.model()}, {len(device.cores())} cores, {device_name}",
        "date": time.strftime("%Y-%m-%d"),
    }


def record(file: Path, content: dict[str, Any]) -> None:
    """Write results atomically: a program that is stopped leaves a complete file."""
    with atomic_write(file) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def images(train: int, test: int = 0) -> Images:
    """`train` and `test` small images of ten classes, selected by the seed.

    CIFAR-10 from the folder TINYALEX_DATA or the cache of `data.cifar10()`; otherwise
    synthetic shapes.
    """
    cifar10 = _cifar10()
    if cifar10 is None:
        print(f"Images: synthetic shapes. To use CIFAR-10 (a download of 170 MB): {GET_CIFAR10}")
        return Images(*data.shapes(train, test, seed=device.seed()), SHAPES)
    print("Images: CIFAR-10.")
    all_train, all_test = cifar10
    selected = all_train[_sample(len(all_train), train)], all_test[_sample(len(all_test), test)]
    return Images(*selected, CIFAR10)


def _cifar10() -> tuple[data.Dataset, data.Dataset] | None:
    folders = [folder for folder in (data_folder(), cache_folder()) if folder]
    paths = [folder / name for folder in folders for name in CIFAR10_NAMES]
    found = next((path for path in paths if path.exists()), None)
    return data.cifar10(found) if found else None


def photos(count: int, size: int = 256) -> Photos:
    """Photographs, uint8 (count, 3, size, size): centre crops, selected by the seed.

    From the folder TINYALEX_DATA; otherwise synthetic shapes of that size.
    """
    root = data_folder()
    folders = (image_files(root / name) for name in PHOTO_FOLDERS if root)
    files: list[Path] = next(filter(None, folders), [])
    found: list[Any]
    if len(files) < count:
        print(f"Images: synthetic shapes. To use photographs: {GET_PHOTOS}")
        print("and set TINYALEX_DATA to the folder in which you ran that.")
        found = list(data.shapes(count, 0, seed=device.seed())[0].images.transpose(0, 2, 3, 1))
    else:
        print(f"Images: {count} photograph{'s' * (count > 1)}.")
        found = [files[i] for i in _sample(len(files), count)]
    crop = Preprocessing(size=size, resize=size).crop
    pixels = np.stack([crop(image) for image in found]).transpose(0, 3, 1, 2)
    return Photos(np.ascontiguousarray(pixels), PHOTOS if len(files) >= count else SHAPES)


def _sample(total: int, count: int) -> np.ndarray:
    """`count` different indices below `total`, in a random order given by the seed."""
    return device.generator("lesson", 0).permutation(total)[:count]
