"""Predict the time of a training step on several workers.

  tinyalex scale                                    AlexNet on 1 to 1,024 workers
  tinyalex scale --variant cifar-quick --schemes data,hybrid --workers 1,2,4
  tinyalex scale --gflops 20000 --memory-bandwidth 1500 --bandwidth 50 --overlap 1
  tinyalex scale --measure --workers 1,2,4          with the rates of this machine

The schemes: `data` divides the batch, `columns` the network's two columns, `hybrid` the
batch in convolutions and the units in linear layers.
"""

import argparse
import os
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tinyalex.cli.options import Commands, add_command, positive_integer, positive_number, quoted
from tinyalex.models import VARIANTS
from tinyalex.nn import init
from tinyalex.parallel import cost
from tinyalex.parallel.buckets import BUCKET_BYTES
from tinyalex.parallel.cost import LIBRARIES, SCHEMES, LayerShape, Machine, Prediction, calibration
from tinyalex.parallel.cost.calibration import Calibration
from tinyalex.parallel.cost.measurements import build
from tinyalex.parallel.cost.step_time import UPDATE_PASSES

NETWORKS = (*VARIANTS, "cifar-quick", "cifar-alexnet")

RATES: dict[str, tuple[str, float, str]] = {
    "gflops": ("flops", 1e9, "float32 matrix multiplication, GFLOP/s"),
    "memory_bandwidth": ("memory_bandwidth", 1e9, "reads and writes of memory, GB/s"),
    "bandwidth": ("message_bandwidth", 1e9, "messages sent while as many are received, GB/s"),
    "latency": ("latency", 1e-6, "of a message, microseconds"),
}
"""The options that are fields of Machine, with the field, its unit and the help."""


MAX_ITEMS = 100
"""Of a list."""

INDENTED: dict[str, Any] = {
    "initial_indent": "- ",
    "subsequent_indent": "  ",
    "break_on_hyphens": False,
}


def add_parser(commands: Commands) -> None:
    p = add_command(commands, "scale", run, __doc__, error_status=1)
    p.add_argument(
        "--variant", default="paper", metavar="NAME", help=", ".join(NETWORKS) + " (default: paper)"
    )
    p.add_argument(
        "--image-size",
        type=positive_integer,
        metavar="S",
        help="default: the variant's, 224 or 227",
    )
    p.add_argument(
        "--workers",
        type=list_of(positive_integer),
        default=[1, 2, 4, 8, 64, 1024],
        metavar="K,K,...",
        help="default: 1,2,4,8,64,1024",
    )
    p.add_argument(
        "--batch-size",
        type=positive_integer,
        default=128,
        metavar="N",
        help="images in a step, of all workers together (default: 128)",
    )
    p.add_argument("--per-worker", action="store_true", help="--batch-size is that of each worker")
    p.add_argument(
        "--schemes",
        type=list_of(scheme),
        metavar="NAME,NAME,...",
        help="default: data, hybrid, and columns if the network has two",
    )
    p.add_argument(
        "--measure",
        action="store_true",
        help="measure the rates, and the network on one core (needs mpi4py and about a minute)",
    )
    machine = p.add_argument_group(
        "the machine", "of one worker: a device, or a core of a CPU; options replace measured rates"
    )
    for option, (field, unit, text) in RATES.items():
        machine.add_argument(
            f"--{option.replace('_', '-')}",
            type=positive_number,
            metavar="X",
            help=f"{text} (default: {getattr(Machine, field) / unit:g})",
        )
    machine.add_argument(
        "--cores",
        type=positive_integer,
        metavar="N",
        help="workers that run at the same time; more share them (default: all workers; with "
        "--measure, the cores of this machine)",
    )
    machine.add_argument(
        "--overlap",
        type=fraction,
        default=0.0,
        metavar="X",
        help="the part of communication, 0 to 1, that needs no time of the worker: about 1 on "
        "GPUs, 0 (default) on CPUs, whose cores copy the messages",
    )
    machine.add_argument(
        "--library", choices=LIBRARIES, default="mpi", help="that sends messages (default: mpi)"
    )


