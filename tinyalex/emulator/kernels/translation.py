"""CUDA C++ to the C++ of `include/cuda_on_cpu.h`.

The preprocessor does most of it. Three constructs are rewritten here: `extern
__shared__ T name[]`, which has no size; static `__shared__` arrays, which are
registered to be reset before each block; and `__launch_bounds__`, which is checked.
Line numbers do not change.
"""

import re
from collections.abc import Sequence

from tinyalex.emulator.errors import CompileError

_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.S)
_DYNAMIC_SHARED = re.compile(
    r"extern\s+__shared__\s+(?:(?:__align__|alignas)\s*\([^)]*\)\s*)?"
    r"([\w:<>\s]+?)\s*\b(\w+)\s*\[\s*\]\s*;"
)
_STATIC_SHARED = re.compile(
    r"(?<!extern )__shared__\s+((?:(?:__align__|alignas)\s*\([^)]*\)\s*)?"
    r"[^;={}()]*?\b(\w+)\s*(?:\[[^;]*?\])*\s*;)"
)
_BOUNDS = r"__launch_bounds__\s*\((?:[^()]|\([^()]*\))*\)"
_KERNEL = re.compile(rf"__global__\s+(?:{_BOUNDS}\s*)?void\s+(?:{_BOUNDS}\s*)?(\w+)\s*\(")
_BODY = re.compile(r"\s*\{")
_TEMPLATE = re.compile(r"template\s*<[^;{}()]*>\s*(?:static\s+)?$")


def kernels_of(code: str, file: str, names: Sequence[str]) -> tuple[str, ...]:
    """The kernels to build: those without a template, and the instantiations `names`.

    Raises CompileError if a name is not that of a kernel in the code.
    """
    code = blank_comments(code)
    plain: list[str] = []
    templates: list[str] = []
    for match in _KERNEL.finditer(code):
        is_template = _TEMPLATE.search(code[: match.start()])
        (templates if is_template else plain).append(match[1])
    for name in names:
        if name.partition("<")[0].strip() not in [*templates, *plain]:
            raise CompileError(
                f"{file}: expected a kernel for the name {name!r}; "
                f"the templates are {templates or 'none'}."
            )
    return tuple(dict.fromkeys([*plain, *names]))


def translate(code: str, file: str, kernels: Sequence[str]) -> str:
    """The header, the code, and a function for each kernel that launches it."""
    launchers = [
        f"int launch_{i}(on_cpu::Launch* launch, void** arguments) {{\n"
        f"  return on_cpu::Kernel<&{name}>::launch(launch, arguments);\n}}\n"
        f"const char* signature_{i}() {{ return on_cpu::Kernel<&{name}>::signature(); }}\n"
        for i, name in enumerate(kernels)
    ]
    names = "".join(f'"{name}\\n"' for name in kernels) or '""'
    launchers.append(f"const char* kernel_names() {{ return {names}; }}\n")
    code = blank_comments(code)
    code = _check_launch_bounds(code)
    code = _DYNAMIC_SHARED.sub(r"\1* \2 = on_cpu::dynamic_shared<\1>();", code)
    code = _STATIC_SHARED.sub(_shared_array, code)
    return (
        f'#include "cuda_on_cpu.h"\n#line 1 "{file}"\n{code}\n'
        f'#line 1 "<launchers>"\nextern "C" {{\n{"".join(launchers)}}}\n'
    )


def _check_launch_bounds(code: str) -> str:
    """Insert a check at the start of each kernel with __launch_bounds__.

    There, and not next to the launcher, the bounds may depend on template parameters.
    """
    parts, done = [], 0
    for kernel in _KERNEL.finditer(code):
        bounds = re.search(_BOUNDS, kernel[0])
        body = _BODY.match(code, _closing(code, kernel.end() - 1)) if bounds else None
        if bounds and body:
            check = bounds[0].replace("__launch_bounds__", "on_cpu::check_launch_bounds")
            parts += [code[done : body.end()], f" {check};"]
            done = body.end()
    return "".join([*parts, code[done:]])


def _closing(code: str, opening: int) -> int:
    """The position after the parenthesis that closes the one at `opening`."""
    depth = 0
    for i in range(opening, len(code)):
        depth += (code[i] == "(") - (code[i] == ")")
        if depth == 0:
            return i + 1
    return len(code)


def _shared_array(match: re.Match[str]) -> str:
    """Static shared memory between guards, with its arrays registered."""
    declaration, last = match[1], match[2]
    names = re.findall(r"(\w+)\s*(?:\[[^],;]*\]\s*)*[,;]", re.sub(r"<[^<>]*>", "", declaration))
    guarded, guard = f"guarded_{last}", "on_cpu::Guard"
    parts = [f"static struct {{ {guard} before; {declaration} {guard} after; }} {guarded};"]
    for name in names:
        register = f"static on_cpu::RegisterShared register_{name}(&{name}, sizeof({name}));"
        parts.append(f"auto& {name} = {guarded}.{name}; {register}")
    return " ".join(parts)


def blank_comments(code: str) -> str:
    """The code with blanks instead of comments: line and column numbers stay valid."""

    def blank(match: re.Match[str]) -> str:
        return match[0] if match[0].startswith('"') else re.sub(r"[^\n]", " ", match[0])

    return _COMMENT.sub(blank, code)
