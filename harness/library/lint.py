"""Every mistake of every scenario file at once, those that only several files together show included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import MultipleSpecError, SpecError
from harness.library.locustfiles import mistakes_in_locustfile
from harness.options import settings_of
from harness.plan import mistakes_in, read_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.plan import ScenarioSource
    from harness.spec.system import Settings


@dataclass(frozen=True, slots=True)
class Linted:
    """What was found.

    Attributes:
        mistakes: All of them, file by file.
        sources: The files that could be read, in order.
    """

    mistakes: tuple[SpecError, ...]
    sources: tuple[ScenarioSource, ...]


def linted(files: Sequence[Path], project: Path, *, beside: Path | None = None) -> Linted:
    """Read scenario files, and readiness.toml of the project's folder, and tell everything that is wrong in them.

    Where readiness.toml is wrong itself, what hangs on it (targets, defects, what a profile can prove) is not looked
    at: most of it would only follow from that. A compose file is looked for `beside` it, where that is another folder.
    """
    settings, mistakes = _settings(project, beside or project)
    sources: list[ScenarioSource] = []
    for file in files:
        try:
            source = read_source(file)
        except SpecError as error:
            mistakes += _each(error)
            continue
        mistakes += _named_twice(source, sources)
        mistakes += mistakes_in_locustfile(source, project)
        mistakes += _in_every_profile(source, settings) if settings else []
        sources.append(source)
    return Linted(tuple(mistakes), tuple(sources))


def _settings(project: Path, beside: Path) -> tuple[Settings | None, list[SpecError]]:
    try:
        return settings_of(project, beside=beside), []
    except SpecError as error:
        return None, list(_each(error))


def _each(error: SpecError) -> Iterator[SpecError]:
    yield from error.mistakes if isinstance(error, MultipleSpecError) else (error,)


def _named_twice(source: ScenarioSource, others: Sequence[ScenarioSource]) -> Iterator[SpecError]:
    for other in others:
        if other.scenario.scenario == source.scenario.scenario:
            what = f"the scenario {other.scenario.scenario!r} is there twice: {other.document.place(('scenario',))}"
            fix = "give one of them another name: it also names its folder in a run"
            yield SpecError(what, where=source.document.place(("scenario",)), fix=fix)


def _in_every_profile(source: ScenarioSource, settings: Settings) -> list[SpecError]:
    """Return what is wrong in the profiles that take a scenario; where only in some of them, with their names."""
    taking = [name for name, profile in settings.profiles.items() if source.scenario.tier in profile.tiers]
    profiles = taking or list(settings.profiles)  # one that none takes can be asked for by its name
    found: dict[tuple[str, str, str], list[str]] = {}
    for name in profiles:
        for mistake in mistakes_in(source, settings, name):
            found.setdefault((mistake.where, mistake.what, mistake.fix), []).append(name)
    return [
        SpecError(what if names == profiles else f"{what} (profile {', '.join(names)})", where=where, fix=fix)
        for (where, what, fix), names in found.items()
    ]
