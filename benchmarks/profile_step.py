#!/usr/bin/env python3
"""A training step of tinyalex by layer: time, operations, bytes and roofline.

    python benchmarks/profile_step.py --variant paper --batch 32

The speed of a layer is limited by the machine's matrix multiplication (sgemm), and by
its memory bandwidth at the layer's operations per byte; the smaller limit is the roof.
Both are measured here, in NumPy or CuPy. Operations and bytes are counted from shapes,
not measured. Winograd convolutions need fewer operations than are counted and may
exceed the roof; a layer whose data are in the cache may exceed the memory roof. Writes
NAME.md, NAME.json and NAME.png to --output.

Counted with 4 bytes an element, each array once:
  conv, linear   2 operations a multiply-add; reads x, w, b, writes y. Backward: twice
                 that (once if x needs no gradient); reads dy, x, w, writes dw, db, dx
  relu           1 an output; x, y. Backward: 1; dy, y, dx
  pooling        1 an element of a window; x, y. Backward: the same; dy, x, dx
  lrn            n + 5 an output for n channels (squares, sum, scale, power, product);
                 x, y. Backward: n + 8; dy, x, y, dx
  dropout        1 an output; x, y. Backward: 1; dy, dx
  loss           5 a logit. Backward: 2
  update         6 a parameter; reads w, gradient, velocity, writes w, velocity
"""

import argparse
import sys
import types
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import machine
import networks
import numpy as np
import report
from alexnet_step import positive
from contender import SETTINGS, initialize
from contenders.tinyalex_ import Contender

from tinyalex import device

PASSES = ("forward", "backward")


def main() -> int:
    args = arguments()
    args.device = device.check(args.device)
    network = networks.describe(args.variant)
    contender = Contender(network, types.SimpleNamespace(device=args.device))
    rng = np.random.default_rng(0)
    for view in contender.weights():
        initialize(view, rng)
    images = rng.standard_normal((args.batch, *network["image"]), dtype=np.float32)
    contender.ready(images, rng.integers(0, network["classes"], args.batch), SETTINGS)
    peaks = [machine.sgemm_peak(args.device)]
    contender.layers()
    steps = [contender.layers() for _ in range(args.steps)]
    seconds = {name: [median(step[name][i] for step in steps) for i in (0, 1)] for name in steps[0]}
    peaks.append(machine.sgemm_peak(args.device))
    found = {
        "variant": args.variant,
        "device": args.device,
        "batch": args.batch,
        "steps": args.steps,
        "machine": machine.describe(),
        "sgemm_peak": max(peaks),
        "bandwidth": machine.bandwidth(args.device),
    }
    found["passes"] = passes(network, args.batch, seconds, found["sgemm_peak"], found["bandwidth"])
    text = as_text(found)
    report.write_json(args.output, args.name, found)
    report.write_text(args.output, args.name, text)
    title = f"{args.variant}, batch {args.batch}, {args.device}"
    shown = [p for p in found["passes"] if p["seconds"] and p["flop"]]
    report.draw_roofline(
        found["sgemm_peak"], found["bandwidth"], shown, title, args.output / f"{args.name}.png"
    )
    print(f"{text}\n\nwritten: {args.output / args.name}.json, .md, .png")
    return 0


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--variant", choices=networks.VARIANTS, default="torchvision")
    p.add_argument("--batch", type=positive, default=32)
    p.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:1")
    p.add_argument(
        "--steps",
        type=positive,
        default=5,
        help="number of timed steps, after one to warm up (default: 5)",
    )
    p.add_argument(
        "--output",
        type=Path,
        default=report.RESULTS,
        metavar="FOLDER",
        help="default: benchmarks/results",
    )
    p.add_argument(
        "--name",
        help="name of the files; default: profile-VARIANT-BATCH or profile-VARIANT-BATCH-cuda",
    )
    args = p.parse_args()
    name = report.default_name(f"profile-{args.variant}-{args.batch}", args.device)
    args.name = args.name or name
    return args


