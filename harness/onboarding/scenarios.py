"""The first scenarios: a baseline, each dependency down, late and silent, a replica killed and frozen, too much load.

What they promise of a fault is what any service should: an answer in time, be it a no, and to be back soon after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.onboarding.proposal import Proposal

ARRIVALS_PER_S = 20
"""Enough to prove what is promised in phases of some seconds, and little for most services."""

OVERLOAD_TIMES = 5

LATE_BY = "500ms"

BASELINE = "baseline"


def scenario_texts(proposal: Proposal) -> Iterator[tuple[str, str]]:
    """Return each scenario's file below `scenarios/`, and its text."""
    yield f"{BASELINE}.yaml", _baseline(proposal.name)
    for kind in (each.kind for each in proposal.components):
        yield _broken(kind, "down", f"{kind} refuses connections", f"kind: down, target: {kind}")
        late = f"kind: latency, target: {kind}, delay: {LATE_BY}"
        yield _broken(kind, "latency", f"{kind} answers {LATE_BY} late", late)
        yield _broken(kind, "blackhole", f"{kind} is silent", f"kind: blackhole, target: {kind}")
    if proposal.is_started_here:
        yield _broken("replica", "killed", "One of two replicas is dead", "kind: kill, target: replica-1")
        yield _broken("replica", "paused", "One of two replicas is frozen", "kind: pause, target: replica-1")
    yield "load/overload.yaml", _overload()


def _baseline(name: str) -> str:
    return f"""\
# Nothing is broken: what readiness.toml promises is seen, or it is not worth breaking anything.
scenario: {BASELINE}
story: Nothing is broken; {name} answers everybody in time.
load: {{arrivals_per_s: {ARRIVALS_PER_S}}}
phases:
  - {{name: warmup, lasts: 5s}}
  - {{name: baseline, lasts: 60s}}
"""


def _broken(part: str, how: str, what: str, fault: str) -> tuple[str, str]:
    story = f"{what} for ten seconds; everybody gets an answer in time, be it a no, and all is well soon after."
    return f"{part}/{how}.yaml", _hurt(f"{part}-{how}", story, "fault", fault)


def _overload() -> str:
    story = (
        f"{OVERLOAD_TIMES} times as many requests come for ten seconds; all are answered in time, and nothing lingers."
    )
    return _hurt("overload", story, "spike", f"kind: spike, times: {OVERLOAD_TIMES}")


def _hurt(scenario: str, story: str, phase: str, fault: str) -> str:
    return f"""\
scenario: {scenario}
story: {story}
load: {{arrivals_per_s: {ARRIVALS_PER_S}}}
phases:
  - {{name: warmup, lasts: 5s}}
  - {{name: baseline, lasts: 20s}}
  - name: {phase}
    lasts: 10s
    faults:
      - {{{fault}}}
  - {{name: recovery, lasts: 13s}}
objectives: # wishes: say what your clients can bear
  - {{sli: late, over: 2s, max: 10%, during: {phase}}}
  - {{sli: recovery, within: 10s}}
"""
