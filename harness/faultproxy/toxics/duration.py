"""Attributes that are times: their unit, and how much of it can be meant."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Settings

# More than a day means a mistaken unit.
MAX_MS = 24 * 60 * 60 * 1000


def milliseconds() -> int:
    """Declare an attribute that is a time in milliseconds, 0 by default."""
    return dataclasses.field(default=0, metadata={"max": MAX_MS, "unit": "ms"})


def microseconds() -> int:
    """Declare an attribute that is a time in microseconds, 0 by default."""
    return dataclasses.field(default=0, metadata={"max": MAX_MS * 1000, "unit": "microseconds"})


def too_long(settings: Settings) -> str | None:
    """Return which time is too long to be meant, or `None`; the original takes any."""
    for each in dataclasses.fields(settings):
        if each.metadata and getattr(settings, each.name) > each.metadata["max"]:
            return f"{each.name} must be at most {each.metadata['max']} {each.metadata['unit']}"
    return None
