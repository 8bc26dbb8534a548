"""`tinyalex prepare`: pictures of any size and kind become shards of JPEG files whose shorter side is 256 pixels (section 2).

What is decoded in each epoch is then small, and lies in few files. A shard's pictures are settled by their numbers alone, and a shard is
whole or not there: a run that was killed goes on where it was, and gives the same bytes.
"""

import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyalex import device
from tinyalex.data.decoding import decode
from tinyalex.data.shards import INDEX, PLAN, read_note, write_shard
from tinyalex.data.sources import Source, find_pictures
from tinyalex.data.stored import Picture
from tinyalex.serialization import atomic_write

LEFT_OVER = re.compile(r"\.(plan\.json|index\.json|(train|val)-\d{5,}\.tar)\.\d+")
"""What a run leaves that was killed while it wrote one of its files (see `files.atomic_write`)."""

JPEG_SIDE = 65500
"""Pixels, the most that libjpeg writes."""


class Options(NamedTuple):
    size: int = 256
    """Pixels of the shorter side."""
    quality: int = 90
    """Of the JPEG files, from 1 to 95."""
    per_shard: int = 1000


class Shard(NamedTuple):
    """Which pictures go into a file."""

    path: Path
    first: int
    pictures: list[Picture]


def prepare(
    source: str | Path, out: str | Path, options: Options | None = None, *, progress: bool = True
) -> dict[str, Any]:
    """Write the pictures of `source` (see `find_pictures`) into shards in the folder `out`; returns its index.

    Pictures that cannot be read are left out, and named in the index under "skipped". Training pictures are shuffled, once, so that
    each shard has many classes. Raises ValueError where `out` belongs to other pictures or options, or has files of its own.
    """
    chosen = options or Options()
    _check(chosen)
    found, folder = _shuffled(find_pictures(source)), Path(out).expanduser()
    _claim(folder, found, chosen)
    shards = [
        shard
        for split in ("train", "val")
        for shard in _shards(folder, split, found, chosen.per_shard)
    ]
    total = sum(len(shard.pictures) for shard in shards)
    with _bar(total, progress) as bar, ThreadPoolExecutor(device.workers()) as pool:
        for shard in shards:
            if not shard.path.exists():
                _write(shard, chosen, pool)
            bar.update(len(shard.pictures))
    index = _index(found, shards, chosen)
    with atomic_write(folder / INDEX) as unfinished:
        unfinished.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return index


def _check(options: Options) -> None:
    for name, value, least, most in (
        ("size", options.size, 1, 4096),
        ("quality", options.quality, 1, 95),
        ("per_shard", options.per_shard, 1, 10**6),
    ):
        if not isinstance(value, int) or not least <= value <= most:
            raise ValueError(
                f"expected {name} to be a whole number from {least} to {most}, got {value!r}."
            )


def _shuffled(found: Source) -> Source:
    order = device.generator("prepare", 0, seed=0).permutation(len(found.train))
    return found._replace(train=[found.train[i] for i in order])


def _claim(folder: Path, found: Source, options: Options) -> None:
    """Say what `folder` will hold, before anything else is written there; or see that it is the same as an earlier run said."""
    import PIL  # another version may write other bytes

    plan = {
        **options._asdict(),
        "train": len(found.train),
        "val": len(found.val),
        "pictures": found.digest(),
        "pillow": PIL.__version__,
    }
    if (folder / PLAN).exists():
        before = _read_plan(folder)
        changed = [
            f"{name} {before.get(name)}, not {value}"
            for name, value in plan.items()
            if before.get(name) != value
        ]
        if changed:
            raise ValueError(
                f"{folder} was begun with other pictures or options: {'; '.join(changed)}.\n"
                "Give a new or empty folder, or what it was begun with."
            )
    elif folder.exists() and any(not file.name.startswith(".") for file in folder.iterdir()):
        raise ValueError(
            f"{folder} has files of its own, and is not from `tinyalex prepare`.\nGive a new or empty folder."
        )
    else:
        with atomic_write(folder / PLAN) as unfinished:
            unfinished.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")
    for file in list(folder.iterdir()):
        if LEFT_OVER.fullmatch(file.name) and file.is_file():
            file.unlink()


def _read_plan(folder: Path) -> dict[str, Any]:
    try:
        plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except ValueError:
        plan = None
    if not isinstance(plan, dict) or "pictures" not in plan:
        raise ValueError(
            f"{folder / PLAN} is not from `tinyalex prepare`.\nGive a new or empty folder."
        )
    return plan


def _shards(folder: Path, split: str, found: Source, per_shard: int) -> Iterator[Shard]:
    pictures = getattr(found, split)
    for number, first in enumerate(range(0, len(pictures), per_shard)):
        yield Shard(
            folder / f"{split}-{number:05d}.tar", first, pictures[first : first + per_shard]
        )


def _write(shard: Shard, options: Options, pool: ThreadPoolExecutor) -> None:
    samples, skipped = [], []
    sums, products = np.zeros(3, np.int64), np.zeros((3, 3), np.int64)
    pixels = 0
    for number, (picture, result) in enumerate(
        zip(shard.pictures, pool.map(lambda p: _small(p, options), shard.pictures), strict=True)
    ):
        if isinstance(result, str):
            skipped.append({"name": picture.name, "error": result})
            continue
        data, (count, total, squares) = result
        samples.append((f"{shard.first + number:08d}", data, picture.label))
        pixels, sums, products = pixels + count, sums + total, products + squares
    note = {
        "skipped": skipped,
        "pixels": pixels,
        "sums": sums.tolist(),
        "products": products.tolist(),
    }
    write_shard(shard.path, samples, note)


def _small(picture: Picture, options: Options) -> Any:
    """(JPEG file, counts of its colours); or why the picture cannot be read."""
    try:
        image = decode(picture.stored.read(), options.size)
    except ValueError as error:
        return str(error)
    if max(image.size) > JPEG_SIDE:
        return f"{image.size[0]} x {image.size[1]} pixels at this size are more than the {JPEG_SIDE} that a JPEG file can have"
    file = io.BytesIO()
    image.save(file, "JPEG", quality=options.quality, comment=b"")
    colours = np.asarray(image).reshape(-1, 3)
    # Whole numbers: their sums are exact, in whatever order they are made. float64 holds those of a picture, and is what BLAS multiplies.
    wide = colours.astype(np.float64)
    return file.getvalue(), (
        len(colours),
        colours.sum(axis=0, dtype=np.int64),
        (wide.T @ wide).astype(np.int64),
    )


def _index(found: Source, shards: list[Shard], options: Options) -> dict[str, Any]:
    notes = {shard.path.name: read_note(shard.path) for shard in shards}
    training = [note for name, note in notes.items() if name.startswith("train")]
    pixels = sum(note["pixels"] for note in training)
    mean = np.array(
        [sum(values) for values in zip(*(note["sums"] for note in training), strict=True)]
    ) / max(1, pixels)
    products = sum(np.array(note["products"], np.float64) for note in training) / max(1, pixels)
    return {
        "classes": list(found.classes),
        "size": options.size,
        "quality": options.quality,
        "shards": [shard.path.name for shard in shards],
        "mean": mean.tolist(),
        "covariance": (products - np.outer(mean, mean)).tolist(),
        "skipped": [entry for note in notes.values() for entry in note["skipped"]],
    }


def _bar(total: int, progress: bool) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, unit=" pictures", disable=not progress)
