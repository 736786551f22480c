"""More than one machine: workers come to us, and each presses with its share of one schedule.

Not by Locust's own master and workers: these share out users, not arrivals, tell of themselves every three seconds,
drop what comes half a second after the end, know nothing of each other's clocks, and ask for no password
(measured and read 2026-11, Locust 2.47). Here the worker relays the pipe between us and its generator, line by line,
and its requests come home as they were recorded, once a second.

us      {"ping": n} …, then the plan and all orders that a generator understands
worker  {"hello": token}, {"pong": its clock} …, then all lines of its generator, and {"raw": …, "names": …}
"""

from __future__ import annotations

import hmac
import json
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import LoadError
from harness.load.engine import LoadRun
from harness.load.group import GeneratorGroup, part_of
from harness.load.link import Lines, SocketLink
from harness.load.plan import LOOPBACK_HOSTS
from harness.load.recording import remove_raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.clock import Clock
    from harness.load.plan import LoadPlan

EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not listened on
PINGS = 10
"""Of which the fastest tells how far a clock is ahead, to half its round trip."""

ANSWER_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendezvous:
    """Where workers come to, and who may.

    Attributes:
        host: To listen on; another machine reaches us only where this is not loopback.
        port: To listen on; 0 for any.
        token: What a worker must know.
        workers: How many are waited for.
        within_s: For how long.
    """

    host: str
    port: int
    token: str
    workers: int
    within_s: float


@contextmanager
def apply_load_with_workers(
    plan: LoadPlan, rendezvous: Rendezvous, *, folder: Path, clock: Clock, say: Callable[[str], object]
) -> Iterator[GeneratorGroup]:
    """Wait for workers, and put the load of `plan` on with them while inside; on any exit all are let go.

    Args:
        plan: What to do, together.
        rendezvous: Where, with whom, and how long to wait for them.
        folder: For a folder of raw samples for each.
        clock: Ours.
        say: Told where we listen, and who came.

    Raises:
        LoadError: If the address may not be pressed, too few workers came in time, or one is not ready in time.
    """
    plan.check()
    if rendezvous.host not in LOOPBACK_HOSTS and not plan.allow_remote:
        fix = "any machine there that knows the token could join the load; if that is meant, add --allow-remote"
        raise LoadError("workers of other machines could reach us", where=rendezvous.host, fix=fix)
    with ExitStack() as stack:
        runs = []
        for index, (link, ahead_s) in enumerate(_arrivals(rendezvous, stack, clock, say)):
            own = folder / f"generator-{index + 1}"
            own.mkdir()
            run = LoadRun(part_of(plan, index, rendezvous.workers), own, clock, link)
            run.ahead_s = ahead_s
            runs.append(run)
            stack.callback(remove_raw, own)
        for run in runs:
            run.link.tell(run.plan.to_json())
        yield GeneratorGroup(runs, plan, clock)


def _arrivals(
    rendezvous: Rendezvous, stack: ExitStack, clock: Clock, say: Callable[[str], object]
) -> Iterator[tuple[SocketLink, float]]:
    """Take in workers until there are enough of them; one that does not know the token is sent away."""
    try:
        server = stack.enter_context(socket.create_server((rendezvous.host, rendezvous.port)))
    except OSError as error:
        where = f"{rendezvous.host}:{rendezvous.port}"
        raise LoadError(f"cannot listen: {error.strerror}", where=where, fix="choose another address") from error
    port = server.getsockname()[1]
    host = "ADDRESS_OF_THIS_MACHINE" if rendezvous.host in EVERYWHERE else rendezvous.host
    say(f"waiting for {rendezvous.workers} workers: readiness worker --master-host {host} --master-port {port}")
    until_s, came = clock.now() + rendezvous.within_s, 0
    while came < rendezvous.workers:
        server.settimeout(max(0.01, until_s - clock.now()))
        try:
            connection, address = server.accept()
        except TimeoutError as error:
            what = f"{came} of {rendezvous.workers} workers came within {rendezvous.within_s:g} s"
            fix = f"start more: readiness worker --master-host HOST --master-port {port}"
            raise LoadError(what, where=f"{rendezvous.host}:{port}", fix=fix) from error
        link = SocketLink(connection, Lines(connection.fileno()))
        ahead = _welcome(link, rendezvous.token, clock)
        if ahead is None:
            link.tell(json.dumps({"refused": "the token is not ours"}))
            link.end()
            say(f"a worker from {address[0]} did not know the token")
            continue
        came += 1
        stack.callback(link.end)
        say(
            f"worker {came} of {rendezvous.workers} came from {address[0]}; "
            f"its clock is known to {ahead[1] * 1e3:.2f} ms"
        )
        yield link, ahead[0]


def _welcome(link: SocketLink, token: str, clock: Clock) -> tuple[float, float] | None:
    """Ask for the token, then how far its clock is ahead of ours and how surely we know; None for a stranger."""
    hello = link.lines.take(ANSWER_WITHIN_S)
    if hello is None or not hmac.compare_digest(str(hello.get("hello", "")).encode(), token.encode()):
        return None
    asked = [_ping(link, number, clock) for number in range(PINGS)]
    known = [each for each in asked if each is not None]
    return min(known, key=lambda each: each[1]) if known else None


def _ping(link: SocketLink, number: int, clock: Clock) -> tuple[float, float] | None:
    sent_s = clock.now()
    link.tell(json.dumps({"ping": number}))
    answer: dict[str, Any] | None = link.lines.take(ANSWER_WITHIN_S)
    came_s = clock.now()
    if answer is None or "pong" not in answer:
        return None
    return answer["pong"] - (sent_s + came_s) / 2, (came_s - sent_s) / 2
