"""The reference: a page for each kind of layer, and one for each package."""

import importlib
import inspect
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import plain_text
from sphinx.pycode import ModuleAnalyzer

from tinyalex import functional, nn, ops
from tinyalex.function import Function
from tinyalex.tensor import Tensor

LAYERS = {
    "convolution": "Convolution",
    "locally_connected": "Locally connected layer",
    "activation": "ReLU, tanh and sigmoid",
    "leaky_relu": "Leaky ReLU",
    "gelu": "GELU",
    "normalization": "Response normalization",
    "batch_normalization": "Batch normalization",
    "layer_normalization": "Layer normalization",
    "pooling": "Max and average pooling",
    "adaptive_pooling": "Adaptive average pooling",
    "linear": "Fully connected layer",
    "dropout": "Dropout",
    "softmax": "Softmax",
    "unit_vectors": "Vectors of length 1",
    "one_hot_vectors": "One-hot vectors",
    "loss": "Cross-entropy loss",
    "negative_log_likelihood": "Negative log-likelihood",
    "logistic_loss": "Binary cross-entropy",
    "regression_loss": "Squared and absolute errors",
    "flattening": "Flattening",
    "padding": "Padding",
    "joining": "Concatenation",
}
"""The titles of the pages of layers, by the file in `functional`."""

PACKAGES = {
    "tensor": ("Tensor", ["tinyalex.Tensor"]),
    "creation": ("New tensors", ["tinyalex.creation"]),
    "functions": (
        "Functions of tensors",
        [
            *("tinyalex.cat", "tinyalex.stack", "tinyalex.where", "tinyalex.max", "tinyalex.min"),
            *("tinyalex.transpose", "tinyalex.is_tensor"),
        ],
    ),
    "function": (
        "Function",
        [
            *("tinyalex.Function", "tinyalex.no_grad", "tinyalex.enable_grad"),
            *("tinyalex.set_grad_enabled", "tinyalex.is_grad_enabled"),
        ],
    ),
    "autocast": ("Half precision", ["tinyalex.autocast", "tinyalex.GradScaler"]),
    "gradcheck": (
        "gradcheck",
        [
            "tinyalex.gradcheck",
            "tinyalex.gradient_check.Report",
            "tinyalex.gradient_check.GradcheckError",
        ],
    ),
    "nn": (
        "Module and initial values",
        [
            "tinyalex.nn.Module",
            "tinyalex.nn.Parameter",
            "tinyalex.nn.Sequential",
            "tinyalex.nn.ModuleList",
            "tinyalex.nn.Identity",
            "tinyalex.nn.init",
            "tinyalex.nn.utils",
        ],
    ),
    "optim": ("optim: optimizers and schedules", ["tinyalex.optim"]),
    "data": ("data: datasets and batches", ["tinyalex.data", "tinyalex.utils.data"]),
    "models": ("models: AlexNet and its variants", ["tinyalex.models"]),
    "training": ("training: the training loop", ["tinyalex.training"]),
    "parallel": ("parallel: several processes", ["tinyalex.parallel"]),
    "plots": ("plots: figures", ["tinyalex.plots"]),
    "other": (
        "Devices, seeds and files",
        [
            *("tinyalex.cuda_is_available", "tinyalex.manual_seed", "tinyalex.save"),
            *("tinyalex.load", "tinyalex.set_fast", "tinyalex.fast"),
        ],
    ),
}
"""Title and documented names of each page; of a package, all its public names."""

EARLIER_NAMES = {"tinyalex.data.StoredPictures", "tinyalex.data.find_pictures"}


@dataclass
class Layer:
    """A function of `functional`, and everything that belongs to it."""

    name: str
    function: Any
    operations: list[type[Function]]
    naive: list[str]
    modules: list[str] = field(default_factory=list)


def layer_files() -> dict[str, ModuleType]:
    """The modules of `functional` with a public function. ValueError for a new one."""
    names = {getattr(functional, name).__module__.rpartition(".")[2] for name in functional.__all__}
    if names != LAYERS.keys():
        raise ValueError(f"LAYERS must have a title for each of {', '.join(sorted(names))}.")
    return {name: importlib.import_module(f"tinyalex.functional.{name}") for name in LAYERS}


