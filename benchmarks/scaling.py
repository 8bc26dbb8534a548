#!/usr/bin/env python3
"""How does training scale with the number of processes, and is it as predicted?

    python benchmarks/scaling.py --variant cifar-quick
    python benchmarks/scaling.py --variant paper --image-size 112 --batch 64

Times training steps of 1, 2 and 4 processes with a core each, by scheme; processes that
outnumber the cores share them. In each round, the cost model of `tinyalex scale` is
calibrated first, which runs the network on one core, and messages between two
processes. Its predictions are compared with the step times of the same round. The bytes
that processes send are counted, and must be those of the model. Needs mpi4py:
pip install '.[mpi]'.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import contender
import machine
import report
import turns
from alexnet_step import positive

from tinyalex.nn import init
from tinyalex.parallel import cost
from tinyalex.parallel.cost import SCHEMES, ComputeTimes, LayerShape, Machine, calibration, predict
from tinyalex.parallel.cost.measurements import build
from tinyalex.plots.figures import INK, new_figure

CURVE_WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
COLORS = {"data": report.OURS, "columns": report.OTHER, "hybrid": "#6a4c93"}


def main() -> int:
    args = arguments()
    os.environ |= calibration.ONE_CORE  # of all processes that are started
    with init.skipped():
        model, image_shape = build(args.variant, args.image_size)
    args.image_size = image_shape[1]
    layers = cost.layer_shapes(model, image_shape)
    schemes = [name for name in SCHEMES if name != "columns" or cost.has_columns(layers)]
    others = contender.OtherProcesses()
    rounds = [Round(args, layers, schemes) for _ in range(args.rounds)]
    found = {
        "variant": args.variant,
        "image_size": args.image_size,
        "batch": args.batch,
        "rounds": args.rounds,
        "cores": contender.cores(),
        "machine": machine.describe(),
        "others_busy": others.cores(),
        "calibration": [vars(each.machine) for each in rounds],
        "runs": [as_run([each.runs[i] for each in rounds]) for i in range(len(rounds[0].runs))],
        "curves": [
            {"per_worker": per_worker, "scheme": name, "points": curve(rounds, name, per_worker)}
            for per_worker in (False, True)
            for name in schemes
        ],
    }
    for each in found["runs"]:
        add_speedups(each, found["runs"], found["cores"])
    text = as_text(found)
    report.write_json(args.output, args.name, found)
    report.write_text(args.output, args.name, text)
    figure = args.figure or args.output / f"{args.name}.png"
    draw(found, figure)
    print(f"{text}\n\nwritten: {args.output / args.name}.json, .md, {figure}")
    return 0


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--variant",
        default="cifar-quick",
        help="cifar-quick (default), cifar-alexnet, or one of models.VARIANTS",
    )
    p.add_argument("--image-size", type=positive, help="default: the variant's")
    p.add_argument("--batch", type=positive, default=128, help="images in a step, of all processes")
    p.add_argument(
        "--processes",
        type=lambda text: [positive(part) for part in text.split(",")],
        default=[2, 4],
        metavar="K,K,...",
        help="numbers of processes to compare with one (default: 2,4)",
    )
    p.add_argument("--rounds", type=positive, default=3)
    p.add_argument("--seconds", type=float, default=3.0, help="of each measurement (default: 3)")
    p.add_argument(
        "--output",
        type=Path,
        default=report.RESULTS,
        metavar="FOLDER",
        help="default: benchmarks/results",
    )
    p.add_argument("--name", help="name of the files; default: scaling-VARIANT")
    p.add_argument("--figure", type=Path, metavar="PNG", help="default: NAME.png in --output")
    args = p.parse_args()
    args.name = args.name or f"scaling-{args.variant}"
    return args


class Round:
    """A calibration, and then the steps of each scheme and number of processes; first
    those of one process, with the whole batch and with that of each number."""

    def __init__(
        self, args: argparse.Namespace, layers: Sequence[LayerShape], schemes: Sequence[str]
    ) -> None:
        self.args, self.layers = args, layers
        cores = contender.cores()
        self.calibration = calibration.measure(args.variant, args.image_size, args.batch, cores)
        self.machine = Machine(**self.calibration.rates, cores=cores)
        batches = [args.batch // count for count in (1, *args.processes)]
        self.runs = [self.run("data", 1, batch) for batch in batches]
        self.runs += [
            self.run(name, count, args.batch)
            for count in args.processes
            for name in schemes
            if name != "columns" or count % 2 == 0
        ]

    def run(self, scheme: str, count: int, batch: int) -> dict[str, Any]:
        """The measured step, and the predictions. Raises if the bytes sent differ."""
        args = self.args
        program = Path(__file__).with_name("scaling_step.py")
        command = [calibration.mpirun(), "-n", str(count), sys.executable, str(program)]
        command += [scheme, args.variant, f"--image-size={args.image_size}"]
        command += [f"--batch={batch}", f"--seconds={args.seconds}"]
        found = turns.run_json(f"{scheme}, {count} processes", command)
        expected = [
            cost.sent_bytes(self.layers, scheme, count, batch, rank) for rank in range(count)
        ]
        if found["sent_bytes"] != expected:
            raise RuntimeError(
                f"{scheme}, {count} processes: expected {expected} bytes sent in a step, counted "
                f"{found['sent_bytes']}. The cost model does not describe the communication."
            )
        return {
            "scheme": scheme,
            "processes": count,
            "batch": batch,
            "sent_bytes": max(expected),
            "seconds": median(found["seconds"]),
            "predicted": self.predict(scheme, count, batch, self.calibration.times(count)),
            "from_shapes": self.predict(scheme, count, batch, None),
        }

    def predict(self, scheme: str, count: int, batch: int, times: ComputeTimes | None) -> float:
        return predict(self.layers, scheme, count, batch, self.machine, times).step


def as_run(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians of a run over the rounds; ratios are of the same round."""
    middle = {
        key: median(each[key] for each in rounds) for key in ("seconds", "predicted", "from_shapes")
    }
    ratios = turns.ratio([r["predicted"] for r in rounds], [r["seconds"] for r in rounds])
    return rounds[0] | middle | {"ratio": ratios}


