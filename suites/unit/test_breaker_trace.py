"""A breaker's trace is a path of its automaton: each step that no breaker may take is a counterexample of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.evidence import NO_SECRETS, EvidenceFolder
from harness.evidence.store import read_history, write_history
from harness.history.circuits import Circuit, CircuitReport, CircuitState, Stay
from harness.history.history import History
from harness.measure.invariants.breaker_trace import breaker_trace
from harness.plan import plan_of, source_of
from harness.spec.invariant import BreakerTrace
from harness.spec.parser import read_settings
from harness.testing import check_checker
from suites.support.made import scenario_of
from suites.support.servers import PROJECT

RULE = BreakerTrace(kind="breaker-trace", rest="1s", longest="2s", jitter="10%", probes=3)
SETTINGS = read_settings(PROJECT / "readiness.toml")


def closed(began_s, admitted=100):
    return Stay(state=CircuitState.CLOSED, began_s=began_s, admitted=admitted)


def opened(began_s, rest_s=None, admitted=0):
    return Stay(state=CircuitState.OPEN, began_s=began_s, admitted=admitted, rest_s=rest_s)


def probing(began_s, admitted=1):
    return Stay(state=CircuitState.HALF_OPEN, began_s=began_s, admitted=admitted)


WELL = (closed(-5), opened(10, 1.05), probing(11.06), opened(11.11, 2.1), probing(13.3, 3), closed(13.31))
"""Opened, found down once more, rested for twice as long, found up."""


def report(*stays, replica="replica-1", asked_s=40.0, name="redis", forgotten=0):
    return CircuitReport(
        replica=replica, asked_s=asked_s, circuits=(Circuit(name=name, forgotten=forgotten, stays=stays),)
    )


def untold(replica="replica-1", asked_s=40.0, error="GET /breakers was answered with 404"):
    return CircuitReport(replica=replica, asked_s=asked_s, error=error)


def seen(*reports):
    return History(run_id="r", began_at="", seed=1, backend="embedded", circuits=reports)


def found(*reports, **keys):
    return breaker_trace(RULE.model_copy(update=keys), seen(*reports))


def test_a_path_of_the_automaton_keeps_it():
    """Each state that was entered in the run is a step; what came before the load is not the run's."""
    held = found(report(*WELL))

    assert (held.checked, held.broken, held.first, held.also) == (5, 0, None, "")
    assert found(report(*WELL), report(*WELL, replica="replica-2")).checked == 10
    assert found(report(closed(-9), opened(-5, 1.0), probing(-4), closed(0))).checked == 1


@pytest.mark.parametrize(
    ("stays", "what"),
    [
        pytest.param(
            (closed(-5), probing(10)),
            "was closed from -5.000 s on and half open at 10.000 s, and after closed it may only be open",
            id="it probes what it has not left",
        ),
        pytest.param(
            (closed(-5), opened(10), closed(11.5)),
            "was open from 10.000 s on and closed at 11.500 s, and after open it may only be half open",
            id="it closes without a probe",
        ),
        pytest.param(
            (closed(-5), opened(10), probing(11), probing(11.2)),
            "was half open from 11.000 s on and half open at 11.200 s, and after half open it may only be closed or open",
            id="it begins to probe twice",
        ),
        pytest.param(
            (closed(-5), opened(10), probing(10.897)),
            "opened at 10.000 s and was half open at 10.897 s: it rested for 0.897 s, and must for 0.900 s",
            id="its first rest is too short",
        ),
        pytest.param(
            (closed(-5), opened(10), probing(11), opened(11.1), probing(12.1)),
            "opened at 11.100 s (opening 2 in a row) and was half open at 12.100 s: it rested for 1.000 s, and must for "
            "1.800 s",
            id="its second rest is as short as the first",
        ),
        pytest.param(
            (closed(-5), opened(10, 1.05), probing(11.04)),
            "opened at 10.000 s and was half open at 11.040 s: it rested for 1.040 s, and must for 1.050 s",
            id="it rests for less than it chose",
        ),
        pytest.param(
            (closed(-5), opened(10, 1.0), probing(11.1), opened(11.2, 1.0)),
            "opened at 11.200 s (opening 2 in a row) and chose to rest for 1.000 s, and 1.800 s to 2.200 s are allowed",
            id="it chooses too short a rest",
        ),
        pytest.param(
            (closed(-5), opened(10, 1.0), probing(11.1, 3), closed(11.2), opened(20, 2.0)),
            "opened at 20.000 s and chose to rest for 2.000 s, and 0.900 s to 1.100 s are allowed",
            id="it holds a grudge",
        ),
        pytest.param(
            (closed(-5), opened(10), probing(11, 4), closed(11.2)),
            "was half open from 11.000 s to 11.200 s and let 4 calls through, and 3 are allowed",
            id="too many probes",
        ),
        pytest.param(
            (closed(-5), opened(10), probing(11, 4)),
            "was half open from 11.000 s on and let 4 calls through, and 3 are allowed",
            id="too many probes, still half open",
        ),
        pytest.param(
            (closed(-5), opened(10, admitted=1), probing(11)),
            "was open from 10.000 s to 11.000 s and let 1 call through, and 0 are allowed",
            id="a call while it rests",
        ),
    ],
)
def test_a_step_that_no_breaker_may_take_is_told_with_its_times(stays, what):
    broken = found(report(*stays))

    assert broken.broken == 1
    assert broken.first.sentence == f"replica-1: the breaker of redis {what}"


