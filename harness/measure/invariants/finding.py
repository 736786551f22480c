"""What looking for a counterexample came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterexample:
    """One case that an invariant forbids.

    Attributes:
        sentence: What happened, with everything needed to look it up: key, times, rows.
        samples: Rows of `samples.parquet` that it is about, the one that shows it first.
    """

    sentence: str
    samples: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is known of an invariant after a run.

    Attributes:
        checked: How many times it could have been seen broken; 0 if it was never exercised.
        broken: How many times it was.
        first: The first counterexample in time; None if there is none.
        wanted: What would exercise it, where nothing did.
        also: What else it measured, worth a clause beside the verdict; empty if nothing.
    """

    checked: int
    broken: int
    first: Counterexample | None
    wanted: str = ""
    also: str = ""
