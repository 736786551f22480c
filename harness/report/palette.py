"""Colours for pictures, on light and on dark ground: told apart by every kind of colour vision.

Source: Okabe & Ito (2008), "Color Universal Design"; made lighter or darker where a ground asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """One colour for each thing that a picture shows.

    Attributes:
        ground: Behind everything.
        ink: Words and axes.
        faint: Words that explain, grid lines.
        dots: Requests that were answered.
        median: p50.
        tail: p95, the line that is judged.
        bad: Errors.
        waiting: Requests that never finished.
        hits: The share that a cache answered.
        limit: What was promised.
        fault: The band of a fault, and its name.
        sources: The levels of a cache, from the nearest on, in turn.
        none: What no level answered.
    """

    ground: str
    ink: str
    faint: str
    dots: str
    median: str
    tail: str
    bad: str
    waiting: str
    hits: str
    limit: str
    fault: str
    sources: tuple[str, ...]
    none: str


LIGHT = Palette(
    ground="#ffffff",
    ink="#1d2430",
    faint="#6b7380",
    dots="#8fb3cf",
    median="#2b7fb8",
    tail="#003f6b",
    bad="#d55e00",
    waiting="#8a2d6c",
    hits="#007a5a",
    limit="#1d2430",
    fault="#b8321a",
    sources=("#004f80", "#56b4e9", "#009e73", "#f0c808", "#cc79a7", "#8c8c8c", "#b09a63"),
    none="#d55e00",
)
DARK = Palette(
    ground="#14181f",
    ink="#e6e9ee",
    faint="#98a1ae",
    dots="#3f6c8f",
    median="#5cb3ec",
    tail="#cfe8fb",
    bad="#ff8a3d",
    waiting="#e58fc6",
    hits="#38c79a",
    limit="#e6e9ee",
    fault="#ff8f78",
    sources=("#2f7fb8", "#8fd0f7", "#1fb489", "#f0d23c", "#dd9dc0", "#a8a8a8", "#cdb98a"),
    none="#ff8a3d",
)
