"""Each schedule as one would draw it, how it is written in a scenario, and recordings that cannot be used."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from harness.errors import LoadError
from harness.load.arrivals import schedule_of
from harness.load.plan import LoadPlan, plan_from_json
from harness.load.replay import recorded_s, replayed_s
from harness.spec.load import Load
from harness.spec.scenario import Scenario


def per_second(schedule, lasts_s=10.0, per_s=100.0):
    """Return how many a metronome counts in each second."""
    load = Load.model_validate({"arrivals_per_s": per_s, "arrivals": "constant", "schedule": schedule})
    intended_s = schedule_of(load, lasts_s=lasts_s, seed=1).intended_s
    return np.bincount(intended_s.astype(int), minlength=int(lasts_s)).tolist()


def close(*wanted):
    """Allow for one request on either side of each second's border."""
    return [pytest.approx(count, abs=1.01) for count in wanted]


DRAWN = [
    pytest.param({"kind": "constant"}, [100] * 10, id="constant"),
    pytest.param(
        {"kind": "ramp", "begins": "2s", "over": "5s", "to_per_s": 600},
        [100, 100, 150, 250, 350, 450, 550, 600, 600, 600],
        id="ramp",
    ),
    pytest.param({"kind": "ramp", "over": "20s", "to_per_s": 300}, [105 + 10 * s for s in range(10)], id="cut ramp"),
    pytest.param({"kind": "ramp", "over": "4s", "to_per_s": 0}, [88, 62, 38, 12, *[0] * 6], id="ramp to nothing"),
    pytest.param(
        {"kind": "step", "steps": [{"at": "2s", "per_s": 300}, {"at": "5s", "per_s": 0}, {"at": "8s", "per_s": 50}]},
        [100, 100, 300, 300, 300, 0, 0, 0, 50, 50],
        id="step",
    ),
    pytest.param(
        {"kind": "spike", "at": "4s", "lasts": "2s", "to_per_s": 1000},
        [100, 100, 100, 100, 1000, 1000, 100, 100, 100, 100],
        id="spike",
    ),
    pytest.param(
        {"kind": "sine", "swing": "50%", "period": "4s"}, [132, 132, 68, 68, 132, 132, 68, 68, 132, 132], id="sine"
    ),
]


@pytest.mark.parametrize(("schedule", "wanted"), DRAWN)
def test_a_schedule_is_what_it_looks_like(schedule, wanted):
    """Counted second by second, without randomness; 100 ± 100 * 0.5 * 2/pi in the halves of the sine."""
    assert per_second(schedule) == close(*wanted)


def test_poisson_arrivals_follow_the_schedule_and_are_independent():
    """Ten times as many in the spike, and a variance that is as large as the mean."""
    load = Load.model_validate(
        {"arrivals_per_s": 1000, "schedule": {"kind": "spike", "at": "5s", "lasts": "5s", "to_per_s": 10_000}}
    )

    intended_s = schedule_of(load, lasts_s=15, seed=5).intended_s
    counts = np.bincount((intended_s * 100).astype(int), minlength=1500)

    calm, spike = counts[:500], counts[500:1000]
    assert spike.mean() / calm.mean() == pytest.approx(10, rel=0.05)
    assert calm.var() / calm.mean() == pytest.approx(1, abs=0.3)
    assert spike.var() / spike.mean() == pytest.approx(1, abs=0.3)


WRONG = [
    ({"kind": "ramp", "over": "5s"}, "to_per_s"),
    ({"kind": "ramp", "over": "0s", "to_per_s": 5}, "over"),
    ({"kind": "ramp", "over": 5, "to_per_s": 5}, "not a duration"),
    ({"kind": "step", "steps": []}, "steps"),
    ({"kind": "spike", "at": "1s", "lasts": "1s", "to_per_s": 20_001}, "20000"),
    ({"kind": "sine", "swing": "101%", "period": "5s"}, "between 0% and 100%"),
    ({"kind": "sine", "swing": "50%", "period": "1ms"}, "period"),
    ({"kind": "saw"}, "saw"),
    ({"kind": "constant", "to_per_s": 4}, "to_per_s"),
]


