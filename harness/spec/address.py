"""Machines and ports, as descriptions write them."""

from __future__ import annotations

import re

ON_THIS_MACHINE = ("127.0.0.1", "localhost")

HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
"""The name of a machine, or its IPv4 address, as a URL has it."""


def is_host(text: str) -> bool:
    """Tell whether a text may name a machine."""
    return bool(HOST.fullmatch(text))


def is_port(text: str) -> bool:
    """Tell whether a text is a port that something can listen on."""
    return text.isdecimal() and 0 < int(text) < 1 << 16
