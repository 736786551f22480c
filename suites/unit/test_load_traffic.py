"""Faults of the load, laid into its schedule: how many arrivals, when, and what is said of them afterwards."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from pydantic import ValidationError

from harness.errors import SpecError
from harness.history.load import Heartbeat
from harness.history.samples import RECORD, Samples
from harness.load.arrivals import kinds_of
from harness.load.plan import LoadPlan, plan_from_json
from harness.load.traffic import dose_of, hot_keys, with_traffic
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
        (0, 21, 0, True, "1 000 requests issued in 20s (1 000 planned): 50/s, where the schedule has 10/s"),
        (10, 21, 0, True, "990 requests issued in 20s (1 000 planned): 49.5/s"),
        (11, 21, 0, False, "989 requests issued in 20s (1 000 planned)"),
        (0, 20.5, 10, True, "1 000 requests issued in 20s (1 000 planned; 10 of all were late): 50/s"),
        (0, 40.9, 11, False, "(1 000 planned; 11 of all were late)"),
        (0, 20.0, 11, True, "(1 000 planned)"),
        (0, 41.0, 11, True, "(1 000 planned)"),
    ],
)
def test_the_dose_of_a_spike_is_what_was_issued_in_its_window(missing, late_at_s, late, is_delivered, seen):
    """At least 99 % of the plan, and no more than 1 % late; what was issued before or after is not its own."""
    scenario = story({"kind": "spike", "times": 5})
    schedule = plan_of(scenario).arrivals()
    intended_s = np.concatenate([schedule.ending(20).intended_s, schedule.between(20, 40).intended_s[missing:]])
    beats = [beat_of(late_at_s, late)]

    dose = dose_of(scenario.traffic[0], schedule, scenario.load, samples_of(intended_s), beats, seed=7, at_s=61.0)

    assert (dose.is_delivered, dose.at_s) == (is_delivered, 61.0)
    assert seen in dose.seen


def test_a_spike_of_which_nothing_was_planned_was_not_there():
    """Not one request in its window."""
    scenario = story(
        {"kind": "spike", "rate": "0.01/s", "for": "1s"}, load={"arrivals_per_s": 0.001, "arrivals": "poisson"}
    )
    schedule = plan_of(scenario, seed=3).arrivals()

    assert len(schedule.between(20, 21)) == 0
    assert not dose_of(scenario.traffic[0], schedule, scenario.load, samples_of([]), [], seed=3, at_s=61.0).is_delivered


GREEDY = {"kind": "greedy-client", "asks": "grab", "rate": "30/s"}
ASKED = [
    {"name": "read", "path": "/items/{key}", "headers": {"x-client": "modest"}},
    {"name": "grab", "path": "/items/{key}", "headers": {"x-client": "greedy"}, "weight": 0, "keys": {"count": 5}},
]


def test_a_greedy_client_asks_beside_all_others_and_is_named():
    """What the others ask is what it was, and what it asks nobody else does."""
    plan = plan_of(story({**GREEDY, "for": "10s"}, load={"requests": ASKED}))
    usual, schedule = dataclasses.replace(plan, traffic=()).arrivals(), plan.arrivals()

    theirs, others = (schedule.rows(np.flatnonzero(schedule.requests == index)) for index in (1, 0))
    assert theirs.intended_s.tolist() == pytest.approx(20 + np.arange(300) / 30)
    assert set(theirs.keys.tolist()) == {0, 1, 2, 3, 4}
    assert theirs.numbers.tolist() == list(range(600, 900))
    assert all((one == other).all() for one, other in zip(others.columns, usual.columns, strict=True))
    assert (np.diff(schedule.intended_s) >= 0).all()
    assert plan.peak_per_s == 40


def test_a_greedy_client_comes_beside_a_spike_which_is_of_the_schedule_alone():
    """In whichever order the file has them."""
    spike = {"kind": "spike", "times": 3}
    for faults in ([GREEDY, spike], [spike, GREEDY]):
        schedule = plan_of(story(*faults, load={"requests": ASKED})).arrivals().between(20, 40)

        assert [int((schedule.requests == index).sum()) for index in (0, 1)] == [600, 600]


def test_promises_of_a_greedy_client_and_of_the_others_count_apart():
    """By their names; where none is named, all."""
    objectives = [{"sli": "errors", "max": "10%", "during": "fault", "of": name} for name in ("read", "grab")]
    scenario = story(
        GREEDY, load={"requests": ASKED}, objectives=[*objectives, {"sli": "errors", "max": "1%", "during": "fault"}]
    )

    assert [requests_meant(scenario, objective) for objective in scenario.objectives] == [200, 600, 800]


def test_requests_of_no_weight_are_asked_by_a_fault_alone():
    """Wherever they stand; and something must be asked."""
    load = story(load={"requests": [ASKED[1], ASKED[0], {**ASKED[1], "name": "last"}]}).load

    assert kinds_of(load, np.array([0.0, 0.5, np.nextafter(1.0, 0.0)])).tolist() == [1, 1, 1]
    with pytest.raises(ValidationError, match="all requests have the weight 0, so that nothing is asked"):
        story(load={"requests": [ASKED[1]]})


def test_a_share_of_what_asks_for_a_key_asks_for_one_which_the_seed_chooses():
    """Of each range its own; in the window only, and whoever asks for no key is left alone."""
    requests = [*ASKED[:1], {**ASKED[1], "weight": 1, "keys": {"first": 70, "count": 5}}, {"name": "root", "path": "/"}]
    load = {"requests": requests, "arrivals_per_s": 300, "keys": {"count": 10_000, "zipf": 0}}
    plan = plan_of(story({"kind": "hot-key", "share": "80%", "until": "10s"}, load=load))
    usual, schedule = dataclasses.replace(plan, traffic=()).arrivals(), plan.arrivals()

    hot = hot_keys(plan.load, plan.traffic[0], plan.seed)
    before = usual.keys.copy()
    assert (with_traffic(usual, plan.traffic, plan.load, seed=plan.seed).keys == schedule.keys).all()
    assert (usual.keys == before).all()
    during = schedule.between(20, 30)
    for index, keys in enumerate(hot):
        asked = during.keys[during.requests == index]
        by_chance = 0.2 / keys.count
        assert (asked == hot[keys]).mean() == pytest.approx(0.8 + by_chance, abs=0.06)
        assert keys.first <= hot[keys] < keys.first + keys.count
    assert (during.keys[during.requests == 2] == -1).all()
    for part in ("ending", "beginning"):
        moment_s = 20 if part == "ending" else 30
        assert (getattr(schedule, part)(moment_s).keys == getattr(usual, part)(moment_s).keys).all()
    for column in ("intended_s", "requests", "numbers"):
        assert (getattr(schedule, column) == getattr(usual, column)).all()
    assert len({tuple(hot_keys(plan.load, plan.traffic[0], seed).values()) for seed in range(9)}) > 5


def test_a_key_is_hot_for_whoever_comes_meanwhile():
    """A spike's clients and a greedy one."""
    faults = {"kind": "hot-key", "share": "100%"}, {"kind": "spike", "times": 2}, {**GREEDY, "asks": "read"}
    schedule = plan_of(story(*faults, load={"requests": ASKED[:1]})).arrivals().between(20, 40)

    assert len(schedule) == 400 + 600
    assert len(set(schedule.keys.tolist())) == 1


