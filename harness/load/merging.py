"""What several generators saw, as one: every request once, counts added, and of what cannot be added the worst."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from harness.history.histogram import from_text, merged
from harness.history.load import Heartbeat, LoadTally
from harness.history.samples import NAMES_MAX, Samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_NAMED = {"operation": "operations", "source": "sources", "replica": "replicas"}


def merged_samples(parts: Sequence[Samples]) -> Samples:
    """Return all requests in order of intended start; each part may number its names in its own order."""
    names = {column: _all_names(parts, plural) for column, plural in _NAMED.items()}
    records = np.concatenate([_renumbered(part, names) for part in parts])
    return Samples(records[np.argsort(records["intended_s"], kind="stable")], *names.values())


def merged_tally(tallies: Sequence[LoadTally]) -> LoadTally:
    """Add what can be added; a delay at p99 is at most the longest of its parts, so that one is said."""
    return LoadTally(
        planned=sum(each.planned for each in tallies),
        issued=sum(each.issued for each in tallies),
        ok=sum(each.ok for each in tallies),
        failed=sum(each.failed for each in tallies),
        unfinished=sum(each.unfinished for each in tallies),
        not_sent=sum(each.not_sent for each in tallies),
        lag_p99_s=max(each.lag_p99_s for each in tallies),
        cpu_ratio=max(each.cpu_ratio for each in tallies),
        wait_p99_s=_worst([each.wait_p99_s for each in tallies]),
        overhead_p95_s=_worst([each.overhead_p95_s for each in tallies]),
        client_errors=sum(each.client_errors or 0 for each in tallies),
        client_error=next((each.client_error for each in tallies if each.client_error), None),
        cancelled=sum(each.cancelled for each in tallies),
        prevented=sum(each.prevented for each in tallies),
        short_of=next((each.short_of for each in tallies if each.short_of), None),
    )


def merged_beats(series: Sequence[Sequence[Heartbeat]]) -> list[Heartbeat]:
    """Merge the heartbeats of the same second; the share of one core is that of the busiest."""
    return [_merged_beat([beat for beat in beats if beat is not None]) for beats in zip_longest(*series)]


def _merged_beat(beats: Sequence[Heartbeat]) -> Heartbeat:
    latencies = merged(from_text(beat.latencies) for beat in beats)
    return Heartbeat(
        at_s=max(beat.at_s for beat in beats),
        issued=sum(beat.issued for beat in beats),
        ok=sum(beat.ok for beat in beats),
        failed=sum(beat.failed for beat in beats),
        in_flight=sum(beat.in_flight for beat in beats),
        backlog=sum(beat.backlog for beat in beats),
        p95_s=latencies.quantile_s(0.95),
        latencies=str(latencies),
        lag_max_s=max(beat.lag_max_s for beat in beats),
        cpu_ratio=max(beat.cpu_ratio for beat in beats),
        planned=sum(beat.planned or 0 for beat in beats),
        overdue=sum(beat.overdue or 0 for beat in beats),
        controls_s=tuple(latency_s for beat in beats for latency_s in beat.controls_s or ()),
        slow=_merged_slow([said for beat in beats for said in beat.slow or ()]),
    )


def _merged_slow(told: Sequence[tuple[str, int, int, int]]) -> tuple[tuple[str, int, int, int], ...] | None:
    """Add what is told of the slow connections of each fault; None if there are none."""
    sums: dict[str, tuple[int, int, int]] = {}
    for name, held, passed_bytes, ended in told:
        before = sums.get(name, (0, 0, 0))
        sums[name] = before[0] + held, before[1] + passed_bytes, before[2] + ended
    return tuple((name, *counted) for name, counted in sums.items()) or None


def _worst(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _all_names(parts: Sequence[Samples], plural: str) -> tuple[str, ...]:
    """Return every name once, in the order in which they turn up; an index is one byte, so no more than 256 count."""
    return tuple(dict.fromkeys(name for part in parts for name in getattr(part, plural)))[:NAMES_MAX]


def _renumbered(part: Samples, names: dict[str, tuple[str, ...]]) -> NDArray[np.void]:
    records = part.records.copy()
    for column, plural in _NAMED.items():
        known = {name: index for index, name in enumerate(names[column])}
        index_of = [known.get(name, 0) for name in getattr(part, plural)]  # beyond the last one: nameless
        records[column] = np.array(index_of, dtype=np.uint8)[records[column]]
    return records
