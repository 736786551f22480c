"""After all has healed a replica holds no more than before: what it holds then and what it held are counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.evidence import NO_SECRETS, EvidenceFolder
from harness.evidence.store import read_history, write_history
from harness.history.machine import Held, MachineSecond
from harness.history.marks import PhaseMark
from harness.measure.invariants.returns_to_baseline import returns_to_baseline
from harness.plan import source_of
from harness.spec.invariant import ReturnsToBaseline
from harness.testing import check_checker
from suites.support.made import scenario_of
from suites.support.registers import history_of
from suites.unit.test_data_loss import fault

ENDS_S = 50
DOWN = fault(30.0, 40.0, "redis down", "redis")
MIB = 2**20


def held(descriptors=30, memory=100 * MIB, replica="replica-1", **connections):
    return Held(
        replica=replica, descriptors=descriptors, resident_bytes=memory, connections={"redis": 5, **connections}
    )


def second(at_s, *what):
    return MachineSecond(at_s=at_s, lasted_s=1.0, cores=2, own_s=0.5, strangers_s=0.0, stolen_s=0.0, held=what)


def run(*, before=(), since=(), faults=(DOWN,), usually=None):
    """Return a run of 50 s; a value of the last seconds before the fault, and of the last of all, is a second's."""
    usual = [usually or held()]
    seen = dict.fromkeys(range(1, ENDS_S + 1), usual)
    seen |= {30 - place: what for place, what in enumerate(reversed(before))}
    seen |= {ENDS_S - place: what for place, what in enumerate(reversed(since))}
    machine = tuple(second(at_s, *what) for at_s, what in sorted(seen.items()))
    phases = (
        PhaseMark(name="baseline", began_s=0.0, ended_s=30.0),
        PhaseMark(name="recovery", began_s=40.0, ended_s=ENDS_S),
    )
    return replace(history_of([], faults=faults), machine=machine, phases=phases)


def found(history, **told):
    return returns_to_baseline(ReturnsToBaseline(kind="returns-to-baseline", **(told or {"descriptors": 10})), history)


def of(count, **told):
    return [[held(**told)]] * count


@pytest.mark.parametrize(
    ("since", "said"),
    [
        pytest.param(of(5), (1, 0), id="as before"),
        pytest.param(of(5, descriptors=40), (1, 0), id="as much as is allowed"),
        pytest.param(of(5, descriptors=41), (1, 1), id="one more"),
        pytest.param([*of(4, descriptors=99), *of(1)], (1, 0), id="back for a second"),
        pytest.param([*of(1), *of(5, descriptors=99)], (1, 1), id="back too long ago"),
        pytest.param([[]] * 2 + of(3, descriptors=99), (1, 1), id="seen in three of five seconds"),
        pytest.param([[]] * 3 + of(2, descriptors=99), (0, 0), id="seen in two of five seconds"),
        pytest.param(of(5, descriptors=99, replica="replica-2"), (0, 0), id="of another replica"),
        pytest.param(of(5, descriptors=3), (1, 0), id="less"),
    ],
)
def test_what_does_not_come_back_is_a_leak(since, said):
    """The least that was held in the last seconds counts, and there must be enough of them."""
    seen = found(run(since=since))

    assert (seen.checked, seen.broken) == said


def test_the_most_before_is_what_it_is_held_to():
    """In the seconds before the first fault, and no earlier ones."""
    since = of(5, descriptors=41)

    assert found(run(before=[*of(1, descriptors=31), *of(4)], since=since)).broken == 0
    assert found(run(before=[*of(1, descriptors=31), *of(5)], since=since)).broken == 1
    assert found(run(before=of(5, descriptors=20), since=of(5))).broken == 0
    assert found(run(before=of(5, descriptors=19), since=of(5))).broken == 1


def test_a_longer_stretch_sees_more():
    since = [*of(1), *of(5, descriptors=99)]

    assert (found(run(since=since)).broken, found(run(since=since), descriptors=10, over="6s").broken) == (1, 0)


def test_connections_are_counted_for_each_service():
    """Of those that are there at both times; a service that a replica has no door to is none of its."""
    since = of(5, redis=7, postgres=9)

    seen = found(run(usually=held(postgres=4), since=since), connections=2)

    assert (seen.checked, seen.broken) == (2, 1)
    assert (
        "replica-1 holds 9 connections to postgres or more in the last 5s, where it held 4 at the most"
        in seen.first.sentence
    )
    assert found(run(since=since), connections=2).checked == 1


