"""What a run will do with a scenario file, decided once: the file is read at collection, and never again.

An editor that saves the file while the run is under way changes nothing: what is run, what is judged and what the
evidence says of it all come from one value. Whatever can be known before anything starts is refused here, with the
file, the line and the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import SpecError, all_of, nearest
from harness.faults.overlap import hidden, promoted
from harness.spec.answers import default_unanswerable, default_unexercised, unanswerable, unexercised, unreachable
from harness.spec.document import read_yaml
from harness.spec.faults import (
    Bandwidth,
    Cancellations,
    Failover,
    GreedyClient,
    HotKey,
    Reload,
    Retries,
    SlowReaders,
    TrafficFault,
)
from harness.spec.faults.network import REPLICA_RATE_MAX
from harness.spec.faults.target import nothing_to_hit
from harness.spec.invariant import word_of
from harness.spec.login import unknown_words
from harness.spec.objective import processors_of
from harness.spec.parser import text_of, validated
from harness.spec.quantity import byte_rate_text, duration_text
from harness.spec.scenario import Scenario
from harness.spec.timeline import ROUNDING_S, Kind, overdue
from harness.stack.blueprint import replicas_of, targets_of, why_out_of_reach, wrong_standbys
from harness.stack.placeholders import placeholders_in
from harness.verdict.feasible import check_can_conclude, unprovable
from harness.verdict.judge import claims_made

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.spec.document import Document, KeyPath
    from harness.spec.faults import Fault, SystemFault
    from harness.spec.invariant import Invariant
    from harness.spec.login import Login
    from harness.spec.phase import Phase
    from harness.spec.requests import DeclaredRequest, ResponseHeaders
    from harness.spec.system import Settings, Subject, System
    from harness.spec.timeline import Scheduled

_PROMISES_NOTHING = "the scenario promises nothing, and nothing is what it would prove"
_PROMISE_SOMETHING = "name a phase `baseline`, where the defaults of readiness.toml hold, or add an objective"


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
    return source_of(text_of(path), path)


def source_of(text: str, path: Path) -> ScenarioSource:
    """Return the same of what a file says, or would say.

    Raises:
        SpecError: If it cannot be understood.
    """
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
        SpecError: If something stands in the way of it; it tells every mistake that `mistakes_in` finds.
    """
    mistakes = list(mistakes_in(source, settings, profile))
    if mistakes:
        raise all_of(mistakes)
    return Plan(
        path=source.path,
        text=source.text,
        scenario=as_run(source.scenario, settings, profile),
        profile=profile,
        confidence=settings.confidence_of(profile),
        seed=seed,
    )


def mistakes_in(source: ScenarioSource, settings: Settings, profile: str) -> Iterator[SpecError]:
    """Find everything that a scenario file has wrong in a profile, each with its place in the file.

    A fault has nothing to hit or no time to be seen in, or another one hides it; no answer could tell what is promised;
    nothing is promised, or what cannot be proved; it says what readiness.toml says of every scenario; the service is
    told what it cannot be; a defect is unknown, or is to be caught by what is not promised.
    """
    yield from _said_of_all(source)
    yield from _unknown_workers(source, settings.system)
    settings = settings.with_workers(source.scenario.workers)
    yield from _faulty(source, settings, profile)
    yield from _untold(source, settings)
    yield from _unknown_words(source, settings.system)
    yield from _untraced(source, settings)
    yield from _unmeasured(source, settings)
    yield from _unheard(source, settings)
    yield from _not_proved(source, settings, profile)
    yield from _not_caught(source, settings, profile)


def planned(scenario: Scenario, settings: Settings, profile: str) -> Scenario:
    """Return `scenario` as it will be run: with what readiness.toml promises and asks, stretched by the profile.

    Raises:
        SpecError: If it promises nothing, or promises what it cannot prove.
    """
    whole = as_run(scenario, settings, profile)
    if not whole.objectives:
        raise SpecError(_PROMISES_NOTHING, where=f"scenario {scenario.scenario}", fix=_PROMISE_SOMETHING)
    check_can_conclude(whole, settings.confidence_of(profile))
    return whole


