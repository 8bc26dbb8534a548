"""--resume: finds the newest intact checkpoint, restores its options, and prints where
training resumes."""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tinyalex.serialization import DamagedFileError, load, load_values
from tinyalex.training import history
from tinyalex.training.trainer import Trainer

HOW_TO_RESUME = "To resume, repeat the command with --resume auto"

DEFAULTS = (
    "data", "epochs", "patience", "skip_bad_steps", "checkpoint_every", "keep_checkpoints",
    "workers", "weights",
)  # fmt: skip
"""Options that a resumed run may change. They are those of its checkpoint if they are
not given; options of the machine (--device, --parallel, ...) are not."""

MACHINE = ("device", "devices", "parallel", "tf32", "graph")


def parse_arguments(
    p: argparse.ArgumentParser,
    fixed: Iterable[str],
    default_output: Callable[[argparse.Namespace], str],
) -> argparse.Namespace:
    """The options of the command line, completed by those of the resumed checkpoint.

    fixed           options that a resumed run may not change: the trainer compares them
    default_output  the folder of a run with these options

    Raises FileNotFoundError if there is no file --resume, ValueError if it is a folder.
    """
    given = sys.argv[1:]
    args = p.parse_args(given)
    path = None if args.resume in (None, "auto") else Path(args.resume)
    if path is not None and path.is_dir():
        raise ValueError(
            f"--resume expected a checkpoint, got the folder {args.resume}. Give --resume auto "
            f"--output {shlex.quote(args.resume)}."
        )
    if path is not None and not path.is_file():
        raise FileNotFoundError(f"there is no file {args.resume!r}. Check --resume.")
    args.output = args.output or (str(path.parent) if path else default_output(args))
    if args.resume is None:
        return args
    paths = [path] if path else history.existing(Path(args.output) / history.CHECKPOINT)
    stored = stored_options(paths, (*fixed, *DEFAULTS))
    known = {name: value for name, value in stored.items() if p.get_default(name) != value}
    # Stored options are checked as given ones are, and given ones override them.
    completed, _ = p.parse_known_args([*map(_as_argument, known.items()), *given])
    completed.output = args.output
    return completed


def require_run(args: argparse.Namespace) -> None:
    """Raises FileNotFoundError if --resume auto finds no checkpoint."""
    if args.resume == "auto" and not history.existing(Path(args.output) / history.CHECKPOINT):
        raise FileNotFoundError(
            f"{args.output} contains no run to resume. Give its folder (--output), or --data for a "
            "new run."
        )


def _as_argument(option: tuple[str, Any]) -> str:
    name, value = option
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag}={value}"


def stored_options(paths: Iterable[Path], names: Iterable[str]) -> dict[str, Any]:
    """The options in the first readable checkpoint.

    Of a damaged or hostile file they may be any: the trainer checks the whole file.
    """
    for path in paths:
        with suppress(DamagedFileError, FileNotFoundError):
            state = load_values(path)
            keys = ("options", "defaults") if isinstance(state, dict) else ()
            parts = [state.get(key) for key in keys]
            stored = {key: x for part in parts if isinstance(part, dict) for key, x in part.items()}
            return {
                name: stored[name]
                for name in names
                if isinstance(stored.get(name), (str, int, float))
            }
    return {}


def resume(trainer: Trainer, checkpoint: str | None) -> None:
    """Apply --resume, and print where the run continues. Raises as Trainer.resume does.

    Raises FileExistsError if the output folder contains another run.
    """
    path = None
    if checkpoint == "auto":
        path = _resume_newest(trainer)
    elif checkpoint is not None:
        path = Path(checkpoint)
        own = history.existing(trainer.checkpoint)
        if own and path.is_file() and not any(p.samefile(path) for p in own):
            raise FileExistsError(
                f"{trainer.output} contains another run. Resume {checkpoint} in a new folder "
                "(--output)."
            )
        try:
            trainer.resume(path)
        except DamagedFileError as error:
            raise ValueError(f"{error}{_intact_beside(path)}") from None
    steps = trainer.scheme.gather(trainer.progress.step)
    if len(set(steps)) > 1:
        raise ValueError(
            f"{trainer.output} contains different checkpoints for different processes, of the "
            f"steps {steps}. Give a folder that all machines share (--output)."
        )
    if path is not None:
        print(describe_position(trainer, path))
    elif checkpoint == "auto":
        print(f"{trainer.output} contains no run to resume: this is a new one.")


def describe_position(trainer: Trainer, path: Path) -> str:
    done, patience = len(trainer.log), trainer.patience
    if trainer.is_out_of_patience:
        more = "--patience 0" if done < trainer.epochs else "--patience 0 and more --epochs"
        return (
            f"{path} is from a run whose validation error has not fallen for {patience} epochs "
            f"(--patience). To train longer, give {more}."
        )
    if done >= trainer.epochs:
        return f"{path} is from the end of epoch {done}. To train longer, give more --epochs."
    return f"Resuming {path} at epoch {done + 1}, step {trainer.progress.step}"


def _resume_newest(trainer: Trainer) -> Path | None:
    """Resume from the newest checkpoint that all processes can load, if there is any.

    Raises ValueError if there are checkpoints, but all are damaged.
    """
    scheme = trainer.scheme
    reasons: list[str] = []
    found = scheme.gather(history.existing(trainer.checkpoint))  # by each process
    for path in found[0]:
        reason = None
        try:
            trainer.resume(path)
        except (DamagedFileError, FileNotFoundError) as error:
            reason = str(error)
        failed = [text for text in scheme.gather(reason) if text is not None]
        if not failed:
            for text in reasons:
                print(f"warning: {text}")
            return path
        reasons.append(failed[0])
    if reasons:
        shared = " All machines must share the folder." if len(found) > 1 else ""
        raise ValueError(
            "resume: no checkpoint is intact:\n  " + "\n  ".join(reasons) + "\nStart a new run in "
            f"another folder (--output).{shared}"
        )
    return None


def _intact_beside(damaged: Path) -> str:
    """Advice to resume from another checkpoint in the folder, or ""."""
    for path in history.existing(damaged.with_name(history.CHECKPOINT)):
        if not path.samefile(damaged):
            with suppress(ValueError):
                load(path)
                return f"\nResume from {path} instead, which is intact."
    return ""


def resume_command(args: argparse.Namespace, processes: int, *options: str) -> str:
    """The command that resumes a run, on the same devices, with more `options`."""
    words = ["python", sys.argv[0], "--resume", "auto", "--output", args.output]
    words = ["mpirun", "-n", str(processes), *words] if args.parallel else words
    for name in MACHINE:
        value = getattr(args, name)
        if value and value != "auto":
            words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return shlex.join([*words, *options])
