#!/usr/bin/env python3
"""Measure a GPU within --minutes: values, ceilings, training, steps against PyTorch.

    python benchmarks/gpu.py --out runs/gpu

  kernels   each kernel's results on the card, compared with NumPy's in float64
  ceilings  the card's copy bandwidth, and FLOP/s of large matrix multiplications
  cifar     train_cifar.py's `quick` network for --epochs epochs, and its test error
  steps     training steps of `torchvision` and `paper` at batch 128 and 256, in
            float32, TF32 and half precision, launch by launch and captured in a CUDA
            graph, against PyTorch eager and compiled (channels_last, cudnn.benchmark,
            allow_tf32 as in each row); memory. At batch 128, also a graph with the
            tiles of convolutions in L2
  convolutions
            each by im2col and by implicit GEMM, in float32 and half precision
  layers    tinyalex's layers in float32, with bytes, operations and share of the roof
  launches  of a step, counted on an emulated GPU; needs g++

Writes gpu.json after each part, and then gpu.md with charts. Times are measured by CUDA
events after a warm-up, those of CIFAR-10's epochs by the host's clock; contenders
alternate (gpu_steps.py). What was not measured has no number, but the reason. What does
not fit into --minutes is left out.

The exit status is 1 if a part failed or a value is wrong, but not for what is left out,
such as PyTorch if it is not installed.

On an emulated GPU (`tinyalex emulate`), everything runs with small sizes, and times are
left out.
"""

import argparse
import csv
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import failures
import gpu_checks
import gpu_convolutions
import gpu_page
import gpu_steps
import machine
import networks
import profile_step
import report
from alexnet_step import positive

from tinyalex import device, emulator

HERE = Path(__file__).resolve().parent

SIZES = (("torchvision", 128), ("paper", 128), ("torchvision", 256), ("paper", 256))
SMOKE_SIZES = (("quick", 2),)

Found = dict[str, Any]


def main() -> int:
    args = arguments()
    args.device = device.check(args.device)
    if args.device == "cpu":
        raise ValueError("expected a GPU, got --device cpu. alexnet_step.py measures on a CPU.")
    args.smoke = emulator.is_installed()
    deadline = time.monotonic() + 60 * args.minutes
    found: Found = {
        "machine": machine.describe(),
        "card": card(args.device),
        "emulated": args.smoke,
        "failed": {},
        "left_out": {},
    }
    for name, part in parts(args):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            found["left_out"][name] = f"--minutes {args.minutes:g} were used up"
            continue
        print(f"{name} ...", flush=True)
        try:
            with device.on(args.device):  # of the events
                part(found, remaining)
        except TimeoutError as error:
            found["left_out"][name] = str(error)
        except Exception as error:  # a part that fails leaves the others valid
            found["failed"][name] = f"{type(error).__name__}: {error}"
        report.write_json(args.out, "gpu", found)
    text = gpu_page.write(found, args.out)
    print(f"\n{text}\n\nwritten: {args.out / 'gpu.json'}, gpu.md and charts")
    return 1 if has_failed(found) else 0


def has_failed(found: Found) -> bool:
    """Whether a part failed, or a value is wrong."""
    rows = (found.get(name, []) for name in ("kernels", "ceilings", "steps"))
    return bool(found["failed"]) or any(map(failures.is_failure, itertools.chain(*rows)))


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--out", type=Path, required=True, metavar="DIR")
    p.add_argument("--device", default="cuda", help="cuda (default) or cuda:1")
    p.add_argument("--minutes", type=float, default=5.0, help="default: 5")
    p.add_argument(
        "--epochs", type=positive, default=8, help="of the CIFAR-10 training (default: 8)"
    )
    p.add_argument(
        "--data",
        help="as in train_cifar.py (default: cifar10, which is downloaded once; on an emulated "
        "GPU, shapes)",
    )
    return p.parse_args()


def parts(
    args: argparse.Namespace,
) -> Iterator[tuple[str, Callable[[Found, float], None]]]:
    """The parts by name, the most important first: function(found, seconds left)."""
    sizes = SMOKE_SIZES if args.smoke else SIZES

    def kernels(found: Found, remaining: float) -> None:
        found["kernels"] = gpu_checks.kernels(args.device, args.smoke, remaining)

    def ceilings(found: Found, remaining: float) -> None:
        found["ceilings"] = gpu_checks.ceilings(args.device, args.smoke, remaining)

    def cifar(found: Found, remaining: float) -> None:
        found["cifar"] = train(args, remaining)

    def steps(size: tuple[str, int], contenders: list[str]) -> Callable[[Found, float], None]:
        layers = gpu_steps.EAGER in contenders and size[1] == sizes[0][1]
        return lambda found, remaining: measure_steps(
            args, found, *size, contenders, layers, remaining
        )

    yield "kernels", kernels
    yield "ceilings", ceilings
    first = [gpu_steps.OURS, gpu_steps.GRAPH, gpu_steps.EAGER]
    for variant, batch in sizes:
        contenders = [*first, gpu_steps.TILED] if batch == sizes[0][1] else [*first]
        contenders += [gpu_steps.COMPILED] if args.smoke else []
        yield f"{variant}, batch {batch}", steps((variant, batch), contenders)
    yield "cifar", cifar
    for variant, batch in sizes[:2]:
        yield (
            f"convolutions of {variant}",
            lambda found, left, of=(variant, batch): found.setdefault("convolutions", []).extend(
                gpu_convolutions.measured(*of, args.device, args.smoke, left)
            ),
        )
    for variant, batch in sizes[:2]:
        yield (
            f"launches of {variant}",
            lambda found, left, of=(variant, batch): count_launches(found, *of, left),
        )
    for variant, batch in () if args.smoke else sizes:
        contenders = [gpu_steps.OURS, gpu_steps.COMPILED]
        yield f"{variant}, batch {batch}, compiled", steps((variant, batch), contenders)


