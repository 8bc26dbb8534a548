#!/usr/bin/env python3
"""AlexNet's training step and inference, in tinyalex and other frameworks, alternating.

    python benchmarks/alexnet_step.py --variant torchvision --batch 32,128
    python benchmarks/alexnet_step.py --variant paper --against torch --layers
    python benchmarks/alexnet_step.py --mode infer --batch 1,2,4,8 --against openvino
    python benchmarks/alexnet_step.py --against torch --before ../the-commit-before

In each round each framework runs in a process of its own (contender.py): it warms up,
then runs steps for some seconds; the time of the round is their median. Frameworks
alternate, A B C A B C, so that changes of the machine's speed affect all. The report
has medians over rounds. A ratio is tinyalex's images/s over the other framework's *in
the same round*; the report has its median and range over rounds. Writes NAME.md,
NAME.png and NAME.json to --output.
"""

import argparse
import sys
from pathlib import Path
from statistics import median
from typing import Any

import machine
import networks
import report
import step_report
import turns
from turns import BEFORE, OURS, Entrant

from tinyalex import device

COUNTED = (
    "GFLOP/s counts two operations for each multiply-add of a direct convolution or linear layer, "
    "with three passes in training, less the gradient of the images; algorithms that need fewer "
    "operations may exceed the peak (sgemm: NumPy's multiplication of 2048 x 2048 matrices, the "
    "best in this run). Memory is the peak of the process."
)


def main() -> int:
    args = arguments()
    args.device = device.check(args.device)
    network = networks.describe(args.variant)
    entrants, left_out = turns.entrants(args.against, network, args.device, args.peers_python)
    if "train" in args.mode:
        left_out |= {e.framework: turns.NO_TRAINING for e in entrants if not e.trains}
    for framework, reason in left_out.items():
        print(f"left out: {framework} {reason}", flush=True)
    if args.before:
        entrants.append(Entrant(BEFORE, OURS, sys.executable, checkout=args.before.resolve()))
    if len(entrants) == 1:
        print("nothing to compare with: there are no ratios", flush=True)
    found: dict[str, Any] = {
        "variant": args.variant,
        "device": args.device,
        "machine": machine.describe(),
        "parameters": networks.parameters(network),
        "counted": COUNTED,
        "left_out": left_out,
        "versions": {},
        "results": [],
        "layers": [],
    }
    with turns.saved(network) as path:
        for mode in args.mode:
            for batch in args.batch:
                found["results"].append(
                    compare(args, entrants, network, path, mode, batch, found["versions"])
                )
                write(args, found)
        for batch in args.batch if args.layers else ():
            found["layers"].append(compare_layers(args, entrants, network, path, batch))
            write(args, found)
    print("\n" + step_report.as_text(found))
    print(f"\nwritten: {args.output / args.name}.json, .md, .png")
    return 0


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--against",
        type=names(*turns.FRAMEWORKS),
        default=",".join(turns.FRAMEWORKS),
        metavar="A,B",
        help="default: %(default)s",
    )
    p.add_argument(
        "--before",
        type=Path,
        metavar="CHECKOUT",
        help="also measure the tinyalex of another checkout of this repository",
    )
    p.add_argument("--variant", choices=networks.VARIANTS, default="torchvision")
    p.add_argument("--batch", type=numbers, default="32,128", metavar="N,M")
    p.add_argument(
        "--mode", type=names("train", "infer"), default="train,infer", metavar="train,infer"
    )
    p.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:1")
    p.add_argument("--rounds", type=positive, default=5)
    p.add_argument(
        "--seconds",
        type=float,
        default=3.0,
        help="time steps for this long in each process, at least two steps (default: 3)",
    )
    p.add_argument(
        "--layers", action="store_true", help="also time each layer, in tinyalex and torch"
    )
    p.add_argument(
        "--peers-python",
        type=Path,
        default=turns.OLD_PYTHON,
        metavar="PATH",
        help="a Python that has Chainer and DeZero",
    )
    p.add_argument(
        "--output",
        type=Path,
        default=report.RESULTS,
        metavar="FOLDER",
        help="default: benchmarks/results",
    )
    p.add_argument("--name", help="name of the files; default: step-VARIANT or step-VARIANT-cuda")
    args = p.parse_args()
    args.name = args.name or report.default_name(f"step-{args.variant}", args.device)
    return args


def names(*known: str) -> Any:
    def parse(text: str) -> list[str]:
        found = [name for name in text.split(",") if name]
        if unknown := [name for name in found if name not in known]:
            raise argparse.ArgumentTypeError(
                f"expected some of {','.join(known)}, got {unknown[0]!r}"
            )
        return found

    return parse


def positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)


def numbers(text: str) -> list[int]:
    return [positive(part) for part in text.split(",")]


