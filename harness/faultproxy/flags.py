"""Flags as Go's package flag reads them: one dash or two, a value after a blank or `=`, and never shortened.

What is no flag ends them: Toxiproxy looks neither at it nor at what follows (2.12, observed).
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# What Go's flags take for a boolean (strconv.ParseBool).
BOOLEANS = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "false", "FALSE", "False"), False
)
SWITCHES = {
    "version": "print the version it behaves as",
    "proxy-metrics": "serve bytes, connections and hits on /metrics",
    "runtime-metrics": "serve memory, descriptors and CPU time on /metrics",
    "strict-compat": "behave as Toxiproxy also where that is a nuisance (docs/faultproxy.md)",
    "exit-with-parent": "end when standard input ends",
}
VALUES = frozenset({"host", "port", "config", "seed", "dial-timeout"})
INT64 = range(-(2**63), 2**63)


def read_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; a mistake in it ends the program with exit code 2, as in Go."""
    return _parser().parse_args(_as_pairs(arguments))


def _as_pairs(arguments: Sequence[str]) -> list[str]:
    """Write each flag as `--name` or `--name=value`, up to the first argument that is none.

    argparse would take one dash as the start of any flag that begins like it, and no value that begins with a dash.
    """
    left, pairs = list(arguments), []
    while left and re.match("-.", left[0]) and left[0] != "--":
        name, equals, value = left.pop(0).removeprefix("-").removeprefix("-").partition("=")
        if not equals and name in VALUES and left:
            equals, value = "=", left.pop(0)
        pairs.append(f"--{name}{equals}{value}")
    return pairs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.faultproxy",
        description="A TCP fault proxy that speaks Toxiproxy's API. Flags take one dash or two.",
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("--help", "--h", action="help", help="print this")
    parser.add_argument("--host", default="localhost", help="where the API listens (default %(default)s)")
    parser.add_argument("--port", default="8474", help="0 for any free port, named in the log (default %(default)s)")
    parser.add_argument("--config", type=_path, help="a JSON file with what POST /populate takes, toxics included")
    parser.add_argument("--seed", type=_integer, help="repeats every random choice of an earlier run")
    parser.add_argument("--dial-timeout", type=float, default=10.0, help="seconds an upstream may take to accept")
    for name, help_text in SWITCHES.items():
        parser.add_argument(f"--{name}", nargs="?", type=_boolean, const=True, default=False, help=help_text)
    return parser


def _path(text: str) -> Path | None:
    """Read a path; an empty one is none."""
    return Path(text) if text else None


def _integer(text: str) -> int:
    """Read an int64 as Go's strconv.ParseInt does with base 0: decimal, 0x, 0o, 0b, or octal behind a bare 0."""
    number = int(re.sub(r"^([+-]?)0_?(?=[0-7])", r"\g<1>0o", text), 0)
    if number not in INT64:
        raise argparse.ArgumentTypeError(f"{text!r} is out of range")
    return number


def _boolean(text: str) -> bool:
    if text not in BOOLEANS:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return BOOLEANS[text]
