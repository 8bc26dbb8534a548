#!/usr/bin/env python3
"""Measure one framework: build the network, run steps, print JSON.

    python benchmarks/networks.py paper > paper.json
    python benchmarks/contender.py torch paper.json --batch 32 --mode train

alexnet_step.py runs this for each framework in each round, with the Python that has the
framework, so it needs only NumPy, of any version, and not tinyalex. All frameworks
start from the same weights and images; `loss` is that of the first images before
training, without dropout. If losses differ, the frameworks do not compute the same
network.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import sys
import time

import numpy as np

FRAMEWORKS = ("tinyalex", "torch", "chainer", "dezero", "onnxruntime", "openvino", "jax")
CHECKED_IMAGES = 4
"""Their loss is compared between frameworks."""

SETTINGS = {"lr": 1e-4, "momentum": 0.9, "weight_decay": 5e-4}
"""Labels are random: with a larger learning rate, training would diverge."""


def main() -> None:
    args = arguments()
    with open(args.network, encoding="utf-8") as file:
        network = json.load(file)
    contender = importlib.import_module(f"contenders.{args.framework}_").Contender(network, args)
    rng = np.random.default_rng(0)
    for view in contender.weights():
        initialize(view, rng)
    images = rng.standard_normal((args.batch, *network["image"]), dtype=np.float32)
    labels = rng.integers(0, network["classes"], args.batch)
    contender.ready(images, labels, SETTINGS)
    report = {
        "framework": args.framework,
        "versions": contender.versions(),
        "blas": blas(),
        "loss": contender.loss(CHECKED_IMAGES),
    }
    step = {
        "train": contender.train,
        "infer": contender.infer,
        "layers": getattr(contender, "layers", None),
    }[args.mode]
    warm_up(step, contender.wait, args.seconds / 3)
    others = OtherProcesses()
    report["seconds"], results = timed(step, contender.wait, args)
    report["others"] = others.cores()
    if args.mode == "layers":
        report["layers"] = results
    after = contender.loss(CHECKED_IMAGES)
    if not (math.isfinite(report["loss"]) and math.isfinite(after)):
        losses = f"{report['loss']} before and {after} after training"
        sys.exit(f"contender.py: {args.framework}'s loss is {losses}, expected finite values.")
    report["loss_after"] = after
    report["peak_memory"] = contender.peak_memory() or peak_resident()
    print(json.dumps(report))


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("framework", choices=FRAMEWORKS)
    p.add_argument("network", help="a file with the output of networks.py")
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--mode", choices=["train", "infer", "layers"], default="train")
    p.add_argument("--device", default="cpu")
    p.add_argument("--threads", type=int, default=cores())
    p.add_argument("--channels-last", action="store_true", help="torch: NHWC in memory")
    p.add_argument("--compile", action="store_true", help="torch: with torch.compile")
    p.add_argument(
        "--seconds",
        type=float,
        default=3.0,
        help="time steps for this long, after a third of it to warm up (default: 3)",
    )
    p.add_argument(
        "--steps",
        type=int,
        default=2,
        help="time at least this many steps (default: 2)",
    )
    return p.parse_args()


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def initialize(view: np.ndarray, rng: np.random.Generator) -> None:
    """He's initialisation, with random biases, so that a missing bias is detected."""
    fan_in = math.prod(view.shape[1:])
    sigma = math.sqrt(2 / fan_in) if view.ndim > 1 else 0.1
    for row in range(0, len(view), 64):
        rows = view[row : row + 64]
        rows[...] = np.float32(sigma) * rng.standard_normal(rows.shape, dtype=np.float32)


def warm_up(step, wait, least: float) -> None:
    """Run one step, which allocates memory and may compile, then more for `least`
    seconds."""
    step()
    wait()
    began = time.perf_counter()
    while time.perf_counter() - began < least:
        step()
        wait()


def timed(step, wait, args: argparse.Namespace) -> tuple[list[float], list]:
    """The seconds of each step, and its result."""
    seconds: list[float] = []
    results: list = []
    while len(seconds) < args.steps or sum(seconds) < args.seconds:
        began = time.perf_counter()
        results.append(step())
        wait()
        seconds.append(time.perf_counter() - began)
    return seconds, results


class OtherProcesses:
    """The number of cores that other processes or virtual machines use from now on.

    Contention can halve the speed of a framework whose threads synchronise often.
    """

    def __init__(self) -> None:
        self.began, self.busy, self.own = (
            time.perf_counter(),
            self.busy_seconds(),
            self.own_seconds(),
        )

    def cores(self) -> float | None:
        """None if the system does not report it."""
        busy = self.busy_seconds()
        if busy is None or self.busy is None:
            return None
        others = busy - self.busy - (self.own_seconds() - self.own)
        return max(0.0, others / (time.perf_counter() - self.began))

    @staticmethod
    def own_seconds() -> float:
        """CPU time of this process and of its child processes that have ended."""
        return sum(os.times()[:4])

    @staticmethod
    def busy_seconds() -> float | None:
        try:
            with open("/proc/stat", encoding="ascii") as file:
                user, nice, system, _idle, _iowait, irq, softirq, steal = map(
                    int, file.readline().split()[1:9]
                )
        except (OSError, ValueError):
            return None
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def peak_resident() -> int | None:
    """Peak memory of the process in bytes; None if the system does not report it."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def blas() -> list[str]:
    """The BLAS libraries in this process, with the architecture of their kernels."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    infos = [info for info in threadpool_info() if info["user_api"] == "blas"]
    return [
        " ".join(
            str(info.get(k)) for k in ("internal_api", "version", "architecture") if info.get(k)
        )
        for info in infos
    ]


if __name__ == "__main__":
    main()
