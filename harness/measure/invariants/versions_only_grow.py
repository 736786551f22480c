"""Whether versions tell values apart: none is given to two of an item, and no replica goes back to an older one.

A replica that goes back has forgotten what it knew, as a cache does that believes old news: a client that reads twice
sees its item change, and change back. How long a replica may not know of a write is another promise
(`no_acknowledged_write_lost`, `within`); this one holds whatever that allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.history.operations import ABSENT, NO_VERSION
from harness.history.samples import NAMELESS
from harness.measure.asked import NOBODY, clients, items
from harness.measure.invariants.finding import Counterexample, Finding
from harness.measure.invariants.going_back import gone_back
from harness.spec.quantity import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.history.history import History
    from harness.measure.invariants.going_back import Answer
    from harness.spec.invariant import VersionsOnlyGrow
    from harness.spec.load import Load


@dataclass(frozen=True, slots=True)
class _Named:
    """An operation that says which version the value of a key is; `owner` is whose key."""

    answered_s: float
    sent_s: float
    digest: int
    version: int
    key: int
    sample: int
    is_write: bool
    owner: int

    def __str__(self) -> str:
        verb = "write" if self.is_write else "read"
        return f"the {verb} sent at {self.sent_s:.3f} s and answered at {self.answered_s:.3f} s (sample {self.sample})"

    @property
    def value(self) -> str:
        """Return what the version stands for."""
        return "that there is none" if self.digest == ABSENT else f"digest {self.digest:016x}"


def versions_only_grow(invariant: VersionsOnlyGrow, load: Load, history: History) -> Finding:
    """Look for a version with two values, and for a replica that went back.

    An answer counts as checked if its version was known before it, or if its replica knew a newer one than the oldest.
    """
    known, twice = _named_twice(invariant, load, history)
    samples = history.samples
    replica = samples.records["replica"].astype(np.int64)
    replicas = np.where(replica == samples.replicas.index(NAMELESS), NOBODY, replica)
    asked = items(samples, load, invariant.by)
    is_fresh = ~samples.came_from(*invariant.stale_from)
    back = gone_back(samples, asked.numbers, replicas, is_fresh, within_s=invariant.within)
    found = [
        *((other.answered_s, _of_two(other, one)) for other, one in twice),
        *((answer.answered_s, _backwards(answer, newest, history, invariant.within)) for answer, newest in back.pairs),
    ]
    first = min(found, key=lambda each: each[0], default=None)
    return Finding(
        checked=known + back.checked,
        broken=len(found),
        first=None if first is None else first[1],
        wanted="no answer told a version that was known, or came from a replica that knew a newer one than the oldest; "
        "write the items that are read, and read them more often",
    )


def _named_twice(invariant: VersionsOnlyGrow, load: Load, history: History) -> tuple[int, list[tuple[_Named, _Named]]]:
    """Return how many operations told a version that was known, and those that told another value of it."""
    checked, twice = 0, list[tuple[_Named, _Named]]()
    first: dict[tuple[int, int, int], _Named] = {}
    for operation in _naming(invariant, load, history):
        one = first.setdefault((operation.key, operation.owner, operation.version), operation)
        checked += one is not operation
        if one.digest != operation.digest:
            twice.append((operation, one))
    return checked, twice


def _naming(invariant: VersionsOnlyGrow, load: Load, history: History) -> Iterator[_Named]:
    """Return the operations that tell which version a value is, in order of their answers."""
    records = history.operations.records
    told = records[records["is_acknowledged"] & (records["version"] > NO_VERSION)]
    told = told[np.argsort(told["answered_s"], kind="stable")]
    owners = clients(history.samples, load, invariant.by).numbers[told["sample"]] if invariant.by else told["key"] * 0
    names = ("answered_s", "sent_s", "digest", "version", "key", "sample", "is_write")
    for row in zip(*(told[name].tolist() for name in names), owners.tolist(), strict=True):
        yield _Named(*row)


def _of_two(other: _Named, one: _Named) -> Counterexample:
    sentence = (
        f"key {other.key}: version {other.version} is {other.value} to {other}, although it was {one.value} to {one}"
    )
    return Counterexample(sentence=sentence, samples=(other.sample, one.sample))


def _backwards(answer: Answer, newest: Answer, history: History, within_s: float) -> Counterexample:
    samples = history.samples
    record = samples.records[answer.row]
    allowed = f", where {duration_text(within_s)} is allowed" if within_s else ""
    sentence = (
        f"key {record['key']}: {answer} was answered version {answer.version} by "
        f"{samples.replicas[record['replica']]}, which had answered version {newest.version} to {newest}, "
        f"{answer.sent_s - newest.answered_s:.3f} s before{allowed}"
    )
    return Counterexample(sentence=sentence, samples=(answer.row, newest.row))
