"""The folder of one experiment: evidence first, then what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import ReportError
from harness.history.store import read_history, write_history
from harness.report import html, markdown
from harness.report.documents import json_text, read_json, read_verdict, system_of, timeline_text, verdict_text
from harness.report.judged import Experiment
from harness.report.palette import DARK, LIGHT
from harness.report.redaction import NO_SECRETS, Secrets, redacted, write_bytes, write_text
from harness.spec.scenario import Scenario

if TYPE_CHECKING:
    from pathlib import Path

    from harness.history.history import History
    from harness.verdict.outcome import Verdict

FIX = "judge the scenario anew"


def write_experiment(
    folder: Path,
    scenario: Scenario,
    history: History,
    verdict: Verdict,
    *,
    scenario_text: str,
    profile: str,
    secrets: Secrets = NO_SECRETS,
) -> None:
    """Write everything about one experiment into `folder`.

    Args:
        folder: Made if it is not there.
        scenario: As it was run, with the profile's stretch and the default objectives.
        history: What was seen.
        verdict: What it means.
        scenario_text: The scenario's file as its author wrote it.
        profile: Name of the profile.
        secrets: What must not be written.

    Raises:
        ReportError: If a file cannot be written.
    """
    clean = write_evidence(
        folder, scenario, history, verdict, scenario_text=scenario_text, profile=profile, secrets=secrets
    )
    experiment = Experiment(scenario, clean, verdict, folder)
    write_pages(experiment, scenario_text=scenario_text, profile=profile, secrets=secrets)


def write_evidence(
    folder: Path,
    scenario: Scenario,
    history: History,
    verdict: Verdict,
    *,
    scenario_text: str,
    profile: str,
    secrets: Secrets = NO_SECRETS,
) -> History:
    """Write what was seen and what was concluded, without any page: the part of `write_experiment` that is hashed.

    Returns:
        What was seen, as it was written: without secrets.

    Raises:
        ReportError: If a file cannot be written.
    """
    clean = redacted(history, secrets)
    write_history(clean, folder)
    write_text(folder / "scenario.yaml", scenario_text, secrets)
    write_text(folder / "scenario.json", json_text(scenario.model_dump(mode="json")), secrets)
    write_text(folder / "system.json", json_text(system_of(clean, profile)), secrets)
    write_text(folder / "timeline.csv", timeline_text(clean), secrets)
    write_text(folder / "verdict.json", verdict_text(verdict), secrets)
    return clean


def write_pages(experiment: Experiment, *, scenario_text: str, profile: str, secrets: Secrets = NO_SECRETS) -> None:
    """Write what people read: pictures, report.md and the page.

    Raises:
        ReportError: If a file cannot be written.
    """
    from harness.report import plots  # noqa: PLC0415 - matplotlib takes a second to import, and few commands draw

    scenario, history, folder = experiment.scenario, experiment.history, experiment.folder
    verdict = redacted(experiment.verdict, secrets)
    write_text(folder / "plot.svg", plots.svg(scenario, history, verdict, LIGHT), secrets)
    write_text(folder / "plot-dark.svg", plots.svg(scenario, history, verdict, DARK), secrets)
    write_bytes(folder / "plot.png", plots.png(scenario, history, verdict, LIGHT), secrets)
    write_text(folder / "report.md", markdown.experiment_page(scenario, history, verdict, profile=profile), secrets)
    page = html.experiment_page(experiment, scenario_text=scenario_text, profile=profile)
    write_text(folder / "index.html", page, secrets)


def read_experiment(folder: Path) -> tuple[Experiment, str]:
    """Read what `write_experiment` wrote.

    Returns:
        The experiment, and the scenario's text.

    Raises:
        ReportError: If a file is missing or damaged.
    """
    history = read_history(folder)
    scenario = _scenario(folder / "scenario.json")
    experiment = Experiment(scenario, history, read_verdict(folder / "verdict.json"), folder)
    return experiment, _text(folder / "scenario.yaml")


def _scenario(path: Path) -> Scenario:
    try:
        return Scenario.model_validate(read_json(path))
    except ValueError as error:
        raise ReportError(f"this is no scenario: {error}", where=str(path), fix=FIX) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"cannot read the file: {error}", where=str(path), fix=FIX) from error
