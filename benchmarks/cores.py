#!/usr/bin/env python3
"""What a training step gains from more threads, by layer, and what limits it.

    python benchmarks/cores.py --variant paper --batch 128

Measured: steps with one and with two threads (TINYALEX_THREADS, OPENBLAS_NUM_THREADS),
in processes that alternate. With t1 and t2 the seconds of a pass, efficiency is
t1 / (2 * t2). Of the thread time 2 * t2, what exceeds t1 is

  serial   one thread computes outside of loops over tiles, the other has nothing to do
  idle     within a loop, a thread has no tile: few or unequal pieces, the start of the
           workers, adding of their sums
  waiting  a thread has a tile, but does not run: it waits for the GIL in short calls,
           or other programs use the core
  slower   the same tiles take more CPU time: the memory, a shared cache or the clock

each less what it is with one thread. The last is called memory if the layer moves at
least half of the bytes a second that c = a + b moves in two threads; its bytes are
counted from shapes (profile_step.py --help).

Writes NAME.md, NAME.json and NAME.png to --output. cores_plan.py is the plan for more
cores than there are.
"""

import argparse
import sys
from pathlib import Path
from statistics import median
from typing import Any

import cores_step
import machine
import networks
import profile_step
import report
from alexnet_step import positive

THREADS = 1, 2
"""Compared by measurements."""

MIN_EFFICIENCY = 0.95
"""From which on nothing is said to limit a pass."""

SHOWN_SHARE = 0.002
"""Of the step's time: shorter passes are in the JSON file only."""

LOSSES = ("serial", "idle", "waiting", "slower")


def main() -> int:
    args = arguments()
    network = networks.describe(args.variant)
    options = "--ceilings", "--seconds", str(args.seconds)
    rounds = [
        {
            threads: cores_step.run(args.variant, args.batch, threads, *options)
            for threads in THREADS
        }
        for _ in range(args.rounds)
    ]
    found = {
        "variant": args.variant,
        "batch": args.batch,
        "rounds": args.rounds,
        "machine": machine.describe(),
        "ceilings": {
            key: [max(r[threads][key] for r in rounds) for threads in THREADS]
            for key in ("sgemm", "bandwidth")
        },
        "others": max(r[threads]["others"] or 0.0 for r in rounds for threads in THREADS),
        "seconds": {threads: [r[threads]["seconds"] for r in rounds] for threads in THREADS},
        "passes": compared(network, args.batch, rounds),
    }
    text = as_text(found)
    report.write_json(args.output, args.name, found)
    report.write_text(args.output, args.name, text)
    draw(found, args.output / f"{args.name}.png")
    print(f"{text}\n\nwritten: {args.output / args.name}.json, .md, .png")
    return 0


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--variant", choices=networks.VARIANTS, default="paper")
    p.add_argument("--batch", type=positive, default=128)
    p.add_argument("--rounds", type=positive, default=5)
    p.add_argument("--seconds", type=float, default=3.0, help="of steps a process (default: 3)")
    p.add_argument(
        "--output",
        type=Path,
        default=report.RESULTS,
        metavar="FOLDER",
        help="default: benchmarks/results",
    )
    p.add_argument("--name", help="name of the files; default: cores-VARIANT-BATCH")
    args = p.parse_args()
    args.name = args.name or f"cores-{args.variant}-{args.batch}"
    return args


def compared(
    network: dict[str, Any], batch: int, rounds: list[dict[int, dict[str, Any]]]
) -> list[dict[str, Any]]:
    """The passes with one and two threads: medians, and ranges over the rounds."""
    by_round = [[cores_step.by_pass(r[threads]) for threads in THREADS] for r in rounds]
    bandwidth = max(r[THREADS[1]]["bandwidth"] for r in rounds)
    moved = bytes_moved(network, batch)
    rows = []
    for key in by_round[0][0]:
        pairs = [(one[key], two[key]) for one, two in by_round]
        ratios = [one["seconds"] / two["seconds"] for one, two in pairs]
        seconds = [median(pair[i]["seconds"] for pair in pairs) for i in (0, 1)]
        lost = {name: median(losses(*pair)[name] for pair in pairs) for name in LOSSES}
        row = {
            "layer": key[0],
            "pass": key[1],
            "seconds": seconds,
            "ratio": median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
            "lost": lost,
            "bytes": moved.get(key, 0),
            "rate": moved.get(key, 0) / seconds[1],
        }
        rows.append(row | {"limit": limit(row, bandwidth)})
    return rows


