#!/usr/bin/env python3
"""The largest possible speed-up of a training step on more cores than there are.

    python benchmarks/cores_plan.py --variant paper --batch 1,8,32,128

A plan, not a measurement. Steps run with 1, 2, 8 and 64 workers on the cores that there
are, and the shares into which the code divides its loops over tiles are recorded. A
loop takes at least as long as its longest share, and what is outside of loops as long
as in one thread (Amdahl's law):

    time of a pass  >=  serial  +  sum over its loops of  time * longest share / length
    at most         =   time with one worker / this time

Times are CPU seconds of a step with one worker. This assumes that the elements of a
loop take equally long, cores that do not slow each other down, and workers that start
at once. A matrix multiplication outside of the loops, or of a batch of one image,
counts as one piece, although BLAS may divide it. Writes NAME.md, NAME.json and NAME.png
to --output.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import contender
import cores_step
import machine
import networks
import report
from alexnet_step import positive

Row = dict[str, Any]

WORKERS = 1, 2, 8, 64

SHOWN_PASSES = 3
"""Passes that are named as those that limit a step."""

SHOWN_SHARE = 0.002
"""Of the step's time: shorter passes are in the JSON file only."""


def main() -> int:
    args = arguments()
    found: dict[str, Any] = {"variant": args.variant, "machine": machine.describe(), "plans": []}
    for batch in args.batch:
        steps = {workers: cores_step.run(args.variant, batch, workers) for workers in WORKERS}
        found["plans"].append({"batch": batch, "passes": planned(steps)})
    text = as_text(found)
    # By layer as in the page, for the last batch: all would be 100 KB.
    report.write_json(args.output, args.name, {**found, "plans": found["plans"][-1:]})
    report.write_text(args.output, args.name, text)
    draw(found, args.output / f"{args.name}.png")
    print(f"{text}\n\nwritten: {args.output / args.name}.json, .md, .png")
    return 0


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--variant", choices=networks.VARIANTS, default="paper")
    p.add_argument(
        "--batch",
        type=lambda text: [positive(part) for part in text.split(",")],
        default=[1, 8, 32, 128],
        metavar="N,N,...",
        help="batches (default: 1,8,32,128); the last one by layer",
    )
    p.add_argument(
        "--output",
        type=Path,
        default=report.RESULTS,
        metavar="FOLDER",
        help="default: benchmarks/results",
    )
    p.add_argument("--name", help="name of the files; default: cores-plan-VARIANT")
    args = p.parse_args()
    args.name = args.name or f"cores-plan-{args.variant}"
    return args


def planned(steps: dict[int, dict[str, Any]]) -> list[Row]:
    """The plan of each pass, from steps by number of workers; one of them is 1.

    {"layer", "pass", "seconds": in one thread, "serial": its share outside of loops,
    "workers": {number: {"pieces", "length", "is_small", "seconds": the bound,
    "outside": its serial part, "overhead", "work"}}}

    pieces, length  of the loop with the longest share, in seconds
    is_small        whether the code uses a single thread for that loop
    overhead        CPU seconds in which the calling thread starts the workers and adds
                    their partial sums; not in the bound
    work            CPU seconds of the loops, relative to those with one worker
    """
    one = cores_step.by_pass(steps[1])
    return [
        {
            "layer": layer,
            "pass": which,
            "seconds": cpu_seconds(row),
            "serial": row["serial_cpu"] / max(1e-12, cpu_seconds(row)),
            "workers": {
                workers: bound(row, cores_step.by_pass(step)[layer, which])
                for workers, step in steps.items()
            },
        }
        for (layer, which), row in one.items()
    ]


def cpu_seconds(row: Row) -> float:
    return row["serial_cpu"] + sum(loop["cpu"] for loop in row["loops"])


def bound(one: Row, divided: Row) -> Row:
    """The bound of a pass: times of `one` worker, division of the other row."""
    loops = divided["loops"]
    lengths = [loop["length"] for loop in loops]
    # The selection of an algorithm may depend on the number of workers.
    timed = one if lengths == [loop["length"] for loop in one["loops"]] else divided
    longest = [
        a["cpu"] * b["longest"] / max(1, b["length"])
        for a, b in zip(timed["loops"], loops, strict=True)
    ]
    main = loops[max(range(len(loops)), key=longest.__getitem__)] if loops else None
    work = sum(loop["cpu"] for loop in timed["loops"])
    return {
        "pieces": main["pieces"] if main else 1,
        "length": main["length"] if main else 1,
        "is_small": bool(main and main["is_small"]),
        "seconds": timed["serial_cpu"] + sum(longest),
        "outside": timed["serial_cpu"],
        "overhead": sum(loop["overhead"] for loop in loops),
        "work": sum(loop["cpu"] for loop in loops) / work if work else 1.0,
    }


