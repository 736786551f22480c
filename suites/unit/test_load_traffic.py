"""Faults of the load, laid into its schedule: how many arrivals, when, and what is said of them afterwards."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pydantic import ValidationError

from harness.errors import SpecError
from harness.history.load import Heartbeat
from harness.history.samples import RECORD, Samples
from harness.load.plan import LoadPlan, plan_from_json
from harness.load.traffic import dose_of
from harness.plan import check_faults, read_source
from harness.spec.faults import Spike
from harness.spec.scenario import Scenario
from harness.spec.system import Settings
from harness.verdict.feasible import requests_meant
from harness.verdict.obligations import obligations
from suites.support.made import Stretch, history_of, scenario_of

SETTINGS = Settings.model_validate(
    {
        "system": {"name": "made", "subject": {"app": "made:create_app"}},
        "objectives": [{"sli": "errors", "max": "0.1%"}],
        "profiles": {"quick": {"stretch": 2.0}},
    }
)


def story(*faults, load=None, **changes):
    """A minute of which faults fill the second third, at 10 arrivals a second like a metronome."""
    return Scenario.model_validate(
        {
            "scenario": "pressed",
            "story": "Clients come as no schedule had it.",
            "load": {"arrivals_per_s": 10, "arrivals": "constant"} | (load or {}),
            "phases": [
                {"name": "baseline", "lasts": "20s"},
                {"name": "fault", "lasts": "20s", "faults": list(faults)},
                {"name": "recovery", "lasts": "20s"},
            ],
            "objectives": [{"sli": "errors", "max": "10%"}, {"sli": "recovery", "within": "5s"}],
        }
        | changes
    )


def plan_of(scenario, **changes):
    plan = LoadPlan(
        base_url="http://127.0.0.1:1",
        load=scenario.load,
        lasts_s=scenario.lasts_s,
        seed=7,
        traffic=scenario.traffic,
    )
    return dataclasses.replace(plan, **changes)


def test_a_spike_of_a_metronome_is_a_faster_metronome_from_its_first_moment_to_before_its_last():
    """Twice as fast for two seconds; before and after, the beats are where they were."""
    spiked = plan_of(story({"kind": "spike", "times": 2, "at": "5s", "for": "2s"}))
    plain = dataclasses.replace(spiked, traffic=())

    intended_s = spiked.arrivals().intended_s

    inside = intended_s[(intended_s >= 25) & (intended_s < 27)]
    assert inside.tolist() == pytest.approx(np.arange(25, 27, 0.05))
    beside = intended_s[(intended_s < 25) | (intended_s >= 27)]
    usual_s = plain.arrivals().intended_s
    assert beside.tolist() == usual_s[(usual_s < 25) | (usual_s >= 27)].tolist()


def test_a_spike_at_a_rate_comes_at_that_rate_whatever_the_schedule_has():
    """300 a second for two seconds."""
    schedule = plan_of(story({"kind": "spike", "rate": "300/s", "at": "5s", "for": "2s"})).arrivals()

    inside = schedule.between(25, 27)
    assert len(inside) == 600
    assert inside.intended_s.tolist() == pytest.approx(np.arange(600) / 300 + 25)
    assert len(schedule) == 60 * 10 - 20 + 600


def test_a_spike_multiplies_a_rate_that_changes_meanwhile():
    """A ramp from 10/s to 30/s over the whole minute: from second 20 to 40 it has 400 arrivals, and the spike 1 200."""
    ramp = {"schedule": {"kind": "ramp", "over": "60s", "to_per_s": 30}}
    scenario = story({"kind": "spike", "times": 3}, load=ramp, objectives=[{"sli": "errors", "max": "10%"}])

    inside = plan_of(scenario).arrivals().between(20, 40)

    assert len(inside) == 1200
    assert len(inside.between(20, 30)) == 550
    assert scenario.expected(20, 40) == pytest.approx(1200)


def test_every_request_of_a_spike_has_a_number_of_its_own():
    """What is `{unique}` is its number."""
    schedule = plan_of(story({"kind": "spike", "times": 4})).arrivals()

    assert len(np.unique(schedule.numbers)) == len(schedule) == 200 + 800 + 200
    assert schedule.between(20, 40).numbers.tolist() == list(range(600, 1400))


def test_nothing_of_a_spike_comes_when_its_window_is_over():
    """1.1 s * 100/s is a hair more than 110 in binary, and still 110 requests; the schedule goes on with its next beat."""
    baseline = {"name": "baseline", "lasts": "2s", "faults": [{"kind": "spike", "rate": "100/s", "for": "1.1s"}]}
    scenario = story(phases=[baseline, {"name": "recovery", "lasts": "9s"}])

    assert len(plan_of(scenario).arrivals()) == 110 + 99


def test_two_spikes_are_two_crowds():
    """Each draws from a stream of its own."""
    spikes = [{"kind": "spike", "times": 4, "at": at, "for": "5s"} for at in ("0s", "10s")]
    schedule = plan_of(story(*spikes, load={"arrivals": "poisson"})).arrivals()

    first, second = schedule.between(20, 25), schedule.between(30, 35)
    assert first.keys[:100].tolist() == second.keys[:100].tolist() == [-1] * 100
    assert not set((first.intended_s - 20).round(6)) & set((second.intended_s - 30).round(6))


def test_a_spike_of_nothing_but_waiting_clients_is_none():
    """Before the first arrival of a run there is no number to go on from, and none is needed."""
    scenario = story({"kind": "spike", "rate": "1/s"}, load={"arrivals_per_s": 0.001, "arrivals": "poisson"})
    plan = plan_of(scenario, seed=3)

    assert len(dataclasses.replace(plan, traffic=()).arrivals()) == 0
    assert plan.arrivals().numbers.tolist() == list(range(len(plan.arrivals())))


def test_a_plan_says_its_traffic_to_the_generator_which_lays_out_the_same():
    """On one line; the windows are moments there, as exact as they were."""
    scenario = story({"kind": "spike", "times": 2.5, "at": "5s", "until": "7s"}).stretched(1 / 3)
    plan = plan_of(scenario)

    told = plan_from_json(plan.to_json())

    assert [(each.starts_s, each.ends_s) for each in told.traffic] == [(pytest.approx(25 / 3), pytest.approx(9))]
    assert [each.starts_s for each in told.traffic] == [each.starts_s for each in plan.traffic]
    assert told.arrivals().intended_s.tolist() == plan.arrivals().intended_s.tolist()


def test_what_is_left_of_a_generator_that_died_has_the_spike():
    """Parts of the schedule are parts of the whole one."""
    plan = plan_of(story({"kind": "spike", "times": 2}))
    parts = [dataclasses.replace(plan, share=(index, 3)).arrivals() for index in range(3)]

    assert sum(len(part) for part in parts) == len(plan.arrivals()) == 800
    assert plan.peak_per_s == 20


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kind": "spike"}, "by `times` or by `rate`; give one of the two"),
        ({"kind": "spike", "times": 2, "rate": "90/s"}, "give one of the two"),
        ({"kind": "spike", "times": 1}, "greater than 1"),
        ({"kind": "spike", "rate": 300}, "not a rate: 300; write a number a second, such as 300/s"),
        ({"kind": "spike", "rate": "300"}, "not a rate: '300'"),
        ({"kind": "spike", "rate": "10/s"}, "the schedule has 10/s, so `load at 10/s` is no spike"),
        ({"kind": "spike", "times": 1000, "target": "redis"}, "Extra inputs are not permitted"),
    ],
)
def test_a_spike_that_is_none_is_refused(fault, said):
    with pytest.raises(ValidationError, match=said):
        story(fault)


def test_a_spike_that_no_generator_sends_is_refused():
    """Where the schedule is already high."""
    with pytest.raises(ValidationError, match="`load ×100` comes to 20500/s, and one generator sends 20000/s at most"):
        story({"kind": "spike", "times": 100}, load={"arrivals_per_s": 205})


def test_a_phase_with_traffic_in_it_cannot_go_on():
    """The schedule was laid out before; a profile that would let it leaves it."""
    spike = {"kind": "spike", "times": 2}
    with pytest.raises(ValidationError, match=r"`load ×2` is a part of the load's schedule.*leave out extends_to"):
        story(spike, extends_to=2)

    assert story(spike).extending(4).extends_to == 1
    assert story({"kind": "down", "target": "redis"}).extending(4).extends_to == 4


def test_recovery_is_promised_after_a_spike_since_the_load_is_then_what_it_was():
    """A schedule that changes it, after the spike or in it, is refused as with any fault."""
    assert story({"kind": "spike", "times": 2}).load.is_steady(0.0, 60.0)

    with pytest.raises(ValidationError, match="recovery is only seen under unchanged load"):
        story({"kind": "spike", "times": 2}, load={"schedule": {"kind": "step", "steps": [{"at": "30s", "per_s": 5}]}})


def test_promises_of_a_phase_count_what_its_spike_adds():
    """Half of the phase at four times the rate: 100 + 400 requests in the place of 200."""
    scenario = story({"kind": "spike", "times": 4, "for": "10s"}, objectives=[
        {"sli": "errors", "max": "10%", "during": "fault"}, {"sli": "errors", "max": "10%", "during": "fault", "of": "b"},
    ], load={"requests": [{"name": "a", "path": "/a", "weight": 3}, {"name": "b", "path": "/b"}]})  # fmt: skip

    assert [requests_meant(scenario, objective) for objective in scenario.objectives] == [500, 125]


def test_two_spikes_at_once_are_refused_with_both_lines(tmp_path):
    """Neither could be told from the other; beside any other fault a spike is seen as it is alone."""
    file = tmp_path / "spikes.yaml"
    head = "scenario: spikes\nstory: Two crowds at once.\nload: {arrivals_per_s: 10}\nphases:\n"
    text = head + "  - name: fault\n    lasts: 20s\n    faults:\n"
    spike = "      - {{kind: spike, times: 2, at: {}s, for: 5s}}\n"
    after = "  - {name: recovery, lasts: 9s}\n"
    file.write_text(text + spike.format(0) + spike.format(4) + after)

    with pytest.raises(SpecError, match=r"`load ×2 for 10s` cannot be seen while `load ×2 at 8s for 10s` \(line 9\)"):
        check_faults(read_source(file), SETTINGS, "quick")

    down = "      - {kind: down, target: redis}\n"
    file.write_text(text + spike.format(0) + spike.format(5) + down + after)
    check_faults(read_source(file), SETTINGS, "quick")


def samples_of(intended_s):
    records = np.zeros(len(intended_s), dtype=RECORD)
    records["intended_s"] = intended_s
    return Samples(records)


def beat_of(at_s, overdue):
    return Heartbeat(
        at_s=at_s, issued=1, ok=1, failed=0, in_flight=0, backlog=0, p95_s=None, lag_max_s=0.0, cpu_ratio=0.1,
        planned=1, overdue=overdue,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("missing", "late_at_s", "late", "is_delivered", "seen"),
    [
        (0, 21, 0, True, "1 000 of 1 000 planned requests were issued in 20s: 50/s, where the schedule has 10/s"),
        (10, 21, 0, True, "990 of 1 000 planned requests were issued in 20s: 49.5/s"),
        (11, 21, 0, False, "989 of 1 000 planned requests were issued in 20s"),
        (0, 20.5, 10, True, "1 000 of 1 000 planned requests were issued, 10 of them late in 20s"),
        (0, 40.9, 11, False, "issued, 11 of them late"),
        (0, 20.0, 11, True, "were issued in 20s"),
        (0, 41.0, 11, True, "were issued in 20s"),
    ],
)
def test_the_dose_of_a_spike_is_what_was_issued_in_its_window(missing, late_at_s, late, is_delivered, seen):
    """At least 99 % of the plan, and no more than 1 % late; what was issued before or after is not its own."""
    scenario = story({"kind": "spike", "times": 5})
    schedule = plan_of(scenario).arrivals()
    intended_s = np.concatenate([schedule.ending(20).intended_s, schedule.between(20, 40).intended_s[missing:]])
    beats = [beat_of(late_at_s, late)]

    dose = dose_of(scenario.traffic[0], schedule, scenario.load, samples_of(intended_s), beats, at_s=61.0)

    assert (dose.is_delivered, dose.at_s) == (is_delivered, 61.0)
    assert seen in dose.seen


def test_a_spike_of_which_nothing_was_planned_was_not_there():
    """Not one request in its window."""
    scenario = story(
        {"kind": "spike", "rate": "0.01/s", "for": "1s"}, load={"arrivals_per_s": 0.001, "arrivals": "poisson"}
    )
    schedule = plan_of(scenario, seed=3).arrivals()

    assert len(schedule.between(20, 21)) == 0
    assert not dose_of(scenario.traffic[0], schedule, scenario.load, samples_of([]), [], at_s=61.0).is_delivered


def test_a_fault_of_the_load_owes_no_traffic_through_it():
    """It is the traffic; its dose is an obligation like any other's."""
    scenario = scenario_of(fault={"kind": "spike", "times": 2})
    history = history_of(scenario, [Stretch(lasts_s=30), Stretch(lasts_s=10, per_s=500), Stretch(lasts_s=10)])

    names = [item.name for item in obligations(scenario, history, ())]

    assert "fault delivered: load ×2" in names
    assert "fault gone: load ×2" in names
    assert not [name for name in names if "crossed" in name or "is hurt" in name]


def test_a_spike_says_what_it_is():
    assert str(Spike(kind="spike", times=1.5, at="5s", until="7s")) == "load ×1.5 at 5s until 7s"
