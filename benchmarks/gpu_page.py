"""The page and charts of gpu.py, from what it found."""

from pathlib import Path
from typing import Any

import gpu_steps
import machine
import profile_step
import report

Found = dict[str, Any]

NOT_MEASURED = "-"
"""In the place of a number that was not measured."""


def write(found: Found, folder: Path) -> str:
    """Write gpu.md and the charts; return the page's text. Without times, there are no
    charts."""
    parts = [title(found), *failures(found)]
    sections = {
        "kernels": ("Kernels, compared with NumPy", kernel_table),
        "ceilings": ("Ceilings", ceiling_table),
        "steps": ("Training steps", step_table),
        "convolutions": ("Convolutions", convolution_table),
        "layers": ("Layers", layer_tables),
        "cifar": ("CIFAR-10", cifar_text),
        "launches": ("Launches", launch_table),
    }
    for name, (heading, make) in sections.items():
        if name in found:
            parts += [f"## {heading}", make(found)]
            parts += [f"![{heading}]({path.name})" for path in draw(name, found, folder)]
    text = "\n\n".join(parts)
    report.write_text(folder, "gpu", text)
    return text


def title(found: Found) -> str:
    card = found["card"]
    lines = [
        f"# {card['name']}",
        f"- compute capability {card['capability']}, {card['memory'] / 1e9:.1f} GB, "
        f"{card['multiprocessors']} multiprocessors, driver for CUDA {card['driver']}, "
        f"runtime {card['runtime']}, CuPy {card['cupy']}\n{machine.as_text(found['machine'])}",
    ]
    if found["emulated"]:
        lines.append("An emulated GPU, small sizes: times are left out.")
    return "\n\n".join(lines)


def failures(found: Found) -> list[str]:
    """The parts that failed or are left out, and why."""
    parts = []
    for key, heading in (("failed", "Failed:"), ("left_out", "Left out:")):
        if reasons := found[key]:
            lines = [f"- {name}: {reason}" for name, reason in reasons.items()]
            parts += [heading, "\n".join(lines)]
    return parts


def kernel_table(found: Found) -> str:
    head = ["primitive", "dtype", "examples", "largest error, of the tolerance", ""]
    rows = [
        [
            r["primitive"],
            r["dtype"],
            str(r["examples"]),
            NOT_MEASURED if r["error"] is None else f"{r['error']:.2g}",
            f"**{r['failed']}**" if "failed" in r else "within tolerance",
        ]
        for r in found["kernels"]
    ]
    return report.table(head, rows, left=2)


def ceiling_table(found: Found) -> str:
    head = ["ceiling", "rate", "range"]
    rows = []
    for r in found["ceilings"]:
        cells = [NOT_MEASURED, r.get("failed", "")]
        if seconds := r.get("seconds"):
            rates = [r["count"] / seconds[key] for key in ("median", "longest", "shortest")]
            prefix, scale = ("G", 1e9) if r["unit"] == "B" else ("T", 1e12)
            rate, low, high = (f"{rate / scale:.4g}" for rate in rates)
            cells = [f"{rate} {prefix}{r['unit']}/s", f"{low} to {high}"]
        rows.append([r["ceiling"], *cells])
    return report.table(head, rows)


def step_table(found: Found) -> str:
    head = ["network", "batch", "precision", "framework", "images/s", "ms a step", "ms, range"]
    head += ["time / tinyalex's", "ratio, range", "memory"]
    rows = []
    reasons: dict[str, list[str]] = {}
    for r in found["steps"]:
        cells = [NOT_MEASURED] * 5
        if seconds := r.get("seconds"):
            cells[0] = f"{r['batch'] / seconds['median']:.4g}"
            cells[1] = f"{1e3 * seconds['median']:.4g}"
            cells[2] = f"{1e3 * seconds['shortest']:.4g} to {1e3 * seconds['longest']:.4g}"
        if ratio := r.get("ratio"):
            cells[3] = f"{ratio['median']:.2f}"
            cells[4] = f"{ratio['lowest']:.2f} to {ratio['highest']:.2f}"
        memory = r.get("peak_memory")
        cells.append(f"{memory / 1e9:.2f} GB" if memory else NOT_MEASURED)
        names = r["variant"], str(r["batch"]), r["precision"], r["label"]
        rows.append([*names, *cells])
        if reason := r.get("failed"):
            reasons.setdefault(reason, []).append(" ".join(names))
    failed = [f"- {'; '.join(names)}: {reason}" for reason, names in reasons.items()]
    note = (
        "A step: forward with dropout, loss, backward, SGD. Medians of rounds, in which the "
        "frameworks of a precision alternate, and their range. A captured step (graph) also "
        "copies the batch and finds errors; with L2 tiles, columns of convolutions are computed "
        "in parts of half the GPU's L2 cache (TINYALEX_GPU_TILE_MIB), and not kept. PyTorch: "
        "channels_last, cudnn.benchmark, allow_tf32 in the rows tf32 only, autocast with float32 "
        "sums in the rows half. No loss scaling. torch.compile is measured in a process of its "
        "own, with tinyalex again. PyTorch runs without CUDA graphs. The ratio is the time divided "
        "by tinyalex's. Memory: what a framework reserved; of graphs, what the GPU lost."
    )
    parts = [report.table(head, rows, left=4), note]
    if failed:
        parts += ["Not measured:", "\n".join(failed)]
    return "\n\n".join(parts)


