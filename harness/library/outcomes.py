"""What each scenario was last measured to be, in one small file beside the scenarios, so that a page can tell it.

Its numbers are those of the evidence, word for word; the file is written by `readiness catalogue --from`, and its
later entries are those of later runs.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from harness.errors import SpecError
from harness.evidence.bundle import check_unchanged, experiments_in
from harness.evidence.experiment import read_experiment
from harness.evidence.redaction import line
from harness.library.files import SCENARIOS_FOLDER
from harness.spec.model import Model
from harness.spec.phase import Slug
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from harness.evidence.experiment import Experiment

OUTCOMES_FILE = f"{SCENARIOS_FOLDER}/outcomes.json"

Sentence = Annotated[str, Field(max_length=2000)]


class Measured(Model):
    """How a scenario ended when it was last run.

    Attributes:
        at: When that began, ISO 8601 in UTC.
        commit: Of the project, as whoever noted it said; empty if nobody did.
        profile: Of readiness.toml; None in evidence of schema 1, which did not say.
        outcome: The verdict's word.
        claims: What was found of each promise, a sentence with its numbers each.
        unmet: The obligations that were not met, which say why it proved nothing.
    """

    at: AwareDatetime
    commit: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]{0,80}$")]
    profile: str | None
    outcome: Outcome
    claims: tuple[Sentence, ...]
    unmet: tuple[Sentence, ...] = ()


_FILE = TypeAdapter(dict[Slug, Measured])


def read_outcomes(project: Path) -> dict[str, Measured]:
    """Return what was noted of the project's scenarios, by name; nothing where nothing was.

    Raises:
        SpecError: If the file is not of this kind.
    """
    path = project / OUTCOMES_FILE
    if not path.is_file():
        return {}
    try:
        return _FILE.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{path}: {'.'.join(map(str, first['loc']))}"
        fix = "write it anew: readiness catalogue --from reports/runs/ID"
        raise SpecError(first["msg"], where=where, fix=fix) from error


def outcomes_text(outcomes: Mapping[str, Measured]) -> str:
    """Return the file, in the order of names."""
    data = {name: each.model_dump(mode="json") for name, each in sorted(outcomes.items())}
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def measured_in(runs: Iterable[Path], commit: str) -> dict[str, Measured]:
    """Return what the experiments of some runs came to; of several of one scenario the one that began last.

    Args:
        runs: Their folders, or an experiment's.
        commit: Of the project when they were run; evidence does not say.

    Raises:
        ReportError: If evidence is not whole, or was changed.
        SpecError: If a run was of a seeded defect: that is no outcome of the service.
    """
    found: dict[str, Measured] = {}
    for folder in (place for run in runs for place in experiments_in(run)):
        check_unchanged(folder)
        experiment = read_experiment(folder)[0]
        if experiment.history.defect:
            what = f"the run was of the seeded defect {experiment.history.defect}, and not of the service"
            raise SpecError(what, where=str(folder), fix="name runs without --defect")
        found = newer(found, {experiment.scenario.scenario: _measured(experiment, commit)})
    return found


def newer(one: Mapping[str, Measured], other: Mapping[str, Measured]) -> dict[str, Measured]:
    """Return both together; of a scenario that both have, the one that began later, the other's if at one time."""
    kept = {name: each for name, each in one.items() if name not in other or each.at > other[name].at}
    return {**other, **kept}


def _measured(experiment: Experiment, commit: str) -> Measured:
    verdict, history = experiment.verdict, experiment.history
    unmet = [each for each in verdict.obligations if each.outcome is not Outcome.PASS]
    return Measured(
        at=datetime.fromisoformat(history.began_at),
        commit=commit,
        profile=history.profile,
        outcome=verdict.outcome,
        claims=tuple(line(claim.sentence) for claim in verdict.claims),
        unmet=tuple(line(f"{each.name}: {each.sentence}") for each in unmet),
    )
