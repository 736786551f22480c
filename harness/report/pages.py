"""What people read about one experiment: pictures, report.md and a page, beside the evidence in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.evidence.experiment import Experiment, write_evidence
from harness.layout import MARKDOWN_FILE, PAGE_FILE, PLOT_DARK_FILE, PLOT_PNG_FILE, PLOT_SVG_FILE
from harness.report import html, markdown
from harness.report.palette import DARK, LIGHT

if TYPE_CHECKING:
    from harness.evidence.folder import EvidenceFolder


def write_experiment(folder: EvidenceFolder, experiment: Experiment, *, scenario_text: str) -> None:
    """Write everything about one experiment; arguments and errors are those of `write_evidence`."""
    write_evidence(folder, experiment, scenario_text=scenario_text)
    write_pages(folder, experiment, scenario_text=scenario_text)


def write_pages(folder: EvidenceFolder, experiment: Experiment, *, scenario_text: str) -> None:
    """Write what people read: pictures, report.md and the page.

    Raises:
        ReportError: If a file cannot be written.
    """
    from harness.report import plots  # noqa: PLC0415 - matplotlib takes a second to import, and few commands draw

    scenario, history, verdict = experiment.scenario, experiment.history, experiment.verdict
    folder.write(PLOT_SVG_FILE, plots.svg(scenario, history, verdict, LIGHT))
    folder.write(PLOT_DARK_FILE, plots.svg(scenario, history, verdict, DARK))
    folder.write(PLOT_PNG_FILE, plots.png(scenario, history, verdict, LIGHT))
    folder.write(MARKDOWN_FILE, markdown.experiment_page(scenario, history, verdict))
    folder.write(PAGE_FILE, html.experiment_page(experiment, scenario_text=scenario_text))
