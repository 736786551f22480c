"""What a run will do with a scenario file, decided once: the file is read at collection, and never again.

An editor that saves the file while the run is under way changes nothing: what is run, what is judged and what the
evidence says of it all come from one value. Whatever can be known before anything starts is refused here, with the
file, the line and the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import SpecError, all_of, nearest
from harness.faults.overlap import hidden
from harness.spec.answers import default_unanswerable, unanswerable, unexercised, unreachable
from harness.spec.document import read_yaml
from harness.spec.faults.target import nothing_to_hit
from harness.spec.parser import text_of, validated
from harness.spec.quantity import duration_text
from harness.spec.scenario import Scenario
from harness.spec.timeline import ROUNDING_S
from harness.stack.blueprint import targets_of, why_out_of_reach
from harness.stack.placeholders import placeholders_in
from harness.verdict.feasible import check_can_conclude
from harness.verdict.judge import claims_made

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.spec.document import Document, KeyPath
    from harness.spec.faults import Fault
    from harness.spec.phase import Phase
    from harness.spec.system import Settings, Subject, System
    from harness.spec.timeline import Scheduled


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioSource:
    """A scenario file, read.

    Attributes:
        path: The file.
        text: What it says, which is what the evidence keeps.
        document: The same as plain data, with the line of every key.
        scenario: The same as a model, as it is written: no defaults added, nothing stretched.
    """

    path: Path
    text: str
    document: Document
    scenario: Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A scenario as it will be run.

    Attributes:
        path: The file that it stands in.
        text: What the file says.
        scenario: With the default objectives and requests of readiness.toml, stretched by the profile.
        profile: The profile's name.
        confidence: Of each one-sided bound, in (0.5, 1).
        seed: Of everything random.
    """

    path: Path
    text: str
    scenario: Scenario
    profile: str
    confidence: float
    seed: int

    @property
    def name(self) -> str:
        """Return the scenario's name, which also names the folder of its evidence."""
        return self.scenario.scenario

    @property
    def actions(self) -> tuple[Scheduled, ...]:
        """Return everything that is done to the system, each with its id and its window."""
        return self.scenario.actions

    @property
    def claims(self) -> int:
        """Return how many of its promises are judged by chance."""
        return claims_made(self.scenario.promises)


def read_source(path: Path) -> ScenarioSource:
    """Read one scenario file.

    Raises:
        SpecError: If it cannot be read or understood; it names file, line, key path and the nearest known key.
    """
    text = text_of(path)
    document = read_yaml(text, name=str(path))
    return ScenarioSource(path=path, text=text, document=document, scenario=validated(Scenario, document))


def plan_of(source: ScenarioSource, settings: Settings, *, profile: str, seed: int) -> Plan:
    """Decide what will be run of a scenario file.

    Args:
        source: The file.
        settings: What readiness.toml says.
        profile: One of its profiles.
        seed: Of everything random.

    Raises:
        SpecError: If a fault has nothing to hit, or no time to be seen in, or another one hides it; or if the scenario
            promises nothing, or what it cannot prove, or what no answer could tell, or tells its subject what it
            cannot. It tells every such fault.
    """
    check_faults(source, settings, profile)
    check_answers(source, settings)
    check_environment(source, settings)
    return Plan(
        path=source.path,
        text=source.text,
        scenario=planned(source.scenario, settings, profile),
        profile=profile,
        confidence=settings.confidence_of(profile),
        seed=seed,
    )


def planned(scenario: Scenario, settings: Settings, profile: str) -> Scenario:
    """Return `scenario` as it will be run: with what readiness.toml promises and asks, stretched by the profile.

    Raises:
        SpecError: If it promises nothing, or promises what it cannot prove.
    """
    chosen = settings.profiles[profile]
    promising = scenario.promising(settings.objectives).asking(settings.system.requests, settings.system.headers)
    whole = promising.stretched(chosen.stretch).extending(chosen.extends_to)
    if not whole.objectives:
        raise SpecError(
            "the scenario promises nothing, and nothing is what it would prove",
            where=f"scenario {scenario.scenario}",
            fix="name a phase `baseline`, where the defaults of readiness.toml hold, or add an objective",
        )
    check_can_conclude(whole, settings.confidence_of(profile))
    return whole


def check_faults(source: ScenarioSource, settings: Settings, profile: str) -> None:
    """See that every fault of a scenario file can be done and seen: otherwise a start and a baseline are wasted.

    Raises:
        SpecError: If one cannot; it names each of them with its line and key.
    """
    scenario = source.scenario.stretched(settings.profiles[profile].stretch)
    mistakes = [
        *_missing_targets(source, settings.system),
        *_impossible_windows(source, scenario),
        *_hidden_faults(source, scenario, settings.system),
    ]
    if mistakes:
        raise all_of(mistakes)


