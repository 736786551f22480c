"""One JSON object per line on standard output, as Toxiproxy logs; never a reason for the proxy to stand still."""

from __future__ import annotations

import json
import os
import select
from datetime import UTC, datetime

STDOUT = 1
LEVELS = ("trace", "debug", "info", "warn", "error", "fatal", "panic")
DEFAULT_LEVEL = "info"


def log(level: str, message: str, **fields: object) -> None:
    """Write one line, unless LOG_LEVEL asks for less.

    A line is dropped when the pipe is full: a parent that stopped reading must not freeze the traffic.
    """
    if not _is_wanted(level):
        return
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = json.dumps({"level": level, **fields, "time": stamp, "message": message}) + "\n"
    if _is_writable():
        _write(line.encode())


def _is_wanted(level: str) -> bool:
    least = os.environ.get("LOG_LEVEL", DEFAULT_LEVEL).lower()
    return LEVELS.index(level) >= LEVELS.index(least if least in LEVELS else DEFAULT_LEVEL)


def _is_writable() -> bool:
    # A pipe that polls writable takes PIPE_BUF (4096) bytes without blocking (POSIX).
    poller = select.poll()
    poller.register(STDOUT, select.POLLOUT)
    return any(events & select.POLLOUT for _, events in poller.poll(0))


def _write(line: bytes) -> None:
    try:
        os.write(STDOUT, line)
    except OSError:
        # The reader is gone; the parent still decides when this process ends.
        return
