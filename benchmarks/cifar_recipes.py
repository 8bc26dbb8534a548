#!/usr/bin/env python3
"""Which test errors have trained networks, and rounded to small files?

    python benchmarks/cifar_recipes.py runs/cifar-18pct runs/cifar-11pct

Reads finished runs of train_cifar.py with cuda-convnet's recipes: the log, and the
final weights, with which it computes the test errors. `--weights DIR` also writes the
weights, rounded to files of less than 1 MB, which `tinyalex predict` accepts.
"""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import machine
import numpy as np
import report

from tinyalex import data, models, nn, serialization, training
from tinyalex.cli.options import file_path
from tinyalex.models import cifar_weights
from tinyalex.models.quantized_weights import dequantize, quantize
from tinyalex.plots.figures import INK, new_figure

LEVELS = {
    "18pct": {},
    "13pct": {"conv1": 255, "conv2": 255, "local3": 83, "local4": 83, "fc": 255},
    "11pct": {"conv1": 255, "conv2": 255, "local3": 9, "local4": 11, "fc": 255},
}
"""Levels of the weights of each layer in small files; others become float16."""

MAX_SMALL_BYTES = 1_000_000

PUBLISHED = {"18pct": (18, 140), "13pct": (13, 160), "11pct": (11, 520)}
"""cuda-convnet's test error in percent, and epochs (docs/cifar.md)."""


def main() -> int:
    args = arguments()
    _, test = data.shapes() if args.data == "shapes" else data.cifar10(args.data)
    test = test[: args.subset]
    folders = [Path(run).resolve() for run in args.runs]
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):
        raise ValueError(
            f"expected folders with different names, which the small files have, got {names}."
        )
    runs = [measure(folder, test, args.weights) for folder in folders]
    if args.add:
        file = args.output / f"{args.name}.json"
        before = json.loads(file.read_text(encoding="utf-8"))["runs"]
        runs = [run for run in before if run["run"] not in names] + runs
    found = {"images": len(test), "machine": machine.describe(), "runs": runs}
    text = as_text(found)
    print(text)
    report.write_json(args.output, args.name, found)
    report.write_text(args.output, args.name, text)
    draw(runs, args.output / f"{args.name}.png")
    return 0


def measure(run: Path, test: data.Dataset, weights_folder: Path | None) -> dict[str, Any]:
    """The log of a run, the test errors of its weights, and those of a small file."""
    file = run / "model.safetensors"
    weights = models.read_weights(file)
    recipe = (weights.variant or "").removeprefix("cifar-")
    if recipe not in LEVELS:
        raise ValueError(
            f"{run} is a run of {weights.variant!r}, expected train_cifar.py --model with one of "
            f"{', '.join(LEVELS)}."
        )
    network, preprocess = cifar_weights.load_cifar(file, weights)
    levels = {f"{layer}.weight": count for layer, count in LEVELS[recipe].items()}
    arrays, entry = quantize(weights.arrays, levels)
    file_size = None
    if weights_folder is not None:
        folder = weights_folder / run.name
        folder.mkdir(parents=True, exist_ok=True)
        small = folder / "best.safetensors"
        stored = cifar_weights.metadata(
            recipe, test.classes, preprocess.mean, preprocess.scale, preprocess.size
        )
        serialization.save(small, arrays, stored | weights.metadata | entry)
        file_size = small.stat().st_size
        if file_size >= MAX_SMALL_BYTES:
            raise ValueError(
                f"{small} has {file_size:,} bytes, expected less than {MAX_SMALL_BYTES:,}."
            )
    with open(run / "log.csv", newline="", encoding="utf-8") as file:
        log = [{name: float(text) for name, text in line.items()} for line in csv.DictReader(file)]
    trained = errors(network, test, preprocess)
    network.load_state_dict(dequantize(arrays, entry))
    return {
        "run": run.name,
        "recipe": recipe,
        "lrn": any(isinstance(m, nn.LocalResponseNorm) for m in network.modules()),
        "epochs": len(log),
        "hours": sum(line["seconds"] for line in log) / 3600,
        "images_per_second": float(np.median([line["images_per_second"] for line in log])),
        "train_error": log[-1]["train_error"],
        "errors": trained,
        "small": errors(network, test, preprocess),
        "small_bytes": file_size,
        "log": [
            {name: line[name] for name in ("epoch", "lr", "train_error", "valid_error")}
            for line in log
        ],
    }


def errors(model: Any, test: data.Dataset, preprocess: cifar_weights.MeanImage) -> list[float]:
    """The test error of the whole image, or of the centre and of ten views."""
    mean, scale, size = preprocess.mean, preprocess.scale, preprocess.size
    transforms: list[Any] = [data.Normalize(mean, scale, size)]
    if size < mean.shape[1]:
        transforms.append(data.TenViews(mean, scale, size=size))
    return [
        training.evaluate(model, data.Loader(test, 50, transform=transform)).error
        for transform in transforms
    ]


def as_text(found: dict[str, Any]) -> str:
    head = [
        "run",
        "LRN",
        "epochs",
        "hours",
        "images/s",
        "training error",
        "test error, centre",
        "ten views",
        "small file",
        "its test error",
        "published",
        "its epochs",
    ]
    rows = [
        [
            run["run"],
            "yes" if run["lrn"] else "no",
            str(run["epochs"]),
            f"{run['hours']:.1f}",
            f"{run['images_per_second']:.0f}",
            percent(run["train_error"]),
            percent(run["errors"][0]),
            percent(run["errors"][1]) if len(run["errors"]) > 1 else "",
            f"{run['small_bytes'] / 1000:.0f} kB" if run["small_bytes"] else "",
            percent(run["small"][-1]),
            f"{PUBLISHED[run['recipe']][0]} %",
            str(PUBLISHED[run["recipe"]][1]),
        ]
        for run in found["runs"]
    ]
    note = f"Test errors are of {found['images']} images; the training error is the last epoch's."
    return "\n".join([report.table(head, rows), "", note, "", machine.as_text(found["machine"])])


def percent(error: float) -> str:
    return f"{100 * error:.2f} %"


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    """The training error by epoch, with the test error as a point at the end."""
    figure = new_figure(8.2, 4.2)
    axes = figure.add_subplot()
    for i, run in enumerate(runs):
        epochs = [line["epoch"] for line in run["log"]]
        values = [100 * line["train_error"] for line in run["log"]]
        (line,) = axes.plot(epochs, values, linewidth=1.6, label=run["run"], color=f"C{i}")
        axes.plot(epochs[-1], 100 * run["errors"][-1], "o", color=line.get_color())
    axes.set_title("training error, and the final test error, %", loc="left", fontsize=10)
    axes.set_xlabel("epoch", color=INK)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#eeeeee")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    report.write_figure(figure, path)


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("runs", nargs="+", metavar="RUN", help="output folders of train_cifar.py")
    p.add_argument("--data", type=file_path, help="as in train_cifar.py")
    p.add_argument("--subset", type=int, help="use the first N test images only")
    p.add_argument("--add", action="store_true", help="keep the other runs of NAME.json")
    p.add_argument("--weights", type=Path, metavar="DIR", help="write the small files here")
    p.add_argument("--output", type=Path, default=report.RESULTS)
    p.add_argument("--name", default="cifar-recipes")
    return p.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError) as error:
        sys.exit(f"cifar_recipes.py: {error}")
