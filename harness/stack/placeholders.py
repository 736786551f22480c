"""Placeholders: what `{redis.port}` and the like in readiness.toml stand for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.errors import SpecError, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_PLACEHOLDER = re.compile(r"\{([a-z0-9_.-]+)\}")


def placeholders_in(text: str) -> list[str]:
    """Return the names of the placeholders in `text`, in their order."""
    return _PLACEHOLDER.findall(text)


def unknown_in(text: str, known: Collection[str], *, where: str) -> list[SpecError]:
    """Return a mistake for each placeholder in `text` that stands for nothing.

    Args:
        text: A value of readiness.toml.
        known: What stands for something there.
        where: File, line and key of the value.
    """
    words = [word for word in placeholders_in(text) if word not in known]
    return [
        SpecError(f"unknown placeholder {{{word}}}", where=where, fix=nearest(word, sorted(known))) for word in words
    ]


def substituted(text: str, placeholders: Mapping[str, str]) -> str:
    """Replace each placeholder in `text` by what it stands for; `checks` has refused what stands for nothing."""
    return _PLACEHOLDER.sub(lambda found: placeholders[found[1]], text)
