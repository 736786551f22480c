"""`readiness import`: an experiment of Chaos Toolkit as a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import write_new
from harness.errors import SpecError, all_of
from harness.exchange.experiment import read_experiment
from harness.exchange.node import read_document
from harness.exchange.scenario import ARRIVALS_PER_S, scenario_text
from harness.options import settings_of
from harness.plan import mistakes_in, source_of
from harness.spec.faults import Down
from harness.stack.blueprint import targets_of

PROFILE = "quick"
"""What a scenario must be able to prove in; a profile that lasts longer proves more."""


def import_(
    file: Annotated[Path, typer.Argument(help="The experiment: JSON or YAML.")],
    to: Annotated[Path | None, typer.Option(help="The scenario's file; without it the scenario is printed.")] = None,
    proxy: Annotated[
        list[str] | None, typer.Option(metavar="NAME=TARGET", help="What a proxy of the experiment is called here.")
    ] = None,
    arrivals_per_s: Annotated[float, typer.Option(min=0.1, help="The load, which an experiment does not know.")] = (
        ARRIVALS_PER_S
    ),
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace the scenario's file if it is there.")] = False,
) -> None:
    """Read a Chaos Toolkit experiment as a scenario; nothing of it is run. See docs/exchange.md.

    What does not mean the same here is refused by name, all of it at once, with exit code 3, and nothing is written.

    Example:
      readiness import experiment.json --to scenarios/redis/slow.yaml --proxy cache=redis
    """
    settings = settings_of(Path.cwd())
    known = targets_of(Down(kind="down", target="any"), settings.system)
    experiment = read_experiment(read_document(file), _targets(proxy or []), known)
    text = scenario_text(experiment, arrivals_per_s=arrivals_per_s)
    place = to or Path(f"the scenario of {file}")
    profile = PROFILE if PROFILE in settings.profiles else next(iter(settings.profiles))
    mistakes = list(mistakes_in(source_of(text, place), settings, profile))
    if mistakes:
        raise all_of(mistakes)
    if to is None:
        typer.echo(text, nl=False)
    else:
        write_new(to, text, force=force)
        typer.echo(
            f"scenario: {to}; `readiness run {to} --collect-only` reads it, and its comments say what was assumed"
        )


def _targets(pairs: list[str]) -> dict[str, str]:
    """Return what proxies are called here.

    Raises:
        SpecError: If a pair is none.
    """
    split = [pair.partition("=") for pair in pairs]
    for name, sign, target in split:
        if not (name and sign and target):
            raise SpecError(f"{name!r} is not said to be anything", where="--proxy", fix="such as --proxy cache=redis")
    return {name: target for name, _, target in split}
