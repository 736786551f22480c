"""The folder of a whole run: the pages over its experiments, and all pages again from the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import ReportError
from harness.report import html, markdown
from harness.report.allure_site import build_allure_report
from harness.report.documents import read_json, run_text
from harness.report.egress import NO_SECRETS, Secrets, inside, redacted, write_text
from harness.report.experiment import Experiment, read_experiment, write_pages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ALLURE_RESULTS = "allure-results"
ALLURE_REPORT = "allure-report"


def write_run(
    folder: Path,
    experiments: Sequence[Experiment],
    *,
    seed: int,
    profile: str,
    backend: str,
    command: str,
    secrets: Secrets = NO_SECRETS,
) -> None:
    """Write what is said of a whole run: verdict.json, report.md and index.html.

    An Allure report that is already in the folder is linked to, so build it first.

    Args:
        folder: Holds one sub-folder for each experiment; its name is the run's id.
        experiments: In the order in which they ran.
        seed: Of everything random in the run.
        profile: Its name.
        backend: `embedded` or `containers`.
        command: Runs the same again.
        secrets: What must not be written.

    Raises:
        ReportError: If a file cannot be written, or a scenario's name cannot name a folder.
    """
    for experiment in experiments:
        inside(folder, experiment.scenario.scenario)
    clean = [_clean(experiment, secrets) for experiment in experiments]
    facts = {"run_id": folder.name, "seed": seed, "profile": profile, "backend": backend, "command": command}
    write_text(folder / "verdict.json", run_text([experiment.verdict for experiment in clean], facts), secrets)
    report = markdown.run_page(clean, run_id=folder.name, profile=profile, command=command)
    write_text(folder / "report.md", report, secrets)
    allure_page = f"{ALLURE_REPORT}/index.html"
    is_there = (folder / allure_page).is_file()
    page = html.run_page(clean, facts=facts, allure_page=allure_page if is_there else None)
    write_text(folder / "index.html", page, secrets)


def rebuild(folder: Path, *, secrets: Secrets = NO_SECRETS) -> Path | str:
    """Write all pages of a finished run again, from the evidence in its folder; verdicts stay as they were.

    Returns:
        The run's page; or, if there are Allure results from which no report could be built, a sentence why not.

    Raises:
        ReportError: If there is no evidence in the folder, or it is damaged.
    """
    names = _names(folder)
    experiments, profile = [], ""
    for name in names:
        experiment, scenario_text, system = read_experiment(inside(folder, name))
        profile = str(system.get("profile", ""))
        write_pages(folder / name, experiment, scenario_text=scenario_text, profile=profile, secrets=secrets)
        experiments.append(experiment)
    results = folder / ALLURE_RESULTS
    built = build_allure_report(results, folder / ALLURE_REPORT) if results.is_dir() else folder / "index.html"
    history = experiments[0].history
    again = f"readiness run --seed {history.seed} --profile {profile} --backend {history.backend}"
    command = str(_run_facts(folder).get("command", again))
    write_run(
        folder,
        experiments,
        seed=history.seed,
        profile=profile,
        backend=history.backend,
        command=command,
        secrets=secrets,
    )
    return built if isinstance(built, str) else folder / "index.html"


def _names(folder: Path) -> list[str]:
    """Return the experiments' names in the order in which they ran; by name if the run did not live to say."""
    there = sorted(path.parent.name for path in folder.glob("*/history.json"))
    if not there:
        mend = "give the folder of a run: reports/runs/<id>"
        raise ReportError("there is no experiment in this folder", where=str(folder), mend=mend)
    order = [experiment.get("scenario") for experiment in _run_facts(folder).get("experiments", [])]
    return sorted(there, key=lambda name: order.index(name) if name in order else len(order))


def _run_facts(folder: Path) -> dict[str, Any]:
    path = folder / "verdict.json"
    return read_json(path) if path.is_file() else {}


def _clean(experiment: Experiment, secrets: Secrets) -> Experiment:
    return Experiment(
        scenario=experiment.scenario,
        history=redacted(experiment.history, secrets),
        verdict=redacted(experiment.verdict, secrets),
    )
