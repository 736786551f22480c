"""Reports as pages that need nothing: no script, no network, no server; light and dark; readable on paper.

Jinja2 escapes whatever comes from scenarios and services; nothing is marked as safe, and the page's
policy (CSP) would refuse a script even if one got in. Only this file knows jinja2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from harness.evidence.documents import NEVER_RUN, run_outcome, system_of
from harness.layout import (
    ACCOUNTS_FILE,
    CIRCUITS_FILE,
    ECHOES_FILE,
    EVENTS_FILE,
    HISTORY_FILE,
    MARKDOWN_FILE,
    OPERATIONS_FILE,
    PLOT_PNG_FILE,
    SAMPLES_FILE,
    SCENARIO_FILE,
    SCENARIO_TEXT_FILE,
    SYSTEM_FILE,
    TIMELINE_FILE,
    VERDICT_FILE,
)
from harness.measure.failing import what_failed
from harness.report import formatting
from harness.report.markdown import run_sentence
from harness.spec.objective import Unit
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence, Sized

    from harness.evidence.experiment import Experiment
    from harness.history.history import History
    from harness.verdict.outcome import Claim

TEMPLATES = Path(__file__).with_name("templates")

FILES = (
    (MARKDOWN_FILE, "this page as Markdown"),
    (VERDICT_FILE, "the verdict, for machines"),
    (SAMPLES_FILE, "every request"),
    (OPERATIONS_FILE, "what was written and read"),
    (ECHOES_FILE, "whose answers requests got"),
    (ACCOUNTS_FILE, "what became of what was accepted"),
    (CIRCUITS_FILE, "what circuit breakers did"),
    (TIMELINE_FILE, "second by second"),
    (EVENTS_FILE, "the timeline"),
    (HISTORY_FILE, "phases, faults, doses, load"),
    (SCENARIO_TEXT_FILE, "the scenario as written"),
    (SCENARIO_FILE, "the scenario as run"),
    (SYSTEM_FILE, "versions and machine"),
    (PLOT_PNG_FILE, "the picture"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """Where a claim's numbers lie on a line from zero, each in percent of its length.

    Attributes:
        limit: What was promised.
        estimate: What was measured.
        lower: Where the bounds begin.
        width: How far they reach.
        good_from: Where the promised side begins.
        good_width: How far it reaches.
    """

    limit: float
    estimate: float
    lower: float
    width: float
    good_from: float
    good_width: float


def experiment_page(experiment: Experiment, *, scenario_text: str) -> str:
    """Return the page of one experiment; the pictures are expected beside it."""
    scenario, history, verdict = experiment.scenario, experiment.history, experiment.verdict
    return _template("experiment.html.j2").render(
        scenario=scenario,
        history=history,
        verdict=verdict,
        failed=what_failed(scenario, history),
        gauges=[gauge_of(claim) for claim in verdict.claims],
        startup_s=max((part.ready_s or 0.0 for part in history.startup), default=0.0) or 1.0,
        system=system_of(history),
        command=formatting.command_of(scenario.scenario, history),
        scenario_text=scenario_text,
        files=[each for each in FILES if each[0] not in _absent(history)],
    )


def _absent(history: History) -> set[str]:
    """Return the files that only some runs leave, and this one did not."""
    tables: dict[str, Sized] = {
        OPERATIONS_FILE: history.operations,
        ECHOES_FILE: history.echoes,
        ACCOUNTS_FILE: history.accounts,
        CIRCUITS_FILE: history.circuits,
    }
    return {name for name, table in tables.items() if not len(table)}


def run_page(experiments: Sequence[Experiment], *, facts: dict[str, Any], allure_page: str | None) -> str:
    """Return the page of a run; each experiment's folder is expected beside it."""
    verdicts = [experiment.verdict for experiment in experiments]
    return _template("run.html.j2").render(
        experiments=experiments,
        outcome=run_outcome(verdicts, facts),
        counted={outcome: sum(verdict.outcome is outcome for verdict in verdicts) for outcome in Outcome},
        sentence=run_sentence(verdicts, facts.get(NEVER_RUN, ())),
        facts=facts,
        system=system_of(experiments[0].history) if experiments else None,
        allure_page=allure_page,
    )


def gauge_of(claim: Claim) -> Gauge | None:
    """Return where the numbers of `claim` lie, None if nothing was measured, or nothing that has a scale."""
    if claim.estimate is None or claim.unit is Unit.COUNT:
        return None
    lower = claim.estimate if claim.lower is None else claim.lower
    upper = claim.estimate if claim.upper is None else claim.upper
    length = max(claim.limit * 2, upper * 1.1)
    if claim.unit is Unit.RATIO:
        length = 1.0 if claim.is_floor else min(length, 1.0)
    limit, low, high = (100 * min(value / length, 1.0) for value in (claim.limit, lower, upper))
    return Gauge(
        limit=round(limit, 2),
        estimate=round(100 * min(claim.estimate / length, 1.0), 2),
        lower=round(low, 2),
        width=round(high - low, 2),
        good_from=round(limit, 2) if claim.is_floor else 0.0,
        good_width=round(100 - limit, 2) if claim.is_floor else round(limit, 2),
    )


def _lasted(history: History) -> str:
    return formatting.seconds_of(history.lasted_s or None)


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "at": formatting.at,
        "beginning": formatting.beginning_of,
        "brief": formatting.brief,
        "bounds": formatting.bounds_of,
        "estimate": formatting.estimate_of,
        "failing": formatting.failing_of,
        "lasted": _lasted,
        "percent": formatting.percent_of,
        "quoted": formatting.quoted_in,
        "reason": formatting.reason_of,
        "seconds": formatting.seconds_of,
        "thousands": formatting.thousands,
        "wall": formatting.wall_of,
    }
    return environment.get_template(name)
