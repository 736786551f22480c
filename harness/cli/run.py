"""`readiness run`: it drives pytest over the scenario files, with a terminal and exit codes of its own."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pytest
import typer

from harness import plugin
from harness.cli.options import OUT, Out
from harness.cli.results import Results
from harness.cli.signals import interruptible
from harness.cli.watcher import Watcher
from harness.environment import unset
from harness.errors import SpecError, all_of, nearest
from harness.evidence.folder import EvidenceFolder
from harness.layout import ALLURE_REPORT, ALLURE_RESULTS, PAGE_FILE
from harness.library.agenda import agenda
from harness.library.files import SCENARIOS_FOLDER, scenario_files
from harness.options import (
    BESIDE_VARIABLE,
    Options,
    check_options,
    lasting_s,
    new_run_id,
    new_seed,
    settings_of,
    shares_stack,
    tiers_of,
)
from harness.plan import ScenarioSource, read_source
from harness.report import Progress, build_allure_report, verdict_table, write_allure_context
from harness.report.ctrf import Span
from harness.run import make_folder
from harness.stack.backends.choice import AUTO, BACKEND_VARIABLE
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.spec.system import Settings


_OF_NO_PROJECT = (
    "-c", os.devnull, "--noconftest", "--disable-plugin-autoload", "-p", "no:cacheprovider", "-p", "allure_pytest",
)  # fmt: skip
"""pytest as it comes, with Allure's plugin: a project's own options, plugins and conftest.py are for its tests.

