"""How old a lost write was, what excuses it, and what is said of it."""

from __future__ import annotations

import math

import pytest

from harness.history.marks import FaultMark
from harness.measure.invariants.data_loss import Age, age_when_lost
from harness.measure.invariants.no_acknowledged_write_lost import no_acknowledged_write_lost
from harness.spec.invariant import NoAcknowledgedWriteLost
from harness.verdict.checkers.invariant import invariant_claim
from harness.verdict.outcome import Outcome
from suites.support.registers import history_of, read, write


def fault(began_s, ended_s, name="postgres killed", target="postgres"):
    return FaultMark(
        id="fault-1",
        fault=name,
        kind="kill",
        target=target,
        phase="fault",
        injected_s=began_s,
        healed_s=ended_s,
        doses=(),
    )


KILLED = fault(10.0, 20.0)


@pytest.mark.parametrize(
    ("acknowledged_s", "missed_s", "faults", "seconds", "until"),
    [
        pytest.param(9.0, 30.0, [KILLED], 1.0, "postgres killed began", id="before the fault"),
        pytest.param(10.0, 30.0, [KILLED], 0.0, "postgres killed began", id="as it began"),
        pytest.param(9.0, 10.0, [KILLED], 1.0, "postgres killed began", id="missed as it began"),
        pytest.param(9.0, 9.999, [KILLED], 0.999, "the read that misses it", id="missed before"),
        pytest.param(12.0, 30.0, [KILLED], 8.0, "postgres killed ended", id="while it was there"),
        pytest.param(12.0, 20.0, [KILLED], 8.0, "the read that misses it", id="missed as it ended"),
        pytest.param(12.0, 15.0, [KILLED], 3.0, "the read that misses it", id="missed while it was there"),
        pytest.param(12.0, 30.0, [fault(10.0, None)], 18.0, "the read that misses it", id="a fault that never ended"),
        pytest.param(20.0, 30.0, [KILLED], 10.0, "the read that misses it", id="after it"),
        pytest.param(1.0, 2.0, [], 1.0, "the read that misses it", id="no fault"),
        pytest.param(9.0, 30.0, [KILLED, fault(25.0, 26.0, "again")], 16.0, "again began", id="the last of two"),
        pytest.param(
            9.0, 24.0, [KILLED, fault(25.0, 26.0, "again")], 1.0, "postgres killed began", id="and no later one"
        ),
        pytest.param(
            12.0, 30.0, [fault(11.0, 18.0, "short"), KILLED], 8.0, "postgres killed ended", id="of two the longer"
        ),
        pytest.param(9.0, 30.0, [fault(10.0, 20.0, "load × 3", target="")], 21.0, "the read that misses it", id="load"),
    ],
)
def test_a_lost_write_is_as_old_as_it_was_when_the_fault_came(acknowledged_s, missed_s, faults, seconds, until):
    """However late it is missed: a key that is rarely read does not make the loss older."""
    age = age_when_lost(acknowledged_s, missed_s, faults)

    assert (age.seconds, age.until) == (pytest.approx(seconds), until)


@pytest.mark.parametrize(
    ("acknowledged_s", "missed_s", "faults", "is_by_fault"),
    [
        (9.0, 30.0, [KILLED], True),
        (12.0, 15.0, [KILLED], True),
        (20.0, 30.0, [KILLED], False),
        (1.0, 2.0, [KILLED], False),
    ],
)
def test_only_a_fault_excuses(acknowledged_s, missed_s, faults, is_by_fault):
    """The service that forgets by itself has no recovery to speak of."""
    age = age_when_lost(acknowledged_s, missed_s, faults)

    assert age.is_by_fault is is_by_fault
    assert age.is_within(math.inf) is is_by_fault
    assert not age.is_within(None)


def test_an_objective_reaches_to_its_very_end():
    age = Age(seconds=5.0, until="postgres killed began", is_by_fault=True)

    assert age.is_within(5.0)
    assert not age.is_within(4.999)


def found(rows, *faults, rpo=None, within="0s"):
    invariant = NoAcknowledgedWriteLost(kind="no-acknowledged-write-lost", rpo=rpo, within=within)
    return no_acknowledged_write_lost(invariant, history_of(rows, faults=faults))


# Three writes, of which the fault takes two; the first is read again after it.
ROLLED_BACK = [write(1, 2, 1), write(5, 6, 2), write(8, 9, 3), read(21, 22, 1), read(23, 24, 1)]


@pytest.mark.parametrize("has_versions", [False, True])
def test_the_oldest_of_all_that_was_lost_is_told(has_versions):
    """Not the one that the counterexample names, which is the newest that was there."""
    rows = [(*row[:3], row[2] + 3, *row[4:]) for row in ROLLED_BACK] if has_versions else ROLLED_BACK

    seen = found(rows, KILLED)

    assert (seen.broken, seen.first.samples) == (2, (3, 2))
    assert seen.also == (
        "the oldest lost is the write sent at 5.000 s and answered at 6.000 s (sample 1), 4.000 s before "
        "postgres killed began"
    )


