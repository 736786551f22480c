"""The compiler of a scenario's timeline, for any phases and windows: nothing is lost, and all of it is in order."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.spec.phase import Phase
from harness.spec.timeline import Kind, moments, scheduled

KINDS = st.sampled_from(
    [
        {"kind": "down"},
        {"kind": "latency", "delay": "400ms", "jitter": "50ms"},
        {"kind": "blackhole"},
        {"kind": "kill"},
        {"kind": "pause"},
    ]
)


@st.composite
def windows(draw, lasts_ms):
    """Keys that say when a fault is there, within a phase of that length; perhaps none."""
    at_ms = draw(st.integers(0, lasts_ms - 1))
    ends_ms = draw(st.integers(at_ms + 1, lasts_ms))
    said = {"at": f"{at_ms}ms"} if at_ms else {}
    return said | draw(st.sampled_from([{}, {"until": f"{ends_ms}ms"}, {"for": f"{ends_ms - at_ms}ms"}]))


@st.composite
def phases(draw):
    """One to five phases with up to four faults each."""
    made = []
    for number in range(draw(st.integers(1, 5))):
        lasts_ms = draw(st.integers(1, 60_000))
        faults = [{**draw(KINDS), "target": "redis", **draw(windows(lasts_ms))} for _ in range(draw(st.integers(0, 4)))]
        late = {"kind": "slow-start", "target": "replica-1", "delay": f"{lasts_ms}ms"}
        faults += [late] if draw(st.booleans()) else []
        made.append(Phase.model_validate({"name": f"p{number}", "lasts": f"{lasts_ms}ms", "faults": faults}))
    return made


def of(listed, *kinds):
    return [moment for moment in listed if moment.kind in kinds]


@given(phases(), st.integers(1, 3))
def test_nothing_is_lost_and_all_is_in_order(given_phases, looks):
    """Each phase begins and ends once, and each fault, in the order of time; ids count through the file."""
    listed = moments(given_phases, looks=looks)
    actions = scheduled(given_phases)

    assert [moment.at_s for moment in listed] == sorted(moment.at_s for moment in listed)
    assert [moment.phase for moment in of(listed, Kind.PHASE_BEGINS)] == list(range(len(given_phases)))
    assert [moment.phase for moment in of(listed, Kind.PHASE_ENDS)] == list(range(len(given_phases)))
    assert [action.id for action in actions] == [f"fault-{number + 1}" for number in range(len(actions))]
    assert [action.spec for action in actions] == [fault for phase in given_phases for fault in phase.faults]
    for kind in (Kind.BEGIN, Kind.FIRST_LOOK, Kind.END):
        assert sorted(moment.action.id for moment in of(listed, kind)) == sorted(action.id for action in actions)


@given(phases())
def test_a_fault_begins_is_looked_at_and_ends_within_its_phase(given_phases):
    """Its phase has begun before, and has ended before only where both end at once: healing belongs to what follows."""
    listed = moments(given_phases)
    place = {(moment.kind, moment.phase, moment.action and moment.action.id): n for n, moment in enumerate(listed)}

    for moment in of(listed, Kind.BEGIN):
        own = (moment.phase, moment.action.id)
        begin, first, end = (place[kind, *own] for kind in (Kind.BEGIN, Kind.FIRST_LOOK, Kind.END))
        last = place.get((Kind.OBSERVE, *own), first)
        phase_begins, phase_ends = (place[kind, own[0], None] for kind in (Kind.PHASE_BEGINS, Kind.PHASE_ENDS))
        assert phase_begins < begin < first <= last < end
        assert last < phase_ends
        assert moment.at_s < listed[end].at_s <= listed[phase_ends].at_s
        following = place.get((Kind.PHASE_BEGINS, own[0] + 1, None))
        assert following is None or end < following


@given(phases())
def test_last_looks_leave_time_for_each_other(given_phases):
    """Looked at one after the other, all are done before the first of their faults ends."""
    for action_ends_s, looks in _last_looks(moments(given_phases)):
        assert looks == sorted(looks)
        assert all(at_s + look_s <= action_ends_s + 1e-9 for at_s, look_s in looks[-1:])
        assert all(one[0] + one[1] <= other[0] + 1e-9 for one, other in pairwise(looks))


def _last_looks(listed):
    """Group the last looks by phase, with the latest end of what they look at."""
    for phase in {moment.phase for moment in listed}:
        own = [moment for moment in of(listed, Kind.OBSERVE) if moment.phase == phase]
        if own:
            yield max(m.action.ends_s for m in own), [(m.at_s, m.action.look_s) for m in own]


@given(phases(), st.integers(2, 4))
def test_a_phase_goes_on_only_where_every_fault_spans_it(given_phases, looks):
    """More of it would otherwise be something else: the same fault in a longer phase, and then nothing."""
    reviewed = [moment.phase for moment in of(moments(given_phases, looks=looks), Kind.REVIEW)]

    spanned = [
        number
        for number, phase in enumerate(given_phases)
        if all(fault.kind != "slow-start" and not fault.when for fault in phase.faults)
    ]
    assert sorted(reviewed) == spanned
    assert of(moments(given_phases, looks=1), Kind.REVIEW) == []


@given(phases(), st.floats(0.25, 40))
def test_windows_are_stretched_with_their_phases(given_phases, factor):
    """But what a fault does is not: neither a delay, nor how late a start is."""
    longer = [phase.stretched(factor) for phase in given_phases]

    for one, other in zip(scheduled(given_phases), scheduled(longer), strict=True):
        assert other.starts_s == pytest.approx(one.starts_s * factor)
        lasts_s = one.lasts_s if one.spec.kind == "slow-start" else one.lasts_s * factor
        assert other.lasts_s == pytest.approx(lasts_s)
        assert getattr(other.spec, "delay", None) == getattr(one.spec, "delay", None)


def test_at_one_time_phases_end_before_what_is_undone_and_all_begins_before_the_first_look():
    """Two faults that span one phase, and the phase after it."""
    faults = [{"kind": "down", "target": "redis"}, {"kind": "kill", "target": "replica-1"}]
    given_phases = [
        Phase.model_validate({"name": "fault", "lasts": "10s", "faults": faults}),
        Phase.model_validate({"name": "recovery", "lasts": "5s"}),
    ]

    told = [
        (round(m.at_s, 3), m.kind.name, m.action.id if m.action else m.phase) for m in moments(given_phases, looks=2)
    ]

    assert told == [
        (0.0, "PHASE_BEGINS", 0),
        (0.0, "BEGIN", "fault-1"),
        (0.0, "BEGIN", "fault-2"),
        (0.0, "FIRST_LOOK", "fault-1"),
        (0.0, "FIRST_LOOK", "fault-2"),
        (9.6, "REVIEW", 0),
        (9.6, "OBSERVE", "fault-1"),
        (9.8, "OBSERVE", "fault-2"),
        (10.0, "PHASE_ENDS", 0),
        (10.0, "END", "fault-2"),
        (10.0, "END", "fault-1"),
        (10.0, "PHASE_BEGINS", 1),
        (15.0, "REVIEW", 1),
        (15.0, "PHASE_ENDS", 1),
    ]
