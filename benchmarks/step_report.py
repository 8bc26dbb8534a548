"""The tables and bars of alexnet_step.py."""

from typing import Any

import contender
import machine
import report
from turns import OURS


def as_text(found: dict[str, Any]) -> str:
    parts = [f"## {found['variant']} on {found['device']}", machine.as_text(found["machine"])]
    parts += [step_table(found)] if found["results"] else []
    parts += [layer_table(result) for result in found["layers"]]
    parts += [
        f"Left out: {framework}, which {reason}." for framework, reason in found["left_out"].items()
    ]
    parts += [f"Measured: {versions}."] if (versions := measured(found["versions"])) else []
    parts.append(found["counted"])
    return "\n\n".join(parts)


def measured(versions: dict[str, dict[str, Any]]) -> str:
    """The other frameworks and their versions."""
    described = ("tinyalex", "numpy", "blas")  # of this environment, in machine.as_text
    found = {name: v for each in versions.values() for name, v in each.items()}
    return ", ".join(f"{name} {v}" for name, v in found.items() if name not in described)


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
                    as_ratio(ratio["median"]) if ratio else "",
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


def as_ratio(median: float) -> str:
    """With a remark if the other framework is faster."""
    text = f"{median:.2f}"
    return f"{text} x, slower" if float(text) < 1 else f"{text} x"


def headline(found: dict[str, Any]) -> str:
    """The ratios to the fastest of the other frameworks in each comparison."""
    ratios = []
    for result in found["results"]:
        if label := result["fastest_peer"]:
            ratio = as_ratio(result["ratios"][label]["median"])
            ratios.append(f"{result['mode']} {result['batch']}: {ratio} ({label})")
    return f" Against the fastest framework: {'; '.join(ratios)}." if ratios else ""


def busiest(others: list[float | None]) -> float | None:
    return max((cores for cores in others if cores is not None), default=None)


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