def add_speedups(run: dict[str, Any], runs: list[dict[str, Any]], cores: int) -> None:
    """Images/s relative to one process: with the same batch (strong scaling), and with
    the batch of a process (weak scaling); and for each core that is used."""
    count, batch = run["processes"], run["batch"]
    alone = {each["batch"]: each for each in runs if each["processes"] == 1}
    for key, suffix in (("seconds", ""), ("predicted", "_predicted")):
        strong = alone[batch][key] / run[key]
        run["speedup" + suffix] = strong
        run["efficiency" + suffix] = strong / min(count, cores)
        run["weak_speedup" + suffix] = count * alone[batch // count][key] / run[key]


def curve(rounds: Sequence[Round], scheme: str, per_worker: bool) -> list[list[float]]:
    """(workers, predicted efficiency), if each worker has a core of its own."""
    points = []
    for count in CURVE_WORKERS:
        if scheme == "columns" and count == 1:
            continue
        efficiencies = []
        for each in rounds:
            batch = each.args.batch * (count if per_worker else 1)
            rates = Machine(**{**vars(each.machine), "cores": None})
            # The times of cores that share the memory, for one worker too.
            times = each.calibration.together
            steps = [
                predict(each.layers, name, workers, images, rates, times)
                for name, workers, images in (("data", 1, each.args.batch), (scheme, count, batch))
            ]
            one, many = (step.images_per_second / step.workers for step in steps)
            efficiencies.append(many / one)
        points.append([count, median(efficiencies)])
    return points


def as_text(found: dict[str, Any]) -> str:
    head = ["scheme", "processes", "batch", "MB sent", "ms a step", "predicted", "ratio", "range"]
    head += ["speedup", "predicted", "per process", "from shapes"]
    rows = []
    for r in found["runs"]:
        ratio = r["ratio"]
        rows.append(
            [
                r["scheme"],
                str(r["processes"]),
                str(r["batch"]),
                f"{r['sent_bytes'] / 1e6:.1f}",
                f"{1e3 * r['seconds']:.1f}",
                f"{1e3 * r['predicted']:.1f}",
                f"{ratio['median']:.2f}",
                f"{ratio['lowest']:.2f} to {ratio['highest']:.2f}",
                f"{r['speedup']:.2f}",
                f"{r['speedup_predicted']:.2f}",
                f"{r['weak_speedup']:.2f}",
                f"{1e3 * r['from_shapes']:.1f}",
            ]
        )
    rates = {
        key: median(each[key] for each in found["calibration"])
        for key in found["calibration"][0]
        if found["calibration"][0][key] is not None and key != "library"
    }
    calibrated = (
        f"Calibration: {rates['flops'] / 1e9:.0f} GFLOP/s and {rates['memory_bandwidth'] / 1e9:.1f}"
        f" GB/s of memory on each core, messages with {rates['message_bandwidth'] / 1e9:.1f} GB/s "
        f"and {1e6 * rates['latency']:.1f} us each, sums at "
        f"{rates['sum_bandwidth'] / 1e9:.1f} GB/s, time slices of "
        f"{1e3 * rates['time_slice']:.1f} ms."
    )
    busy = found["others_busy"]
    notes = (
        f"Each process has one thread; {found['cores']} cores. MB sent: by the process that sends "
        "most, counted. Predicted: with the steps of single processes as calibrated, alone or on "
        "each core at the same time; from shapes: with GFLOP/s and GB/s only. Ratio: predicted to "
        "measured, in the same round. Speedup: images/s relative to one process with the same "
        "batch; per process: relative to one process with the batch of each process. Medians of "
        f"{found['rounds']} rounds."
    )
    if busy is not None:
        notes += f" Meanwhile other programs used {busy:.2f} cores."
    size = found["image_size"]
    return "\n\n".join(
        [
            f"## {found['variant']}, {size} x {size} pixels, batch {found['batch']}: several "
            "processes",
            machine.as_text(found["machine"]),
            report.table(head, rows),
            calibrated,
            notes,
        ]
    )


def draw(found: dict[str, Any], path: Path) -> None:
    """Efficiency by scheme: the model's curves, and what was measured."""
    figure = new_figure(9.5, 3.9)
    batch, cores = found["batch"], found["cores"]
    titles = {False: f"batch {batch} in all", True: f"batch {batch} for each worker"}
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (per_worker, title) in zip(panels, titles.items(), strict=True):
        for line in found["curves"]:
            if line["per_worker"] == per_worker:
                workers, efficiency = zip(*line["points"], strict=True)
                name = line["scheme"]
                axes.plot(workers, efficiency, color=COLORS[name], label=f"{name}, predicted")
        axes.set_xscale("log", base=2)
        axes.set_xticks(CURVE_WORKERS[::2], [f"{count:,}" for count in CURVE_WORKERS[::2]])
        axes.set_ylim(0, 1.1)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        axes.set_title(title, loc="left", fontsize=10, color=INK)
        axes.set_xlabel("workers", fontsize=9, color=INK)
        axes.grid(color="#eeeeee")
        axes.tick_params(labelsize=9, colors=INK, length=0)
        axes.spines[["top", "right"]].set_visible(False)
    for r in found["runs"]:
        shared = r["processes"] > cores
        panels[0].plot(
            r["processes"],
            r["efficiency"],
            "o",
            color=COLORS[r["scheme"]],
            markerfacecolor="white" if shared else None,
            markersize=6,
            zorder=3,
        )
    grey = "#777777"
    panels[0].plot([], [], "o", color=grey, label="measured")
    if any(r["processes"] > cores for r in found["runs"]):
        panels[0].plot(
            [], [], "o", color=grey, markerfacecolor="white", label=f"measured, on {cores} cores"
        )
    panels[0].legend(fontsize=8, frameon=False, labelcolor=INK)
    panels[0].set_ylabel("efficiency", fontsize=9, color=INK)
    report.write_figure(figure, path)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        sys.exit(f"scaling.py: {error}")
