"""Faults with windows of their own, lived through on a real stack: each begins and ends when it says."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from harness.clock import SystemClock
from harness.experiment import RunContext, run_experiment
from harness.faults.ledger import read_ledger
from harness.spec.scenario import Scenario
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support.made import plan_for
from suites.support.servers import PROJECT
from suites.support.stack import DUMMY


@dataclass
class Listener:
    """A listener that interrupts the run after a while, as a signal would."""

    interrupts_at_s: float = float("inf")

    def message(self, text: str) -> None:
        """Let it pass."""

    def heartbeat(self, *, elapsed_s: float, **_: object) -> None:
        """Interrupt once it is time."""
        if elapsed_s >= self.interrupts_at_s:
            raise KeyboardInterrupt


@pytest.fixture
def context(ledger):
    return RunContext(
        run_id=ledger.run_id, system=DUMMY, project=PROJECT, backend="embedded", defect=None, ledger=ledger,
        clock=SystemClock(), listener=Listener(),
    )  # fmt: skip


def story(*faults, lasts="8s", **keys) -> Scenario:
    return Scenario.model_validate(
        {
            "scenario": "timed",
            "story": "Faults come and go within one phase.",
            "load": {"arrivals_per_s": 50, "drain": "1s"},
            "phases": [
                {"name": "baseline", "lasts": "2s"},
                {"name": "fault", "lasts": lasts, "faults": list(faults)},
                {"name": "recovery", "lasts": "2s"},
            ],
            "objectives": [{"sli": "errors", "max": "50%"}],
        }
        | keys
    )


SLOW = {"kind": "latency", "target": "redis", "delay": "100ms", "at": "1s", "for": "5s"}
GONE = {"kind": "down", "target": "replica-1.postgres", "at": "3s", "until": "5s"}
LOOP = {"kind": "crash-loop", "target": "replica-1", "every": "1s", "at": "1s"}
DEAF = {"kind": "slow-start", "target": "replica-2", "delay": "5s", "at": "2s"}


def test_faults_that_overlap_begin_and_end_each_in_its_own_window(context, embedded_stack, tmp_path):
    """Nothing of one moves the other, the phase is as long as it said, and what goes on is asked what is due."""
    scenario = story(SLOW, GONE, DEAF, LOOP)

    history = run_experiment(plan_for(scenario), context, tmp_path, on=embedded_stack)

    marks = {mark.id: mark for mark in history.faults}
    planned = [(3.0, 8.0), (5.0, 7.0), (4.0, 9.0), (3.0, 10.0)]
    assert [marks[f"fault-{number}"].planned for number in (1, 2, 3, 4)] == planned
    for mark in marks.values():
        begins_s, ends_s = mark.planned
        assert begins_s <= mark.injected_s < ends_s <= mark.healed_s, mark
        assert mark.is_delivered, mark.doses
        assert begins_s < mark.doses[-1].at_s
    assert marks["fault-2"].healed_s < marks["fault-1"].planned[1]
    assert len(marks["fault-1"].doses) == len(marks["fault-4"].doses) == 2
    assert int(re.search(r"killed (\d+) times", marks["fault-4"].doses[-1].seen)[1]) >= 6
    assert [mark.name for mark in history.phases] == ["baseline", "fault", "recovery"]
    assert history.phase("fault").lasted_s == pytest.approx(8)
    assert {entry.kind for entry in read_ledger(context.ledger.path).left} == {"process"}, "which the guardian sees to"


def test_a_spike_is_there_in_its_window_beside_another_fault_and_counted_at_the_end(context, embedded_stack, tmp_path):
    """It begins and ends to the moment, as the schedule has it; nothing of it is looked at while requests are under way."""
    spike = {"kind": "spike", "times": 4, "at": "500ms", "for": "2s"}
    scenario = story({"kind": "down", "target": "redis"}, spike, lasts="3s")

    history = run_experiment(plan_for(scenario), context, tmp_path, on=embedded_stack)

    down, mark = sorted(history.faults, key=lambda each: each.id)
    assert (mark.planned, mark.injected_s, mark.healed_s) == ((2.5, 4.5), 2.5, 4.5)
    assert (mark.fault, mark.target, mark.kind) == ("load ×4 at 500ms for 2s", "", "spike")
    assert len(mark.doses) == 1
    assert mark.doses[0].at_s >= 7
    during = len(history.samples.between(2.5, 4.5))
    assert f"{during} requests issued in 2s ({during} planned" in mark.doses[0].seen
    assert 4 * 50 * 2 - 120 < during < 4 * 50 * 2 + 120
    assert down.is_delivered
    assert ("fault", "load ×4 at 500ms for 2s is over") in [(event.kind, event.text) for event in history.events]


def test_what_the_calibration_has_doomed_ends_before_its_first_request(context, embedded_stack, tmp_path):
    """A promise of a tenth of a millisecond: no generator adds less than 5 % of that by itself."""
    scenario = story(SLOW, objectives=[{"sli": "slow", "over": "0.1ms", "max": "5%", "during": "baseline"}])

    history = run_experiment(plan_for(scenario), context, tmp_path, on=embedded_stack)
    verdict = judge(scenario, history, confidence=0.95)

    assert [failure.kind for failure in history.failures] == ["doomed"]
    assert (len(history.samples), history.phases, history.faults) == (0, (), ())
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "too much to judge by 100us" in verdict.sentence
    assert [each.name for each in verdict.obligations] == ["ran to the end"]


def test_a_phase_that_goes_on_takes_its_faults_along(context, embedded_stack, tmp_path):
    """A promise that is open: the fault that spans the phase ends later by as much, and so does what follows."""
    scenario = story(
        {"kind": "down", "target": "redis"},
        lasts="2s",
        extends_to=2,
        objectives=[{"sli": "errors", "max": "0.1%", "during": "fault"}],
    )

    history = run_experiment(plan_for(scenario), context, tmp_path, on=embedded_stack)

    (mark,) = history.faults
    assert mark.planned == (2.0, 6.0)
    assert mark.healed_s >= 6
    assert [(phase.name, phase.looks) for phase in history.phases] == [("baseline", 1), ("fault", 2), ("recovery", 1)]
    assert history.phase("recovery").began_s == pytest.approx(6)


def test_what_was_seen_of_a_phase_that_breaks_off_is_kept(context, embedded_stack, tmp_path):
    """Its mark, its faults and its points; and every fault is undone before the history is told."""
    seen = []
    context.listener.interrupts_at_s = 5.0
    point = {"kind": "metric", "metric": "reached_total", "at_least": 1, "during": "fault"}

    with pytest.raises(KeyboardInterrupt):
        run_experiment(
            plan_for(story(SLOW, GONE, sometimes=[point])),
            context,
            tmp_path,
            on=embedded_stack,
            on_cut_short=seen.append,
        )

    (history,) = seen
    assert [point.phase for point in history.points] == ["fault"]
    assert [mark.name for mark in history.phases] == ["baseline", "fault"]
    assert all(mark.healed_s is not None for mark in history.faults)
    assert history.faults[0].id == "fault-1"
    assert {entry.kind for entry in read_ledger(context.ledger.path).left} == {"process"}, "which the guardian sees to"
    assert not [toxic for edge in embedded_stack.edges for toxic in embedded_stack.proxy.toxics(edge.name)]


def test_what_stands_already_is_told_nothing(context, embedded_stack, tmp_path):
    """Its variables were set when it was started; a run that ignored the scenario's would judge another service."""
    history = run_experiment(plan_for(story(environment={"LIMIT": "1"})), context, tmp_path, on=embedded_stack)

    assert [(each.what, len(history.samples)) for each in history.failures] == [
        ("the service runs already, and hears of no variable", 0)
    ]


def test_a_run_that_gives_up_is_healed_and_an_error_with_the_reason(context, embedded_stack, tmp_path):
    """The entry refuses every request; the phase would have gone on for a minute."""
    gone = [{"kind": "down", "target": f"replica-{number}"} for number in (1, 2)]
    scenario = story(*gone, lasts="60s", abort_when={"errors": "90%", "over": "2s"})

    history = run_experiment(plan_for(scenario), context, tmp_path, on=embedded_stack)
    verdict = judge(scenario, history, confidence=0.95)

    assert [failure.kind for failure in history.failures] == ["aborted"]
    assert verdict.outcome is Outcome.ERROR
    assert "requests failed over 2s (at most 90%)" in verdict.sentence
    assert [mark.healed_s is not None for mark in history.faults] == [True, True]
    assert history.faults[0].healed_s < 30
    assert all(embedded_stack.proxy.is_enabled(edge.name) for edge in embedded_stack.edges)
