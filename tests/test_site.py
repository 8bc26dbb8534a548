"""The site in headless Chromium, from disk: pages, links, figures, formulas, layout.

`make test-site` builds runs/site/html first. Every page is opened once, and what the
tests need to know of it is recorded.
"""

import ast
import importlib
import re
import shutil
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest

from tinyalex import functional, nn

REPOSITORY = Path(__file__).resolve().parent.parent
HTML = REPOSITORY / "runs" / "site" / "html"
EXECUTED = REPOSITORY / "runs" / "notebooks" / "executed"
LESSONS = sorted(file.stem for file in (REPOSITORY / "lessons").glob("[0-9]*.py"))

pytestmark = pytest.mark.site
every_lesson = pytest.mark.parametrize("name", LESSONS)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

READ_PAGE = """() => {
    const all = selector => [...document.querySelectorAll(selector)];
    return {
        title: document.title,
        anchors: all("[id]").map(e => e.id),
        links: all("a[href]").map(e => e.href),
        images: all("img").map(e => [e.src, e.naturalWidth, e.alt]),
        formulas: all(".math").length,
        displayed: all("div.math").length,
        typeset: all(".math > mjx-container").length,
        mistakes: all("[data-mml-node=merror]").length,
        text: document.querySelector("article")?.innerText ?? "",
        headings: all("h2").map(e => e.firstChild?.textContent),
        claims: all("li.checked").map(e => e.textContent),
        exercise: all("details.exercise summary").map(e => e.textContent.trim()),
        solution: all("details.exercise pre").at(-1)?.textContent ?? "",
    };
}"""

PARTS = {
    "questions": "div.question",
    "answers": "details.answer .sd-summary-content",
    "results below questions": ".tag_below-question .cell_output",
    "other results": ".tag_code-result:not(.tag_below-question) .cell_output",
    "code": ".cell_input",
    "code of claims": ".tag_claims .cell_input",
    "code of figures": ".tag_plot .cell_input",
    "hints and solution": "details.exercise .sd-summary-content",
}
"""The parts of a lesson's page, by their selectors."""

VISIBLE = """parts => Object.fromEntries(Object.entries(parts).map(([name, selector]) =>
    [name, [...document.querySelectorAll("article " + selector)].map(e => e.checkVisibility())]
))"""

OPEN_ALL = "() => document.querySelectorAll('details').forEach(e => { e.open = true })"

WIDTH = "() => document.scrollingElement.scrollWidth"

COLOURS = """() => {
    const background = e => {
        for (; e; e = e.parentElement) {
            const colour = getComputedStyle(e).backgroundColor;
            if (!colour.endsWith(", 0)") && colour !== "transparent") return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const kinds = ["p", "p a", "h2", "pre", "pre span", "summary", "td", "li", "dt"];
    return kinds.flatMap(kind => [...document.querySelectorAll("article " + kind)]
        .filter(e => e.checkVisibility() && e.innerText.trim())
        .map(e => [kind, getComputedStyle(e).color, background(e), e.innerText.slice(0, 40)]));
}"""


@dataclass
class Page:
    """What a page has, and what happened when it was opened."""

    title: str
    anchors: list[str]
    links: list[str]
    images: list[tuple[str, int, str]]
    formulas: int
    displayed: int
    typeset: int
    mistakes: int
    text: str
    headings: list[str]
    claims: list[str]
    exercise: list[str]
    solution: str
    closed: dict[str, list[bool]] = field(default_factory=dict)
    """Whether each of PARTS is visible when the page is opened."""

    opened: dict[str, list[bool]] = field(default_factory=dict)
    """And with all folded parts open."""

    width: int = 0
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert program, f"expected one of the programs {', '.join(BROWSERS)}."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def tab(browser):
    with browser.new_context(viewport=WIDE) as context:
        yield context.new_page()


@pytest.fixture(scope="module")
def pages(browser):
    """Each page of the site by its path, opened in a wide and then a narrow window."""
    files = sorted(file.relative_to(HTML).as_posix() for file in HTML.rglob("*.html"))
    assert files, f"{HTML} has no pages. Build them with `make site`."
    with browser.new_context() as context:
        tab = context.new_page()
        messages, requests = [], []
        tab.on("console", lambda message: messages.append(f"{message.type}: {message.text}"))
        tab.on("pageerror", lambda error: messages.append(f"exception: {error}"))
        tab.on("requestfailed", lambda request: messages.append(f"failed: {request.url}"))
        tab.on("request", lambda request: requests.append(request.url))
        found = {}
        for file in files:
            tab.set_viewport_size(WIDE)
            open_page(tab, file)
            page = found[file] = Page(**tab.evaluate(READ_PAGE))
            page.closed = tab.evaluate(VISIBLE, PARTS)
            tab.evaluate(OPEN_ALL)
            page.opened = tab.evaluate(VISIBLE, PARTS)
            tab.set_viewport_size(NARROW)
            page.width = tab.evaluate(WIDTH)
            page.messages, page.requests = messages[:], requests[:]
            messages.clear()
            requests.clear()
    return found


