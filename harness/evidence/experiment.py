"""One scenario that was run and judged, with the folder that holds its evidence; written there, and read back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.errors import ReportError
from harness.evidence.documents import json_text, read_json, read_verdict, system_of, timeline_text, verdict_text
from harness.evidence.store import read_history, write_history
from harness.layout import SCENARIO_FILE, SCENARIO_TEXT_FILE, SYSTEM_FILE, TIMELINE_FILE, VERDICT_FILE
from harness.spec.scenario import Scenario
from harness.spec.schema1 import upgraded

if TYPE_CHECKING:
    from pathlib import Path

    from harness.evidence.folder import EvidenceFolder
    from harness.history.history import History
    from harness.verdict.outcome import Verdict

FIX = "judge the scenario anew"


@dataclass(frozen=True, slots=True)
class Experiment:
    """One scenario that was run.

    Attributes:
        scenario: As it was run, with the profile's stretch and the default objectives.
        history: What was seen.
        verdict: What it means.
        folder: Where its evidence is.
    """

    scenario: Scenario
    history: History
    verdict: Verdict
    folder: Path


def write_evidence(folder: EvidenceFolder, experiment: Experiment, *, scenario_text: str) -> None:
    """Write what was seen and what was concluded, without any page: the files that the manifest hashes.

    Args:
        folder: The experiment's.
        experiment: What `EvidenceFolder.cut` took secrets out of, judged.
        scenario_text: The scenario's file as its author wrote it.

    Raises:
        ReportError: If a file cannot be written, or a secret is in what was seen.
    """
    scenario, history = experiment.scenario, experiment.history
    write_history(history, folder)
    folder.write(SCENARIO_TEXT_FILE, scenario_text)
    folder.write(SCENARIO_FILE, json_text(scenario.model_dump(mode="json")))
    folder.write(SYSTEM_FILE, json_text(system_of(history)))
    folder.write(TIMELINE_FILE, timeline_text(scenario, history))
    folder.write(VERDICT_FILE, verdict_text(experiment.verdict))


def read_experiment(folder: Path) -> tuple[Experiment, str]:
    """Read what `write_evidence` wrote.

    Returns:
        The experiment, and the scenario's text.

    Raises:
        ReportError: If a file is missing or damaged.
    """
    history = read_history(folder)
    if history.profile is None:  # schema 1 held it in another file
        history = replace(history, profile=str(read_json(folder / SYSTEM_FILE).get("profile", "")))
    scenario = _scenario(folder / SCENARIO_FILE)
    experiment = Experiment(scenario, history, read_verdict(folder / VERDICT_FILE), folder)
    return experiment, _text(folder / SCENARIO_TEXT_FILE)


def _scenario(path: Path) -> Scenario:
    try:
        return Scenario.model_validate(upgraded(read_json(path)))
    except ValueError as error:
        raise ReportError(f"this is no scenario: {error}", where=str(path), fix=FIX) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"cannot read the file: {error}", where=str(path), fix=FIX) from error
