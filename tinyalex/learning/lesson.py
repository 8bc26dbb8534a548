"""What the scripts in lessons/ share: their options, images to look at, claims that are checked, figures that are kept.

    args = lesson.options(__doc__)                            --full, --device, --seed
    train, test, source = lesson.images(2000, 500)            CIFAR-10 where it is at hand, else drawn shapes
    lesson.claim(f"the slope is {slope:.3f}", slope > 0)      a line with a check mark, or an AssertionError
    lesson.show(figure, "01_gradient")                        runs/lessons/01_gradient.png

A lesson runs as a script and, cell by cell, as a notebook. Nothing here downloads anything.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyalex import data, device
from tinyalex.data.download import cache_folder
from tinyalex.data.folders import image_files
from tinyalex.models.image_preprocessing import Preprocessing
from tinyalex.plots.figures import new_figure as figure

__all__ = [
    "CIFAR10",
    "PHOTOS",
    "SHAPES",
    "Images",
    "Photos",
    "claim",
    "figure",
    "images",
    "options",
    "photos",
    "show",
    "skip",
]

FIGURES = Path("runs/lessons")

BLUE, RED, GREEN, GREY = "#0b6e99", "#c8553d", "#4f8a3c", "#9aa5b1"
"""Colours that can be told apart in print and by most colour-blind readers; grey for what is only there to compare with."""

CIFAR10, PHOTOS, SHAPES = "CIFAR-10", "photos", "shapes"
"""Where images came from: the `source` of `images` and `photos`."""

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
"""Folders of photographs that are looked for in TINYALEX_DATA, under the names they are published with; large ones first."""

GET_CIFAR10 = 'python -c "from tinyalex import data; data.cifar10()"'
GET_PHOTOS = "git clone --depth 1 https://github.com/EliSchwartz/imagenet-sample-images"


class Images(NamedTuple):
    train: data.Dataset
    test: data.Dataset
    source: str


class Photos(NamedTuple):
    pixels: np.ndarray
    source: str


def in_notebook() -> bool:
    """Whether this is a notebook's kernel (Jupyter, Colab, VS Code), whose command line is not the lesson's."""
    return "ipykernel" in sys.modules


def options(doc: str | None) -> argparse.Namespace:
    """The lesson's options: `full`, `device`, `seed`. Makes the device the default one and starts tinyalex's random numbers at the seed.

    In a notebook they have their defaults. To change one there: `args.full = True` in the cell below.
    """
    p = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--full", action="store_true", help="the long version, where the lesson has one")
    p.add_argument(
        "--device",
        default="cpu",
        help="cpu (default), cuda, cuda:1, or auto: a GPU if there is one",
    )
    p.add_argument("--seed", type=int, default=0, help="of all random numbers (default 0)")
    args = p.parse_args([] if in_notebook() else None)
    try:
        args.device = device.check(args.device)
        device.manual_seed(args.seed)
    except (ValueError, RuntimeError) as error:
        p.error(str(error))
    device.set_default(args.device)
    return args


# Claims


def claim(text: str, holds: Any) -> None:
    """Print what was just shown, with a check mark. AssertionError if it does not hold: then the lesson says something false."""
    if not holds:
        raise AssertionError(f"the lesson claims, and it is not so: {text}")
    print(_mark("✓", "ok"), text)


def skip(text: str, why: str) -> None:
    """Print a claim that is not made this time, and the reason: "shapes have no fine texture"."""
    print(_mark("–", "--"), f"not checked: {text} ({why})")


def _mark(mark: str, plain: str) -> str:
    """The plain one on consoles that cannot print the other, such as Windows' with a code page of its own."""
    try:
        mark.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return plain
    return mark


# Figures