They would measure coverage of a run, repeat it, end it after a minute, or refuse to start without a plugin of theirs.
"""

_OF_NO_USER = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")
"""The same from the environment."""


def run(
    scenarios: Annotated[list[str] | None, typer.Argument(help="Names or files; all of scenarios/ if none.")] = None,
    profile: Annotated[str, typer.Option(help="How long: a profile of readiness.toml (quick, full, soak).")] = "quick",
    backend: Annotated[
        str, typer.Option(envvar=BACKEND_VARIABLE, help="What the stack runs on: auto, containers or embedded.")
    ] = AUTO,
    defect: Annotated[str | None, typer.Option(help="Start the service with this seeded defect.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of everything random; printed, so that a run can be repeated.")
    ] = None,
    out: Out = OUT,
    tier: Annotated[
        list[str] | None, typer.Option(help="Only scenarios of this tier (P0, P1, P2); may be given again.")
    ] = None,
    keyword: Annotated[str | None, typer.Option("-k", help="Only scenarios that match, as in pytest -k.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML here.")] = None,
    ctrf: Annotated[Path | None, typer.Option(help="Also write CTRF JSON here.")] = None,
    run_id: Annotated[
        str | None, typer.Option(help="Name of the run's folder below --out; by default the time and a number.")
    ] = None,
    *,
    shared_stack: Annotated[
        bool | None,
        typer.Option(
            "--shared-stack/--no-shared-stack",
            help="Let a scenario begin where another has left its stack clean (default: as the profile says).",
        ),
    ] = None,
    wait: Annotated[
        str, typer.Option(metavar="DURATION", help="How long another run on this machine is waited for, such as 30min.")
    ] = "0s",
    beside: Annotated[
        bool, typer.Option("--beside", envvar=BESIDE_VARIABLE, help="Measure beside another run on this machine.")
    ] = False,
    stop_early: Annotated[
        bool, typer.Option("--stop-early", help="End a scenario as soon as a promise is broken beyond doubt.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only tell what each profile would run, and for how long.")
    ] = False,
    collect_only: Annotated[bool, typer.Option("--collect-only", help="Only list the scenarios.")] = False,
    allure: Annotated[bool, typer.Option(help="Build the Allure page at the end.")] = True,
) -> None:
    """Run scenarios and judge them.

    Examples:
      readiness run                                        every scenario of the profile's tiers (quick: P0)
      readiness run redis-latency --seed 7                 one, repeatable
      readiness run redis-latency --defect redis-no-timeout    see the gate catch a broken service
    """
    settings = settings_of(Path.cwd())
    if plan:
        raise typer.Exit(_planned(scenarios or [], settings))
    options = Options(
        project=Path.cwd(),
        profile=profile,
        backend=backend,
        defect=defect,
        seed=new_seed() if seed is None else seed,
        out=out,
        run_id=_run_id(run_id, out),
        stops_early=stop_early,
        tiers=tiers_of(settings, profile, asked=tier or [], are_named=bool(scenarios or keyword)),
        shares_stack=shares_stack(settings, profile, asked=shared_stack),
        wait_s=None if beside else lasting_s("--wait", wait),
    )
    check_options(settings, options)
    files, sources = chosen(scenarios or [], options.project)
    invocation = plugin.Invocation(options, settings, sources)
    arguments = [*map(str, files), f"--rootdir={options.project}", *_OF_NO_PROJECT]
    arguments += ["-k", keyword] if keyword else []
    if collect_only:
        raise typer.Exit(_listed(arguments, invocation))
    results = Results(app=settings.system.name, junit=junit, ctrf=ctrf)
    results.check()
    make_folder(options.folder)
    watcher = Watcher(asked_for=() if keyword else tuple(files))
    raise typer.Exit(_run_and_report(arguments, invocation, results, watcher, builds_allure=allure))


def chosen(names: list[str], project: Path) -> tuple[list[Path], dict[Path, ScenarioSource]]:
    """Find the files of the scenarios that `names` name, by path or by scenario name; all of them for no names.

    Returns:
        The files, and what was read to find a name in it, by resolved path: it is not read again.

    Raises:
        SpecError: If one is not there, there is none at all, or a scenario file cannot be read.
    """
    folder = project / SCENARIOS_FOLDER
    files = scenario_files(folder)
    if not (files or names):
        fix = "write one (docs/scenarios.md says how), or run where readiness.toml lies"
        raise SpecError("there is no scenario", where=str(folder), fix=fix)
    if not names:
        return files, {}
    by_path = {name: Path(name) for name in names if Path(name).is_file()}
    needs_names = len(by_path) < len(set(names))
    sources, broken = _read(files) if needs_names else ({}, [])
    found = [
        path for name in names for path in ([by_path[name]] if name in by_path else _by_name(name, sources, broken))
    ]
    return found, sources


def _read(files: Sequence[Path]) -> tuple[dict[Path, ScenarioSource], list[SpecError]]:
    """Read files for their names; what is wrong with one of them is wrong with no other."""
    sources, broken = dict[Path, ScenarioSource](), list[SpecError]()
    for path in files:
        try:
            sources[path.resolve()] = read_source(path)
        except SpecError as error:
            broken.append(error)
    return sources, broken


def _by_name(name: str, sources: Mapping[Path, ScenarioSource], broken: Sequence[SpecError]) -> list[Path]:
    """Find the scenario called so; where two are, both, for the plugin to refuse. It may stand in a broken file."""
    found = [source.path for source in sources.values() if source.scenario.scenario == name]
    if not found and broken:
        raise all_of(broken)
    if not found:
        fix = nearest(name, [source.scenario.scenario for source in sources.values()])
        raise SpecError(f"unknown scenario {name!r}", where=f"{SCENARIOS_FOLDER}/", fix=fix)
    return found


def _planned(names: list[str], settings: Settings) -> int:
    """Tell what each profile would run, and for how long: the load alone, since a start takes what a service takes."""
    files, sources = chosen(names, Path.cwd())
    scenarios = [(sources.get(file.resolve()) or read_source(file)).scenario for file in files]
    rows = list(agenda(scenarios, settings.profiles))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _run_id(asked: str | None, out: Path) -> str:
    """Return the name of the run's folder.

    Raises:
        SpecError: If what was asked for is no name of one, or of one that is there.
    """
    if asked is None:
        return new_run_id()
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", asked):
        fix = "letters, digits, dots and dashes, 100 at most, such as --run-id release-42"
        raise SpecError(f"{asked!r} names no folder", where="--run-id", fix=fix)
    if (out / asked).exists():
        raise SpecError(f"{out / asked} is there already", where="--run-id", fix="say another one: evidence is kept")
    return asked


def _listed(arguments: list[str], invocation: plugin.Invocation) -> int:
    with unset(_OF_NO_USER.__contains__):
        status = pytest.main([*arguments, "--collect-only", "-q"], plugins=[plugin, invocation])
    return 0 if status is pytest.ExitCode.OK else Outcome.ERROR.exit_code


def _run_and_report(
    arguments: list[str],
    invocation: plugin.Invocation,
    results: Results,
    watcher: Watcher,
    *,
    builds_allure: bool,
) -> int:
    """Let pytest run the scenarios, then say what came of it, where the evidence is, and to other machines."""
    began_s, options = time.time(), invocation.options
    # pytest's own XML goes into a file that has no name, and so goes with us, however we end.
    with interruptible() as watcher.interruption, tempfile.TemporaryFile("w+", encoding="utf-8") as xml:
        arguments = [*arguments, "-s", f"--alluredir={options.folder / ALLURE_RESULTS}"]
        arguments += [f"--junitxml=/dev/fd/{xml.fileno()}"] if results.junit else []
        try:
            with unset(_OF_NO_USER.__contains__):
                pytest.main(arguments, plugins=[plugin, invocation, watcher])
            return _reported(watcher, options, builds_allure=builds_allure)
        finally:
            xml.seek(0)
            results.write(watcher, options, xml.read(), Span(began_s, time.time()))


def _reported(watcher: Watcher, options: Options, *, builds_allure: bool) -> int:
    for trouble in watcher.troubles:
        typer.echo(trouble, err=True)
    if watcher.signal is None:
        for each in watcher.never_run:
            typer.echo(f"error: {each.name}: {each.why}", err=True)
    if watcher.run is None:
        shutil.rmtree(options.folder, ignore_errors=True)  # nothing was seen; an empty folder would look like evidence
        if not (watcher.selected or watcher.troubles or watcher.signal):
            fix = "`readiness run --collect-only` lists what there is; --tier and --profile say of which tiers"
            raise SpecError("there is no such scenario", where=f"{SCENARIOS_FOLDER}/, -k and --tier", fix=fix)
        return watcher.exit_code
    if watcher.signal is not None:
        typer.echo(f"{watcher.signal.signal.name}: healed and stopped; what was seen: {options.folder}", err=True)
        return watcher.exit_code
    experiments = watcher.run.experiments
    if not experiments:
        return watcher.exit_code
    verdict_table([experiment.verdict for experiment in experiments], str(options.folder / PAGE_FILE))
    results = options.folder / ALLURE_RESULTS
    write_allure_context(EvidenceFolder(results, watcher.run.folder.secrets), experiments)
    page: object = "not asked for"
    if builds_allure:
        page = build_allure_report(results, options.folder / ALLURE_REPORT, say=Progress().message)
        watcher.run.write()  # once more: it links to Allure's page
    typer.echo(f"allure: {page}")
    return watcher.exit_code
