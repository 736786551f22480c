"""What stands around a service that runs already: processes that commands hit, a Toxiproxy, a Prometheus.

All of it is somebody else's. So none of it is started or ended here, what is done to it is undone, and every address is
on this machine or on one of the system's `allowed_hosts`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from harness.spec.model import Argv, Model
from harness.spec.quantity import Duration

if TYPE_CHECKING:
    from collections.abc import Iterator

SUBJECT = "subject"
"""Name of the judged service where it runs already; a process of that name is one that every request meets."""

HALVES = {"kill": "restore", "pause": "resume"}
"""What a fault does to a process that runs elsewhere, by the word for that kind of fault, and what undoes it."""

_URL = re.compile(r"https?://[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?:([0-9]{1,5})(?:/[^\s?#]*)?")


def _ready(said: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Return what tells whether a process serves; a text is a URL."""
    if isinstance(said, tuple):
        return said
    found = _URL.fullmatch(said)
    if found is None or not 0 < int(found[1]) < 1 << 16:
        raise ValueError(f"{said!r} cannot be asked; write http://HOST:PORT/PATH, or a command as a list of its words")
    return said


Ready = Annotated[str | Argv, AfterValidator(_ready)]
"""What answers 200 to a GET while a process serves, or a command that ends with 0 then."""


class CommandedProcess(Model):
    """A process that runs elsewhere, and the commands by which a fault hits it and is undone.

    Commands are argument lists that no shell reads; they are run here, in the folder of readiness.toml, with the
    environment of whoever runs us. What undoes may be run twice, and must do no harm the second time.

    Attributes:
        kill: Ends it, for the fault `kill`.
        restore: Brings it back.
        pause: Freezes it, for the fault `pause`.
        resume: Thaws it.
        ready: How it is seen: the URL of what answers 200 while it serves, or a command that ends with 0 then. Where
            that is not said no fault on it could be seen, and none is done.
        within: How long each command may take.
        ready_within: How long it may take until it is seen to serve, before the load and after a fault.
    """

    kill: Argv | None = None
    restore: Argv | None = None
    pause: Argv | None = None
    resume: Argv | None = None
    ready: Ready | None = None
    within: Duration = Field(default=30.0, gt=0, le=600)
    ready_within: Duration = Field(default=60.0, gt=0, le=600)

    @model_validator(mode="after")
    def _is_undone(self) -> Self:
        for doing, undoing in HALVES.items():
            said = [each for each in (doing, undoing) if getattr(self, each) is not None]
            if len(said) == 1:
                raise ValueError(f"it says {said[0]} alone; what {doing} does must be undone by {undoing}: say both")
        if not self.kinds:
            raise ValueError("nothing can be done to it; say kill and restore, or pause and resume")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of faults that commands do to it."""
        return tuple(kind for kind in HALVES if getattr(self, kind) is not None)

    def command(self, word: str) -> tuple[str, ...]:
        """Return the command called so, which is there: `kill`, or `restore`."""
        found: tuple[str, ...] = getattr(self, word)
        return found

    @property
    def commands(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield every command, by its key."""
        for key in (*HALVES, *HALVES.values(), "ready"):
            if isinstance(said := getattr(self, key), tuple):
                yield key, said

    @property
    def host(self) -> str | None:
        """Return the machine that is asked whether it serves; None where a command tells, or nothing does."""
        return urlsplit(self.ready).hostname if isinstance(self.ready, str) else None
