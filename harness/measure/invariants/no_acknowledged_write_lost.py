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
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from harness.history.operations import ABSENT, NO_VERSION
from harness.measure.invariants.finding import Counterexample, Finding
from harness.spec.quantity import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from harness.history.history import History
    from harness.spec.invariant import NoAcknowledgedWriteLost


@dataclass(frozen=True, slots=True)
class _Operation:
    """One row of the table."""

    sent_s: float
    answered_s: float
    digest: int
    version: int
    key: int
    sample: int
    is_write: bool
    is_acknowledged: bool


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
    def first_s(self) -> float:
        """Return from when on it was certainly there: the end of the first operation that had it."""
        if len(self.writes) > 1:
            return math.inf  # which of its writes a read has seen is not known
        ends_s = [each.answered_s for each in (*self.writes, *self.reads[:1]) if each.is_acknowledged]
        return min(ends_s, default=math.inf) if self.writes else -math.inf

    def effects(self, within_s: float) -> Iterator[_Effect]:
        """Return what shows that it was there."""
        acknowledged = [write for write in self.writes if write.is_acknowledged]
        if len(self.writes) > 1:
            yield from (_Effect(write, write.sent_s) for write in acknowledged)
            return
        begins_s = [*(write.sent_s for write in self.writes), *(read.sent_s - within_s for read in self.reads)]
        yield from (_Effect(each, max(begins_s)) for each in (*acknowledged, *self.reads[:1]))


@dataclass(frozen=True, slots=True)
class _Effect:
    """A value was certainly there.

    Attributes:
        by: The write that was acknowledged, or the read that saw it: there by the time of its answer.
        last_s: Until when it was there, at least: the beginning of the last operation that had it.
    """

    by: _Operation
    last_s: float


@dataclass(frozen=True, slots=True)
class _Latest:
    """Until when values were there, of all that were there by some moment: the latest, and the latest of any other.

    Attributes:
        digest: Of the value that was there latest.
        last_s: Until when.
        others_s: Until when any other was.
    """

    digest: int = ABSENT
    last_s: float = -math.inf
    others_s: float = -math.inf

    def but_for(self, digest: int) -> float:
        """Return the latest of the values that are not this one."""
        return self.others_s if digest == self.digest else self.last_s


def _later(latest: _Latest, effect: _Effect) -> _Latest:
    digest = effect.by.digest
    if digest == latest.digest:
        return _Latest(digest, max(latest.last_s, effect.last_s), latest.others_s)
    if effect.last_s > latest.last_s:
        return _Latest(digest, effect.last_s, latest.last_s)
    return _Latest(latest.digest, latest.last_s, max(latest.others_s, effect.last_s))


