#!/usr/bin/env python3
"""Measure one pipeline: read image files, prepare training batches, print JSON.

    python benchmarks/file_batches.py tinyalex shards/ --batch 32

file_pipeline.py runs this for each pipeline in each round, in a process of its own,
with the Python that has the library, so it needs only NumPy, and not tinyalex. A batch
is float32 (N, 3, 224, 224): random crops of images with a shorter side of 256, half of
them mirrored, less the same mean and divided by the same deviation. The first batches,
during which workers start and fill their queues, are not timed; their mean and standard
deviation are reported and must agree between pipelines.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import contender
import numpy as np

RESIZE, SIZE = 256, 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), 0.226
"""ImageNet's, for pixels from 0 to 1."""

UNTIMED_BATCHES = 4 * contender.cores()
"""More than any pipeline prefetches (DataLoader: two per worker). This number of
batches is not timed at the start, and not read at the end, when workers would be
idle."""


def tinyalex(args: argparse.Namespace) -> Iterator[Any]:
    from tinyalex import data

    source = data.find_images(args.folder)
    stored = data.StoredImages(
        source.train * repeats(args, len(source.train)), source.classes, RESIZE
    )
    augment = data.Augment(255 * np.array(MEAN), scale=1 / (255 * DEVIATION), size=SIZE)
    return iter(data.Loader(stored, args.batch, shuffle=True, transform=augment, drop_last=True))


def torchvision(args: argparse.Namespace) -> Iterator[Any]:
    """As in its documentation: Pillow decodes and resizes."""
    return data_loader(args)


def torchvision_tensors(args: argparse.Namespace) -> Iterator[Any]:
    """torchvision's own decoder, and its transforms on tensors."""
    return data_loader(args, tensors=True)


def data_loader(args: argparse.Namespace, tensors: bool = False) -> Iterator[Any]:
    import torch
    from torchvision.datasets import ImageFolder
    from torchvision.io import decode_image
    from torchvision.transforms import v2

    steps = [
        v2.Resize(RESIZE),
        v2.RandomCrop(SIZE),
        v2.RandomHorizontalFlip(),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, [DEVIATION] * 3),
    ]
    loader = {"loader": lambda path: decode_image(path, mode="RGB")} if tensors else {}
    folder = ImageFolder(args.folder / "train", v2.Compose(steps), **loader)
    images = torch.utils.data.ConcatDataset([folder] * repeats(args, len(folder)))
    return iter(
        torch.utils.data.DataLoader(
            images, args.batch, shuffle=True, num_workers=contender.cores(), drop_last=True
        )
    )


PIPELINES = {
    "tinyalex": (tinyalex, ("tinyalex", "numpy", "pillow")),
    "torchvision": (torchvision, ("torch", "torchvision", "pillow")),
    "torchvision-tensors": (torchvision_tensors, ("torch", "torchvision")),
}
"""Name: (function, libraries whose versions are reported)."""


def repeats(args: argparse.Namespace, images: int) -> int:
    """How often images are repeated, so that one epoch has all batches."""
    return math.ceil(args.batch * (args.batches + 2 * UNTIMED_BATCHES) / images)


def main() -> None:
    args = arguments()
    others = contender.OtherProcesses()
    pipeline, libraries = PIPELINES[args.pipeline]
    batches = pipeline(args)
    first = [np.asarray(next(batches)[0]) for _ in range(UNTIMED_BATCHES)]
    began = time.perf_counter()
    for _ in range(args.batches):
        images, _ = next(batches)
    seconds = time.perf_counter() - began
    del batches  # ends the workers, whose CPU time is known only then
    report = {
        "versions": {library: importlib.metadata.version(library) for library in libraries},
        "shape": list(images.shape),
        "type": str(first[0].dtype),
        "mean": float(np.mean(first)),
        "deviation": float(np.std(first)),
        "images_per_second": args.batches * args.batch / seconds,
        "seconds": seconds,
        "others": others.cores(),
    }
    print(json.dumps(report))


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("pipeline", choices=PIPELINES)
    p.add_argument(
        "folder",
        type=Path,
        help="tinyalex: anything that data.find_images reads; torchvision: class folders in train/",
    )
    p.add_argument("--batch", type=int, default=32)
    p.add_argument(
        "--batches", type=int, default=100, help="number of timed batches (default: 100)"
    )
    return p.parse_args()


if __name__ == "__main__":
    main()