def open_page(tab, file):
    """Open a page, and wait until its formulas are typeset."""
    tab.goto(address(file))
    tab.evaluate("() => window.MathJax?.startup?.promise")


def address(file):
    return (HTML / file).as_uri()


def path(url):
    """The path of a file: URL below the site, and its anchor."""
    parts = urllib.parse.urlsplit(url)
    file = Path(urllib.parse.unquote(parts.path))
    assert file.is_relative_to(HTML), f"{url} is not on the site"
    return file.relative_to(HTML).as_posix(), urllib.parse.unquote(parts.fragment)


def lesson(name):
    return f"lessons/{name}.html"


def source(name):
    return (REPOSITORY / "lessons" / f"{name}.py").read_text(encoding="utf-8")


# Every page


LAYER_FILES = ("layers", "activations", "normalization", "locally_connected", "losses")


def is_layer(value):
    return isinstance(value, type) and value.__module__.rpartition(".")[2] in LAYER_FILES


def test_there_is_a_page_for_each_lesson_document_and_layer(pages):
    documents = {f"{file.stem}.html" for file in REPOSITORY.glob("docs/*.md")} - {"lessons.html"}
    assert documents | {lesson(name) for name in LESSONS} | {"lessons/index.html"} <= pages.keys()
    anchors = {
        anchor for file, page in pages.items() if "layers/" in file for anchor in page.anchors
    }
    functions = {f"tinyalex.functional.{name}" for name in functional.__all__}
    modules = {f"tinyalex.nn.{name}" for name in nn.__all__ if is_layer(getattr(nn, name))}
    assert functions | modules <= anchors


def test_no_page_logs_an_error_or_a_warning(pages):
    assert {file: page.messages for file, page in pages.items() if page.messages} == {}


def test_no_request_leaves_the_disk(pages):
    requests = {url for page in pages.values() for url in page.requests}
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def test_every_image_is_shown_and_described(pages):
    images = [(file, *image) for file, page in pages.items() for image in page.images]
    assert len(images) > len(LESSONS)
    assert [image for image in images if image[2] == 0 or not image[3].strip()] == []


def test_every_formula_is_typeset(pages):
    assert sum(page.formulas for page in pages.values()) > len(LESSONS)
    for file, page in pages.items():
        assert (file, page.typeset, page.mistakes) == (file, page.formulas, 0)
        assert "$$" not in page.text, file


def test_no_link_within_the_site_is_broken(pages):
    broken = []
    for file, page in pages.items():
        for link in page.links:
            if link.startswith(("https://", "mailto:")):
                continue
            target, anchor = path(link)
            known = pages[target].anchors if target in pages else []
            if not (HTML / target).is_file() or (anchor and anchor not in known):
                broken.append((file, link))
    assert broken == []


def test_every_page_can_be_reached_from_the_front_page(pages):
    """By links; the search by its form, and the list of modules from a source page."""
    reached, new = {"search.html", "_modules/index.html"}, {"index.html"}
    while new:
        reached |= new
        links = {link for file in new for link in pages[file].links if link.startswith("file:")}
        new = {path(link)[0] for link in links} & pages.keys() - reached
    assert pages.keys() - reached == set()


def test_no_page_is_wider_than_a_phone(pages):
    assert {file: page.width for file, page in pages.items() if page.width > NARROW["width"]} == {}


def test_pages_have_different_titles(pages):
    titles = [page.title for file, page in pages.items() if not file.startswith("_modules/")]
    assert len(set(titles)) == len(titles)


# Colours


