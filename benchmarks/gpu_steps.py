#!/usr/bin/env python3
"""Measure training steps of tinyalex and PyTorch on a GPU, alternating; print JSON.

    python benchmarks/gpu_steps.py --variant paper --batch 128

gpu.py runs this, in a process of its own for each network and batch size: an error of
the GPU ends with the process. A line of output is one row, complete when it is printed:

    {"precision", "label", "seconds": {median, shortest, longest}, "rounds", "loss",
     "peak_memory", "ratio"}, or {"precision", "label", "failed", "left_out"}
    {"layers": {layer: [forward, backward]}}  of tinyalex, in float32

All contenders of a precision are in this process, on the default stream. In each round
each of them runs steps for some time, without a wait between them; CUDA events give the
time of each step, whose median is that of the round. On an emulated GPU, steps run once
and have no times.

Values are checked: the losses before training, which must be equal, and by how much
training steps launch by launch, and captured in a graph, change tinyalex's weights.
"""

import argparse
import gc
import json
import math
import sys
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from statistics import median
from typing import Any

import contender
import failures
import gpu_timing
import machine
import networks
import numpy as np
import precision
import turns
from alexnet_step import positive

from tinyalex import device, emulator
from tinyalex.device import tiles

OURS, GRAPH, EAGER, COMPILED = turns.OURS, "tinyalex graph", "torch eager", "torch.compile"
TILED = "tinyalex graph with L2 tiles"
"""Tiles of convolutions whose columns stay in the GPU's L2 cache."""

GRAPHS = (GRAPH, TILED)

LOSS_TOLERANCE = {"float32": 1e-3, "tf32": 1e-2, "half": 2e-2}
"""Of the losses before training, which show that the networks are the same."""

CHANGE_TOLERANCE = 0.05
"""Of the change of the weights, relative to its norm. A graph has a workspace of
cuBLAS, which may select other algorithms."""

INSTALL = "install it: pip install torch --index-url https://download.pytorch.org/whl/cu130"

Row = dict[str, Any]


def main() -> None:
    args = arguments()
    args.device = device.check(args.device)
    network = networks.describe(args.variant)
    with device.on(args.device):  # of the events
        for kind in args.precisions.split(","):
            for row in compare(network, kind, args):
                print(json.dumps({"precision": kind, **row}), flush=True)
        if args.layers:
            print(json.dumps({"layers": layers(network, args)}), flush=True)


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--variant", choices=networks.VARIANTS, default="paper")
    p.add_argument("--batch", type=positive, default=128)
    p.add_argument("--device", default="cuda")
    p.add_argument("--precisions", default=",".join(precision.PRECISIONS), metavar="A,B")
    p.add_argument("--contenders", default=f"{OURS},{GRAPH},{EAGER}", metavar="A,B")
    p.add_argument("--rounds", type=positive, default=5)
    p.add_argument("--seconds", type=float, default=0.2, help="of a round (default: 0.2)")
    p.add_argument("--layers", action="store_true", help="also time tinyalex's layers")
    return p.parse_args()


def compare(network: dict[str, Any], kind: str, args: argparse.Namespace) -> list[Row]:
    """A row for each contender. One that fails leaves the others' rows valid."""
    rows: dict[str, Row] = {label: {"label": label} for label in args.contenders.split(",")}
    running: dict[str, Any] = {}
    counts: dict[str, int] = {}
    changes: dict[str, list[np.ndarray]] = {}

    def attempt(label: str, work: Any) -> None:
        try:
            work()
        except Exception as error:  # of memory, of the GPU, of a compiler
            rows[label] = {"label": label, **failures.row_of(error)}
            running.pop(label, None)

    def start(label: str) -> None:
        with l2_tiles(args.device) if label == TILED else nullcontext():
            start_in_tiles(label)

    def start_in_tiles(label: str) -> None:
        others = free_memory()
        free = device.memory(args.device)["free"]
        running[label] = built = build(label, network, kind, args)
        rows[label]["loss"] = built.loss(contender.CHECKED_IMAGES)
        before = weights(built) if label in (OURS, *GRAPHS) else []
        counts[label] = gpu_timing.warm_up(built.train, args.seconds)
        if before:
            changes[label] = [after - w for after, w in zip(weights(built), before, strict=True)]
        if label == OURS:
            rows[label]["peak_memory"] = built.peak_memory() - others
        elif label in GRAPHS:  # whose memory is in pools of their own
            rows[label]["peak_memory"] = free - device.memory(args.device)["free"]
        else:
            rows[label]["peak_memory"] = built.peak_memory()

    def turn(label: str) -> None:
        rows[label].setdefault("rounds", []).append(
            gpu_timing.times(running[label].train, counts[label])
        )

    for label in list(rows):
        attempt(label, lambda label=label: start(label))
    for _ in range(1 if emulator.is_installed() else args.rounds):
        for label in list(running):
            attempt(label, lambda label=label: turn(label))
    compare_losses(rows, running, kind)
    compare_changes(rows, changes)
    summarize(rows)
    running.clear()
    free_memory()
    return list(rows.values())