def layers(module: ModuleType) -> list[Layer]:
    """The public functions of a file in its order, with their Functions and Modules."""
    names = [name for name in vars(module) if name in functional.__all__ and is_own(module, name)]
    operations = [
        value
        for name, value in vars(module).items()
        if is_own(module, name) and inspect.isclass(value) and issubclass(value, Function)
    ]
    naive = [name for name in vars(module) if name.endswith("_naive") and name[0] != "_"]
    return [
        Layer(
            name,
            getattr(module, name),
            operations
            if len(names) == 1
            else [o for o in [*operations, ops.Tanh] if same(o.__name__, name)],
            [n for n in naive if len(names) == 1 or n == f"{name}_naive"],
            [m for m in nn.__all__ if f"`functional.{name}`" in (getattr(nn, m).__doc__ or "")],
        )
        for name in names
    ]


def is_own(module: ModuleType, name: str) -> bool:
    return getattr(vars(module)[name], "__module__", None) == module.__name__


def same(class_name: str, function_name: str) -> bool:
    """Whether a class has the name of a function: MaxPool2d, max_pool2d."""
    return class_name.lower() == function_name.replace("_", "")


def public_names(entries: list[str]) -> list[str]:
    """The full names of these objects; of a module, those in its __all__."""
    names = []
    for entry in entries:
        found = find(entry)
        if isinstance(found, ModuleType):
            defined = [n for n, v in vars(found).items() if getattr(v, "__module__", "") == entry]
            listed = getattr(found, "__all__", [n for n in defined if n[0] != "_"])
            names += [f"{entry}.{name}" for name in listed]
        else:
            names.append(entry)
    return [
        name for name in names if name not in EARLIER_NAMES and not inspect.ismodule(find(name))
    ]


def find(name: str) -> Any:
    """The object with this full name: an attribute of its package, else a module."""
    package, _, attribute = name.rpartition(".")
    if hasattr(parent := importlib.import_module(package), attribute):
        return getattr(parent, attribute)
    return importlib.import_module(name)


def documented() -> dict[str, Any]:
    """Every object of the reference, by the full name under which it is listed."""
    names = [f"tinyalex.functional.{name}" for name in functional.__all__]
    for module in layer_files().values():
        names += [f"tinyalex.nn.{m}" for layer in layers(module) for m in layer.modules]
    for _, entries in PACKAGES.values():
        names += public_names(entries)
    return {name: find(name) for name in names}


def resolver() -> plain_text.Resolve:
    """Finds documented objects by the ends of their full names, if unique.

    Not by words such as `relu`, which are names of arguments too.
    """
    ends: dict[str, set[str]] = {}
    for full in documented():
        parts = full.split(".")
        for start in range(len(parts)):
            ends.setdefault(".".join(parts[start:]), set()).add(full)

    def resolve(name: str) -> str | None:
        found = ends.get(name.removeprefix("ta."), set())
        is_word = name.isalpha() and name.islower()
        return next(iter(found)) if len(found) == 1 and not is_word else None

    return resolve


def source_pages() -> set[str]:
    """The modules that define documented objects: the site shows their source."""
    inherited = [base for base in Tensor.__mro__ if base is not object]
    values = [*documented().values(), *inherited]
    return {value.__module__ for value in values if hasattr(value, "__module__")}


# Pages


def pages() -> dict[str, str]:
    """The reference's pages as reStructuredText, by their names."""
    resolve = resolver()
    made = {"reference/layers/index": layers_index()}
    for name, module in layer_files().items():
        made[f"reference/layers/{name}"] = layer_page(LAYERS[name], module, resolve)
    for name, (title, entries) in PACKAGES.items():
        made[f"reference/{name}"] = package_page(title, entries, resolve)
    return made


def heading(text: str, underline: str) -> list[str]:
    return [text, underline * len(text), ""]


def summary(text: str | None) -> str:
    """The first paragraph of a docstring, without the period."""
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split()).rstrip(".")