def passes(
    network: dict[str, Any],
    batch: int,
    seconds: dict[str, list[float]],
    peak: float,
    bandwidth: float,
) -> list[dict[str, Any]]:
    """Each layer's passes with their times and roofs. A fused layer is counted with the
    layer that computes it: a ReLU before max pooling with the pooling, others with the
    layer before."""
    rows: list[dict[str, Any]] = []
    pooled = {
        a["name"]
        for a, b in pairwise(network["layers"])
        if (a["kind"], b["kind"]) == ("relu", "max_pool")
    }
    fused: dict[str, str] = {}
    for layer, which, flop, moved in work(network, batch):
        name = layer["name"]
        if name in seconds:
            rows.append(
                {"layer": name, "kind": layer["kind"], "pass": which, "flop": flop, "bytes": moved}
            )
            rows[-1]["seconds"] = seconds[name][PASSES.index(which)]
            if which in fused:
                rows[-1]["with"] = fused.pop(which)
        elif name in pooled:
            fused[which] = name
        else:
            # Fused: the operations count, but there are no arrays of its own.
            before = next(row for row in reversed(rows) if row["pass"] == which)
            before["flop"] += flop
            before["with"] = name
    for row in rows:
        roof = min(peak, bandwidth * row["flop"] / row["bytes"]) if row["bytes"] else peak
        row["intensity"] = row["flop"] / row["bytes"] if row["bytes"] else 0.0
        row["speed"] = row["flop"] / row["seconds"] if row["seconds"] else 0.0
        row["roof"], row["bound"] = roof, "sgemm" if roof == peak else "memory"
        row["share"] = row["speed"] / roof if roof else 0.0
        row["matrix"] = row["kind"] in ("conv", "linear")
    return rows


def work(network: dict[str, Any], batch: int) -> list[tuple[dict[str, Any], str, int, int]]:
    """(layer, pass, operations, bytes) for a batch, counted as in --help, in order of
    execution."""
    rows = []
    first = True
    for layer in network["layers"]:
        x, y = (batch * int(np.prod(layer[shape])) for shape in ("seen", "shape"))
        forward, backward, read, back = 0, 0, x + y, 2 * x + y
        kind, parameters = layer["kind"], layer["parameters"]
        if kind in ("conv", "linear"):
            forward = 2 * batch * layer["multiply_adds"]
            backward = forward if first else 2 * forward
            read = x + y + parameters
            back = y + x + 2 * parameters + (0 if first else x)
            first = False
        elif kind == "relu":
            forward = backward = y
            back = 3 * y
        elif kind in ("max_pool", "avg_pool"):
            forward = backward = y * layer["kernel"] ** 2
        elif kind == "lrn":
            forward, backward = y * (layer["size"] + 5), y * (layer["size"] + 8)
            back = 4 * y
        elif kind == "dropout":
            forward = backward = y
            back = 2 * y
        else:  # flatten, and averages over windows of one element
            read = back = 0
        rows += [(layer, "forward", forward, 4 * read), (layer, "backward", backward, 4 * back)]
    logits, size = batch * network["classes"], networks.parameters(network)
    loss, update = {"name": "loss", "kind": "loss"}, {"name": "update", "kind": "update"}
    rows += [(loss, "forward", 5 * logits, 4 * logits), (loss, "backward", 2 * logits, 8 * logits)]
    return [*rows, (update, "backward", 6 * size, 20 * size)]


def row_name(row: dict[str, Any]) -> str:
    """The layer, and the one that is fused with it."""
    return row["layer"] + (f" + {row['with']}" if "with" in row else "")


def as_text(found: dict[str, Any]) -> str:
    head = [
        "layer",
        "pass",
        "ms",
        "GFLOP",
        "MB",
        "FLOP/byte",
        "GFLOP/s",
        "GB/s",
        "roof",
        "of roof",
        "bound by",
    ]
    rows = []
    for p in found["passes"]:
        cells = [row_name(p), p["pass"], f"{1e3 * p['seconds']:.2f}"]
        if p["bytes"] and p["seconds"]:
            cells += [
                f"{p['flop'] / 1e9:.3g}",
                f"{p['bytes'] / 1e6:.3g}",
                f"{p['intensity']:.3g}",
                f"{p['speed'] / 1e9:.3g}",
            ]
            cells += [
                f"{p['bytes'] / p['seconds'] / 1e9:.3g}",
                f"{p['roof'] / 1e9:.3g}",
                f"{100 * p['share']:.0f} %",
                p["bound"],
            ]
        rows.append(cells + [""] * (len(head) - len(cells)))
    total = sum(p["seconds"] for p in found["passes"])
    rows.append(
        [
            "sum",
            "",
            f"{1e3 * total:.2f}",
            f"{sum(p['flop'] for p in found['passes']) / 1e9:.3g}",
            *[""] * (len(head) - 4),
        ]
    )
    title = f"{found['variant']}, batch {found['batch']}, {found['device']}"
    roofs = f"sgemm {found['sgemm_peak'] / 1e9:.0f} GFLOP/s"
    roofs += f", memory {found['bandwidth'] / 1e9:.1f} GB/s"
    return "\n\n".join(
        [
            f"## {title}: where a training step's time is spent",
            machine.as_text(found["machine"]),
            report.table(head, rows, left=2),
            f"Roofs: {roofs}. Medians of {found['steps']} steps. GFLOP and MB are counted from "
            "shapes (profile_step.py --help says how), for direct convolutions: a convolution with "
            "fewer operations may exceed 100 %.",
        ]
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"profile_step.py: {error}")
