"""All scenarios of a project on one page, in Markdown: what each tells, when things happen, what it promises."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from harness.library.drawing import timeline_of
from harness.library.files import SCENARIOS_FOLDER, scenario_files
from harness.library.outcomes import read_outcomes
from harness.library.story import promises_of
from harness.plan import as_run, read_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.library.outcomes import Measured
    from harness.plan import ScenarioSource
    from harness.spec.system import Settings

_HEAD = """# Catalogue of scenarios

Written by `readiness catalogue > docs/catalogue.md` from the files in `{folder}/`: {count} scenarios, {tiers}. The
folder is what gets hurt. Times and requests are those of the profile `{profile}`; `readiness explain NAME` tells those
of another. [scenarios.md](scenarios.md) says what each kind of fault and promise means."""


def catalogue_of(project: Path, settings: Settings, profile: str) -> str:
    """Return the page.

    Raises:
        SpecError: If a scenario file, or what was noted of outcomes, cannot be read.
    """
    outcomes = read_outcomes(project)
    folder = project / SCENARIOS_FOLDER
    sources = [read_source(path) for path in scenario_files(folder)]
    tiers = [source.scenario.tier for source in sources]
    told = ", ".join(f"{tiers.count(tier)} of {tier}" for tier in sorted(set(tiers)))
    head = _HEAD.format(folder=SCENARIOS_FOLDER, count=len(sources), tiers=told, profile=profile)
    paragraphs = [head]
    for hurt, group in groupby(sources, key=lambda source: source.path.parent.relative_to(folder).as_posix()):
        paragraphs.append(f"## {hurt}")
        for source in group:
            paragraphs += _entry(source, project, settings, profile)
            if source.scenario.scenario in outcomes:
                paragraphs.append(_last_measured(outcomes[source.scenario.scenario]))
    return "\n\n".join(paragraphs) + "\n"


def _entry(source: ScenarioSource, project: Path, settings: Settings, profile: str) -> Iterator[str]:
    scenario, file = as_run(source.scenario, settings, profile), source.path.relative_to(project).as_posix()
    yield f"### {scenario.scenario}"
    yield f"{scenario.story} ({scenario.tier}, [{file}](../{file}))"
    promises = promises_of(scenario, settings.confidence_of(profile))
    yield "\n".join(["```text", *timeline_of(scenario), "", *promises, "```"])
    if scenario.sometimes:
        yield "Must be reached: " + "; ".join(f"`{each}` during {each.during}" for each in scenario.sometimes) + "."
    if scenario.catches:
        known = settings.system.subject.defects
        caught = (f"- `{each.defect}` by `{each.by}`: {known.get(each.defect, 'unknown')}" for each in scenario.catches)
        yield "\n".join(["Must turn red for:", "", *caught])
    if scenario.answers:
        yield "Answers: " + "; ".join(scenario.answers) + "."


def _last_measured(measured: Measured) -> str:
    """Return how a scenario ended when it was last run, with the numbers of each promise."""
    commit = f" at {measured.commit}" if measured.commit else ""
    profile = f", profile `{measured.profile}`" if measured.profile else ""
    head = f"Last measured {measured.at:%Y-%m-%d}{commit}{profile}: **{measured.outcome}**."
    return "\n".join([head, "", *(f"- {each}" for each in (*measured.claims, *measured.unmet))])