@pytest.mark.parametrize(
    ("fault", "requests", "said"),
    [
        ({**GREEDY, "asks": "grap"}, ASKED, "asks a request 'grap', which is not declared"),
        ({"kind": "hot-key", "share": "80%"}, [{"name": "root", "path": "/"}], "no request of this load asks for one"),
    ],
)
def test_a_fault_that_the_requests_cannot_do_is_refused(tmp_path, fault, requests, said):
    """Where it stands, before anything starts."""
    file = tmp_path / "asked.yaml"
    file.write_text(json.dumps(story(fault, load={"requests": requests}).model_dump(mode="json"), indent=1))

    with pytest.raises(SpecError, match=said) as refused:
        check_faults(read_source(file), SETTINGS, "quick")

    assert "phases[1].faults[0]" in refused.value.where
    assert "grab" in refused.value.fix or "{key}" in refused.value.fix


def test_two_greedy_clients_are_told_apart_by_what_they_ask(tmp_path):
    """Two that ask the same at once are one, and would be counted twice."""
    file = tmp_path / "greedy.yaml"
    two = [GREEDY, {**GREEDY, "asks": "read"}]
    file.write_text(json.dumps(story(*two, load={"requests": ASKED}).model_dump(mode="json"), indent=1))
    check_faults(read_source(file), SETTINGS, "quick")

    file.write_text(json.dumps(story(GREEDY, GREEDY, load={"requests": ASKED}).model_dump(mode="json"), indent=1))
    with pytest.raises(SpecError, match="cannot be seen while"):
        check_faults(read_source(file), SETTINGS, "quick")


