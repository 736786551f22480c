"""OpenSLO promises, judged offline against the evidence in a run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.evidence.bundle import verified_run
from harness.evidence.experiment import read_experiment
from harness.verdict.checkers.ratio import ratio_claim
from harness.verdict.obligations import obligations
from harness.verdict.outcome import Outcome, worst

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.evidence.experiment import Experiment
    from harness.spec.openslo import Promise


@dataclass(frozen=True, slots=True)
class Kept:
    """What one experiment says of one promise.

    Attributes:
        slo: The SLO's name.
        scenario: The experiment's; empty if there was none to ask.
        objective: The promise, as one of ours.
        outcome: What can be said.
        sentence: The outcome with its numbers.
    """

    slo: str
    scenario: str
    objective: str
    outcome: Outcome
    sentence: str


def judged_against(promises: Sequence[Promise], folder: Path) -> list[Kept]:
    """Judge promises by the evidence of a run, or of one experiment.

    Raises:
        ReportError: If the evidence is missing, was cut short or changed.
    """
    experiments = [read_experiment(place)[0] for place in verified_run(folder)]
    return [kept for promise in promises for kept in _judged(promise, experiments)]


def _judged(promise: Promise, experiments: Sequence[Experiment]) -> Iterator[Kept]:
    asked = [each for each in experiments if _is_asked(promise, each)]
    if not asked:
        whom = f"the scenario {promise.scenario}" if promise.scenario else "any scenario"
        sentence = f"{Outcome.INCONCLUSIVE}: no phase {promise.objective.during} of {whom} is in this folder"
        yield Kept(promise.slo, "", str(promise.objective), Outcome.INCONCLUSIVE, sentence)
    for experiment in asked:
        yield _kept(promise, experiment)


def _is_asked(promise: Promise, experiment: Experiment) -> bool:
    scenario = experiment.scenario
    has_phase = any(phase.name == promise.objective.during for phase in scenario.phases)
    return has_phase and promise.scenario in {None, scenario.scenario}


def _kept(promise: Promise, experiment: Experiment) -> Kept:
    """Judge one promise; what a run failed to prove of itself is missing from every promise.

    The obligations are asked anew, with the promise among the scenario's own: it may be about a phase that was not
    judged, or about a shorter time than was promised.
    """
    verdict, history = experiment.verdict, experiment.history
    scenario = experiment.scenario.model_copy(
        update={"objectives": (*experiment.scenario.objectives, promise.objective)}
    )
    claim = ratio_claim(promise.objective, scenario, history, verdict.confidence)
    met = obligations(scenario, history, (*verdict.claims, claim))
    unmet = [each for each in met if each.outcome is not Outcome.PASS]
    outcome = worst([claim.outcome, *(each.outcome for each in unmet)])
    sentence = claim.sentence if outcome is claim.outcome else f"{outcome}: {unmet[0].name}: {unmet[0].sentence}"
    return Kept(promise.slo, scenario.scenario, str(promise.objective), outcome, sentence)
