#!/usr/bin/env python3
"""How large are the errors of Winograd's convolution, and what does each setting gain?

    python benchmarks/winograd_sizes.py --batch 32

For AlexNet's five convolutions and each setting of `tinyalex.kernels.cpu.convolution.winograd.use`: the relative l2 error of y, dx and dw in float32
against im2col in float64, on normally distributed numbers; and the time of a forward and backward pass, in turn with the others, as a
multiple of im2col's ("off"; the median over rounds).
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import machine
import numpy as np
import report
from alexnet_step import positive

import tinyalex as ta
from tinyalex import functional as F
from tinyalex.kernels.cpu.convolution import winograd

LAYERS = {
    "conv1": ((3, 224), (96, 3, 11), {"stride": 4, "padding": 2}),
    "conv2": ((96, 27), (256, 48, 5), {"padding": 2, "groups": 2}),
    "conv3": ((256, 13), (384, 256, 3), {"padding": 1}),
    "conv4": ((384, 13), (384, 192, 3), {"padding": 1, "groups": 2}),
    "conv5": ((384, 13), (256, 192, 3), {"padding": 1, "groups": 2}),
}
"""The paper's: channels and pixels of the image; filters, channels and window of the weight; options."""


def main() -> int:
    args = arguments()
    rows = []
    for name, (image, weight, options) in LAYERS.items():
        rng = np.random.default_rng(0)
        x = rng.standard_normal((args.batch, image[0], image[1], image[1])).astype("f")
        w = (
            rng.standard_normal((*weight, weight[2])) / np.sqrt(weight[1] * weight[2] ** 2)
        ).astype("f")
        dy = rng.standard_normal(F.conv2d(x[:1], w, **options).shape[1:]).astype("f")
        dy = np.broadcast_to(dy, (args.batch, *dy.shape)) * rng.standard_normal(
            (args.batch, 1, 1, 1)
        ).astype("f")
        few = slice(0, min(args.batch, 8))  # float64 takes its time
        winograd.use("off")
        right = passes(x[few].astype("d"), w.astype("d"), dy[few].astype("d"), options)
        seconds: dict[str, list[float]] = {setting: [] for setting in winograd.SIZES}
        for turn in range(args.rounds + 1):
            for setting, times in seconds.items():
                winograd.use(setting)
                began = time.perf_counter()
                passes(x, w, dy, options)
                times += [time.perf_counter() - began] * (turn > 0)
        for setting, times in seconds.items():
            winograd.use(setting)
            errors = [
                relative(a, b)
                for a, b in zip(passes(x[few], w, dy[few], options), right, strict=True)
            ]
            speed = median(off / own for off, own in zip(seconds["off"], times, strict=True))
            rows.append({"layer": name, "setting": setting, "errors": errors, "speed": speed})
    found = {
        "batch": args.batch,
        "rounds": args.rounds,
        "machine": machine.describe(),
        "rows": rows,
    }
    text = as_text(found)
    print(text)
    report.write_json(args.output, args.name, found)
    report.write_text(args.output, args.name, text)
    panels = [(name, [bar(row) for row in rows if row["layer"] == name]) for name in LAYERS]
    report.draw_bars(
        panels, "forward and backward, times as fast as im2col", args.output / f"{args.name}.png"
    )
    return 0


def passes(
    x: np.ndarray, w: np.ndarray, dy: np.ndarray, options: dict[str, Any]
) -> list[np.ndarray]:
    """y, dx and dw."""
    tensors = ta.Tensor(x, requires_grad=True), ta.Tensor(w, requires_grad=True)
    y = F.conv2d(*tensors, **options)
    y.backward(dy)
    return [y.data, *(t.grad for t in tensors)]


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def bar(row: dict[str, Any]) -> tuple[str, float, str, bool]:
    return (
        row["setting"],
        row["speed"],
        f"{row['speed']:.1f} x, error of y {row['errors'][0]:.1e}",
        row["setting"] == "fast",
    )


def as_text(found: dict[str, Any]) -> str:
    rows = [
        [
            row["layer"],
            row["setting"],
            *(f"{error:.1e}" for error in row["errors"]),
            f"{row['speed']:.2f} x",
        ]
        for row in found["rows"]
    ]
    head = ["layer", "setting", "error of y", "of dx", "of dw", "speed"]
    return f"## Winograd's sizes, batch {found['batch']}\n\n{machine.as_text(found['machine'])}\n\n{report.table(head, rows, left=2)}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=positive, default=32)
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument(
        "--output",
        type=Path,
        default=report.RESULTS,
        help="folder for the table, the chart and the JSON",
    )
    parser.add_argument("--name", default="winograd-sizes")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    return args


if __name__ == "__main__":
    sys.exit(main())
