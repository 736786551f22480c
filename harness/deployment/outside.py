"""What a value of a compose file says, and what it leaves to the outside.

Sources: Compose Specification, "Interpolation"; compose-go, loader/interpolate.go and dotenv.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_YES = frozenset({"true", "t", "yes", "y", "on", "1"})
"""Source: compose-go, loader/interpolate.go, toBoolean."""

_NO = frozenset({"false", "f", "no", "n", "off", "0"})

_BRACED = re.compile(r"(?<!\$)\$\{(\w+)(?:(:?[-?+])([^{}]*))?\}")
_BARE = re.compile(r"(?<!\$)\$([A-Za-z_]\w*)")
_MAX_NESTED = 8

_ASSIGNED = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][\w.-]*)\s*=\s*(?P<value>.*)")
_QUOTED = re.compile(r"""(?P<quote>["'])(?P<inside>.*?)(?P=quote)\s*(?:\#.*)?""")
_REMARK = re.compile(r"(^|\s+)#.*")


def is_yes(value: Any) -> bool:
    """Tell whether a switch is on, in any of the words that Compose takes for it."""
    return str(value).lower() in _YES


def is_switch(value: Any) -> bool:
    """Tell whether a value is on or off, and nothing else."""
    return str(value).lower() in _YES | _NO


def is_from_outside(value: Any) -> bool:
    """Tell whether only the outside knows a value, or a part of it."""
    return "$" in str(value)


def settled(value: Any, values: Mapping[str, str]) -> Any:
    """Write what stands for each variable: its value, else its default; `$NAME` where only the outside knows it."""
    if isinstance(value, dict):
        return {key: settled(each, values) for key, each in value.items()}
    if isinstance(value, list):
        return [settled(each, values) for each in value]
    return _settled_text(value, values) if isinstance(value, str) else value


def _settled_text(text: str, values: Mapping[str, str]) -> str:
    """`${PORT:-80}` becomes `80`; innermost first, since they may nest."""
    for _ in range(_MAX_NESTED):
        text, count = _BRACED.subn(lambda variable: _word_for(variable, values), text)
        if not count:
            break
    return _BARE.sub(lambda variable: values.get(variable[1], variable[0]), text)


def _word_for(variable: re.Match[str], values: Mapping[str, str]) -> str:
    name, kind, word = variable.groups()
    value = values.get(name)
    is_set = value is not None and (value != "" or kind in {"-", "?", "+", None})
    match kind:
        case "-" | ":-":
            return str(value) if is_set else str(word)
        case "+" | ":+":
            return str(word) if is_set else f"${name}"
    return str(value) if is_set else f"${name}"


def values_of(text: str) -> dict[str, str]:
    """Return the variables of an `.env` file; a value of several lines is passed over."""
    lines = (_ASSIGNED.fullmatch(line.strip()) for line in text.splitlines())
    return {line["name"]: _unquoted(line["value"]) for line in lines if line}


def _unquoted(word: str) -> str:
    quoted = _QUOTED.fullmatch(word)
    return quoted["inside"] if quoted else _REMARK.sub("", word).strip()
