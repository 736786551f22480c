"""Each thing that can be wrong with a load generator makes its load prove nothing; a slow service does not."""

from __future__ import annotations

import dataclasses
import json

import pytest

from harness.evidence import NO_SECRETS, EvidenceFolder
from harness.evidence.store import read_history, write_history
from harness.layout import HISTORY_FILE
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from harness.verdict.validity import load_validity
from suites.support.made import Stretch, history_of, scenario_of

TEN_MS_OBJECTIVE = {"sli": "slow", "over": "100ms", "max": "5%"}
SCENARIO = scenario_of(faults=False, objectives=[TEN_MS_OBJECTIVE])
HEALTHY = history_of(SCENARIO, [Stretch(lasts_s=30, per_s=250)])


def judged(history=HEALTHY, scenario=SCENARIO):
    """Return outcome and sentence by name."""
    return {each.name: (each.outcome, each.sentence) for each in load_validity(scenario, history)}


def with_tally(**changes):
    return dataclasses.replace(HEALTHY, tally=dataclasses.replace(HEALTHY.tally, **changes))


def with_beats(at, **changes):
    """Change the heartbeats at these seconds."""
    beats = [
        dataclasses.replace(beat, **changes) if index in at else beat
        for index, beat in enumerate(HEALTHY.heartbeats, 1)
    ]
    return dataclasses.replace(HEALTHY, heartbeats=tuple(beats))


def test_a_healthy_load_meets_all_eight():
    """Nothing is missing, and each says what was seen."""
    said = judged()

    assert len(said) == 8
    assert {outcome for outcome, _ in said.values()} == {Outcome.PASS}
    assert all(sentence for _, sentence in said.values())


BROKEN = [
    pytest.param(with_tally(lag_p99_s=0.0051), "generator on time", "5.1 ms at p99 (at most 5.0 ms)", id="late"),
    pytest.param(
        with_tally(wait_p99_s=None), "generator on time", "did not tell its own lag", id="an old folder's lag"
    ),
    pytest.param(with_tally(overhead_p95_s=0.0051), "generator calibrated", "too much to judge by 100ms", id="heavy"),
    pytest.param(with_tally(overhead_p95_s=None), "generator calibrated", "was not measured", id="not calibrated"),
    pytest.param(with_tally(client_errors=None), "generator without errors", "did not count", id="errors not counted"),
    pytest.param(with_tally(issued=58), "load long enough", "58 requests in 30 s prove nothing", id="too few requests"),
    pytest.param(with_beats({7, 8}, cpu_ratio=0.8), "generator not busy", "80% of its core", id="busy"),
    pytest.param(with_beats({7}, overdue=3), "offered as planned", "3 of them late, of 250 planned", id="behind"),
    pytest.param(with_beats({7}, planned=None), "offered as planned", "did not say", id="an old folder's seconds"),
    pytest.param(
        dataclasses.replace(HEALTHY, heartbeats=()), "offered as planned", "did not say", id="no heartbeats, no plan"
    ),
    pytest.param(
        dataclasses.replace(HEALTHY, heartbeats=HEALTHY.heartbeats[:9] + HEALTHY.heartbeats[10:]),
        "generator alive",
        "no heartbeat for 2.0 s after second 9.0",
        id="a gap",
    ),
    pytest.param(
        dataclasses.replace(HEALTHY, heartbeats=HEALTHY.heartbeats[:-1]),
        "generator alive",
        "no heartbeat for 1.0 s after second 29.0",
        id="silent before the end",
    ),
    pytest.param(dataclasses.replace(HEALTHY, heartbeats=()), "generator alive", "for 30.0 s", id="never a heartbeat"),
    pytest.param(
        dataclasses.replace(HEALTHY, heartbeats=()), "generator not busy", "did not say how busy", id="no CPU seen"
    ),
]


@pytest.mark.parametrize(("history", "name", "said"), BROKEN)
def test_what_is_wrong_with_the_generator_makes_the_run_prove_nothing(history, name, said):
    """By name, with its number; and the verdict is not a pass although every request was fast."""
    outcome, sentence = judged(history)[name]

    assert outcome is Outcome.INCONCLUSIVE
    assert said in sentence
    assert judge(SCENARIO, history, confidence=0.95).outcome is not Outcome.PASS


def test_an_exception_of_the_generator_is_an_error():
    """It is our side that broke, whatever the service did."""
    outcome, sentence = judged(with_tally(client_errors=2, client_error="ItemUser: KeyError: 'id'"))[
        "generator without errors"
    ]

    assert outcome is Outcome.ERROR
    assert "2 exceptions" in sentence
    assert "KeyError: 'id'" in sentence


