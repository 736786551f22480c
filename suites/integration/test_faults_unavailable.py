"""A fault that cannot be done where it is asked for: nothing is started, and the verdict says why it proves nothing."""

from __future__ import annotations

from harness.clock import SystemClock
from harness.experiment import RunContext, run_experiment
from harness.faults.ledger import read_ledger
from harness.stack.backends.choice import CONTAINERS
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support.made import plan_for, scenario_of
from suites.support.servers import PROJECT
from suites.support.stack import DUMMY


class Quiet:
    """A listener that tells nothing."""

    def message(self, text: str) -> None:
        """Let it pass."""

    def heartbeat(self, **_: object) -> None:
        """Let it pass."""


def test_a_fault_that_cannot_be_done_is_inconclusive_before_anything_starts(ledger, tmp_path):
    """No engine is needed to say that it cannot hold a container: nothing was asked of one."""
    late = {"kind": "slow-start", "target": "replica-1", "delay": "2s"}
    scenario = scenario_of(fault=late, objectives=[{"sli": "errors", "max": "1%"}, {"sli": "recovery", "within": "5s"}])
    context = RunContext(
        run_id=ledger.run_id, system=DUMMY, project=PROJECT, backend=CONTAINERS, defect=None, ledger=ledger,
        clock=SystemClock(), listener=Quiet(),
    )  # fmt: skip

    history = run_experiment(plan_for(scenario), context, tmp_path)

    verdict = judge(scenario, history, confidence=0.95)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.sentence.startswith(
        "inconclusive: a fault of this scenario cannot be done here: `replica-1 starts 2s late`: a container cannot be held"
    )
    assert [item.outcome for item in verdict.obligations] == [Outcome.INCONCLUSIVE]
    assert list(tmp_path.iterdir()) == [ledger.path]
    assert read_ledger(ledger.path).left == ()
