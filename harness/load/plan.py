"""What the load generator is told."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from harness.errors import LoadError
from harness.load.arrivals import course_of
from harness.load.replay import recorded_s
from harness.spec.load import Load
from harness.spec.schedule import Replay

if TYPE_CHECKING:
    from harness.load.arrivals import Course

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """One run's load.

    Attributes:
        base_url: Where requests go.
        load: Rate, mix, keys, caps.
        lasts_s: No request starts after this.
        seed: Of everything random.
        project: The folder that paths in `load` start from.
        calibration_s: How long the generator measures what it adds by itself, before it is ready; 0 for not at all,
            and then no verdict can rest on its load.
        allow_remote: Whether other machines may be pressed; by default only this one.
    """

    base_url: str
    load: Load
    lasts_s: float
    seed: int
    project: str = "."
    calibration_s: float = 1.0
    allow_remote: bool = False

    def check(self) -> None:
        """See that the address can be, and may be, pressed, and that a recording can be repeated.

        Raises:
            LoadError: If not.
        """
        parts = urlsplit(self.base_url)
        if parts.scheme != "http" or not parts.hostname or not _has_port(parts):
            mend = "write it as http://host:port"
            raise LoadError("this is no address that can be pressed", where=self.base_url, mend=mend)
        if parts.hostname not in LOOPBACK_HOSTS and not self.allow_remote:
            mend = "press only what is yours; if that machine is, say --allow-remote"
            raise LoadError("the address is on another machine", where=self.base_url, mend=mend)
        if isinstance(self.load.schedule, Replay):
            self.course()

    def course(self) -> Course:
        """Lay out the whole run.

        Raises:
            LoadError: If the schedule repeats a recording that cannot be used.
        """
        schedule = self.load.schedule
        recording_s = recorded_s(Path(self.project) / schedule.file) if isinstance(schedule, Replay) else None
        return course_of(self.load, lasts_s=self.lasts_s, seed=self.seed, recording_s=recording_s)

    def to_json(self) -> str:
        """Return it on one line."""
        return json.dumps({**asdict(self), "load": self.load.model_dump(mode="json")})


def _has_port(parts: SplitResult) -> bool:
    """Tell whether the port is a number, or left out; reading one that is not raises."""
    try:
        return parts.port != 0
    except ValueError:
        return False


def plan_from_json(line: str) -> LoadPlan:
    """Read what `to_json` said."""
    said = json.loads(line)
    return LoadPlan(**{**said, "load": Load.model_validate(said["load"])})
