"""`tinyalex prepare`: images of any size and format become shards of small JPEG files.

Their shorter side is 256 pixels (section 2): decoding them in each epoch is fast. The
images of a shard depend on their indices only, and a shard is written completely or not
at all, so that a killed run can be resumed, with the same bytes as a result.
"""

import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyalex import device
from tinyalex.data.checks import is_integer
from tinyalex.data.decoding import decode
from tinyalex.data.records import ImageRecord
from tinyalex.data.shards import INDEX, PLAN, read_note, write_shard
from tinyalex.data.sources import Source, find_images
from tinyalex.data.text_files import read_text
from tinyalex.serialization import atomic_write

TEMPORARY_FILES = re.compile(r"\.(plan\.json|index\.json|(train|val)-\d{5,}\.tar)\.\d+")
"""Of `serialization.atomic_write`, left by a run that was killed."""

MAX_JPEG_SIDE = 65500
"""In pixels: the limit of libjpeg."""


class Options(NamedTuple):
    size: int = 256
    """Pixels of the shorter side."""
    quality: int = 90
    """Of the JPEG files, from 1 to 95."""
    per_shard: int = 1000


class Shard(NamedTuple):
    """The images of a shard, and the index of the first."""

    path: Path
    first: int
    records: list[ImageRecord]


def prepare(
    source: str | Path, out: str | Path, options: Options | None = None, *, progress: bool = True
) -> dict[str, Any]:
    """Write the images of `source` (see `find_images`) to shards in the folder `out`.

    Returns the index. Images that cannot be read are left out, and listed in the index
    under "skipped". Training images are shuffled once, so that each shard has many
    classes. Raises ValueError if `out` has other files, or shards of other images or
    options.
    """
    from tqdm import tqdm

    options = options or Options()
    _check(options)
    folder = Path(out).expanduser()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder.\nGive a new or empty folder.")
    found = find_images(source)
    order = device.generator("prepare", 0, seed=0).permutation(len(found.train))
    found = found._replace(train=[found.train[i] for i in order])
    _start(folder, found, options)
    shards = list(_shards(folder, found, options.per_shard))
    total = len(found.train) + len(found.val)
    with (
        tqdm(total=total, unit=" images", disable=not progress) as bar,
        ThreadPoolExecutor(device.workers()) as pool,
    ):
        for shard in shards:
            if not shard.path.exists():
                _write(shard, options, pool)
            bar.update(len(shard.records))
    index = _index(found, shards, options)
    _write_json(folder / INDEX, index)
    return index


def _check(options: Options) -> None:
    limits = {"size": (1, 4096), "quality": (1, 95), "per_shard": (1, 10**6)}
    for name, (low, high) in limits.items():
        value = getattr(options, name)
        if not isinstance(value, int) or not low <= value <= high:
            raise ValueError(
                f"expected {name} to be an integer from {low} to {high}, got {value!r}."
            )


def _start(folder: Path, found: Source, options: Options) -> None:
    """Write the plan of the folder's contents, or compare it with the existing one."""
    import PIL  # another version may encode differently

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
            "other image files (a hash of their names and sizes)"
            if name == "pictures"
            else f"{name} {str(before.get(name))[:100]}, not {value}"
            for name, value in plan.items()
            if before.get(name) != value
        ]
        if changed:
            raise ValueError(
                f"{folder} was started with other images or options: {'; '.join(changed)}.\n"
                "Give a new or empty folder, or the same images and options."
            )
    elif folder.exists() and any(not file.name.startswith(".") for file in folder.iterdir()):
        raise ValueError(
            f"{folder} has files that are not from `tinyalex prepare`.\nGive a new or empty folder."
        )
    else:
        _write_json(folder / PLAN, plan)
    for file in list(folder.iterdir()):
        if TEMPORARY_FILES.fullmatch(file.name) and file.is_file():
            file.unlink()


