"""A run: an id, a folder, one ledger with its guardian, and any number of experiments.

Every experiment stands on a stack of its own, so that no scenario inherits what an earlier one broke; or, in a run that
shares stacks, on one that is proven to be as clean as its own would be.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.environment import is_for_libpq, unset
from harness.errors import SpecError, StackError
from harness.evidence import EvidenceFolder, Experiment, Secrets, write_manifest, write_run_manifest
from harness.evidence.documents import never_run
from harness.evidence.redaction import SHORTEST_SECRET
from harness.experiment import RunContext, SharedStack, run_experiment
from harness.faults.guardian import guarded
from harness.faults.healing import check_clean
from harness.faults.ledger import Ledger
from harness.faults.permission import check_is_ours, permitted_by
from harness.layout import LEDGER_FILE, MANIFEST_FILE
from harness.options import SETTINGS_FILE, check_options
from harness.report import write_experiment, write_run
from harness.stack.backends.choice import CONTAINERS, choose, prepare
from harness.stack.blueprint import Blueprint
from harness.stack.subjects import check_is_here
from harness.turn import turn
from harness.verdict.judge import claims_made, judge
from harness.verdict.sharing import judged_part, shortened, unkept_before

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from harness.clock import Clock
    from harness.experiment import ProgressListener
    from harness.history.history import History
    from harness.history.marks import Beginning
    from harness.options import Options
    from harness.plan import Plan
    from harness.spec.system import Settings, Subject, System

FREE_BYTES_NEEDED = 500 << 20
"""Room for a run: a Postgres cluster (80 MB with its log), programs copied for it (34 MB), samples and plots."""


@dataclass(slots=True, kw_only=True)
class Run:
    """An open run.

    Attributes:
        options: What the caller chose.
        context: What its experiments have in common.
        folder: Its evidence, and what none of it may hold.
        family: How many claims all its scenarios make together; a claim may look broken by chance in one of them.
        scenarios: The names of all that are to be run; a run that lacks one is not whole.
        shared: What has a stack for several stories, in a run that shares them.
        experiments: Those that are judged already, in order.
    """

    options: Options
    context: RunContext
    folder: EvidenceFolder
    family: int = 1
    scenarios: tuple[str, ...] = ()
    shared: SharedStack | None = None
    experiments: list[Experiment] = field(default_factory=list)

    def experiment(self, plan: Plan) -> Experiment:
        """Run a plan, judge what was seen, and write its evidence.

        Raises:
            ReportError: If the evidence cannot be written.
            Interrupted: After everything is undone, if a signal came.
        """
        folder = self.folder / plan.name
        folder.path.mkdir()
        beginning = self.shared.beginning_of(plan) if self.shared else None
        experiment = self._begun(plan, folder, beginning)
        write_manifest(folder)  # the last file, so that only what is whole has one
        if self.shared:
            is_last = len(self.experiments) == len(self.scenarios)
            self.shared.has_ended(experiment.scenario, experiment.verdict, is_last=is_last)
        return experiment

    def _begun(self, plan: Plan, folder: EvidenceFolder, beginning: Beginning | None) -> Experiment:
        """Run a plan on what it begins on; where another story ended, without what that one has proved.

        If the look before its fault does not see that all is still well, whatever came then counts for nothing: it is
        run again, as a whole, on a fresh stack.
        """
        if self.shared is None or beginning is None or not beginning.after:
            return self._keep(plan, folder, self._lived(plan, folder, beginning))
        short = replace(plan, scenario=shortened(plan.scenario))
        history = self._lived(short, folder, beginning)
        unkept = () if history.failures else unkept_before(short.scenario, history)
        if not unkept:
            self.family -= plan.claims - claims_made(judged_part(short.scenario, history).promises)
            return self._keep(short, folder, history)
        shutil.rmtree(folder.path)
        folder.path.mkdir()
        self.shared.end(f"{unkept[0]}, where {history.continues} had ended")
        return self._begun(plan, folder, self.shared.beginning_of(plan))

    def _lived(self, plan: Plan, folder: EvidenceFolder, beginning: Beginning | None) -> History:
        keep = partial(self._keep, plan, folder)
        return run_experiment(
            plan, self.context, folder.path, shared=self.shared, beginning=beginning, on_cut_short=keep
        )

    def _keep(self, plan: Plan, folder: EvidenceFolder, history: History) -> Experiment:
        """Judge what was seen, without its secrets, and write it down."""
        clean = folder.cut(history)
        verdict = judge(plan.scenario, clean, confidence=plan.confidence, family=self.family)
        experiment = Experiment(plan.scenario, clean, verdict, folder.path)
        write_experiment(folder, experiment, scenario_text=plan.text)
        self.experiments.append(experiment)
        return experiment

    def write(self) -> None:
        """Write the pages about the whole run; does nothing if no experiment was finished.

        Raises:
            ReportError: If they cannot be written.
        """
        if not self.experiments:
            return
        options, judged = self.options, [experiment.scenario.scenario for experiment in self.experiments]
        missing = never_run(self.scenarios, judged)
        write_run(
            self.folder,
            self.experiments,
            command=options.command([*judged, *missing]),
            without_verdict=missing,
        )
        whole = {each.scenario.scenario for each in self.experiments if (each.folder / MANIFEST_FILE).is_file()}
        if whole == set(self.scenarios):
            write_run_manifest(self.folder, whole)


@contextmanager
def opened(
    options: Options,
    settings: Settings,
    *,
    clock: Clock,
    listener: ProgressListener,
    family: int = 1,
    scenarios: tuple[str, ...] = (),
) -> Iterator[Run]:
    """Open a run; on any exit nothing of it is left but its folder.

    Args:
        options: What the caller chose.
        settings: What readiness.toml says.
        clock: The time.
        listener: Told how far it is.
        family: How many claims all its scenarios make together.
        scenarios: Their names.

    Raises:
        SpecError: If an option is unknown, or a secret is not set.
        FaultError: If an earlier run died and left something that `readiness heal` can undo.
        BesideError: If another run is measuring on this machine, and is not to be waited for any longer.
        StackError: If there is not enough room, no engine answers that was asked for, an image cannot be had, or what
            the service runs is not there.
    """
    check_options(settings, options)
    system = settings.system
    hidden = hidden_of(system.subject, os.environ)
    sent = hidden_variables(system.secrets, os.environ, key="system.secrets")
    given = {name: os.environ[name] for name in system.locust.inherited if name in os.environ}
    secrets = Secrets([*hidden.values(), *sent.values(), *secrets_of_locustfile(system, os.environ)])
    with unset(is_for_libpq), _turn(options, clock, listener):
        choice = choose(options.backend, settings.system, options.project)
        listener.message(str(choice))
        prepare(choice, settings.system, options.project, listener.message)
        check_clean(options.out, clock)
        if choice.backend != CONTAINERS:  # where an image holds it
            check_is_here(Blueprint(system=settings.system, seed=0, defect=options.defect).subject, options.project)
        make_folder(options.folder)
        ledger = Ledger(options.folder / LEDGER_FILE, options.run_id)
        context = RunContext(
            run_id=options.run_id,
            system=settings.system,
            project=options.project.resolve(),
            backend=choice.backend,
            defect=options.defect,
            ledger=ledger,
            clock=clock,
            listener=listener,
            stops_early=options.stops_early,
            hidden=hidden,
            secrets=sent,
            given=given,
        )
        if settings.system.subject.processes:
            check_is_ours(ledger.path)
        with guarded(ledger.path, permitted_by(settings.system, options.project)):
            shared = _shared_stack(context, scenarios) if options.shares_stack else None
            with closing(shared) if shared else nullcontext():
                yield Run(
                    options=options,
                    context=context,
                    family=family,
                    scenarios=scenarios,
                    shared=shared,
                    folder=EvidenceFolder(options.folder, secrets),
                )
            ledger.close()


def _turn(options: Options, clock: Clock, listener: ProgressListener) -> AbstractContextManager[None]:
    """Return what keeps other runs off this machine for as long as this one measures, unless it may be beside them."""
    if options.wait_s is None:
        return nullcontext()
    return turn(options.folder, clock=clock, wait_s=options.wait_s, say=listener.message)


def _shared_stack(context: RunContext, scenarios: Sequence[str]) -> SharedStack | None:
    """Return what has a stack for several stories; none for a single one, and where its state could not be seen.

    An engine keeps what a container wrote until that is gone, so that no story's evidence would have its part; and of
    a subject that was not started here nobody knows whether it is still the same.
    """
    if len(scenarios) < 2:
        return None
    if context.backend == CONTAINERS or context.system.subject.external is not None:
        what = "an external subject" if context.system.subject.external else context.backend
        context.listener.message(f"stacks are not shared on {what}: each scenario has its own")
        return None
    return SharedStack(context)


def hidden_of(subject: Subject, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the subject's secrets with their values, and the token by which its Prometheus is asked.

    Raises:
        SpecError: As `hidden_variables` does.
    """
    prometheus = subject.prometheus
    token = (prometheus.token,) if prometheus and prometheus.token else ()
    return {
        **hidden_variables(subject.secrets, environment, key="system.subject.secrets"),
        **hidden_variables(token, environment, key="system.subject.prometheus.token"),
    }


