"""`python -m tinyalex COMMAND`."""

import sys

from tinyalex.cli import main

if __name__ == "__main__":
    sys.exit(main())
