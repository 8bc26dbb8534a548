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


NOT_PROSE = re.compile(
    r"""(^```.*?^```|^[ ]{4}.*?$|^:*\{[^\n]*$|^\#[^\n]*$|`[^`]+`|!?\[[^]]*\]\([^)]*\))""",
    re.DOTALL | re.MULTILINE,
)
"""Code, directives, headings and links."""

LESSON = re.compile(r"\b[Ll]esson\s+(\d+)\b")


class Links:
    """Rewrites links between files of the repository as links between pages.

    source_pages  the modules whose source the site shows (sphinx.ext.viewcode)
    folder        of the pages' sources, into which images and other files are copied
    """

    def __init__(self, source_pages: set[str], folder: Path) -> None:
        self.source_pages, self.folder = source_pages, folder
        self.pages, self.url = documents(), project_url()

    def rewrite(self, markdown: str, file: str, page: str) -> str:
        """The text of `file`, as the text of `page`."""

        def replace(link: re.Match[str]) -> str:
            target, _, anchor = link["target"].partition("#")
            if not target or re.match(r"[a-z]+:", target):
                return link[0]
            path = posixpath.normpath(posixpath.join(posixpath.dirname(file), target))
            return self.link(link, path, anchor, page)

        return self.with_links_to_lessons(LINK.sub(replace, markdown), page)

    def with_links_to_lessons(self, markdown: str, page: str) -> str:
        """The text, with a link wherever it names a lesson, such as "lesson 4"."""
        pages = {
            int(page.removeprefix("lessons/")[:2]): page
            for file, page in self.pages.items()
            if file.startswith("lessons/")
        }

        def replace(named: re.Match[str]) -> str:
            target = pages.get(int(named[1]))
            if target is None or target == page:
                return named[0]
            return f"[{named[0]}](project:{relative(target, page)}.md)"

        parts = NOT_PROSE.split(markdown)
        return "".join(part if i % 2 else LESSON.sub(replace, part) for i, part in enumerate(parts))

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