TOLERATED = [
    pytest.param(with_tally(lag_p99_s=0.005), id="the lag that is allowed"),
    pytest.param(with_tally(wait_p99_s=8.0), id="waiting for a service that holds every seat"),
    pytest.param(with_beats({7}, cpu_ratio=0.95), id="one busy second"),
    pytest.param(with_beats({7}, overdue=2), id="less than one in a hundred overdue"),
    pytest.param(with_beats({7}, backlog=500, failed=250, ok=0, p95_s=None), id="a service that is down"),
]


@pytest.mark.parametrize("history", TOLERATED)
def test_noise_and_a_sick_service_do_not_void_the_load(history):
    """Or a service could escape its verdict by being slow."""
    assert {outcome for outcome, _ in judged(history).values()} == {Outcome.PASS}


def test_the_tightest_objective_sets_the_lag_that_is_allowed():
    """5 % of it, and never more than 10 ms; 10 ms where none speaks of time."""
    tight = scenario_of(faults=False, objectives=[TEN_MS_OBJECTIVE, {**TEN_MS_OBJECTIVE, "over": "20ms"}])
    loose = scenario_of(faults=False, objectives=[{**TEN_MS_OBJECTIVE, "over": "10s"}])
    timeless = scenario_of(faults=False, objectives=[{"sli": "errors", "max": "1%"}])

    limits = [judged(scenario=scenario)["generator on time"][1] for scenario in (tight, loose, timeless)]

    assert [limit.split("at most ")[1] for limit in limits] == ["1.0 ms)", "10.0 ms)", "10.0 ms)"]


def test_a_short_load_proves_nothing():
    """However many requests there were in two seconds."""
    scenario = SCENARIO.stretched(1 / 15)

    history = history_of(scenario, [Stretch(lasts_s=2)])

    assert judged(history, scenario)["load long enough"][0] is Outcome.INCONCLUSIVE


def test_phases_that_end_a_hair_later_than_the_last_heartbeat_miss_none():
    """23 s x 1.1 is 25.300000000000004 s, and heartbeats tell milliseconds."""
    last = replace_last(HEALTHY, at_s=HEALTHY.phases[-1].ended_s - 1e-9)

    assert judged(last)["generator alive"][0] is Outcome.PASS


def replace_last(history, *, at_s):
    return dataclasses.replace(
        history, heartbeats=(*history.heartbeats[:-1], dataclasses.replace(history.heartbeats[-1], at_s=at_s))
    )


def test_without_a_tally_there_is_nothing_to_ask():
    """The obligation `load delivered` is an error then, which is worse."""
    history = dataclasses.replace(HEALTHY, tally=None)

    assert judged(history) == {}
    assert judge(SCENARIO, history, confidence=0.95).outcome is Outcome.ERROR


def test_a_folder_of_an_older_version_is_read_and_proves_nothing(tmp_path):
    """It holds none of what is asked here."""
    write_history(HEALTHY, EvidenceFolder(tmp_path, NO_SECRETS))
    file = tmp_path / HISTORY_FILE
    old = json.loads(file.read_text())
    for name in ("wait_p99_s", "overhead_p95_s", "client_errors", "client_error"):
        del old["tally"][name]
    for beat in old["heartbeats"]:
        del beat["planned"], beat["overdue"]
    file.write_text(json.dumps(old))

    verdict = judge(SCENARIO, read_history(tmp_path), confidence=0.95)

    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "did not" in verdict.sentence


@pytest.mark.parametrize(
    ("second", "outcome"),
    [
        pytest.param(7, Outcome.PASS, id="in a phase that nobody judges"),
        pytest.param(35, Outcome.INCONCLUSIVE, id="in the phase that is judged"),
    ],
)
def test_a_late_second_matters_where_it_is_judged(second, outcome):
    """A warm-up may stumble; that is what it is for."""
    scenario = scenario_of(objectives=[{**TEN_MS_OBJECTIVE, "during": "fault"}])
    history = history_of(scenario, [Stretch(lasts_s=30), Stretch(lasts_s=10), Stretch(lasts_s=10)])
    late = [dataclasses.replace(beat, overdue=50) if beat.at_s == second else beat for beat in history.heartbeats]
    history = dataclasses.replace(history, heartbeats=tuple(late))

    assert judged(history, scenario)["offered as planned"][0] is outcome
