"""The folder of a whole run: the pages over its experiments, and all pages again from the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import ReportError
from harness.evidence.bundle import experiments_begun
from harness.evidence.documents import NEVER_RUN, never_run, read_json, run_text
from harness.evidence.experiment import Experiment, read_experiment
from harness.evidence.folder import EvidenceFolder
from harness.evidence.redaction import NO_SECRETS
from harness.layout import (
    ALLURE_REPORT,
    ALLURE_RESULTS,
    HISTORY_FILE,
    MARKDOWN_FILE,
    PAGE_FILE,
    RUN_MANIFEST_FILE,
    VERDICT_FILE,
)
from harness.report import html, markdown
from harness.report.allure.site import build_allure_report
from harness.report.pages import write_pages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def write_run(
    folder: EvidenceFolder,
    experiments: Sequence[Experiment],
    *,
    command: str,
    without_verdict: Sequence[str] = (),
) -> None:
    """Write what is said of a whole run: verdict.json, report.md and index.html.

    An Allure report that is already in the folder is linked to, so build it first.

    Args:
        folder: Holds one sub-folder for each experiment; its name is the run's id.
        experiments: In the order in which they ran; at least one, and all of one seed, profile and backend.
        command: Runs the same again.
        without_verdict: Scenarios that were to be run and came to no verdict.

    Raises:
        ReportError: If a file cannot be written, or a scenario's name cannot name a folder.
    """
    for experiment in experiments:
        _ = folder / experiment.scenario.scenario  # refuses a name that leads elsewhere before anything is written
    facts = {"run_id": folder.path.name, **_common(experiments[0])}
    facts |= {"command": command} | ({NEVER_RUN: list(without_verdict)} if without_verdict else {})
    allure_page = f"{ALLURE_REPORT}/{PAGE_FILE}" if (folder.path / ALLURE_REPORT / PAGE_FILE).is_file() else None
    folder.write(VERDICT_FILE, run_text([experiment.verdict for experiment in experiments], facts))
    folder.write(MARKDOWN_FILE, markdown.run_page(experiments, facts=facts))
    folder.write(PAGE_FILE, html.run_page(experiments, facts=facts, allure_page=allure_page))


def rebuild(folder: Path, *, say: Callable[[str], object] = lambda _line: None) -> list[str]:
    """Write all pages of a finished run again, from the evidence in its folder; verdicts stay as they were.

    Args:
        folder: The run's; its evidence holds no secrets.
        say: Told of what takes a while.

    Returns:
        Where the pages are, a line each; for Allure perhaps a sentence why there is none.

    Raises:
        ReportError: If there is no evidence in the folder, or it is damaged.
    """
    place = EvidenceFolder(folder, NO_SECRETS)
    experiments = [_rebuilt(place / name) for name in _names(folder)]
    lines = [f"report: {folder / PAGE_FILE}"]
    results = folder / ALLURE_RESULTS
    if results.is_dir():
        lines.append(f"allure: {build_allure_report(results, folder / ALLURE_REPORT, say=say)}")
    write_run(place, experiments, **_again(folder, experiments[0]))
    return lines


def _rebuilt(folder: EvidenceFolder) -> Experiment:
    experiment, scenario_text = read_experiment(folder.path)
    write_pages(folder, experiment, scenario_text=scenario_text)
    return experiment


def _names(folder: Path) -> list[str]:
    """Return the experiments' names in the order in which they ran; by name if the run did not live to say."""
    there = _written(folder)
    if not there:
        fix = "give the folder of a run: reports/runs/<id>"
        raise ReportError("there is no experiment in this folder", where=str(folder), fix=fix)
    order = [experiment.get("scenario") for experiment in _said_of_run(folder).get("experiments", [])]
    return sorted(there, key=lambda name: order.index(name) if name in order else len(order))


def _written(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob(f"*/{HISTORY_FILE}"))


def _common(experiment: Experiment) -> dict[str, Any]:
    """Return what all experiments of a run have in common."""
    history = experiment.history
    return {"seed": history.seed, "profile": history.profile or "", "backend": history.backend}


def _again(folder: Path, first: Experiment) -> dict[str, Any]:
    """Return what `write_run` wants to know, from the first experiment where the run did not live to say."""
    said = _said_of_run(folder)
    command = "readiness run --seed {seed} --profile {profile} --backend {backend}".format_map(_common(first))
    return {"command": said.get("command", command), "without_verdict": said.get(NEVER_RUN, _missing(folder))}


def _missing(folder: Path) -> list[str]:
    """Return what came to no verdict, where the run did not live to say that all of it did."""
    if (folder / RUN_MANIFEST_FILE).is_file() or (folder / VERDICT_FILE).is_file():
        return []
    begun = sorted(path.name for path in experiments_begun(folder))
    return never_run([*begun, "whatever was to come then"], _written(folder))


def _said_of_run(folder: Path) -> dict[str, Any]:
    path = folder / VERDICT_FILE
    return read_json(path) if path.is_file() else {}