def axes(figure: Any, *place: Any, title: str, **labels: Any) -> Any:
    """Axes in the style of the lessons. `place` is as in `figure.add_subplot(1, 2, 1)`, `labels` as in `axes.set(xlabel=..., ylim=...)`."""
    made = figure.add_subplot(*place)
    made.set(**labels)
    made.set_title(title, loc="left", fontsize=11)
    made.grid(color="#eeeeee")
    made.set_axisbelow(True)
    made.spines[["top", "right"]].set_visible(False)
    return made


def picture(figure: Any, *place: Any, title: str, pixels: np.ndarray, **options: Any) -> Any:
    """Axes that show pixels (H, W), (H, W, 3) or (3, H, W) and no scale. `options` are imshow's."""
    made = figure.add_subplot(*place)
    made.imshow(
        pixels.transpose(1, 2, 0) if pixels.ndim == 3 and pixels.shape[0] == 3 else pixels,
        interpolation="nearest",
        **options,
    )
    made.set_title(title, loc="left", fontsize=11)
    made.set(xticks=[], yticks=[])
    made.spines[:].set_color("#dddddd")
    return made


def show(figure: Any, name: str) -> None:
    """Write the figure to runs/lessons/NAME.png and say so; in a notebook, show it as well."""
    from tinyalex.plots.figures import save

    path = FIGURES / f"{name}.png"
    save(figure, path)
    print(f"figure: {path.as_posix()}")
    if in_notebook():
        from IPython.display import Image, display

        display(Image(str(path)))


# Images


def images(train: int, test: int = 0) -> Images:
    """(train, test, source): small colour images of ten classes, as many as asked for, picked by the seed.

    CIFAR-10 from the folder TINYALEX_DATA, or else as `data.cifar10()` has downloaded it before; without it, drawn shapes.
    """
    whole = _cifar10()
    if whole is None:
        print(
            f"Images: drawn shapes. With CIFAR-10 (170 MB, once) the pictures are real: {GET_CIFAR10}"
        )
        return Images(*data.shapes(train, test, seed=device.seed()), SHAPES)
    print("Images: CIFAR-10.")
    all_train, all_test = whole
    return Images(
        all_train[_some(len(all_train), train)], all_test[_some(len(all_test), test)], CIFAR10
    )


def _cifar10() -> tuple[data.Dataset, data.Dataset] | None:
    places = [
        folder / name
        for folder in (_data_folder(), cache_folder())
        if folder
        for name in CIFAR10_NAMES
    ]
    found = next((place for place in places if place.exists()), None)
    return data.cifar10(found) if found else None


def photos(count: int, size: int = 256) -> Photos:
    """(pixels, source): photographs, uint8 (count, 3, size, size), each the square in the middle, picked by the seed.

    Real ones from TINYALEX_DATA; without them, drawn shapes at that size.
    """
    files = _photo_files()
    if len(files) < count:
        print(f"Images: drawn shapes. With photographs the pictures are real: {GET_PHOTOS}")
        print("and set TINYALEX_DATA to the folder where you did that.")
        drawn = data.shapes(count, 0, seed=device.seed())[0].images
        pictures: list[Any] = list(drawn.transpose(0, 2, 3, 1))
    else:
        pictures = [files[i] for i in _some(len(files), count)]
        print(f"Images: {count} photograph{'s' * (count > 1)}.")
    square = Preprocessing(size=size, resize=size).crop
    pixels = np.stack([square(picture) for picture in pictures]).transpose(0, 3, 1, 2)
    return Photos(np.ascontiguousarray(pixels), PHOTOS if len(files) >= count else SHAPES)


def _photo_files() -> list[Path]:
    root = _data_folder()
    return next(
        (files for name in PHOTO_FOLDERS if root and (files := image_files(root / name))), []
    )


def _data_folder() -> Path | None:
    folder = os.environ.get("TINYALEX_DATA")
    return Path(folder).expanduser() if folder else None


def _some(total: int, count: int) -> np.ndarray:
    """`count` of the numbers below `total`, in a random order that the seed decides."""
    return device.generator("lesson", 0).permutation(total)[:count]
