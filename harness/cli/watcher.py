"""What `readiness run` sees of the pytest that it drives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from harness import plugin
from harness.cli.signals import Interruption
from harness.errors import Interrupted, SpecError, refusal
from harness.evidence.documents import never_run
from harness.report.ctrf import Span, Unjudged
from harness.verdict.outcome import Outcome, worst

if TYPE_CHECKING:
    from pathlib import Path

    from harness.run import Run


@dataclass
class Watcher:
    """A pytest plugin for `readiness run`: our own terminal instead of pytest's, and everything that went wrong.

    Attributes:
        asked_for: The scenario files that must be run, all of them.
        interruption: After it nothing is begun.
    """

    asked_for: tuple[Path, ...] = ()
    interruption: Interruption = field(default_factory=Interruption)
    troubles: list[str] = field(default_factory=list)
    selected: list[str] = field(default_factory=list)
    spans: dict[str, Span] = field(default_factory=dict)
    unjudged: list[Unjudged] = field(default_factory=list)
    signal: Interrupted | None = None
    run: Run | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Silence pytest's terminal; a table of verdicts says more than dots."""
        config.pluginmanager.unregister(name="terminalreporter")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what could not be collected."""
        if report.failed:
            self._keep(str(report.nodeid), str(report.longrepr))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remember what is to be run; refuse a selection that lacks a scenario, since pytest has options elsewhere."""
        self.selected = [item.name for item in session.items]
        if self.troubles:  # what could not be collected has been told
            return
        place = session.config.stash[plugin.OPEN_RUN]
        if place.left_out:
            place.progress.message(place.left_out)
        there = {item.path.resolve() for item in session.items} | place.of_other_tiers.keys()
        fix = "no option of yours does this: it is a mistake of the harness, so please report it"
        for path in self.asked_for:
            if path.resolve() not in there:
                self._keep(path.stem, str(SpecError("pytest left this scenario out", where=str(path), fix=fix)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Begin no scenario after a signal, also where what went wrong while healing hid it from pytest."""
        self.interruption.check()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what failed without a verdict, and when it was."""
        name = str(report.nodeid).rpartition("::")[2]
        began_s = self.spans[name].began_s if name in self.spans else report.start
        self.spans[name] = Span(began_s, report.stop)
        verdict = dict(report.user_properties).get("verdict", Outcome.PASS)
        if report.failed and verdict == Outcome.PASS:  # what failed was something else, such as writing it down
            self._keep(name, str(report.longrepr))

    def pytest_internalerror(self, excrepr: object, excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
        """Keep what broke pytest; tell it that a refusal of the system needs no traceback."""
        error = excinfo.value
        self._keep("pytest", str(refusal(error)) if isinstance(error, OSError) else str(excrepr))
        return isinstance(error, OSError)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember which signal it was."""
        if isinstance(excinfo.value, Interrupted):
            self.signal = excinfo.value

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Remember the run, before it is closed: that may fail."""
        self.run = session.config.stash[plugin.OPEN_RUN].run

    def _keep(self, name: str, why: str) -> None:
        self.troubles.append(why)
        self.unjudged.append(Unjudged(name, why))

    @property
    def never_run(self) -> list[Unjudged]:
        """Return what was to be run, and neither broke nor came to a verdict."""
        judged = [experiment.scenario.scenario for experiment in self.run.experiments] if self.run else []
        broken = [each.name for each in self.unjudged]
        why = f"it was not run: {self.signal.signal.name if self.signal else 'the run ended before'}"
        return [Unjudged(name, why) for name in never_run(self.selected, [*judged, *broken])]

    @property
    def without_verdict(self) -> list[Unjudged]:
        """Return everything that was to be run and came to no verdict."""
        return [*self.unjudged, *self.never_run]

    @property
    def exit_code(self) -> int:
        """Return what the process should say: a signal, else the worst of everything; what never ran is an error."""
        if self.signal is not None:
            return self.signal.exit_code
        outcomes = [experiment.verdict.outcome for experiment in self.run.experiments] if self.run else []
        return worst([*outcomes, *(Outcome.ERROR for _ in self.without_verdict)]).exit_code