def layers_index() -> str:
    rows = []
    for name, module in layer_files().items():
        for layer in layers(module):
            made = ", ".join(f":py:obj:`nn.{m} <tinyalex.nn.{m}>`" for m in layer.modules)
            text = plain_text.paragraph(summary(layer.function.__doc__), lambda _: None)
            link = f":doc:`functional.{layer.name} <{name}>`"
            rows += [f"   * - {link}", f"     - {made or '–'}", f"     - {text}"]
    return "\n".join(
        [
            *heading("Layers", "="),
            "Each layer is a function in ``tinyalex.functional`` and, where networks use it, a",
            "Module in ``tinyalex.nn``. A layer's page has its formula with the shapes of the",
            "arrays, the gradients, a naive version in loops, and the code of the forward and",
            "backward pass. Names and arguments are those of PyTorch.",
            "",
            *(
                ".. list-table::",
                "   :header-rows: 1",
                "   :widths: 30 25 45",
                "",
                "   * - function",
            ),
            *("     - Module", "     - result", *rows, ""),
            *(".. toctree::", "   :hidden:", "", *(f"   {name}" for name in layer_files()), ""),
        ]
    )


def layer_page(title: str, module: ModuleType, resolve: plain_text.Resolve) -> str:
    lines = [*heading(title, "="), *plain_text.to_rst(module.__doc__ or "", resolve)]
    found = layers(module)
    for layer in found:
        if len(found) > 1:
            lines += heading(layer.name, "-")
        lines += layer_section(layer, "-" if len(found) == 1 else "~", resolve)
    return "\n".join(lines)


def layer_section(layer: Layer, underline: str, resolve: plain_text.Resolve) -> list[str]:
    lines = []
    if layer.operations:
        lines += heading("Formula", underline)
        for operation in layer.operations:
            if len(layer.operations) > 1:
                lines += [f"``{operation.__name__}``:", ""]
            lines += plain_text.to_rst(operation.__doc__ or "", resolve)
        for name in layer.naive:
            lines += folded_source("Naive version", layer.function.__module__, name)
        for operation in layer.operations:
            title = f"Forward and backward pass: class {operation.__name__}"
            lines += folded_source(title, operation.__module__, operation.__name__)
    lines += heading("Function", underline)
    lines += [f".. autofunction:: tinyalex.functional.{layer.name}", ""]
    if layer.modules:
        lines += heading("Module", underline)
        for name in layer.modules:
            lines += [f".. autoclass:: tinyalex.nn.{name}", ""]
    return lines


def folded_source(title: str, module: str, name: str) -> list[str]:
    source = inspect.getsource(getattr(importlib.import_module(module), name))
    return [
        f".. dropdown:: {title}",
        "",
        "   .. code-block:: python",
        "",
        *(f"      {line}".rstrip() for line in source.splitlines()),
        "",
    ]


def package_page(title: str, entries: list[str], resolve: plain_text.Resolve) -> str:
    lines = heading(title, "=")
    module = find(entries[0])
    if len(entries) == 1 and isinstance(module, ModuleType):
        lines += plain_text.to_rst(module.__doc__ or "", resolve)
    for name in public_names(entries):
        lines += described(name, resolve)
    return "\n".join(lines)


def described(name: str, resolve: plain_text.Resolve) -> list[str]:
    """The directive of an object, with its docstring."""
    value = find(name)
    if inspect.isclass(value):
        # The methods of Tensor are those of its base classes, one for each topic.
        inherited = ["   :inherited-members: GraphTensor"] if value is Tensor else []
        return [f".. autoclass:: {name}", "   :members:", *inherited, ""]
    if callable(value):
        return [f".. autofunction:: {name}", ""]
    text = plain_text.to_rst(text_of_constant(name), resolve)
    return [f".. py:data:: {name}", "", *(f"   {line}".rstrip() for line in text), ""]


def text_of_constant(name: str) -> str:
    """The string below the assignment of a constant, in a module of its package."""
    package, _, constant = name.rpartition(".")
    for module in [m for m in sys.modules if m.startswith(f"{package}.")]:
        if (key := ("", constant)) in (found := ModuleAnalyzer.for_module(module).find_attr_docs()):
            return "\n".join(found[key])
    raise ValueError(f"{name} has no text below its assignment.")
