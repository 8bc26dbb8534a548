#!/usr/bin/env python3
"""How many epochs until 25 % training error, with ReLU and with tanh?

    python benchmarks/relu_against_tanh.py
    python benchmarks/relu_against_tanh.py --resume    # after an interruption

Figure 1 of the paper (section 3.1): a network of four layers on CIFAR-10, the best
learning rate for each activation, no regularization. Here, the convolutions, poolings
and initial weights of cuda-convnet's `18pct`, without normalization: pixels from 0 to
255 minus the mean image, N(0, 0.0001²) in conv1 and N(0, 0.01²) elsewhere, biases 0;
batches of 128, momentum 0.9, no decay, no augmentation, a constant rate. The error is
that of each tenth of an epoch, before the update with its images. A rate that takes
longer than the best one so far is stopped.
"""

import argparse
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import machine
import numpy as np
import report

import tinyalex as ta
from tinyalex import data, nn, optim
from tinyalex import functional as F
from tinyalex.cli.options import file_path, positive_integer, positive_number
from tinyalex.plots.figures import INK, new_figure
from tinyalex.training.metrics import find_errors

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}

RATES = {"relu": [0.001, 0.0005, 0.002, 0.004], "tanh": [0.001, 0.002, 0.004, 0.008]}
"""Learning rates to choose from."""

SIGMAS = 0.0001, 0.01, 0.01, 0.01
"""Of the initial weights of each layer: cuda-convnet's."""

WINDOWS = 10
"""Measurements of the training error in each epoch."""


def main() -> int:
    args = arguments()
    train, _ = data.shapes() if args.data == "shapes" else data.cifar10(args.data)
    train = train[: args.subset]
    found: dict[str, Any] = {
        "target": args.target,
        "images": len(train),
        "machine": machine.describe(),
        "runs": [],
    }
    known = known_runs(args.output / f"{args.name}.json", found) if args.resume else {}
    for activation in ACTIVATIONS:
        limit = float(args.epochs)
        for lr in args.rates or RATES[activation]:
            run = known.get((activation, lr))
            if run is None:
                run = train_until(train, activation, lr, args.target, limit, args.seed)
            found["runs"].append(run)
            limit = min(limit, run["epochs"] or limit)
            print(describe(run), flush=True)
            report.write_json(args.output, args.name, found)
    text = as_text(found)
    print(text)
    report.write_text(args.output, args.name, text)
    draw(found, args.output / f"{args.name}.png")
    return 0


def known_runs(file: Path, found: dict[str, Any]) -> dict[tuple[str, float], dict[str, Any]]:
    """The runs of a measurement that was stopped, by activation and learning rate."""
    if not file.exists():
        return {}
    before = json.loads(file.read_text(encoding="utf-8"))
    for name in ("target", "images"):
        if before[name] != found[name]:
            raise ValueError(
                f"--resume: {file} has {name} {before[name]}, expected {found[name]}, as in this "
                "run. Give the same options, or another --name."
            )
    return {(run["activation"], run["lr"]): run for run in before["runs"]}


def network(activation: str, classes: int) -> nn.Sequential:
    sizes = (3, 32, 32, 64)
    layers: list[nn.Module] = []
    for channels, filters in pairwise(sizes):
        layers += [nn.Conv2d(channels, filters, 5, padding=2), ACTIVATIONS[activation]()]
        layers += [nn.MaxPool2d(3, 2, ceil_mode=True)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, classes))
    for weight, sigma in zip((p for p in model.parameters() if p.ndim > 1), SIGMAS, strict=True):
        nn.init.normal_(weight, 0.0, sigma)
    for bias in (p for p in model.parameters() if p.ndim == 1):
        nn.init.zeros_(bias)
    return model


