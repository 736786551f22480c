"""What one experiment says in Allure's words: phases, faults and promises as steps, at the times they really were.

allure-pytest stamps a step with the moment of the call, but we speak after the experiment; so the steps are built as
Allure's own values and hung on the running test's result, which its listener writes when the test ends. Attachments
go through Allure's public door. Without `--alluredir` nothing is done. Only this file knows Allure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import allure
import allure_commons
from allure_commons.model2 import Label, Parameter, Status, StatusDetails, TestResult, TestStepResult
from allure_commons.reporter import AllureReporter
from allure_commons.types import AttachmentType, LabelType

from harness.evidence.redaction import line
from harness.layout import MARKDOWN_FILE, PLOT_PNG_FILE, SCENARIO_TEXT_FILE, TIMELINE_FILE, VERDICT_FILE
from harness.report.allure.context import EPIC
from harness.report.formatting import command_of, moment
from harness.report.markdown import escaped, evidence_text
from harness.verdict.outcome import Outcome, worst

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.evidence.experiment import Experiment
    from harness.history.history import History
    from harness.history.marks import FaultMark, PhaseMark
    from harness.spec.scenario import Scenario
    from harness.verdict.outcome import Claim, Obligation, Verdict


_STATUS = {
    Outcome.PASS: Status.PASSED,
    Outcome.FAIL: Status.FAILED,
    Outcome.INCONCLUSIVE: Status.BROKEN,
    Outcome.ERROR: Status.BROKEN,
}

_ATTACHED = (
    ("picture", PLOT_PNG_FILE, AttachmentType.PNG),
    ("verdict", VERDICT_FILE, AttachmentType.JSON),
    ("report", MARKDOWN_FILE, AttachmentType.TEXT),
    ("second by second", TIMELINE_FILE, AttachmentType.TEXT),
    ("scenario", SCENARIO_TEXT_FILE, AttachmentType.TEXT),
)


def attach_experiment(experiment: Experiment) -> None:
    """Tell Allure about an experiment, from inside the test that ran it; files that are missing are not attached."""
    result = _running_test()
    if result is None:
        return
    scenario, history, verdict, folder = experiment.scenario, experiment.history, experiment.verdict, experiment.folder
    result.description = _description(scenario, history, verdict)
    result.parameters.extend(_parameters(history))
    result.labels.extend(Label(name=name, value=line(value)) for name, value in _labels(scenario, history))
    result.steps.extend(_steps(history, verdict))
    for name, file_name, kind in _ATTACHED:
        if (folder / file_name).is_file():
            allure.attach.file(str(folder / file_name), name, kind)  # type: ignore[no-untyped-call]  # Allure is untyped
    allure.attach(evidence_text(verdict), name="evidence", attachment_type=AttachmentType.TEXT)


def _running_test() -> TestResult | None:
    """Return the result that allure-pytest is about to fill, None if it does not listen."""
    for plugin in allure_commons.plugin_manager.get_plugins():
        reporter = getattr(plugin, "allure_logger", None)
        if isinstance(reporter, AllureReporter):
            return cast("TestResult | None", reporter.get_test(None))  # type: ignore[no-untyped-call]  # as above
    return None


def _description(scenario: Scenario, history: History, verdict: Verdict) -> str:
    """Return Markdown; Allure's HTML description would be taken as it is, so it is never used."""
    return "\n\n".join(
        [
            f"**{escaped(verdict.sentence)}**",
            escaped(scenario.story),
            f"    {line(command_of(scenario.scenario, history))}",
        ]
    )


def _parameters(history: History) -> list[Parameter]:
    # The seed is told but is no part of a test's identity: history must go on from run to run.
    facts: list[tuple[str, str | None, bool | None]] = [
        ("seed", str(history.seed), True),
        ("profile", history.profile, None),
        ("backend", history.backend, None),
        ("defect", history.defect, None),
    ]
    return [Parameter(name=name, value=value, excluded=excluded) for name, value, excluded in facts if value]


