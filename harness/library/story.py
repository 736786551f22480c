"""A scenario told back in words: what happens when, what it promises, what that takes to be proved, what it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import SpecError, nearest
from harness.library.drawing import timeline_of
from harness.library.files import SCENARIOS_FOLDER, scenario_files
from harness.plan import read_source
from harness.spec.objective import Processor, RatioObjective, Recovery
from harness.spec.quantity import count_text, duration_text, percent_text
from harness.verdict.feasible import evidence_at
from harness.verdict.looks import confidence_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.plan import Plan, ScenarioSource
    from harness.spec.invariant import Promise
    from harness.spec.load import Load
    from harness.spec.scenario import Scenario
    from harness.spec.system import Settings


def source_of(name: str, project: Path) -> ScenarioSource:
    """Read the scenario of a file, or of a name.

    Raises:
        SpecError: If there is none, or its file cannot be read.
    """
    path = project / name
    if path.is_file():
        return read_source(path)
    sources = [read_source(each) for each in scenario_files(project / SCENARIOS_FOLDER)]
    found = [source for source in sources if source.scenario.scenario == name]
    if not found:
        fix = nearest(name, [source.scenario.scenario for source in sources])
        raise SpecError(f"there is no file and no scenario {name!r}", where=f"{SCENARIOS_FOLDER}/", fix=fix)
    return found[0]


def explained(plan: Plan, settings: Settings) -> str:
    """Return the whole story of a plan, as text of several paragraphs."""
    scenario = plan.scenario
    return "\n\n".join(
        "\n".join(paragraph)
        for paragraph in (
            [f"{plan.name} ({scenario.tier}), as the profile {plan.profile} runs it", scenario.story],
            [*_lines_on_load(scenario), "", *timeline_of(scenario)],
            promises_of(scenario, plan.confidence),
            _points(scenario),
            [*_catches(scenario, settings), *_answers(scenario)],
            [f"readiness run {plan.name} --profile {plan.profile}"],
        )
        if paragraph
    )


def _lines_on_load(scenario: Scenario) -> Iterator[str]:
    load = scenario.load
    yield f"{load.arrivals_per_s:g} requests a second begin, answered or not{_changing(load)}: {_asked(load)}."
    longer = "" if scenario.longest_s == scenario.lasts_s else _longer(scenario)
    yield f"It lasts {duration_text(scenario.lasts_s)}{longer}."
    if scenario.environment:
        yield "The service is told: " + ", ".join(f"{name}={text}" for name, text in scenario.environment.items()) + "."
    if scenario.standbys:
        kept = ", ".join(f"{name} ({replicates})" for name, replicates in scenario.standbys.items())
        yield f"There is a standby of {kept}."


def _changing(load: Load) -> str:
    return "" if load.schedule.kind == "constant" else f", and their rate changes ({load.schedule.kind})"


def _asked(load: Load) -> str:
    if load.locustfile is not None:
        return f"whatever {load.locustfile} asks"
    shares = ((request.name, load.share_of((request.name,))) for request in load.asked)
    return ", ".join(f"{name} {percent_text(round(share, 4))}" for name, share in shares)


def _longer(scenario: Scenario) -> str:
    return f", and up to {duration_text(scenario.longest_s)} while promises are neither kept nor broken"


def promises_of(scenario: Scenario, confidence: float) -> list[str]:
    """Return a line for each promise, by phases: what it is, and what it takes to be proved, if all goes well.

    Args:
        scenario: As it will be run.
        confidence: Of each one-sided bound.
    """
    first = percent_text(round(confidence_at(1, looks=scenario.looks, confidence=confidence), 6))
    looks = f" ({first} at the first of {scenario.looks} looks, where a phase may go on)" if scenario.looks > 1 else ""
    lines = [f"It promises, with bounds at {percent_text(confidence)}{looks}:"]
    for phase in scenario.phases:
        own = [each for each in scenario.objectives if each.during == phase.name]
        lines += [f"  during {phase.name}"] * bool(own)
        lines += [f"    {each}: {_need(each, scenario, confidence)}" for each in own]
    for when, always in (
        ("at all times, as every scenario", scenario.default_invariants),
        ("at all times", scenario.invariants),
    ):
        lines += [f"  {when}"] * bool(always)
        lines += [f"    {each}: {_need(each, scenario, confidence)}" for each in always]
    return lines


def _need(promise: Promise, scenario: Scenario, confidence: float) -> str:
    if isinstance(promise, RatioObjective):
        return _evidence(promise, scenario, confidence)
    if isinstance(promise, Processor):
        needed, there = evidence_at(1, promise, scenario, confidence)
        return f"{count_text(needed)} {promise.ideal} seconds at the least, and there are {count_text(int(there))}"
    if isinstance(promise, Recovery):
        lasts_s = next(phase.lasts for phase in scenario.phases if phase.name == promise.during)
        return f"seen in {duration_text(promise.needs_s)} after healing, and there are {duration_text(lasts_s)}"
    return "one counterexample breaks it, and where nothing could have broken it nothing is proved"


def _evidence(promise: RatioObjective, scenario: Scenario, confidence: float) -> str:
    """Say how many requests prove it at the first look, in how many seconds these come, and how many there will be.

    At the least, since what varies together is worth less than as many independent requests (docs/statistics.md).
    """
    needed, sent = evidence_at(1, promise, scenario, confidence)
    lasts_s = next(phase.lasts for phase in scenario.phases if phase.name == promise.during) - promise.after
    took = f"{duration_text(_rounded(needed * lasts_s / sent))} at this rate" if sent else "at this rate never"
    return f"{count_text(needed)} {promise.ideal} requests at the least, {took}; {count_text(int(sent))} are sent"


def _rounded(seconds: float) -> float:
    return round(seconds, 1) if seconds >= 1 else round(seconds, 3)


def _points(scenario: Scenario) -> list[str]:
    if not scenario.sometimes:
        return []
    return ["It proves nothing unless", *(f"    {each}, during {each.during}" for each in scenario.sometimes)]


def _catches(scenario: Scenario, settings: Settings) -> Iterator[str]:
    known = settings.system.subject.defects
    yield "It catches" if scenario.catches else "It names no defect that it catches."
    for catch in scenario.catches:
        yield f"    {catch.defect} ({known.get(catch.defect, 'unknown')}), by {catch.by}"


def _answers(scenario: Scenario) -> Iterator[str]:
    if scenario.answers:
        yield "It answers"
        yield from (f"    {row}" for row in scenario.answers)
