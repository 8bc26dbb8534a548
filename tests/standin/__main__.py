"""Run a script with the stand-in: `python tests/standin SCRIPT`, or `-m MODULE`."""

import runpy
import sys
from pathlib import Path


def main(arguments: list[str]) -> None:
    # Python has put this folder first in sys.path, where it would hide other modules.
    here = Path(__file__).resolve().parent
    sys.path = [folder for folder in sys.path if Path(folder).resolve() != here]
    if not arguments or arguments == ["-m"]:
        sys.exit(
            "usage: python tests/standin SCRIPT [ARGUMENT ...]\n       python tests/standin -m MODULE [ARGUMENT ...]"
        )
    sys.path.insert(0, str(here.parent))
    import standin

    sys.path.pop(0)
    standin.install()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
