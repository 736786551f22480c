"""How long an experiment takes: longer while its promises are open, shorter once one is broken beyond doubt."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from harness.clock import SystemClock
from harness.experiment import RunContext, run_experiment
from harness.experiment.interim import InterimAnalysis
from harness.faults.ledger import read_ledger
from harness.history.marks import PhaseMark
from harness.spec.scenario import Scenario
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support.items import SYSTEM
from suites.support.made import plan_for
from suites.support.servers import PROJECT
from suites.support.stack import DUMMY

if TYPE_CHECKING:
    from harness.faults.ledger import Ledger

CONFIDENCE = 0.95

NEVER_A_HIT = {"arrivals_per_s": 100, "drain": "1s", "headers": {"cache": "content-length", "hits": ["hit"]}}
"""Each answer says where it came from, which is no cache: a header that every service sends stands in for one."""


@dataclass
class Listener:
    """A listener that remembers."""

    said: list[str] = field(default_factory=list)

    def message(self, text: str) -> None:
        """Remember it."""
        self.said.append(text)

    def heartbeat(self, **_: object) -> None:
        """Let it pass."""


@pytest.fixture
def context(ledger):
    return RunContext(
        run_id=ledger.run_id, system=DUMMY, project=PROJECT, backend="embedded", defect=None, ledger=ledger,
        clock=SystemClock(), listener=Listener(),
    )  # fmt: skip


def story(objective, *, lasts="4s", **keys) -> Scenario:
    return Scenario.model_validate(
        {
            "scenario": "measured",
            "story": "It takes as long as it must.",
            "load": {"arrivals_per_s": 100, "drain": "1s"},
            "phases": [{"name": "baseline", "lasts": lasts}, {"name": "after", "lasts": "1s"}],
            "objectives": [objective],
        }
        | keys
    ).asking(SYSTEM.requests, SYSTEM.headers)


def test_an_open_phase_goes_on(context, embedded_stack, tmp_path):
    """200 error-free requests do not prove 1 %; 800, four times as many, do."""
    scenario = story({"sli": "errors", "max": "1%"}, lasts="2s", extends_to=4)

    history = run_experiment(plan_for(scenario, confidence=CONFIDENCE), context, tmp_path, on=embedded_stack)

    (claim,) = judge(scenario, history, confidence=CONFIDENCE).claims
    assert claim.outcome is Outcome.PASS, claim.sentence
    baseline, after = history.phases
    assert (baseline.looks, baseline.lasted_s) == (3, pytest.approx(8, abs=0.05))
    assert (after.began_s, after.lasted_s) == (baseline.ended_s, pytest.approx(1, abs=0.05))
    assert sum("goes on for" in said for said in context.listener.said) == 2
    assert history.tally.issued < 1050, (
        "the load ended with the last phase, not after the longest there could have been"
    )


def test_a_phase_whose_promise_is_kept_does_not_go_on(context, embedded_stack, tmp_path):
    """There is nothing to wait for."""
    scenario = story({"sli": "errors", "max": "5%"}, lasts="2s", extends_to=4)

    history = run_experiment(plan_for(scenario, confidence=CONFIDENCE), context, tmp_path, on=embedded_stack)

    assert [(mark.looks, round(mark.lasted_s)) for mark in history.phases] == [(1, 2), (1, 1)]


def test_a_hopeless_experiment_ends_early_if_asked_to(context, embedded_stack, tmp_path):
    """Nothing ever hits: that is beyond doubt after seconds, and a whole minute would not help."""
    scenario = story({"sli": "hits", "min": "70%"}, lasts="60s", load=NEVER_A_HIT)

    history = run_experiment(
        plan_for(scenario, confidence=CONFIDENCE), replace(context, stops_early=True), tmp_path, on=embedded_stack
    )

    verdict = judge(scenario, history, confidence=CONFIDENCE)
    assert verdict.outcome is Outcome.FAIL
    assert "stopped early: beyond doubt" in verdict.sentence
    (baseline,) = history.phases
    assert baseline.was_stopped
    assert 5 <= baseline.lasted_s < 10
    assert history.tally.is_whole
    assert "ended after" in next(each.sentence for each in verdict.obligations if "baseline complete" in each.name)


@dataclass
class Assassin(Listener):
    """A listener that ends one of the run's components when the load has been on for a while."""

    ledger: Ledger | None = None
    victim: str = "nginx"
    after_s: float = 6.0

    def heartbeat(self, *, elapsed_s: float, **_: object) -> None:
        """Strike once it is time."""
        if elapsed_s >= self.after_s and self.ledger:
            entries = read_ledger(self.ledger.path).left
            pid = next(entry.facts["pid"] for entry in entries if (entry.kind, entry.name) == ("process", self.victim))
            os.killpg(pid, signal.SIGKILL)  # nginx and its workers
            self.ledger = None


def first_hopeless_s(scenario, history) -> int:
    """Return the first whole second at which the baseline is beyond doubt, by what was known until then."""
    interim = InterimAnalysis(scenario, CONFIDENCE)
    for second in range(1, int(scenario.lasts_s)):
        mark = PhaseMark(name="baseline", began_s=0.0, ended_s=float(second))
        machine = [each for each in history.machine if each.at_s <= second]
        if interim.hopeless(history.samples.between(0.0, second), mark, machine):
            return second
    raise AssertionError("it never was hopeless, and ended all the same")


def test_an_outage_ends_it_early_where_the_sequential_test_would_not(context, tmp_path):
    """Well for six seconds, then gone: worth a handful of independent requests, and hopeless all the same.

    It ends once it is hopeless and not before. When that is depends on the machine: seconds of strangers prove nothing.
    """
    assassin = Assassin(ledger=context.ledger)
    scenario = story({"sli": "errors", "max": "25%"}, lasts="60s")

    history = run_experiment(
        plan_for(scenario, confidence=CONFIDENCE), replace(context, listener=assassin, stops_early=True), tmp_path
    )

    assert assassin.ledger is None, "nobody was killed"
    (claim,) = judge(scenario, history, confidence=CONFIDENCE).claims
    assert claim.outcome is Outcome.FAIL
    assert "with an outage of" in claim.sentence
    assert "stopped early: beyond doubt" not in claim.sentence
    (baseline,) = history.phases
    assert baseline.was_stopped
    assert baseline.lasted_s == pytest.approx(first_hopeless_s(scenario, history), abs=3)


def test_nothing_ends_early_unasked(context, embedded_stack, tmp_path):
    """A whole picture is the default, of a broken service as well."""
    history = run_experiment(
        plan_for(story({"sli": "hits", "min": "70%"}, lasts="6s", load=NEVER_A_HIT), confidence=CONFIDENCE),
        context,
        tmp_path,
        on=embedded_stack,
    )

    assert [round(mark.lasted_s) for mark in history.phases] == [6, 1]
