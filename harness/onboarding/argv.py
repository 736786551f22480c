"""Command lines that others wrote for a shell, as argument lists: with the port to be listened on, on loopback."""

from __future__ import annotations

import re
import shlex

_PORT = re.compile(r"\$\{PORT(?::?-\d+)?\}|\$PORT\b")
_EVERYWHERE = re.compile(r"(?<![\d.])0\.0\.0\.0(?![\d.])|\[::\]")
_SHELL = re.compile(r"[|&;<>`$]")


def argv_of(command: str) -> tuple[str, ...] | None:
    """Return the words of a command line; None if only a shell could read it."""
    told = _told(command)
    try:
        return None if _SHELL.search(told) else tuple(shlex.split(told)) or None
    except ValueError:
        return None


def argv_from(words: list[object]) -> tuple[str, ...] | None:
    """Return an argument list that stands as one; None if there is nothing in it."""
    return tuple(_told(str(word)) for word in words) or None


def is_told_where(argv: tuple[str, ...]) -> bool:
    """Tell whether an argument says on which port to listen."""
    return any("{port}" in word for word in argv)


def environment_for(argv: tuple[str, ...]) -> dict[str, str]:
    """Return the variable by which most services learn their port, where no argument says it."""
    return {} if is_told_where(argv) else {"PORT": "{port}"}


def _told(text: str) -> str:
    return _EVERYWHERE.sub("{host}", _PORT.sub("{port}", text))
