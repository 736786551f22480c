"""What a shared stack changes, told side by side: what is counted, and what would be a miss."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from fixtures.trials import sharing
from fixtures.trials.sharing import Told, Trial, Way, both_ways, told_in
from harness.verdict.outcome import Outcome

SLOW = ("slow (over 100ms) < 5%", "fault")


def told(outcome=Outcome.PASS, *, slow=0.01, **more):
    return Told(scenario="redis-down", outcome=outcome, sentence="so", estimates={SLOW: slow}, **more)


def trial(alone, shared):
    return Trial(
        day="2026-11-30", commit="abc", machine="2 cores", alone=Way(took_s=(300.0, 310.0), told=tuple(alone)),
        shared=Way(took_s=(170.0, 180.0), told=tuple(shared)),
    )  # fmt: skip


def test_both_ways_stand_side_by_side():
    """Verdicts, figures with what chance says of their difference, and why a stack was a fresh one."""
    fresh = told(Outcome.INCONCLUSIVE, slow=0.03, why_fresh="no-fault does not hand on | its stack")

    page = trial([told(), told(slow=0.02)], [told(continues=True, slow=0.02), fresh]).page()

    assert "2026-11-30, commit abc, 2 cores: 2 runs each way." in page
    assert "A run took 305 (300 to 310) s on stacks of their own, and 175 (170 to 180) s on shared ones." in page
    assert "| redis-down | 2 pass | 1 pass, 1 inconclusive | 1 of 2 |" in page
    assert (
        "| redis-down | slow (over 100ms) < 5% | fault | 0.015 (0.01 to 0.02) | 0.025 (0.02 to 0.03) | 0.67 |" in page
    )
    assert "- redis-down, 1×: no-fault does not hand on / its stack" in page


def test_what_was_measured_one_way_only_is_no_figure():
    """The look of a story that goes on is no baseline, and has no row beside one."""
    page = trial([told()], [Told(scenario="redis-down", outcome=Outcome.PASS, sentence="so")]).page()

    assert "slow" not in page
    assert "## Fresh stacks" not in page


@pytest.mark.parametrize(
    ("alone", "shared", "missed"),
    [
        pytest.param([Outcome.PASS], [Outcome.PASS], [], id="well both ways"),
        pytest.param([Outcome.FAIL], [Outcome.PASS], ["redis-down"], id="what failed passes"),
        pytest.param([Outcome.ERROR], [Outcome.INCONCLUSIVE], ["redis-down"], id="what broke off is unclear"),
        pytest.param([Outcome.FAIL, Outcome.PASS], [Outcome.PASS, Outcome.FAIL], [], id="seen once both ways"),
        pytest.param([Outcome.PASS], [Outcome.FAIL], [], id="worse is no miss"),
        pytest.param([Outcome.INCONCLUSIVE], [Outcome.PASS], [], id="unclear is no failure"),
    ],
)
def test_a_failure_that_sharing_hides_is_a_miss(alone, shared, missed):
    assert trial(map(told, alone), map(told, shared)).missed == missed


def test_what_a_run_told_is_read_from_its_evidence(tmp_path):
    claims = [
        {"objective": "a | b", "phase": "fault", "estimate": 0.5},
        {"objective": "c", "phase": "x", "estimate": None},
    ]
    verdict = {"scenario": "redis-down", "outcome": "pass", "sentence": "so", "claims": claims}
    (tmp_path / "run/redis-down").mkdir(parents=True)
    (tmp_path / "run/verdict.json").write_text(json.dumps({"experiments": [verdict]}))
    history = tmp_path / "run/redis-down/history.json"

    history.write_text(json.dumps({"beginning": {"after": ["no-fault"], "why_fresh": ""}}))
    (continued,) = told_in(tmp_path)
    history.write_text(json.dumps({}))
    (alone,) = told_in(tmp_path)

    assert (continued.continues, continued.estimates) == (True, {("a / b", "fault"): 0.5})
    assert (alone.continues, alone.why_fresh) == (False, "")


def test_which_way_comes_first_alternates_and_both_have_the_same_seeds(monkeypatch):
    """A machine gets warm, or a neighbour busy: that must not be told for what sharing does."""
    asked = []

    @contextmanager
    def run_once(seed, options):
        asked.append((seed, *options))
        yield "nowhere", 0

    monkeypatch.setattr(sharing, "run_once", run_once)
    monkeypatch.setattr(sharing, "told_in", lambda _out: (told(),))

    alone, shared = both_ways([5, 6], ["-k", "redis"])

    assert asked == [
        (5, "--no-shared-stack", "-k", "redis"), (5, "--shared-stack", "-k", "redis"),
        (6, "--shared-stack", "-k", "redis"), (6, "--no-shared-stack", "-k", "redis"),
    ]  # fmt: skip
    assert len(alone.took_s) == len(shared.took_s) == len(alone.told) == len(shared.told) == 2
