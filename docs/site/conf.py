"""Settings of Sphinx. `build.py` writes the sources of the pages, and runs Sphinx."""

import importlib.util
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import plain_text
import reference_pages
from links import project_url

import tinyalex

HERE = Path(__file__).resolve().parent
MATHJAX = Path(importlib.util.find_spec("sphinx-mathjax-offline").submodule_search_locations[0])

project = "tinyalex"
author = copyright = "the tinyalex authors"  # Sphinx's name
version = release = tinyalex.__version__

extensions = [
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]

exclude_patterns = ["downloads"]

# Text
language = "en"
smartquotes = False
highlight_language = "text"
default_role = "code"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_merge_streams = True
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Formulas: SVG needs no fonts, which Firefox does not load from a parent folder.
mathjax_path = "tex-svg-full.js"
mathjax3_config = {"options": {"enableMenu": False}}

# Reference
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
maximum_signature_line_length = 150
python_display_short_literal_types = True

# Pages
html_theme = "furo"
html_title = "tinyalex"
html_static_path = ["style.css", str(MATHJAX / "static" / "mathjax" / "tex-svg-full.js")]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # would read pages with fetch(), impossible from disk
html_domain_indices = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
html_theme_options = {
    "footer_icons": [
        {"name": "Repository", "url": project_url(), "html": "Repository", "class": ""},
    ],
    "light_css_variables": {
        "color-brand-primary": "#0b6e99",
        "color-brand-content": "#0b6e99",
        "color-claim": "#3d7a2a",
        "color-code-block": "#f2f4f6",
    },
    "dark_css_variables": {
        "color-brand-primary": "#6cc0e5",
        "color-brand-content": "#6cc0e5",
        "color-claim": "#8fcf78",
        "color-code-block": "#1f2225",
    },
}

resolve = reference_pages.resolver()

ARRAY = re.compile(r"~?(numpy\.)?ndarray\[[^][]*\[[^][]*\]\]")
"""An array of any dtype, as autodoc writes device.Array."""


def convert_docstring(app, kind, name, value, options, lines):
    lines[:] = plain_text.to_rst("\n".join(lines), resolve)


def shorten_signature(app, kind, name, value, options, signature, returns):
    """Without annotations that say nothing: `input: Any`, `-> None`."""
    if signature:
        signature = ARRAY.sub("Array", signature)
        signature = re.sub(r": ~?(typing\.)?Any = ", "=", signature)
        signature = re.sub(r": ~?(typing\.)?Any(?=[,)])", "", signature)
    return signature, None if returns == "None" else ARRAY.sub("Array", returns or "") or None


def setup(app):
    app.connect("autodoc-process-docstring", convert_docstring)
    app.connect("autodoc-process-signature", shorten_signature)
