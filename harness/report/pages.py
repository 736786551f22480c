"""What people read about one experiment: pictures, report.md and a page, beside the evidence in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.evidence.experiment import Experiment, write_evidence
from harness.evidence.redaction import NO_SECRETS, Secrets, redacted, write_bytes, write_text
from harness.layout import MARKDOWN_FILE, PAGE_FILE, PLOT_DARK_FILE, PLOT_PNG_FILE, PLOT_SVG_FILE
from harness.report import html, markdown
from harness.report.palette import DARK, LIGHT

if TYPE_CHECKING:
    from pathlib import Path

    from harness.history.history import History
    from harness.spec.scenario import Scenario
    from harness.verdict.outcome import Verdict


def write_experiment(
    folder: Path,
    scenario: Scenario,
    history: History,
    verdict: Verdict,
    *,
    scenario_text: str,
    secrets: Secrets = NO_SECRETS,
) -> None:
    """Write everything about one experiment into `folder`.

    Args:
        folder: Made if it is not there.
        scenario: As it was run, with the profile's stretch and the default objectives.
        history: What was seen.
        verdict: What it means.
        scenario_text: The scenario's file as its author wrote it.
        secrets: What must not be written.

    Raises:
        ReportError: If a file cannot be written.
    """
    clean = write_evidence(folder, scenario, history, verdict, scenario_text=scenario_text, secrets=secrets)
    experiment = Experiment(scenario, clean, verdict, folder)
    write_pages(experiment, scenario_text=scenario_text, secrets=secrets)


def write_pages(experiment: Experiment, *, scenario_text: str, secrets: Secrets = NO_SECRETS) -> None:
    """Write what people read: pictures, report.md and the page.

    Raises:
        ReportError: If a file cannot be written.
    """
    from harness.report import plots  # noqa: PLC0415 - matplotlib takes a second to import, and few commands draw

    scenario, history, folder = experiment.scenario, experiment.history, experiment.folder
    verdict = redacted(experiment.verdict, secrets)
    write_text(folder / PLOT_SVG_FILE, plots.svg(scenario, history, verdict, LIGHT), secrets)
    write_text(folder / PLOT_DARK_FILE, plots.svg(scenario, history, verdict, DARK), secrets)
    write_bytes(folder / PLOT_PNG_FILE, plots.png(scenario, history, verdict, LIGHT), secrets)
    write_text(folder / MARKDOWN_FILE, markdown.experiment_page(scenario, history, verdict), secrets)
    page = html.experiment_page(experiment, scenario_text=scenario_text)
    write_text(folder / PAGE_FILE, page, secrets)
