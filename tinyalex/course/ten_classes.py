"""The run of lesson 21: AlexNet on ten classes of ImageNet.

python lessons/21_imagenet.py --full       about 25 minutes on two idle cores
"""

import csv
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tinyalex import data
from tinyalex.course import lesson
from tinyalex.course.exercise import REPOSITORY
from tinyalex.data.download import data_folder
from tinyalex.training import history

FOLDER = "imagenette-160"
"""In TINYALEX_DATA; otherwise imagenette is downloaded (341 MB)."""

OPTIONS = (
    "--image-size", "128", "--resize", "160", "--init", "he", "--batch-size", "64",
    "--epochs", "30", "--schedule", "step", "--output", "runs/imagenette",
)  # fmt: skip

SCORE = re.compile(
    r"^(?P<views>one|ten) views? .*: loss (?P<loss>[\d.]+), top-1 error (?P<top1>[\d.]+) %"
    r".* top-5 error (?P<top5>[\d.]+) %.*, (?P<images>\d+) images$",
    re.MULTILINE,
)
"""The last lines that train_imagenet.py prints."""

SIZES = re.compile(r"^(\d+ training and \d+ validation images, \d+ classes)", re.MULTILINE)


def experiment(
    file: Path, options: tuple[str, ...] = OPTIONS, device_name: str = "cpu"
) -> dict[str, Any]:
    """Trains and evaluates a network, and writes the results to `file`.

    A run that was interrupted is resumed, with the option --resume auto in addition to
    the recorded command. Its time is not recorded: the last process knows only its own.
    """
    root = data_folder()
    images = root / FOLDER if root and (root / FOLDER).exists() else data.imagenette()
    script = REPOSITORY / "train_imagenet.py"
    arguments = [*options, "--device", device_name]
    output = Path(options[options.index("--output") + 1])
    is_resumed = bool(history.existing(output / history.CHECKPOINT))
    text = _run(
        [sys.executable, str(script), "--data", str(images), *arguments, "--resume", "auto"]
    )
    with (output / "log.csv").open(encoding="utf-8") as log:
        epochs = [{key: float(x) for key, x in row.items()} for row in csv.DictReader(log)]
    sizes = SIZES.search(text)
    command = " ".join(["python", script.name, "--data", images.name, *arguments])
    results: dict[str, Any] = {
        **lesson.origin(command, device_name),
        "images": sizes[1] if sizes else "",
        "epochs": epochs,
    }
    seconds = re.search(r"^time (\d+) s$", text, re.MULTILINE)
    if seconds and not is_resumed:
        results["seconds"] = int(seconds[1])
    for score in SCORE.finditer(text):
        results[{"one": "one_view", "ten": "ten_views"}[score["views"]]] = {
            "loss": float(score["loss"]),
            "top1_error": float(score["top1"]) / 100,
            "top5_error": float(score["top5"]) / 100,
            "images": int(score["images"]),
        }
    lesson.record(file, results)
    return results


def _run(command: list[str]) -> str:
    """The output of the command, which is printed too."""
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}")
    return "".join(lines)
