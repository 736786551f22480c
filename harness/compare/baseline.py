"""Baselines: what a scenario's earlier runs measured, in one small file that is committed beside the code."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from harness.errors import ReportError
from harness.evidence.bundle import verified_run
from harness.evidence.documents import json_text, read_json
from harness.evidence.experiment import read_experiment
from harness.evidence.folder import write_file
from harness.evidence.redaction import NO_SECRETS
from harness.layout import SYSTEM_FILE
from harness.measure.quantities import Block, figures
from harness.spec.model import Model
from harness.spec.phase import Slug
from harness.verdict.outcome import Outcome
from harness.verdict.regression import first_difference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from harness.evidence.experiment import Experiment
    from harness.verdict.outcome import Verdict

FORMAT = 1
_TOLD_ONLY = {"scenario", "story", "tier", "catches", "answers"}
"""Keys of a scenario that change nothing about what is measured."""

_MACHINE = ("architecture", "processor", "cores", "usable_cores")
"""What of a machine a figure depends on. An older run does not say all of it, and nothing said equals nothing known."""


def _each_once(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    ids = [block.run_id for block in blocks]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    if twice:
        raise ValueError(f"the run {', '.join(twice)} is there twice, and is one piece of evidence")
    return blocks


class Side(Model):
    """The runs of one scenario under equal settings.

    Attributes:
        settings: What was run, on what, by key; anything but the seed that a figure depends on.
        blocks: One for each run.
    """

    settings: dict[str, Any]
    blocks: Annotated[tuple[Block, ...], AfterValidator(_each_once)]


class Baseline(Model):
    """What a baseline's file holds.

    Attributes:
        format: Of the file.
        harness: Version that wrote it.
        scenarios: Its runs, by scenario.
    """

    format: Literal[1]
    harness: str
    scenarios: Annotated[dict[Slug, Side], Field(min_length=1)]


class Gathered(Model):
    """What was found in runs' folders.

    Attributes:
        sides: The runs that can be compared, by scenario; without a block where all were left out.
        left_out: Runs that measured something else than was planned: the scenario, and a sentence.
    """

    sides: dict[str, Side]
    left_out: tuple[tuple[str, str], ...]


def gathered(folders: Iterable[Path]) -> Gathered:
    """Read runs, having seen that their evidence is unchanged.

    Raises:
        ReportError: If evidence is missing or changed, a run is there twice, or two differ in their settings.
    """
    found: dict[str, Side] = {}
    left_out = []
    for place, verdict in (found for folder in folders for found in verified_run(folder).items()):
        experiment, _ = read_experiment(place)
        unmet = _unmet(verdict)
        if unmet:
            left_out.append((experiment.scenario.scenario, f"{place} is left out: {unmet}"))
        _add(found, experiment, counts=not unmet)
    return Gathered(sides=found, left_out=tuple(left_out))


def _add(found: dict[str, Side], experiment: Experiment, *, counts: bool) -> None:
    name, settings = experiment.scenario.scenario, _settings(experiment)
    side = found.get(name, Side(settings=settings, blocks=()))
    check_alike(name, side.settings, settings, where=str(experiment.folder), among="the other runs")
    history = experiment.history
    if any(block.run_id == history.run_id for block in side.blocks):
        what = f"the run {history.run_id} is there twice, and is one piece of evidence"
        raise ReportError(what, where=str(experiment.folder), fix="name each run once")
    block = Block(
        run_id=history.run_id, began_at=history.began_at, figures=figures(experiment.scenario, experiment.history)
    )
    found[name] = side.model_copy(update={"blocks": (*side.blocks, *([block] if counts else []))})


def _unmet(verdict: Verdict) -> str:
    """Return why a run measured something else than was planned; a broken promise is none: it was measured."""
    unmet = (f"{each.name}: {each.sentence}" for each in verdict.obligations if each.outcome is not Outcome.PASS)
    return next(unmet, "")


def _settings(experiment: Experiment) -> dict[str, Any]:
    """Return everything but the seed that the figures depend on and that is no version of the service itself."""
    path = experiment.folder / SYSTEM_FILE
    system = read_json(path)
    machine = system.get("machine")
    if not isinstance(machine, dict):
        raise ReportError("it does not say which machine it is", where=f"{path}: machine", fix="run the scenario anew")
    told = {name: system.get(name) for name in ("profile", "backend", "defect")}
    scenario = experiment.scenario.model_dump(mode="json", exclude=_TOLD_ONLY)
    return {**scenario, **told, "machine": {name: machine.get(name) for name in _MACHINE}}


def check_alike(scenario: str, expected: Mapping[str, Any], seen: Mapping[str, Any], *, where: str, among: str) -> None:
    """See that runs of a scenario may be compared.

    Args:
        scenario: Its name.
        expected: Settings of the runs it is compared with.
        seen: Its own.
        where: Where it comes from, for the message.
        among: Who the others are, for the message.

    Raises:
        ReportError: If not; it names the first key that differs, with both values.
    """
    difference = first_difference(expected, seen)
    if difference:
        path, theirs, own = difference
        what = f"{path} is {own!r} here and {theirs!r} in {among}: these cannot be compared"
        raise ReportError(what, where=f"{where}: {scenario}", fix="compare runs of equal settings, or save a baseline")


def check_comparable(baseline: Baseline, later: Gathered, *, where: str) -> None:
    """See that later runs may be compared with a baseline, and are not its own.

    Raises:
        ReportError: If nothing, or not the same, was run, or a run is in the baseline itself.
    """
    common = baseline.scenarios.keys() & later.sides.keys()
    if not common:
        what = f"scenario is {_listed(later.sides)} here and {_listed(baseline.scenarios)} in the baseline"
        raise ReportError(what, where=where, fix="compare runs of a scenario that the baseline holds")
    for name in sorted(common):
        known, side = baseline.scenarios[name], later.sides[name]
        check_alike(name, known.settings, side.settings, where=where, among="the baseline")
        own = {block.run_id for block in known.blocks} & {block.run_id for block in side.blocks}
        if own:
            what = f"the run {_listed(own)} is part of the baseline itself, and would find itself unchanged"
            raise ReportError(what, where=f"{where}: {name}", fix="compare runs that the baseline does not hold")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def write_baseline(path: Path, sides: Mapping[str, Side]) -> None:
    """Write a baseline, whole or not at all; it is made of evidence, which holds no secrets.

    Raises:
        ReportError: If it cannot be written.
    """
    data = {
        "format": FORMAT,
        "harness": version("readiness-harness"),
        "scenarios": {name: side.model_dump(mode="json") for name, side in sides.items()},
    }
    write_file(path, json_text(data), NO_SECRETS)


def read_baseline(path: Path) -> Baseline:
    """Read what `write_baseline` wrote.

    Raises:
        ReportError: If it is missing or is no baseline; it names the key.
    """
    if not path.is_file():
        fix = f"save one: readiness baseline save {path.stem} RUN…"
        raise ReportError("there is no such baseline", where=str(path), fix=fix)
    try:
        return Baseline.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        what = f"this is no baseline: {first['msg'].removeprefix('Value error, ')}"
        raise ReportError(what, where=f"{path}: {key}", fix="save it again: readiness baseline save") from error
