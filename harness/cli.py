"""`readiness`: run scenarios, heal what a killed run left, rebuild reports, put load on an address.

Exit codes: 0 pass, 1 fail, 2 inconclusive, 3 error (of the harness, or of how it was called); 130 and 143 after a
signal, with everything healed and stopped.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pytest
import typer
from typer.exceptions import TyperException

from harness import plugin
from harness.clock import SystemClock
from harness.errors import HarnessError, Interrupted, SpecError
from harness.faults.healing import heal as heal_page
from harness.faults.ledger import FILE_NAME, close_page, read_ledger
from harness.load.engine import LoadPlan, pressing
from harness.measure.series import percentile_s
from harness.report import build_allure_report, rebuild, write_allure_context
from harness.report.terminal import Progress, verdict_table
from harness.run import SETTINGS_FILE, Options, check_options, make_folder, new_run_id, new_seed
from harness.spec.load import Load
from harness.spec.parser import nearest, read_scenario, read_settings
from harness.spec.quantity import duration_s
from harness.verdict.outcome import Outcome, worst

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.run import Run

app = typer.Typer(
    name="readiness",
    help="Will it hold? Start a service with its real dependencies, press it, break it, and judge what was seen.",
    epilog="Exit codes: 0 pass, 1 fail, 2 inconclusive, 3 error, 130/143 after a signal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Out = Annotated[Path, typer.Option("--out", help="Folder for the runs' folders.")]


@app.command()
def run(
    scenarios: Annotated[list[str] | None, typer.Argument(help="Names or files; all of scenarios/ if none.")] = None,
    profile: Annotated[str, typer.Option(help="How long: a profile of readiness.toml (quick, full, soak).")] = "quick",
    backend: Annotated[str, typer.Option(help="What the stack runs on: auto or embedded.")] = "auto",
    defect: Annotated[str | None, typer.Option(help="Start the service with this seeded defect.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of everything random; printed, so that a run can be repeated.")
    ] = None,
    out: Out = Path("reports/runs"),
    keyword: Annotated[str | None, typer.Option("-k", help="Only scenarios that match, as in pytest -k.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML here.")] = None,
    *,
    collect_only: Annotated[bool, typer.Option("--collect-only", help="Only list the scenarios.")] = False,
    allure: Annotated[bool, typer.Option(help="Build the Allure page at the end.")] = True,
) -> None:
    """Run scenarios and judge them.

    Examples:
      readiness run                                        every scenario, about four minutes
      readiness run redis-latency --seed 7                 one, repeatable
      readiness run redis-latency --defect redis-no-timeout    see the gate catch a broken service
    """
    options = Options(
        project=Path.cwd(),
        profile=profile,
        backend=backend,
        defect=defect,
        seed=new_seed() if seed is None else seed,
        out=out,
        run_id=new_run_id(),
    )
    check_options(read_settings(options.project / SETTINGS_FILE), options)
    files = [str(path) for path in chosen(scenarios or [], options.project)]
    arguments = [*files, *_pytest_arguments(options)]
    arguments += ["-k", keyword] if keyword else []
    arguments += [f"--junitxml={junit}"] if junit else []
    if collect_only:
        raise typer.Exit(_listed(arguments))
    make_folder(options.folder)
    raise typer.Exit(_run_and_report(arguments, options, builds_allure=allure))


def chosen(names: list[str], project: Path) -> list[Path]:
    """Find the files of the scenarios that `names` name, by path or by scenario name; all of them for no names.

    Raises:
        SpecError: If one is not there, or a scenario file cannot be read.
    """
    files = sorted((project / plugin.SCENARIOS_FOLDER).rglob("*.yaml"))
    if not names:
        return files or [project / plugin.SCENARIOS_FOLDER]
    return [Path(name) if Path(name).is_file() else _by_name(name, files) for name in names]


def _by_name(name: str, files: list[Path]) -> Path:
    known = {read_scenario(path).scenario: path for path in files}
    if name not in known:
        raise SpecError(
            f"unknown scenario {name!r}", where=f"{plugin.SCENARIOS_FOLDER}/", mend=nearest(name, list(known))
        )
    return known[name]


def _pytest_arguments(options: Options) -> list[str]:
    return [
        f"--rootdir={options.project}",
        *("-p", "no:locust"),  # locust's own plugin patches sockets in mid-run
        f"--readiness-profile={options.profile}",
        f"--readiness-backend={options.backend}",
        f"--readiness-seed={options.seed}",
        f"--readiness-out={options.out}",
        f"--readiness-run-id={options.run_id}",
        *([f"--readiness-defect={options.defect}"] if options.defect else []),
    ]


def _listed(arguments: list[str]) -> int:
    status = pytest.main([*arguments, "--collect-only", "-q"], plugins=[plugin])
    return 0 if status is pytest.ExitCode.OK else Outcome.ERROR.exit_code


@dataclass
class Watcher:
    """A pytest plugin for `readiness run`: our own terminal instead of pytest's, and everything that went wrong."""

    troubles: list[str] = field(default_factory=list)
    signal: Interrupted | None = None
    run: Run | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Silence pytest's terminal; a table of verdicts says more than dots."""
        config.pluginmanager.unregister(name="terminalreporter")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what could not be collected."""
        if report.failed:
            self.troubles.append(str(report.longrepr))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what failed without a verdict."""
        has_verdict = any(name == "verdict" for name, _ in report.user_properties)
        if report.failed and not has_verdict:
            self.troubles.append(str(report.longrepr))

    def pytest_internalerror(self, excrepr: object) -> None:
        """Keep what broke pytest."""
        self.troubles.append(str(excrepr))

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember which signal it was."""
        if isinstance(excinfo.value, Interrupted):
            self.signal = excinfo.value

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Remember the run, which is closed by now."""
        self.run = session.config.stash[plugin.OPEN_RUN].run

    @property
    def exit_code(self) -> int:
        """Return what the process should say: a signal, else the worst of everything."""
        if self.signal is not None:
            return self.signal.exit_code
        outcomes = [experiment.verdict.outcome for experiment in self.run.experiments] if self.run else []
        return worst([*outcomes, *(Outcome.ERROR for _ in self.troubles)]).exit_code


