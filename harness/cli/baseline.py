"""`readiness baseline`: are later runs worse than earlier ones?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import OUT
from harness.compare.baseline import check_comparable, gathered, read_baseline, write_baseline
from harness.errors import SpecError
from harness.evidence.folder import inside
from harness.evidence.redaction import line
from harness.spec.quantity import ratio
from harness.verdict.outcome import Outcome, worst
from harness.verdict.regression import ALPHA, BLOCKS_MIN, Comparison, compared, missing_text, uncompared

BASELINES = Path("reports/baselines")

baseline = typer.Typer(
    help="Save what runs measured, and tell later whether newer ones are worse.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="Of the baseline: lower-case letters, digits and dashes.")]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs' folders, or their ids; five or more.")]


@baseline.command()
def save(
    name: Name,
    runs: Runs,
    out: Annotated[Path | None, typer.Option(help="The file, instead of reports/baselines/NAME.json.")] = None,
) -> None:
    """Keep what five or more runs measured, to compare later ones with.

    Exit codes: 0 saved; 2 too few runs, and nothing is written; 3 evidence is missing, changed or unlike.
    """
    path = _file(name, out)
    found = gathered(_folders(runs))
    for _, why in found.left_out:
        typer.echo(line(why))
    short = {scenario: len(side.blocks) for scenario, side in found.sides.items() if len(side.blocks) < BLOCKS_MIN}
    for scenario, count in short.items():
        typer.echo(f"? inconclusive  {scenario}: {missing_text(count)}")
    if short:
        typer.echo("nothing was saved")
        raise typer.Exit(Outcome.INCONCLUSIVE.exit_code)
    replaced = path.exists()
    write_baseline(path, found.sides)
    held = ", ".join(f"{scenario} ({len(side.blocks)} runs)" for scenario, side in found.sides.items())
    typer.echo(line(f"baseline: {path}{' (replaced)' if replaced else ''}: {held}"))


@baseline.command()
def compare(
    name: Name,
    runs: Runs,
    source: Annotated[
        Path | None, typer.Option("--file", help="The baseline's file, instead of reports/baselines/NAME.json.")
    ] = None,
    floor: Annotated[str, typer.Option(help="The least shift that matters, of the baseline's median.")] = "5%",
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if something is worse, instead of warning.")] = False,
) -> None:
    """Tell whether five or more later runs are worse than a baseline.

    Exit codes: 0 no worse, or worse and only warned of; 1 worse, with --strict; 2 it cannot be told; 3 not comparable.
    """
    path, floor_ratio = _file(name, source), _floor_ratio(floor)
    known, later = read_baseline(path), gathered(_folders(runs))
    check_comparable(known, later, where=str(path))
    rows = [uncompared(scenario, why) for scenario, why in later.left_out]
    rows += [
        row
        for scenario in {**known.scenarios, **later.sides}
        for row in compared(
            scenario,
            known.scenarios[scenario].blocks if scenario in known.scenarios else (),
            later.sides[scenario].blocks if scenario in later.sides else (),
            floor_ratio=floor_ratio,
        )
    ]
    for row in rows:
        typer.echo(line(f"{row.scenario}: {row.sentence}"))
    raise typer.Exit(_concluded(rows, strict=strict))


def _concluded(rows: list[Comparison], *, strict: bool) -> int:
    """Say what all comparisons together mean, and return the exit code."""
    counts = {outcome: sum(row.outcome is outcome for row in rows) for outcome in Outcome}
    tested = sum(row.p is not None for row in rows)
    said = {Outcome.FAIL: "worse", Outcome.PASS: "no worse", Outcome.INCONCLUSIVE: "not to be told"}
    by_chance = (
        f"; were nothing changed, chance would call {tested * ALPHA / 2:.1f} of {tested} worse at most, on average"
    )
    typer.echo(
        ", ".join(f"{counts[outcome]} {words}" for outcome, words in said.items()) + (by_chance if tested else "")
    )
    if strict or not counts[Outcome.FAIL]:
        return worst(row.outcome for row in rows).exit_code
    typer.echo("warning: worse than the baseline; with --strict this would exit 1")
    return worst([Outcome.PASS, *(row.outcome for row in rows if row.outcome is not Outcome.FAIL)]).exit_code


def _file(name: str, chosen: Path | None) -> Path:
    place = inside(BASELINES, name)
    return chosen or place.with_name(f"{name}.json")


def _folders(runs: list[Path]) -> list[Path]:
    return [run if run.is_dir() else OUT / run for run in runs]


def _floor_ratio(text: str) -> float:
    try:
        return ratio(text)
    except ValueError as error:
        raise SpecError(str(error), where="--floor", fix="write a percentage, such as 5%") from error