def train_until(
    train: data.Dataset, activation: str, lr: float, target: float, limit: float, seed: int
) -> dict[str, Any]:
    """Training errors until one is at most `target`, or for `limit` epochs."""
    ta.manual_seed(seed)
    model = network(activation, len(train.classes))
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    transform = data.Normalize(data.mean_image(train.images), 1.0)
    loader = data.Loader(train, 128, shuffle=True, transform=transform)
    ends = {len(loader) * (i + 1) // WINDOWS for i in range(WINDOWS)}
    curve: list[list[float]] = []
    epoch, finite = 0, True
    while finite and epoch < limit and not is_done(curve, target):
        wrong = images = 0
        for step, (x, labels) in enumerate(loader.epoch(epoch), 1):
            optimizer.zero_grad()
            logits = model(x)
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            wrong += int(find_errors(logits.data, labels).sum())
            images += len(labels)
            finite = bool(np.isfinite(loss.item()))
            if step in ends:
                curve.append([epoch + step / len(loader), wrong / images])
                wrong = images = 0
            too_late = epoch + step / len(loader) >= limit
            if not finite or too_late or is_done(curve, target):
                break
        epoch += 1
    reached = curve[-1][0] if finite and is_done(curve, target) else None
    return {
        "activation": activation,
        "lr": lr,
        "epochs": reached,
        "diverged": not finite,
        "limit": limit,
        "curve": curve,
    }


def is_done(curve: list[list[float]], target: float) -> bool:
    return bool(curve) and curve[-1][1] <= target


def describe(run: dict[str, Any]) -> str:
    unit = "" if run["diverged"] else " epochs"
    return f"{run['activation']}, learning rate {run['lr']:g}: {epochs(run)}{unit}"


def epochs(run: dict[str, Any]) -> str:
    """The epochs to the target, or why they are unknown."""
    if run["diverged"]:
        return "diverged"
    return f"> {run['limit']:.1f}" if run["epochs"] is None else f"{run['epochs']:.1f}"


def best(found: dict[str, Any], activation: str) -> dict[str, Any] | None:
    """The run that reached the target first."""
    runs = [r for r in found["runs"] if r["activation"] == activation and r["epochs"] is not None]
    return min(runs, key=lambda run: run["epochs"], default=None)


def as_text(found: dict[str, Any]) -> str:
    rows = [
        [
            run["activation"],
            f"{run['lr']:g}",
            epochs(run),
            "best" if run is best(found, run["activation"]) else "",
        ]
        for run in found["runs"]
    ]
    target = f"{100 * found['target']:g} %"
    head = ["activation", "learning rate", f"epochs to {target} training error", ""]
    lines = [report.table(head, rows), ""]
    relu, tanh = (best(found, name) for name in ("relu", "tanh"))
    if relu and tanh:
        lines.append(
            f"tanh takes {tanh['epochs'] / relu['epochs']:.1f} times as many epochs as ReLU."
        )
    lines.append(f"{found['images']} training images. > N: stopped after N epochs.")
    return "\n".join([*lines, "", machine.as_text(found["machine"])])


def draw(found: dict[str, Any], path: Path) -> None:
    """Training error by epoch: the best rate of each activation; others thinner."""
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    colours = {"relu": report.OURS, "tanh": report.OTHER}
    drawn = [run for run in found["runs"] if run["curve"]]
    labelled = [
        best(found, name) or next((run for run in drawn if run["activation"] == name), None)
        for name in ACTIVATIONS
    ]
    for run in drawn:
        times, values = zip(*run["curve"], strict=True)
        is_best = run is best(found, run["activation"])
        label = f"{run['activation']}, rate {run['lr']:g}" if run in labelled else None
        axes.plot(
            times,
            [100 * value for value in values],
            color=colours[run["activation"]],
            linewidth=2 if is_best else 0.6,
            label=label,
        )
    axes.axhline(100 * found["target"], color=INK, linewidth=0.8, linestyle=":")
    axes.set_title("training error, %", loc="left", fontsize=10)
    axes.set_xlabel("epoch", color=INK)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    if drawn:
        axes.legend(frameon=False)
    report.write_figure(figure, path)


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--data", type=file_path, help="as in train_cifar.py")
    p.add_argument("--subset", type=positive_integer, help="use the first N images only")
    p.add_argument("--target", type=positive_number, default=0.25, help="default: 0.25")
    p.add_argument(
        "--rates",
        type=lambda text: [positive_number(rate) for rate in text.split(",")],
        metavar="A,B,...",
        help="learning rates to choose from, for both (default: "
        + "; ".join(f"{','.join(map(str, rates))} for {name}" for name, rates in RATES.items())
        + ")",
    )
    p.add_argument("--epochs", type=positive_integer, default=60, help="at most (default: 60)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument(
        "--resume",
        action="store_true",
        help="do not repeat the runs in NAME.json, of a measurement that was stopped",
    )
    p.add_argument("--output", type=Path, default=report.RESULTS)
    p.add_argument("--name", default="relu-against-tanh")
    return p.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError) as error:
        sys.exit(f"relu_against_tanh.py: {error}")
