"""`tinyalex COMMAND`, which is also `python -m tinyalex COMMAND`."""

import argparse
import ast
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex.function import Function
from tinyalex.gradient_check.check import gradcheck
from tinyalex.nn import Module

GRADCHECK = """Check the backward pass of a layer of your own against finite differences.

  tinyalex gradcheck mylayers:Scale --input 2x3x4x4 --input 3
  tinyalex gradcheck mylayers.py:MyLRN --input 2x7x3x3 --option n=5 --option k=2.0
  tinyalex gradcheck tinyalex.functional:cross_entropy --input 4x5 --integers 4:5

LAYER is a module (or a .py file), a colon, and in it a Function, a Module, or a function of tensors. The exit status is 0 if every gradient
is right, 1 if not, and 2 if it could not be checked.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="tinyalex", description="AlexNet from scratch.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_doctor(commands)
    _add_explain(commands)
    _add_gradcheck(commands)
    _add_learn(commands)
    _add_models(commands)
    _add_predict(commands)
    _add_prepare(commands)
    args = parser.parse_args(argv)
    try:
        status = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # `tinyalex ... | head`: nobody reads the rest
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # for Python, which flushes once more at its end
        return 1
    return status


def _add_doctor(commands: Any) -> None:
    p = commands.add_parser(
        "doctor", help="what is on this machine, whether it computes, and what to install if not"
    )
    p.set_defaults(run=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    from tinyalex.cli.doctor import examine

    findings, verdict, ready = examine()
    print(*findings, verdict, sep="\n")
    return 0 if ready else 1


def _add_explain(commands: Any) -> None:
    p = commands.add_parser(
        "explain",
        help="a CUDA kernel with what each line does to memory; runs on the CPU, with g++",
    )
    p.add_argument(
        "kernel", metavar="KERNEL", help="such as im2col, max_pool_backward or cross_entropy"
    )
    p.set_defaults(run=_explain)


def _explain(args: argparse.Namespace) -> int:
    from tinyalex.emulator.explain import explain

    try:
        print(explain(args.kernel))
    except (ValueError, RuntimeError) as error:
        print(f"tinyalex explain: {error}", file=sys.stderr)
        return 1
    return 0


LEARN = """Exercises to the lessons: a file with something to write, checks that say what is wrong with it, and help.

  tinyalex learn start 5       put the exercise of lesson 5 into my/
  tinyalex learn check 5       try what you have written
  tinyalex learn hint 5        the next of three hints; --level N for one of them
  tinyalex learn solution 5    a right answer
  tinyalex learn status        how far you are

The exit status of check is 0 if the answer is right, 1 if it is not (yet), and 2 if there is nothing to check.
"""


def _add_learn(commands: Any) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    p = commands.add_parser(
        "learn", help="exercises to the lessons", description=LEARN, formatter_class=raw
    )
    p.add_argument("action", choices=("start", "check", "hint", "solution", "status"))
    p.add_argument(
        "lesson", nargs="?", type=_whole, metavar="LESSON", help="its number; not for status"
    )
    p.add_argument("--level", type=int, choices=(1, 2, 3), help="of the hint")
    p.set_defaults(run=_learn)


def _learn(args: argparse.Namespace) -> int:
    try:
        text, status = _learned(args)
    except (ValueError, OSError) as error:
        print(f"tinyalex learn: {error}", file=sys.stderr)
        return 2
    print(text)
    return status


def _learned(args: argparse.Namespace) -> tuple[str, int]:
    """What there is to say, and the exit status."""
    from tinyalex import learning

    if args.action == "status":
        return learning.status(), 0
    if args.lesson is None:
        raise ValueError(f"which lesson? For example: tinyalex learn {args.action} 5")
    exercise = learning.find(args.lesson)
    if args.action == "check":
        verdict = learning.check(exercise)
        return verdict.text, {"right": 0, "not started": 2}.get(verdict.kind, 1)
    if args.action == "start":
        return learning.start(exercise), 0
    if args.action == "hint":
        return learning.hint(exercise, args.level), 0
    return exercise.solution.read_text(encoding="utf-8").rstrip(), 0


def _add_models(commands: Any) -> None:
    p = commands.add_parser(
        "models", help="the variants of AlexNet side by side, or the layers of one"
    )
    p.add_argument("variant", nargs="?", metavar="VARIANT")
    p.add_argument(
        "--draw", metavar="PNG", help="draw the variant as it is usually drawn, from its own sizes"
    )
    p.set_defaults(run=_models)


def _models(args: argparse.Namespace) -> int:
    from tinyalex import models, plots
    from tinyalex.cli.predict import model_summary, models_table

    try:
        print(model_summary(args.variant) if args.variant else models_table())
        if args.draw:
            variant = args.variant or "paper"
            plots.draw_network(models.alexnet(variant), args.draw, title=f"AlexNet, {variant}")
            print(f"drawn: {args.draw}")
    except (ValueError, OSError) as error:
        print(f"tinyalex models: {error}", file=sys.stderr)
        return 1
    return 0


PREDICT = """What a trained network sees in photos: its top five classes, with probabilities.

  tinyalex predict cat.jpg dog.jpg --weights torchvision            downloads torchvision's weights once (244 MB)
  tinyalex predict cat.jpg --weights runs/imagenet/best.safetensors
  tinyalex predict cat.jpg --weights bvlcalexnet-12.onnx --variant caffe --views 10