@pytest.mark.parametrize(("schedule", "said"), WRONG)
def test_a_schedule_that_makes_no_sense_is_refused(schedule, said):
    """When the scenario is read."""
    with pytest.raises(ValidationError, match=said):
        Load.model_validate({"arrivals_per_s": 100, "schedule": schedule})


def scenario(schedule, **changes):
    return Scenario.model_validate(
        {
            "scenario": "made",
            "story": "Made by hand, for a test.",
            "load": {"arrivals_per_s": 100, "schedule": schedule},
            "phases": [
                {"name": "baseline", "lasts": "30s"},
                {"name": "fault", "lasts": "10s", "faults": [{"kind": "down", "target": "redis"}]},
                {"name": "recovery", "lasts": "10s"},
            ],
            "objectives": [{"sli": "recovery", "within": "5s"}],
        }
        | changes
    )


@pytest.mark.parametrize(
    "schedule",
    [
        {"kind": "sine", "swing": "10%", "period": "10s"},
        {"kind": "spike", "at": "32s", "lasts": "2s", "to_per_s": 300},
        {"kind": "replay", "file": "arrivals.txt"},
    ],
)
def test_recovery_is_not_promised_under_a_changing_load(schedule):
    """It would be recovery from a lighter one."""
    with pytest.raises(ValidationError, match="recovery is only seen under unchanged load"):
        scenario(schedule)

    scenario(schedule, objectives=[{"sli": "errors", "max": "1%"}])


def test_a_ramp_before_the_fault_leaves_recovery_possible():
    """Also when a profile stretches both."""
    ramp = scenario({"kind": "ramp", "over": "20s", "to_per_s": 400})

    longer = ramp.stretched(4.0)

    assert longer.load.schedule.over == 80.0
    assert longer.load.is_steady(80.0, longer.lasts_s)
    assert not longer.load.is_steady(79.0, longer.lasts_s)


def test_a_recording_is_repeated_at_the_rate_that_was_asked_for(tmp_path):
    """From the first arrival on, whatever clock it was recorded by."""
    (tmp_path / "arrivals.txt").write_text("# seconds\n1000.0\n1000.5\n\n1000.6\n1002.0\n")
    schedule = {"kind": "replay", "file": "arrivals.txt"}
    load = Load.model_validate({"arrivals_per_s": 3, "schedule": schedule})
    plan = LoadPlan(base_url="http://127.0.0.1:1", load=load, lasts_s=1.01, seed=1, project=str(tmp_path))

    plan.check()

    assert plan.arrivals().intended_s.tolist() == pytest.approx([0.0, 0.25, 0.3, 1.0])
    assert plan_from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(None, "cannot be read", id="missing"),
        pytest.param("", "fewer than two moments", id="empty"),
        pytest.param("5\n5\n", "fewer than two moments", id="all at once"),
        pytest.param("1\n2\nsoon\n", "holds a line that is no number\n  where: .*arrivals.txt:3", id="no number"),
        pytest.param("1\nnan\n", "which is no moment", id="not a number"),
        pytest.param("1\n3\n2\n", "goes back from 3 to 2 s\n  where: .*:3", id="backwards"),
    ],
)
def test_a_recording_that_cannot_be_used_is_named(tmp_path, text, said):
    """With its line."""
    file = tmp_path / "arrivals.txt"
    if text is not None:
        file.write_text(text)

    with pytest.raises(LoadError, match=said):
        recorded_s(file)


def test_a_recording_that_ends_before_the_run_is_refused():
    """Or its last seconds would be a silence that nobody planned."""
    with pytest.raises(LoadError, match=r"end after 10.0 s at 10/s, and the run lasts 11 s"):
        replayed_s(np.linspace(0, 50, 101), per_s=10, lasts_s=11)
