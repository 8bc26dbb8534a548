"""What train_cifar.py and train_imagenet.py have in common: options, going on with a run, and errors in one line."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tinyalex.training.trainer import CHECKPOINT, Trainer


def positive(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def add_running(p: argparse.ArgumentParser, output: str) -> None:
    """The options that say where and how long to train: --seed, --device, --tf32, --output, --resume, --patience."""
    p.add_argument("--seed", type=int, default=0)
    p.add_argument(
        "--device",
        default="auto",
        help="auto (default: a GPU if there is one), cpu, cuda or cuda:1",
    )
    p.add_argument(
        "--tf32",
        action="store_true",
        help="on a GPU: faster matrix products with 10 bits instead of 23",
    )
    p.add_argument("--output", default=output, metavar="DIR", help=f"default: {output}")
    p.add_argument(
        "--resume",
        metavar="auto|PATH",
        help="go on from a checkpoint; auto: the one in the output folder, if any",
    )
    p.add_argument(
        "--patience",
        type=positive,
        metavar="N",
        help="stop when the validation error has not fallen for N epochs",
    )


def open_output(output: Path, resume: str | None) -> None:
    """Make the output folder. FileExistsError where a new run would write over another one."""
    if resume is None and (output / CHECKPOINT).exists():
        raise FileExistsError(
            f"{output} holds a run already. Go on with it (--resume auto), or choose another folder (--output)."
        )
    output.mkdir(parents=True, exist_ok=True)


def go_on(trainer: Trainer, resume: str | None) -> None:
    """What --resume asks for. Raises as Trainer.resume does, and FileExistsError where another run is in the output folder."""
    if resume == "auto" and trainer.checkpoint.exists():
        trainer.resume(trainer.checkpoint)
    elif resume not in (None, "auto"):
        if trainer.checkpoint.exists() and not trainer.checkpoint.samefile(resume):
            raise FileExistsError(
                f"{trainer.output} holds another run. Go on with {resume} in a new folder (--output)."
            )
        trainer.resume(resume)


def run(main: Callable[[], int]) -> NoReturn:
    """Exit with the status that `main` gives; what a user can bring about ends in one line, not in a traceback."""
    name = Path(sys.argv[0]).name
    try:
        sys.exit(main())
    except (ValueError, OSError, RuntimeError, FloatingPointError) as error:
        sys.exit(f"{name}: {error}")
    except MemoryError as error:
        sys.exit(f"{name}: out of memory ({error}). Use a smaller --batch-size.")
    except KeyboardInterrupt:
        print(
            "\nStopped. If an epoch was finished, it is saved; to go on: the same command with --resume auto",
            file=sys.stderr,
        )
        sys.exit(130)