def as_run(scenario: Scenario, settings: Settings, profile: str) -> Scenario:
    """Return the same without a look at what it promises."""
    chosen = settings.profiles[profile]
    promising = scenario.promising(settings.objectives, settings.invariants)
    asking = promising.asking(*_asked_of(settings.system))
    whole = asking.stretched(chosen.stretch).extending(chosen.extends_to)
    return whole.model_copy(update={"abort_when": scenario.abort_when or settings.abort_when})


def _asked_of(system: System) -> tuple[tuple[DeclaredRequest, ...], ResponseHeaders, Login | None]:
    """Return what a service is asked where a load says nothing of it."""
    return system.requests, system.headers, system.login


def check_faults(source: ScenarioSource, settings: Settings, profile: str) -> None:
    """See that every fault of a scenario file can be done and seen: otherwise a start and a baseline are wasted.

    Raises:
        SpecError: If one cannot; it names each of them with its line and key.
    """
    mistakes = list(_faulty(source, settings.with_workers(source.scenario.workers), profile))
    if mistakes:
        raise all_of(mistakes)


def _faulty(source: ScenarioSource, settings: Settings, profile: str) -> Iterator[SpecError]:
    scenario = source.scenario.stretched(settings.profiles[profile].stretch)
    wrong = list(_wrong_standbys(source, settings.system))
    yield from wrong
    system = settings.system.with_standbys({} if wrong else scenario.standbys)
    yield from _missing_targets(source, system)
    yield from _nobody_left(source, system)
    yield from (impossible := list(_impossible_windows(source, scenario)))
    if not impossible:  # what cannot be is late for no other reason
        yield from _late_faults(source, scenario)
    yield from _hidden_faults(source, scenario, system)
    yield from _unseen_rates(source, system)
    yield from _unasked(source, system)
    yield from _unencrypted(source, system)


def _said_of_all(source: ScenarioSource) -> Iterator[SpecError]:
    """Find what is said of every scenario where one is described."""
    if source.scenario.default_invariants:
        where = source.document.place(("default_invariants",))
        fix = "write them under `invariants`, or as [[invariants]] in readiness.toml"
        yield SpecError("the invariants of every scenario stand in readiness.toml", where=where, fix=fix)


def _untold(source: ScenarioSource, settings: Settings) -> Iterator[SpecError]:
    """Find what the answers cannot tell: of what the file promises, and of what readiness.toml promises of all."""
    scenario, document = source.scenario, source.document
    load = scenario.load.asking(*_asked_of(settings.system))
    phases = {phase.name for phase in scenario.phases}
    defaults = [objective for objective in settings.objectives if objective.during in phases]
    yield from unanswerable(scenario.objectives, load.told, load.asked, document)
    yield from unreachable(scenario.sometimes, load.told, document)
    yield from unexercised(scenario.invariants, load.told, load.asked, document)
    yield from default_unanswerable(defaults, load.told, load.asked, document.place(("load",)))
    yield from default_unexercised(settings.invariants, load.told, load.asked, document.place(("load",)))


def _unknown_words(source: ScenarioSource, system: System) -> Iterator[SpecError]:
    """Find the words of requests that nobody would know, where the file asks its own or logs in its own way."""
    own = source.scenario.load
    if own.requests or own.login:
        load = own.asking(*_asked_of(system))
        place = source.document.place(("load", "requests") if own.requests else ("load", "login"))
        for what, fix in unknown_words(load.asked, load.login, system.secrets):
            yield SpecError(what, where=place, fix=fix)