def check_answers(source: ScenarioSource, settings: Settings) -> None:
    """See that the answers can tell what a scenario file promises of them, and what readiness.toml promises of all.

    Raises:
        SpecError: If they cannot; it names each promise with its line.
    """
    scenario, document = source.scenario, source.document
    load = scenario.load.asking(settings.system.requests, settings.system.headers)
    phases = {phase.name for phase in scenario.phases}
    defaults = [objective for objective in settings.objectives if objective.during in phases]
    mistakes = [
        *unanswerable(scenario.objectives, load.told, load.asked, document),
        *unreachable(scenario.sometimes, load.told, document),
        *unexercised(scenario.invariants, load.asked, document),
        *default_unanswerable(defaults, load.told, load.asked, document.place(("load",))),
    ]
    if mistakes:
        raise all_of(mistakes)


def check_environment(source: ScenarioSource, settings: Settings) -> None:
    """See that what a scenario file tells the judged service can be told, and leaves it on the paths that are hurt.

    Raises:
        SpecError: If not; it names each variable with its line.
    """
    subject, given = settings.system.subject, source.scenario.environment
    mistakes = [
        SpecError(what, where=source.document.place(("environment", variable)), fix=fix)
        for variable, text in given.items()
        for what, fix in _unheard(variable, text, subject)
    ]
    if mistakes:
        raise all_of(mistakes)


def _unheard(variable: str, text: str, subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with telling the judged service so, and how to mend it."""
    if subject.external is not None:
        yield "the service runs already, and hears of no variable", "leave it out, or let the service be started here"
    elif variable in subject.secrets:
        yield f"{variable} is a secret, and a scenario's file would be its evidence", "set it where the run is started"
    elif placeholders_in(subject.environment.get(variable, "")):
        said = f"{variable} says where things are, as {subject.environment[variable]!r} in readiness.toml does"
        yield f"{said}; another value would lead past the fault proxy", "leave it out"
    if placeholders_in(text):
        yield f"{text!r} has a placeholder, and a scenario has none", "say it in readiness.toml"


def _faults(scenario: Scenario) -> Iterator[tuple[KeyPath, Phase, Fault]]:
    """Return every fault with its place in the file and its phase."""
    for number, phase in enumerate(scenario.phases):
        for index, fault in enumerate(phase.faults):
            yield ("phases", number, "faults", index), phase, fault


def _missing_targets(source: ScenarioSource, system: System) -> Iterator[SpecError]:
    for path, _, fault in _faults(source.scenario):
        known = targets_of(fault, system)
        if fault.target not in known and not why_out_of_reach(fault, system):
            where = source.document.place((*path, "target"))
            yield SpecError(nothing_to_hit(fault), where=where, fix=nearest(fault.target, known))


def _impossible_windows(source: ScenarioSource, scenario: Scenario) -> Iterator[SpecError]:
    """Find the windows that reach beyond their phase, or are too short for one look at the dose."""
    for path, phase, fault in _faults(scenario):
        ends_s, lasts = fault.ends_after_s(phase.lasts), duration_text(phase.lasts)
        where = source.document.place((*path, fault.end_key) if fault.end_key else (*path[:2], "lasts"))
        if fault.at >= phase.lasts:
            where = source.document.place((*path, "at"))
            what = f"the fault `{fault}` would begin when its phase, which lasts {lasts}, is over"
            yield SpecError(what, where=where, fix="begin it earlier: `at` counts from the beginning of its phase")
        elif ends_s > phase.lasts + ROUNDING_S:
            what = f"the fault `{fault}` would end {duration_text(ends_s)} after the beginning of a phase of {lasts}"
            yield SpecError(what, where=where, fix="end it with its phase at the latest, or let the phase last longer")
        elif ends_s - fault.at < fault.look_s - ROUNDING_S:
            what = f"the fault `{fault}` would be over before its dose is seen, which takes"
            needed = duration_text(fault.look_s)
            yield SpecError(f"{what} {needed}", where=where, fix=f"let it last {needed} or longer")


def _hidden_faults(source: ScenarioSource, scenario: Scenario, system: System) -> Iterator[SpecError]:
    places = {f"fault-{number}": path for number, (path, _, _) in enumerate(_faults(scenario), start=1)}
    for one, other in hidden(scenario.actions, system):
        line = source.document.line(places[other.id])
        what = f"the dose of `{one.spec}` cannot be seen while `{other.spec}` (line {line}) is there as well"
        fix = "give them windows that do not overlap (`at`, `for`, `until`), or leave one out"
        yield SpecError(what, where=source.document.place(places[one.id]), fix=fix)
