#!/usr/bin/env python3
"""One pipeline's turn, in a process of its own: reads pictures, hands on batches as for training, and prints one line of JSON.

    python benchmarks/picture_batches.py tinyalex shards/ --batch 32

picture_pipeline.py runs this for each pipeline in each round. It runs under the Python that has the library, so it needs NumPy alone, and
not tinyalex. Whoever reads, a batch is float32 (N, 3, 224, 224): of pictures whose shorter side has been made 256 a square at random, half
of them mirrored, less the same colour and divided by the same number. The first batches, which wait for workers to start and to fill what
they prepare ahead, are not timed; their mean and deviation are reported, and must be alike, or it is not the same work.
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
"""ImageNet's, of pixels from 0 to 1."""
AHEAD = 4 * contender.cores()
"""Batches, more than any pipeline prepares ahead (DataLoader: two a worker): so many are not timed, and so many more left untouched at the
end, where workers would run out of work."""


def tinyalex(args: argparse.Namespace) -> Iterator[Any]:
    from tinyalex import data

    source = data.find_images(args.folder)
    stored = data.StoredImages(
        source.train * repeats(args, len(source.train)), source.classes, RESIZE
    )
    augment = data.Augment(255 * np.array(MEAN), scale=1 / (255 * DEVIATION), size=SIZE)
    return iter(data.Loader(stored, args.batch, shuffle=True, transform=augment, drop_last=True))


def torchvision(args: argparse.Namespace) -> Iterator[Any]:
    """As its documentation has it: Pillow decodes and resizes."""
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
    pictures = torch.utils.data.ConcatDataset([folder] * repeats(args, len(folder)))
    return iter(
        torch.utils.data.DataLoader(
            pictures, args.batch, shuffle=True, num_workers=contender.cores(), drop_last=True
        )
    )


PIPELINES = {
    "tinyalex": (tinyalex, ("tinyalex", "numpy", "pillow")),
    "torchvision": (torchvision, ("torch", "torchvision", "pillow")),
    "torchvision-tensors": (torchvision_tensors, ("torch", "torchvision")),
}
"""And the libraries that do the work."""


def repeats(args: argparse.Namespace, pictures: int) -> int:
    """How often an epoch has each picture: all that is timed is one epoch."""
    return math.ceil(args.batch * (args.batches + 2 * AHEAD) / pictures)


def main() -> None:
    args = arguments()
    others = contender.Others()
    pipeline, libraries = PIPELINES[args.pipeline]
    batches = pipeline(args)
    first = [np.asarray(next(batches)[0]) for _ in range(AHEAD)]
    began = time.perf_counter()
    for _ in range(args.batches):
        images, _ = next(batches)
    seconds = time.perf_counter() - began
    del batches  # ends the workers: only then is it known how long they have computed
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
        help="tinyalex: whatever data.find_images finds pictures in; torchvision: class folders in train/",
    )
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--batches", type=int, default=100, help="that are timed (default: 100)")
    return p.parse_args()


if __name__ == "__main__":
    main()
