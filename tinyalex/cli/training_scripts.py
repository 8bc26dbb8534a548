"""Shared by train_cifar.py and train_imagenet.py: options, devices, errors."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np

from tinyalex import device, models, parallel
from tinyalex.cli.options import file_path, positive_integer
from tinyalex.nn import Sequential
from tinyalex.training.checkpoint import CHECKPOINT
from tinyalex.training.scheme import Scheme
from tinyalex.training.trainer import Trainer

STOPPED = 130
"""The exit status after Ctrl-C or SIGTERM."""

HOW_TO_RESUME = "To resume, repeat the command with --resume auto"


def add_run_options(p: argparse.ArgumentParser, output: str) -> None:
    """Add the options that do not concern the data or the network."""
    p.add_argument("--seed", type=int, default=0)
    p.add_argument(
        "--device",
        default="auto",
        help="auto (default: a GPU if there is one), cpu, cuda or cuda:1",
    )
    p.add_argument(
        "--devices",
        metavar="A,B",
        help="one device for each of the network's two columns, as in the paper (section 3.5): "
        "cuda:0,cuda:1",
    )
    p.add_argument(
        "--parallel",
        choices=parallel.SCHEMES,
        help="divide the work between the processes of mpirun or srun, each with a device "
        "(docs/scaling.md): data divides each batch, columns the network's columns, hybrid the "
        "batch for convolutions and the units of linear layers",
    )
    p.add_argument(
        "--column-lrn",
        action="store_true",
        default=None,
        help="LRN within each of the two columns; implied by --devices and --parallel columns",
    )
    p.add_argument(
        "--tf32",
        action="store_true",
        help="on a GPU: faster matrix multiplications, with 10 bits of mantissa instead of 23",
    )
    p.add_argument(
        "--output", type=file_path, default=output, metavar="DIR", help=f"default: {output}"
    )
    p.add_argument(
        "--resume",
        type=file_path,
        metavar="auto|PATH",
        help="resume from a checkpoint; auto: the one in the output folder, if it exists",
    )
    p.add_argument(
        "--patience",
        type=positive_integer,
        metavar="N",
        help="stop when the validation error has not fallen for N epochs",
    )


class Setup:
    """Where a script runs: on a device, on two, or on those of several processes."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Apply --device, --devices, --parallel, --tf32 and --seed.

        Processes other than rank 0 print nothing from here on, except errors.
        """
        if args.devices and args.parallel:
            raise ValueError("--devices is for one process. Leave out --devices or --parallel.")
        self.scheme = args.parallel
        self.devices = args.devices.split(",") if args.devices else None
        self.world = parallel.connect(args.device) if args.parallel else None
        if self.world is None:
            self.device = device.check(self.devices[0] if self.devices else args.device)
        else:
            self.device = self.world.device
            if self.world.rank > 0:
                sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the end
            if self.scheme == "columns":
                parallel.check_columns(self.world)
        if args.tf32 and self.device != "cpu":
            device.allow_tf32()
        device.manual_seed(args.seed)

    @property
    def has_columns(self) -> bool:
        """Whether the network's columns are on different devices."""
        return self.devices is not None or self.scheme == "columns"

    def distribute(self, network: Sequential) -> Scheme:
        """The scheme that computes the network here. Its parameters may be copied."""
        if self.world is not None:
            assert self.scheme is not None
            return parallel.distribute(network, self.scheme, self.world)
        if self.devices is not None:
            return Scheme(models.Columns(network, self.devices), self.device)
        return Scheme(network.to(self.device), self.device)

    @property
    def shard(self) -> tuple[int, int]:
        """The part of a data set that this process evaluates (data.Loader)."""
        return (0, 1) if self.world is None else (self.world.rank, self.world.size)

    def concatenate(self, array: np.ndarray) -> np.ndarray:
        """The arrays of all processes, one after another."""
        return array if self.world is None else np.concatenate(self.world.gather_objects(array))

    def __str__(self) -> str:
        if self.world is None:
            return f"on {' and '.join(self.devices or [self.device])}"
        return f"on {self.world.size} processes ({self.scheme}), rank 0 on {self.device}"


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
    steps = trainer.scheme.gather(trainer.progress.step)
    if len(set(steps)) > 1:
        raise ValueError(
            f"{trainer.output} contains different checkpoints for different processes, of the "
            f"steps {steps}. Give a folder that all machines share (--output)."
        )


def run(main: Callable[[], int]) -> NoReturn:
    """Exit with the status of `main`; print expected errors without a traceback.

    An error in one of several processes ends all of them.
    """
    name = Path(sys.argv[0]).name
    try:
        sys.exit(main())
    except SystemExit as error:
        # All processes agree on success, and on having been stopped.
        if error.code in (None, 0, STOPPED):
            raise
        message = error.code if isinstance(error.code, str) else f"{name}: status {error.code}"
        status = 1 if isinstance(error.code, str) else int(error.code or 0)
    except (ValueError, OSError, RuntimeError, FloatingPointError, ImportError) as error:
        message, status = f"{name}: {error}", 1
    except MemoryError as error:
        message, status = f"{name}: out of memory ({error}). Use a smaller --batch-size.", 1
    except KeyboardInterrupt:
        message = f"\nStopped. Finished epochs are saved. {HOW_TO_RESUME}"
        status = STOPPED
    except Exception:
        message, status = traceback.format_exc(), 1
    parallel.fail(message, status)
    sys.exit(status)
