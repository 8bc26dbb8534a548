"""Imports: only NumPy at first, CuPy in two packages, dependencies in one direction."""

import ast
import graphlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "tinyalex"

# fmt: off
ORDER = [
    "installation", "cache", "device", "dtypes", "equivalents", "cuda", "modes", "graph_tensor", "returned_gradients", "function", "kernels", "ops", "mixed_precision", "methods", "tensor", "creation", "serialization", "pickles", "functional", "functions",
    "gradient_check", "nn", "optim", "data", "utils", "models",
    "training", "parallel", "emulator", "plots", "course", "cli", "__main__",
]
# fmt: on
"""The packages and modules of tinyalex. Each may import those before it."""

NARROW = {
    "data": {
        "installation",
        "cache",
        "device",
        "function",
        "modes",
        "kernels",
        "ops",
        "tensor",
        "serialization",
        "pickles",
    },
    "utils": {"creation", "device", "equivalents", "tensor", "data"},
    "optim": {"device", "equivalents", "function", "modes", "kernels", "ops", "tensor"},
}
"""Packages that may import only these."""

OPTIONAL = [
    "cupy",
    "onnx",
    "matplotlib",
    "PIL",
    "tqdm",
    "safetensors",
    "scipy",
    "pooch",
    "platformdirs",
    "torch",
    "mpi4py",
]
"""Libraries that are imported on first use."""


def module_name(file):
    parts = file.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imports(file):
    """The modules that a file imports. `from a import b` is a.b if that is a module."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = (
                module_name(file)
                if file.name == "__init__.py"
                else module_name(file).rpartition(".")[0]
            )
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                name = f"{source}.{alias.name}"
                yield name if name in FILES else source


def package_of(module):
    """The package of a module: `nn` of tinyalex.nn.init, "" of tinyalex/__init__.py.

    A __main__ is a program, which no module imports.
    """
    if module.endswith(".__main__"):
        return "__main__"
    return module.split(".")[1] if "." in module else ""


def inside(module):
    return module.split(".")[0] == "tinyalex"


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


def test_import_tinyalex_imports_no_optional_library():
    result = run(
        f"import sys, tinyalex; print([name for name in {OPTIONAL} if name in sys.modules])"
    )
    assert (result.stdout.strip(), result.stderr) == ("[]", "")


def test_autograd_requires_no_library_except_numpy():
    program = f"""if True:
        import sys
        for name in {[*OPTIONAL, "threadpoolctl"]}:
            sys.modules[name] = None   # `import name` raises ImportError
        import tinyalex as ta
        x = ta.Tensor([1.0, 2.0], requires_grad=True)
        (x * x).sum().backward()
        print(x.grad.tolist())
    """
    result = run(program)
    assert (result.stdout.strip(), result.stderr) == ("[2.0, 4.0]", "")


def test_cupy_is_imported_by_device_and_kernels_only():
    scripts = [*REPOSITORY.glob("*.py"), *REPOSITORY.glob("lessons/**/*.py"), *FILES.values()]
    allowed = [PACKAGE / "device", PACKAGE / "kernels"]
    others = [file for file in scripts if not any(map(file.is_relative_to, allowed))]
    for file in others:
        assert "cupy" not in {module.split(".")[0] for module in imports(file)}, file


def test_every_listed_package_exists():
    parts = {package_of(module) for module in FILES} - {""}
    assert set(ORDER) == parts
    assert len(ORDER) == len(parts), "a package is listed twice"
    assert {*NARROW, *set().union(*NARROW.values())} <= parts


@pytest.mark.parametrize("module", FILES)
def test_a_package_imports_only_those_before_it(module):
    here = package_of(module)
    if here == "":
        return
    assert here in ORDER, f"{module} is in a new package of tinyalex: add it to ORDER"
    allowed = NARROW.get(here, set(ORDER[: ORDER.index(here)])) | {here}
    wrong = [
        target
        for target in imports(FILES[module])
        if inside(target) and package_of(target) not in allowed
    ]
    assert wrong == [], f"{module} may import {sorted(allowed)}"


def test_there_are_no_import_cycles():
    graph = {
        module: {target for target in imports(file) if target in FILES}
        for module, file in FILES.items()
    }
    list(graphlib.TopologicalSorter(graph).static_order())