Weights are tinyalex's own files, torch's .pth, or ONNX; the file's contents decide. Nothing in them is executed.
"""


def _add_predict(commands: Any) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    p = commands.add_parser(
        "predict", help="the classes of photos", description=PREDICT, formatter_class=raw
    )
    p.add_argument("images", nargs="+", metavar="IMAGE")
    p.add_argument("--weights", required=True, metavar="FILE", help='a file, or "torchvision"')
    p.add_argument(
        "--variant", metavar="V", help="which network the weights are for, if the file does not say"
    )
    p.add_argument(
        "--image-size",
        type=_whole,
        metavar="S",
        help="if it was trained with images of another size",
    )
    p.add_argument(
        "--views",
        type=int,
        choices=(1, 10),
        default=1,
        help="10: average over the ten views of section 4.1",
    )
    p.add_argument(
        "--top", type=_whole, default=5, metavar="K", help="how many classes (default 5)"
    )
    p.add_argument(
        "--classes", metavar="FILE", help="their names, one a line, if they are not ImageNet's"
    )
    p.add_argument("--device", default="auto")
    p.add_argument(
        "--save", metavar="PNG", help="draw the photos with their bars, like the paper's figure 4"
    )
    p.set_defaults(run=_predict)


def _whole(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def _predict(args: argparse.Namespace) -> int:
    from tinyalex import device
    from tinyalex.cli import predict

    try:
        names = predict.read_names(args.classes) if args.classes else None
        model = predict.network(args.weights, args.variant, args.image_size).to(
            device.check(args.device)
        )
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        print(f"tinyalex predict: {str(error).removeprefix('predict: ')}", file=sys.stderr)
        return 2
    return predict.predict_files(
        model, args.images, top=args.top, views=args.views, names=names, figure=args.save
    )


PREPARE = """Turn pictures of all sizes and kinds into shards: tar archives of JPEG files whose shorter side has 256 pixels (section 2).

  tinyalex prepare photos/ shards/            photos/train/cat/1.jpg, photos/val/cat/2.jpg, ...
  tinyalex prepare ILSVRC2012/ shards/        the official tars as they were downloaded, and the devkit or Kaggle's LOC_val_solution.csv

