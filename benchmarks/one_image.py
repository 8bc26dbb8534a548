#!/usr/bin/env python3
"""Inference with one image: the time of each layer, and its floor.

    python benchmarks/one_image.py --variant torchvision

All weights are read once for each batch: with one image, that limits the linear layers.

    floor  =  the larger of  bytes of the weights / bandwidth  and  FLOP / sgemm peak

The ceilings are measured: `c = a + b` of arrays of 268 MB, and NumPy's multiplication
of 2048 x 2048 matrices. FLOP counts two operations for each multiply-add of a direct
convolution. A layer can be faster than its floor: Winograd's algorithm needs fewer
operations, and weights may stay in a cache. Times are medians. Writes NAME.md,
NAME.json and NAME.png to --output.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import machine
import networks
import numpy as np
import report
from alexnet_step import positive
from layer_times import LayerTimes

from tinyalex import no_grad
from tinyalex.nn import Module

Row = dict[str, Any]


def main() -> int:
    args = arguments()
    network = networks.describe(args.variant)
    model, _ = networks.build(args.variant)
    model.eval()
    rng = np.random.default_rng(0)
    images = rng.standard_normal((args.batch, *network["image"]), dtype=np.float32)
    found: dict[str, Any] = {
        "variant": args.variant,
        "batch": args.batch,
        "machine": machine.describe(),
        "sgemm_peak": machine.sgemm_peak(),
        "bandwidth": machine.bandwidth(),
    }
    found["seconds"], layers = measured(model, images, args.seconds)
    found["layers"] = [
        row(layer, args.batch, layers[layer["name"]], found)
        for layer in network["layers"]
        if layer["parameters"]
    ]
    report.write_json(args.output, args.name, found)
    report.write_text(args.output, args.name, as_text(found))
    report.draw_bars([panel(found)], "milliseconds", args.output / f"{args.name}.png")
    print(f"{as_text(found)}\n\nwritten: {args.output / args.name}.json, .md, .png")
    return 0


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--variant", choices=networks.VARIANTS, default="torchvision")
    p.add_argument("--batch", type=positive, default=1)
    p.add_argument("--seconds", type=float, default=3.0, help="default: 3")
    p.add_argument("--output", type=Path, default=report.RESULTS, metavar="FOLDER")
    p.add_argument("--name", help="name of the files; default: one-image-VARIANT")
    args = p.parse_args()
    args.name = args.name or f"one-image-{args.variant}"
    return args


def measured(model: Module, images: np.ndarray, least: float) -> tuple[float, dict[str, float]]:
    """The median seconds of the network, and of each layer in other runs."""
    whole: list[float] = []
    layers: dict[str, list[float]] = {}
    with no_grad():
        model(images)  # transforms the filters, which are then cached
        while sum(whole) < least or len(whole) < 3:
            began = time.perf_counter()
            model(images)
            whole.append(time.perf_counter() - began)
            with LayerTimes(model) as times:
                model(images)
            for layer, (forward, _) in times.seconds.items():
                layers.setdefault(layer, []).append(forward)
    return median(whole), {layer: median(each) for layer, each in layers.items()}


def row(layer: Row, batch: int, seconds: float, found: Row) -> Row:
    size, flop = 4 * layer["parameters"], 2 * batch * layer["multiply_adds"]
    limits = {"memory": size / found["bandwidth"], "sgemm": flop / found["sgemm_peak"]}
    bound = max(limits, key=lambda limit: limits[limit])
    shown = {"layer": layer["name"], "bytes": size, "flop": flop, "seconds": seconds}
    return {**shown, "bound": bound, "floor": limits[bound]}


def as_text(found: Row) -> str:
    head = ["layer", "ms", "weights", "GFLOP", "floor ms", "bound by", "times the floor"]
    rows = [
        [
            each["layer"],
            f"{1e3 * each['seconds']:.2f}",
            f"{each['bytes'] / 1e6:.1f} MB",
            f"{each['flop'] / 1e9:.2f}",
            f"{1e3 * each['floor']:.2f}",
            each["bound"],
            f"{each['seconds'] / each['floor']:.1f}",
        ]
        for each in found["layers"]
    ]
    seconds, floor = (sum(each[key] for each in found["layers"]) for key in ("seconds", "floor"))
    rows.append(["sum", f"{1e3 * seconds:.2f}", "", "", f"{1e3 * floor:.2f}", "", ""])
    notes = (
        f"The network: {1e3 * found['seconds']:.1f} ms. Ceilings: memory "
        f"{found['bandwidth'] / 1e9:.1f} GB/s, sgemm {found['sgemm_peak'] / 1e9:.0f} GFLOP/s."
    )
    title = f"## Inference of {found['variant']}, batch {found['batch']}, by layer"
    parts = [title, machine.as_text(found["machine"]), report.table(head, rows), notes]
    return "\n\n".join(parts)


def panel(found: Row) -> tuple[str, list[tuple[str, float, str, bool]]]:
    bars = []
    for each in found["layers"]:
        milliseconds, floor = 1e3 * each["seconds"], 1e3 * each["floor"]
        bars.append((each["layer"], milliseconds, f"{milliseconds:.2f}, floor {floor:.2f}", True))
    return f"{found['variant']}, inference, batch {found['batch']}", bars


if __name__ == "__main__":
    sys.exit(main())