def hidden_variables(names: Sequence[str], environment: Mapping[str, str], *, key: str) -> dict[str, str]:
    """Return variables whose values are never written, with their values.

    Args:
        names: Of the variables.
        environment: Where they are set.
        key: Of readiness.toml, which names them.

    Raises:
        SpecError: If one is not set, or too short to be told from ordinary words; it names the variable.
    """
    hidden = {}
    for name in names:
        value = environment.get(name, "")
        if len(value) < SHORTEST_SECRET:
            raise _unfit(name, f"is shorter than {SHORTEST_SECRET}" if value else "is not set", key)
        hidden[name] = value
    return hidden


def secrets_of_locustfile(system: System, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of a locustfile's secrets, as far as they are set: where none is used, none is missed.

    Raises:
        SpecError: If one is too short to be told from ordinary words; it names the variable.
    """
    values = {name: environment[name] for name in system.locust.secrets if name in environment}
    for name, value in values.items():
        if len(value) < SHORTEST_SECRET:
            raise _unfit(name, f"is shorter than {SHORTEST_SECRET}", "system.locust.secrets")
    return tuple(values.values())


def _unfit(name: str, lacks: str, key: str) -> SpecError:
    fix = f"set the variable {name}, to at least {SHORTEST_SECRET} characters"
    return SpecError(f"the secret {name} {lacks}", where=f"{SETTINGS_FILE}: {key}", fix=fix)


def make_folder(folder: Path) -> None:
    """Make the run's folder, where there is room for it; harmless if it is there.

    Raises:
        StackError: If it cannot be made, or the disk is nearly full.
    """
    try:
        folder.mkdir(
            0o755, parents=True, exist_ok=True
        )  # for us alone to write, whatever the umask: the ledger is in it
    except OSError as error:
        fix = "choose a folder that you may write to: --out FOLDER"
        raise StackError(f"cannot make the run's folder: {error.strerror}", where=str(folder), fix=fix) from error
    for place in (folder, Path(tempfile.gettempdir())):
        free_bytes = shutil.disk_usage(place).free
        if free_bytes < FREE_BYTES_NEEDED:
            raise StackError(
                f"no room: {free_bytes >> 20} MiB are free, a run needs {FREE_BYTES_NEEDED >> 20} MiB",
                where=str(place),
                fix="make room there, or point TMPDIR and --out elsewhere",
            )
