"""`python -m tinyalex.emulator SCRIPT`, the same as `tinyalex emulate SCRIPT`."""

import sys

from tinyalex.cli import main

sys.exit(main(["emulate", *sys.argv[1:]]))