@pytest.mark.parametrize(
    "stays",
    [
        pytest.param((closed(-5), opened(10), probing(10.899)), id="times are told in milliseconds"),
        pytest.param((closed(-5), opened(10, 1.1), probing(11.1)), id="the longest first rest"),
        pytest.param((closed(-5), opened(10, 0.9), probing(10.9)), id="the shortest"),
        pytest.param((closed(-5), opened(10), probing(70)), id="nobody asks for a minute"),
        pytest.param(
            tuple(replace(stay, admitted=None, rest_s=None) for stay in WELL), id="it does not tell what it let through"
        ),
    ],
)
def test_what_is_allowed_is_allowed(stays):
    assert found(report(*stays)).broken == 0


def test_a_rest_that_does_not_grow_is_always_the_same():
    """Where nothing is said of a longest one, the second in a row is as long as the first."""
    steady = (closed(-5), opened(10, 1.0), probing(11), opened(11.1, 1.0), probing(12.1))

    assert found(report(*steady), longest=None).broken == 0
    assert found(report(*WELL), longest=None).first.sentence.endswith("0.900 s to 1.100 s are allowed")


def test_of_what_is_forgotten_the_first_rest_may_be_any():
    """Whether it opened before is not known: between the shortest and the longest nothing can be said."""
    opening = (opened(10, 2.1), probing(12.2), opened(12.3, 1.9), probing(14.3, 3), closed(14.4), opened(20, 1.0))

    assert found(report(*opening, forgotten=7)).broken == 0
    assert found(report(opened(10, 2.3), forgotten=7)).broken == 1
    assert found(report(opened(10, 0.8), forgotten=7)).broken == 1
    assert found(report(*opening[:-1], opened(20, 2.0), forgotten=7)).broken == 1


def test_the_first_in_time_is_told_and_all_are_counted():
    late, early = (closed(-5), probing(30)), (closed(-5), probing(20), opened(21), closed(22))

    broken = found(report(*late), report(*early, replica="replica-2"))

    assert (broken.checked, broken.broken) == (4, 3)
    assert broken.first.sentence.startswith("replica-2: the breaker of redis was closed")


def test_what_an_earlier_story_did_on_the_stack_is_not_this_ones():
    """But what it was found in counts: an opening in a row is one, whenever the row began."""
    before = (closed(-60), probing(-50), opened(-49), probing(-48), opened(-0.5, 1.0), probing(1.2))

    assert found(report(*before)).broken == 1  # the last rest is the second in a row
    assert found(report(*before[:3], probing(3))).broken == 0


def test_only_the_breakers_that_it_is_about_are_judged():
    other = report(closed(-5), probing(10), name="postgres")

    assert found(other, of=("redis",)).checked == 0
    assert found(other, of=("redis", "postgres")).broken == 1
    assert "no breaker is called redis; there are: postgres" in found(other, of=("redis",)).wanted


def test_what_a_process_forgot_that_was_killed_is_a_gap():
    """It was asked before, and the one that took its place at the end: both are judged, and no step is between them."""
    first, second = report(*WELL[:2], asked_s=10.5), report(closed(15.2), opened(20, 1.0), asked_s=40.0)

    held = found(first, second)

    assert (held.checked, held.broken) == (2, 0)
    assert held.also == "of replica-1 nothing is known from 10.5 s to 15.2 s"
    late = report(closed(15.2), opened(20, 1.0), replica="replica-2")
    assert found(report(*WELL), late).also == "of replica-2 nothing is known from 0.0 s to 15.2 s"


def test_a_process_that_is_asked_twice_is_judged_once():
    """What it told first is told again, unless it has forgotten it meanwhile."""
    bad = (closed(-5), probing(10))

    assert found(report(*bad, asked_s=12.0), report(*bad)).broken == 1
    assert found(report(*bad, asked_s=12.0), report(probing(10), opened(13), forgotten=1)).broken == 1
    assert found(report(*bad, asked_s=12.0), report(*bad, replica="replica-2")).broken == 2
    assert found(report(*bad, asked_s=9.9), report(closed(10), opened(11))).broken == 1


@pytest.mark.parametrize(
    ("reports", "wanted"),
    [
        pytest.param((), "no replica was asked", id="not asked"),
        pytest.param((report(closed(-5)),), "no breaker left its state", id="nothing happened"),
        pytest.param(
            (untold(),), "replica-1 did not tell what its breakers did: GET /breakers was answered", id="silent"
        ),
        pytest.param((report(*WELL), untold("replica-2")), "replica-2 did not tell", id="one of two is silent"),
        pytest.param((report(*WELL), untold(asked_s=41.0)), "replica-1 did not tell", id="silent at the end"),
    ],
)
def test_what_was_not_seen_proves_nothing(reports, wanted):
    held = found(*reports)

    assert (held.checked, held.first) == (0, None)
    assert wanted in held.wanted


