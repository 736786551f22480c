"""The forms that Compose allows for one thing, as one: durations, sizes, commands, ports, lists that mean mappings.

Source: Compose Specification, "Services top-level elements" and "Extensions and fragments", the units among them.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(us|ms|s|m|h))")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)i?b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 10, "m": 20, "g": 30}
_YES, _NO = {"true", "t", "yes", "y", "on", "1"}, {"false", "f", "no", "n", "off", "0"}


def seconds(value: Any) -> float:
    """Return `1m30s` in seconds.

    Raises:
        ValueError: If it is no duration.
    """
    text = str(value)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration; write it as 30s or 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def size_bytes(value: Any) -> int:
    """Return `512m` in bytes; units are powers of 1024.

    Raises:
        ValueError: If it is no size.
    """
    found = _SIZE.fullmatch(str(value).strip())
    if found is None:
        raise ValueError(f"{str(value)!r} is no size; write it as 512m or 1g")
    return int(float(found[1]) * (1 << _POWERS[found[2].lower()]))


def switch(value: Any) -> bool:
    """Return whether a switch is on, in any of the words that Compose takes for it.

    Raises:
        ValueError: If it is none of them.
    """
    word = str(value).lower()
    if word not in _YES | _NO:
        raise ValueError(f"{str(value)!r} is neither true nor false")
    return word in _YES


def whole(value: Any) -> int:
    """Return a whole number, also one that is written as text.

    Raises:
        ValueError: If it is none.
    """
    if isinstance(value, bool) or not re.fullmatch(r"\d+", str(value)):
        raise ValueError(f"{str(value)!r} is no whole number")
    return int(value)


def words(value: Any) -> tuple[str, ...]:
    """Return a command as its words; a text is split as a shell splits it, and read by none.

    Raises:
        ValueError: If what is quoted is not closed.
    """
    return tuple(map(str, value)) if isinstance(value, list) else tuple(shlex.split(str(value)))


def listed(value: Any) -> list[str]:
    """Return one word or several as a list; nothing is an empty one."""
    return [] if value is None else [str(each) for each in value] if isinstance(value, list) else [str(value)]


def mapping(value: Any, sign: str = "=") -> dict[str, str | None]:
    """Return a list such as `[NAME=value]` as the mapping that it means; a name alone has no value."""
    if isinstance(value, dict):
        return {str(name): None if each is None else _text(each) for name, each in value.items()}
    pairs = (str(word).partition(sign) for word in value or ())
    return {name: each if there else None for name, there, each in pairs}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def ports(value: Any) -> tuple[int, ...]:
    """Return on which TCP ports a service listens, by one item of `ports` or `expose`; none where that is not TCP.

    Raises:
        ValueError: If it names no port.
    """
    if isinstance(value, dict):
        text, protocol = str(value.get("target", "")), str(value.get("protocol", "tcp"))
    else:
        told, _, said = str(value).partition("/")
        text, protocol = told.rpartition(":")[2], said or "tcp"
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()) or not 0 < int(first) <= int(last or first) < 1 << 16:
        raise ValueError(f"{str(value)!r} names no port; write 8000, or 127.0.0.1:8080:8000")
    return tuple(range(int(first), int(last or first) + 1)) if protocol.lower() == "tcp" else ()