def no_acknowledged_write_lost(invariant: NoAcknowledgedWriteLost, history: History) -> Finding:
    """Look for a read that misses an acknowledged write, or sees a value that was never written.

    A key is checked by each read that was sent when some write of it had been acknowledged for longer than `within`;
    where faults were injected, only reads after the first of them count, since a loss is what they are there for.
    """
    began_s = min((mark.injected_s for mark in history.faults), default=-math.inf)
    registers = [_Register(operations, invariant.within) for operations in _by_key(history.operations.records)]
    broken = [(operation, register) for register in registers for operation in register.impossible()]
    checking = [read for register in registers for read in register.checking() if read.sent_s >= began_s]
    is_written = any(write.is_acknowledged for register in registers for write in register.writes)
    first, whose = min(broken, key=lambda each: each[0].answered_s, default=(None, None))
    return Finding(
        checked=len(checking),
        broken=len(broken),
        first=whose.counterexample(first) if whose is not None and first is not None else None,
        wanted=_wanted(history, invariant.within, is_written=is_written),
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
        self._reads = [each for each in ordered if not each.is_write and each.is_acknowledged]
        self._values: dict[int, _Value] = {}
        for write in self.writes:
            self._values.setdefault(write.digest, _Value()).writes.append(write)
        self._before = next((read for read in self._reads if read.digest not in self._values), None)
        if self._before is not None:
            self._values[self._before.digest] = _Value()
        for read in self._reads:
            if self._may_exist(read):
                self._values[read.digest].reads.append(read)
        self._first_s = {digest: value.first_s for digest, value in self._values.items()}
        effects = (effect for value in self._values.values() for effect in value.effects(within_s))
        self._effects = sorted(effects, key=lambda effect: effect.by.answered_s)
        self._by_s = [effect.by.answered_s for effect in self._effects]
        self._last = list(accumulate(self._effects, _later, initial=_Latest()))
        self._newest = list(accumulate((effect.by.version for effect in self._effects), max, initial=NO_VERSION))

    def checking(self) -> Iterator[_Operation]:
        """Return the reads that could have shown an acknowledged write to be lost."""
        first_s = min((write.answered_s for write in self.writes if write.is_acknowledged), default=math.inf)
        return (read for read in self._reads if read.sent_s - self._within_s > first_s)

    def impossible(self) -> Iterator[_Operation]:
        """Return the operations that cannot be, if nothing was lost and nothing made up."""
        yield from (read for read in self._reads if not self._may_exist(read) or self._is_outdated(read))
        yield from (write for write in self.writes if write.is_acknowledged and self._is_undone(write))

    def counterexample(self, operation: _Operation) -> Counterexample:
        """Say why an operation cannot be."""
        verb = "was acknowledged as" if operation.is_write else "answered"
        said = f"key {operation.key}: {_named(operation)} {verb} {_value(operation)}"
        if operation.is_write or self._may_exist(operation):
            earlier = self._earlier(operation)
            allowed = f", where {duration_text(self._within_s)} is allowed" if self._within_s else ""
            known = "had been acknowledged" if earlier.is_write else "had been answered"
            late = f"{operation.sent_s - earlier.answered_s:.3f} s before{allowed}"
            why = f"although {_value(earlier)} {known} to {_named(earlier)}, {late}"
            return Counterexample(sentence=f"{said}, {why}", samples=(operation.sample, earlier.sample))
        before = self._before
        if operation.digest in self._values or before is None:
            return Counterexample(sentence=f"{said}, which was written only later", samples=(operation.sample,))
        why = f"which was never written; before the run it held {_value(before)}, as {_named(before)} says"
        return Counterexample(sentence=f"{said}, {why}", samples=(operation.sample, before.sample))

    def _may_exist(self, read: _Operation) -> bool:
        """Tell whether the value was there before the run, or sent before the answer that has it."""
        value = self._values.get(read.digest)
        return value is not None and value.sent_s <= read.answered_s

    def _is_outdated(self, read: _Operation) -> bool:
        """Tell whether another value was there between the first operation that had this one and the read."""
        certain = bisect_left(self._by_s, read.sent_s - self._within_s)
        is_replaced = self._first_s[read.digest] < self._last[certain].but_for(read.digest)
        return is_replaced or _is_older(read, self._newest[certain])

    def _is_undone(self, write: _Operation) -> bool:
        """Tell whether the write became no later version than what was certainly there before it was sent."""
        return NO_VERSION < write.version <= self._newest[bisect_left(self._by_s, write.sent_s)]

    def _earlier(self, operation: _Operation) -> _Operation:
        """Return the first that shows what an outdated read, or an undone write, should have followed."""
        first_s = self._first_s[operation.digest]
        for effect in self._effects:
            by = effect.by
            if operation.is_write and by.version >= operation.version:
                return by
            is_replaced = by.digest != operation.digest and first_s < effect.last_s
            if not operation.is_write and (is_replaced or _is_older(operation, by.version)):
                return by
        raise ValueError(f"{operation} follows everything that was there before it")


def _is_older(read: _Operation, version: int) -> bool:
    return NO_VERSION < read.version < version


def _by_key(records: NDArray[np.void]) -> Iterator[list[_Operation]]:
    """Return the operations of each key."""
    names = ("sent_s", "answered_s", "digest", "version", "key", "sample", "is_write", "is_acknowledged")
    ordered = records[np.argsort(records["key"], kind="stable")]
    columns = [ordered[name].tolist() for name in names]
    operations = [_Operation(*row) for row in zip(*columns, strict=True)]
    edges = [0, *(np.flatnonzero(np.diff(ordered["key"])) + 1).tolist(), len(operations)]
    return (operations[began:ended] for began, ended in pairwise(edges) if ended > began)


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
