"""Requests as their client saw them, in columns.

A run's samples are one numpy array of fixed-size records beside three short lists of names, so that a million of
them are judged in a second and written as they are. Times are seconds since the run's origin (`CLOCK_MONOTONIC`);
latency counts from the *intended* start, so a stalled service cannot hide by slowing its client down.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class SampleOutcome(IntEnum):
    """What became of one intended request; every intended request has exactly one of these."""

    OK = 0
    FAILED = 1
    """It was answered, but not with success, or the connection broke or timed out."""
    UNFINISHED = 2
    """It was still in flight when the drain ended; its latency is how long it had waited by then."""
    NOT_SENT = 3
    """No free user took it before the run ended, or the backlog was full."""
    CANCELLED = 4
    """Its client gave it up before there was an answer, as a fault of the load has it: no error, and no success."""
    PREVENTED = 5
    """The generator's machine had no port or descriptor left to send it from: it says nothing of the service."""


RECORD = np.dtype(
    [
        ("intended_s", "<f8"),  # when the schedule wanted it to start
        ("sent_s", "<f8"),  # when it did start; NaN if it never did
        ("latency_s", "<f8"),  # its end (or the end of the drain) minus intended_s
        ("version", "<i8"),  # what the answer called its version; -1 if it did not say
        ("key", "<i4"),  # what was asked for of many like things; -1 if none
        ("status", "<u2"),  # HTTP status; 0 without an answer
        ("operation", "u1"),  # index into Samples.operations: which request it was
        ("source", "u1"),  # index into Samples.sources: the level of a cache that the answer says it came from
        ("replica", "u1"),  # index into Samples.replicas: who answered
        ("outcome", "u1"),  # a SampleOutcome
        ("impatient", "u1"),  # 1 if its client was to give up early, whether or not an answer came before
        ("attempt", "u1"),  # 0 of what the schedule asked; of a request that is asked again, how often it was before
    ]
)
"""One request, 42 bytes. The load child appends these; Parquet keeps the same columns."""

SELDOM = ("impatient", "attempt")
"""Columns that only faults of the load fill, so that a run without them is written as it was before there were any."""

NAMELESS = ""
"""Index 0 of every list of names: the answer did not say."""

NAMES_MAX = 256
"""Of each list, the nameless included: an index is one byte. What turns up when a list is full is nameless as well."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """All requests of one run, in order of their intended start.

    Attributes:
        records: One-dimensional array of `RECORD`.
        operations: Names of requests, as they are declared, or as a locustfile gives them.
        sources: Values of the header that names a cache's level; the first is `NAMELESS`.
        replicas: Names of replicas; the first is `NAMELESS`.
    """

    records: NDArray[np.void]
    operations: tuple[str, ...] = (NAMELESS,)
    sources: tuple[str, ...] = (NAMELESS,)
    replicas: tuple[str, ...] = (NAMELESS,)

    def __len__(self) -> int:
        return len(self.records)

    def between(self, began_s: float, ended_s: float) -> Samples:
        """Keep the requests meant to start in [began_s, ended_s), seconds since the origin."""
        intended_s = self.records["intended_s"]
        return self.keep((intended_s >= began_s) & (intended_s < ended_s))

    def of(self, names: str | Sequence[str]) -> Samples:
        """Keep the requests of one name, or of several; an unknown name keeps none."""
        wanted = [names] if isinstance(names, str) else names
        return self.keep(self.is_named("operation", self.operations, wanted))

    def judged(self) -> Samples:
        """Keep the requests that promises are about: sent, when the schedule said, by clients that wait.

        Of clients that give up early only the quick answers are seen, and a slow service would look fast by them. What
        is asked again comes when the service is unwell, and would count the same bad moment several times.
        What the generator's own machine prevented, the service never met: an obligation of the load tells of it.
        """
        is_judged = (self.records["impatient"] == 0) & (self.records["attempt"] == 0)
        is_judged &= ~self.has_outcome(SampleOutcome.PREVENTED)
        return self if is_judged.all() else self.keep(is_judged)

    def keep(self, mask: NDArray[np.bool_]) -> Samples:
        """Keep the requests for which `mask` holds."""
        return Samples(self.records[mask], self.operations, self.sources, self.replicas)

    def is_ok(self) -> NDArray[np.bool_]:
        """Tell for each request whether it ended well."""
        return self.has_outcome(SampleOutcome.OK)

    def is_answered(self) -> NDArray[np.bool_]:
        """Tell for each request whether an answer came, whatever it says: a refusal is one.

        One that broke off keeps the status that it began with. A success without its end is no answer; a refusal was
        said by then. (A whole success that its request does not expect cannot be told from one that broke off.)
        """
        is_success = (self.records["status"] >= 200) & (self.records["status"] < 300)
        has_said_no = self.has_outcome(SampleOutcome.FAILED) & (self.records["status"] > 0) & ~is_success
        return self.is_ok() | has_said_no

    def is_slower_than(self, over_s: float) -> NDArray[np.bool_]:
        """Tell for each request whether it took longer than `over_s`, from its intended start."""
        slower: NDArray[np.bool_] = self.records["latency_s"] > over_s
        return slower

    def has_outcome(self, *outcomes: SampleOutcome) -> NDArray[np.bool_]:
        """Tell for each request whether it ended in one of `outcomes`."""
        return np.isin(self.records["outcome"], outcomes)

    @property
    def is_source_told(self) -> bool:
        """Tell whether any answer of the run named a cache's level."""
        return len(self.sources) > 1

    def nameless(self) -> str:
        """Say what could not be told apart, because there were more names than a list has room for; or nothing."""
        unnamed = int((self.records["operation"] == 0).sum())
        said = []
        if len(self.operations) >= NAMES_MAX and unnamed:
            said.append(f"{unnamed} requests have none of the first {NAMES_MAX - 1} names, and are nameless here")
        for names, what in ((self.sources, "levels of a cache"), (self.replicas, "replicas")):
            if len(names) >= NAMES_MAX:
                said.append(f"answers named {NAMES_MAX - 1} {what} or more, and no others are told apart")
        return "; ".join(said)

    def came_from(self, *sources: str) -> NDArray[np.bool_]:
        """Tell for each request whether its answer named one of `sources`."""
        return self.is_named("source", self.sources, sources)

    def is_named(self, column: str, names: Sequence[str], wanted: Sequence[str]) -> NDArray[np.bool_]:
        """Tell for each request whether `column`, an index into `names`, means one of `wanted`."""
        return np.isin(self.records[column], [index for index, name in enumerate(names) if name in wanted])


def no_samples() -> Samples:
    """Return a run in which nothing was seen."""
    return Samples(np.empty(0, dtype=RECORD))