def _untraced(source: ScenarioSource, settings: Settings) -> Iterator[SpecError]:
    """Find what is promised of the circuit breakers of a service that does not tell what they do."""
    if settings.system.subject.breakers is not None:
        return
    invariants: list[tuple[Invariant, KeyPath]] = [(each, ("load",)) for each in settings.invariants]
    invariants += [(each, ("invariants", index, "kind")) for index, each in enumerate(source.scenario.invariants)]
    for invariant, place in invariants:
        if invariant.traces_breakers:
            what = f"`{invariant}`: it is about what breakers tell of themselves, and no path is named that does"
            fix = 'name it in readiness.toml: [system.subject] with breakers = "/PATH" (docs/system.md)'
            yield SpecError(what, where=source.document.place(place), fix=fix)


def _unmeasured(source: ScenarioSource, settings: Settings) -> Iterator[SpecError]:
    """Find what is promised of processes that the harness does not know: of the file, and of readiness.toml."""
    scenario, document = source.scenario, source.document
    if settings.system.subject.external is None:
        return
    places = {id(each): ("objectives", index, "sli") for index, each in enumerate(scenario.objectives)}
    for budget in processors_of(scenario.promising(settings.objectives).objectives):
        what = f"`{budget}` is about processes of the service, which runs already: none of them is known here"
        fix = "leave it out, or let the service be started here"
        yield SpecError(what, where=document.place(places.get(id(budget), ())), fix=fix)


def _not_proved(source: ScenarioSource, settings: Settings, profile: str) -> Iterator[SpecError]:
    """Find the promises that could not be proved, of those that answers can tell of: the others are told already."""
    document, whole = source.document, as_run(source.scenario, settings, profile)
    if not whole.objectives:
        yield SpecError(_PROMISES_NOTHING, where=document.place(()), fix=_PROMISE_SOMETHING)
        return
    defaults = len(whole.objectives) - len(source.scenario.objectives)
    for index, what, fix in unprovable(whole, settings.confidence_of(profile)):
        if index is None or index < defaults:
            yield SpecError(what, where=document.place(("load",) if index is not None else ()), fix=fix)
        elif not list(unanswerable([whole.objectives[index]], whole.load.told, whole.load.asked, document)):
            yield SpecError(what, where=document.place(("objectives", index - defaults)), fix=fix)


def _not_caught(source: ScenarioSource, settings: Settings, profile: str) -> Iterator[SpecError]:
    """Find the defects that nobody knows, and those to be caught by a promise that is not made."""
    known = list(settings.system.subject.defects)
    promised = list(dict.fromkeys(map(word_of, as_run(source.scenario, settings, profile).promises)))
    for index, catch in enumerate(source.scenario.catches):
        if catch.defect not in known:
            where = source.document.place(("catches", index, "defect"))
            yield SpecError(f"unknown defect {catch.defect!r}", where=where, fix=_known_defects(catch.defect, known))
        if catch.by not in promised:
            where = source.document.place(("catches", index, "by"))
            what = f"`{catch.defect}` is to be caught by {catch.by!r}, which is not promised here"
            yield SpecError(what, where=where, fix=nearest(catch.by, promised))


def _known_defects(word: str, known: list[str]) -> str:
    if not known:
        return "list it in readiness.toml, with a line on what it does, under [system.subject.defects]"
    return nearest(word, known)


def _unheard(source: ScenarioSource, settings: Settings) -> Iterator[SpecError]:
    """Find what the judged service cannot be told, or what would lead it off the paths that are hurt."""
    for variable, text in source.scenario.environment.items():
        for what, fix in _not_to_be_told(variable, text, settings.system.subject):
            yield SpecError(what, where=source.document.place(("environment", variable)), fix=fix)


def _not_to_be_told(variable: str, text: str, subject: Subject) -> Iterator[tuple[str, str]]:
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


def _unknown_workers(source: ScenarioSource, system: System) -> Iterator[SpecError]:
    """Find the further processes that the service has not."""
    known = list(system.subject.workers)
    for name in source.scenario.workers:
        if name not in known:
            fix = nearest(name, known) if known else f"name it in readiness.toml: [system.subject.workers.{name}]"
            where = source.document.place(("workers", name))
            yield SpecError(f"the service has no worker {name!r}", where=where, fix=fix)


