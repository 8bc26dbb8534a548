"""The images of train_imagenet.py: --data, its split, statistics of the colours."""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyalex import data
from tinyalex.cli.imagenet_evaluation import first_five, readable_names
from tinyalex.data.splitting import VAL_FRACTION

MAX_IN_MEMORY_BYTES = 2 << 30
"""If the decoded images are larger, each epoch decodes them again."""

MEASURED_IMAGES = 2000
"""The number of evenly spaced training images for the colour axes, and for the mean if
not all images are in memory."""


def find_images(args: argparse.Namespace) -> data.Source:
    download = args.data == "imagenette" and not Path(args.data).exists()
    folder = data.imagenette() if download else args.data
    found = data.find_images(folder, val_fraction=args.val_fraction)
    args.val_fraction = (args.val_fraction or VAL_FRACTION) if found.is_split else None
    source = found.subset(args.classes, args.images_per_class)
    names = first_five(readable_names(source.classes))
    held_out = f" ({args.val_fraction:.3g} of each class)" if found.is_split else ""
    print(
        f"{folder}: {len(source.classes)} classes ({names}), {len(source.train)} training and "
        f"{len(source.val)} validation images{held_out}"
    )
    return source


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


def load_if_small(splits: list[data.StoredImages]) -> list[Any]:
    """The splits, decoded into memory if they are small enough."""
    if sum(3 * len(split) * split.size**2 for split in splits) > MAX_IN_MEMORY_BYTES:
        return splits
    print(f"reading {sum(map(len, splits))} images into memory", flush=True)
    return [split.in_memory() for split in splits]
