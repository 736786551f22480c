"""Whether a write that was acknowledged was ever unseen by a later read: a register of each key, checked by intervals.

A write takes effect at some moment between its sending and its answer; one without an answer at any moment after its
sending, or never. A read answers with the value of some moment between its sending, less the staleness that is
allowed, and its answer. So a value was there, for certain, from the end of the first operation that had it to the
beginning of the last one that has it, and two values cannot be there at once:

```
 write A  |-----|
 write B            |------|
 read, A                        |----|      A was there from the first line's end to here, B meanwhile: B is lost
```

Where the service numbers its versions, a lower one after a higher one says the same, and so does an acknowledged write
that became no higher version than one that was there before it was sent.

The values are told apart by their digests, so each write must carry a value of its own; of a value that was written
twice nothing is concluded. What a key held before the run is not known: the first value of it that no write of ours
carried is taken for that, any other one for made up.

Source: Gibbons and Korach, Testing Shared Memories (1997), section 4, for registers of which each value is written
once; unknown outcomes as in Jepsen's register checker (jepsen.io).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from harness.history.operations import ABSENT, NO_VERSION
from harness.measure.invariants.data_loss import age_when_lost
from harness.measure.invariants.finding import Counterexample, Finding
from harness.spec.quantity import count_text, duration_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.history.history import History
    from harness.history.marks import FaultMark
    from harness.measure.invariants.data_loss import Age
    from harness.spec.invariant import NoAcknowledgedWriteLost


@dataclass(frozen=True, slots=True)
class _Operation:
    """One row of the table; `is_stale` if the answer itself says that it may be outdated."""

    sent_s: float
    answered_s: float
    digest: int
    version: int
    key: int
    sample: int
    is_write: bool
    is_acknowledged: bool
    is_stale: bool


@dataclass(slots=True)
class _Value:
    """One value that a key had, or may have had.

    Attributes:
        writes: Those that carried it; none if it was there before the run.
        reads: Those that were answered with it, in the order of their answers.
    """

    writes: list[_Operation] = field(default_factory=list)
    reads: list[_Operation] = field(default_factory=list)

    @property
    def sent_s(self) -> float:
        """Return when it was first sent."""
        return min((write.sent_s for write in self.writes), default=-math.inf)

    @property
    def first(self) -> _Operation | None:
        """Return the operation that ended first of those that had it; None if it may never have been there."""
        if len(self.writes) > 1:
            return None  # which of its writes a read has seen is not known
        ended = (each for each in (*self.writes, *self.reads[:1]) if each.is_acknowledged)
        return min(ended, key=lambda each: each.answered_s, default=None)

    @property
    def first_s(self) -> float:
        """Return from when on it was certainly there; infinite if never, or if that cannot be told."""
        if not self.writes:
            return -math.inf
        return math.inf if self.first is None else self.first.answered_s


@dataclass(frozen=True, slots=True)
class _Latest:
    """Until when values were there, of some: the value that was there latest, and the latest of the others.

    Attributes:
        digest: Of the value that was there latest; None of no value.
        last_s: Until when.
        other: The digest of the latest of the others.
        other_s: Until when that one was.
    """

    digest: int | None = None
    last_s: float = -math.inf
    other: int | None = None
    other_s: float = -math.inf

    def but_for(self, digest: int) -> tuple[int | None, float]:
        """Return the latest that is not this one, and until when."""
        return (self.other, self.other_s) if digest == self.digest else (self.digest, self.last_s)

    def until(self, digest: int, last_s: float) -> _Latest:
        """Return the same, knowing that a value was there until then."""
        if digest == self.digest:
            return _Latest(digest, max(self.last_s, last_s), self.other, self.other_s)
        if last_s > self.last_s:
            return _Latest(digest, last_s, self.digest, self.last_s)
        return self if last_s <= self.other_s else _Latest(self.digest, self.last_s, digest, last_s)


@dataclass(frozen=True, slots=True)
class _Breach:
    """An operation that cannot be.

    Attributes:
        shown_by: The operation.
        earlier: What was there in its place; of an answer with a value that was never written what the key held before
            the run, or None if its value was only written later.
    """

    shown_by: _Operation
    earlier: _Operation | None
    is_made_up: bool = False


@dataclass(frozen=True, slots=True)
class _Loss:
    """A breach, with the oldest of what it shows to be lost; nothing is lost where a value is made up.

    Attributes:
        breach: What shows it.
        oldest: The first to be acknowledged of those that are lost; None if that is not what happened.
        age: Its age when it was lost; None with it.
        is_excused: Whether all that it lost is younger than the service's recovery point objective.
    """

    breach: _Breach
    oldest: _Operation | None
    age: Age | None
    is_excused: bool


def no_acknowledged_write_lost(invariant: NoAcknowledgedWriteLost, history: History) -> Finding:
    """Look for a read that misses an acknowledged write, or sees a value that was never written.

    A key is checked by each read that was sent when some write of it had been acknowledged for longer than `within`;
    where faults were injected, only reads after the first of them count, since a loss is what they are there for. A
    breach that shows nothing to be lost but what is younger than `rpo` is allowed, and told.
    """
    began_s = min((mark.injected_s for mark in history.faults), default=-math.inf)
    registers = [_Register(operations, invariant.within) for operations in _by_key(history, invariant.stale_from)]
    losses = [
        _loss(breach, register.lost(breach), invariant.rpo, history.faults)
        for register in registers
        for breach in register.breaches()
    ]
    breaches = [loss.breach for loss in losses if not loss.is_excused]
    checking = [read for register in registers for read in register.checking() if read.sent_s >= began_s]
    is_written = any(write.is_acknowledged for register in registers for write in register.writes)
    first = min(breaches, key=lambda breach: breach.shown_by.answered_s, default=None)
    return Finding(
        checked=len(checking),
        broken=len(breaches),
        first=None if first is None else _counterexample(first, invariant.within),
        wanted=_wanted(history, invariant.within, is_written=is_written),
        also=_oldest(losses, excused=len(losses) - len(breaches)),
    )


class _Register:
    """Everything that was written to one key, and read from it.

    Args:
        operations: Of that key, in any order.
        within_s: How long a read may still answer with what was replaced.
    """

    def __init__(self, operations: Iterable[_Operation], within_s: float) -> None:
        self._within_s = within_s
        ordered = sorted(operations, key=lambda each: each.answered_s)
        self.writes = [each for each in ordered if each.is_write and not math.isnan(each.sent_s)]
        answers = [each for each in ordered if not each.is_write and each.is_acknowledged]
        self._writes_s = [each.answered_s for each in self.writes]
        self._values: dict[int, _Value] = {}
        for write in self.writes:
            self._values.setdefault(write.digest, _Value()).writes.append(write)
        self._before = next((read for read in answers if read.digest not in self._values), None)
        if self._before is not None:
            self._values[self._before.digest] = _Value()
        self._made_up = [read for read in answers if not self._may_exist(read)]
        self._reads = [read for read in answers if self._may_exist(read) and not read.is_stale]
        for read in self._reads:
            self._values[read.digest].reads.append(read)
        there = [each for each in (*self.writes, *self._reads) if each.is_acknowledged]
        there.sort(key=lambda each: each.answered_s)
        self._there_s = [each.answered_s for each in there]
        self._newest = list(accumulate(there, _newer))

    def checking(self) -> Iterator[_Operation]:
        """Return the reads that could have shown an acknowledged write to be lost."""
        first_s = min((write.answered_s for write in self.writes if write.is_acknowledged), default=math.inf)
        return (read for read in self._reads if read.sent_s - self._within_s > first_s)

    def breaches(self) -> Iterator[_Breach]:
        """Return the operations that cannot be, if nothing was lost and nothing made up."""
        for read in self._made_up:
            is_foreseen = read.digest in self._values
            yield _Breach(read, None if is_foreseen else self._before, is_made_up=True)
        yield from self._outdated()
        for write in self.writes:
            newest = self._newest_before(write.sent_s)
            if write.is_acknowledged and newest is not None and NO_VERSION < write.version <= newest.version:
                yield _Breach(write, newest)

    def lost(self, breach: _Breach) -> list[_Operation]:
        """Return what a breach shows to be lost, in the order of acknowledgement; nothing if a value is made up.

        That is what was there in the place of its value, and each acknowledged write that had come between: sent when
        its value was there already, or of a version beyond its own.
        """
        shown, earlier = breach.shown_by, breach.earlier
        if earlier is None or breach.is_made_up:
            return []
        until_s = shown.sent_s - (0.0 if shown.is_write else self._within_s)
        since_s = self._values[shown.digest].first_s
        between = [
            write
            for write in self.writes[: bisect_left(self._writes_s, until_s)]
            if write.is_acknowledged and (write.sent_s > since_s or _is_outlived(shown, write))
        ]
        first = self._values[earlier.digest].first or earlier
        return sorted({*between, first}, key=lambda each: each.answered_s)

    def _may_exist(self, read: _Operation) -> bool:
        """Tell whether the value was there before the run, or sent before the answer that has it."""
        value = self._values.get(read.digest)
        return value is not None and value.sent_s <= read.answered_s

    def _newest_before(self, until_s: float) -> _Operation | None:
        """Return the operation with the highest version of those that ended before a moment."""
        ended = bisect_left(self._there_s, until_s)
        return self._newest[ended - 1] if ended else None

    def _outdated(self) -> Iterator[_Breach]:
        """Return the reads of a value that another one had replaced by then, for longer than is allowed.

        In the order in which they were sent, so that of two values the one that came back is to blame; what is to
        blame says nothing of the reads after it.
        """
        firsts = {digest: value.first for digest, value in self._values.items()}
        first_s = {digest: value.first_s for digest, value in self._values.items()}
        last_s = dict.fromkeys(self._values, -math.inf)
        coming = deque(
            sorted((digest for digest, first in firsts.items() if first is not None), key=first_s.__getitem__)
        )
        latest = _Latest()
        for operation in sorted((*self.writes, *self._reads), key=lambda each: each.sent_s):
            digest, begins_s = operation.digest, operation.sent_s
            if not operation.is_write:
                begins_s -= self._within_s
                while coming and first_s[coming[0]] < begins_s:
                    latest = latest.until(coming[0], last_s[coming.popleft()])
                other, other_s = latest.but_for(digest)
                newest = self._newest_before(begins_s)
                if other is not None and first_s[digest] < other_s:
                    yield _Breach(operation, firsts[other])
                    continue
                if newest is not None and _is_older(operation, newest.version):
                    yield _Breach(operation, newest)
                    continue
            last_s[digest] = max(last_s[digest], begins_s)
            if first_s[digest] < begins_s:
                latest = latest.until(digest, last_s[digest])


def _is_older(read: _Operation, version: int) -> bool:
    return NO_VERSION < read.version < version


def _is_outlived(shown: _Operation, write: _Operation) -> bool:
    """Tell whether a write had a version that an operation goes back behind; a later write must have a higher one."""
    return NO_VERSION < shown.version < write.version + shown.is_write


def _newer(one: _Operation, other: _Operation) -> _Operation:
    return other if other.version > one.version else one


def _by_key(history: History, stale_from: tuple[str, ...]) -> Iterator[list[_Operation]]:
    """Return the operations of each key."""
    records = history.operations.records
    ordered = records[np.argsort(records["key"], kind="stable")]
    names = ("sent_s", "answered_s", "digest", "version", "key", "sample", "is_write", "is_acknowledged")
    is_stale = history.samples.came_from(*stale_from)[ordered["sample"]] if stale_from else np.zeros(len(ordered), bool)
    columns = [*(ordered[name].tolist() for name in names), is_stale.tolist()]
    operations = [_Operation(*row) for row in zip(*columns, strict=True)]
    edges = [0, *(np.flatnonzero(np.diff(ordered["key"])) + 1).tolist(), len(operations)]
    return (operations[began:ended] for began, ended in pairwise(edges) if ended > began)


def _loss(breach: _Breach, lost: Sequence[_Operation], rpo_s: float | None, faults: Sequence[FaultMark]) -> _Loss:
    if not lost:
        return _Loss(breach, oldest=None, age=None, is_excused=False)
    ages = [age_when_lost(each.answered_s, breach.shown_by.sent_s, faults) for each in lost]
    return _Loss(breach, lost[0], ages[0], is_excused=all(age.is_within(rpo_s) for age in ages))


def _oldest(losses: Iterable[_Loss], *, excused: int) -> str:
    """Say how old the oldest of all that was lost was, and how much of it is allowed; nothing if nothing was lost.

    What no fault took was gone when it was first missed, however often it is missed after that.
    """
    ages: dict[_Operation, Age] = {}
    for loss in sorted(losses, key=lambda loss: loss.breach.shown_by.sent_s):
        if loss.oldest is not None and loss.age is not None:
            known = ages.setdefault(loss.oldest, loss.age)
            ages[loss.oldest] = max(known, loss.age, key=lambda age: age.seconds) if loss.age.is_by_fault else known
    if not ages:
        return ""
    oldest, age = max(ages.items(), key=lambda item: item[1].seconds)
    allowed = f"breaches allowed: {count_text(excused)}; " if excused else ""
    return f"{allowed}the oldest lost is {_named(oldest)}, {age.seconds:.3f} s before {age.until}"


def _counterexample(breach: _Breach, within_s: float) -> Counterexample:
    shown, earlier = breach.shown_by, breach.earlier
    verb = "was acknowledged as" if shown.is_write else "answered"
    said = f"key {shown.key}: {_named(shown)} {verb} {_value(shown)}"
    if earlier is None:
        return Counterexample(sentence=f"{said}, which was written only later", samples=(shown.sample,))
    samples = (shown.sample, earlier.sample)
    if breach.is_made_up:
        why = f"which was never written; before the run it held {_value(earlier)}, as {_named(earlier)} says"
        return Counterexample(sentence=f"{said}, {why}", samples=samples)
    known = "had been acknowledged" if earlier.is_write else "had been answered"
    allowed = f", where {duration_text(within_s)} is allowed" if within_s and not shown.is_write else ""
    late = f"{shown.sent_s - earlier.answered_s:.3f} s before{allowed}"
    why = f"although {_value(earlier)} {known} to {_named(earlier)}, {late}"
    return Counterexample(sentence=f"{said}, {why}", samples=samples)


def _named(operation: _Operation) -> str:
    verb = "write" if operation.is_write else "read"
    times = f"sent at {operation.sent_s:.3f} s and answered at {operation.answered_s:.3f} s"
    return f"the {verb} {times} (sample {operation.sample})"


def _value(operation: _Operation) -> str:
    if operation.digest == ABSENT:
        return "that there is none"
    version = "" if operation.version == NO_VERSION else f"version {operation.version}, "
    return f"{version}digest {operation.digest:016x}"


def _wanted(history: History, within_s: float, *, is_written: bool) -> str:
    """Say what was missing for a single check."""
    if not len(history.operations):
        return "no request's value was remembered; let a request of the load write values, and one read them"
    if not is_written:
        return "not one write was acknowledged; send writes that the service takes"
    after = f"more than {duration_text(within_s)} after it" if within_s else "after it"
    since = f" and since {history.faults[0].fault} began" if history.faults else ""
    return f"no acknowledged write was read {after}{since}; read the keys that are written, for longer"