def test_silence_before_a_replica_is_lost_is_a_gap_and_no_more():
    assert found(untold(asked_s=10.0), report(*WELL)).checked == 5


def test_a_counterexample_needs_no_other_replica():
    """Whatever one does not tell, what another one did is broken all the same."""
    assert found(report(closed(-5), probing(10)), untold("replica-2")).first is not None


@st.composite
def ways(draw):
    """Draw a way that a breaker of `RULE` may go."""
    at_s, openings, stays = 0.0, 0, [closed(-1.0)]
    for _ in range(draw(st.integers(1, 12))):
        at_s += draw(st.floats(0.01, 20))
        match stays[-1].state:
            case CircuitState.OPEN:
                at_s = stays[-1].began_s + stays[-1].rest_s + draw(st.floats(0, 1))
                stays.append(probing(at_s, draw(st.integers(0, 3))))
            case CircuitState.HALF_OPEN if draw(st.booleans()):
                openings = 0
                stays.append(closed(at_s))
            case _:
                openings += 1
                base_s = 1.0 if openings == 1 else 2.0
                stays.append(opened(at_s, base_s * draw(st.floats(0.9, 1.1))))
    return tuple(stays)


@given(ways(), st.data())
def test_of_a_legal_way_one_thing_that_is_wrong_is_found(stays, data):
    """At the step that it was done to, whatever it was."""
    assert found(report(*stays)).broken == 0
    place = data.draw(st.integers(1, len(stays) - 1))
    stay = stays[place]
    wrong = {
        CircuitState.CLOSED: [replace(stay, state=CircuitState.HALF_OPEN)],
        CircuitState.HALF_OPEN: [
            replace(stay, admitted=data.draw(st.integers(4, 99))),
            replace(stay, state=CircuitState.CLOSED),
            replace(stay, began_s=stays[place - 1].began_s + 0.5),
        ],
        CircuitState.OPEN: [
            replace(stay, admitted=data.draw(st.integers(1, 99))),
            replace(stay, rest_s=data.draw(st.floats(0, 0.89))),
            replace(stay, rest_s=data.draw(st.floats(2.21, 99))),
        ],
    }
    changed = (*stays[:place], data.draw(st.sampled_from(wrong[stay.state])), *stays[place + 1 :])

    broken = found(report(*changed))

    assert broken.broken >= 1
    assert f"{changed[place].began_s:.3f} s" in broken.first.sentence


CALM = """\
scenario: calm
story: Nothing is broken here.
load: {arrivals_per_s: 200}
phases:
  - {name: baseline, lasts: 30s}
invariants:
  - {kind: breaker-trace, rest: 1s, longest: 2s, jitter: 10%, probes: 3, of: [redis]}
"""


def refused(tmp_path, text=CALM, settings=SETTINGS):
    with pytest.raises(SpecError) as refusal:
        plan_of(source_of(text, tmp_path / "calm.yaml"), settings, profile="full", seed=1)
    return str(refusal.value).replace(f"{tmp_path}/", "")


def test_it_needs_a_service_that_tells(tmp_path):
    """Which path does is said in readiness.toml; also for what that promises of every scenario."""
    told = plan_of(source_of(CALM, tmp_path / "calm.yaml"), SETTINGS, profile="full", seed=1)
    subject = SETTINGS.system.subject.model_copy(update={"breakers": None})
    mute = SETTINGS.model_copy(update={"system": SETTINGS.system.model_copy(update={"subject": subject})})

    said = refused(tmp_path, settings=mute)
    of_all = refused(
        tmp_path, CALM.partition("invariants")[0], mute.model_copy(update={"invariants": (*mute.invariants, RULE)})
    )

    assert told.scenario.traces_breakers
    assert "calm.yaml:7: invariants[0].kind" in said
    assert 'breakers = "/PATH"' in said
    assert "calm.yaml:3: load" in of_all


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("longest: 2s", "longest: 900ms", "the longest rest is shorter than the first"),
        ("probes: 3", "probes: 0", "greater than or equal to 1"),
        ("rest: 1s, ", "", "rest"),
        ("jitter: 10%", "jitter: 100%", "less than 1"),
    ],
)
def test_what_no_breaker_could_keep_is_refused(tmp_path, old, new, what):
    assert what in refused(tmp_path, CALM.replace(old, new))


def test_what_was_told_survives_a_file(tmp_path):
    """And evidence of a run that did not ask has no such file."""
    history = seen(report(*WELL), untold("replica-2"))

    write_history(history, EvidenceFolder(tmp_path / "new", NO_SECRETS))
    write_history(seen(), EvidenceFolder(tmp_path / "old", NO_SECRETS))

    assert read_history(tmp_path / "new").circuits == history.circuits
    assert read_history(tmp_path / "old").circuits == ()
    assert not (tmp_path / "old/circuits.jsonl").exists()


def test_it_is_a_promise_like_every_other():
    check_checker(RULE, scenario_of(), kept=seen(report(*WELL)), broken=seen(report(closed(-5), probing(10))))