A run that was stopped goes on where it was when it is started again. Pictures that cannot be read are left out, and named at the end.
"""


def _add_prepare(commands: Any) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    p = commands.add_parser(
        "prepare", help="pictures to train on, as shards", description=PREPARE, formatter_class=raw
    )
    p.add_argument(
        "source", metavar="SOURCE", help="the folder with the pictures, or with the official tars"
    )
    p.add_argument("out", metavar="OUT", help="a folder for the shards")
    p.add_argument(
        "--size",
        type=_whole,
        default=256,
        metavar="S",
        help="pixels of the shorter side (default 256)",
    )
    p.add_argument(
        "--quality",
        type=_whole,
        default=90,
        metavar="Q",
        help="of the JPEG files, from 1 to 95 (default 90)",
    )
    p.add_argument(
        "--per-shard",
        type=_whole,
        default=1000,
        metavar="N",
        help="pictures in a shard (default 1000)",
    )
    p.set_defaults(run=_prepare)


def _prepare(args: argparse.Namespace) -> int:
    from tinyalex.data.preparing import Options, prepare

    try:
        index = prepare(args.source, args.out, Options(args.size, args.quality, args.per_shard))
    except (ValueError, OSError, RuntimeError) as error:
        print(f"tinyalex prepare: {error}", file=sys.stderr)
        return 2
    for entry in index["skipped"]:
        print(f"left out: {entry['name']}: {entry['error']}")
    print(
        f"{len(index['classes'])} classes, {len(index['shards'])} shards in {args.out}, {len(index['skipped'])} pictures left out"
    )
    return 0


def _add_gradcheck(commands: Any) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    p = commands.add_parser(
        "gradcheck",
        help="check the backward pass of a layer",
        description=GRADCHECK,
        formatter_class=raw,
    )
    p.add_argument("layer", metavar="LAYER", help="module:name or file.py:name")
    p.add_argument(
        "--input",
        action=_Input,
        type=_normal,
        metavar="SHAPE",
        help="an input of random numbers, as in 2x7x3x3",
    )
    p.add_argument(
        "--integers",
        action=_Input,
        type=_integers,
        metavar="SHAPE:K",
        help="an input of random whole numbers below K",
    )
    p.add_argument(
        "--option",
        action="append",
        default=[],
        type=_option,
        metavar="NAME=VALUE",
        help="a keyword argument",
    )
    p.add_argument("--h", type=float, default=1e-5, help="the nudge (default 1e-5)")
    p.add_argument("--rtol", type=float, default=1e-5, help="relative tolerance (default 1e-5)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument(
        "--fast",
        action="store_true",
        help="a few random directions first; single elements where they fail",
    )
    p.set_defaults(run=_gradcheck, inputs=[])


class _Input(argparse.Action):
    """--input and --integers fill one list, in the order in which they are given."""

    def __call__(
        self, parser: Any, namespace: Any, values: Any, option_string: str | None = None
    ) -> None:
        namespace.inputs = [*namespace.inputs, values]


def _shape(text: str) -> tuple[int, ...]:
    if not all(size.isdigit() for size in text.split("x")):
        raise argparse.ArgumentTypeError(f"expected a shape such as 2x7x3x3, got {text!r}")
    return tuple(map(int, text.split("x")))


def _normal(text: str) -> Any:
    shape = _shape(text)
    return lambda random: random.standard_normal(shape)


def _integers(text: str) -> Any:
    shape_text, _, below = text.partition(":")
    if not below.isdigit() or int(below) == 0:
        raise argparse.ArgumentTypeError(
            f"expected a shape and how many numbers there are, such as 4:10, got {text!r}"
        )
    shape = _shape(shape_text)
    return lambda random: random.integers(0, int(below), shape)


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, such as n=5, got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value  # text need not be quoted: alpha_mode=sum


def _gradcheck(args: argparse.Namespace) -> int:
    try:
        layer = _find(args.layer)
        if not args.inputs:
            raise ValueError(
                "expected an input: --input SHAPE, as in --input 2x7x3x3, once for each of forward's"
            )
        random = np.random.default_rng(args.seed)
        inputs = [make(random) for make in args.inputs]
        f = _callable(layer, dict(args.option))
        report = gradcheck(
            f,
            inputs,
            h=args.h,
            rtol=args.rtol,
            seed=args.seed,
            fast=args.fast,
            raise_exception=False,
        )
    except Exception as error:  # whatever a layer under construction raises, it is the answer
        print(
            f"tinyalex gradcheck {args.layer}: {type(error).__name__}: {error}{_where(error)}",
            file=sys.stderr,
        )
        return 2
    print(report)
    return 2 if not report.rows else 0 if report.ok else 1


def _where(error: Exception) -> str:
    """The last line that was being executed in a file of the user's, if there was one: below the current folder, and no library's."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        elsewhere = (
            Path.cwd() not in file.parents,
            Path(__file__).parent in file.parents,
            "site-packages" in file.parts,
        )
        if file.exists() and not any(elsewhere):
            return f"\n  {file.relative_to(Path.cwd())}, line {frame.lineno}: {frame.line}"
    return ""


def _find(layer: str) -> Any:
    """What `module:name` or `file.py:name` names. Modules in the current folder are found, as with `python -m`."""
    place, _, name = layer.rpartition(":")
    if not place or not name:
        raise ValueError("expected module:name or file.py:name, such as mylayers:Scale")
    path = Path(place)
    if path.suffix == ".py" and not path.exists():
        raise ValueError(f"there is no file {place}")
    sys.path.insert(0, str(path.resolve().parent if path.suffix == ".py" else Path.cwd()))
    module = importlib.import_module(path.stem if path.suffix == ".py" else place)
    if not hasattr(module, name):
        raise ValueError(
            f"{place} has no {name}; it has {', '.join(n for n in vars(module) if not n.startswith('_'))}"
        )
    return getattr(module, name)


def _callable(layer: Any, options: dict[str, Any]) -> Any:
    """A function of the inputs alone. A Module takes the options when it is made, a Function when it is applied."""
    if isinstance(layer, type) and issubclass(layer, Module):
        return layer(**options)
    if isinstance(layer, type) and issubclass(layer, Function):
        return _Applied(layer, options) if options else layer.apply
    return _Applied(layer, options) if options else layer


class _Applied:
    """A Function or function with its options filled in, under its own name."""

    def __init__(self, layer: Any, options: dict[str, Any]) -> None:
        self.layer, self.options, self.__name__ = layer, options, layer.__name__
        self.forward = getattr(layer, "forward", layer)  # whose signature names the inputs

    def __call__(self, *inputs: Any) -> Any:
        return getattr(self.layer, "apply", self.layer)(*inputs, **self.options)