@pytest.mark.parametrize(
    ("rpo", "outcome", "said"),
    [
        ("3.999s", Outcome.FAIL, "(and 1 more); the oldest lost is the write sent at 5.000 s"),
        (
            "4s",
            Outcome.PASS,
            "held; n = 2; breaches allowed: 2; the oldest lost is the write sent at 5.000 s",
        ),
    ],
)
def test_a_loss_that_is_young_enough_is_allowed_and_told(rpo, outcome, said):
    """As old as the oldest of it: the write that the counterexample names is only a second old."""
    invariant = NoAcknowledgedWriteLost(kind="no-acknowledged-write-lost", rpo=rpo)

    claim = invariant_claim(invariant, no_acknowledged_write_lost(invariant, history_of(ROLLED_BACK, faults=(KILLED,))))

    assert claim.outcome is outcome
    assert said in claim.sentence
    assert claim.objective == f"no-acknowledged-write-lost (rpo {rpo})"


def test_what_is_lost_after_the_fault_is_not_excused_by_what_it_took():
    """The service forgets once more, by itself: an objective is about disasters."""
    rows = [*ROLLED_BACK, write(30, 31, 4), read(40, 41, 1)]

    seen = found(rows, KILLED, rpo="1h")

    assert (seen.broken, seen.first.samples[0]) == (1, 6)


def test_a_loss_without_a_fault_is_not_allowed():
    assert found(ROLLED_BACK, rpo="1h").broken == 2


def test_a_value_that_nobody_wrote_is_no_loss():
    """It is allowed by no objective, and is no older than anything."""
    rows = [read(0.1, 0.2, 100), write(1, 2, 1), read(21, 22, 999)]

    seen = found(rows, KILLED, rpo="1h")

    assert (seen.broken, seen.also) == (1, "")


def test_a_write_that_is_numbered_again_tells_of_those_that_had_its_number():
    """After a recovery the store counts on from what it still knows; the writes in between were never missed by a read."""
    rows = [
        write(1, 2, 1, version=4),
        write(5, 6, 2, version=5),
        write(8, 9, 3, version=6),
        write(21, 22, 4, version=5),
    ]

    assert found(rows, KILLED).also.startswith("the oldest lost is the write sent at 5.000 s")
    assert found(rows, KILLED, rpo="4s").broken == 0
    assert found(rows, KILLED, rpo="3s").broken == 1


def test_a_write_that_was_given_up_and_was_seen_is_as_old_as_the_read_that_saw_it():
    """Until then nobody had a promise that it was there."""
    rows = [write(1, 2, 1), write(3, 4, 2, is_acknowledged=False), read(7, 8, 2), read(8.5, 9, 2), read(21, 22, 1)]

    assert found(rows, KILLED).also.startswith("the oldest lost is the read sent at 7.000 s and answered at 8.000 s")


def test_what_a_read_may_still_not_know_is_not_lost_by_it():
    """With staleness allowed, only what was acknowledged longer ago than that counts."""
    rows = [write(1, 2, 1), write(3, 4, 2), write(8, 9, 3), read(10, 11, 1)]

    assert found(rows, within="5s").also == (
        "the oldest lost is the write sent at 3.000 s and answered at 4.000 s (sample 1), 6.000 s before the read that "
        "misses it"
    )
    assert found([*rows[:1], *rows[2:]], within="5s").also == ""

    assert found(rows, fault(6.0, 7.0), within="5s", rpo="1h").broken == 0


def test_the_oldest_of_several_keys_is_told():
    rows = [write(1, 2, 1), write(5, 6, 2), read(21, 22, 1)]
    rows += [write(1, 2, 1, key=1), write(3, 4, 2, key=1), read(21, 22, 1, key=1)]

    assert "sent at 3.000 s and answered at 4.000 s (sample 4), 6.000 s before" in found(rows, KILLED).also


def test_a_write_whose_answer_tells_no_version_is_found_by_its_value():
    """The version is known of a read alone, which was later: the write is what was promised."""
    rows = [write(1, 2, 1), write(5, 6, 2), read(7, 8, 2, version=6), write(21, 22, 3), read(23, 24, 3, version=5)]

    assert "the write sent at 5.000 s and answered at 6.000 s (sample 1), 4.000 s before" in found(rows, KILLED).also


def test_what_no_fault_took_was_gone_when_it_was_first_missed():
    """It would grow older with each read; what a fault took is as old as the last fault that may have."""
    rows = [write(1, 2, 1), write(3, 4, 2), read(10, 11, 1), read(5, 6, 1), read(30, 31, 1)]

    assert "1.000 s before the read that misses it" in found(rows).also
    assert "21.000 s before redis down began" in found(rows, fault(25.0, 26.0, "redis down")).also


def test_what_was_not_said_is_not_in_the_evidence():
    """So that evidence of before there was an objective stays the same bytes."""
    assert "rpo" not in NoAcknowledgedWriteLost(kind="no-acknowledged-write-lost").model_dump(mode="json")
