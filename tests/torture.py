#!/usr/bin/env python3
"""The long form of the tests of reliability: `make torture`, about half an hour.

    python tests/torture.py --files 100000 --kills 50

reads mutated files of each format (tests/fuzzing.py); kills training runs, half of them
while they write a checkpoint; fills the disk; removes the output folder. The last
output is in docs/reliability.md.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from fuzz_formats import FORMATS, ONNX
from fuzzing import campaign

SCRIPT = Path(__file__).resolve().parent.parent / "train_cifar.py"
OPTIONS = ("--data", "shapes", "--subset", "600", "--epochs", "3", "--batch-size", "20")
RESULTS = ("model.safetensors", "best.safetensors", "log.csv")


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--files", type=int, default=100_000, help="default: 100000")
    p.add_argument("--kills", type=int, default=50, help="default: 50")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--full-disk", type=Path, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.full_disk:
        return fill_disk(args.full_disk)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        read_mutated_files(args.files, scratch / "files", args.seed)
        reference = scratch / "reference"
        check(train(reference), 0)
        kill_runs(args.kills, scratch / "killed", reference, random.Random(args.seed))
        remove_folder(scratch / "removed")
        subprocess.run(
            ["unshare", "-rm", sys.executable, __file__, "--full-disk", scratch / "disk"],
            check=True,
        )
    return 0


# Files


def read_mutated_files(count, scratch, seed):
    formats = [*FORMATS, ONNX]
    print(f"{'format':38} {'files':>7} {'read':>7} {'distinct errors':>15}")
    files = read = 0
    errors, failed = set(), []
    for form in formats:
        try:
            outcome = campaign(form, count // len(formats) + 1, scratch / form.name, seed)
        except Exception as error:
            traceback.print_exception(error)
            failed.append(form.name)
            continue
        print(
            f"{form.name:38} {outcome.files:7} {outcome.read:7} {len(outcome.errors):15}",
            flush=True,
        )
        files, read, errors = files + outcome.files, read + outcome.read, errors | {*outcome.errors}
    print(f"{'all':38} {files:7} {read:7} {len(errors):15}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    print("none crashed, took 10 s or 1 GiB, started a program, or touched other files", flush=True)


# Runs


def command(output, *options):
    return [sys.executable, SCRIPT, *OPTIONS, "--output", output, *options]


def train(output, *options):
    return subprocess.run(command(output, *options), capture_output=True, text=True)


def check(result, status):
    if result.returncode != status or "Traceback" in result.stderr:
        sys.exit(f"{result.args}: status {result.returncode}\n{result.stdout}{result.stderr}")


def compare(output, reference):
    for name in RESULTS:
        if name == "log.csv":  # its last columns are times
            lines, expected = (
                [line.split(",")[:6] for line in (folder / name).read_text().splitlines()]
                for folder in (output, reference)
            )
        else:
            lines, expected = ((folder / name).read_bytes() for folder in (output, reference))
        if lines != expected:
            sys.exit(f"{output / name} differs from that of an uninterrupted run")


def kill_runs(count, scratch, reference, rng):
    """Kill runs again and again; each ends with the bytes of an uninterrupted one."""
    began = time.perf_counter()
    check(train(scratch / "timed"), 0)
    seconds = time.perf_counter() - began
    kills = writing = runs = 0
    while kills < count:
        output = scratch / str(runs)
        runs += 1
        while True:
            in_write = kills % 2 == 0 and kills < count
            after = rng.uniform(0, 1.2 * seconds) if kills < count else None
            outcome = run_and_kill(output, after, in_write)
            if outcome == "ended":
                break
            kills += 1
            writing += outcome == "writing"
        compare(output, reference)
        leftovers = [file.name for file in output.glob(".*.safetensors.*")]
        if leftovers:
            sys.exit(f"{output} has {leftovers}")
        shutil.rmtree(output)
    print(
        f"{kills} SIGKILLs in {runs} runs, {writing} of them during the write of a checkpoint: "
        "each run ended with the same bytes as an uninterrupted one",
        flush=True,
    )


def run_and_kill(output, after, in_write):
    """Resume a run, and kill it after so many seconds, or in the next write after."""
    process = subprocess.Popen(
        command(output, "--resume", "auto", "--checkpoint-every", "0.2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    began, state = time.perf_counter(), "running"
    while process.poll() is None:
        is_writing = any(output.glob(".checkpoint.safetensors.*"))
        if after is not None and time.perf_counter() - began > after:
            if is_writing or not in_write:
                process.kill()
                state = "writing" if is_writing else "killed"
                break
        time.sleep(0.0005 if in_write else 0.01)
    printed, _ = process.communicate()
    if process.returncode == -signal.SIGKILL:
        return state
    if process.returncode != 0 or "Traceback" in printed:
        sys.exit(f"a resumed run ended with status {process.returncode}:\n{printed}")
    return "ended"


def remove_folder(output):
    process = subprocess.Popen(
        command(output), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (output / "log.csv").exists() and process.poll() is None:
        time.sleep(0.01)
    shutil.rmtree(output)
    _, errors = process.communicate()
    if process.returncode != 1 or "Traceback" in errors:
        sys.exit(f"without its folder, a run ended with status {process.returncode}:\n{errors}")
    print(f"output folder removed: status 1, {errors.strip().splitlines()[-1]!r}", flush=True)


def fill_disk(output):
    """In a mount namespace of its own: train on a disk that becomes full."""
    output.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", output], check=True)
    check(train(output / "reference"), 0)
    used = sum(file.stat().st_size for file in (output / "reference").iterdir())
    stopped = 0
    for spare in range(used // 4, used * 2, used // 4):
        run = output / "run"
        filler = output / "filler"
        free = shutil.disk_usage(output).free
        with open(filler, "wb") as file:
            file.write(bytes(max(0, free - spare)))
        result = train(run)
        if result.returncode:
            check(result, 1)
            stopped += 1
        filler.unlink()
        check(train(run, "--resume", "auto"), 0)
        compare(run, output / "reference")
        shutil.rmtree(run)
    print(
        f"disk full: {stopped} runs ended with status 1 and a message; resumed with more space, "
        "they ended with the same bytes"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