def list_of(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    return lambda text: [kind(part) for part in text.split(",", MAX_ITEMS)]


def scheme(text: str) -> str:
    if text not in SCHEMES:
        raise argparse.ArgumentTypeError(f"expected {', '.join(SCHEMES)}, got {quoted(text)}")
    return text


def fraction(text: str) -> float:
    if text in ("0", "0.0"):
        return 0.0
    number = positive_number(text)
    if number > 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {quoted(text)}")
    return number


def run(args: argparse.Namespace) -> int:
    if args.variant not in NETWORKS:
        raise ValueError(
            f"scale: expected --variant to be one of {', '.join(NETWORKS)}, got {args.variant!r}."
        )
    with init.skipped():
        model, input_shape = build(args.variant, args.image_size)
    layers = cost.layer_shapes(model, input_shape)
    given = {
        field: getattr(args, option) * unit
        for option, (field, unit, _) in RATES.items()
        if getattr(args, option) is not None
    }
    cores, measured = args.cores, None
    if args.measure:
        cores = cores or available_cores()
        messages = not {"latency", "message_bandwidth"} <= given.keys()
        measured = calibration.measure(
            args.variant, input_shape[1], args.batch_size, cores, messages=messages
        )
        given = measured.rates | given
    machine = Machine(**given, cores=cores, overlap=args.overlap, library=args.library)
    comparison = Comparison(layers, args.batch_size, args.per_worker, machine, measured)
    schemes = args.schemes or [
        name for name in SCHEMES if name != "columns" or cost.has_columns(layers)
    ]
    print(title(args.variant, input_shape, layers, args.batch_size, args.per_worker))
    print(table(comparison, schemes, args.workers))
    print(f"\n{LEGEND}\n\nAssumptions:")
    for line in assumptions(machine, measured):
        print(textwrap.fill(line, 100, **INDENTED))
    return 0


def available_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@dataclass(frozen=True)
class Comparison:
    """Predictions of schemes and numbers of workers, relative to one worker."""

    layers: Sequence[LayerShape]
    batch_size: int
    per_worker: bool
    machine: Machine
    measured: Calibration | None

    def predict(self, name: str, workers: int, *, from_shapes: bool = False) -> Prediction:
        batch_size = self.batch_size * (workers if self.per_worker else 1)
        times = None if from_shapes or not self.measured else self.measured.times(workers)
        return cost.predict(self.layers, name, workers, batch_size, self.machine, times)

    def efficiency(self, prediction: Prediction) -> float:
        """Images/s for each worker, or each core if workers share them, relative to one
        worker."""
        one = self.predict("data", 1)
        used = min(prediction.workers, self.machine.cores or prediction.workers)
        return prediction.images_per_second / used / one.images_per_second


def title(
    variant: str,
    input_shape: tuple[int, ...],
    layers: Sequence[LayerShape],
    batch_size: int,
    per_worker: bool,
) -> str:
    shape = " x ".join(map(str, input_shape))
    parameters = sum(layer.size for layer in layers)
    multiply_adds = sum(layer.multiply_adds for layer in layers)
    batch = f"batches of {batch_size} for each worker" if per_worker else f"batches of {batch_size}"
    return (
        f"{variant}, {shape}, {batch}: {parameters:,} parameters, {multiply_adds:,} multiply-adds "
        "an image\n"
    )


LEGEND = """\
images, parameters, MB sent: of the worker with the most. Times in ms; `step` is the sum of
compute, update and communication. efficiency: images/s of a worker, relative to one worker alone"""


def table(comparison: Comparison, schemes: Sequence[str], workers: Sequence[int]) -> str:
    """A line for each scheme and number of workers. With measured times, the last
    column has the step time without them."""
    head = ["scheme", "workers", "images", "parameters", "MB sent", "compute", "update"]
    head += ["communication", "step", "efficiency"]
    head += ["step from shapes"] if comparison.measured else []
    rows = [head]
    left_out = []
    for name in schemes:
        for count in workers:
            if name == "columns" and count % 2 and len(schemes) * len(workers) > 1:
                left_out.append(count)
                continue
            rows.append(list(_row(comparison, name, count)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    ]
    if left_out:
        numbers = ", ".join(map(str, left_out))
        lines.append(f"columns requires an even number of workers, not {numbers}")
    return "\n".join(lines)


def _row(comparison: Comparison, name: str, workers: int) -> Iterator[str]:
    p = comparison.predict(name, workers)
    yield from (p.scheme, f"{p.workers:,}", f"{p.images:,}", f"{p.parameters:,}")
    yield f"{p.sent_bytes / 1e6:,.1f}"
    for seconds in (p.compute, p.update, p.communication - p.hidden, p.step):
        yield f"{1e3 * seconds:,.1f}"
    yield f"{100 * comparison.efficiency(p):.1f} %"
    if comparison.measured is not None:
        yield f"{1e3 * comparison.predict(name, workers, from_shapes=True).step:,.1f}"


def assumptions(machine: Machine, measured: Calibration | None) -> list[str]:
    """What the prediction assumes, one line each."""
    rates = (
        f"{machine.flops / 1e9:.4g} GFLOP/s, {machine.memory_bandwidth / 1e9:.4g} GB/s of memory, "
        f"messages with {machine.message_bandwidth / 1e9:.4g} GB/s and "
        f"{machine.latency * 1e6:.4g} us each"
    )
    sums = "adds what it receives at the speed of memory, in 3 passes"
    if machine.sum_bandwidth is not None:
        sums = f"adds what it receives at {machine.sum_bandwidth / 1e9:.4g} GB/s, with receiving"
    if measured is None:
        compute = (
            "multiply-adds of direct convolution and of linear layers, forward once, "
            "backward twice, without the gradient of the images; and each layer reads its input "
            "and writes its output, in backward also the gradients, from and to memory"
        )
    else:
        compute = (
            "measured on one core, as a fixed time and a time for each image, for the "
            "convolutional and the linear part; for several workers, while all cores computed; "
            "`step from shapes` uses GFLOP/s and GB/s instead, with direct convolutions"
        )
    reduction = {
        "mpi": "a reduction to one worker receives from all others, one after another",
        "nccl": "a reduction to one worker is a ring, in which each adds once",
    }[machine.library]
    cores = (
        "each worker has a core or device of its own"
        if machine.cores is None
        else f"{machine.cores} workers run at the same time; more share the cores equally, and a "
        f"worker that waits for another waits for half of a time slice of "
        f"{1e3 * machine.time_slice:.3g} ms more"
    )
    return [
        f"a worker: {rates}; it {sums}",
        f"compute: {compute}",
        f"update: {UPDATE_PASSES} passes over the parameters that a worker holds; in `data`, all "
        "workers update all parameters",
        "communication: all workers send at full bandwidth at the same time, whatever the others "
        "send; all-gather and reduce-scatter: one message to each of the others; broadcast: along "
        f"a tree, in small parts, so that only latency grows, with log2(workers); {reduction}",
        f"gradients are copied to buckets of {BUCKET_BYTES >> 20} MiB, unless one fills a bucket",
        f"overlap {machine.overlap:g}: this part of communication needs no time of the worker; it "
        "overlaps with the backward pass of the convolutions (gradients of linear layers), or with "
        "the turn before (broadcasts of `hybrid`)",
        cores,
        "not counted: reading images, waiting for slower workers, the loss and its gradient, "
        "whether a worker's memory suffices",
    ]
