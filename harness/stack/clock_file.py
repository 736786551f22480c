"""A clock of the judged service that can be set off while it runs: by a file, which the service reads.

The harness names the file in a variable of each replica (`[system.subject.clock]`), and writes into it how far the
clocks are off. It is not there before one is. What a service cannot read changes nothing for it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from harness.stack.service import Workspace

IN_A_CONTAINER = "/tmp/readiness-clock.json"  # noqa: S108 - inside a container, which one replica has for itself
"""Where the file is in a container."""

FOLDER = "clocks"
"""Where it is in the work folder of a run, a file a replica."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offsets:
    """How far the clocks of a process are off; the names are those of the file.

    Attributes:
        wall_s: How far the wall clock is ahead, seconds; negative if it is behind.
        monotonic_s: The same of the monotonic clock, which is never set back.
    """

    wall_s: float = 0.0
    monotonic_s: float = 0.0

    def text(self) -> str:
        """Return what stands in the file."""
        return json.dumps(asdict(self))


NONE = Offsets()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaClock:
    """The clock of one replica, as it is set off and seen.

    Attributes:
        file: Where the replica reads how far it is off, as the replica sees it.
        path: What it is asked, for the answer's header.
        header: Says the time: seconds since 1970, and after a blank those of the monotonic clock, if it says them.
    """

    file: str
    path: str
    header: str


def local_file(workspace: Workspace, name: str) -> Path:
    """Return where the file of a replica is that is a local process."""
    return workspace.work / FOLDER / f"{name}.json"


def parsed(text: str) -> Offsets:
    """Return what a file says.

    Raises:
        ValueError: If it says something else.
    """
    said = json.loads(text)
    return Offsets(wall_s=float(said["wall_s"]), monotonic_s=float(said["monotonic_s"]))


def write(path: Path, offsets: Offsets) -> None:
    """Write a file at once: whoever reads meanwhile sees what was there before, or all of it."""
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(offsets.text(), encoding="utf-8")
    os.replace(draft, path)  # noqa: PTH105 - the call that is atomic, by its own name
