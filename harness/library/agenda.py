"""What each profile would run, and for how long: known before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.spec.scenario import Scenario
    from harness.spec.system import Profile

NOT_RUN = "–"


@dataclass(frozen=True, slots=True)
class Lasting:
    """How long a scenario's load lasts in one profile, seconds.

    Attributes:
        least_s: As it is laid out.
        most_s: If every phase goes on while its promises are open.
    """

    least_s: float
    most_s: float

    def __str__(self) -> str:
        return _time(self.least_s) if self.most_s == self.least_s else f"{_time(self.least_s)} to {_time(self.most_s)}"


def lasting(scenario: Scenario, profile: Profile) -> Lasting | None:
    """Return how long a scenario lasts in a profile; None if it is of another tier."""
    if scenario.tier not in profile.tiers:
        return None
    whole = scenario.stretched(profile.stretch).extending(profile.extends_to)
    return Lasting(whole.lasts_s, whole.lasts_s * whole.extends_to)


def agenda(scenarios: Sequence[Scenario], profiles: Mapping[str, Profile]) -> Iterator[tuple[str, ...]]:
    """Return a table: a row of names, one for each scenario, and one of sums."""
    yield ("scenario", "tier", *profiles)
    every = {name: [lasting(scenario, profile) for scenario in scenarios] for name, profile in profiles.items()}
    for index, scenario in enumerate(scenarios):
        yield (scenario.scenario, scenario.tier, *(str(lasts[index] or NOT_RUN) for lasts in every.values()))
    yield ("all", "", *map(_all, every.values()))


def _all(lasts: Sequence[Lasting | None]) -> str:
    run = [each for each in lasts if each]
    whole = Lasting(sum(each.least_s for each in run), sum(each.most_s for each in run))
    return f"{len(run)} in {whole}" if run else NOT_RUN


def _time(seconds: float) -> str:
    """Say `56 s`, `4 min 40 s`, `1 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(whole / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
