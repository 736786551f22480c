"""One scenario that was run and judged, with the folder that holds its evidence: what every page is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.report.documents import read_json

if TYPE_CHECKING:
    from pathlib import Path

    from harness.history.history import History
    from harness.spec.scenario import Scenario
    from harness.verdict.outcome import Verdict


@dataclass(frozen=True, slots=True)
class Experiment:
    """One scenario that was run.

    Attributes:
        scenario: As it was run, with the profile's stretch and the default objectives.
        history: What was seen.
        verdict: What it means.
        folder: Where its evidence is.
    """

    scenario: Scenario
    history: History
    verdict: Verdict
    folder: Path

    @property
    def profile(self) -> str:
        """Return the profile's name, as its folder tells it; nothing if the folder has not been written."""
        path = self.folder / "system.json"
        return str(read_json(path).get("profile", "")) if path.is_file() else ""
