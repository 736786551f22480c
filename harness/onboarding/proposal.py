"""What a folder tells, put together: one way to start the service, what it depends on, what it is asked.

What was taken from where is said of each, and what could not be known is said as plainly: a proposal is to be read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import SpecError
from harness.onboarding import sources
from harness.onboarding.clue import Needed, Route, Start, Variable
from harness.onboarding.routes import asked_paths, ready_path, routes
from harness.onboarding.variables import EXAMPLES, given_to, needed_by, variables_read

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from harness.onboarding.folder import Folder

ASKED_MAX = 5
"""Paths that are asked for where nobody says which: enough to see the service at work, few enough to read."""

_PROMISES_NOTHING = Route("/", "a guess")


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that a folder tells.

    Attributes:
        name: Of the service, by its folder.
        starts: Ways to start it, the one that says it most exactly first.
        composed: Services of a compose file that could be judged as they are, the likeliest first.
        needs: What it depends on, each kind once.
        ready: The path that tells of readiness, if one is declared.
        asked: Paths that clients may ask for.
        variables: Those that it reads.
    """

    name: str
    starts: tuple[Start, ...]
    needs: tuple[Needed, ...]
    ready: Route | None
    asked: tuple[Route, ...]
    variables: tuple[Variable, ...]
    composed: tuple[Start, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What somebody said, by an option or when asked; None leaves it to what the folder tells.

    Attributes:
        start: How the service is started.
        ready: The path that answers 200 when a replica may get requests.
        needs: Kinds of components that it depends on.
        asked: Paths that it is asked for.
    """

    start: Start | None = None
    ready: str | None = None
    needs: tuple[str, ...] | None = None
    asked: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What readiness.toml and the scenarios are written from.

    Attributes:
        name: Of the service.
        start: How it is started.
        ready: The path that tells of readiness, with what said so.
        components: What it depends on and can be started here, with what said so.
        environment: Its variables, each with what said so.
        asked: The paths that it is asked for.
        unknown: What could not be known, a sentence each.
    """

    name: str
    start: Start
    ready: Route
    components: tuple[Needed, ...]
    environment: Mapping[str, tuple[str, str]]
    asked: tuple[Route, ...]
    unknown: tuple[str, ...]

    @property
    def is_started_here(self) -> bool:
        """Tell whether there are replicas to be hurt, and components."""
        return self.start.kind != "external"


def told_by(folder: Folder) -> Told:
    """Read a folder; nothing in it is run."""
    declared = routes(folder)
    by_name = dict[str, Variable]()
    for variable in (*sources.variables(folder), *variables_read(folder)):
        by_name.setdefault(variable.name, variable)
    read = tuple(by_name.values())
    by_kind = dict[str, Needed]()
    for needed in (*sources.needs(folder), *needed_by(read)):
        by_kind.setdefault(needed.kind, needed)
    return Told(
        name=_slug(folder.path.resolve().name),
        starts=sources.starts(folder),
        needs=tuple(by_kind.values()),
        ready=ready_path(declared),
        asked=asked_paths(declared),
        variables=read,
        composed=sources.composed(folder),
    )


def proposed(told: Told, answers: Answers, known: Collection[str]) -> Proposal:
    """Put together what is proposed.

    Args:
        told: What the folder tells.
        answers: What somebody said, which comes first.
        known: Kinds of components that can be started here.

    Raises:
        SpecError: If nothing says how the service is started, or a component is named that is not known.
    """
    start = answers.start or next(iter((*told.starts, *told.composed)), None)
    if start is None:
        fix = "say so: --app shop.main:app, --wsgi shop.wsgi:app, --command 'node server.js --port {port}', or --url"
        raise SpecError("nothing here says how the service is started", where=told.name, fix=fix)
    needed = told.needs if answers.needs is None else tuple(Needed(kind, "as you said") for kind in answers.needs)
    if answers.needs is not None:
        _check_are_known(answers.needs, known)
    is_started, is_composed = start.kind != "external", start.kind == "service"
    if is_composed:
        needed = start.beside
    components = tuple(each for each in needed if each.kind in known or is_composed) if is_started else ()
    ready = Route(answers.ready, "as you said") if answers.ready else told.ready or _PROMISES_NOTHING
    asked = told.asked if answers.asked is None else tuple(Route(path, "as you said") for path in answers.asked)
    environment = _environment(start, told.variables, {each.kind for each in components})
    return Proposal(
        name=told.name,
        start=start,
        ready=ready,
        components=components,
        environment=environment,
        asked=asked[:ASKED_MAX] or (_PROMISES_NOTHING,),
        unknown=(
            *([] if is_composed else _of_needs(needed, components, is_started=is_started)),
            *([] if is_composed else _of_places(components, environment)),
            *_of_paths(ready, asked),
            *(_of_variables(told.variables, environment) if is_started and not is_composed else ()),
            *([] if is_composed else _of_compose(told.composed)),
        ),
    )


def _check_are_known(kinds: Sequence[str], known: Collection[str]) -> None:
    for kind in kinds:
        if kind not in known:
            fix = f"known: {', '.join(sorted(known))}; anything else is reached as it is, and cannot be hurt"
            raise SpecError(f"no component {kind!r} can be started here", where="--needs", fix=fix)


def _environment(start: Start, read: Sequence[Variable], kinds: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return what the service is told: where to listen if it is a command, and where its components are."""
    if start.kind in {"external", "service"}:
        return {}
    found = {name: (value, start.seen_in) for name, value in start.environment.items()}
    is_told_where = start.kind == "command"
    for variable in read:
        meaning = given_to(variable)
        if meaning and (meaning[0] in kinds or (meaning[0] is None and is_told_where)):
            found[variable.name] = (meaning[1], variable.seen_in)
    return found


def _of_needs(needed: Sequence[Needed], components: Sequence[Needed], *, is_started: bool) -> list[str]:
    if not is_started:
        return ["what it depends on: name its paths in [system.subject.proxies], so that they can be hurt"]
    said = [
        f"how to start {each.kind} ({each.seen_in}): it is reached as it is now, and cannot be hurt"
        for each in needed
        if each not in components
    ]
    return said if needed else [*said, "what it depends on: name it under [system.components]"]


def _of_places(components: Sequence[Needed], environment: Mapping[str, tuple[str, str]]) -> list[str]:
    """Name the components that nothing tells the service of: it would go to another one, or to none."""
    told = " ".join(value for value, _ in environment.values())
    return [
        f"by what it learns where {each.kind} is: give it {{{each.kind}.host}} and {{{each.kind}.port}}"
        for each in components
        if f"{{{each.kind}." not in told
    ]


def _of_paths(ready: Route, asked: Sequence[Route]) -> list[str]:
    said = list[str]()
    if ready is _PROMISES_NOTHING:
        said.append("which path tells that it is ready: GET / is asked, and must answer 200")
    if not asked:
        said.append("what clients ask for: GET / stands in, which proves little")
    elif len(asked) > ASKED_MAX:
        said.append(f"which of its {len(asked)} paths matter: the first {ASKED_MAX} are asked, each as often")
    if any("{key}" in route.path for route in asked[:ASKED_MAX]):
        said.append("which keys are there: 1 to 100 are asked for")
    return said


def _of_variables(read: Sequence[Variable], environment: Mapping[str, tuple[str, str]]) -> list[str]:
    """Name those that an example file has and nothing here gives; what a source reads may have a default."""
    unset = ", ".join(each.name for each in read if each.name not in environment and each.seen_in in EXAMPLES)
    advice = "set it in [system.subject.environment], or name it in `secrets`"
    return [f"what {unset} should be: {advice}"] if unset else []


def _of_compose(services: Sequence[Start]) -> list[str]:
    """Say how a compose file is judged as it is, where it could be."""
    return [
        f"whether {each.compose} is to run as it is, on a Docker engine: `readiness init --service {each.runs}` has it"
        for each in services[:1]
    ]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "service"