def luminance(colour):
    """The relative luminance of "rgb(r, g, b)", as in WCAG 2."""
    values = [float(v) / 255 for v in re.findall(r"[\d.]+", colour)[:3]]
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(colour, background):
    low, high = sorted([luminance(colour), luminance(background)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "file", [lesson(LESSONS[0]), "index.html", "reference/layers/pooling.html"]
)
def test_text_is_readable_on_its_background(file, scheme, tab):
    tab.emulate_media(color_scheme=scheme)
    open_page(tab, file)
    tab.evaluate(OPEN_ALL)
    colours = tab.evaluate(COLOURS)
    page = luminance(tab.evaluate("() => getComputedStyle(document.body).backgroundColor"))
    assert (page < 0.05) if scheme == "dark" else (page > 0.9)
    assert {kind for kind, *_ in colours} >= {"p", "pre", "h2"}
    assert [c for c in colours if contrast(c[1], c[2]) < 4.5] == []


def test_figures_have_a_white_background_in_the_dark(tab):
    tab.emulate_media(color_scheme="dark")
    open_page(tab, lesson(LESSONS[0]))
    image = tab.locator("article img").first
    assert image.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(255, 255, 255)"


# Lessons


def cells(name):
    """The cells of the executed notebook."""
    return nbformat.read(str(EXECUTED / f"{name}.ipynb"), as_version=4).cells


@every_lesson
def test_a_lesson_shows_its_figures(name, pages):
    images = [image for image in pages[lesson(name)].images if "_images/" in image[0]]
    assert len(images) == source(name).count("lesson.show(") > 0


@every_lesson
def test_a_lesson_shows_each_formula_once(name, pages):
    lines = re.findall(r"^(?:# )?\$\$$", source(name), re.MULTILINE)
    assert pages[lesson(name)].displayed == len(lines) / 2 > 0


@every_lesson
def test_everything_below_a_question_is_folded_until_it_is_opened(name, pages):
    closed, opened = pages[lesson(name)].closed, pages[lesson(name)].opened
    questions = source(name).count("**Before you run this:**")
    answers = [c for c in cells(name) if c.metadata.get("title") == "answer"]
    assert closed["questions"] == questions * [True]
    assert closed["answers"] == len(answers) * [False]
    assert len(closed["results below questions"]) >= questions
    assert not any(closed["results below questions"])
    assert all(closed["other results"])
    assert all(all(shown) for shown in opened.values())


@every_lesson
def test_the_code_of_figures_and_claims_is_folded_and_other_code_is_not(name, pages):
    kinds = [c.metadata.get("title", "code") for c in cells(name) if c.cell_type == "code"]
    closed = pages[lesson(name)].closed
    assert closed["code of claims"] == kinds.count("claims") * [False]
    assert closed["code of figures"] == kinds.count("plot") * [False]
    assert closed["code"].count(True) == kinds.count("code")
    assert len(closed["code"]) == len(kinds)


@every_lesson
def test_a_lesson_lists_each_claim_of_its_run(name, pages):
    outputs = [output for cell in cells(name) for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs)
    claims = re.findall(r"^✓ (.+)$", printed, re.MULTILINE)
    assert pages[lesson(name)].claims == claims != []


@every_lesson
def test_a_lesson_is_downloaded_as_script_and_as_notebook_without_outputs(name, pages):
    downloads = [path(link)[0] for link in pages[lesson(name)].links if "_downloads" in link]
    script, notebook = [HTML / file for file in downloads]
    assert script.name == f"{name}.py"
    assert script.read_text(encoding="utf-8") == source(name)
    cells = nbformat.read(str(notebook), as_version=4).cells
    assert notebook.name == f"{name}.ipynb"
    assert "google.colab" in cells[0].source
    assert not any(cell.get("outputs") for cell in cells)


@every_lesson
def test_a_lesson_links_to_its_neighbours(name, pages):
    i = LESSONS.index(name)
    targets = {path(link)[0] for link in pages[lesson(name)].links if link.startswith("file:")}
    assert {lesson(neighbour) for neighbour in LESSONS[max(0, i - 1) : i + 2]} <= targets


@every_lesson
def test_a_lesson_has_its_exercise_with_folded_hints_and_solution(name, pages):
    (folder,) = (REPOSITORY / "lessons" / "exercises").glob(f"{name[:2]}_*")
    page = pages[lesson(name)]
    task = ast.parse((folder / "exercise.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(task).splitlines()[0].rstrip(".") in page.headings
    assert f"tinyalex learn start {int(name[:2])}" in page.text
    assert page.exercise == ["Hint 1", "Hint 2", "Hint 3", "Solution"]
    assert page.closed["hints and solution"] == 4 * [False]
    solution = (folder / "solution.py").read_text(encoding="utf-8")
    assert page.solution.strip() == solution.strip()


# Search


def test_the_search_finds_pages_without_a_server(tab):
    messages = []
    tab.on("console", lambda message: messages.append(message.text))
    tab.goto(f"{address('search.html')}?q=gradcheck")
    tab.wait_for_selector("ul.search li")
    links = tab.eval_on_selector_all("ul.search a", "es => es.map(e => e.href)")
    assert {"reference/gradcheck.html", lesson("04_gradcheck")} <= {path(link)[0] for link in links}
    assert messages == []


# The sources of the pages


@pytest.fixture
def module(monkeypatch):
    """Imports a module of docs/site."""
    monkeypatch.syspath_prepend(REPOSITORY / "docs" / "site")
    return importlib.import_module


@pytest.mark.parametrize(
    ("text", "rst"),
    [
        (
            "x*y, `dw` and\n`nn.Linear`s, a_",
            "x\\*y, ``dw`` and :py:obj:`nn.Linear <full>`\\ s, a\\_",
        ),
        ("y = 2 * x.  dx = 2 * dy", ".. code-block:: text\n\n    y  = 2 * x\n    dx = 2 * dy"),
        ("Twice x.  dx = 2 * dy", "Twice x.\n\n.. code-block:: text\n\n    dx = 2 * dy"),
        (
            "If so,\n\n    a = b\n\n    c = d\n\nx",
            "If so,\n\n.. code-block:: text\n\n    a = b\n\n    c = d\n\nx",
        ),
        ("lr     the\n       rate\na, bc  two", "``lr``\n    the rate\n\n``a``, ``bc``\n    two"),
        ("- a*\n  b\n- c", "- a\\* b\n- c"),
        (">>> 1 + 1\n2", ">>> 1 + 1\n2"),
    ],
    ids=["names", "formulas", "formula after text", "indented", "definitions", "list", "doctest"],
)
def test_a_docstring_becomes_restructured_text(text, rst, module):
    lines = module("plain_text").to_rst(text, {"nn.Linear": "full"}.get)
    assert "\n".join(lines).rstrip() == rst


def test_a_hint_becomes_markdown(module):
    text = module("plain_text").to_markdown(
        "a*b and `c_d`s, e_f\ng:\n\n    h = i*j\n\n    k = 1\n\nl"
    )
    assert text == "a\\*b and `c_d`s, e\\_f g:\n\n```text\nh = i*j\n\nk = 1\n```\n\nl"


def links(module, folder):
    return module("links").Links({"tinyalex.functional.convolution"}, folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](training.md#data)", "[a](project:training.md#data)"),
        ("[a](../README.md)", "[a](project:index.md)"),
        ("[docs/scaling.md](scaling.md)", "[](project:scaling.md)"),
        ("[1](../lessons/01_gradient.py)", "[1](project:lessons/01_gradient.md)"),
        ("[a](https://example.org)", "[a](https://example.org)"),
        (
            "[a](../train_cifar.py)",
            "[a](https://github.com/tinyalex/tinyalex/blob/main/train_cifar.py)",
        ),
        ("lesson 1, `lesson 2`", "[lesson 1](project:lessons/01_gradient.md), `lesson 2`"),
        ("Lesson\n2", "[Lesson\n2](project:lessons/02_order.md)"),
        ("    lesson 1", "    lesson 1"),
        ("```python\nnet[0](x)  # lesson 1\n```", "```python\nnet[0](x)  # lesson 1\n```"),
        ("    net[0](x)", "    net[0](x)"),
        ("`f[i](x)` and $w[i](x)$", "`f[i](x)` and $w[i](x)$"),
        ("$$\nw[i](x)\n$$", "$$\nw[i](x)\n$$"),
        ("# [a](../README.md), lesson 1", "# [a](project:index.md), lesson 1"),
        (
            "[![a](https://example.org/a.png)](../README.md)",
            "[![a](https://example.org/a.png)](project:index.md)",
        ),
        (
            "[`a`](../tinyalex/functional/convolution.py)",
            '<a class="reference internal" href="_modules/tinyalex/functional/convolution.html">'
            "<code>a</code></a>",
        ),
    ],
)
def test_links_between_files_become_links_between_pages(text, expected, module, tmp_path):
    assert links(module, tmp_path).rewrite(text, "docs/cuda.md", "cuda") == expected


def test_the_front_page_needs_the_heading_above_which_its_cards_are(module):
    with pytest.raises(ValueError, match=r"README.md has no heading '## Requirements\\n'"):
        module("build").with_navigation("# tinyalex\n\nA text.\n", "index")


def test_images_are_copied(module, tmp_path):
    text = links(module, tmp_path).rewrite("![a](images/shapes.png)", "docs/cuda.md", "cuda")
    assert text == "![a](images/docs-images-shapes.png)"
    copied = (tmp_path / "images" / "docs-images-shapes.png").read_bytes()
    assert copied == (REPOSITORY / "docs" / "images" / "shapes.png").read_bytes()


def test_a_link_to_a_missing_file_is_an_error(module, tmp_path):
    with pytest.raises(ValueError, match="the page cuda links to docs/none.md, which does not"):
        links(module, tmp_path).rewrite("[a](none.md)", "docs/cuda.md", "cuda")
