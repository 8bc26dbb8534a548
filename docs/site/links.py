"""Which page of the site shows which file of the repository, and links between them."""

import html
import posixpath
import re
import shutil
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent

LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^][]|\[[^][]*\])*)\]\((?P<target>[^)\s]+)\)")


def project_url() -> str:
    """The repository's address, from pyproject.toml."""
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]["urls"]["Homepage"]


def documents() -> dict[str, str]:
    """The page of each file that the site shows as a page, without its suffix."""
    pages = {
        "README.md": "index",
        "CONTRIBUTING.md": "contributing",
        "CHANGELOG.md": "changelog",
        "SECURITY.md": "security-policy",
        "benchmarks/README.md": "benchmark-programs",
    }
    for file in sorted((REPOSITORY / "docs").glob("*.md")):
        name = "lessons/index" if file.stem == "lessons" else file.stem
        pages[f"docs/{file.name}"] = name
    for file in sorted((REPOSITORY / "lessons").glob("[0-9]*.py")):
        pages[f"lessons/{file.name}"] = f"lessons/{file.stem}"
    return pages


PARTS = re.compile(
    r"(?P<code>^```.*?^```|^[ ]{4}[^\n]*$|`[^`]+`|\$\$.*?\$\$|\$[^$\n]*(?:\n[^$\n]+)*?\$)"
    rf"|(?P<link>{LINK.pattern})"
    r"|(?P<line>^:*\{[^\n]*$|^\#[^\n]*$)"
    r"|\b[Ll]esson\s+(?P<lesson>\d+)\b",
    re.DOTALL | re.MULTILINE,
)
"""Code and formulas; links; directives and headings; names of lessons."""


class Links:
    """Rewrites links between files of the repository as links between pages.

    source_pages  the modules whose source the site shows (sphinx.ext.viewcode)
    folder        of the pages' sources, into which images and other files are copied
    """

    def __init__(self, source_pages: set[str], folder: Path) -> None:
        self.source_pages, self.folder = source_pages, folder
        self.pages, self.url = documents(), project_url()
        self.lessons = [name for file, name in self.pages.items() if file.startswith("lessons/")]

    def rewrite(self, markdown: str, file: str, page: str) -> str:
        """The text of `file`, as the text of `page`.

        It links to each lesson that it names, such as "lesson 4", except in headings.
        """

        def replace_link(link: re.Match[str]) -> str:
            target, _, anchor = link["target"].partition("#")
            if not target or re.match(r"[a-z]+:", target):
                return link[0]
            path = posixpath.normpath(posixpath.join(posixpath.dirname(file), target))
            return self.link(link, path, anchor, page)

        def replace(part: re.Match[str]) -> str:
            if part["link"]:
                return replace_link(part)
            if part["line"]:
                return LINK.sub(replace_link, part[0])
            return self.link_to_lesson(part, page) if part["lesson"] else part[0]

        return PARTS.sub(replace, markdown)

    def link_to_lesson(self, named: re.Match[str], page: str) -> str:
        pages = {int(name.removeprefix("lessons/")[:2]): name for name in self.lessons}
        target = pages.get(int(named["lesson"]))
        if target is None or target == page:
            return named[0]
        return f"[{named[0]}](project:{relative(target, page)}.md)"

    def link(self, link: re.Match[str], path: str, anchor: str, page: str) -> str:
        """A link on `page` to a file of the repository."""
        if not (REPOSITORY / path).exists():
            raise ValueError(f"the page {page} links to {path}, which does not exist.")
        if link["image"]:
            return f"![{link['text']}]({relative(self.copy(path), page)})"
        if path in self.pages:
            suffix = f"#{anchor}" if anchor else ""
            text = "" if link["text"].endswith(".md") else link["text"]  # "": the page's title
            return f"[{text}](project:{relative(self.pages[path], page)}.md{suffix})"
        if self.is_source(path):
            address = relative(f"_modules/{path.removesuffix('.py')}.html", page)
            text = re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(link["text"], quote=False))
            return f'<a class="reference internal" href="{address}">{text}</a>'
        kind = "tree" if (REPOSITORY / path).is_dir() else "blob"
        return f"[{link['text']}]({self.url}/{kind}/main/{path})"

    def is_source(self, path: str) -> bool:
        return path.removesuffix(".py").replace("/", ".") in self.source_pages

    def copy(self, path: str) -> str:
        """Copy a file of the repository next to the pages."""
        target = self.folder / "images" / path.replace("/", "-")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / path, target)
        return f"images/{target.name}"


def relative(target: str, page: str) -> str:
    """`target` as seen from the folder of `page`."""
    return posixpath.relpath(target, posixpath.dirname(page) or ".")