def _faults(scenario: Scenario) -> Iterator[tuple[KeyPath, Phase, Fault]]:
    """Return every fault with its place in the file and its phase."""
    for number, phase in enumerate(scenario.phases):
        for index, fault in enumerate(phase.faults):
            yield ("phases", number, "faults", index), phase, fault


def _places(scenario: Scenario) -> dict[str, KeyPath]:
    """Return where each fault stands, by its id."""
    return {f"fault-{number}": path for number, (path, _, _) in enumerate(_faults(scenario), start=1)}


def _missing_targets(source: ScenarioSource, system: System) -> Iterator[SpecError]:
    for path, _, fault in _faults(source.scenario):
        if isinstance(fault, TrafficFault):
            continue
        known = targets_of(fault, system)
        if fault.target not in known and not why_out_of_reach(fault, system):
            where = source.document.place((*path, "target"))
            yield SpecError(
                nothing_to_hit(fault), where=where, fix=nearest(fault.target, known) if known else _how_to_have(fault)
            )


def _nobody_left(source: ScenarioSource, system: System) -> Iterator[SpecError]:
    """Find a load balancer that is to leave out a replica that is not there, or the only one."""
    replicas = replicas_of(system)
    for path, _, fault in _faults(source.scenario):
        if not isinstance(fault, Reload) or fault.without is None or not replicas:
            continue
        what, where = f"nothing is left without {fault.without}", source.document.place((*path, "without"))
        if fault.without not in replicas:
            yield SpecError(f"there is no {fault.without}", where=where, fix=nearest(fault.without, replicas))
        elif len(replicas) == 1:
            yield SpecError(what, where=where, fix="let there be another one: `replicas` in readiness.toml")


def _how_to_have(fault: SystemFault) -> str:
    """Say how a target is had of a kind that the system has none of."""
    if isinstance(fault, Failover):
        return f"give it one, in this file: standbys: {{{fault.target}: asynchronous}}"
    return f"add a {fault.component} to readiness.toml (`[system.components.{fault.component}]`), or leave it out"


def _wrong_standbys(source: ScenarioSource, system: System) -> Iterator[SpecError]:
    """Find the standbys that the system cannot have."""
    standbys = source.scenario.standbys
    if standbys and system.subject.external is not None:
        what = "the service runs already, and what it depends on is not the harness's"
        yield SpecError(what, where=source.document.place(("standbys",)), fix="leave it out")
        return
    if standbys and system.compose is not None:
        what = "the compose file says what runs, and no standby is started beside it"
        yield SpecError(what, where=source.document.place(("standbys",)), fix="leave it out")
        return
    for name, what, fix in wrong_standbys(standbys, system):
        yield SpecError(what, where=source.document.place(("standbys", name)), fix=fix)


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
        elif ends_s - fault.at < fault.least_s - ROUNDING_S:
            what = f"the fault `{fault}` would be over before its dose is seen, which takes"
            needed = duration_text(fault.least_s)
            yield SpecError(f"{what} {needed}", where=where, fix=f"let it last {needed} or longer")


def _late_faults(source: ScenarioSource, scenario: Scenario) -> Iterator[SpecError]:
    """Find the faults that would come or go late, since looks at what is there take so long."""
    places, late = _places(source.scenario), overdue(scenario.moments)
    for action in scenario.actions:
        if action.id in late:
            kind, late_s = late[action.id]
            comes = "begin" if kind is Kind.BEGIN else "end"
            what = f"the fault `{action.spec}` would {comes} {late_s:.1f} s late: so long are the doses there looked at"
            fix = "let its phase last longer, let its window begin apart from the others', or delay less"
            yield SpecError(what, where=source.document.place(places[action.id]), fix=fix)


def _unseen_rates(source: ScenarioSource, system: System) -> Iterator[SpecError]:
    """Find the paths into a replica that are narrowed by less than what a replica answers."""
    for path, _, fault in _faults(source.scenario):
        is_into_a_replica = isinstance(fault, Bandwidth) and fault.target.rpartition(".")[2] in replicas_of(system)
        if isinstance(fault, Bandwidth) and is_into_a_replica and fault.rate > REPLICA_RATE_MAX:
            what = f"`{fault}` cannot be told from no fault: a replica makes its small answers hardly faster"
            fix = f"write {byte_rate_text(REPLICA_RATE_MAX)} or less, or narrow the path to a component"
            yield SpecError(what, where=source.document.place((*path, "rate")), fix=fix)