def card(name: str) -> dict[str, Any]:
    import cupy

    number = int(name.partition(":")[2] or 0)
    properties = cupy.cuda.runtime.getDeviceProperties(number)
    return {
        "name": properties["name"].decode(),
        "capability": cupy.cuda.Device(number).compute_capability,
        "memory": device.memory(name)["total"],
        "multiprocessors": properties["multiProcessorCount"],
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
    }


def measure_steps(
    args: argparse.Namespace,
    found: Found,
    variant: str,
    batch: int,
    contenders: list[str],
    layers: bool,
    seconds: float,
) -> None:
    """Add the rows of gpu_steps.py to found["steps"], and `layers` to those of the
    layers."""
    command = [str(HERE / "gpu_steps.py"), f"--variant={variant}", f"--batch={batch}"]
    command += [f"--device={args.device}", f"--contenders={','.join(contenders)}"]
    command += ["--layers"] * layers
    text, failure = run(command, seconds)
    for row in map(json.loads, re.findall(r"^{.*}$", text, re.MULTILINE)):
        if "layers" not in row:
            found.setdefault("steps", []).append({"variant": variant, "batch": batch, **row})
        elif row["layers"] is not None:
            found.setdefault("layers", []).append(by_layer(found, variant, batch, row["layers"]))
    if failure:
        raise failure


def by_layer(
    found: Found, variant: str, batch: int, seconds: dict[str, list[float]]
) -> dict[str, Any]:
    """The passes of profile_step.py, with the ceilings that were measured."""
    rates = {
        row["ceiling"]: row["count"] / row["seconds"]["median"]
        for row in found.get("ceilings", [])
        if row.get("seconds")
    }
    if missing := {"copy", "GEMM float32"} - rates.keys():
        raise RuntimeError(f"no shares of the ceilings: {', '.join(sorted(missing))} not measured")
    peak, bandwidth = rates["GEMM float32"], rates["copy"]
    passes = profile_step.passes(networks.describe(variant), batch, seconds, peak, bandwidth)
    return {"variant": variant, "batch": batch, "passes": passes, "roofs": [peak, bandwidth]}


def train(args: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """`quick` on CIFAR-10: its test error, and the seconds of each epoch's training, by
    the host's clock."""
    epochs = ["--epochs", "1", "--subset", "32"] if args.smoke else ["--epochs", str(args.epochs)]
    options = ["--data", args.data or ("shapes" if args.smoke else "cifar10"), *epochs]
    with tempfile.TemporaryDirectory(prefix="tinyalex-gpu-") as folder:
        command = [str(HERE.parent / "train_cifar.py"), *options]
        text, failure = run([*command, "--device", args.device, "--output", folder], seconds)
        if failure:
            raise failure
        with open(Path(folder, "log.csv"), newline="", encoding="utf-8") as file:
            log = list(csv.DictReader(file))
    (error,) = re.findall(r"^test error ([\d.]+) %$", text, re.MULTILINE)
    return {
        "options": " ".join(options),
        "epochs": len(log),
        "test_error_percent": float(error),
        "seconds": None if args.smoke else [float(epoch["seconds"]) for epoch in log],
    }


def count_launches(found: Found, variant: str, batch: int, seconds: float) -> None:
    """Those of gpu_model.py, which needs an emulated GPU."""
    with tempfile.TemporaryDirectory(prefix="tinyalex-gpu-") as folder:
        command = [str(HERE / "gpu_model.py"), f"--variant={variant}", f"--batch={batch}"]
        _, failure = run([*command, f"--output={folder}", "--name=model"], seconds)
        if failure:
            raise failure
        rows = json.loads(Path(folder, "model.json").read_text(encoding="utf-8"))["rows"]
    row = {"variant": variant, "batch": batch}
    row |= {name: sum(r[name] for r in rows) for name in ("launches", "gemms")}
    found.setdefault("launches", []).append(row)


def run(command: list[str], seconds: float) -> tuple[str, Exception | None]:
    """The output of a Python program, and why it failed. After `seconds` it is stopped:
    TimeoutError."""
    paths = str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    try:
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            text=True,
            env=environment,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        printed = error.stdout or b""
        text = printed.decode() if isinstance(printed, bytes) else printed
        reason = f"stopped after {seconds:.0f} s, which --minutes left for it"
        return text, TimeoutError(reason)
    if not done.returncode:
        return done.stdout, None
    reason = " ".join(done.stderr.split("\n")[-3:]).strip() or f"exit status {done.returncode}"
    return done.stdout, RuntimeError(reason)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"gpu.py: {error}")
