#!/usr/bin/env python3
"""The process that cores.py and cores_plan.py start for a number of threads,
TINYALEX_THREADS: training steps by layer and by loop. Prints JSON.

    TINYALEX_THREADS=8 python benchmarks/cores_step.py --variant paper --batch 32
"""

import argparse
import json
import os
import sys
import time
import types
from statistics import median
from typing import Any

import contender
import machine
import networks
import numpy as np
from contenders.tinyalex_ import Contender
from layer_passes import BACKWARD
from loop_times import LoopTimes, Pass
from turns import HERE, run_json

from tinyalex import device
from tinyalex import functional as F

PASSES = ("forward", "backward")


def main() -> None:
    args = arguments()
    network = networks.describe(args.variant)
    step = Contender(network, types.SimpleNamespace(device="cpu"))
    rng = np.random.default_rng(0)
    for view in step.weights():
        contender.initialize(view, rng)
    images = rng.standard_normal((args.batch, *network["image"]), dtype=np.float32)
    labels = rng.integers(0, network["classes"], args.batch)
    step.ready(images, labels, contender.SETTINGS)
    threads = device.workers()
    found: dict[str, Any] = {"threads": threads}
    if args.ceilings:
        found["sgemm"] = machine.sgemm_peak()
        found["bandwidth"] = machine.bandwidth(threads=threads)
    recorded(step)
    others = contender.OtherProcesses()
    steps: list[tuple[float, dict[tuple[str, int], Pass]]] = []
    while len(steps) < args.steps or sum(seconds for seconds, _ in steps) < args.seconds:
        steps.append(recorded(step))
    found["others"] = others.cores()
    found["seconds"] = median(seconds for seconds, _ in steps)
    found["passes"] = [
        {"layer": layer, "pass": PASSES[which]}
        | summary([passes[layer, which] for _, passes in steps], threads)
        for layer, which in steps[0][1]
    ]
    print(json.dumps(found))


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--variant", choices=networks.VARIANTS, default="paper")
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--steps", type=int, default=2, help="time at least this many (default: 2)")
    p.add_argument("--seconds", type=float, default=0.0, help="and for this long (default: 0)")
    p.add_argument(
        "--ceilings", action="store_true", help="measure sgemm and the memory's bandwidth too"
    )
    return p.parse_args()


def run(variant: str, batch: int, threads: int, *options: str) -> dict[str, Any]:
    """The report of a process of this program. BLAS uses as many threads, but at most
    one per core."""
    command = [sys.executable, str(HERE / "cores_step.py"), "--variant", variant]
    command += ["--batch", str(batch), *options]
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE.parent),
        "TINYALEX_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(min(threads, contender.cores())),
    }
    return run_json(f"{variant}, batch {batch}, {threads} threads", command, environment)


def by_pass(found: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The passes of a report by layer and pass."""
    return {(row["layer"], row["pass"]): row for row in found["passes"]}


def recorded(step: Contender) -> tuple[float, dict[tuple[str, int], Pass]]:
    """The seconds of a training step, and its passes."""
    step.model.train()
    step.optimizer.zero_grad()
    began = time.perf_counter()
    with LoopTimes(step.model) as times:
        F.cross_entropy(step.model(step.images), step.labels).backward()
        times.observe("update", BACKWARD, step.optimizer.step)
    return time.perf_counter() - began, times.passes


def summary(steps: list[Pass], threads: int) -> dict[str, Any]:
    """A pass in several steps: medians of its times, and the loops of the last step.

    serial  seconds outside of loops, in one thread
    idle    seconds in which a thread has no tile while others have, of all threads
    busy    seconds in tiles, of all threads
    cpu     CPU seconds in tiles: less than `busy` if threads wait, as for the GIL
    """
    shares = [[share for loop in p.loops for share in loop.shares] for p in steps]
    busy = [sum(share.seconds for share in each) for each in shares]
    in_loops = [sum(loop.seconds for loop in p.loops) for p in steps]
    return {
        "seconds": median(p.seconds for p in steps),
        "serial": median(p.serial_seconds() for p in steps),
        "serial_cpu": median(p.serial_cpu_seconds() for p in steps),
        "idle": median(threads * loops - each for loops, each in zip(in_loops, busy, strict=True)),
        "busy": median(busy),
        "cpu": median(sum(share.cpu_seconds for share in each) for each in shares),
        "loops": [
            {
                "length": sum(share.length for share in loop.shares),
                "pieces": sum(share.pieces for share in loop.shares),
                "is_small": loop.is_small,
                "longest": max(share.length for share in loop.shares),
                "cpu": sum(share.cpu_seconds for share in loop.shares),
                "overhead": loop.overhead(),
            }
            for loop in steps[-1].loops
        ],
    }


if __name__ == "__main__":
    main()
