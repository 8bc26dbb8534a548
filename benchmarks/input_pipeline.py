#!/usr/bin/env python3
"""Is the loader's work hidden behind the training step?

    python benchmarks/input_pipeline.py --model quick --batch 128

Times, for the same batches of CIFAR-10-like images (random bytes, 32 x 32; random crops and mirror images, as train_cifar.py has them):
the step alone, on a batch that is there; the loader alone, nobody computing; and both, the loader's thread preparing batches ahead. If
its work is hidden, both take as long as the step alone. On a CPU the thread needs a core for its work all the same, so there the best
that can be had is the step plus the loader's time shared by all cores. The three are measured in turn, round by round; shown are medians.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import contender
import machine
import numpy as np
import report
from alexnet_step import positive
from layer_times import synchronizer

from tinyalex import data, device, models, optim
from tinyalex import functional as F


def main() -> int:
    args = arguments()
    place = device.check(args.device)
    rng = np.random.default_rng(0)
    count = args.batch * args.batches
    images = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    dataset = data.Dataset(images, rng.integers(0, 10, count), tuple("0123456789"))
    augment = data.Augment(data.mean_image(images), scale=float(1 / images.std()), padding=4)
    ahead, waiting = (
        data.Loader(dataset, args.batch, shuffle=True, transform=augment, prefetch=n, device=place)
        for n in (2, 0)
    )
    step = Step(args.model, place)
    kept = next(ahead.epoch(0))
    runs: dict[str, Any] = {
        "step alone": lambda epoch: [step(*kept) for _ in range(args.batches)],
        "loader alone": lambda epoch: [None for _ in waiting.epoch(epoch)],
        "both": lambda epoch: [step(*batch) for batch in ahead.epoch(epoch)],
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    step(*kept)
    for epoch in range(args.rounds):
        for name, run in runs.items():
            step.wait()
            began = time.perf_counter()
            run(epoch)
            step.wait()
            seconds[name].append((time.perf_counter() - began) / args.batches)
    middle = {name: median(each) for name, each in seconds.items()}
    found = {
        "model": args.model,
        "device": place,
        "batch": args.batch,
        "batches": args.batches,
        "machine": machine.describe(),
        "seconds_by_round": seconds,
        "seconds": middle,
        # Round by round, as the machine was at the time.
        "added": median(
            both - alone for both, alone in zip(seconds["both"], seconds["step alone"], strict=True)
        ),
        "fair_share": middle["loader alone"] / contender.cores() if place == "cpu" else 0.0,
    }
    text = as_text(found)
    report.write_json(args.output, args.name, found)
    report.write_text(args.output, args.name, text)
    bars = [(name, 1e3 * t, f"{1e3 * t:.2f} ms", name == "both") for name, t in middle.items()]
    report.draw_bars(
        [(f"{args.model}, batch {args.batch}, {place}", bars)],
        "milliseconds a batch",
        args.output / f"{args.name}.png",
    )
    print(f"{text}\n\nwritten: {args.output / args.name}.json, .md, .png")
    return 0


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--model", choices=["quick", "alexnet"], default="quick")
    p.add_argument("--batch", type=positive, default=128)
    p.add_argument("--batches", type=positive, default=20, help="in a round (default: 20)")
    p.add_argument("--rounds", type=positive, default=5)
    p.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:1")
    p.add_argument(
        "--output",
        type=Path,
        default=report.RESULTS,
        metavar="FOLDER",
        help="default: benchmarks/results",
    )
    p.add_argument("--name", help="of the files; default: pipeline-MODEL or pipeline-MODEL-cuda")
    args = p.parse_args()
    if args.name is None:
        args.name = f"pipeline-{args.model}" + (
            "" if args.device == "cpu" else f"-{args.device.replace(':', '')}"
        )
    return args


class Step:
    """A training step, as training.Trainer takes it."""

    def __init__(self, name: str, place: str) -> None:
        self.model = models.cifar(name).to(place).train()
        self.optimizer = optim.SGD(self.model.parameters(), **contender.SETTINGS)
        self.wait = synchronizer(place)
        self.taken = 0

    def __call__(self, images: Any, labels: Any) -> None:
        device.set_step(self.taken)
        self.taken += 1
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(images), labels).backward()
        self.optimizer.step()


def as_text(found: dict[str, Any]) -> str:
    rows = [
        [name, f"{1e3 * t:.2f}", f"{found['batch'] / t:.0f}"]
        for name, t in found["seconds"].items()
    ]
    loader = found["seconds"]["loader alone"]
    verdict = (
        f"The loader adds {1e3 * found['added']:.2f} ms to a step, of the {1e3 * loader:.2f} ms that its work takes alone "
        f"({100 * found['added'] / loader:.0f} %)."
    )
    if found["device"] == "cpu":
        verdict += f" Shared by all cores, that work is {1e3 * found['fair_share']:.2f} ms."
    return "\n\n".join(
        [
            f"## {found['model']}, batch {found['batch']}, {found['device']}: the input pipeline",
            machine.as_text(found["machine"]),
            report.table(["", "ms a batch", "images/s"], rows),
            verdict,
        ]
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"input_pipeline.py: {error}")
