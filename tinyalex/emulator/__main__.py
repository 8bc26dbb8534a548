"""`python -m tinyalex.emulator SCRIPT`, the same as `tinyalex emulate SCRIPT`."""

import argparse
import sys

from tinyalex.emulator import program


def main() -> int:
    parser = argparse.ArgumentParser("python -m tinyalex.emulator", description=program.__doc__)
    program.add_arguments(parser)
    try:
        return program.run(parser.parse_args())
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