def compare(
    args: argparse.Namespace,
    entrants: list[Entrant],
    network: dict[str, Any],
    path: str,
    mode: str,
    batch: int,
    versions: dict[str, Any],
) -> dict[str, Any]:
    """All rounds of one mode and batch."""
    able = [e for e in entrants if e.trains or mode == "infer"]
    rounds: list[dict[str, dict[str, Any]]] = []
    peaks = []
    for number in range(args.rounds):
        peaks.append(machine.sgemm_peak(args.device))
        turn = {
            e.label: turns.turn(
                e, path, mode=mode, batch=batch, device=args.device, seconds=args.seconds
            )
            for e in able
        }
        turns.check_same_network(turn)
        rounds.append(turn)
        times = ", ".join(f"{label} {median(r['seconds']):.4g} s" for label, r in turn.items())
        print(f"{mode}, batch {batch}, round {number + 1} of {args.rounds}: {times}", flush=True)
    for label, last in rounds[-1].items():
        versions[label] = {**last["versions"], "blas": last["blas"]}
    return summary(rounds, max(peaks), mode, batch, networks.flop(network, mode))


def summary(
    rounds: list[dict[str, dict[str, Any]]], peak: float, mode: str, batch: int, flop_per_image: int
) -> dict[str, Any]:
    """Medians and ratios over the rounds."""
    seconds = {label: [median(turn[label]["seconds"]) for turn in rounds] for label in rounds[0]}
    contenders = {}
    for label, each in seconds.items():
        speed = batch * flop_per_image / median(each)
        memory = [turn[label]["peak_memory"] for turn in rounds]
        contenders[label] = {
            "seconds": median(each),
            "rounds": [step_statistics(turn[label]["seconds"]) for turn in rounds],
            "images_per_second": batch / median(each),
            "gflop_per_second": speed / 1e9,
            "peak_memory": None if None in memory else median(memory),
            "loss_before": rounds[0][label]["loss"],
            "others_busy": step_report.busiest([turn[label]["others"] for turn in rounds]),
        }
    ratios = {}
    for label, each in seconds.items():
        if label != OURS:
            ratios[label] = turns.ratio(each, seconds[OURS])  # other seconds / tinyalex's
    peers = [label for label in ratios if label != BEFORE]
    return {
        "mode": mode,
        "batch": batch,
        "rounds": len(rounds),
        "flop_per_image": flop_per_image,
        "sgemm_peak": peak,
        "contenders": contenders,
        "ratios": ratios,
        "fastest_peer": min(peers, key=lambda label: contenders[label]["seconds"], default=None),
    }


def step_statistics(seconds: list[float]) -> dict[str, float]:
    """Number of steps in a round; their median, shortest and longest seconds."""
    return {
        "steps": len(seconds),
        "median": median(seconds),
        "fastest": min(seconds),
        "slowest": max(seconds),
    }


def compare_layers(
    args: argparse.Namespace,
    entrants: list[Entrant],
    network: dict[str, Any],
    path: str,
    batch: int,
) -> dict[str, Any]:
    """Medians over rounds and steps of each layer's forward and backward seconds."""
    able = [e for e in entrants if e.has_layers]
    steps: dict[str, list[dict[str, list[float]]]] = {e.label: [] for e in able}
    for number in range(args.rounds):
        for e in able:
            turn = turns.turn(
                e, path, mode="layers", batch=batch, device=args.device, seconds=args.seconds
            )
            steps[e.label] += turn["layers"]
        print(f"layers, batch {batch}, round {number + 1} of {args.rounds}", flush=True)
    rows = [e["name"] for e in network["layers"]] + ["loss", "update"]
    # tinyalex fuses some layers with another one: these have no time of their own.
    middle = {
        label: {
            name: [median(s.get(name, (0.0, 0.0))[i] for s in taken) for i in (0, 1)]
            for name in rows
        }
        for label, taken in steps.items()
    }
    return {
        "batch": batch,
        "seconds": middle,
        "fused": [name for name in rows if name not in steps[OURS][-1]],
    }


def write(args: argparse.Namespace, found: dict[str, Any]) -> None:
    """Write all results so far, so that an interrupted run does not lose them."""
    found["sgemm_peak"] = max((result["sgemm_peak"] for result in found["results"]), default=None)
    for result in found["results"]:
        for c in result["contenders"].values():
            c["share_of_peak"] = 1e9 * c["gflop_per_second"] / found["sgemm_peak"]
    report.write_json(args.output, args.name, found)
    report.write_text(args.output, args.name, step_report.as_text(found))
    if found["results"]:
        report.draw_bars(
            [step_report.panel(found, result) for result in found["results"]],
            "images a second",
            args.output / f"{args.name}.png",
        )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"alexnet_step.py: {error}")
    except KeyboardInterrupt:
        sys.exit("alexnet_step.py: stopped; completed comparisons have been written")