def step_limit(plan: list[Row], workers: int) -> float:
    """The largest possible speed-up of the step."""
    return sum(row["seconds"] for row in plan) / sum(
        row["workers"][workers]["seconds"] for row in plan
    )


def step_work(plan: list[Row], workers: int) -> float:
    """CPU seconds of the step's loops, relative to those with one worker."""
    loops = [row["seconds"] * (1 - row["serial"]) for row in plan]
    more = (row["workers"][workers]["work"] for row in plan)
    return sum(a * b for a, b in zip(loops, more, strict=True)) / sum(loops)


def excess(row: Row, workers: int) -> float:
    """Seconds of the bound beyond an equal share for each worker."""
    return row["workers"][workers]["seconds"] - row["seconds"] / workers


def limiting(plan: list[Row], workers: int) -> list[Row]:
    """The passes with the largest excess, largest first."""
    return sorted(plan, key=lambda row: -excess(row, workers))[:SHOWN_PASSES]


def reason(row: Row, workers: int) -> str:
    """What limits a pass with so many workers."""
    at = row["workers"][workers]
    if at["outside"] * (1 - 1 / workers) > excess(row, workers) / 2:
        return "outside of loops"
    if at["is_small"]:
        return "too small for threads"
    return f"{at['pieces']} piece{'s' * (at['pieces'] > 1)} of {at['length']}"


# The report


def as_text(found: dict[str, Any]) -> str:
    last, cores = found["plans"][-1], contender.cores()
    return "\n\n".join(
        [
            f"## A plan for more cores, not a measurement: {found['variant']}",
            machine.as_text(found["machine"]),
            limit_table(found["plans"]),
            "At most: the speed-up over one worker, from the division of the loops (cores_plan.py "
            "--help). The passes are those furthest from an equal share for each worker, with the "
            "milliseconds that they exceed it by. Not in the bound, with so many workers on "
            f"{cores} cores: overhead, the CPU time in which the calling thread starts the workers "
            "and adds their sums; work, the CPU time of all tiles relative to one worker.",
            f"## By layer: {found['variant']}, batch {last['batch']}",
            plan_table(last["passes"]),
            "Serial: outside of loops, of the CPU time with one worker. Pieces and speed-up with "
            f"{', '.join(map(str, WORKERS[1:-1]))} and {WORKERS[-1]} workers; the pieces are those "
            f"of the loop with the longest share. Overhead and work with {WORKERS[-1]} workers.",
        ]
    )


def limit_table(plans: list[dict[str, Any]]) -> str:
    head = ["batch", "workers", "at most", "overhead ms", "work", "the passes that limit it"]
    cells = []
    for plan in plans:
        for workers in WORKERS[1:]:
            worst = (
                f"{row['layer']} {row['pass']} +{1e3 * excess(row, workers):.2f} "
                f"({reason(row, workers)})"
                for row in limiting(plan["passes"], workers)
            )
            bound = f"{step_limit(plan['passes'], workers):.1f} x"
            overhead = sum(row["workers"][workers]["overhead"] for row in plan["passes"])
            cells.append(
                [
                    str(plan["batch"]),
                    str(workers),
                    bound,
                    f"{1e3 * overhead:.1f}",
                    f"{step_work(plan['passes'], workers):.1f} x",
                    "; ".join(worst),
                ]
            )
    return report.table(head, cells, left=len(head))


def plan_table(plan: list[dict[str, Any]]) -> str:
    head = ["layer", "pass", "ms: 1", "serial", "pieces", "at most", "overhead ms", "work"]
    whole = sum(row["seconds"] for row in plan)
    cells = []
    for row in plan:
        if row["seconds"] < SHOWN_SHARE * whole:
            continue
        each = [row["workers"][workers] for workers in WORKERS[1:]]
        cells.append(
            [
                row["layer"],
                row["pass"],
                f"{1e3 * row['seconds']:.2f}",
                f"{100 * row['serial']:.1f} %",
                ", ".join(str(w["pieces"]) for w in each),
                ", ".join(f"{row['seconds'] / w['seconds']:.1f}" for w in each),
                f"{1e3 * each[-1]['overhead']:.2f}",
                f"{each[-1]['work']:.1f} x",
            ]
        )
    return report.table(head, cells, left=2)


def draw(found: dict[str, Any], path: Path) -> None:
    """The bound of a step by batch and number of workers."""
    panels = []
    for workers in WORKERS[1:]:
        limits = [(p["batch"], step_limit(p["passes"], workers)) for p in found["plans"]]
        bars = [(f"batch {batch}", limit, f"{limit:.1f} x", True) for batch, limit in limits]
        panels.append((f"{found['variant']}, {workers} workers", bars))
    report.draw_bars(panels, "largest possible speed-up: a plan, not a measurement", path)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"cores_plan.py: {error}")