def _unasked(source: ScenarioSource, system: System) -> Iterator[SpecError]:
    """Find the faults of the load that its requests cannot do."""
    requests = source.scenario.load.asking(*_asked_of(system)).asked
    names = [request.name for request in requests]
    for path, _, fault in _faults(source.scenario):
        if isinstance(fault, GreedyClient | SlowReaders) and fault.asks not in names:
            what = f"`{fault}` asks a request {fault.asks!r}, which is not declared"
            yield SpecError(what, where=source.document.place((*path, "asks")), fix=nearest(fault.asks, names))
        if isinstance(fault, HotKey) and not any(request.has_key for request in requests):
            what = f"`{fault}` is about keys, and no request of this load asks for one"
            fix = "put {key} into the path of a request, or leave the fault out"
            yield SpecError(what, where=source.document.place(path), fix=fix)
        if isinstance(fault, Retries):
            yield from _not_asked_again(fault, requests, source.document, path)
        if isinstance(fault, Cancellations | Retries) and not requests:
            what = f"`{fault}` is done by the harness's own clients, and a locustfile brings others"
            fix = "declare requests in the place of the locustfile, or leave the fault out"
            yield SpecError(what, where=source.document.place(path), fix=fix)


def _unencrypted(source: ScenarioSource, system: System) -> Iterator[SpecError]:
    """Find what is done on bare sockets, where the service that runs already is asked over TLS."""
    if not (system.subject.external or "").startswith("https:"):
        return
    bare = [(path, str(fault)) for path, _, fault in _faults(source.scenario) if isinstance(fault, SlowReaders)]
    if source.scenario.load.client == "lean":
        bare.append((("load", "client"), "lean"))
    for path, what in bare:
        said, where = f"`{what}` is done on bare sockets, which speak no TLS", source.document.place(path)
        yield SpecError(said, where=where, fix="leave it out, or judge the service at an address on plain http")


def _not_asked_again(
    fault: Retries, requests: Sequence[DeclaredRequest], document: Document, path: KeyPath
) -> Iterator[SpecError]:
    """Find the requests that are to be asked again and are not declared; and see that there is one to ask."""
    names = [request.name for request in requests]
    for index, name in enumerate(fault.of):
        if name not in names:
            what = f"`{fault}` asks a request {name!r} again, which is not declared"
            yield SpecError(what, where=document.place((*path, "of", index)), fix=nearest(name, names))
    if requests and not fault.of and not any(request.is_idempotent for request in requests):
        what = f"`{fault}` repeats requests of an idempotent method (GET, PUT, DELETE, OPTIONS), and this load has none"
        fix = f"name the requests that are asked again, whatever they do twice: of: [{', '.join(names)}]"
        yield SpecError(what, where=document.place(path), fix=fix)


def _hidden_faults(source: ScenarioSource, scenario: Scenario, system: System) -> Iterator[SpecError]:
    places = _places(scenario)
    for one, other in hidden(scenario.actions, system):
        line = source.document.line(places[other.id])
        what = f"the dose of `{one.spec}` cannot be seen while `{other.spec}` (line {line}) is there as well"
        fix = "give them windows that do not overlap (`at`, `for`, `until`), or leave one out"
        yield SpecError(what, where=source.document.place(places[one.id]), fix=fix)
    for one, other in promoted(scenario.actions):
        line = source.document.line(places[other.id])
        what = f"`{one.spec}` has no standby to hit any more after `{other.spec}` (line {line})"
        fix = f"it goes by the name of {other.spec.target} from then on; let it come before, or leave it out"
        yield SpecError(what, where=source.document.place(places[one.id]), fix=fix)
