#!/usr/bin/env python3
"""How large are the errors and the speedup of Winograd convolution?

    python benchmarks/winograd_error.py --batch 32

For AlexNet's five convolutions, with fast paths on and off: the relative l2 errors of
y, dx and dw in float32 against im2col in float64, on normally distributed values; and
the time of a forward and backward pass relative to im2col's, alternating, the median
over rounds.
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
from tinyalex.functional.convolution import conv_algorithm, conv_shape

LAYERS = {
    "conv1": ((3, 224), (96, 3, 11), {"stride": 4, "padding": 2}),
    "conv2": ((96, 27), (256, 48, 5), {"padding": 2, "groups": 2}),
    "conv3": ((256, 13), (384, 256, 3), {"padding": 1}),
    "conv4": ((384, 13), (384, 192, 3), {"padding": 1, "groups": 2}),
    "conv5": ((384, 13), (256, 192, 3), {"padding": 1, "groups": 2}),
}
"""(channels, pixels) of images, (filters, channels, kernel size), options."""

MAX_EXACT_IMAGES = 8
"""Only these are also computed in float64, which is slow."""


def main() -> int:
    args = arguments()
    rows = [row for name in LAYERS for row in measure(name, args.batch, args.rounds)]
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
    unit = "speed of forward and backward relative to im2col"
    report.draw_bars(panels, unit, args.output / f"{args.name}.png")
    return 0


def measure(name: str, batch: int, rounds: int) -> list[dict[str, Any]]:
    """A row for each algorithm of a layer."""
    (channels, size), (filters, group_channels, kernel), options = LAYERS[name]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, channels, size, size)).astype("f")
    w = rng.standard_normal((filters, group_channels, kernel, kernel))
    w = (w / np.sqrt(w[0].size)).astype("f")
    shape = conv_shape(x.shape, w.shape, **options)
    dy = rng.standard_normal((batch, filters, *shape.out)).astype("f")
    few = slice(0, MAX_EXACT_IMAGES)
    exact = passes(x[few].astype("d"), w.astype("d"), dy[few].astype("d"), options)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(rounds + 1):
        for fast, times in seconds.items():
            with ta.fast(fast):
                began = time.perf_counter()
                passes(x, w, dy, options)
                times += [time.perf_counter() - began] * (turn > 0)  # the first warms up
    rows = []
    for fast, times in seconds.items():
        with ta.fast(fast):
            results = passes(x[few], w, dy[few], options)
            algorithm = conv_algorithm(shape, x.dtype, "cpu", wants_dx=True).describe(shape)
        errors = [relative(a, b) for a, b in zip(results, exact, strict=True)]
        speed = median(a / b for a, b in zip(seconds[False], times, strict=True))
        rows.append({"layer": name, "algorithm": algorithm, "errors": errors, "speed": speed})
    return rows


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
    label = f"{row['speed']:.1f} x, error of y {row['errors'][0]:.1e}"
    return row["algorithm"], row["speed"], label, row["algorithm"] != "im2col"


def as_text(found: dict[str, Any]) -> str:
    head = ["layer", "algorithm", "error of y", "of dx", "of dw", "speed"]
    rows = [
        [
            row["layer"],
            row["algorithm"],
            *(f"{error:.1e}" for error in row["errors"]),
            f"{row['speed']:.2f} x",
        ]
        for row in found["rows"]
    ]
    title = f"## Errors of Winograd convolution, batch {found['batch']}"
    return f"{title}\n\n{machine.as_text(found['machine'])}\n\n{report.table(head, rows, left=2)}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=positive, default=32)
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument(
        "--output", type=Path, default=report.RESULTS, help="default: benchmarks/results"
    )
    parser.add_argument("--name", default="winograd-error", help="name of the files")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    return args


if __name__ == "__main__":
    sys.exit(main())
