"""Asking registries through the engine, without waiting long for one that is not there."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from harness.errors import StackError
from harness.stack.backends.engine import speaking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker import DockerClient

    from harness.clock import Clock

T = TypeVar("T")

PULL_WITHIN_S = 600.0
"""The largest official image is Postgres with 160 MB compressed: 270 kB a second suffice."""

_ANSWER_WITHIN_S = 10.0
"""Registries answer within a second or two; the engine tries for longer to reach one that is not there."""

_NOT_THERE = ("manifest unknown", "not found", "denied", "unauthorized", "no such image")
"""What registries say of a reference that they do not have, or do not show."""


class Registries:
    """All registries, waited for no longer than a span of time in all; who did not answer once is not asked again."""

    def __init__(self, client: DockerClient, *, within_s: float, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._left_s = within_s
        self._silent: dict[str, str] = {}

    def why_not(self, reference: str) -> str:
        """Say why an image cannot be pulled; nothing, if it can."""
        host = host_of(reference)
        if host in self._silent:
            return self._silent[host]
        if self._left_s <= 0:
            return f"{host} was not asked, for want of time"
        began_s = self._clock.now()
        try:
            self._ask(host, reference)
        except StackError as error:
            if any(word in error.what.lower() for word in _NOT_THERE):
                return f"{host} does not have it, or not for us"
            self._silent[host] = f"{host} cannot be reached"
            return self._silent[host]
        finally:
            self._left_s -= self._clock.now() - began_s
        return ""

    def _ask(self, host: str, reference: str) -> None:
        within_s = min(self._left_s, _ANSWER_WITHIN_S)
        with _answering_within(self._client, within_s), speaking(f"ask {host} for {reference}"):
            self._client.api.inspect_distribution(reference)


def host_of(reference: str) -> str:
    """Return the host of the registry that a reference names, `docker.io` if it names none."""
    first, slash, _ = reference.partition("/")
    names_host = bool(slash) and (first == "localhost" or "." in first or ":" in first)
    return first if names_host else "docker.io"


def pull(client: DockerClient, reference: str) -> None:
    """Have the engine fetch an image.

    Raises:
        StackError: If it cannot, or takes longer than ten minutes.
    """
    what = f"pull {reference}"
    with speaking(what):
        within(PULL_WITHIN_S, what, lambda: client.images.pull(reference))


def within(seconds: float, what: str, ask: Callable[[], T]) -> T:
    """Return what `ask` returns, or give up on it: for the few calls of the engine's client that take no time-out.

    What was given up on goes on in a thread, which ends with us.

    Raises:
        StackError: If it takes longer.
    """
    answer: Future[T] = Future()

    def wait() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 - it is raised again, in the thread that waits
            answer.set_exception(error)

    Thread(target=wait, daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError as error:
        raise StackError(
            f"the engine could not {what} within {seconds:.0f} s",
            where="the Docker engine",
            fix="try again when the network or the machine is less busy",
        ) from error


@contextmanager
def _answering_within(client: DockerClient, seconds: float) -> Iterator[None]:
    before_s = client.api.timeout
    client.api.timeout = seconds
    try:
        yield
    finally:
        client.api.timeout = before_s
