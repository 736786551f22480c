"""Reports as Markdown: for a pull request, a terminal, or a reader without a browser.

What comes from scenarios and services is escaped, so that it stays text: no link, no image, no HTML, no new column.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from harness.evidence.documents import NEVER_RUN, run_outcome
from harness.evidence.redaction import line
from harness.layout import MARKDOWN_FILE, PLOT_PNG_FILE
from harness.measure.failing import what_failed
from harness.report.formatting import (
    NOTHING,
    SYMBOLS,
    at,
    beginning_of,
    bounds_of,
    command_of,
    estimate_of,
    failing_of,
    outcome_text,
    reason_of,
    seconds_of,
    thousands,
)
from harness.verdict.outcome import Outcome, worst

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.evidence.experiment import Experiment
    from harness.history.history import History
    from harness.history.marks import FaultMark
    from harness.spec.scenario import Scenario
    from harness.verdict.outcome import Verdict

_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_LEADING = re.compile(r"^(\d*)([-+=#.)>])(?=[\s=#>-]|$)")
"""What would start a list, a heading or a rule, if it stood first on a line."""


def escaped(text: str) -> str:
    """Return `text` as one line that Markdown and HTML take for nothing but text."""
    html_safe = line(text).replace("&", "&amp;").replace("<", "&lt;")
    marked = _SPECIAL.sub(r"\\\1", html_safe)
    # An address that a reader might click is not ours to give; the entity keeps it readable and dead.
    dead = marked.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")
    return _LEADING.sub(r"\1\\\2", dead)


def experiment_page(scenario: Scenario, history: History, verdict: Verdict) -> str:
    """Return the report of one experiment."""
    return _joined(
        f"# {SYMBOLS[verdict.outcome]} {escaped(scenario.scenario)}",
        f"**{escaped(verdict.sentence)}**",
        escaped(scenario.story),
        escaped(beginning_of(history)),
        _failures(history),
        f"![What was broken when, and what users felt]({PLOT_PNG_FILE})",
        "## Objectives",
        _claims(verdict),
        "## Evidence",
        "\n".join(_obligations(verdict)),
        "## Red for",
        _catches(scenario),
        "## Load",
        _load(history),
        *_failed(scenario, history),
        "## Faults",
        _faults(history.faults),
        "## Start-up",
        _startup(history),
        "## Timeline",
        _table(("at", "kind", "what"), ((at(event.at_s), event.kind, event.text) for event in history.events)),
        "## Again",
        _code(command_of(scenario.scenario, history)),
        _facts(history),
    )


def run_page(experiments: Sequence[Experiment], *, facts: dict[str, Any]) -> str:
    """Return the report of a run; `facts` as for `run_text`."""
    verdicts = [experiment.verdict for experiment in experiments]
    return _joined(
        f"# {SYMBOLS[run_outcome(verdicts, facts)]} {escaped(facts['run_id'])}",
        f"**{escaped(run_sentence(verdicts, facts.get(NEVER_RUN, ())))}**",
        "\n".join(
            [
                "| scenario | outcome | what was seen | lasted | requests |",
                "| --- | --- | --- | ---: | ---: |",
                *(_run_row(experiment) for experiment in experiments),
            ]
        ),
        _beginnings(experiments),
        "## Again",
        _code(facts["command"]),
        _facts(experiments[0].history) if experiments else "",
    )


def run_sentence(verdicts: Sequence[Verdict], never_run: Sequence[str] = ()) -> str:
    """Return what can be said of a whole run, in one line."""
    if never_run:
        return f"error: the run broke off; without a verdict: {', '.join(never_run)}"
    outcome = worst(verdict.outcome for verdict in verdicts)
    if not verdicts:
        return f"{outcome}: no scenario was run, so nothing is known"
    named = [verdict.scenario for verdict in verdicts if verdict.outcome is outcome]
    if outcome is Outcome.PASS:
        return f"pass: {len(verdicts)} of {len(verdicts)} scenarios keep every promise"
    return f"{outcome}: {len(named)} of {len(verdicts)} scenarios ({', '.join(named)})"


def evidence_text(verdict: Verdict) -> str:
    """Return the obligations as a plain checklist."""
    boxes = (
        f"[{'x' if item.outcome is Outcome.PASS else ' '}] {item.name}: {item.sentence}" for item in verdict.obligations
    )
    return "\n".join(map(line, boxes)) + "\n"


def _run_row(experiment: Experiment) -> str:
    name, verdict, history = experiment.scenario.scenario, experiment.verdict, experiment.history
    # The name is a slug: it was refused otherwise before a folder was made for it.
    cells = [f"[{name}]({name}/{MARKDOWN_FILE})", outcome_text(verdict.outcome), escaped(reason_of(verdict))]
    return f"| {' | '.join(cells)} | {seconds_of(history.lasted_s or None)} | {thousands(len(history.samples))} |"


def _beginnings(experiments: Sequence[Experiment]) -> str:
    """Say on what each began, where stories share stacks."""
    said = [(each.scenario.scenario, beginning_of(each.history)) for each in experiments]
    lines = [f"- **{escaped(name)}** {escaped(beginning)}" for name, beginning in said if beginning]
    return "\n".join(["## Stacks\n", *lines]) if lines else ""


def _catches(scenario: Scenario) -> str:
    """Name the seeded defects that the scenario claims to catch: what a green of it is worth."""
    if not scenario.catches:
        return "The scenario names no seeded defect that would turn it red."
    return "\n".join(f"- {escaped(catch.defect)}, by {escaped(catch.by)}" for catch in scenario.catches)


def _failures(history: History) -> str:
    return "\n".join(f"- **broke off:** {escaped(str(failure))}" for failure in history.failures)


def _claims(verdict: Verdict) -> str:
    rows = (
        (
            claim.objective,
            claim.phase,
            outcome_text(claim.outcome),
            estimate_of(claim),
            bounds_of(claim),
            thousands(claim.total),
        )
        for claim in verdict.claims
    )
    head = ("objective", "phase", "outcome", "estimate", f"bounds ({verdict.confidence:.0%} each)", "n")
    return _table(head, rows)


def _obligations(verdict: Verdict) -> Iterable[str]:
    for item in verdict.obligations:
        box = "x" if item.outcome is Outcome.PASS else " "
        said = "" if item.outcome is Outcome.PASS else f" ({outcome_text(item.outcome)})"
        yield f"- [{box}] **{escaped(item.name)}**{said}: {escaped(item.sentence)}"


def _load(history: History) -> str:
    tally = history.tally
    if tally is None:
        return "The load generator never gave its count."
    row = [tally.issued, tally.ok, tally.failed, tally.unfinished, tally.not_sent]
    beside = {name: count for name, count in (("given up", tally.cancelled), ("prevented", tally.prevented)) if count}
    row += beside.values()
    return _table(
        ("planned", "issued", "ok", "failed", "unfinished", "not sent", *beside, "generator's lag, p99", "its CPU"),
        [
            (
                thousands(tally.planned),
                *(thousands(number) for number in row),
                seconds_of(tally.lag_p99_s),
                f"{tally.cpu_ratio:.0%}",
            )
        ],
    )


def _failed(scenario: Scenario, history: History) -> Iterator[str]:
    found = what_failed(scenario, history)
    if found:
        yield "## What failed"
        yield _table(
            ("during", "request", "how", "how many", "promised"),
            (
                (each.phase, each.request, each.how, failing_of(each), "" if each.is_promised else "! nothing of it")
                for each in found
            ),
        )


def _faults(marks: Sequence[FaultMark]) -> str:
    if not marks:
        return "Nothing was broken."
    rows = []
    for mark in marks:
        healed = "never healed" if mark.healed_s is None else at(mark.healed_s)
        rows.append(
            (mark.fault, mark.phase, f"{at(mark.injected_s)} to {healed}", "" if mark.doses else "! not looked at")
        )
        rows += [("", "", at(dose.at_s), f"{'✓' if dose.is_delivered else '✗'} {dose.seen}") for dose in mark.doses]
    return _table(("fault", "phase", "when", "dose"), rows)


def _startup(history: History) -> str:
    rows = ((part.part, part.version, seconds_of(part.began_s), seconds_of(part.took_s)) for part in history.startup)
    return _table(("part", "version", "began after", "took"), rows)


def _facts(history: History) -> str:
    defect = f", defect {escaped(history.defect)}" if history.defect else ""
    ran = f"Seed {history.seed}, profile {escaped(history.profile or '')}, backend {escaped(history.backend)}{defect}"
    return f"{ran}, began {escaped(history.began_at)}."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = [f"| {' | '.join(escaped(cell) or ' ' for cell in row)} |" for row in rows]
    if not body:
        return NOTHING
    return "\n".join([f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *body])


def _code(text: str) -> str:
    # Indented, for a fence could be closed by what stands inside it.
    return f"    {line(text)}"


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
