#!/usr/bin/env python3
"""Does the loader's work overlap with the training step?

    python benchmarks/input_pipeline.py --model quick --batch 128

Times, on the same batches of random 32 x 32 images with random crops and mirroring: the
step alone, on one batch; the loader alone; and both, with the loader's thread
prefetching. With perfect overlap both take as long as the step alone. On a CPU the
loader's thread uses a core, so the best possible time is the step plus the loader's
work divided by the number of cores. The three alternate; the report has medians over
rounds.
"""

import argparse
import sys
import time
from operator import sub
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
    device_name = device.check(args.device)
    rng = np.random.default_rng(0)
    count = args.batch * args.batches
    images = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    dataset = data.Dataset(images, rng.integers(0, 10, count), tuple("0123456789"))
    augment = data.Augment(data.mean_image(images), scale=float(1 / images.std()), padding=4)
    options: dict[str, Any] = {"shuffle": True, "transform": augment, "device": device_name}
    prefetching = data.Loader(dataset, args.batch, prefetch=2, **options)
    serial = data.Loader(dataset, args.batch, prefetch=0, **options)
    step = Step(args.model, device_name)
    first_batch = next(prefetching.epoch(0))
    runs: dict[str, Any] = {
        "step alone": lambda epoch: [step(*first_batch) for _ in range(args.batches)],
        "loader alone": lambda epoch: [None for _ in serial.epoch(epoch)],
        "both": lambda epoch: [step(*batch) for batch in prefetching.epoch(epoch)],
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    step(*first_batch)
    for epoch in range(args.rounds):
        for name, run in runs.items():
            step.wait()
            began = time.perf_counter()
            run(epoch)
            step.wait()
            seconds[name].append((time.perf_counter() - began) / args.batches)
    middle = {name: median(each) for name, each in seconds.items()}
    cores = contender.cores() if device_name == "cpu" else 1
    found = {
        "model": args.model,
        "device": device_name,
        "batch": args.batch,
        "batches": args.batches,
        "machine": machine.describe(),
        "seconds_by_round": seconds,
        "seconds": middle,
        "added": median(map(sub, seconds["both"], seconds["step alone"])),  # within a round
        "per_core": middle["loader alone"] / cores,
    }
    text = as_text(found)
    report.write_json(args.output, args.name, found)
    report.write_text(args.output, args.name, text)
    bars = [(name, 1e3 * t, f"{1e3 * t:.2f} ms", name == "both") for name, t in middle.items()]
    report.draw_bars(
        [(f"{args.model}, batch {args.batch}, {device_name}", bars)],
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
    p.add_argument("--batches", type=positive, default=20, help="batches per round (default: 20)")
    p.add_argument("--rounds", type=positive, default=5)
    p.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:1")
    p.add_argument(
        "--output",
        type=Path,
        default=report.RESULTS,
        metavar="FOLDER",
        help="default: benchmarks/results",
    )
    p.add_argument(
        "--name", help="name of the files; default: pipeline-MODEL or pipeline-MODEL-cuda"
    )
    args = p.parse_args()
    args.name = args.name or report.default_name(f"pipeline-{args.model}", args.device)
    return args


class Step:
    """A training step like that of `training.Trainer`."""

    def __init__(self, name: str, device_name: str) -> None:
        self.model = models.cifar(name).to(device_name).train()
        self.optimizer = optim.SGD(self.model.parameters(), **contender.SETTINGS)
        self.wait = synchronizer(device_name)
        self.count = 0

    def __call__(self, images: Any, labels: Any) -> None:
        device.set_step(self.count)
        self.count += 1
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
        f"The loader adds {1e3 * found['added']:.2f} ms to a step, "
        f"{100 * found['added'] / loader:.0f} % of the {1e3 * loader:.2f} ms that it takes alone."
    )
    if found["device"] == "cpu":
        verdict += f" Divided by the cores, its work is {1e3 * found['per_core']:.2f} ms."
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
