"""Compute, and nothing else, for so many seconds at most: `computing.py SECONDS`.

Runs as a script in a fresh interpreter and imports nothing of the harness, as the launcher does. It ends by itself, so
that not even one that nothing can end any more takes a processor for ever.
"""

from __future__ import annotations

import sys
import time


def main(arguments: list[str]) -> None:
    """Compute until the time is over; it is looked at some hundred times a second."""
    until_s = time.monotonic() + float(arguments[0])
    while time.monotonic() < until_s:
        for _ in range(200_000):
            pass


if __name__ == "__main__":
    main(sys.argv[1:])