def _labels(scenario: Scenario, history: History) -> Iterable[tuple[str, str]]:
    targets = sorted({fault.target for fault in scenario.faults})
    yield LabelType.EPIC, EPIC
    yield from ((LabelType.FEATURE, target) for target in targets or ["nothing broken"])
    yield LabelType.STORY, scenario.story
    # If the control is not green, no other verdict of the run means anything.
    yield LabelType.SEVERITY, "critical" if targets else "blocker"
    yield from ((LabelType.TAG, tag) for tag in sorted({fault.kind for fault in scenario.faults}))
    yield from ((LabelType.TAG, tag) for tag in (history.profile, history.backend) if tag)


def _steps(history: History, verdict: Verdict) -> list[TestStepResult]:
    end_s = history.lasted_s
    phases = [_phase_step(mark, history, verdict) for mark in history.phases]
    evidence = [_evidence_step(item, end_s, history) for item in verdict.obligations]
    shown = worst(item.outcome for item in verdict.obligations)
    group = _step("evidence", shown, history, (end_s, end_s), steps=evidence)
    return [*phases, group, *(_claim_step(claim, history) for claim in verdict.claims)]


def _phase_step(mark: PhaseMark, history: History, verdict: Verdict) -> TestStepResult:
    claims = [claim.outcome for claim in verdict.claims if claim.phase == mark.name]
    faults = [_fault_step(fault, history) for fault in history.faults if fault.phase == mark.name]
    met = [item.outcome for item in verdict.obligations if item.name == f"phase {mark.name} complete"]
    outcome = worst([Outcome.PASS, *claims, *met])
    return _step(f"phase: {line(mark.name)}", outcome, history, (mark.began_s, mark.ended_s), steps=faults)


def _fault_step(mark: FaultMark, history: History) -> TestStepResult:
    is_proved = mark.is_delivered and mark.healed_s is not None
    healed_s = history.lasted_s if mark.healed_s is None else mark.healed_s
    doses = [_step(line(dose.seen), _seen(dose.is_delivered), history, (dose.at_s, dose.at_s)) for dose in mark.doses]
    message = "" if is_proved else "it was never healed" if mark.healed_s is None else "its dose was not seen"
    times_s = (mark.injected_s, healed_s)
    return _step(f"fault: {line(mark.fault)}", _seen(is_proved), history, times_s, steps=doses, message=message)


def _evidence_step(item: Obligation, at_s: float, history: History) -> TestStepResult:
    name = f"{line(item.name)}: {line(item.sentence)}"
    return _step(name, item.outcome, history, (at_s, at_s), message=line(item.sentence))


def _claim_step(claim: Claim, history: History) -> TestStepResult:
    mark = history.phase(claim.phase)
    times_s = (mark.began_s, mark.ended_s) if mark else (0.0, 0.0)
    name = f"{line(claim.objective)} during {line(claim.phase)}"
    step = _step(name, claim.outcome, history, times_s, message=line(claim.sentence))
    if step.statusDetails is None:
        step.parameters.append(Parameter(name="seen", value=line(claim.sentence)))
    return step


def _seen(is_there: bool) -> Outcome:  # noqa: FBT001 - the fact itself, not a switch
    return Outcome.PASS if is_there else Outcome.INCONCLUSIVE


def _step(
    name: str,
    outcome: Outcome,
    history: History,
    times_s: tuple[float, float],
    *,
    steps: Sequence[TestStepResult] = (),
    message: str = "",
) -> TestStepResult:
    start, stop = (round(moment(history, at_s).timestamp() * 1000) for at_s in times_s)
    details = StatusDetails(message=message) if message and outcome is not Outcome.PASS else None
    return TestStepResult(
        name=name, status=_STATUS[outcome], statusDetails=details, steps=list(steps), start=start, stop=stop
    )
