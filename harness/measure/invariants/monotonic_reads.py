"""Whether a client read an older version of an item than it had read before: for it, time ran backwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.measure.asked import clients, items
from harness.measure.invariants.finding import Counterexample, Finding
from harness.measure.invariants.going_back import gone_back

if TYPE_CHECKING:
    from harness.history.history import History
    from harness.measure.invariants.going_back import Answer
    from harness.spec.invariant import MonotonicReads
    from harness.spec.load import Load


def monotonic_reads(invariant: MonotonicReads, load: Load, history: History) -> Finding:
    """Look for a read that went back; what a client wrote is another promise, so its writes count for nothing."""
    samples = history.samples
    asking = clients(samples, load, invariant.by)
    is_fresh = ~samples.came_from(*invariant.stale_from)
    is_read = samples.is_named("operation", samples.operations, load.cacheable)
    back = gone_back(samples, items(samples, load).numbers, asking.numbers, is_fresh & is_read)
    first = None
    if back.pairs:
        answer, newest = back.pairs[0]
        first = _counterexample(answer, newest, asking.names[asking.numbers[answer.row]], history)
    return Finding(
        checked=back.checked,
        broken=len(back.pairs),
        first=first,
        wanted="no client read an item again of which it knew a newer version than the oldest; "
        "write the items that are read, and let the same clients read them more often",
    )


def _counterexample(answer: Answer, newest: Answer, client: str, history: History) -> Counterexample:
    samples = history.samples

    def told(each: Answer) -> str:
        replica = samples.replicas[samples.records["replica"][each.row]]
        return f"version {each.version}{f' by {replica}' if replica else ''}"

    sentence = (
        f"key {samples.records['key'][answer.row]}: client {client!r} was answered {told(answer)} to {answer}, "
        f"after {told(newest)} to {newest}, {answer.sent_s - newest.answered_s:.3f} s before"
    )
    return Counterexample(sentence=sentence, samples=(answer.row, newest.row))
