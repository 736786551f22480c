"""Clocks that are set off while a stack runs: seen through the service, and right again whoever undoes it."""

from __future__ import annotations

import pytest

from harness.clock import SystemClock
from harness.errors import FaultError, UnavailableError
from harness.faults.clock_setting import offsets_of
from harness.faults.healing import heal
from harness.faults.injection import check_available, injected
from harness.faults.ledger import read_ledger
from harness.faults.undo import is_left
from harness.spec.faults import ClockSkew
from harness.stack.backends.choice import EMBEDDED
from harness.stack.blueprint import targets_of
from harness.stack.clock_file import Offsets
from harness.stack.ready import wait_until_ready
from suites.support.stack import DUMMY

CLOCK = SystemClock()


def skewed(embedded_stack, ledger, **said):
    fault = ClockSkew.model_validate({"kind": "clock-skew", "target": "replica-1", **said})
    return injected(fault, into=embedded_stack, ledger=ledger, clock=CLOCK)


def file_of(embedded_stack, name="replica-1"):
    return offsets_of({"file": embedded_stack.clocks[name].file})


def test_one_replica_is_off_and_no_other(embedded_stack, ledger):
    """It says so itself, in its own answer."""
    with skewed(embedded_stack, ledger, wall="-1h") as injection:
        dose = injection.observe()
        assert file_of(embedded_stack, "replica-2").wall_s == 0.0

    assert dose.is_delivered
    assert dose.seen.startswith("replica-1 tells its time: wall clock -3600s, monotonic +")
    assert file_of(embedded_stack).wall_s == 0.0


def test_a_monotonic_clock_jumps_ahead_and_never_back(embedded_stack, ledger):
    """The second jump adds to the first, and the end of either takes nothing back; nothing need be undone."""
    began_s = file_of(embedded_stack).monotonic_s
    for jumps in (1, 2):
        with skewed(embedded_stack, ledger, monotonic="1h") as injection:
            assert injection.observe().is_delivered
            assert read_ledger(ledger.path).left == ()
        assert file_of(embedded_stack).monotonic_s == began_s + jumps * 3600


def test_the_guardian_sets_it_right_and_leaves_the_monotonic_one(embedded_stack, ledger):
    """By the ledger alone."""
    with skewed(embedded_stack, ledger, wall="+1h", monotonic="5s") as injection:
        jumped_s = file_of(embedded_stack).monotonic_s
        (entry,) = read_ledger(ledger.path).left
        assert is_left(entry)

        assert heal(read_ledger(ledger.path)) == [f"healed {entry}"]

        assert file_of(embedded_stack) == Offsets(monotonic_s=jumped_s)
        assert not is_left(entry)
        assert heal(read_ledger(ledger.path)) == []
        assert not injection.observe().is_delivered


def test_a_replica_that_is_started_anew_is_off_as_well(embedded_stack, ledger):
    """A clock is the machine's."""
    replica = embedded_stack.services["replica-1"]
    with skewed(embedded_stack, ledger, wall="+1h") as injection:
        replica.restart()
        wait_until_ready([replica], clock=CLOCK)
        assert injection.observe().is_delivered


def test_a_replica_that_is_dead_tells_no_time(embedded_stack, ledger):
    """And is set right all the same."""
    replica = embedded_stack.services["replica-1"]
    with skewed(embedded_stack, ledger, wall="+1h") as injection:
        replica.kill()
        dose = injection.observe()
    replica.start()
    wait_until_ready([replica], clock=CLOCK)

    assert (dose.is_delivered, dose.seen) == (False, "replica-1 does not answer: ConnectError")
    assert file_of(embedded_stack).wall_s == 0.0


def test_a_replica_that_goes_on_by_a_wrong_clock_is_an_error(embedded_stack, ledger, monkeypatch):
    """It does not read the file any more: its clock is still off, whatever that says."""
    with pytest.raises(FaultError, match="the wall clock of replica-1 is still off"):
        with skewed(embedded_stack, ledger, wall="+1h"):
            monkeypatch.setattr("harness.faults.clock.skew.HEEDED_WITHIN_S", 0.1)
            monkeypatch.setattr("harness.faults.clock_setting.clock_file.write", lambda *_: None)
            monkeypatch.setattr("harness.faults.clock.skew.is_left", lambda _: False)

    monkeypatch.undo()
    heal(read_ledger(ledger.path))
    facts = {"file": embedded_stack.clocks["replica-1"].file, "monotonic_s": file_of(embedded_stack).monotonic_s}
    from harness.faults.clock_setting import set_right  # noqa: PLC0415 - what the test itself has kept from being done

    set_right(facts)
    assert file_of(embedded_stack).wall_s == 0.0


def test_a_ledger_that_names_a_file_of_somebody_else_changes_nothing_of_it(ledger, tmp_path):
    """What does not say how far a clock is off is no such file."""
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    entry = ledger.note("clock", "replica-1", file=str(file), monotonic_s=0.0)

    with pytest.raises(FaultError, match="does not say how far a clock is off"):
        heal(read_ledger(ledger.path))

    assert file.read_text() == "mine"
    ledger.strike(entry)


def test_a_service_that_declares_no_clock_is_told_before_anything_starts():
    """A lack of means, and no slip: the verdict is inconclusive, with the key that is missing."""
    fault = ClockSkew(kind="clock-skew", target="replica-1", wall="+1h")
    without = DUMMY.model_copy(update={"subject": DUMMY.subject.model_copy(update={"clock": None})})

    with pytest.raises(UnavailableError) as caught:
        check_available([fault], EMBEDDED, without)

    assert "nothing sets the clock of replica-1 off: readiness.toml has no [system.subject.clock]" in caught.value.what
    check_available([fault], EMBEDDED, DUMMY)
    assert targets_of(fault, DUMMY) == ["replica-1", "replica-2"]
