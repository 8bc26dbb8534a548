#!/usr/bin/env python3
"""AlexNet's training step and inference, in tinyalex and other frameworks, alternating.

    python benchmarks/alexnet_step.py --variant torchvision --batch 32,128
    python benchmarks/alexnet_step.py --variant paper --against torch --layers
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

import contender
import machine
import networks
import report
import turns
from turns import OURS, Entrant

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
    for framework, reason in left_out.items():
        print(f"left out: {framework} {reason}", flush=True)
    if args.before:
        entrants.append(Entrant("before", OURS, sys.executable, checkout=args.before.resolve()))
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
    print("\n" + as_text(found))
    print(f"\nwritten: {args.output / args.name}.json, .md, .png")
    return 0


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--against",
        type=names("torch", "chainer", "dezero"),
        default="torch,chainer,dezero",
        metavar="A,B",
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
    rounds: list[dict[str, dict[str, Any]]] = []
    peaks = []
    for number in range(args.rounds):
        peaks.append(machine.sgemm_peak(args.device))
        turn = {
            e.label: turns.turn(
                e, path, mode=mode, batch=batch, device=args.device, seconds=args.seconds
            )
            for e in entrants
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
            "others_busy": busiest([turn[label]["others"] for turn in rounds]),
        }
    ratios = {}
    for label, each in seconds.items():
        if label != OURS:
            ratios[label] = turns.ratio(each, seconds[OURS])  # other seconds / tinyalex's
    torches = [label for label in ratios if label.startswith("torch")]
    return {
        "mode": mode,
        "batch": batch,
        "rounds": len(rounds),
        "flop_per_image": flop_per_image,
        "sgemm_peak": peak,
        "contenders": contenders,
        "ratios": ratios,
        "faster_torch": min(torches, key=lambda label: contenders[label]["seconds"], default=None),
    }


def step_statistics(seconds: list[float]) -> dict[str, float]:
    """Number of steps in a round; their median, shortest and longest seconds."""
    return {
        "steps": len(seconds),
        "median": median(seconds),
        "fastest": min(seconds),
        "slowest": max(seconds),
    }


def busiest(others: list[float | None]) -> float | None:
    return max((cores for cores in others if cores is not None), default=None)


def compare_layers(
    args: argparse.Namespace,
    entrants: list[Entrant],
    network: dict[str, Any],
    path: str,
    batch: int,
) -> dict[str, Any]:
    """Medians over rounds and steps of each layer's forward and backward seconds."""
    able = [e for e in entrants if e.framework in (OURS, "torch")]
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


# Reports


def write(args: argparse.Namespace, found: dict[str, Any]) -> None:
    """Write all results so far, so that an interrupted run does not lose them."""
    found["sgemm_peak"] = max((result["sgemm_peak"] for result in found["results"]), default=None)
    for result in found["results"]:
        for c in result["contenders"].values():
            c["share_of_peak"] = 1e9 * c["gflop_per_second"] / found["sgemm_peak"]
    report.write_json(args.output, args.name, found)
    report.write_text(args.output, args.name, as_text(found))
    if found["results"]:
        report.draw_bars(
            [panel(found, result) for result in found["results"]],
            "images a second",
            args.output / f"{args.name}.png",
        )


def as_text(found: dict[str, Any]) -> str:
    parts = [f"## {found['variant']} on {found['device']}", machine.as_text(found["machine"])]
    parts += [step_table(found)] if found["results"] else []
    parts += [layer_table(result) for result in found["layers"]]
    parts += [
        f"Left out: {framework}, which {reason}." for framework, reason in found["left_out"].items()
    ]
    parts.append(found["counted"])
    return "\n\n".join(parts)


def step_table(found: dict[str, Any]) -> str:
    head = [
        "step",
        "framework",
        "batch",
        "images/s",
        "s a step",
        "tinyalex is",
        "range",
        "GFLOP/s",
        "of sgemm",
        "memory",
    ]
    rows = []
    for result in found["results"]:
        for label, c in result["contenders"].items():
            ratio = result["ratios"].get(label)
            memory = c["peak_memory"]
            rows.append(
                [
                    result["mode"],
                    label,
                    str(result["batch"]),
                    f"{c['images_per_second']:.4g}",
                    f"{c['seconds']:.4g}",
                    f"{ratio['median']:.2f} x" if ratio else "",
                    f"{ratio['lowest']:.2f} to {ratio['highest']:.2f}" if ratio else "",
                    f"{c['gflop_per_second']:.3g}",
                    f"{100 * c['share_of_peak']:.0f} %",
                    f"{memory / 1e9:.2f} GB" if memory else "",
                ]
            )
    rounds = ", ".join(sorted({str(result["rounds"]) for result in found["results"]}))
    notes = f"Rounds: {rounds}. Sgemm peak: {found['sgemm_peak'] / 1e9:.0f} GFLOP/s."
    notes += headline(found)
    others = busiest(
        [c["others_busy"] for result in found["results"] for c in result["contenders"].values()]
    )
    if others is not None:
        notes += f" While steps were timed, other programs used at most {others:.2f} cores."
    return report.table(head, rows, left=2) + f"\n\n{notes}"


def headline(found: dict[str, Any]) -> str:
    """The ratios to the faster of torch's two memory formats in each comparison."""
    best = [
        (result, result["faster_torch"]) for result in found["results"] if result["faster_torch"]
    ]
    if not best:
        return ""
    ratios = []
    for result, label in best:
        ratio = result["ratios"][label]["median"]
        memory_format = label.removeprefix("torch ")
        ratios.append(f"{result['mode']} {result['batch']}: {ratio:.2f} x ({memory_format})")
    return f" Against the faster of torch's two memory formats: {', '.join(ratios)}."


def layer_table(result: dict[str, Any]) -> str:
    labels = list(result["seconds"])
    head = ["layer", *(f"{label} {which}" for label in labels for which in ("forward", "backward"))]
    rows = []
    for name in result["seconds"][OURS]:
        cells = [f"{1e3 * t:.2f}" for label in labels for t in result["seconds"][label][name]]
        rows.append([name, *(["-", "-"] if name in result["fused"] else cells[:2]), *cells[2:]])
    totals = [
        f"{1e3 * sum(t[i] for t in result['seconds'][label].values()):.2f}"
        for label in labels
        for i in (0, 1)
    ]
    title = f"Milliseconds a layer, batch {result['batch']} (-: fused with another layer)"
    return f"{title}:\n\n{report.table(head, [*rows, ['sum', *totals]])}"


def panel(
    found: dict[str, Any], result: dict[str, Any]
) -> tuple[str, list[tuple[str, float, str, bool]]]:
    bars = []
    for label, c in result["contenders"].items():
        ratio = result["ratios"].get(label)
        text = f"{c['images_per_second']:.3g}"
        if ratio:
            text += f"   tinyalex: {ratio['median']:.2f} x as fast"
        bars.append((label, c["images_per_second"], text, label == OURS))
    kind = {"train": "training", "infer": "inference"}[result["mode"]]
    cores = f", {contender.cores()} cores" if found["device"] == "cpu" else ""
    return f"{found['variant']}, {kind}, batch {result['batch']}, {found['device']}{cores}", bars


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"alexnet_step.py: {error}")
    except KeyboardInterrupt:
        sys.exit("alexnet_step.py: stopped; completed comparisons have been written")
