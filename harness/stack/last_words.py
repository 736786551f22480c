"""What a log ends with, told so that it helps: the error of a Python traceback, whose line it is, and what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FRAME = re.compile(r'\s*File "(?P<file>[^"]+)", line (?P<line>\d+)')
_ERROR = re.compile(r"(?P<kind>[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Failure))(?:: (?P<said>.*))?")
_NOT_OF_THE_SERVICE = re.compile(r"^<|/site-packages/|/lib/python\d|/dist-packages/")
_OF_A_VARIABLE = re.compile(r"^<frozen os>$|/os\.py$")


@dataclass(frozen=True, slots=True)
class Traced:
    """The last traceback of a log.

    Attributes:
        error: `ModuleNotFoundError: No module named 'stripe'`.
        place: The service's own line that led there, `shop.py:3`; empty if none did.
        fix: What to do about it.
    """

    error: str
    place: str
    fix: str


def traced(log: str) -> Traced | None:
    """Return the traceback that a log ends with; None if it ends with none."""
    lines = log.splitlines()
    errors = [number for number, line in enumerate(lines) if _ERROR.fullmatch(line)]
    frames = [found for line in lines[: errors[-1]] if (found := _FRAME.match(line))] if errors else []
    if not frames:
        return None
    own = [frame for frame in frames if not _NOT_OF_THE_SERVICE.search(frame["file"])]
    place = f"{own[-1]['file']}:{own[-1]['line']}" if own else ""
    error = lines[errors[-1]]
    return Traced(error=error, place=place, fix=_fix(error, frames[-1]["file"]))


def _fix(error: str, file: str) -> str:
    """Say what helps against an error that was raised in a file."""
    kind, _, said = error.partition(": ")
    if kind == "ModuleNotFoundError":
        return "install it where the service runs, or say which Python has it: system.subject.python"
    if kind == "KeyError" and _OF_A_VARIABLE.search(file):
        return f"give it the variable {said}: [system.subject.environment] of readiness.toml, or secrets"
    if "Address already in use" in said or "address already in use" in said:
        return "let it listen on {port}, which is free; a port of its own may be taken"
    return "mend that line"
