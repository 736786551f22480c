"""A small disk that a component has for itself, where a scenario fills it: where it is, and what keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A disk that goes with what keeps it, so that none is left behind.

    Attributes:
        folder: Where it is, as its keeper sees it.
        keeper: What another process needs to find that: `pid` and `started_s`, or `engine` and `container`.
    """

    folder: str
    keeper: Mapping[str, str | float]
