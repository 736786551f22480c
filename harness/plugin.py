"""pytest's door: scenario files are test items, so `-k`, `--collect-only`, JUnit, Allure and IDEs work as everywhere.

A `fail` is a failed assertion, so Allure shows *failed*; `inconclusive` and `error` are other exceptions: *broken*, and
in pytest's own words and its JUnit XML an error, not a failure.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.clock import SystemClock
from harness.drawn import check_drawn
from harness.errors import HarnessError, SpecError, all_of, refusal
from harness.evidence.redaction import line, plain
from harness.library.files import SCENARIO_SUFFIXES, SCENARIOS_FOLDER, is_scenario_file, project_of
from harness.library.locustfiles import mistakes_in_locustfile
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
from harness.plan import Plan, ScenarioSource, plan_of, read_source
from harness.report import attach_experiment
from harness.report.terminal import Progress
from harness.run import Run, opened
from harness.spec.claim import TIERS
from harness.stack.backends.choice import AUTO, BACKEND_VARIABLE, BACKENDS
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from harness.evidence import Experiment
    from harness.spec.system import Settings


class SloViolated(AssertionError):  # noqa: N818 - the verdict's own word is `fail`
    """The judged service broke a promise: the verdict `fail`."""


class InconclusiveVerdict(Exception):  # noqa: N818 - a lack of evidence is not an error
    """The evidence does not suffice: the verdict `inconclusive`."""


class BrokenExperiment(Exception):  # noqa: N818 - the verdict's own word is `error`
    """The experiment itself broke: the verdict `error`."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What `readiness run` knows already; handed on as it is, so that no file is read twice and no flag parsed back.

    A pytest plugin that does nothing but carry it.

    Attributes:
        options: What the caller chose.
        settings: What readiness.toml says.
        sources: The scenario files that were read to find one by its name, by their resolved paths.
    """

    options: Options
    settings: Settings
    sources: Mapping[Path, ScenarioSource] = field(default_factory=dict)

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Leave it where the scenarios look for it."""
        config.stash[INVOCATION] = self


class OpenRun:
    """The run of this pytest session, opened when the first scenario needs it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._closing = ExitStack()
        self.progress = Progress()
        self.run: Run | None = None
        self.family = 0
        self.scenarios: tuple[str, ...] = ()
        self.of_other_tiers: dict[Path, str] = {}
        self._files: dict[str, Path] = {}

    @property
    def left_out(self) -> str:
        """Say which scenarios are not run because of their tier; empty if none is."""
        names = ", ".join(self.of_other_tiers.values())
        return f"not run, being of other tiers: {names} (--tier, or another profile, runs them)" if names else ""

    def take(self, name: str, path: Path) -> None:
        """Note which file a scenario is in; its name also names its folder in the run.

        Raises:
            SpecError: If another file holds a scenario of the same name.
        """
        first = self._files.setdefault(name, path)
        if first != path:
            where, fix = f"{first} and {path}", "give one of them another name: it also names its folder in the run"
            raise SpecError(f"two scenarios are called {name!r}", where=where, fix=fix)

    def get(self) -> Run:
        """Return the run, opening it first if need be."""
        if self.run is None:
            invocation = self._config.stash[INVOCATION]
            self.run = self._closing.enter_context(
                opened(
                    invocation.options,
                    invocation.settings,
                    clock=SystemClock(),
                    listener=self.progress,
                    family=self.family,
                    scenarios=self.scenarios,
                )
            )
        return self.run

    def close(self) -> None:
        """Undo whatever is left, then write the run's own pages."""
        try:
            self._closing.close()
        finally:
            if self.run is not None:
                self.run.write()


OPEN_RUN = pytest.StashKey[OpenRun]()
INVOCATION = pytest.StashKey[Invocation]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `readiness run`, with a prefix so that they clash with no other plugin's."""
    group = parser.getgroup("readiness", "production readiness")
    group.addoption("--readiness-profile", default="quick", help="a profile of readiness.toml (default: quick)")
    backend = os.environ.get(BACKEND_VARIABLE, AUTO)
    group.addoption("--readiness-tier", action="append", help=f"only scenarios of this tier: {', '.join(TIERS)}")
    group.addoption("--readiness-backend", default=backend, help=f"what the stack runs on: {', '.join(BACKENDS)}")
    group.addoption("--readiness-stop-early", action="store_true", help="end a scenario that has failed beyond doubt")
    sharing = {"dest": "readiness_shared_stack", "default": None}
    wanted = "let a scenario begin where another has left its stack clean (default: as the profile says)"
    group.addoption("--readiness-shared-stack", action="store_true", help=wanted, **sharing)
    unwanted = "give each scenario a stack of its own"
    group.addoption("--readiness-no-shared-stack", action="store_false", help=unwanted, **sharing)
    group.addoption("--readiness-wait", default="0s", help="how long another run on this machine is waited for")
    is_beside = bool(os.environ.get(BESIDE_VARIABLE))
    beside = {"action": "store_true", "default": is_beside}
    group.addoption("--readiness-beside", help="measure beside another run on this machine", **beside)
    group.addoption("--readiness-defect", default=None, help="start the subject with this seeded defect")
    group.addoption("--readiness-seed", default=None, type=int, help="of everything random (default: a new one)")
    group.addoption("--readiness-run-id", default=None, help="name of the run's folder (default: a new one)")
    group.addoption("--readiness-out", default="reports/runs", help="folder for the runs' folders")


