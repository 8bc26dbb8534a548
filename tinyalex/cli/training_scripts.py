"""Shared by train_cifar.py and train_imagenet.py: options, resuming, errors."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tinyalex import device
from tinyalex.cli.options import positive_integer
from tinyalex.training.checkpoint import CHECKPOINT
from tinyalex.training.trainer import Trainer

HOW_TO_RESUME = "To resume, repeat the command with --resume auto"


def add_run_options(p: argparse.ArgumentParser, output: str) -> None:
    """Add --seed, --device, --tf32, --output, --resume and --patience."""
    p.add_argument("--seed", type=int, default=0)
    p.add_argument(
        "--device",
        default="auto",
        help="auto (default: a GPU if there is one), cpu, cuda or cuda:1",
    )
    p.add_argument(
        "--tf32",
        action="store_true",
        help="on a GPU: faster matrix multiplications, with 10 bits of mantissa instead of 23",
    )
    p.add_argument("--output", default=output, metavar="DIR", help=f"default: {output}")
    p.add_argument(
        "--resume",
        metavar="auto|PATH",
        help="resume from a checkpoint; auto: the one in the output folder, if it exists",
    )
    p.add_argument(
        "--patience",
        type=positive_integer,
        metavar="N",
        help="stop when the validation error has not fallen for N epochs",
    )


def set_up(args: argparse.Namespace) -> str:
    """Apply --device, --tf32 and --seed. Returns the device."""
    name = device.check(args.device)
    if args.tf32 and name != "cpu":
        device.allow_tf32()
    device.manual_seed(args.seed)
    return name


def make_output_folder(output: Path, resume: str | None) -> None:
    """Raises FileExistsError if a new run would overwrite an earlier one."""
    if resume is None and (output / CHECKPOINT).exists():
        raise FileExistsError(
            f"{output} already contains a run. Resume it (--resume auto), or choose another "
            "folder (--output)."
        )
    output.mkdir(parents=True, exist_ok=True)


def resume(trainer: Trainer, checkpoint: str | None) -> None:
    """Apply --resume. Raises as Trainer.resume does.

    Raises FileExistsError if the output folder contains another run.
    """
    own = trainer.checkpoint
    if checkpoint == "auto":
        if own.exists():
            trainer.resume(own)
    elif checkpoint is not None:
        if own.exists() and not own.samefile(checkpoint):
            raise FileExistsError(
                f"{trainer.output} contains another run. Resume {checkpoint} in a new folder "
                "(--output)."
            )
        trainer.resume(checkpoint)


def run(main: Callable[[], int]) -> NoReturn:
    """Exit with the status of `main`; print expected errors without a traceback."""
    name = Path(sys.argv[0]).name
    try:
        sys.exit(main())
    except (ValueError, OSError, RuntimeError, FloatingPointError) as error:
        sys.exit(f"{name}: {error}")
    except MemoryError as error:
        sys.exit(f"{name}: out of memory ({error}). Use a smaller --batch-size.")
    except KeyboardInterrupt:
        print(f"\nStopped. Finished epochs are saved. {HOW_TO_RESUME}", file=sys.stderr)
        sys.exit(130)
