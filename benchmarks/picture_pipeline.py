#!/usr/bin/env python3
"""How many pictures a second reach the network in training, with tinyalex and with torchvision's ImageFolder and DataLoader?

    python benchmarks/picture_pipeline.py imagenet/

The pictures lie in class folders, or in train/ and val/ with class folders in each. tinyalex reads them as they are, and from shards that
`tinyalex prepare --size 256` makes of them; torchvision reads them as they are and, for fairness, the shards' JPEG files in class folders.
It has as many worker processes as there are cores, and tinyalex as many threads. In each round each pipeline has a process of its own
(picture_batches.py), one after the other; shown are medians over rounds. A ratio is tinyalex's pictures a second over torchvision's *in the
same round*, its median and range over rounds. torchvision takes part twice: as its documentation has it, where Pillow decodes and resizes,
and with its own decoder and its transforms on tensors.
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
from alexnet_step import busiest, positive
from picture_batches import RESIZE, SIZE
from turns import OURS

from tinyalex import data
from tinyalex.data.folders import class_names, image_files
from tinyalex.data.preparing import Options, prepare

TORCHVISION = turns.HERE.parent / ".venv" / "torchvision" / "bin" / "python"
UNTOUCHED, SHARDS, UNPACKED = "untouched files", "shards", "the shards' files"
TURNS = (
    (UNTOUCHED, "tinyalex"),
    (UNTOUCHED, "torchvision"),
    (UNTOUCHED, "torchvision-tensors"),
    (SHARDS, "tinyalex"),
    (UNPACKED, "torchvision"),
    (UNPACKED, "torchvision-tensors"),
)
"""In this order: which pictures, and who reads them."""

Turn = tuple[str, str]


def main() -> int:
    args = arguments()
    python = str(args.torchvision_python)
    reason = turns.absent("torchvision", python, "see benchmarks/README.md", "--torchvision-python")
    if reason:
        print(f"left out: torchvision {reason}", flush=True)
    each = [(pictures, pipeline) for pictures, pipeline in TURNS if pipeline == OURS or not reason]
    with tempfile.TemporaryDirectory(prefix="tinyalex-benchmark-") as temporary:
        folders = {
            pictures: Path(temporary) / pictures for pictures in (UNTOUCHED, SHARDS, UNPACKED)
        }
        count = link(args.pictures, folders[UNTOUCHED])
        print(f"{count} pictures; shards are made of them", flush=True)
        prepare(folders[UNTOUCHED], folders[SHARDS], Options(RESIZE), progress=False)
        unpack(folders[SHARDS], folders[UNPACKED])
        rounds = [play(args, each, folders, number) for number in range(args.rounds)]
    found = {
        "pictures": count,
        "batch": args.batch,
        "batches": args.batches,
        "machine": machine.describe(),
        "versions": {
            pipeline: rounds[0][pictures, pipeline]["versions"] for pictures, pipeline in each
        },
        "left_out": {"torchvision": reason} if reason else {},
        "results": [result(rounds, turn) for turn in each],
    }
    found["machine"]["torch"] = found["versions"].get("torchvision", {}).get("torch")
    text = as_text(found)
    report.write_json(args.output, args.name, found)
    report.write_text(args.output, args.name, text)
    report.draw_bars([panel(found)], "pictures a second", args.output / f"{args.name}.png")
    print(f"\n{text}\n\nwritten: {args.output / args.name}.json, .md, .png")
    return 0


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "pictures",
        type=Path,
        help="a folder of class folders, or one with such folders in train/ and val/",
    )
    p.add_argument("--batch", type=positive, default=32)
    p.add_argument(
        "--batches",
        type=positive,
        default=100,
        help="that are timed in each process (default: 100)",
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
    p.add_argument("--name", default="picture-pipeline", help="of the files")
    return p.parse_args()


def link(source: Path, folder: Path) -> int:
    """All pictures of `source` under train/ in `folder`, as links; how many. Both halves: more pictures, and of more kinds."""
    halves = [
        half for half in (source / "train", source / "val", source / "test") if half.is_dir()
    ] or [source]
    count = 0
    for half in halves:
        for name in class_names(half):
            (folder / "train" / name).mkdir(parents=True, exist_ok=True)
            for file in image_files(half / name):
                (folder / "train" / name / f"{count}{file.suffix}").symlink_to(file.resolve())
                count += 1
    if count == 0:
        raise ValueError(
            f"there are no pictures in class folders in {source}, nor in its train/ and val/.\nCheck the path."
        )
    (folder / "val").symlink_to("train")  # which `prepare` asks for, and nobody reads
    return count


def unpack(shards: Path, folder: Path) -> None:
    source = data.find_images(shards)
    for picture in source.train:
        file = folder / "train" / source.classes[picture.label] / f"{picture.name}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture.stored.read())


def play(
    args: argparse.Namespace, each: list[Turn], folders: dict[str, Path], number: int
) -> dict[Turn, dict[str, Any]]:
    """A round. RuntimeError where somebody's batches are not what the others' are."""
    found = {}
    for pictures, pipeline in each:
        python = sys.executable if pipeline == OURS else str(args.torchvision_python)
        command = [python, str(turns.HERE / "picture_batches.py"), pipeline, str(folders[pictures])]
        command += [f"--batch={args.batch}", f"--batches={args.batches}"]
        said = found[pictures, pipeline] = turns.ask(f"{pipeline}, {pictures}", command)
        first = next(iter(found.values()))
        # Which pictures come first, and what is cut from them, is drawn by each for itself.
        if said["shape"] != [args.batch, 3, SIZE, SIZE] or any(
            abs(said[n] - first[n]) > 0.3 for n in ("mean", "deviation")
        ):
            raise RuntimeError(
                f"{pipeline}, {pictures}, does not give what {OURS} gives: {said}, not {first}."
            )
    speeds = ", ".join(
        f"{pipeline} ({pictures}) {said['images_per_second']:.4g}"
        for (pictures, pipeline), said in found.items()
    )
    print(f"round {number + 1} of {args.rounds}, images/s: {speeds}", flush=True)
    return found


def result(rounds: list[dict[Turn, dict[str, Any]]], turn: Turn) -> dict[str, Any]:
    pictures, pipeline = turn
    speeds = {key: [played[key]["images_per_second"] for played in rounds] for key in rounds[0]}
    sources = [] if pipeline == OURS else [SHARDS] if pictures == UNPACKED else [UNTOUCHED, SHARDS]
    return {
        "pictures": pictures,
        "pipeline": pipeline,
        "images_per_second": median(speeds[turn]),
        "by_round": speeds[turn],
        "ratios": {source: turns.ratio(speeds[source, OURS], speeds[turn]) for source in sources},
        "others_busy": busiest([played[turn]["others"] for played in rounds]),
    }


def as_text(found: dict[str, Any]) -> str:
    head = [
        "pictures",
        "pipeline",
        "images/s",
        "tinyalex is",
        "range",
        "from shards it is",
        "range",
    ]
    rows = [
        [
            r["pictures"],
            r["pipeline"],
            f"{r['images_per_second']:.4g}",
            *as_cells(r["ratios"].get(UNTOUCHED)),
            *as_cells(r["ratios"].get(SHARDS)),
        ]
        for r in found["results"]
    ]
    others = busiest([r["others_busy"] for r in found["results"]])
    notes = [
        f"Batches of {found['batch']}, float32, 3 x {SIZE} x {SIZE}; {found['batches']} batches a round, after those that workers prepare "
        f"while they start. {found['pictures']} pictures, repeated, so that the system has the files in memory.",
        "" if others is None else f"Meanwhile other programs kept at most {others:.2f} cores busy.",
    ]
    versions = [
        f"- {pipeline}: {', '.join(f'{library} {version}' for library, version in libraries.items())}"
        for pipeline, libraries in found["versions"].items()
    ]
    return "\n\n".join(
        [
            "## From picture files to batches",
            "\n".join([machine.as_text(found["machine"]), *versions]),
            report.table(head, rows, left=2),
            " ".join(filter(None, notes)),
            *(
                f"Left out: {library}, which is {reason}."
                for library, reason in found["left_out"].items()
            ),
        ]
    )


def as_cells(ratio: dict[str, Any] | None) -> list[str]:
    return (
        [f"{ratio['median']:.2f} x", f"{ratio['lowest']:.2f} to {ratio['highest']:.2f}"]
        if ratio
        else ["", ""]
    )


def panel(found: dict[str, Any]) -> tuple[str, list[tuple[str, float, str, bool]]]:
    bars = [
        (
            f"{r['pipeline']}, {r['pictures']}",
            r["images_per_second"],
            f"{r['images_per_second']:.4g}",
            r["pipeline"] == OURS,
        )
        for r in found["results"]
    ]
    return (
        f"From picture files to batches of {found['batch']}, {found['machine']['cores']} cores",
        bars,
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"picture_pipeline.py: {error}")
