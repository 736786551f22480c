"""Fill a disk by one file, look what is left, make room again: `filling.py fill|look|clear FOLDER NAME LEAVING`.

It imports nothing of the harness, since it also runs in the sandbox of a container, by its text. There it prints how
many bytes are left afterwards.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

_TRIES = 100
"""What others write meanwhile takes room that was counted; each try begins with a look."""


def free_bytes(folder: str) -> int:
    """Return how many bytes can still be written to the disk of a folder."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def fill(folder: str, name: str, leaving_bytes: int) -> None:
    """Make a file, or a longer one, that leaves so many bytes, and less than one block more."""
    block_bytes = os.statvfs(folder).f_frsize
    with Path(folder, name).open("ab") as file:
        for _ in range(_TRIES):
            more_bytes = (free_bytes(folder) - leaving_bytes) // block_bytes * block_bytes
            if more_bytes <= 0:
                return
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, more_bytes)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def clear(folder: str, name: str) -> bool:
    """Remove the file; tell whether it was there."""
    try:
        Path(folder, name).unlink()
    except FileNotFoundError:
        return False
    return True


def main(arguments: list[str]) -> None:
    """Do one of the three, and say what is left; `clear` says whether the file was there."""
    asked, folder, name, leaving_bytes = arguments
    if asked == "fill":
        fill(folder, name, int(leaving_bytes))
    print(int(clear(folder, name)) if asked == "clear" else free_bytes(folder))  # noqa: T201 - its answer


if __name__ == "__main__":
    main(sys.argv[1:])
