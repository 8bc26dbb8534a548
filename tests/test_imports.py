"""What may import what: NumPy alone to begin with, cupy in one place, and dependencies in one direction."""

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
    "device", "function", "kernels", "ops", "tensor", "serialization", "functional", "gradient_check", "nn", "optim", "data", "models",
    "training", "emulator", "plots", "learning", "cli", "__main__",
]
# fmt: on
"""The parts of tinyalex. Each may use what stands before it here."""

NARROW = {
    "data": {"device", "function", "kernels", "ops", "tensor", "serialization"},
    "optim": {"device", "function", "kernels", "ops", "tensor"},
}
"""Parts that may use these and no others."""

LATE = ["cupy", "onnx", "matplotlib", "PIL", "tqdm", "safetensors", "scipy", "pooch", "torch"]
"""Libraries that are imported when they are needed."""


def module_name(file):
    parts = file.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imports(file):
    """The modules that a file imports, at its top or inside a function: `from a import b` is a.b if that is a module, else a."""
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


def part(module):
    """`conv` of tinyalex.conv.x; "" is tinyalex/__init__.py, the face that stands above all parts."""
    return module.split(".")[1] if "." in module else ""


def inside(module):
    return module.split(".")[0] == "tinyalex"


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


def test_import_tinyalex_leaves_the_other_libraries_alone():
    result = run(f"import sys, tinyalex; print([name for name in {LATE} if name in sys.modules])")
    assert (result.stdout.strip(), result.stderr) == ("[]", "")


def test_the_engine_runs_where_numpy_is_all_there_is():
    program = f"""if True:
        import sys
        for name in {[*LATE, "threadpoolctl"]}:
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
    who = {
        file.relative_to(REPOSITORY)
        for file in scripts
        for module in imports(file)
        if module.split(".")[0] == "cupy"
    }
    assert {
        file
        for file in who
        if file.parts[:2] not in {("tinyalex", "device"), ("tinyalex", "kernels")}
    } == set()


@pytest.mark.parametrize("module", FILES)
def test_dependencies_point_one_way(module):
    here = part(module)
    if here == "":
        return
    assert here in ORDER, f"{module} is a new part of tinyalex: give it its place in ORDER"
    allowed = NARROW.get(here, set(ORDER[: ORDER.index(here)])) | {here}
    wrong = [
        target
        for target in imports(FILES[module])
        if inside(target) and part(target) not in allowed
    ]
    assert wrong == [], f"{module} may use {sorted(allowed)}"


def test_no_module_imports_itself_by_way_of_others():
    graph = {
        module: {target for target in imports(file) if target in FILES}
        for module, file in FILES.items()
    }
    list(graphlib.TopologicalSorter(graph).static_order())