@pytest.mark.parametrize(("memory", "broken"), [(120 * MIB, 0), (120 * MIB + 1, 1)])
def test_memory_may_be_a_share_more(memory, broken):
    assert found(run(since=of(5, memory=memory)), memory="20%").broken == broken


def test_the_worst_is_told_and_all_are_counted():
    """The one that holds the most for what it may hold, with what it held and may hold."""
    since = [[held(60), held(90, replica="replica-2")]] * 5
    both = [[held(), held(replica="replica-2")]] * 5

    seen = found(run(before=both, since=since))

    assert (seen.checked, seen.broken) == (2, 2)
    assert seen.first.sentence == (
        "replica-2 holds 90 file descriptors or more in the last 5s, where it held 30 at the most in the 5s before redis "
        "down began, and 40 are allowed"
    )
    assert "resident memory" in found(run(since=of(5, memory=300 * MIB)), memory="20%").first.sentence


@pytest.mark.parametrize(
    ("history", "wanted"),
    [
        pytest.param(run(faults=()), "nothing was hurt", id="no fault"),
        pytest.param(run(usually=None, faults=(fault(30.0, None),)), "with all healed", id="not healed"),
        pytest.param(run(faults=(fault(30.0, 45.001),)), "let the last phase be longer", id="healed too late"),
        pytest.param(run(faults=(DOWN, fault(41.0, 46.0))), "with all healed", id="of two the later"),
        pytest.param(replace(run(), machine=()), "what replicas hold was not seen", id="not measured"),
        pytest.param(replace(run(), machine=(second(50.0),)), "what replicas hold was not seen", id="not looked into"),
    ],
)
def test_what_was_not_seen_proves_nothing(history, wanted):
    seen = found(history)

    assert (seen.checked, seen.first) == (0, None)
    assert wanted in seen.wanted


def test_healed_at_the_last_moment_is_healed():
    assert found(run(faults=(fault(30.0, 45.0),))).checked == 1


def test_the_first_fault_is_where_the_baseline_ends():
    """Whichever stands first in the file."""
    history = run(before=of(5, descriptors=19), since=of(5), faults=(fault(38.0, 40.0), DOWN))

    assert found(history).broken == 1


@given(
    before=st.lists(st.integers(10, 90), min_size=5, max_size=5),
    since=st.lists(st.integers(10, 90), min_size=5, max_size=5),
    allowed=st.integers(0, 40),
)
def test_it_is_broken_exactly_if_all_of_the_end_is_above_all_of_the_beginning(before, since, allowed):
    history = run(
        before=[of(1, descriptors=each)[0] for each in before], since=[of(1, descriptors=each)[0] for each in since]
    )

    broken = all(each > one + allowed for each in since for one in before)

    assert found(history, descriptors=allowed).broken == broken


def test_it_says_of_something_how_much_more_it_may_be(tmp_path):
    """Else nothing could break it."""
    text = (
        "scenario: calm\nstory: Nothing is broken here.\nload: {arrivals_per_s: 200}\nphases:\n"
        "  - {name: baseline, lasts: 30s}\ninvariants:\n  - {kind: returns-to-baseline}\n"
    )

    with pytest.raises(SpecError, match="say connections, descriptors or memory"):
        source_of(text, tmp_path / "calm.yaml")


def test_what_is_held_survives_a_file(tmp_path):
    """And evidence of before it was looked at is written as it was."""
    history = run(since=of(5, descriptors=41, postgres=3))
    before = replace(history, machine=(second(1.0),))

    write_history(history, EvidenceFolder(tmp_path / "new", NO_SECRETS))
    write_history(before, EvidenceFolder(tmp_path / "old", NO_SECRETS))

    assert read_history(tmp_path / "new").machine == history.machine
    assert read_history(tmp_path / "old").machine == before.machine
    assert '"held"' not in (tmp_path / "old/history.json").read_text()


def test_it_is_a_promise_like_every_other():
    check_checker(
        ReturnsToBaseline(kind="returns-to-baseline", connections=2, descriptors=10, memory="20%"),
        scenario_of(),
        kept=run(),
        broken=run(since=of(5, descriptors=41)),
    )