@contextmanager
def l2_tiles(name: str) -> Iterator[None]:
    """A context in which tiles of convolutions use half of the GPU's L2 cache. A graph
    that is captured in it keeps them."""
    import cupy

    number = int(name.partition(":")[2] or 0)
    cache = cupy.cuda.runtime.getDeviceProperties(number)["l2CacheSize"]
    before, tiles.max_gpu_tile_bytes = tiles.max_gpu_tile_bytes, cache // 2
    try:
        yield
    finally:
        tiles.max_gpu_tile_bytes = before


def build(label: str, network: dict[str, Any], kind: str, args: argparse.Namespace) -> Any:
    """A contender with the same weights, images and labels as the others."""
    options = types.SimpleNamespace(
        device=args.device,
        threads=contender.cores(),
        mode="train",
        channels_last=True,
        precision=kind,
        compile=label == COMPILED,
        graph=label in GRAPHS,
    )
    if label in (OURS, *GRAPHS):
        from contenders.tinyalex_ import Contender
    else:
        if reason := why_no_torch():
            raise failures.NotAvailableError(reason)
        from contenders.torch_ import Contender  # type: ignore[assignment]
    built = Contender(network, options)
    rng = np.random.default_rng(0)
    for view in built.weights():
        contender.initialize(view, rng)
    images = rng.standard_normal((args.batch, *network["image"]), dtype=np.float32)
    labels = rng.integers(0, network["classes"], args.batch)
    built.ready(images, labels, contender.SETTINGS)
    return built


def why_no_torch() -> str:
    """Why PyTorch cannot use a GPU, and how to install it; "" if it can."""
    version = machine.version("torch")
    if version is None:
        return f"PyTorch is missing; {INSTALL}"
    if version.endswith("+cpu"):  # known without the seconds of an import
        return f"PyTorch {version} is built without CUDA; {INSTALL}"
    import torch

    return "" if torch.cuda.is_available() else f"PyTorch {version} finds no GPU; {INSTALL}"


def weights(built: Any) -> list[np.ndarray]:
    """Copies of those of a contender of tinyalex."""
    return [device.to_numpy(w).copy() for w in built.weights()]


def compare_losses(rows: dict[str, Row], labels: Iterable[str], kind: str) -> None:
    """Replace the rows of contenders whose loss before training is not tinyalex's."""
    expected = rows.get(OURS, {}).get("loss")
    if expected is None:
        return
    for label in labels:
        difference = abs(rows[label]["loss"] - expected)
        if not difference <= LOSS_TOLERANCE[kind] * abs(expected):  # NaN fails as well
            rows[label] = {
                "label": label,
                "failed": f"computes another network: its loss is {rows[label]['loss']}, "
                f"{OURS}'s {expected}",
            }


def compare_changes(rows: dict[str, Row], changes: dict[str, list[np.ndarray]]) -> None:
    """Replace a graph's row if equally many steps from equal weights, with the same
    images and dropout masks, change the weights otherwise than launch by launch."""
    for label in GRAPHS:
        if not {OURS, label} <= changes.keys() or "failed" in rows[label]:
            continue
        pairs = list(zip(changes[label], changes[OURS], strict=True))
        difference = math.hypot(*(float(np.linalg.norm(a - b)) for a, b in pairs))
        norm = math.hypot(*(float(np.linalg.norm(b)) for _, b in pairs))
        if not difference <= CHANGE_TOLERANCE * norm:
            rows[label] = {
                "label": label,
                "failed": f"trains otherwise: the changes of the weights differ from {OURS}'s by "
                f"{difference:.3g}, whose norm is {norm:.3g}",
            }


def summarize(rows: dict[str, Row]) -> None:
    """Replace the times of steps by their medians, and add the ratios to tinyalex."""
    for row in rows.values():
        if rounds := [median(taken) for taken in row.pop("rounds", []) if taken]:
            row["rounds"], row["seconds"] = rounds, gpu_timing.spread(rounds)
    ours = rows.get(OURS, {})
    for label, row in rows.items():
        if label != OURS and "rounds" in row and "rounds" in ours:
            row["ratio"] = turns.ratio(row["rounds"], ours["rounds"])


def free_memory() -> int:
    """Give memory back, so that the next peak is that of its own contender. Returns the
    bytes of CuPy's pool that are in use."""
    import cupy

    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return cupy.get_default_memory_pool().total_bytes()


def layers(network: dict[str, Any], args: argparse.Namespace) -> dict[str, list[float]] | None:
    """The medians of each layer's passes, and of the update; None if not timed."""
    built = build(OURS, network, "float32", args)
    gpu_timing.warm_up(built.train, 0)
    steps = [built.layer_events() for _ in range(args.rounds)]
    if any(step is None for step in steps):
        return None
    return {name: [median(step[name][i] for step in steps) for i in (0, 1)] for name in steps[0]}


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"gpu_steps.py: {error}")
