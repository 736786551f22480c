"""What the whole program was started with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings every proxy shares.

    Attributes:
        seed: All dice are derived from it.
        dial_timeout_s: How long an upstream may take to accept, seconds. Toxiproxy has no such limit and stops
            accepting meanwhile.
    """

    seed: int = 0
    dial_timeout_s: float = 10.0
