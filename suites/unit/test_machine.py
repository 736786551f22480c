"""What the machine gave: read off the kernel's counters, and what it says for a service that broke a promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.evidence import NO_SECRETS, EvidenceFolder
from harness.evidence.store import read_history, write_history
from harness.experiment.interim import InterimAnalysis
from harness.history.machine import MachineSecond, is_clean, is_taken, taken_between, taken_s
from harness.history.marks import PhaseMark
from harness.measure.control import compute_s, computed_count, is_computing_broken
from harness.measure.machine import is_excused
from harness.measure.ratios import Count
from harness.report import plots
from harness.report.palette import LIGHT
from harness.spec.objective import Errors, Hits, Slow
from harness.stack.machine import (
    Counters,
    Used,
    pressure_s,
    processors,
    remote_ports,
    second_between,
    throttled_s,
    used_by,
)
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support.made import Stretch, history_of, samples_of, scenario_of

SLOW = {"sli": "slow", "over": "100ms", "max": "5%"}
RECOVERY = {"sli": "recovery", "within": "5s"}
PROMISE = Slow(sli="slow", over="100ms", max="5%", during="baseline")
HEALTHY = Stretch(lasts_s=20)


def second(at_s=1.0, **changes):
    """Return a second in which strangers had a processor and a half, and the service waited half of its time."""
    usual = {"lasted_s": 1.0, "cores": 2, "own_s": 0.5, "strangers_s": 1.5, "stolen_s": 0.0}
    return MachineSecond(**{**usual, "at_s": at_s, "judged_s": 0.3, "waited_s": 0.3, **changes})


def quiet(at_s):
    return second(at_s, strangers_s=0.02, waited_s=0.01)


def minute(taken, lasts_s=30):
    """Return a machine that strangers were on in the seconds `taken`, by when they began."""
    return tuple(second(at + 1.0) if at in taken else quiet(at + 1.0) for at in range(lasts_s))


# What the kernel says ------------------------------------------------------------------------------------------------


def test_processor_time_is_added_up_and_guests_are_not_counted_twice():
    """A guest's time is in its user's; what is stolen was never used here."""
    stat = "cpu  100 20 30 4000 50 6 7 90 11 12\ncpu0 50 10 15 2000 25 3 3 45 5 6\ncpu1 50 10 15 2000 25 3 4 45 6 6\nintr 1"

    assert processors(stat) == (1.63, 0.9, 2)


def test_a_connection_is_there_until_this_side_has_closed_it():
    """Of an established one and one in CLOSE_WAIT the port at the other end is told; none of one that only listens."""
    table = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n"
        "   1: 0100007F:C001 0100007F:18EB 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1\n"
        "   2: 0100007F:C002 0100007F:1538 08 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1\n"
        "   3: 0100007F:C003 0100007F:18EB 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0\n"
    )
    table_of_ipv6 = (
        "  sl  local_address                         remote_address                        st tx_queue rx_queue\n"
        "   0: 0000000000000000FFFF00000100007F:C004 0000000000000000FFFF00000100007F:18EB 01 00000000:00000000\n"
    )

    assert list(remote_ports(table)) == [6379, 5432]
    assert list(remote_ports(table_of_ipv6)) == [6379]


def test_a_process_is_read_whatever_it_calls_itself():
    """Its name may hold blanks and brackets, and is what it likes."""
    fields = "S 7 3 3 0 -1 4194304 10 20 0 0 150 50 30 20 20 0 1 0 9876 0"

    used = used_by(f"42 (a ) S 1 (b) {fields}")

    assert used == Used(parent=7, began=9876, own_s=2.0, ended_s=0.5)


def test_pressure_and_throttling_are_read_in_seconds():
    """Of version 1 and 2 of control groups; without a quota nothing is said."""
    assert pressure_s("some avg10=1.00 avg60=2.0 avg300=3.00 total=1500000\nfull avg10=0.00 total=7\n") == 1.5
    assert throttled_s("usage_usec 5\nthrottled_usec 250000\n") == 0.25
    assert throttled_s("nr_periods 0\nthrottled_time 250000000\n") == 0.25
    assert throttled_s("usage_usec 5\n") is None


def counters(at_s, busy_s, own, threads=None, **more):
    return Counters(
        at_s=at_s, cores=2, busy_s=busy_s, stolen_s=more.pop("stolen_s", 0.0), own=own, threads=threads, **more
    )


def used(own_s, ended_s=0.0, began=1):
    return Used(parent=1, began=began, own_s=own_s, ended_s=ended_s)


def test_what_is_not_ours_is_a_strangers():
    """Of 1.8 s that two processors worked, 0.5 were ours; each counter counts from the look before."""
    before = counters(
        100.0, 50.0, {1: used(3.0), 2: used(4.0)}, {(2, 2): (1.0, 0.5)}, pressures_s={"cpu": 9.0}, throttled_s=1.0
    )
    after = counters(
        101.0,
        51.8,
        {1: used(3.1), 2: used(4.4)},
        {(2, 2): (1.3, 0.7), (2, 3): (0.1, 0.05)},
        pressures_s={"cpu": 9.75},
        throttled_s=1.2,
        stolen_s=0.1,
    )

    assert second_between(before, after, origin_s=90.0) == MachineSecond(
        at_s=11.0,
        lasted_s=1.0,
        cores=2,
        own_s=0.5,
        strangers_s=1.3,
        stolen_s=0.1,
        judged_s=0.4,
        waited_s=0.25,
        throttled_s=0.2,
        cpu_pressure=0.75,
    )


ENDED = [
    pytest.param({1: used(3.0, 9.0)}, 1.0, id="it was waited for: its parent says so"),
    pytest.param({1: used(3.0)}, 0.0, id="another waited for it: what it used is not known"),
    pytest.param({1: used(3.0), 2: used(0.25, began=2)}, 0.25, id="its number is another's by now"),
]


@pytest.mark.parametrize(("after", "own_s"), ENDED)
def test_a_process_that_ended_takes_nothing_back(after, own_s):
    """It had used 8 s before; a service that is killed must not make strangers of us."""
    before = counters(0.0, 10.0, {1: used(3.0), 2: used(8.0)})

    seen = second_between(before, counters(1.0, 12.0, after), origin_s=0.0)

    assert (seen.own_s, seen.strangers_s) == (own_s, 2.0 - own_s)


def test_what_the_kernel_does_not_count_is_not_known():
    """No threads, no pressure, no quota: None, and no alibi."""
    seen = second_between(counters(0.0, 0.0, {}), counters(1.0, 2.0, {}), origin_s=0.0)

    assert (seen.judged_s, seen.waited_s, seen.throttled_s, seen.cpu_pressure) == (None, None, None, None)
    assert not is_taken(seen)


# Whether strangers took what the service lacked ----------------------------------------------------------------------


TAKEN = [
    pytest.param(second(), True, False, id="half of its time"),
    pytest.param(second(judged_s=0.4, waited_s=0.1), True, False, id="a fifth of its time"),
    pytest.param(second(judged_s=0.41, waited_s=0.1), False, False, id="a hair less than a fifth"),
    pytest.param(second(judged_s=0.9, waited_s=0.1), False, False, id="a tenth is not clean"),
    pytest.param(second(judged_s=0.91, waited_s=0.1), False, True, id="less than a tenth is"),
    pytest.param(second(strangers_s=0.0, own_s=2.0), False, True, id="it waited for the run's own processes"),
    pytest.param(second(strangers_s=0.0, stolen_s=0.5, own_s=1.5), True, False, id="another machine is a stranger"),
    pytest.param(
        second(strangers_s=0.12, own_s=1.88), True, False, id="strangers took a fifth, the run's own the rest"
    ),
    pytest.param(second(strangers_s=0.11, own_s=1.89), False, False, id="strangers took less than a fifth"),
    pytest.param(second(judged_s=0.001, waited_s=0.049), False, True, id="so little is noise"),
    pytest.param(second(judged_s=0.001, waited_s=0.05), True, False, id="and so much is not"),
    pytest.param(second(lasted_s=2.0, judged_s=0.001, waited_s=0.09), False, True, id="a second's noise in two"),
    pytest.param(second(own_s=0.0), True, False, id="a quarter of the processors stood idle"),
    pytest.param(second(own_s=0.0, strangers_s=0.5, stolen_s=1.0), True, False, id="what is stolen is not idle"),
    pytest.param(second(lasted_s=2.0, waited_s=0.6), False, True, id="half of two seconds stood idle"),
    pytest.param(second(own_s=0.0, strangers_s=1.49), False, True, id="and a hair more: whoever was ready had one"),
    pytest.param(
        second(own_s=0.7, strangers_s=0.1, judged_s=0.15, waited_s=0.1), False, True, id="threads wait for each other"
    ),
    pytest.param(second(waited_s=None), False, True, id="not known how long it waited"),
    pytest.param(second(judged_s=None), False, True, id="not known how long it ran"),
]


@pytest.mark.parametrize(("seen", "taken", "clean"), TAKEN)
def test_a_second_is_taken_where_strangers_had_what_the_service_lacked(seen, taken, clean):
    """No more than they had, and no more than it lacked."""
    assert (is_taken(seen), is_clean(seen)) == (taken, clean)


@given(st.floats(0, 4), st.floats(0, 4), st.floats(0, 4))
def test_what_was_taken_is_no_more_than_either(strangers_s, stolen_s, waited_s):
    """And strangers that take more never make a second less taken."""
    seen = second(strangers_s=strangers_s, stolen_s=stolen_s, waited_s=waited_s)

    assert taken_s(seen) <= waited_s
    assert taken_s(seen) <= strangers_s + stolen_s
    assert is_taken(replace(seen, strangers_s=strangers_s + 1)) >= is_taken(seen)


def test_what_was_taken_is_told_of_those_seconds_alone():
    """A second belongs to where its middle lies; one after strangers is not clean either."""
    machine = [quiet(1.0), second(2.0), second(3.0, strangers_s=0.5, own_s=1.5, judged_s=0.1), quiet(4.0), quiet(5.0)]

    taken = taken_between(machine, 0.6, 4.6)

    assert taken is not None
    assert (taken.seconds, taken.of_seconds, taken.clean, taken.cores) == (2, 4, 1, 2)
    assert taken.strangers_cores == pytest.approx(1.0)
    assert taken.waited_ratio == pytest.approx(0.6)
    assert taken_between(machine, 3.0, 5.0) is None
    assert taken_between((), 0.0, 5.0) is None


def excused_at(intended_s, latency_s, objective=PROMISE):
    samples = samples_of([Stretch(lasts_s=1, per_s=1)])
    samples.records["intended_s"], samples.records["latency_s"] = intended_s, latency_s
    return bool(is_excused(objective, samples, [quiet(10.0), second(11.0), quiet(12.0)])[0])


EXCUSED = [
    pytest.param(9.89, 5.0, False, id="it was late before they came"),
    pytest.param(9.95, 0.2, True, id="they came while it was to be answered"),
    pytest.param(9.95, 0.04, False, id="it was answered before they came"),
    pytest.param(10.5, 0.01, True, id="they were there"),
    pytest.param(11.99, 0.01, True, id="it may have waited in a queue of theirs"),
    pytest.param(12.0, 0.01, False, id="that queue is gone"),
]


@pytest.mark.parametrize(("intended_s", "latency_s", "excused"), EXCUSED)
def test_a_request_is_excused_by_strangers_that_were_there_in_time(intended_s, latency_s, excused):
    """Until it was due, and for a second after they were gone."""
    assert excused_at(intended_s, latency_s) is excused


def test_a_second_that_gives_no_alibi_is_no_witness_either():
    """Strangers took less than a fifth of what the service was ready for, and more than a tenth."""
    samples = samples_of([Stretch(lasts_s=1, per_s=1)])

    assert is_excused(PROMISE, samples, [second(1.0, judged_s=0.85, waited_s=0.15)]).tolist() == [True]
    assert is_excused(PROMISE, samples, [second(1.0, judged_s=0.95, waited_s=0.05)]).tolist() == [False]


def test_an_error_is_excused_until_it_was_seen():
    """It has no time at which it is due."""
    assert excused_at(8.0, 2.5, Errors(sli="errors", max="1%", during="baseline"))
    assert not excused_at(8.0, 1.5, Errors(sli="errors", max="1%", during="baseline"))


# The verdict ---------------------------------------------------------------------------------------------------------


def judged(stretches, machine=(), objective=SLOW, **changes):
    scenario = scenario_of(faults=False, objectives=[objective])
    history = history_of(scenario, stretches, machine=tuple(machine), **changes)
    return judge(scenario, history, confidence=0.95).claims[0]


LATE = [Stretch(lasts_s=10, slow=2000), HEALTHY]


def test_a_promise_broken_only_beside_strangers_is_inconclusive_with_the_numbers():
    """The share and its bounds stay what they were."""
    claim = judged(LATE, minute(taken=range(10)))

    assert claim.outcome is Outcome.INCONCLUSIVE
    assert claim.sentence == (
        "inconclusive: slow 26.7 % [2.4, 72.2] vs 5 % during baseline; n = 7 500, worth 4 independent ones, with an"
        " outage of 10 s, but strangers had 1.5 of 2 processors in 10 of 30 s, in which the service waited for one 50%"
        " of its time; without those 0 of 4 750 requests broke it"
    )


@pytest.mark.parametrize(
    "machine",
    [
        pytest.param((), id="not measured"),
        pytest.param(minute(taken=()), id="a quiet machine"),
        pytest.param(minute(taken=range(20, 30)), id="strangers came when all was well again"),
        pytest.param([replace(each, waited_s=None) for each in minute(taken=range(10))], id="not known what it lacked"),
    ],
)
def test_a_promise_broken_without_strangers_stays_broken(machine):
    """Whatever they did at other times."""
    claim = judged(LATE, machine)

    assert claim.outcome is Outcome.FAIL
    assert "strangers" not in claim.sentence


def test_a_promise_broken_also_without_strangers_stays_broken():
    """Twenty seconds of it, five of them beside strangers."""
    claim = judged([Stretch(lasts_s=20, slow=4000), Stretch(lasts_s=10)], minute(taken=range(5)))

    assert claim.outcome is Outcome.FAIL


@pytest.mark.parametrize(("clean", "outcome"), [(2, Outcome.INCONCLUSIVE), (3, Outcome.FAIL)])
def test_a_few_seconds_without_strangers_are_no_witness(clean, outcome):
    """What is answered in them may still be what waited because of them."""
    claim = judged([Stretch(lasts_s=30, slow=7500)], minute(taken=range(29 - clean)))

    assert claim.outcome is outcome


def test_what_fails_without_strangers_must_be_no_chance_without_them():
    """Of two hundred promises one may look so: the p-value is that of the requests which are left."""
    stretches = [Stretch(lasts_s=25, slow=3000), Stretch(lasts_s=5, per_s=20, slow=12)]
    alone = judged(stretches)
    scenario = scenario_of(faults=False, objectives=[SLOW])
    history = history_of(scenario, stretches, machine=minute(taken=range(25)))

    claims = {family: judge(scenario, history, confidence=0.95, family=family).claims[0] for family in (1, 200)}

    assert claims[1].outcome is Outcome.FAIL
    assert claims[200].outcome is Outcome.INCONCLUSIVE
    assert "by chance" in claims[200].sentence
    assert (alone.p_value or 0.0) < (claims[1].p_value or 0.0)


def test_a_cold_cache_is_not_warmed_by_a_processor():
    """A promise that is a floor has no alibi."""
    hits = {"sli": "hits", "min": "70%"}

    assert judged([Stretch(lasts_s=30, misses=7000)], minute(taken=range(30)), hits).outcome is Outcome.FAIL


def test_a_kept_promise_is_kept_beside_strangers():
    """They can only make it harder."""
    assert judged([Stretch(lasts_s=30)], minute(taken=range(30))).outcome is Outcome.PASS


def test_nothing_is_beyond_doubt_beside_strangers():
    """A phase is not ended early for what the machine did, and is still open."""
    scenario = scenario_of(faults=False, objectives=[SLOW])
    samples, mark = samples_of([Stretch(lasts_s=20, slow=5000)]), PhaseMark(name="baseline", began_s=0, ended_s=20)
    interim = InterimAnalysis(scenario, 0.95)

    assert interim.hopeless(samples, mark, minute(taken=range(20))) is None
    assert interim.hopeless(samples, mark, minute(taken=range(5))) is not None
    assert interim.is_open(samples, mark, minute(taken=range(20)))
    assert not interim.is_open(samples, mark)


@pytest.mark.parametrize(
    ("taken", "outcome"),
    [
        pytest.param(range(40, 50), Outcome.INCONCLUSIVE, id="beside strangers"),
        pytest.param(range(40, 44), Outcome.FAIL, id="long after they were gone"),
        pytest.param((), Outcome.FAIL, id="a quiet machine"),
    ],
)
def test_a_machine_that_strangers_are_on_is_no_metastable_service(taken, outcome):
    """The late bad seconds decide."""
    scenario = scenario_of(objectives=[SLOW, RECOVERY])
    stretches = [Stretch(lasts_s=30), Stretch(lasts_s=10), Stretch(lasts_s=9, slow=2250), Stretch(lasts_s=1)]
    history = history_of(scenario, stretches, machine=minute(taken, lasts_s=50))

    claim = judge(scenario, history, confidence=0.95).claims[1]

    assert claim.outcome is outcome


# The control that computes -------------------------------------------------------------------------------------------


def beats_with(history, computed):
    return tuple(replace(beat, computed=computed) for beat in history.heartbeats)


def test_a_control_that_computes_as_long_and_breaks_it_too_is_an_alibi_beside_strangers():
    """Only there: a service that takes the processors by itself slows the control down as well."""
    scenario = scenario_of(faults=False, objectives=[SLOW])
    history = history_of(scenario, [Stretch(lasts_s=20, slow=4000), Stretch(lasts_s=10)])
    stretched, held = ((0.02, 0.15),) * 2, ((0.02, 0.03),) * 2

    def outcome_of(machine, computed):
        seen = replace(history, machine=machine, heartbeats=beats_with(history, computed))
        return judge(scenario, seen, confidence=0.95).claims[0]

    beside = outcome_of(minute(taken=range(5)), stretched)
    assert beside.outcome is Outcome.INCONCLUSIVE
    assert beside.sentence.endswith(", and 60 of 60 requests of a control that computes as long")
    assert outcome_of(minute(taken=range(5)), held).outcome is Outcome.FAIL
    assert outcome_of(minute(taken=()), stretched).outcome is Outcome.FAIL


COMPUTED = [
    pytest.param([(0.02, 0.11)] * 5, Count(5, 5), True, id="all were late"),
    pytest.param([(0.02, 0.11)] * 4, Count(4, 4), False, id="too few to be a witness"),
    pytest.param([(0.02, 0.1)] * 5, Count(0, 5), False, id="just in time"),
    pytest.param([(0.06, 0.11)] * 5, Count(0, 5), False, id="late, but with a processor for most of the time"),
    pytest.param([(0.06, 0.12)] * 5, Count(5, 5), True, id="late, with one for half of it"),
    pytest.param([(0.1, 0.5)] * 5, Count(0, 0), False, id="one that computes as long as is allowed is always late"),
]


@pytest.mark.parametrize(("computed", "counted", "broken"), COMPUTED)
def test_the_control_counts_what_was_late_for_want_of_a_processor(computed, counted, broken):
    """Not what is late by itself."""
    assert computed_count(PROMISE, computed) == counted
    assert is_computing_broken(PROMISE, computed) is broken


def test_a_floor_has_no_control_that_computes():
    """Hits do not take time."""
    assert not is_computing_broken(Hits(sli="hits", min="70%", during="baseline", levels=["l1"]), [(0.02, 9.0)] * 9)


def test_what_a_request_takes_is_known_after_three_seconds_and_thirty_answers():
    """Seconds without a measurement tell nothing."""
    beats = history_of(scenario_of(faults=False), [Stretch(lasts_s=30, per_s=10)]).heartbeats
    machine = [second(at + 1.0, judged_s=0.2) for at in range(3)]

    assert compute_s(machine, beats) == pytest.approx(0.02)
    assert compute_s(machine[:2], beats) is None
    assert compute_s(machine, [replace(beat, ok=9) for beat in beats]) is None
    assert compute_s([replace(each, judged_s=None) for each in machine], beats) is None
    assert compute_s([replace(each, judged_s=0.0) for each in machine], beats) is None


# What is left of it --------------------------------------------------------------------------------------------------


def test_what_the_machine_gave_is_read_back_as_it_was(tmp_path):
    """With what the control computed."""
    scenario = scenario_of(faults=False, objectives=[SLOW])
    history = history_of(
        scenario, [Stretch(lasts_s=30)], machine=(*minute(taken=range(3)), second(31.0, waited_s=None))
    )
    history = replace(history, heartbeats=beats_with(history, ((0.02, 0.025),)))

    write_history(history, EvidenceFolder(tmp_path, NO_SECRETS))
    again = read_history(tmp_path)

    assert again.machine == history.machine
    assert again.heartbeats == history.heartbeats


def test_the_picture_shows_the_machine_beside_the_latency():
    """Where it was measured; an older run's picture is as it was."""
    scenario = scenario_of(faults=False, objectives=[SLOW])

    def drawn(machine):
        history = history_of(scenario, [Stretch(lasts_s=30)], machine=machine)
        return plots.picture(scenario, history, judge(scenario, history, confidence=0.95), LIGHT)

    with_machine, without = drawn(minute(taken=range(3))), drawn(())
    view = with_machine.axes[-1]
    assert (len(with_machine.axes), len(without.axes)) == (5, 4)
    assert {text.get_text() for text in view.get_legend().get_texts()} == {
        "this run",
        "strangers",
        "the service\nwaited",
    }
    assert np.asarray(view.lines[0].get_ydata()).tolist()[:4] == [0.3, 0.3, 0.3, 0.01]
    nothing_known = drawn((second(1.0, waited_s=None),)).axes[-1].get_legend().get_texts()
    assert {text.get_text() for text in nothing_known} == {"this run", "strangers"}
