"""CUDA C++ to the C++ of `include/cuda_on_cpu.h`.

The preprocessor does nearly all of it. Two things are beyond it: `extern __shared__ T name[]`, which has no size, and telling the machine
of each `__shared__` array, so that it can be made worthless before each block. Neither adds or removes a line.
"""

import re
from collections.abc import Sequence

from tinyalex.emulator.errors import CompileError

_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.S)
_DYNAMIC_SHARED = re.compile(
    r"extern\s+__shared__\s+(?:(?:__align__|alignas)\s*\([^)]*\)\s*)?([\w:<>\s]+?)\s*\b(\w+)\s*\[\s*\]\s*;"
)
_STATIC_SHARED = re.compile(r"(?<!extern )__shared__\s+([^;={}()]*?\b(\w+)\s*(?:\[[^;]*?\])*\s*;)")
_BOUNDS = r"__launch_bounds__\s*\([^)]*\)\s*"
_KERNEL = re.compile(rf"__global__\s+(?:{_BOUNDS})?void\s+(?:{_BOUNDS})?(\w+)\s*\(")
_TEMPLATE = re.compile(r"template\s*<[^;{}()]*>\s*(?:static\s+)?$")


def kernels_of(code: str, file: str, names: Sequence[str]) -> tuple[str, ...]:
    """The kernels to build: those without a template, and the instantiations `names`.

    Raises CompileError if a name is not that of a template in the code.
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
                f"{file}: expected a kernel for the name {name!r}; the templates are {templates or 'none'}."
            )
    return tuple(dict.fromkeys([*plain, *names]))


def translate(code: str, file: str, kernels: Sequence[str]) -> str:
    """A whole translation unit: the machine, the code, and for each of the kernels a function that launches it."""
    launchers = [
        f"int launch_{i}(cuda_on_cpu::Launch* launch, void** arguments) {{\n"
        f"  return cuda_on_cpu::Kernel<&{name}>::launch(launch, arguments);\n}}\n"
        f"const char* signature_{i}() {{ return cuda_on_cpu::Kernel<&{name}>::signature(); }}\n"
        for i, name in enumerate(kernels)
    ]
    code = blank_comments(code)
    code = _DYNAMIC_SHARED.sub(r"\1* \2 = cuda_on_cpu::dynamic_shared<\1>();", code)
    code = _STATIC_SHARED.sub(_shared_array, code)
    return "\n".join(
        [
            '#include "cuda_on_cpu.h"',
            f'#line 1 "{file}"',
            code,
            '#line 1 "<launchers>"',
            'extern "C" {',
            *launchers,
            "}",
            "",
        ]
    )


def _shared_array(match: re.Match[str]) -> str:
    """A declaration of static shared memory between guards, and for the machine the place of each array in it."""
    declaration, last = match[1], match[2]
    placed = f"static struct {{ cuda_on_cpu::Guard before; {declaration} cuda_on_cpu::Guard behind; }} guarded_{last};"
    names = re.findall(r"(\w+)\s*(?:\[[^],;]*\]\s*)*[,;]", re.sub(r"<[^<>]*>", "", declaration))
    told = (
        f"auto& {n} = guarded_{last}.{n}; static cuda_on_cpu::RegisterShared registers_{n}(&{n}, sizeof({n}));"
        for n in names
    )
    return " ".join([placed, *told])


def blank_comments(code: str) -> str:
    """The code with blanks in the place of its comments, so that every line and column stays where it is."""

    def blank(match: re.Match[str]) -> str:
        return match[0] if match[0].startswith('"') else re.sub(r"[^\n]", " ", match[0])

    return _COMMENT.sub(blank, code)
