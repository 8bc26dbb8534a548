"""A lesson's page: its notebook with outputs, prepared for MyST-NB.

Below a question, "Before you run this", the outputs, the answer and the claims are
folded. The code of figures and claims is folded everywhere.
"""

import html
import re
from pathlib import Path

import exercise_pages
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

QUESTION = re.compile(r"\*\*Before you run this:\*\*.*?(?=\n\s*\n|\Z)", re.DOTALL)
HEADING = re.compile(r"^#{2,} ", re.MULTILINE)
COMMAND = re.compile(r"\n    python (lessons/.*)\n")
FIGURE_PATH = re.compile(r"^figure: runs/lessons/.*\n?", re.MULTILINE)
CLAIM = re.compile(r"^(?P<mark>[✓–]) (?P<text>.*)$")

FENCE = "::::::"
"""Longer than those of directives that lessons may contain."""


def page(executed: Path, lesson: Path) -> NotebookNode:
    """The notebook for the page of a lesson, from its executed notebook."""
    notebook = nbformat.read(str(executed), as_version=4)
    number = int(lesson.stem[:2])
    title = notebook.cells[0].source.partition("\n")[0].removeprefix("# ")
    made = [new_markdown_cell(introduction(notebook.cells[0].source, lesson))]
    position = Position()
    for cell in notebook.cells[1:]:
        position.enter(cell)
        is_text = cell.cell_type == "markdown"
        made += markdown(cell) if is_text else code(cell, position.below_question, title)
    if text := exercise_pages.markdown(number):
        made.append(new_markdown_cell(text))
    for i, cell in enumerate(made):
        cell["id"] = f"cell-{i}"
    notebook.cells = made
    notebook.metadata = {
        "kernelspec": notebook.metadata["kernelspec"],
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
    }
    return notebook


class Position:
    """Whether a cell is below a question, and whether the answer has been given."""

    below_question = answered = False

    def enter(self, cell: NotebookNode) -> None:
        title = cell.metadata.get("title")
        if cell.cell_type == "markdown" and title != "answer":
            self.below_question, self.answered = bool(QUESTION.search(cell.source)), False
        elif title == "answer":
            self.answered = True
        elif self.answered and title != "claims":
            self.below_question = self.answered = False


def introduction(source: str, lesson: Path) -> str:
    """The first cell, with links to the script and the notebook under its title."""
    title, _, text = source.partition("\n")
    script, notebook = (
        f"{{download}}`{name} <../downloads/{lesson.stem}.{suffix}>`"
        for name, suffix in (("script", "py"), ("notebook", "ipynb"))
    )
    command = COMMAND.search(text)
    run = f"`python {command[1]}`" if command else f"`python lessons/{lesson.name}`"
    text = COMMAND.sub("", text, count=1)
    line = f"Run it: {run} · download: {script}, {notebook}"
    return f"{title}\n\n{FENCE}{{div}} lesson-files\n{line}\n{FENCE}\n\n{text.strip()}"


def markdown(cell: NotebookNode) -> list[NotebookNode]:
    source = cell.source
    if cell.metadata.get("title") == "answer":
        start = HEADING.search(source)
        text, rest = (source[: start.start()], source[start.start() :]) if start else (source, "")
        cells = [new_markdown_cell(dropdown("Answer", text, "answer"))]
        return [*cells, new_markdown_cell(rest)] if rest else cells
    return [
        new_markdown_cell(QUESTION.sub(rf"\n\n{FENCE}{{div}} question\n\g<0>\n{FENCE}", source))
    ]


def dropdown(title: str, text: str, name: str) -> str:
    return f"{FENCE}{{dropdown}} {title}\n:class-container: {name}\n\n{text.strip()}\n{FENCE}"


def code(cell: NotebookNode, fold: bool, title: str) -> list[NotebookNode]:
    """The cells that show a code cell: its code and its outputs, each folded or not.

    fold  whether outputs are folded
    """
    kind = cell.metadata.get("title", "code")
    outputs = [output for output in map(without_figure_path, cell.outputs) if output]
    if kind == "claims":
        outputs = [claims(output) for output in outputs]
    shown = result(outputs, fold, kind, title) if outputs else []
    source = new_code_cell(cell.source)
    if kind == "code":
        return [source, *shown]
    folded(source, f"Code of the {'figure' if kind == 'plot' else 'claims'}", "hide-input", kind)
    return [*shown, source]


def result(outputs: list[NotebookNode], fold: bool, kind: str, title: str) -> list[NotebookNode]:
    """A cell that shows only outputs."""
    cell = new_code_cell("# not shown", outputs=outputs)
    names = {"code": "Output", "plot": "Figure", "claims": "Claims that this run has checked"}
    cell.metadata["tags"] = ["remove-input", f"{kind}-result"]
    cell.metadata["mystnb"] = {"image": {"alt": f"Figure of the lesson: {title}"}}
    if fold:
        folded(cell, names[kind], "hide-output", "below-question")
    return [cell]


def folded(cell: NotebookNode, name: str, *tags: str) -> None:
    cell.metadata["tags"] = [*cell.metadata.get("tags", []), *tags]
    prompts = {"code_prompt_show": name, "code_prompt_hide": name}
    cell.metadata["mystnb"] = cell.metadata.get("mystnb", {}) | prompts


def without_figure_path(output: NotebookNode) -> NotebookNode | None:
    """The output without the lines that name files; None if nothing is left."""
    if output.output_type != "stream":
        return output
    text = FIGURE_PATH.sub("", output.text)
    return new_output("stream", name=output.name, text=text) if text.strip() else None


def claims(output: NotebookNode) -> NotebookNode:
    """Checked claims as a list; other lines as they were printed."""
    if output.output_type != "stream":
        return output
    lines = []
    for line in output.text.splitlines():
        claim = CLAIM.match(line)
        mark = {"✓": "checked", "–": "not-checked"}[claim["mark"]] if claim else "printed"
        text = html.escape(claim["text"] if claim else line)
        lines.append(f'<li class="{mark}">{text}</li>')
    return new_output("display_data", {"text/html": f'<ul class="claims">{"".join(lines)}</ul>'})
