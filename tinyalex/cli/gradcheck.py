"""Compare the backward pass of your own layer with finite differences.

  tinyalex gradcheck mylayers:Scale --input 2x3x4x4 --input 3
  tinyalex gradcheck mylayers.py:MyLRN --input 2x7x3x3 --option n=5 --option k=2.0
  tinyalex gradcheck tinyalex.functional:cross_entropy --input 4x5 --integers 4:5

LAYER is a module (or a .py file), a colon, and the name of a Function, a Module, or a
function of tensors in it. The exit status is 0 if all gradients are correct, 1 if not,
and 2 if they could not be checked.
"""

import argparse
import ast
import importlib.util
import math
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinyalex.cli.options import Commands, add_command, positive_number, quoted, seed
from tinyalex.data.text_files import printable_lines
from tinyalex.function import Function
from tinyalex.gradient_check.check import gradcheck
from tinyalex.nn import Module

MAX_ELEMENTS = 10**7
"""Of an input. Checking each of more elements would take days."""

MakeInput = Callable[[np.random.Generator], np.ndarray]


def add_parser(commands: Commands) -> None:
    p = add_command(commands, "gradcheck", run, __doc__)
    p.add_argument("layer", metavar="LAYER", help="module:name or file.py:name")
    p.add_argument(
        "--input",
        action="append",
        dest="inputs",
        default=[],
        type=_normal,
        metavar="SHAPE",
        help="an input of normally distributed values, such as 2x7x3x3",
    )
    p.add_argument(
        "--integers",
        action="append",
        dest="inputs",
        default=[],
        type=_integers,
        metavar="SHAPE:K",
        help="an input of random integers from 0 to K - 1",
    )
    p.add_argument(
        "--option",
        action="append",
        default=[],
        type=_option,
        metavar="NAME=VALUE",
        help="a keyword argument",
    )
    p.add_argument("--h", type=positive_number, default=1e-5, help="the step (default 1e-5)")
    p.add_argument(
        "--rtol", type=positive_number, default=1e-5, help="relative tolerance (default 1e-5)"
    )
    p.add_argument("--seed", type=seed, default=0)
    p.add_argument(
        "--fast",
        action="store_true",
        help="check random directions first, single elements only where these fail",
    )


def run(args: argparse.Namespace) -> int:
    try:
        if not args.inputs:
            raise ValueError(
                "expected --input SHAPE, such as --input 2x7x3x3, for each input of forward"
            )
        layer = _find(args.layer)
        rng = np.random.default_rng(args.seed)
        report = gradcheck(
            _with_options(layer, dict(args.option)),
            [make(rng) for make in args.inputs],
            h=args.h,
            rtol=args.rtol,
            seed=args.seed,
            fast=args.fast,
            raise_exception=False,
        )
    except Exception as error:  # an unfinished layer may raise anything
        text = f"{args.layer[:60]}: {type(error).__name__}: {error}{_position(error)}"
        print(printable_lines(f"tinyalex gradcheck {text}"), file=sys.stderr)
        return 2
    print(report)
    return 2 if not report.rows else 0 if report.ok else 1


def _shape(text: str) -> tuple[int, ...]:
    sizes = text.split("x")
    if not all(size.isdecimal() and len(size) < 10 for size in sizes) or len(sizes) > 64:
        raise argparse.ArgumentTypeError(f"expected a shape such as 2x7x3x3, got {quoted(text)}")
    shape = tuple(map(int, sizes))
    if math.prod(shape) > MAX_ELEMENTS:
        raise argparse.ArgumentTypeError(
            f"expected at most {MAX_ELEMENTS:,} elements, got {quoted(text)}"
        )
    return shape


def _normal(text: str) -> MakeInput:
    shape = _shape(text)
    return lambda rng: rng.standard_normal(shape)


def _integers(text: str) -> MakeInput:
    shape_text, _, bound = text.partition(":")
    if not bound.isdecimal() or len(bound) > 18 or int(bound) == 0:
        raise argparse.ArgumentTypeError(
            f"expected a shape and an upper bound, such as 4:10, got {quoted(text)}"
        )
    shape = _shape(shape_text)
    return lambda rng: rng.integers(0, int(bound), shape)


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, such as n=5, got {quoted(text)}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError, RecursionError, MemoryError):  # of very long values
        return name, value  # strings need no quotes: alpha_mode=sum


def _position(error: Exception) -> str:
    """The last line executed in a file of the user, or "".

    The user's files are those in the current folder, without installed packages.
    """
    here = Path.cwd()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        installed = "site-packages" in file.parts or Path(__file__).parent in file.parents
        if file.exists() and here in file.parents and not installed:
            return f"\n  {file.relative_to(here)}, line {frame.lineno}: {frame.line}"
    return ""


def _find(layer: str) -> Any:
    """The object that `module:name` or `file.py:name` refers to.

    Modules are found in the current folder too, as with `python -m`.
    """
    source, _, name = layer.rpartition(":")
    if not source or not name:
        raise ValueError("expected module:name or file.py:name, such as mylayers:Scale")
    path = Path(source)
    is_file = path.suffix == ".py"
    if is_file and not path.is_file():
        raise ValueError(f"there is no file {source}")
    sys.path.insert(0, str(path.resolve().parent if is_file else Path.cwd()))
    module = _module(path) if is_file else importlib.import_module(source)
    if not hasattr(module, name):
        names = ", ".join(n for n in vars(module) if not n.startswith("_"))
        raise ValueError(f"{source} has no {name}; it has {names}")
    return getattr(module, name)


def _module(file: Path) -> ModuleType:
    """Under a name of its own: `signal.py` is not the standard library's `signal`."""
    spec = importlib.util.spec_from_file_location(f"_gradcheck_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _with_options(layer: Any, options: dict[str, Any]) -> Any:
    """The layer as a function of its inputs alone.

    A Module takes the options when it is created, a Function when it is applied.
    """
    if isinstance(layer, type) and issubclass(layer, Module):
        return layer(**options)
    return _Applied(layer, options) if options else layer  # gradcheck applies a Function itself


class _Applied:
    """A Function or a function with keyword arguments bound, under its own name."""

    def __init__(self, layer: Any, options: dict[str, Any]) -> None:
        is_class = isinstance(layer, type) and issubclass(layer, Function)
        self.apply = layer.apply if is_class else layer
        self.forward = layer.forward if is_class else layer  # its signature names the inputs
        self.options, self.__name__ = options, layer.__name__

    def __call__(self, *inputs: Any) -> Any:
        return self.apply(*inputs, **self.options)
