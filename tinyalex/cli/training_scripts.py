"""Shared by train_cifar.py and train_imagenet.py: options, devices, errors."""

import argparse
import io
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tinyalex import device, models, optim, parallel
from tinyalex.cli.options import (
    STOPPED,
    file_path,
    integer_from_zero,
    positive_integer,
    positive_number,
    quoted,
    seed,
)
from tinyalex.cli.resuming import DEFAULTS, HOW_TO_RESUME, resume_command
from tinyalex.data.text_files import printable_lines
from tinyalex.mixed_precision import autocast
from tinyalex.nn import Sequential
from tinyalex.training import Evaluation, Trainer, guessing_advice, history
from tinyalex.training.checkpoint import DATA_DIGEST
from tinyalex.training.output_folder import locked
from tinyalex.training.scheme import Scheme
from tinyalex.training.trainer import SAVE_INTERVAL_SECONDS

"""The exit status after Ctrl-C or SIGTERM."""


def add_run_options(p: argparse.ArgumentParser, output: str) -> None:
    """Add the options that do not concern the data or the network.

    output  describes the default output folder
    """
    p.add_argument("--seed", type=seed, default=0)
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
        help="on a GPU: matrix multiplications with 10 bits of mantissa instead of 23",
    )
    p.add_argument(
        "--amp",
        action="store_true",
        default=None,
        help="half precision: matrix multiplications in float16, added in float32, with a factor "
        "of the loss that adapts itself; weights and their gradients stay float32 "
        "(docs/training.md)",
    )
    p.add_argument(
        "--graph",
        action="store_true",
        help="on a GPU: capture a training step once, and repeat it by one launch "
        "(docs/training.md)",
    )
    p.add_argument(
        "--output",
        type=file_path,
        metavar="DIR",
        help=f"default: {output}; with --resume PATH, the folder of that file",
    )
    p.add_argument(
        "--resume",
        type=file_path,
        metavar="auto|PATH",
        help="resume from a checkpoint, with the options in it; auto: the newest intact one in the "
        "output folder, if there is one. --epochs may be changed, and so may options that do not "
        "concern the results",
    )
    p.add_argument(
        "--checkpoint-every",
        type=positive_number,
        default=SAVE_INTERVAL_SECONDS / 60,
        metavar="MINUTES",
        help="save a checkpoint within an epoch at this interval, besides the one at its end "
        f"(default: {SAVE_INTERVAL_SECONDS / 60:g} minutes)",
    )
    p.add_argument(
        "--keep-checkpoints",
        type=positive_integer,
        default=history.KEEP_CHECKPOINTS,
        metavar="N",
        help=f"keep the last N checkpoints (default: {history.KEEP_CHECKPOINTS}, so that there is "
        "an intact one if the file of the newest is damaged); AlexNet's have 732 MB each, and "
        "there is one more while it is written",
    )
    p.add_argument(
        "--patience",
        type=integer_from_zero,
        metavar="N",
        help="stop when the validation error has not fallen for N epochs (default, and 0: do not)",
    )
    p.add_argument(
        "--skip-bad-steps",
        type=integer_from_zero,
        default=0,
        metavar="N",
        help="make no update in steps whose loss or gradients are not finite, up to N in "
        "succession (default, 0: such a loss ends the run); on a GPU, each step is waited for",
    )


class Setup:
    """Where a script runs: on a device, on two, or on those of several processes."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Apply --device, --devices, --parallel, --tf32 and --seed.

        Processes other than rank 0 print nothing from here on, except errors.
        """
        if args.devices and args.parallel:
            raise ValueError("--devices is for one process. Leave out --devices or --parallel.")
        if args.amp and (args.devices or args.parallel not in (None, "data")):
            raise ValueError(
                "--amp is for networks whose parameters are on one device. Leave out --amp, or "
                f"{'--devices' if args.devices else f'--parallel {args.parallel}'}."
            )
        if args.graph:
            for name in ("parallel", "devices", "skip_bad_steps"):
                if getattr(args, name):
                    raise ValueError(
                        "--graph is for steps of one process on one device, each with an update. "
                        f"Leave out --graph, or --{name.replace('_', '-')}."
                    )
        self.scheme, self.amp = args.parallel, bool(args.amp)
        self.devices = args.devices.split(",") if args.devices else None
        if self.devices is not None and len(self.devices) != 2:
            raise ValueError(
                "--devices expects two, one for each column, such as cuda:0,cuda:1, got "
                f"{quoted(args.devices)}."
            )
        self.world = parallel.connect(args.device) if args.parallel else None
        if self.world is None:
            self.device, *_ = map(device.check, self.devices or [args.device])
        else:
            self.device = self.world.device
            if self.world.rank > 0:
                sys.stdout = open(os.devnull, "w", errors="ignore")  # noqa: SIM115 - until the end
            if self.scheme == "columns":
                parallel.check_columns(self.world)
        if args.tf32 and self.device != "cpu":
            device.allow_tf32()
        device.manual_seed(args.seed)

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.world is None or self.world.rank == 0

    @property
    def has_columns(self) -> bool:
        """Whether the network's columns are on different devices."""
        return self.devices is not None or self.scheme == "columns"

    def distribute(self, network: Sequential) -> Scheme:
        """The scheme that computes the network here. Its parameters may be copied."""
        if self.world is not None:
            assert self.scheme is not None
            scheme: Scheme = parallel.distribute(network, self.scheme, self.world)
        elif self.devices is not None:
            scheme = Scheme(models.Columns(network, self.devices), self.device)
        else:
            scheme = Scheme(network.to(self.device), self.device)
        scheme.scaler = optim.GradScaler(enabled=self.amp)
        return scheme

    def precision(self) -> AbstractContextManager[None]:
        """The context for evaluations: with --amp, `autocast`."""
        return autocast(enabled=self.amp)

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