def seen_of(plan, left_out=()):
    """Return the dose of a plan's fault, where all that was planned was issued but for some."""
    schedule = plan.arrivals()
    kept = np.setdiff1d(np.arange(len(schedule)), np.flatnonzero(left_out))
    records = np.zeros(len(kept), dtype=RECORD)
    records["intended_s"], records["key"] = schedule.intended_s[kept], schedule.keys[kept]
    records["operation"] = schedule.requests[kept] + 1
    samples = Samples(records, ("", *(request.name for request in plan.load.asked)))
    return dose_of(plan.traffic[0], schedule, plan.load, samples, [], seed=plan.seed, at_s=61.0)


def test_the_dose_of_a_greedy_client_is_what_it_asked():
    """Not what anybody else did."""
    plan = plan_of(story(GREEDY, load={"requests": ASKED}))

    dose = seen_of(plan)
    assert dose.is_delivered
    assert dose.seen == "600 requests issued in 20s (600 planned): 30/s, beside 10/s of others"
    schedule = plan.arrivals()
    theirs = schedule.requests == 1
    assert seen_of(plan, theirs & (schedule.intended_s < 20 + 5.9 / 30)).is_delivered
    assert not seen_of(plan, theirs & (schedule.intended_s < 20 + 6.9 / 30)).is_delivered
    assert seen_of(plan, ~theirs & (schedule.intended_s >= 20)).is_delivered


def test_the_dose_of_a_hot_key_is_how_many_asked_for_it():
    """Others that ask for other keys make it no hotter."""
    plan = plan_of(
        story({"kind": "hot-key", "share": "50%"}, load={"requests": ASKED, "keys": {"count": 1000, "zipf": 0}})
    )
    (key,) = (key for keys, key in hot_keys(plan.load, plan.traffic[0], plan.seed).items() if keys.count == 1000)
    schedule = plan.arrivals()
    hot = (schedule.keys == key) & (schedule.intended_s >= 20) & (schedule.intended_s < 40)

    dose = seen_of(plan)
    assert dose.is_delivered
    assert f"{hot.sum()} requests issued in 20s ({hot.sum()} planned): {hot.sum() / 2:g}% of what asked" in dose.seen
    assert str(key) in dose.seen
    assert not seen_of(plan, hot & (np.cumsum(hot) <= 2)).is_delivered
    assert seen_of(plan, ~hot).is_delivered


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
    assert [str(fault) for fault in story(GREEDY, {"kind": "hot-key", "share": "80%", "for": "9s"}).faults] == [
        "grab at 30/s by one client",
        "80% of requests for one key for 9s",
    ]
