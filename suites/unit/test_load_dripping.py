"""Slow connections beside the load: what passes on them, what is seen of them, and whose they are."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.errors import SpecError
from harness.history.load import Heartbeat
from harness.load.dripping import TICK_S, Drips, Pace, own_share
from harness.load.merging import merged_beats
from harness.load.traffic import dose_of
from harness.plan import mistakes_in, read_source
from suites.support.made import Stretch, samples_of
from suites.unit.test_load_traffic import ASKED, SETTINGS, beat_of, plan_of, story

SLOW = {"kind": "slow-readers", "connections": 200, "rate": "50B/s", "asks": "grab"}


@given(st.integers(1, 100_000), st.lists(st.floats(0, 3), max_size=60))
def test_never_more_passes_than_the_rate_lets_and_no_byte_is_lost(per_s, waits_s):
    """Time beyond a tick is not made up for."""
    pace = Pace(per_s)
    passed = sum(pace.due_bytes(wait_s) for wait_s in waits_s)

    due = per_s * sum(min(wait_s, TICK_S) for wait_s in waits_s)
    assert due - 1 - 1e-6 <= passed <= due + 1e-6


def test_a_byte_a_second_passes_every_other_tick():
    """Parts of a byte wait for the next."""
    pace = Pace(1)

    assert [pace.due_bytes(TICK_S) for _ in range(4)] == [0, 1, 0, 1]


def test_what_was_told_begins_anew_but_for_what_is_there():
    """Connections stay open from one second to the next."""
    drips = Drips(held=3, passed_bytes=70, ended=2)

    assert drips.tell() == (3, 70, 2)
    assert drips.tell() == (3, 0, 0)


def test_generators_share_the_connections_out():
    """Together as many as there are to be."""
    assert [own_share(200, (index, 3)) for index in range(3)] == [67, 67, 66]
    assert own_share(1, (1, 2)) == 0


def told(at_s, *slow):
    return dataclasses.replace(beat_of(at_s, 0), slow=slow or None)


def seen_of(beats):
    plan = plan_of(story({**SLOW, "for": "10s"}, load={"requests": ASKED}))
    samples = samples_of([Stretch(lasts_s=60)])
    return dose_of(plan.traffic[0], plan.arrivals(), plan.load, samples, beats, seed=7, at_s=61.0)


def test_the_dose_is_the_connections_held_and_what_passed_on_each():
    """On average over the whole seconds of the window; its first goes to opening them, others are none of its."""
    beside = [told(at_s, ("fault-1", 0, 0, 9)) for at_s in (20.0, 21.0, 21.99, 30.01)]
    dose = seen_of([*beside, *(told(at_s, ("fault-1", 200, 9960, 1), ("fault-2", 7, 7, 7)) for at_s in range(22, 31))])

    assert dose.is_delivered
    assert dose.seen == "200 of 200 connections held, with 49.8B/s on each; 9 ended or left unanswered"


@pytest.mark.parametrize(
    ("held", "each_s", "is_delivered"),
    [
        (190, 50, True), (189, 50, False), (200, 25, True), (200, 24, False), (200, 55, True), (200, 56, False),
        (0, 0, False),
    ],
)  # fmt: skip
def test_too_few_connections_or_another_rate_are_another_dose(held, each_s, is_delivered):
    """One in twenty may be missing; nine tenths more than nothing is not fifty bytes a second."""
    assert seen_of([told(25.0, ("fault-1", held, held * each_s, 0))]).is_delivered == is_delivered


def test_what_was_not_told_was_not_seen():
    """No heartbeat at all, or one that says nothing of it."""
    whole = told(25.0, ("fault-1", 200, 200 * 50, 0))

    assert "is not known" in seen_of([]).seen
    assert not seen_of([]).is_delivered
    assert not seen_of([whole, told(26.0)]).is_delivered
    assert seen_of([whole]).is_delivered


def test_a_heartbeat_says_it_as_it_was_and_several_as_one():
    """What has none says nothing of it, as before there were any."""
    one, other = told(25.0, ("fault-1", 67, 670, 1)), told(25.0, ("fault-1", 66, 660, 0), ("fault-2", 1, 2, 3))

    assert Heartbeat.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert "slow" not in told(25.0).to_json()
    assert merged_beats([[one], [other]])[0].slow == (("fault-1", 133, 1330, 1), ("fault-2", 1, 2, 3))
    assert merged_beats([[told(25.0)], [told(25.0)]])[0].slow is None


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({**SLOW, "connections": 0}, "greater than or equal to 1"),
        ({**SLOW, "connections": 801}, "less than or equal to 800"),
        ({**SLOW, "rate": "0B/s"}, "greater than 0"),
        ({**SLOW, "rate": "101KB/s"}, "less than or equal to 100000"),
        ({**SLOW, "stream": "both"}, "upstream' or 'downstream"),
    ],
)
def test_slow_clients_that_are_none_are_refused(fault, said):
    with pytest.raises(ValidationError, match=said):
        story(fault)


@pytest.mark.parametrize(
    ("fault", "load", "said"),
    [
        ({**SLOW, "asks": "grap"}, {"requests": ASKED}, "asks a request 'grap', which is not declared"),
        (SLOW, {"locustfile": "users.py"}, "asks a request 'grab', which is not declared"),
        ({**SLOW, "for": "1.9s"}, {"requests": ASKED}, "would be over before its dose is seen, which takes 4s"),
    ],
)
def test_what_cannot_be_asked_slowly_is_refused(tmp_path, fault, load, said):
    """Where it stands; a window is twice as long in this profile."""
    file = tmp_path / "asked.yaml"
    file.write_text(json.dumps(story(fault, load=load).model_dump(mode="json"), indent=1))

    with pytest.raises(SpecError, match=said):
        raise next(mistakes_in(read_source(file), SETTINGS, "quick"))


def test_slow_connections_are_beside_the_schedule():
    """Which is what it was; and they say which half of the conversation is slow."""
    plan = plan_of(story(SLOW, load={"requests": ASKED}))

    assert len(plan.arrivals()) == 600
    assert str(plan.traffic[0].fault) == "200 connections read the answers of grab at 50B/s each"
    upstream = story({**SLOW, "stream": "upstream", "for": "5s"}, load={"requests": ASKED}).faults[0]
    assert str(upstream) == "200 connections say grab at 50B/s each for 5s"