@contextmanager
def output_folder(args: argparse.Namespace, setup: Setup) -> Iterator[Path]:
    """A context with the folder of --output, which is locked for other runs.

    Raises RuntimeError if another run has locked it, FileExistsError if a new run would
    overwrite an earlier one.
    """
    output = Path(args.output)
    with locked(output) if setup.is_main else nullcontext():
        make_output_folder(output, args.resume)
        yield output


def make_output_folder(output: Path, resume: str | None) -> None:
    """Raises FileExistsError if a new run would overwrite an earlier one."""
    has_checkpoint = bool(history.existing(output / history.CHECKPOINT))
    if has_checkpoint and resume is None:
        raise FileExistsError(
            f"{output} already contains a run. Resume it (--resume auto), or choose another "
            "folder (--output)."
        )
    weights = [output / f"{name}.safetensors" for name in ("best", "model")]
    if not has_checkpoint and resume in (None, "auto") and any(map(Path.exists, weights)):
        raise FileExistsError(
            f"{output} contains trained weights, but no checkpoint to resume. Move them, or choose "
            "another folder (--output)."
        )
    output.mkdir(parents=True, exist_ok=True)


def trainer_options(
    args: argparse.Namespace,
    fixed: Iterable[str],
    data_digest: str,
    others: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Arguments of Trainer.

    fixed   the options that must stay the same when the run is resumed; the images must
            too
    others  values by name that must stay the same, and are not options
    """
    options = {name: getattr(args, name) for name in fixed} | dict(others or {})
    return {
        "epochs": args.epochs,
        "patience": args.patience or None,
        "skip_bad_steps": args.skip_bad_steps,
        "graph": args.graph,
        "save_interval_seconds": 60 * args.checkpoint_every,
        "keep_checkpoints": args.keep_checkpoints,
        "options": options | {DATA_DIGEST: data_digest},
        "defaults": {name: getattr(args, name) for name in DEFAULTS if hasattr(args, name)},
    }


def how_to_resume(args: argparse.Namespace, setup: Setup) -> str:
    """The message of a run that was stopped."""
    command = resume_command(args, setup.shard[1])
    return f"\nStopped, and saved in {args.output}. To resume:\n  {command}"


def next_steps(args: argparse.Namespace, setup: Setup, trainer: Trainer, result: Evaluation) -> str:
    """What to type after a run, and advice if its error is that of guessing."""
    options = ["--epochs", str(2 * args.epochs)]
    options += ["--patience", "0"] if trainer.is_out_of_patience else []
    longer = resume_command(args, setup.shard[1], *options)
    advice = guessing_advice(result, trainer.remedies)
    return (f"{advice}\n" if advice else "") + (
        f"next: tinyalex predict photo.jpg --weights {shlex.quote(args.output)}/best.safetensors\n"
        f"      {longer}    # trains longer"
    )


def run(main: Callable[[], int]) -> NoReturn:
    """Exit with the status of `main`; print expected errors without a traceback.

    An error in one of several processes ends all of them.
    """
    name = Path(sys.argv[0]).name
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be any bytes
    try:
        sys.exit(main())
    except SystemExit as error:
        # All processes agree on success, and on having been stopped.
        if error.code in (None, 0, STOPPED):
            raise
        message = error.code if isinstance(error.code, str) else f"{name}: status {error.code}"
        status = 1 if isinstance(error.code, str) else int(error.code or 0)
    except (ValueError, OSError, RuntimeError, FloatingPointError, ImportError) as error:
        message, status = printable_lines(f"{name}: {error}"), 1
    except MemoryError as error:
        message, status = f"{name}: out of memory ({error}). Use a smaller --batch-size.", 1
    except KeyboardInterrupt:
        message = f"\nStopped. If an epoch had finished, it is saved. {HOW_TO_RESUME}"
        status = STOPPED
    except Exception:
        message, status = traceback.format_exc(), 1
    parallel.fail(message, status)
    sys.exit(status)