def _read_plan(folder: Path) -> dict[str, Any]:
    try:
        plan = json.loads(read_text(folder / PLAN))
    except (ValueError, RecursionError):
        plan = None
    if not isinstance(plan, dict) or "pictures" not in plan:
        raise ValueError(
            f"{folder / PLAN} was not written by `tinyalex prepare`.\nGive a new or empty folder."
        )
    return plan


def _write_json(path: Path, value: Any) -> None:
    with atomic_write(path) as unfinished:
        unfinished.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _shards(folder: Path, found: Source, per_shard: int) -> Iterator[Shard]:
    for split, records in (("train", found.train), ("val", found.val)):
        for number, first in enumerate(range(0, len(records), per_shard)):
            path = folder / f"{split}-{number:05d}.tar"
            yield Shard(path, first, records[first : first + per_shard])


def _write(shard: Shard, options: Options, pool: ThreadPoolExecutor) -> None:
    samples, skipped = [], []
    moments = np.zeros((4, 4), np.int64)
    results = pool.map(partial(_encode, options=options), shard.records)
    for i, (record, result) in enumerate(zip(shard.records, results, strict=True), shard.first):
        if isinstance(result, str):
            skipped.append({"name": record.name, "error": result})
            continue
        samples.append((f"{i:08d}", result[0], record.label))
        moments += result[1]
    note = {
        "skipped": skipped,
        "pixels": int(moments[0, 0]),
        "sums": moments[0, 1:].tolist(),
        "products": moments[1:, 1:].tolist(),
    }
    write_shard(shard.path, samples, note)


def _encode(record: ImageRecord, options: Options) -> tuple[bytes, np.ndarray] | str:
    """(JPEG file, sums of the products of (1, R, G, B)), or the error."""
    try:
        image = decode(record.stored.read(), options.size)
    except ValueError as error:
        return str(error)
    if max(image.size) > MAX_JPEG_SIDE:
        width, height = image.size
        return f"its {width} x {height} pixels at this size exceed JPEG's limit of {MAX_JPEG_SIDE}"
    file = io.BytesIO()
    image.save(file, "JPEG", quality=options.quality, comment=b"")
    colours = np.asarray(image).reshape(-1, 3)
    # Sums of integers are exact in any order; those of one image also in float64.
    wide = np.column_stack([np.ones(len(colours)), colours])
    return file.getvalue(), (wide.T @ wide).astype(np.int64)


def _index(found: Source, shards: list[Shard], options: Options) -> dict[str, Any]:
    notes = {shard.path.name: _read_note(shard.path) for shard in shards}
    training = [note for name, note in notes.items() if name.startswith("train")]
    pixels = max(1, sum(note["pixels"] for note in training))
    sums = [sum(values) for values in zip(*(note["sums"] for note in training), strict=True)]
    mean = np.array(sums) / pixels
    products = sum(np.array(note["products"], np.float64) for note in training) / pixels
    return {
        "classes": list(found.classes),
        "size": options.size,
        "quality": options.quality,
        "shards": [shard.path.name for shard in shards],
        "mean": mean.tolist(),
        "covariance": (products - np.outer(mean, mean)).tolist(),
        "skipped": [entry for note in notes.values() for entry in note["skipped"]],
    }


def _read_note(path: Path) -> dict[str, Any]:
    """The note of `_write` in a shard. Raises ValueError for another one."""
    note = read_note(path)
    try:
        sums = [[note["pixels"]], note["sums"], *note["products"]]
        right = [*map(len, sums)] == [1, 3, 3, 3, 3]
        right &= all(is_integer(value) and 0 <= value < 2**63 for row in sums for value in row)
        for entry in note["skipped"]:
            right &= isinstance(entry["name"], str) and isinstance(entry["error"], str)
        if right:
            return note
    except (TypeError, KeyError):
        pass
    raise ValueError(
        f"{path} was not written by `tinyalex prepare`: expected a note with sums of pixels.\n"
        "Remove it, and prepare again."
    )
