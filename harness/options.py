"""What the caller of a run chose, as one value: the command line and pytest's options both end in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import randbelow, token_hex
from typing import TYPE_CHECKING

from harness.deployment.running import read_running
from harness.errors import SpecError, all_of, nearest
from harness.spec.answers import unanswerable
from harness.spec.bodies import with_bodies
from harness.spec.claim import TIERS
from harness.spec.parser import text_of, validated
from harness.spec.quantity import duration_s
from harness.spec.system import Settings
from harness.spec.toml import read_toml
from harness.stack.backends.choice import AUTO, BACKENDS
from harness.stack.checks import mistakes_in
from harness.stack.wiring import unwired

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from harness.spec.claim import Tier
    from harness.spec.system import System

SETTINGS_FILE = "readiness.toml"

BESIDE_VARIABLE = "READINESS_BESIDE"
"""Where it is set, runs measure beside each other: for whoever tests such runs, several at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller chose.

    Attributes:
        project: The folder that holds readiness.toml.
        profile: A profile of readiness.toml.
        backend: `auto`, `containers` or `embedded`.
        defect: Id of a seeded defect that the subject is started with.
        seed: Of everything random.
        out: Folder for the runs' folders.
        run_id: Of this run; it names the run's folder.
        stops_early: Whether an experiment ends as soon as one of its promises is broken beyond doubt.
        tiers: Of the scenarios that are run, as `tiers_of` chooses them.
        shares_stack: Whether a scenario may begin where another one has left its stack clean.
        wait_s: How long another run on this machine is waited for; None to measure beside it.
    """

    project: Path
    profile: str
    backend: str
    defect: str | None
    seed: int
    out: Path
    run_id: str
    stops_early: bool = False
    tiers: tuple[Tier, ...] = TIERS
    shares_stack: bool = False
    wait_s: float | None = None

    @property
    def folder(self) -> Path:
        """Return the run's own folder."""
        return self.out / self.run_id

    def command(self, scenarios: list[str]) -> str:
        """Return the command that does the same again."""
        defect = f" --defect {self.defect}" if self.defect else ""
        early = " --stop-early" if self.stops_early else ""
        backend = f" --backend {self.backend}" if self.backend != AUTO else ""
        # Said either way, where it makes a difference: a profile may say otherwise by the time that this is repeated.
        shared = f" --{'' if self.shares_stack else 'no-'}shared-stack" if len(scenarios) > 1 else ""
        chosen = f"--profile {self.profile} --seed {self.seed}{backend}{defect}{early}{shared}"
        return f"readiness run {' '.join(scenarios)} {chosen}"


def new_run_id() -> str:
    """Return an id that sorts by time and that no other run has."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{token_hex(2)}"


def new_seed() -> int:
    """Return a new random seed."""
    return randbelow(1 << 31)


def lasting_s(option: str, text: str) -> float:
    """Return the seconds that an option says.

    Raises:
        SpecError: If that is no duration; it names the option.
    """
    try:
        return duration_s(text)
    except ValueError as error:
        raise SpecError(str(error), where=option, fix=f"such as {option} 30s, or {option} 2min") from error


def settings_of(project: Path, *, beside: Path | None = None) -> Settings:
    """Return what readiness.toml in a project's folder says, where all of it can be had; with its compose file, if any.

    Args:
        project: The folder that holds readiness.toml.
        beside: The one that a compose file is looked for from, where it is another.

    Raises:
        SpecError: If it cannot be read or understood, names a component or placeholder that there is none of, or
            promises what no answer could tell; it tells every such mistake with its line.
    """
    path = project / SETTINGS_FILE
    if not path.is_file():
        fix = "`readiness init` writes one for this project; or run where it lies"
        raise SpecError(f"there is no {SETTINGS_FILE} here", where=str(path), fix=fix)
    document = read_toml(text_of(path), name=str(path))
    settings, unread = with_bodies(validated(Settings, document), document, project)
    system = settings.system
    untold = unanswerable(settings.objectives, system.headers, system.requests, document)
    mistakes = [*mistakes_in(system, document, project), *unread, *untold]
    if mistakes:
        raise all_of(mistakes)
    return settings.model_copy(update={"system": composed(settings.system, beside or project, os.environ)})


def composed(system: System, project: Path, environment: Mapping[str, str]) -> System:
    """Return a system with what its compose files say; the same where it has none.

    Args:
        system: As readiness.toml describes it.
        project: The folder that holds readiness.toml.
        environment: What variables are filled in from.

    Raises:
        SpecError: If they cannot be read or understood, or say what cannot be honoured; it tells every such place.
    """
    if not system.compose_files:
        return system
    judged = str(system.subject.service)
    found = read_running(project, system.compose_files, environment, judged=judged, profiles=system.compose_profiles)
    whole = system.with_composed(found)
    mistakes = list(unwired(whole, found))
    if mistakes:
        raise all_of(mistakes)
    return whole


def check_options(settings: Settings, options: Options) -> None:
    """See that the backend is one of ours, and that readiness.toml knows the profile and the defect.

    Raises:
        SpecError: If not; it lists what is known.
    """
    check_profile(settings, options.profile)
    if options.backend not in BACKENDS:
        raise _unknown("backend", options.backend, BACKENDS)
    if options.defect is not None and options.defect not in settings.system.subject.defects:
        raise _unknown("defect", options.defect, settings.system.subject.defects)


def check_profile(settings: Settings, profile: str) -> None:
    """See that readiness.toml knows a profile.

    Raises:
        SpecError: If not; it lists what is known.
    """
    if profile not in settings.profiles:
        raise _unknown("profile", profile, settings.profiles)


def tiers_of(settings: Settings, profile: str, *, asked: Sequence[str], are_named: bool) -> tuple[Tier, ...]:
    """Return the tiers of the scenarios that are to be run, in order.

    A scenario that somebody names is run whatever the profile: a gate that answers `nothing to do` to a name would be
    taken for a pass.

    Args:
        settings: What readiness.toml says.
        profile: The profile that was asked for, one of readiness.toml or not.
        asked: The tiers that were asked for, if any were.
        are_named: Whether scenarios were named, or chosen by a word in their names.

    Raises:
        SpecError: If there is no such tier.
    """
    for word in asked:
        if word not in TIERS:
            raise SpecError(f"unknown tier {word!r}", where="--tier", fix=nearest(word, TIERS))
    if asked:
        return tuple(tier for tier in TIERS if tier in asked)
    if are_named or profile not in settings.profiles:
        return TIERS
    return tuple(tier for tier in TIERS if tier in settings.profiles[profile].tiers)


def shares_stack(settings: Settings, profile: str, *, asked: bool | None) -> bool:
    """Tell whether scenarios may share a stack: as was asked, or as the profile says; an unknown one says no."""
    if asked is not None:
        return asked
    return profile in settings.profiles and settings.profiles[profile].shared_stack


def _unknown(kind: str, word: str, known: Iterable[str]) -> SpecError:
    return SpecError(f"unknown {kind} {word!r}", where=SETTINGS_FILE, fix=nearest(word, list(known)))
