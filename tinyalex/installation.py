"""The command that installs the optional packages, for error messages."""

from pathlib import Path
from shlex import quote

CHECKOUT = Path(__file__).resolve().parent.parent
"""The folder of this package: a clone of the repository, or site-packages."""


def pip_install(extra: str) -> str:
    """`pip install ...` for an extra of pyproject.toml, such as "onnx".

    The packages are added to the installation that runs: in a clone of the repository,
    an editable one, as in the README.
    """
    project = CHECKOUT / "pyproject.toml"
    if not project.is_file():
        return f"pip install 'tinyalex[{extra}]'"
    here = Path(project.name)
    is_here = here.exists() and here.samefile(project)
    folder = "." if is_here else CHECKOUT
    return f"pip install -e {quote(f'{folder}[{extra}]')}"
