"""A worker: it joins a master elsewhere, and presses for it with a generator on this machine."""

from __future__ import annotations

import json
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import LoadError
from harness.load.engine import generator
from harness.load.link import Lines, SocketLink
from harness.load.plan import plan_from_json
from harness.load.recording import RawReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.clock import Clock
    from harness.load.engine import LoadRun

RAW_EVERY_S = 1.0
GREETED_WITHIN_S = 60.0
"""A master measures our clock first; it may be at others just then."""
_LISTEN_S = 0.02


def press_for(
    host: str, port: int, *, token: str, within_s: float, project: Path, clock: Clock, say: Callable[[str], object]
) -> None:
    """Join a master, press as it says, send home what was seen, and return when it lets us go.

    Args:
        host: The master's.
        port: Its own.
        token: What it asks for.
        within_s: How long to try to reach it.
        project: The folder that a locustfile's path starts from, here.
        clock: Ours.
        say: Told what happens.

    Raises:
        LoadError: If the master cannot be reached, does not take us, or the generator does not start.
    """
    with _connected(host, port, within_s, clock) as connection, tempfile.TemporaryDirectory() as folder:
        master = SocketLink(connection, Lines(connection.fileno()))
        master.tell(json.dumps({"hello": token}))
        plan = plan_from_json(json.dumps({**_plan_told(master, clock), "project": str(project)}))
        say(f"pressing {plan.base_url} with part {plan.share[0] + 1} of {plan.share[1]} of the schedule")
        with generator(plan, folder=Path(folder), clock=clock) as run:
            _Relay(master, run, RawReader(Path(folder)), clock).work()
    say("let go")


def _connected(host: str, port: int, within_s: float, clock: Clock) -> socket.socket:
    until_s = clock.now() + within_s
    while True:
        try:
            connection = socket.create_connection((host, port), timeout=5)
            connection.settimeout(None)
        except OSError as error:
            if clock.now() > until_s:
                fix = "start the master first: readiness load URL --expect-workers N"
                what = f"no master answered within {within_s:g} s: {error}"
                raise LoadError(what, where=f"{host}:{port}", fix=fix) from error
            clock.sleep(0.2)
        else:
            return connection


def _plan_told(master: SocketLink, clock: Clock) -> dict[str, Any]:
    """Answer the master's pings until it tells its plan, for which it waits until all workers are there.

    Raises:
        LoadError: If it refuses us, hangs up, or does not speak as a master does.
    """
    is_greeted, until_s = False, clock.now() + GREETED_WITHIN_S
    while not master.lines.is_at_end and (is_greeted or clock.now() < until_s):
        line = master.lines.take(1.0)
        if line is None:
            continue
        is_greeted = True
        if "ping" in line:
            master.tell(json.dumps({"pong": time.monotonic()}))
        elif "refused" in line:
            fix = "give the master's token: --token, or the variable READINESS_WORKER_TOKEN"
            raise LoadError(f"the master refused us: {line['refused']}", where="--token", fix=fix)
        else:
            return line
    what = "the master hung up" if is_greeted else "what answers there is no master"
    raise LoadError(what, where="before it told its plan", fix="see what the master says of itself, and where")


class _Relay:
    """Everything that is said, in both directions, and what is recorded meanwhile."""

    def __init__(self, master: SocketLink, run: LoadRun, recorded: RawReader, clock: Clock) -> None:
        self._master = master
        self._run = run
        self._recorded = recorded
        self._clock = clock
        self._sent_s = 0.0

    def work(self) -> None:
        """Relay until the master hangs up, or the generator has ended and all it said is told."""
        while not self._master.lines.is_at_end and not self._run.link.lines.is_at_end:
            order = self._master.lines.take(_LISTEN_S)
            if order is not None:
                self._run.link.tell(json.dumps(order))
            while (line := self._run.link.lines.take(0.0)) is not None:
                self._tell(line)
            if self._clock.now() - self._sent_s > RAW_EVERY_S:
                self._send_recorded()

    def _tell(self, line: dict[str, Any]) -> None:
        if "tally" in line:  # after it the master listens no longer
            self._send_recorded()
        self._master.tell(json.dumps(line))

    def _send_recorded(self) -> None:
        self._sent_s = self._clock.now()
        piece = self._recorded.piece()
        if piece is not None:
            self._master.tell(json.dumps(piece))
