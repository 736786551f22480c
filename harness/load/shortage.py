"""What the generator's own machine may be short of: descriptors, ports, or memory for connections.

None of it is the service's doing, so no request that met it may count as one of its failures.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
from contextlib import contextmanager, suppress
from io import FileIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DESCRIPTORS_MAX = 1 << 16
"""Wanted at most: 10 000 seats (`Load.max_in_flight`) with several connections each. No more, because a limit without
end makes programs slow that close every descriptor they may have, and macOS refuses one."""

_SHORT_OF = {
    errno.EMFILE: "descriptors",
    errno.ENFILE: "descriptors",
    errno.EADDRNOTAVAIL: "ports",
    errno.EADDRINUSE: "ports",
    errno.ENOBUFS: "memory",
    errno.ENOMEM: "memory",
}
"""What it means that the system refuses to open a connection: one of `SHORTAGES` (connect(2), socket(2), and bind(2)
where a client chooses its own address)."""


def short_of(error: BaseException | None) -> str | None:
    """Return what the machine was short of, where that is why a request ended in `error`; None if it is not.

    A client tells of a refusal in an error of its own, and keeps the system's as its cause: the first that has a number
    decides, so that what an earlier request met is not told of a later one.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, socket.gaierror):  # it says that a name is unknown also where its files cannot be opened
            return None if _has_descriptor() else "descriptors"
        if isinstance(error, OSError) and error.errno is not None:
            return _SHORT_OF.get(error.errno)
        error = error.__cause__ or error.__context__
    return None


def raise_descriptor_limit() -> None:
    """Let this process open as many files as it may, which connections are: a soft limit, often 1024, is for others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # what is short is told when it is
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class SpareDescriptor:
    """A descriptor that is kept back, so that samples can be written down when connections hold all the others."""

    def __init__(self) -> None:
        self._kept = _some_file()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Let one file at a time be opened while inside."""
        self.close()
        try:
            yield
        finally:
            with suppress(OSError):  # another thread was quicker; the next time is as good
                self._kept = _some_file()

    def close(self) -> None:
        """Give it back; harmless if there is none."""
        self._kept.close()

    def __del__(self) -> None:
        self.close()


def _some_file() -> FileIO:
    """Open something; not by its number alone, since gevent puts off `os.close`, and none would be free by then."""
    return FileIO(os.devnull)


def _has_descriptor() -> bool:
    try:
        _some_file().close()
    except OSError:
        return False
    return True
