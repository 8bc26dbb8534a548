#!/usr/bin/env python3
"""A model of a training step on a GPU: launches, bytes, operations and time by layer.

    python benchmarks/gpu_model.py --variant paper --batch 128 --card h100

It needs CuPy and g++, but no GPU, and measures nothing: it says which layer to work on,
and what bounds it. The step is recorded on an emulated GPU, which does not compute it
(recorded_step.py). The times are lower bounds:

  GPU    for each launch, the larger of its bytes at the card's bandwidth and its
         operations at the card's FLOP/s for matrix multiplications (gpu_cards.py)
  host   20 us a launch, the time of a call of CuPy; a captured graph needs less
  step   the larger of the two sums: the host runs ahead of the GPU

Bytes count each array of a launch once, or twice if the kernel reads and writes it, as
if a cache served all further reads, and no data stayed in a cache between launches.
Operations are those of matrix multiplications; those of other kernels are not counted.
The update counts five arrays as large as the parameters, and the search for gradients
that are not finite, in half precision, one. With --requests, the kernels'
requests are counted too: the sectors of 32 bytes that warps ask for, of which a cache
serves a part.

Convolutions use im2col. The step is also recorded with implicit GEMM, to compare both
forms (convolution_forms.py); its kernels are assumed to reach the FLOP/s of float32.
For im2col, a table has the traffic of the columns, and what smaller tiles would cost.
Writes NAME.md, NAME.json and NAME.png to --output.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import convolution_forms
import machine
import networks
import recorded_step
import report
import requested_bytes
from alexnet_step import positive
from gpu_cards import CARDS, LAUNCH_SECONDS, Card
from precision import PRECISIONS
from recorded_step import Row

SHOWN_KERNELS = 3
"""Those of a row that are named."""


def main() -> int:
    args = arguments()
    card = CARDS[args.card]
    if card.flops[args.precision] is None:
        raise ValueError(f"{card.name} has no {args.precision}. Use --precision float32 or half.")
    network = networks.describe(args.variant)
    recorded_step.install()
    rows, implicit = (
        recorded_step.record(network, args.batch, kind=args.precision, convolution=form)
        for form in ("im2col", "implicit")
    )
    found: dict[str, Any] = {
        "variant": args.variant,
        "batch": args.batch,
        "card": args.card,
        "precision": args.precision,
        "machine": machine.describe(),
        "launch_seconds": LAUNCH_SECONDS,
        "rows": [modelled(row, card, args.precision) for row in rows],
        "cards": [on_card(rows, key, p) for key in CARDS for p in precisions(key, args.precision)],
        "convolutions": convolution_forms.compared(rows, implicit, card, args.precision),
        "columns": convolution_forms.columns(network, args.batch, rows, card, args.precision),
        "norms": convolution_forms.norm_with_pooling(network, args.batch, rows, card),
    }
    if args.requests:
        requests = requested_bytes.by_launch(network)
        found["requests"] = requests
        found["uncached_seconds"] = requested_bytes.uncached_seconds(
            rows, requests, card, args.precision
        )
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
    p.add_argument("--card", choices=CARDS, default="h100")
    p.add_argument("--precision", choices=PRECISIONS, default="float32")
    p.add_argument(
        "--requests",
        action="store_true",
        help="count the sectors that kernels request, for one image; minutes",
    )
    p.add_argument(
        "--output",
        type=Path,
        default=report.RESULTS,
        metavar="FOLDER",
        help="default: benchmarks/results",
    )
    p.add_argument("--name", help="name of the files; default: gpu-model-VARIANT[-PRECISION]")
    args = p.parse_args()
    suffix = "" if args.precision == "float32" else f"-{args.precision}"
    args.name = args.name or f"gpu-model-{args.variant}{suffix}"
    return args


def precisions(card: str, recorded: str) -> list[str]:
    """Those that the recorded bytes are valid for, and the card has."""
    same_bytes = ("half",) if recorded == "half" else ("float32", "tf32")
    return [p for p in same_bytes if CARDS[card].flops[p]]


def modelled(row: Row, card: Card, precision: str) -> dict[str, Any]:
    """A row with its times, and what bounds it."""
    bounds = {"bandwidth": 0.0, "FLOP": 0.0}
    by_name: dict[str, float] = {}
    for work in row.work:
        moving, computing = card.parts(work, precision)
        bounds["bandwidth" if moving >= computing else "FLOP"] += max(moving, computing)
        by_name[work.name] = by_name.get(work.name, 0.0) + max(moving, computing)
    gpu, host = sum(bounds.values()), LAUNCH_SECONDS * row.launches
    return {
        "layer": row.layer,
        "pass": row.which,
        "launches": row.launches,
        "gemms": row.gemms,
        "bytes": row.bytes,
        "flop": row.flop,
        "flop_seconds": sum(card.parts(work, precision)[1] for work in row.work),
        "gpu_seconds": gpu,
        "host_seconds": host,
        "seconds": max(gpu, host),
        "bound": "launches" if host > gpu else max(bounds, key=lambda name: bounds[name]),
        "kernels": dict(sorted(by_name.items(), key=lambda item: -item[1])),
    }


def on_card(rows: list[Row], key: str, precision: str) -> dict[str, Any]:
    """The step on a card."""
    gpu = sum(CARDS[key].seconds(row.work, precision) for row in rows)
    host = LAUNCH_SECONDS * sum(row.launches for row in rows)
    return {"card": key, "precision": precision, "gpu_seconds": gpu, "host_seconds": host}


# The report


def as_text(found: dict[str, Any]) -> str:
    card, rows = CARDS[found["card"]], found["rows"]
    made = found["machine"]
    peak = card.flops[found["precision"]]
    title = f"{found['variant']}, batch {found['batch']}, {card.name}, {found['precision']}"
    parts = [
        f"## A model, not a measurement: {title}",
        f"`{made['command']}` on {made['date']}, commit {made['commit'] or 'unknown'}. No GPU was "
        "used. gpu_model.py --help says how launches, bytes and operations are counted.",
        f"Ceilings: {card.bandwidth / 1e9:.0f} GB/s, {peak / 1e12:.1f} TFLOP/s "
        f"({card.source}); {1e6 * found['launch_seconds']:.0f} us a launch, "
        "as measured in https://github.com/cupy/cupy/pull/8457.",
        layer_table(rows),
        next_layers(rows),
        "## The same step on the ceilings of each card",
        card_table(found),
        "## Convolutions by im2col and by implicit GEMM",
        form_table(found),
        "## Columns of im2col",
        column_table(found),
    ]
    if found["norms"]:
        parts += ["## Normalization and pooling in one kernel", norm_table(found)]
    if "requests" in found:
        parts += ["## Requests of the kernels, one image", request_table(found)]
    return "\n\n".join(parts)


def layer_table(rows: list[dict[str, Any]]) -> str:
    head = ["layer", "pass", "launches", "GEMMs", "MB", "GFLOP"]
    head += ["FLOP ms", "GPU ms", "host ms", "bound by"]
    names = "launches", "gemms", "bytes", "flop", "flop_seconds", "gpu_seconds", "host_seconds"
    total: dict[str, Any] = {name: sum(r[name] for r in rows) for name in names}
    on_host = total["host_seconds"] > total["gpu_seconds"]
    total |= {"layer": "sum", "pass": "", "bound": "launches" if on_host else "the GPU"}
    cells = [
        [
            r["layer"],
            r["pass"],
            str(r["launches"]),
            str(r["gemms"] or ""),
            f"{r['bytes'] / 1e6:.4g}",
            f"{r['flop'] / 1e9:.4g}" if r["flop"] else "",
            f"{1e3 * r['flop_seconds']:.3f}" if r["flop"] else "",
            f"{1e3 * r['gpu_seconds']:.3f}",
            f"{1e3 * r['host_seconds']:.2f}",
            r["bound"],
        ]
        for r in [*rows, total]
    ]
    return report.table(head, cells, left=2)


def next_layers(rows: list[dict[str, Any]]) -> str:
    """The layer to work on next: that with the largest modelled time, and what bounds
    it; and that with the most time besides its operations, which other kernels may
    save."""

    def besides(r: dict[str, Any]) -> float:
        return r["seconds"] - r["flop_seconds"]

    def described(r: dict[str, Any]) -> str:
        kernels = [f"{name} {1e3 * time:.2f}" for name, time in r["kernels"].items()]
        return (
            f"{r['layer']} {r['pass']}, {1e3 * r['seconds']:.2f} ms "
            f"({100 * r['seconds'] / total:.0f} % of the rows' times), bound by {r['bound']}; "
            f"{1e3 * besides(r):.2f} ms besides its operations (ms by kernel: "
            f"{', '.join(kernels[:SHOWN_KERNELS])})."
        )

    total = sum(r["seconds"] for r in rows)
    longest, excess = max(rows, key=lambda r: r["seconds"]), max(rows, key=besides)
    text = f"**Work on next:** {described(longest)}"
    return (
        text if excess is longest else f"{text} Most time besides operations: {described(excess)}"
    )


def card_table(found: dict[str, Any]) -> str:
    head = ["card", "precision", "GPU ms", "host ms", "step at least, ms", "bound by"]
    cells = []
    for r in found["cards"]:
        gpu, host = r["gpu_seconds"], r["host_seconds"]
        times = [f"{1e3 * t:.2f}" for t in (gpu, host, max(gpu, host))]
        bound = "launches" if host > gpu else "the GPU"
        cells.append([CARDS[r["card"]].name, r["precision"], *times, bound])
    sources = "\n".join(f"- {card.name}: {card.source}" for card in CARDS.values())
    note = "Bytes are those of a GPU of 80 GiB. Cards with less memory compute more columns again."
    table = report.table(head, cells, left=2)
    return f"{table}\n\n{note}\n\nSources of the ceilings:\n\n{sources}"


def form_table(found: dict[str, Any]) -> str:
    head = ["layer", "pass", "GFLOP", "MB: im2col", "implicit", "ms: im2col", "implicit", "ratio"]
    rows = found["convolutions"]
    total = {
        "layer": "sum",
        "pass": "",
        "flop": sum(r["flop"] for r in rows),
        **{key: [sum(r[key][i] for r in rows) for i in (0, 1)] for key in ("bytes", "seconds")},
    }
    cells = [
        [
            r["layer"],
            r["pass"],
            f"{r['flop'] / 1e9:.4g}",
            *(f"{size / 1e6:.4g}" for size in r["bytes"]),
            *(f"{1e3 * time:.3f}" for time in r["seconds"]),
            f"{r['seconds'][0] / r['seconds'][1]:.2f}",
        ]
        for r in [*rows, total]
    ]
    note = f"im2col in {found['precision']}; implicit GEMM, which uses no tensor cores, with the "
    note += "FLOP/s of float32. Ratio: the time with im2col over that with implicit GEMM, if both "
    note += "reach the ceilings. Both include the normalization after a convolution."
    return f"{report.table(head, cells, left=2)}\n\n{note}"


def column_table(found: dict[str, Any]) -> str:
    head = ["layer", "columns, MB", "moved, MB", "GPU ms", "if cached", "tiles for L2"]
    head += ["host ms of these"]
    rows = found["columns"]
    names = "bytes", "moved_bytes", "seconds", "cached_seconds", "tiles", "host_seconds"
    total = {"layer": "sum", **{name: sum(r[name] for r in rows) for name in names}}
    cells = [
        [
            r["layer"],
            f"{r['bytes'] / 1e6:.4g}",
            f"{r['moved_bytes'] / 1e6:.4g}",
            f"{1e3 * r['seconds']:.3f}",
            f"{1e3 * r['cached_seconds']:.3f}",
            str(r["tiles"]),
            f"{1e3 * r['host_seconds']:.2f}",
        ]
        for r in [*rows, total]
    ]
    megabytes = convolution_forms.L2_SHARE * CARDS[found["card"]].l2 / 1e6
    note = "Forward and backward. If cached: columns never pass through the GPU's memory. Tiles of "
    note += f"{megabytes:.0f} MB of columns, half of L2, each of which launches all kernels of the "
    note += "layer. In a captured graph, the host's time does not count."
    return f"{report.table(head, cells)}\n\n{note}"


def norm_table(found: dict[str, Any]) -> str:
    step = sum(r["gpu_seconds"] for r in found["rows"])
    rows, seconds = found["norms"], sum(r["seconds"] for r in found["norms"])
    cells = [
        [r["layer"], f"{r['bytes'] / 1e6:.4g}", f"{1e3 * r['seconds']:.3f}", f"{r['uses']:.3g}"]
        for r in rows
    ]
    note = (
        f"Saved, at most: {1e3 * seconds:.2f} ms of {1e3 * step:.2f} ms of the step "
        f"({100 * seconds / step:.1f} %), and {2 * len(rows)} launches. An element belongs to "
        "several windows, and would be normalized as often, from its neighbouring channels."
    )
    return f"{report.table(['layers', 'MB', 'ms', 'windows'], cells)}\n\n{note}"


def request_table(found: dict[str, Any]) -> str:
    head = ["layer", "pass", "kernel", "arrays, KB", "requested, KB", "ratio"]
    cells = [
        [
            r["layer"],
            r["pass"],
            r["kernel"],
            f"{r['bytes'] / 1e3:.4g}",
            f"{r['requested'] / 1e3:.4g}",
            f"{r['requested'] / r['bytes']:.2f}",
        ]
        for r in found["requests"]
    ]
    cached, uncached = sum(r["gpu_seconds"] for r in found["rows"]), found["uncached_seconds"]
    note = (
        "Counted by the emulator's checked build, 32 bytes a sector, on arrays of ones. Ratios of "
        "larger batches differ where rows begin within a sector. If no cache served a request, the "
        f"GPU would take {1e3 * uncached:.2f} ms instead of {1e3 * cached:.2f}."
    )
    return f"{report.table(head, cells, left=3)}\n\n{note}"


def draw(found: dict[str, Any], path: Path) -> None:
    card = CARDS[found["card"]]
    points = [
        {
            "layer": r["layer"],
            "pass": r["pass"],
            "intensity": r["flop"] / r["bytes"],
            "speed": r["flop"] / r["seconds"],
            "matrix": r["bound"] == "FLOP",
        }
        for r in found["rows"]
        if r["flop"]
    ]
    title = f"Model: {found['variant']}, batch {found['batch']}, {found['card']}"
    peak = card.flops[found["precision"]]
    assert peak is not None
    names = found["precision"], "memory"
    report.draw_roofline(peak, card.bandwidth, points, title, path, names)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        sys.exit(f"gpu_model.py: {error}")
