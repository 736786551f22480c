"""What `readiness run` sees of the pytest that it drives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from harness import plugin
from harness.errors import Interrupted
from harness.verdict.outcome import Outcome, worst

if TYPE_CHECKING:
    from harness.run import Run


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
