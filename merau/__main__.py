"""Run the command line: `python -m merau`."""

import sys

from merau.stream.cli import main

if __name__ == "__main__":
    sys.exit(main())