def pytest_configure(config: pytest.Config) -> None:
    """Keep a place for the run, and say what scenarios are marked with."""
    config.stash[OPEN_RUN] = OpenRun(config)
    config.addinivalue_line(
        "markers", "scenario: a scenario of readiness, which takes a minute; -m 'not scenario' leaves them out"
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScenarioFile | None:
    """Collect YAML files below the folder `scenarios` of a project, and any that is named on the command line."""
    project = project_of(file_path)
    is_projects = project is not None and file_path.is_relative_to(project / SCENARIOS_FOLDER)
    if is_scenario_file(file_path) and (is_projects or parent.session.isinitpath(file_path)):
        return ScenarioFile.from_parent(parent, path=file_path)
    return None


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Say what the tiers left out: a selection that nobody sees would be taken for the whole."""
    left_out = config.stash[OPEN_RUN].left_out
    return [left_out] if left_out else []


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note what is to be run, and count what it claims: the more claims, the more of them look broken by chance."""
    items, place = [item for item in session.items if isinstance(item, ScenarioItem)], session.config.stash[OPEN_RUN]
    place.family = sum(item.plan.claims for item in items)
    place.scenarios = tuple(item.name for item in items)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: every other plugin has seen the report by then
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let only a broken promise be a failure: pytest tells failures from errors by when they happened."""
    report = yield
    if isinstance(item, ScenarioItem) and call.excinfo and not isinstance(call.excinfo.value, SloViolated):
        report.when = "setup"
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close the run, whether the session ended or was interrupted."""
    session.config.stash[OPEN_RUN].close()


class ScenarioFile(pytest.File):
    """A YAML file; it holds one scenario."""

    def collect(self) -> Iterator[ScenarioItem]:
        """Read the file; a mistake in it, or a promise that it cannot prove, is a collection error that says so."""
        _check_runs_alone(self.config)
        invocation = invocation_of(self.config, project_of(self.path) or self.config.rootpath)
        source = invocation.sources.get(self.path.resolve()) or read_source(self.path)
        self.config.stash[OPEN_RUN].take(source.scenario.scenario, self.path)
        options = invocation.options
        if source.scenario.tier not in options.tiers:
            self.config.stash[OPEN_RUN].of_other_tiers[self.path.resolve()] = source.scenario.scenario
            return
        broken = list(mistakes_in_locustfile(source, options.project))
        if broken:
            raise all_of(broken)
        plan = plan_of(source, invocation.settings, profile=options.profile, seed=options.seed)
        check_drawn(plan)
        item = ScenarioItem.from_parent(self, name=plan.name)
        item.plan = plan
        item.add_marker(pytest.mark.scenario)
        if self.config.pluginmanager.hasplugin("timeout"):  # a scenario takes as long as its profile says
            item.add_marker(pytest.mark.timeout(0))
        item.user_properties.append(("story", plan.scenario.story))
        yield item

    def repr_failure(  # type: ignore[override]  # pytest's own Collector takes one argument less than its base
        self, excinfo: pytest.ExceptionInfo[BaseException]
    ) -> Any:
        """Show our errors as sentences, not as tracebacks."""
        return str(excinfo.value) if isinstance(excinfo.value, HarnessError) else super().repr_failure(excinfo)


class ScenarioItem(pytest.Item):
    """One scenario, as a test.

    Attributes:
        plan: What will be run.
    """

    plan: Plan

    def runtest(self) -> None:
        """Run and judge it; anything but a pass is raised."""
        place = self.config.stash[OPEN_RUN]
        experiment = place.get().experiment(self.plan)
        verdict = experiment.verdict
        place.progress.verdict(verdict)
        self.user_properties.append(("verdict", str(verdict.outcome)))
        self.user_properties += [
            (f"{claim.sli} during {claim.phase}", line(claim.sentence)) for claim in verdict.claims
        ]
        attach_experiment(experiment)
        raise_unless_pass(experiment)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Say where this test is, for pytest's own messages."""
        return self.path, 0, f"scenario {self.name}"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show verdicts, our errors and the system's refusals as sentences, not as tracebacks."""
        if isinstance(excinfo.value, OSError):
            return plain(str(refusal(excinfo.value)))
        told = (HarnessError, SloViolated, InconclusiveVerdict, BrokenExperiment)
        return plain(str(excinfo.value)) if isinstance(excinfo.value, told) else super().repr_failure(excinfo, style)


def raise_unless_pass(experiment: Experiment) -> None:
    """Turn a verdict into what pytest and Allure understand.

    Raises:
        SloViolated: For `fail`; its message begins with the kind of what a service did that does not start.
        InconclusiveVerdict: For `inconclusive`; its message begins with INCONCLUSIVE, for Allure's categories.
        BrokenExperiment: For `error`; its message begins with the failure's kind, as in `[not-ready]`, for the same.
    """
    verdict = experiment.verdict
    evidence = f"{verdict.sentence}\n  evidence: {experiment.folder}"
    match verdict.outcome:
        case Outcome.PASS:
            return
        case Outcome.FAIL:
            failures = experiment.history.failures
            raise SloViolated(f"[{failures[0].kind}] {evidence}" if failures else evidence)
        case Outcome.INCONCLUSIVE:
            raise InconclusiveVerdict(f"INCONCLUSIVE: {evidence}")
        case Outcome.ERROR:
            failures = experiment.history.failures
            raise BrokenExperiment(f"[{failures[0].kind}] {evidence}" if failures else evidence)


def invocation_of(config: pytest.Config, project: Path) -> Invocation:
    """Return what this pytest session was asked for; from pytest's own options where the command line is pytest's.

    Args:
        config: Of the session.
        project: The folder of the readiness.toml that a scenario belongs to; one run has one.

    Raises:
        SpecError: If readiness.toml cannot be read, an option is unknown, or the session has another project's
            scenarios already.
    """
    if INVOCATION not in config.stash:
        settings = settings_of(project)
        options = _options(config, settings, project)
        check_options(settings, options)
        config.stash[INVOCATION] = Invocation(options, settings)
    invocation = config.stash[INVOCATION]
    if project.resolve() != invocation.options.project.resolve():
        where, fix = f"{invocation.options.project} and {project}", "run the scenarios of one project at a time"
        raise SpecError("these scenarios are of two projects", where=where, fix=fix)
    return invocation


def _check_runs_alone(config: pytest.Config) -> None:
    """See that pytest runs a scenario once, and no other one beside it.

    Raises:
        SpecError: If it would: two at a time measure each other, and a gate that is asked until it passes proves
            nothing.
    """
    if hasattr(config, "workerinput"):
        what, fix = "pytest-xdist would run scenarios beside each other", "leave out -n, or add -n 0"
        raise SpecError(what, where="-n, in the command or in addopts", fix=fix)
    if getattr(config.option, "reruns", None):
        what, fix = "pytest would run a scenario again until it passes", "leave out --reruns, or add --reruns 0"
        raise SpecError(what, where="--reruns, in the command or in addopts", fix=fix)


def _options(config: pytest.Config, settings: Settings, project: Path) -> Options:
    seed, profile = config.getoption("--readiness-seed"), config.getoption("--readiness-profile")
    asked = config.getoption("--readiness-tier") or []
    files = [argument for argument in config.args if Path(argument.partition("::")[0]).suffix in SCENARIO_SUFFIXES]
    are_named = bool(files or config.getoption("keyword"))
    waits_s = lasting_s("--readiness-wait", config.getoption("--readiness-wait"))
    return Options(
        project=project,
        profile=profile,
        backend=config.getoption("--readiness-backend"),
        defect=config.getoption("--readiness-defect"),
        seed=new_seed() if seed is None else seed,
        out=Path(config.getoption("--readiness-out")),
        run_id=config.getoption("--readiness-run-id") or new_run_id(),
        stops_early=config.getoption("--readiness-stop-early"),
        tiers=tiers_of(settings, profile, asked=asked, are_named=are_named),
        shares_stack=shares_stack(settings, profile, asked=config.getoption("readiness_shared_stack")),
        wait_s=None if config.getoption("--readiness-beside") else waits_s,
    )
