"""What changed between two runs: settings, versions, promises, verdicts, and what was measured. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import ReportError
from harness.report.formatting import bounds_of, estimate_of
from harness.verdict.outcome import Outcome, worst

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.evidence.experiment import Experiment
    from harness.verdict.outcome import Claim

RUN_ONLY = {"run_id", "began_at"}
"""What is never the same, and says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is not the same.

    Attributes:
        scenario: Where.
        what: A key path, or a promise with its phase.
        before: What it is in the first run; None if it is not there.
        after: What it is in the second one.
    """

    scenario: str
    what: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Everything that changed.

    Attributes:
        outcomes: The two runs', over the scenarios that both have.
        settings: How they were made: scenario, system, versions, machine.
        verdicts: What they mean, one for each scenario or promise whose outcome is another.
        estimates: What was measured for the promises that both made, whether or not their outcome is another.
    """

    outcomes: tuple[Outcome, Outcome]
    settings: tuple[Change, ...]
    verdicts: tuple[Change, ...]
    estimates: tuple[Change, ...]

    @property
    def is_worse(self) -> bool:
        """Tell whether the second run is worse, as a whole, in a scenario, or in a promise."""
        return any(_rank(change.after) > _rank(change.before) for change in self.verdicts)


def difference(
    before: Sequence[tuple[Experiment, Mapping[str, Any]]], after: Sequence[tuple[Experiment, Mapping[str, Any]]]
) -> Difference:
    """Compare two runs.

    Args:
        before: The first run's experiments, each with what its `system.json` says.
        after: The second run's.

    Raises:
        ReportError: If they have no scenario in common: then nothing got worse, and nothing is known.
    """
    old, new = ({each.scenario.scenario: (each, system) for each, system in run} for run in (before, after))
    both = [name for name in old if name in new]
    if not both:
        what = f"the runs have no scenario in common: {', '.join(old)} and {', '.join(new)}"
        raise ReportError(what, where="the two runs", fix="compare runs of the same scenarios")
    there = [_there(name, name in old, name in new) for name in sorted({*old, *new}) if name not in both]
    outcomes = tuple(worst(run[name][0].verdict.outcome for name in both) for run in (old, new))
    return Difference(
        outcomes=(outcomes[0], outcomes[1]),
        settings=(*there, *(change for name in both for change in _settings(name, old[name], new[name]))),
        verdicts=tuple(change for name in both for change in _verdicts(name, old[name][0], new[name][0])),
        estimates=tuple(change for name in both for change in _estimates(name, old[name][0], new[name][0])),
    )


def _there(name: str, is_old: bool, is_new: bool) -> Change:  # noqa: FBT001 - two sides of one question
    return Change(
        scenario=name, what="scenario", before="was run" if is_old else None, after="was run" if is_new else None
    )


def _settings(
    name: str, old: tuple[Experiment, Mapping[str, Any]], new: tuple[Experiment, Mapping[str, Any]]
) -> Iterator[Change]:
    for title, before, after in (
        ("scenario", old[0].scenario.model_dump(mode="json"), new[0].scenario.model_dump(mode="json")),
        ("system", old[1], new[1]),
        ("confidence", old[0].verdict.confidence, new[0].verdict.confidence),
    ):
        flat_before, flat_after = dict(_flat(title, before)), dict(_flat(title, after))
        for path in dict.fromkeys([*flat_before, *flat_after]):
            if flat_before.get(path) != flat_after.get(path) and path.rpartition(".")[2] not in RUN_ONLY:
                yield Change(scenario=name, what=path, before=flat_before.get(path), after=flat_after.get(path))


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Return every leaf with its path: `scenario.phases[1].lasts`."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(f"{path}.{key}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _flat(f"{path}[{index}]", item)
    else:
        yield path, str(value)


def _verdicts(name: str, old: Experiment, new: Experiment) -> Iterator[Change]:
    if old.verdict.outcome is not new.verdict.outcome:
        before, after = str(old.verdict.outcome), str(new.verdict.outcome)
        yield Change(scenario=name, what="verdict", before=before, after=after)
    met = [{item.name: item.outcome for item in each.verdict.obligations} for each in (old, new)]
    claimed = [{_title(claim): claim.outcome for claim in each.verdict.claims} for each in (old, new)]
    for was, now in (met, claimed):
        for title in dict.fromkeys([*was, *now]):
            if was.get(title) is not now.get(title):
                yield Change(scenario=name, what=title, before=was.get(title), after=now.get(title))


def _estimates(name: str, old: Experiment, new: Experiment) -> Iterator[Change]:
    known = {_title(claim): claim for claim in old.verdict.claims}
    for claim in new.verdict.claims:
        earlier = known.get(_title(claim))
        if earlier is not None and earlier.estimate != claim.estimate:
            yield Change(scenario=name, what=_title(claim), before=_measured(earlier), after=_measured(claim))


def _title(claim: Claim) -> str:
    return f"{claim.objective} during {claim.phase}"


def _measured(claim: Claim) -> str:
    return f"{estimate_of(claim)} ({bounds_of(claim)})" if claim.lower is not None else estimate_of(claim)


def _rank(outcome: str | None) -> int:
    """Return how bad it is; a promise that was not made is neither good nor bad."""
    return [str(each) for each in Outcome].index(outcome) if outcome else -1
