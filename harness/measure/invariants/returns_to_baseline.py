"""Whether each replica holds no more, after all has healed, than before anything was hurt: what stays is a leak.

```
          over |   faults   |        | over
 held  ________|............|........|________      the most of these seconds, and the least of those
```

A moment's more is no leak, such as the descriptors of requests that are under way: so it is the most that was held
before and the least that is held since. A replica that was started anew meanwhile is the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from harness.measure.invariants.finding import Counterexample, Finding
from harness.spec.quantity import duration_text, size_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness.history.history import History
    from harness.history.machine import Held
    from harness.spec.invariant import ReturnsToBaseline

_LEAST_SHARE = 0.5
"""Of the seconds to be compared: where fewer were measured, as on a machine that hardly ran, nothing is known."""


@dataclass(frozen=True, slots=True)
class _Thing:
    """One thing that is bounded.

    Attributes:
        what: What it is, in words.
        held: How much of it a replica holds.
        more: How much more it may be, in its own unit.
        more_ratio: By what share more, a ratio.
        is_bytes: Whether it is counted in bytes.
    """

    what: str
    held: Callable[[Held], int]
    more: int = 0
    more_ratio: float = 0.0
    is_bytes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """One thing that one replica holds.

    Attributes:
        replica: Its name.
        what: What it is, in words.
        before: The most of it before anything was hurt.
        since: The least of it at the end.
        allowed: What it may be.
        is_bytes: Whether that is counted in bytes.
    """

    replica: str
    what: str
    before: int
    since: int
    allowed: float
    is_bytes: bool = False

    @property
    def is_broken(self) -> bool:
        """Tell whether more is held than is allowed."""
        return self.since > self.allowed

    @property
    def excess_ratio(self) -> float:
        """Return how many times as much is held as is allowed."""
        return self.since / max(1.0, self.allowed)

    def said(self, number: float) -> str:
        """Return an amount of it."""
        return size_text(number) if self.is_bytes else f"{number:g}"


def returns_to_baseline(invariant: ReturnsToBaseline, history: History) -> Finding:
    """Look for a replica that holds too much at the end; of several the one with the most for what it may hold is told.

    A replica counts as checked with each thing that is bounded, if it was looked into in both stretches of time.
    """
    compared = list(_compared(invariant, history))
    broken = [each for each in compared if each.is_broken]
    worst = max(broken, key=lambda each: each.excess_ratio, default=None)
    return Finding(
        checked=len(compared),
        broken=len(broken),
        first=None if worst is None else _counterexample(worst, invariant, history),
        wanted=_wanted(invariant, history),
    )


def _compared(invariant: ReturnsToBaseline, history: History) -> Iterator[_Compared]:
    windows = _windows(invariant, history)
    if windows is None:
        return
    before, since = (_by_replica(history, *window) for window in windows)
    needed = invariant.over * _LEAST_SHARE
    for replica in sorted(before.keys() & since.keys()):
        if min(len(before[replica]), len(since[replica])) >= needed:
            yield from _of_replica(invariant, replica, before[replica], since[replica])


def _of_replica(
    invariant: ReturnsToBaseline, replica: str, before: Sequence[Held], since: Sequence[Held]
) -> Iterator[_Compared]:
    for thing in _bounded(invariant, (*before, *since)):
        most = max(map(thing.held, before))
        yield _Compared(
            replica=replica,
            what=thing.what,
            before=most,
            since=min(map(thing.held, since)),
            allowed=most * (1 + thing.more_ratio) + thing.more,
            is_bytes=thing.is_bytes,
        )


def _bounded(invariant: ReturnsToBaseline, seen: Sequence[Held]) -> Iterator[_Thing]:
    """Return what is bounded, of what is told in each second."""
    if invariant.connections is not None:
        for name in sorted(set.intersection(*({*each.connections} for each in seen))):
            yield _Thing(f"connections to {name}", partial(_connections, name), more=invariant.connections)
    if invariant.descriptors is not None:
        yield _Thing("file descriptors", attrgetter("descriptors"), more=invariant.descriptors)
    if invariant.memory is not None:
        yield _Thing("resident memory", attrgetter("resident_bytes"), more_ratio=invariant.memory, is_bytes=True)


def _connections(name: str, held: Held) -> int:
    return held.connections[name]


def _windows(invariant: ReturnsToBaseline, history: History) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return what is compared, each from and to; None if nothing was hurt, or was not well again for long enough."""
    if not history.faults or not history.phases:
        return None
    hurt_s = min(mark.injected_s for mark in history.faults)
    ended_s = history.phases[-1].ended_s
    healed_s = [mark.healed_s for mark in history.faults]
    if any(each is None or each > ended_s - invariant.over for each in healed_s):
        return None
    return (hurt_s - invariant.over, hurt_s), (ended_s - invariant.over, ended_s)


def _by_replica(history: History, began_s: float, ended_s: float) -> dict[str, list[Held]]:
    """Return what each replica held in (began, ended], by its name."""
    found: dict[str, list[Held]] = {}
    for second in history.machine:
        if began_s < second.at_s <= ended_s:
            for held in second.held:
                found.setdefault(held.replica, []).append(held)
    return found


def _counterexample(worst: _Compared, invariant: ReturnsToBaseline, history: History) -> Counterexample:
    stretch, first = duration_text(invariant.over), min(history.faults, key=lambda mark: mark.injected_s)
    sentence = (
        f"{worst.replica} holds {worst.said(worst.since)} {worst.what} or more in the last {stretch}, where it held "
        f"{worst.said(worst.before)} at the most in the {stretch} before {first.fault} began, and "
        f"{worst.said(worst.allowed)} are allowed"
    )
    return Counterexample(sentence=sentence, samples=())


def _wanted(invariant: ReturnsToBaseline, history: History) -> str:
    if not history.faults:
        return "nothing was hurt; inject a fault, and let all be well for a while after it"
    if not any(second.held for second in history.machine):
        return "what replicas hold was not seen; it is read from /proc, of processes that the run has started"
    stretch = duration_text(invariant.over)
    seen = f"no replica was seen in the {stretch} before the first fault and in the last {stretch} with all healed"
    return f"{seen}; let the last phase be longer"
