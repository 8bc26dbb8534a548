#!/usr/bin/env python3
"""How many image files per second become batches, in tinyalex and torchvision?

    python benchmarks/file_pipeline.py imagenet/

The images are in class folders, or in train/ and val/ with class folders in each.
tinyalex reads the files, and shards that `tinyalex prepare --size 256` writes;
torchvision's ImageFolder and DataLoader read the files and, for a fair comparison, the
shards' JPEG files in class folders, with one worker process per core; tinyalex has one
thread per core. In each round each pipeline runs in a process of its own
(file_batches.py), alternating. The report has medians over rounds. A ratio is
tinyalex's images/s over torchvision's *in the same round*; the report has its median
and range over rounds. torchvision is measured twice: as in its documentation, where
Pillow decodes and resizes, and with its own decoder and transforms on tensors.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import machine
import report
import turns
from alexnet_step import positive
from file_batches import RESIZE, SIZE
from step_report import busiest
from turns import OURS

from tinyalex import data
from tinyalex.data.folders import class_names, image_files
from tinyalex.data.preparing import Options, prepare

TORCHVISION = turns.HERE.parent / ".venv" / "torchvision" / "bin" / "python"
ORIGINALS, SHARDS, UNPACKED = "original files", "shards", "the shards' files"
TURNS = (
    (ORIGINALS, "tinyalex"),
    (ORIGINALS, "torchvision"),
    (ORIGINALS, "torchvision-tensors"),
    (SHARDS, "tinyalex"),
    (UNPACKED, "torchvision"),
    (UNPACKED, "torchvision-tensors"),
)
"""(files, pipeline) in the order of a round."""

Turn = tuple[str, str]


def main() -> int:
    args = arguments()
    python = str(args.torchvision_python)
    reason = turns.absent("torchvision", python, "see benchmarks/README.md", "--torchvision-python")
    if reason:
        print(f"left out: torchvision {reason}", flush=True)
    each = [(files, pipeline) for files, pipeline in TURNS if pipeline == OURS or not reason]
    with tempfile.TemporaryDirectory(prefix="tinyalex-benchmark-") as temporary:
        folders = {files: Path(temporary) / files for files in (ORIGINALS, SHARDS, UNPACKED)}
        count = link(args.images, folders[ORIGINALS])
        print(f"{count} images; writing shards", flush=True)
        prepare(folders[ORIGINALS], folders[SHARDS], Options(RESIZE), progress=False)
        unpack(folders[SHARDS], folders[UNPACKED])
        rounds = [measure_round(args, each, folders, number) for number in range(args.rounds)]
    found = {
        "images": count,
        "batch": args.batch,
        "batches": args.batches,
        "machine": machine.describe(),
        "versions": {pipeline: rounds[0][files, pipeline]["versions"] for files, pipeline in each},
        "left_out": {"torchvision": reason} if reason else {},
        "results": [result(rounds, turn) for turn in each],
    }
    found["machine"]["torch"] = found["versions"].get("torchvision", {}).get("torch")
    text = as_text(found)
    report.write_json(args.output, args.name, found)
    report.write_text(args.output, args.name, text)
    report.draw_bars([panel(found)], "images/s", args.output / f"{args.name}.png")
    print(f"\n{text}\n\nwritten: {args.output / args.name}.json, .md, .png")
    return 0


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "images",
        type=Path,
        help="a folder of class folders, or one with such folders in train/ and val/",
    )
    p.add_argument("--batch", type=positive, default=32)
    p.add_argument(
        "--batches",
        type=positive,
        default=100,
        help="number of timed batches in each process (default: 100)",
    )
    p.add_argument("--rounds", type=positive, default=5)
    p.add_argument(
        "--torchvision-python",
        type=Path,
        default=TORCHVISION,
        metavar="PATH",
        help="default: .venv/torchvision/bin/python",
    )
    p.add_argument(
        "--output",
        type=Path,
        default=report.RESULTS,
        metavar="FOLDER",
        help="default: benchmarks/results",
    )
    p.add_argument("--name", default="file-pipeline", help="name of the files")
    return p.parse_args()


def link(source: Path, folder: Path) -> int:
    """Link all images of `source`, train and val, in train/ of `folder`; return their
    number."""
    splits = [
        split for split in (source / "train", source / "val", source / "test") if split.is_dir()
    ] or [source]
    count = 0
    for split in splits:
        for name in class_names(split):
            (folder / "train" / name).mkdir(parents=True, exist_ok=True)
            for file in image_files(split / name):
                (folder / "train" / name / f"{count}{file.suffix}").symlink_to(file.resolve())
                count += 1
    if count == 0:
        raise ValueError(
            f"expected images in class folders in {source}, or in its train/ and val/, found none. "
            "Check the path."
        )
    (folder / "val").symlink_to("train")  # `prepare` requires it
    return count


def unpack(shards: Path, folder: Path) -> None:
    source = data.find_images(shards)
    for image in source.train:
        file = folder / "train" / source.classes[image.label] / f"{image.name}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(image.stored.read())


def measure_round(
    args: argparse.Namespace, each: list[Turn], folders: dict[str, Path], number: int
) -> dict[Turn, dict[str, Any]]:
    """A round. RuntimeError if the batches of two pipelines differ."""
    found = {}
    for files, pipeline in each:
        python = sys.executable if pipeline == OURS else str(args.torchvision_python)
        command = [python, str(turns.HERE / "file_batches.py"), pipeline, str(folders[files])]
        command += [f"--batch={args.batch}", f"--batches={args.batches}"]
        stats = found[files, pipeline] = turns.run_json(f"{pipeline}, {files}", command)
        first = next(iter(found.values()))
        # Orders and crops are random: only statistics can be compared.
        if stats["shape"] != [args.batch, 3, SIZE, SIZE] or any(
            abs(stats[n] - first[n]) > 0.3 for n in ("mean", "deviation")
        ):
            raise RuntimeError(
                f"{pipeline}, {files}, does not return what {OURS} returns: {stats}, not {first}."
            )
    speeds = ", ".join(
        f"{pipeline} ({files}) {stats['images_per_second']:.4g}"
        for (files, pipeline), stats in found.items()
    )
    print(f"round {number + 1} of {args.rounds}, images/s: {speeds}", flush=True)
    return found


def result(rounds: list[dict[Turn, dict[str, Any]]], turn: Turn) -> dict[str, Any]:
    files, pipeline = turn
    speeds = {key: [stats[key]["images_per_second"] for stats in rounds] for key in rounds[0]}
    sources = [] if pipeline == OURS else [SHARDS] if files == UNPACKED else [ORIGINALS, SHARDS]
    return {
        "files": files,
        "pipeline": pipeline,
        "images_per_second": median(speeds[turn]),
        "by_round": speeds[turn],
        "ratios": {source: turns.ratio(speeds[source, OURS], speeds[turn]) for source in sources},
        "others_busy": busiest([stats[turn]["others"] for stats in rounds]),
    }


def as_text(found: dict[str, Any]) -> str:
    head = ["files", "pipeline", "images/s", "tinyalex is", "range", "from shards it is", "range"]
    rows = [
        [
            r["files"],
            r["pipeline"],
            f"{r['images_per_second']:.4g}",
            *as_cells(r["ratios"].get(ORIGINALS)),
            *as_cells(r["ratios"].get(SHARDS)),
        ]
        for r in found["results"]
    ]
    others = busiest([r["others_busy"] for r in found["results"]])
    notes = (
        f"Batches of {found['batch']}, float32, 3 x {SIZE} x {SIZE}; {found['batches']} batches a "
        "round, after those that workers prepare while they start. "
        f"{found['images']} images, repeated, so that their files are in the page cache."
    )
    if others is not None:
        notes += f" Meanwhile other programs used at most {others:.2f} cores."
    description = [machine.as_text(found["machine"])]
    for pipeline, libraries in found["versions"].items():
        versions = ", ".join(f"{library} {version}" for library, version in libraries.items())
        description.append(f"- {pipeline}: {versions}")
    left_out = [f"Left out: {name}, which is {why}." for name, why in found["left_out"].items()]
    table = report.table(head, rows, left=2)
    return "\n\n".join(
        ["## From image files to batches", "\n".join(description), table, notes, *left_out]
    )


def as_cells(ratio: dict[str, Any] | None) -> list[str]:
    if ratio is None:
        return ["", ""]
    return [f"{ratio['median']:.2f} x", f"{ratio['lowest']:.2f} to {ratio['highest']:.2f}"]


def panel(found: dict[str, Any]) -> tuple[str, list[tuple[str, float, str, bool]]]:
    bars = []
    for r in found["results"]:
        speed, ours = r["images_per_second"], r["pipeline"] == OURS
        bars.append((f"{r['pipeline']}, {r['files']}", speed, f"{speed:.4g}", ours))
    cores = found["machine"]["cores"]
    return f"From image files to batches of {found['batch']}, {cores} cores", bars


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"file_pipeline.py: {error}")