def bytes_moved(network: dict[str, Any], batch: int) -> dict[tuple[str, str], int]:
    """Bytes of each pass, counted by profile_step.py."""
    work = profile_step.work(network, batch)
    return {(layer["name"], which): moved for layer, which, _, moved in work}


def losses(one: dict[str, Any], two: dict[str, Any]) -> dict[str, float]:
    """What exceeds one thread's time, of two threads' time, as shares of the latter."""
    waited = [row["busy"] - row["cpu"] for row in (one, two)]
    seconds = {
        "serial": THREADS[1] * two["serial"] - one["serial"],
        "idle": two["idle"] - one["idle"],
        "waiting": waited[1] - waited[0],
        "slower": two["cpu"] - one["cpu"],
    }
    return {name: time / (THREADS[1] * two["seconds"]) for name, time in seconds.items()}


def limit(row: dict[str, Any], bandwidth: float) -> str:
    """The name of the largest loss."""
    if row["ratio"] >= MIN_EFFICIENCY * THREADS[1]:
        return ""
    name = max(LOSSES, key=lambda name: row["lost"][name])
    is_memory = name == "slower" and row["rate"] >= bandwidth / 2
    return "memory" if is_memory else name


# The report


def as_text(found: dict[str, Any]) -> str:
    title = f"{found['variant']}, batch {found['batch']}"
    parts = [
        f"## One thread and two: {title}",
        machine.as_text(found["machine"]),
        measured_table(found),
        f"Medians of {found['rounds']} rounds; the range of the ratio is over the rounds. Lost: "
        "shares of the time of both threads, as cores.py --help says. Meanwhile other programs "
        f"used at most {found['others']:.2f} cores.",
        ceiling_table(found),
    ]
    return "\n\n".join(parts)


def measured_table(found: dict[str, Any]) -> str:
    head = ["layer", "pass", "ms: 1", "ms: 2", "ratio", "range", "efficiency"]
    head += [*LOSSES, "GB/s", "limited by"]
    cells = [
        [
            r["layer"],
            r["pass"],
            *(f"{1e3 * t:.2f}" for t in r["seconds"]),
            *ratio_cells(r["ratio"], r["lowest"], r["highest"]),
            *(f"{100 * r['lost'][name]:.0f} %" for name in LOSSES),
            f"{r['rate'] / 1e9:.1f}" if r["bytes"] else "",
            r["limit"],
        ]
        for r in shown_passes(found)
    ]
    total = ["step", "", *step_cells(found)]
    return report.table(head, [*cells, total + [""] * (len(head) - len(total))], left=2)


def shown_passes(found: dict[str, Any]) -> list[dict[str, Any]]:
    whole = median(next(iter(found["seconds"].values())))
    return [r for r in found["passes"] if r["seconds"][0] >= SHOWN_SHARE * whole]


def step_cells(found: dict[str, Any]) -> list[str]:
    """Milliseconds of a step with one and two threads; ratio, range and efficiency."""
    seconds = list(found["seconds"].values())
    ratios = [a / b for a, b in zip(*seconds, strict=True)]
    times = [f"{1e3 * median(each):.1f}" for each in seconds]
    return [*times, *ratio_cells(median(ratios), min(ratios), max(ratios))]


def ratio_cells(ratio: float, lowest: float, highest: float) -> list[str]:
    efficiency = f"{100 * ratio / THREADS[1]:.0f} %"
    return [f"{ratio:.2f} x", f"{lowest:.2f} to {highest:.2f}", efficiency]


def ceiling_table(found: dict[str, Any]) -> str:
    sgemm, bandwidth = found["ceilings"]["sgemm"], found["ceilings"]["bandwidth"]
    cells = [
        [name, *(f"{v / 1e9:.1f} {unit}" for v in values), f"{values[1] / values[0]:.2f} x"]
        for name, values, unit in (
            ("sgemm", sgemm, "GFLOP/s"),
            ("c = a + b", bandwidth, "GB/s"),
        )
    ]
    return report.table(["ceiling", "1 thread", "2 threads", "ratio"], cells)


def draw(found: dict[str, Any], path: Path) -> None:
    """The ratio of each pass."""
    panels = []
    for which in ("forward", "backward"):
        shown = [
            (r["layer"], r["ratio"], f"{r['ratio']:.2f} x  {r['limit']}", True)
            for r in shown_passes(found)
            if r["pass"] == which
        ]
        panels.append((f"{found['variant']}, batch {found['batch']}, {which}", shown))
    report.draw_bars(panels, "speed with two threads, relative to one", path)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"cores.py: {error}")
