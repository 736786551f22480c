"""Quantities with their unit written beside them: "250ms", "5s", "0.1%", "300/s".

A bare number is refused: whether `delay: 250` means milliseconds or seconds is the kind of question that a reader of
a scenario must never have to ask. Inside the program every quantity is in its base unit: seconds, bytes, ratios in
[0, 1].
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(us|ms|s|min|h)")
_SECONDS_IN = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|KB|MB)")
_BYTES_IN = {"B": 1, "KB": 1000, "MB": 1_000_000}
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%")
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*/\s*s")

DURATION_PATTERN = rf"^\s*{_DURATION.pattern}\s*$"
"""What a duration looks like in a file; the functions below say what it means."""

OFFSET_PATTERN = rf"^\s*[+-]{_DURATION.pattern}\s*$"
"""The same of how far a clock is off."""

SIZE_PATTERN = rf"^\s*{_SIZE.pattern}\s*$"
"""The same of a size."""

BYTE_RATE_PATTERN = rf"^\s*{_SIZE.pattern}\s*/\s*s\s*$"
"""The same of a size each second."""

RATIO_PATTERN = rf"^\s*{_PERCENT.pattern}\s*$"
"""The same of a percentage."""

RATE_PATTERN = rf"^\s*{_RATE.pattern}\s*$"
"""The same of so many a second."""


def duration_s(text: Any) -> float:
    """Return the seconds that `text` means: a number and one of us, ms, s, min, h.

    Raises:
        ValueError: If the unit is missing or unknown, or `text` is not a string.
    """
    found = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None and isinstance(text, str) and _DURATION.fullmatch(text.strip().removeprefix("-")):
        raise ValueError(f"not a duration: {text!r} is below zero; leave the minus out")
    if found is None:
        raise ValueError(f"not a duration: {text!r}; write a number with its unit (us, ms, s, min, h), such as 250ms")
    return float(found[1]) * _SECONDS_IN[found[2]]


def offset_s(text: Any) -> float:
    """Return the seconds that `text` means: a sign and a duration, such as `+1h`.

    Raises:
        ValueError: If it is none, or has no sign: whether a clock is ahead or behind must be said.
    """
    stripped = text.strip() if isinstance(text, str) else ""
    if stripped[:1] not in {"+", "-"}:
        raise ValueError(
            f"not an offset: {text!r}; write a duration with its sign, such as +1h (ahead) or -1h (behind)"
        )
    return duration_s(stripped[1:]) * (-1 if stripped[0] == "-" else 1)


def size_bytes(text: Any) -> int:
    """Return the bytes that `text` means: a number and one of B, KB, MB, of 1000 each.

    Raises:
        ValueError: If the unit is missing or unknown, or it is no whole number of bytes.
    """
    found = _SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"not a size: {text!r}; write a number with its unit (B, KB, MB), such as 10KB")
    exact = Decimal(found[1]) * _BYTES_IN[found[2]]
    if exact != int(exact):
        raise ValueError(f"not a size: {text!r}; it is no whole number of bytes")
    return int(exact)


def bytes_per_s(text: Any) -> int:
    """Return the bytes a second that `text` means: a size and `/s`.

    Raises:
        ValueError: If it is none.
    """
    size, slash, unit = text.partition("/") if isinstance(text, str) else ("", "", "")
    if (slash, unit.strip()) != ("/", "s"):
        raise ValueError(f"not a rate: {text!r}; write a size for each second, such as 100KB/s")
    return size_bytes(size)


def ratio(text: Any) -> float:
    """Return the ratio in [0, 1] that a percentage such as `0.1%` means.

    Raises:
        ValueError: If the sign is missing or the value lies outside 0 % to 100 %.
    """
    found = _PERCENT.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"not a percentage: {text!r}; write a number with its sign, such as 0.1%")
    if float(found[1]) > 100:
        raise ValueError(f"not a share: {text!r}; a share lies between 0% and 100%")
    return float(found[1]) / 100


def rate_per_s(text: Any) -> float:
    """Return how often a second something happens, where `text` is a rate such as `300/s`.

    Raises:
        ValueError: If the unit is missing, or `text` is not a string.
    """
    found = _RATE.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"not a rate: {text!r}; write a number a second, such as 300/s")
    return float(found[1])


def duration_text(seconds: float) -> str:
    """Return `seconds` as one would write it, in the largest unit that keeps it readable: 0.25 is `250ms`."""
    unit = "s" if seconds >= 1 or seconds == 0 else "ms" if seconds >= 1e-3 else "us"
    return f"{seconds / _SECONDS_IN[unit]:g}{unit}"


def offset_text(seconds: float) -> str:
    """Return how far a clock is off as one would write it: -3600 is `-3600s`."""
    return f"{'-' if seconds < 0 else '+'}{duration_text(abs(seconds))}"


def size_text(length_bytes: float) -> str:
    """Return a size as one would write it, in the largest unit that it fills: 1500 is `1.5KB`."""
    unit = "MB" if length_bytes >= _BYTES_IN["MB"] else "KB" if length_bytes >= _BYTES_IN["KB"] else "B"
    return f"{Decimal(length_bytes) / _BYTES_IN[unit]:f}{unit}"


def byte_rate_text(each_s: float) -> str:
    """Return bytes a second as one would write them: `100KB/s`."""
    return f"{size_text(each_s)}/s"


def percent_text(share: float) -> str:
    """Return a ratio as one would write it: 0.001 is `0.1%`."""
    return f"{share * 100:g}%"


def rate_text(per_s: float) -> str:
    """Return a rate as one would write it: 300 is `300/s`."""
    return f"{per_s:g}/s"


def count_text(number: int) -> str:
    """Return a number as people read it: `2 995`."""
    return f"{number:,}".replace(",", " ")


_DurationText = Annotated[str, Field(pattern=DURATION_PATTERN)]
_OffsetText = Annotated[str, Field(pattern=OFFSET_PATTERN)]
_SizeText = Annotated[str, Field(pattern=SIZE_PATTERN)]
_ByteRateText = Annotated[str, Field(pattern=BYTE_RATE_PATTERN)]
_RateText = Annotated[str, Field(pattern=RATE_PATTERN)]
_RatioText = Annotated[str, Field(pattern=RATIO_PATTERN)]

Duration = Annotated[
    float,
    BeforeValidator(duration_s, json_schema_input_type=_DurationText),
    PlainSerializer(duration_text, return_type=str),
]
"""Seconds, written with a unit."""

Offset = Annotated[
    float,
    BeforeValidator(offset_s, json_schema_input_type=_OffsetText),
    PlainSerializer(offset_text, return_type=str),
]
"""Seconds ahead or, below zero, behind; written with a sign and a unit."""

Size = Annotated[
    int,
    BeforeValidator(size_bytes, json_schema_input_type=_SizeText),
    PlainSerializer(size_text, return_type=str),
]
"""Bytes, written with a unit of 1000."""

ByteRate = Annotated[
    int,
    BeforeValidator(bytes_per_s, json_schema_input_type=_ByteRateText),
    PlainSerializer(byte_rate_text, return_type=str),
]
"""Bytes a second, written with a unit of 1000."""

Ratio = Annotated[
    float,
    BeforeValidator(ratio, json_schema_input_type=_RatioText),
    PlainSerializer(percent_text, return_type=str),
]
"""A share in [0, 1], written as a percentage."""

Rate = Annotated[
    float,
    BeforeValidator(rate_per_s, json_schema_input_type=_RateText),
    PlainSerializer(rate_text, return_type=str),
]
"""So many a second, written as a rate."""
