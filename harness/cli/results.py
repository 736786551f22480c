"""What `readiness run` leaves for other programs: JUnit XML and CTRF."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness.errors import ReportError
from harness.evidence import NO_SECRETS
from harness.evidence.folder import check_place, write_file
from harness.report.ctrf import Unjudged, ctrf_text
from harness.report.junit import junit_text
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from harness.cli.watcher import Watcher
    from harness.options import Options
    from harness.report.ctrf import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Where to write what.

    Attributes:
        app: Name of the judged system.
        junit: For JUnit XML; None for none.
        ctrf: For CTRF; None for none.
    """

    app: str
    junit: Path | None
    ctrf: Path | None

    def check(self) -> None:
        """See that the files can be written, and take older ones away.

        Raises:
            ReportError: If not.
        """
        if self.junit and self.ctrf and self.junit.absolute() == self.ctrf.absolute():
            raise ReportError("two reports, one file", where=f"--ctrf {self.ctrf}", fix="give each a file of its own")
        for option, path in (("--junit", self.junit), ("--ctrf", self.ctrf)):
            if path:
                check_place(path, option=option)

    def write(self, watcher: Watcher, options: Options, written: str, whole: Span) -> None:
        """Write what was asked for, however the run ended.

        Args:
            watcher: What was seen of the run.
            options: What the caller chose.
            written: pytest's own JUnit XML; an empty text if it did not come to that.
            whole: When the run was.

        Raises:
            ReportError: If a file cannot be written.
        """
        secrets = watcher.run.folder.secrets if watcher.run else NO_SECRETS
        if self.junit:
            write_file(self.junit, junit_text(written, _unreported(watcher, is_all=not written), secrets), secrets)
        if self.ctrf:
            write_file(self.ctrf, self._ctrf(watcher, options, whole), secrets)

    def _ctrf(self, watcher: Watcher, options: Options, whole: Span) -> str:
        experiments = watcher.run.experiments if watcher.run else []
        facts: dict[str, str | int | None] = {
            "run_id": options.run_id,
            "app": self.app,
            "backend": experiments[0].history.backend if experiments else options.backend,
            "profile": options.profile,
            "seed": options.seed,
            "defect": options.defect,
            "command": options.command(watcher.selected),
        }
        return ctrf_text(
            experiments,
            watcher.without_verdict,
            spans=watcher.spans,
            whole=whole,
            facts=facts,
            written_at=datetime.now(UTC),
        )


def _unreported(watcher: Watcher, *, is_all: bool) -> list[Unjudged]:
    """Return what must be added to JUnit XML: pytest makes no report of what a signal cut short, or kept from running.

    Args:
        watcher: What was seen of the run.
        is_all: Whether pytest wrote nothing at all.
    """
    verdicts = [experiment.verdict for experiment in watcher.run.experiments] if watcher.run else []
    told = [Unjudged(each.scenario, each.sentence) for each in verdicts if each.outcome is not Outcome.PASS]
    return [*told, *(watcher.without_verdict if is_all else watcher.never_run)]