def convolution_table(found: Found) -> str:
    head = ["network", "batch", "layer", "dtype", "im2col, ms", "implicit GEMM, ms", "ratio"]
    rows = []
    for r in found["convolutions"]:
        cells = [NOT_MEASURED] * 3
        if r["im2col"]:
            cells = [f"{1e3 * r['im2col']:.3f}", f"{1e3 * r['implicit']:.3f}"]
            cells.append(f"{r['im2col'] / r['implicit']:.2f}")
        rows.append([r["variant"], str(r["batch"]), r["layer"], r["dtype"], *cells])
    note = (
        "Forward and backward, without ReLU and normalization: the least of some repetitions, as "
        "`TINYALEX_GPU_CONVOLUTION=fastest` measures them. The ratio is above 1 where implicit "
        "GEMM is faster."
    )
    return f"{report.table(head, rows, left=4)}\n\n{note}"


def layer_tables(found: Found) -> str:
    return "\n\n".join(layer_table(layers) for layers in found["layers"])


def layer_table(layers: dict[str, Any]) -> str:
    peak, bandwidth = layers["roofs"]
    head = ["layer", "pass", "ms", "GFLOP", "MB", "GFLOP/s", "GB/s", "of roof", "bound by"]
    rows = []
    for p in layers["passes"]:
        cells = [NOT_MEASURED] * 7
        if p["seconds"]:
            cells[0] = f"{1e3 * p['seconds']:.3f}"
        if p["seconds"] and p["bytes"]:
            cells[1:] = [
                f"{p['flop'] / 1e9:.3g}",
                f"{p['bytes'] / 1e6:.3g}",
                f"{p['speed'] / 1e9:.4g}",
                f"{p['bytes'] / p['seconds'] / 1e9:.3g}",
                f"{100 * p['share']:.0f} %",
                p["bound"],
            ]
        rows.append([profile_step.row_name(p), p["pass"], *cells])
    title = f"{layers['variant']}, batch {layers['batch']}, float32. Roofs, measured above: "
    title += f"{peak / 1e12:.4g} TFLOP/s, {bandwidth / 1e9:.4g} GB/s. GFLOP and MB are counted "
    title += "from shapes, as `profile_step.py --help` explains."
    return f"{title}\n\n{report.table(head, rows, left=2)}"


def cifar_text(found: Found) -> str:
    r = found["cifar"]
    text = f"`train_cifar.py {r['options']}`, model quick: test error "
    text += f"{r['test_error_percent']:.2f} % after {r['epochs']} epoch{'s' * (r['epochs'] > 1)}"
    if r["seconds"] is None:
        return f"{text}."
    epochs = ", ".join(f"{seconds:.2f}" for seconds in r["seconds"])
    return f"{text}. Seconds of training in each epoch, by the host's clock: {epochs}."


def launch_table(found: Found) -> str:
    head = ["network", "batch", "launches, copies and GEMMs", "of them GEMMs"]
    rows = [
        [r["variant"], str(r["batch"]), str(r["launches"]), str(r["gemms"])]
        for r in found["launches"]
    ]
    return f"{report.table(head, rows)}\n\nCounted on an emulated GPU by gpu_model.py."


def draw(name: str, found: Found, folder: Path) -> list[Path]:
    """The charts of a section, of what has times."""
    if name == "steps" and any(r.get("seconds") for r in found["steps"]):
        path = folder / "gpu-steps.png"
        report.draw_bars(panels(found["steps"]), "images a second", path)
        return [path]
    paths = []
    if name == "layers":
        for layers in found["layers"]:
            path = folder / f"gpu-layers-{layers['variant']}.png"
            points = [p for p in layers["passes"] if p["seconds"] and p["flop"]]
            title = f"{layers['variant']}, batch {layers['batch']}"
            report.draw_roofline(*layers["roofs"], points, title, path)
            paths.append(path)
    return paths


def panels(rows: list[dict[str, Any]]) -> list[tuple[str, list[tuple[str, float, str, bool]]]]:
    """A panel for each network and batch: a bar for each row with a time."""
    found: dict[str, list[tuple[str, float, str, bool]]] = {}
    for r in rows:
        if not r.get("seconds"):
            continue
        speed = r["batch"] / r["seconds"]["median"]
        text = f"{speed:.3g}"
        if ratio := r.get("ratio"):
            text += f"   tinyalex: {ratio['median']:.2f} x as fast"
        bar = (
            f"{r['precision']}, {r['label']}",
            speed,
            text,
            r["label"] in (gpu_steps.OURS, *gpu_steps.GRAPHS),
        )
        bars = found.setdefault(f"{r['variant']}, batch {r['batch']}", [])
        if bar[0] not in (name for name, *_ in bars):  # tinyalex is measured twice
            bars.append(bar)
    return list(found.items())
