"""`readiness explain`: a story told back with its times to scale, and with what its promises take to be proved."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.cli import app
from harness.library.drawing import WIDTH, timeline_of
from harness.library.story import promises_of
from harness.plan import planned, read_source
from harness.spec.parser import read_settings
from harness.spec.scenario import Scenario
from harness.verdict.bounds import upper_bound
from suites.support.servers import PROJECT

OURS = read_settings(PROJECT / "readiness.toml")

MADE = {
    "scenario": "made",
    "story": "Something is hurt twice, and is well again.",
    "load": {"arrivals_per_s": 100},
    "phases": [
        {"name": "warmup", "lasts": "1s"},
        {"name": "baseline", "lasts": "29s"},
        {
            "name": "fault",
            "lasts": "20s",
            "faults": [
                {"kind": "down", "target": "redis"},
                {"kind": "kill", "target": "replica-1", "at": "5s", "for": "8s"},
            ],
        },
        {"name": "recovery", "lasts": "10s"},
    ],
    "objectives": [
        {"sli": "errors", "max": "1%", "during": "fault"},
        {"sli": "slow", "over": "1s", "max": "5%", "during": "fault", "after": "10s"},
        {"sli": "hits", "min": "70%"},
        {"sli": "recovery", "within": "5s"},
    ],
}


def made(**changes):
    return Scenario.model_validate({**MADE, **changes})


def test_a_timeline_is_drawn_to_scale():
    """60 s on 60 columns: one a second. A time for which there is no room beside its neighbour is left out."""
    assert timeline_of(made()) == [
        "            0s                            30s                 50s       60s",
        "warmup     |=                                                           |  1s, 100 requests",
        "baseline   | =============================                              |  29s, 2 900 requests",
        "fault      |                              ====================          |  20s, 2 000 requests",
        "  fault-1  |                              ####################          |  redis down",
        "  fault-2  |                                   ########                 |  replica-1 killed at 5s for 8s",
        "recovery   |                                                  ==========|  10s, 1 000 requests",
    ]


def test_what_is_thinner_than_a_character_is_drawn_as_one():
    """At the end as well, where there is no column left."""
    phases = [{"name": "long", "lasts": "1h"}, {"name": "short", "lasts": "1ms"}]
    lines = timeline_of(made(phases=phases, objectives=[]))

    assert lines[1].startswith(f"long   |{'=' * WIDTH}|")
    assert lines[2].startswith(f"short  |{' ' * (WIDTH - 1)}=|")


@given(st.lists(st.floats(0.01, 1000), min_size=1, max_size=8))
def test_every_phase_is_drawn_where_it_is(lengths_s):
    """Begins and ends within half a column of where they are, one after the other, and never as nothing."""
    phases = [{"name": f"p{number}", "lasts": f"{length_s:.3f}s"} for number, length_s in enumerate(lengths_s)]
    scenario = made(phases=phases, objectives=[])

    axis, *lines = timeline_of(scenario)
    bars = [line.split("|")[1] for line in lines]

    assert {len(bar) for bar in bars} == {WIDTH}
    for bar, (_, began_s, ended_s) in zip(bars, scenario.windows, strict=True):
        began, ended = bar.index("="), bar.rindex("=") + 1
        scale = WIDTH / scenario.lasts_s
        assert bar.strip() == "=" * (ended - began)
        assert abs(began - began_s * scale) <= 0.5 + 1e-6 or began == WIDTH - 1
        assert abs(ended - ended_s * scale) <= 0.5 + 1e-6 or ended - began == 1
    assert not re.search(r"[a-z]\d", axis), "two times run into each other"


def test_a_promise_says_how_many_requests_prove_it_and_how_soon_they_come():
    """By the exact bound of the run's confidence: with one request less it would not lie below the limit."""
    lines = promises_of(made(), 0.95)

    assert lines == [
        "It promises, with bounds at 95%:",
        "  during baseline",
        "    hits > 70%: 9 hitting requests at the least, 90ms at this rate; 2 900 are sent",
        "  during fault",
        "    errors < 1%: 299 error-free requests at the least, 3s at this rate; 2 000 are sent",
        "    slow (over 1s) < 5% after 10s: 59 fast requests at the least, 590ms at this rate; 1 000 are sent",
        "  during recovery",
        "    recovery < 5s: seen in 7s after healing, and there are 10s",
    ]
    assert upper_bound(0, 299, 0.95) < 0.01 <= upper_bound(0, 298, 0.95)


def test_a_phase_that_may_go_on_is_looked_at_more_strictly_at_first():
    """96 % of two looks: 80 % of the error belongs to the first. A phase that a fault does not span is looked at once."""
    lines = promises_of(made(extends_to=2.0), 0.95)

    assert lines[0] == "It promises, with bounds at 95% (96% at the first of 2 looks, where a phase may go on):"
    assert f"hits > 70%: {math.ceil(math.log(0.04) / math.log(0.7))} hitting" in lines[2]
    assert "errors < 1%: 299 error-free" in lines[4]


def test_an_invariant_holds_at_all_times():
    """And says that one case breaks it."""
    lines = promises_of(made(invariants=[{"kind": "no-acknowledged-write-lost"}]), 0.95)

    assert lines[-2] == "  at all times"
    assert lines[-1].startswith("    no-acknowledged-write-lost: one counterexample breaks it")


@pytest.mark.parametrize("profile", OURS.profiles)
@pytest.mark.parametrize("path", sorted((PROJECT / "scenarios").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_scenario_of_ours_is_told_in_every_profile(monkeypatch, path, profile):
    """Its story, each phase, fault and promise, and what it catches; by its file as by its name."""
    monkeypatch.chdir(PROJECT)
    scenario = planned(read_source(path).scenario, OURS, profile)

    told = CliRunner().invoke(app, ["explain", str(path), "--profile", profile]).stdout

    assert told.startswith(
        f"{scenario.scenario} ({scenario.tier}), as the profile {profile} runs it\n{scenario.story}\n"
    )
    assert told.endswith(f"readiness run {scenario.scenario} --profile {profile}\n")
    assert all(f"\n    {promise}: " in told for promise in scenario.promises)
    assert all(str(fault) in told for fault in scenario.faults)
    assert all(f"    {catch.defect} (" in told and f"by {catch.by}" in told for catch in scenario.catches)
    assert all(f"    {row}\n" in told for row in scenario.answers)
    assert all(f"    {point}, during {point.during}" in told for point in scenario.sometimes)
    assert "unknown" not in told


def test_a_scenario_is_found_by_its_name_and_a_slip_is_told(monkeypatch):
    """As `readiness run` does both."""
    monkeypatch.chdir(PROJECT)
    runner = CliRunner()

    by_name, by_file = (
        runner.invoke(app, ["explain", name]).stdout for name in ("redis-down", "scenarios/redis/down.yaml")
    )

    assert by_name == by_file
    assert "write 10%, read 90%" in by_name
    assert "did you mean 'redis-down'?" in str(runner.invoke(app, ["explain", "redis-dwn"]).exception)
    assert "unknown profile 'fast'" in str(runner.invoke(app, ["explain", "redis-down", "--profile", "fast"]).exception)
