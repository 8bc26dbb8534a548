"""tinyalex's docstrings, plain text with a fixed layout, as reStructuredText.

prose, with names in backticks     a paragraph; names of the reference are links
indented lines                     a literal block: formulas and commands
y = max(0, x).  dx = dy where ...  a paragraph of formulas: a literal block
name      text that continues      a definition list
          here
- item                             a bullet list
>>> code                           a doctest
"""

import inspect
import re
import textwrap
from collections.abc import Callable

Resolve = Callable[[str], str | None]
"""The full name of a documented object, from a name as it is written."""

FORMULA = re.compile(r"d?[a-z]\w*(\[[^]]*\])? +=[ ]")
DEFINITION = re.compile(r"(?P<names>[*\w][\w*.]*(, [*\w][\w*.]*)*)(  +(?P<text>\S.*))?$")
CODE = re.compile(r"`([^`]+)`")
MARKDOWN = re.compile(r"([\\*_$<>\[\]#])")
"""Characters that are markup in Markdown."""


def to_rst(text: str, resolve: Resolve = lambda name: None) -> list[str]:
    """The lines of `text`, a docstring, as reStructuredText."""
    rst: list[str] = []
    for block in blocks(inspect.cleandoc(text)) if text.strip() else []:
        rst += [*render(block, resolve), ""]
    return rst


def to_markdown(text: str) -> str:
    """Paragraphs and indented code as Markdown."""
    parts = []
    for block in blocks(inspect.cleandoc(text)):
        if block[0].startswith(" "):
            code = textwrap.dedent("\n".join(block))
            parts.append(f"```text\n{code}\n```")
        else:
            pieces = CODE.split(" ".join(line.strip() for line in block))
            parts.append(
                "".join(
                    f"`{piece}`" if i % 2 else MARKDOWN.sub(r"\\\1", piece)
                    for i, piece in enumerate(pieces)
                )
            )
    return "\n\n".join(parts)


def blocks(text: str) -> list[list[str]]:
    """The parts of the text between blank lines; indented ones are joined."""
    parts: list[list[str]] = []
    for part in re.split(r"\n(?:[ ]*\n)+", text):
        if part.startswith(" ") and parts and parts[-1][0].startswith(" "):
            parts[-1] += ["", *part.splitlines()]
        else:
            parts.append(part.splitlines())
    return parts


def render(block: list[str], resolve: Resolve) -> list[str]:
    first = block[0]
    if first.startswith(">>>"):
        return block
    if first.startswith(" "):
        return literal(textwrap.dedent("\n".join(block)).splitlines())
    if is_list(block):
        return bullets(block, resolve)
    if FORMULA.match(first):
        return literal(aligned(block))
    if is_definitions(block):
        return definitions(block, resolve)
    prose, _, formulas = " ".join(line.strip() for line in block).partition(".  ")
    if FORMULA.match(formulas):
        return [paragraph(f"{prose}.", resolve), "", *literal([formulas])]
    return [paragraph(" ".join(line.strip() for line in block), resolve)]


def literal(lines: list[str]) -> list[str]:
    code = (f"    {line.replace('`', '')}".rstrip() for line in lines)
    return [".. code-block:: text", "", *code]


def aligned(block: list[str]) -> list[str]:
    """Formulas, one a line. In a docstring, the quotes indent the first by three."""
    lines = [block[0], *(line.removeprefix("   ") for line in block[1:])]
    if len(lines) > 1:
        return lines
    formulas = [formula.split(" = ", 1) for formula in re.split(r"\.  (?=\w+ = )", lines[0])]
    width = max(len(name) for name, _ in formulas)
    return [f"{name:<{width}} = {value}" for name, value in formulas]


def is_list(block: list[str]) -> bool:
    return all(line.startswith(("- ", "  ")) for line in block)


def bullets(block: list[str], resolve: Resolve) -> list[str]:
    items = re.split(r"^- ", "\n".join(block), flags=re.MULTILINE)[1:]
    return [f"- {paragraph(' '.join(item.split()), resolve)}" for item in items]


def is_definitions(block: list[str]) -> bool:
    """Whether names are followed by texts that are aligned at one column."""
    heads = [match for line in block if (match := DEFINITION.match(line))]
    columns = {match.start("text") for match in heads if match["text"]}
    others = [line for line in block if not DEFINITION.match(line)]
    indents = {len(line) - len(line.lstrip()) for line in others}
    return len(columns | indents) == 1 and bool(columns) and bool(DEFINITION.match(block[0]))


def definitions(block: list[str], resolve: Resolve) -> list[str]:
    rst: list[str] = []
    texts: list[list[str]] = []
    for line in block:
        if match := DEFINITION.match(line):
            names = ", ".join(f"``{name}``" for name in match["names"].split(", "))
            texts.append([names, match["text"] or ""])
        else:
            texts[-1][1] += f" {line.strip()}"
    for names, text in texts:
        rst += [names, f"    {paragraph(text.strip(), resolve)}", ""]
    return rst


def paragraph(text: str, resolve: Resolve) -> str:
    """Prose, with names in backticks as links or code, and everything else escaped."""
    prose, *others = CODE.split(text)
    rst = escape(prose)
    for name, after in zip(others[::2], others[1::2], strict=True):
        rst = separated(separated(rst, code(name, resolve)), escape(after))
    return rst


def code(name: str, resolve: Resolve) -> str:
    target = resolve(name.removesuffix("()"))
    return f":py:obj:`{name} <{target}>`" if target else f"``{name}``"


def escape(text: str) -> str:
    """Prose in which reStructuredText sees no markup."""
    return re.sub(r"([\\*_|`])", r"\\\1", text)


def separated(left: str, right: str) -> str:
    """Both, with an escaped space where markup would not begin or end otherwise."""
    letters = (left[-1:].isalnum() and right[:1] in "`:") or (
        left[-1:] == "`" and right[:1].isalnum()
    )
    return left + ("\\ " if letters else "") + right