def _run_and_report(arguments: list[str], options: Options, *, builds_allure: bool) -> int:
    """Let pytest run the scenarios, then say what came of it and where the evidence is."""
    watcher = Watcher()
    results = options.folder / "allure-results"
    with interruptible():
        pytest.main([*arguments, "-s", f"--alluredir={results}"], plugins=[plugin, watcher])
    for trouble in watcher.troubles:
        typer.echo(trouble, err=True)
    if watcher.run is None:
        shutil.rmtree(options.folder, ignore_errors=True)  # nothing was seen; an empty folder would look like evidence
        return watcher.exit_code
    if watcher.signal is not None:
        typer.echo(f"{watcher.signal.signal.name}: healed and stopped; what was seen: {options.folder}", err=True)
        return watcher.exit_code
    experiments = watcher.run.experiments
    if not experiments:
        return watcher.exit_code
    write_allure_context(results, experiments)
    page = build_allure_report(results, options.folder / "allure") if builds_allure else "not asked for"
    watcher.run.write()  # once more: it links to Allure's page
    verdict_table([experiment.verdict for experiment in experiments], str(options.folder / "index.html"))
    typer.echo(f"allure: {page}")
    return watcher.exit_code


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into `Interrupted`; later ones must not cut the healing short."""

    def interrupt(number: int, frame: object) -> None:  # noqa: ARG001 - the signature that `signal` calls
        for each in numbers:
            signal.signal(each, _say_healing)
        raise Interrupted(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_healing(number: int, frame: object) -> None:  # noqa: ARG001 - the signature that `signal` calls
    sys.stderr.write("healing; a moment\n")


@app.command()
def heal(out: Out = Path("reports/runs")) -> None:
    """Undo what killed runs left: faults, processes, folders. Harmless if there is nothing."""
    found = 0
    for path in sorted(out.glob(f"*/{FILE_NAME}")):
        page = read_ledger(path)
        if page.is_closed or page.is_running():
            continue
        for line in heal_page(page):
            found += 1
            typer.echo(f"{page.run_id}: {line}")
        close_page(page)
    typer.echo(f"undone: {found}" if found else "nothing to undo")


@app.command()
def report(folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or its id.")]) -> None:
    """Write a finished run's pages again, from its evidence."""
    place = folder if folder.is_dir() else Path("reports/runs") / folder
    for line in rebuild(place):
        typer.echo(line)


@app.command()
def load(
    url: Annotated[str, typer.Argument(help="Base URL; on this machine, unless --allow-remote.")],
    rate: Annotated[float, typer.Option(help="Arrivals a second.")] = 100.0,
    lasts: Annotated[str, typer.Option("--for", help="How long: 10s, 2min.")] = "10s",
    seed: Annotated[int | None, typer.Option(help="Of arrivals, keys and operations.")] = None,
    *,
    allow_remote: Annotated[bool, typer.Option(help="Yes, that machine is yours to press.")] = False,
) -> None:
    """Put open-arrival load on an address, and say what came back; judges nothing."""
    plan = LoadPlan(
        base_url=url,
        load=Load(arrivals_per_s=rate),
        lasts_s=duration_s(lasts),
        seed=new_seed() if seed is None else seed,
        allow_remote=allow_remote,
    )
    progress, clock = Progress(), SystemClock()
    with (
        interruptible(),
        tempfile.TemporaryDirectory(prefix="readiness-load-") as folder,
        pressing(plan, folder=Path(folder), clock=clock) as pressure,
    ):
        while (elapsed_s := clock.now() - pressure.begins_s) < plan.lasts_s:
            pressure.check()
            for beat in pressure.beats():
                progress.beat(scenario=url, phase="load", elapsed_s=elapsed_s, total_s=plan.lasts_s, heartbeat=beat)
            clock.sleep(0.1)
        result = pressure.finish()
    p95_s = percentile_s(result.samples.records["latency_s"], 0.95)
    typer.echo(f"{result.tally}; p95 {p95_s * 1000:.1f} ms from the intended start" if p95_s else str(result.tally))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; the process ends with one of our exit codes."""
    try:
        status = app(arguments, standalone_mode=False)
    except HarnessError as error:
        typer.echo(f"error: {error}", err=True)
        status = Outcome.ERROR.exit_code
    except TyperException as error:
        typer.echo(f"error: {error.format_message()}\n  mend:  readiness --help lists what there is", err=True)
        status = Outcome.ERROR.exit_code  # the usual 2 would mean `inconclusive`
    except Interrupted as error:
        status = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        status = 128 + signal.SIGINT
    sys.exit(status)
