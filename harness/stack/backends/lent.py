"""A Toxiproxy of the caller's own, lent for a run: looked at before anything is hurt, and given back as it was.

No proxy of it is made, led elsewhere or deleted here. What is already on one would be a fault of every phase, so that
one which is not clean is refused, with the commands that clean it; so is one that does not count what crosses it, since
then nothing could show that the service met a fault.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.clock import is_met_within
from harness.errors import FaultProxyError
from harness.stack.components import COMPONENTS
from harness.stack.proxy import ProxyServer
from harness.stack.service import LOOPBACK, Edge
from harness.stack.stack import SUBJECT
from harness.stack.subjects.external import ExternalService, address_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.clock import Clock
    from harness.spec.external import Toxiproxy, ToxiproxyEdge
    from harness.spec.system import System
    from harness.stack.proxy import Shown

COUNTED_WITHIN_S = 2.0
"""Toxiproxy counts what crossed a connection a little after its end."""

_ANY_HOST = ("", "0.0.0.0", "::", "[::]")  # noqa: S104 - how Toxiproxy writes every address that it has
_HERE = (LOOPBACK, "localhost", "::1", "[::1]")
_KEY = "readiness.toml: system.subject.toxiproxy"


class Lent:
    """What a Toxiproxy of the caller's own gives to a run.

    Args:
        system: Says where it is, and which of its proxies stand on which paths.
        within_s: How long what is at the end of a path may take to answer.

    Attributes:
        proxy: The server.
        edges: Each path, with where its proxy is reached from here.
        ends: What is at the end of each.

    Raises:
        FaultProxyError: If it does not answer, a proxy is not there or not clean, or one is where it may not or cannot
            be reached; it tells each of them, with what mends it.
    """

    def __init__(self, system: System, told: Toxiproxy, within_s: float) -> None:
        self._system, self._told = system, told
        api = address_of(told.address.removeprefix("http://"))
        self.proxy = ProxyServer(api, called={f"{SUBJECT}.{name}": edge.proxy for name, edge in told.edges.items()})
        self._check_it_answers()
        shown = self.proxy.shown()
        wrong = [each for name, edge in told.edges.items() for each in self._wrong(name, edge, shown)]
        if wrong:
            whats, fixes = zip(*wrong, strict=True)
            raise FaultProxyError("; ".join(whats), where=told.address, fix="; ".join(fixes))
        self.edges = tuple(self._edge(name, edge, shown[edge.proxy]) for name, edge in told.edges.items())
        self.ends = [self._end(name, edge, shown[edge.proxy], within_s) for name, edge in told.edges.items()]

    def check_it_counts(self, clock: Clock) -> None:
        """See that what crosses each edge is counted, by a question of ours.

        Raises:
            FaultProxyError: If it is not, or no answer comes through a proxy.
        """
        for edge, end in zip(self.edges, self.ends, strict=True):
            before_bytes = self._crossed(edge)
            try:
                end.round_trip_s(edge.listen)
            except OSError as error:
                what = f"nothing answers through the proxy {self.proxy.called(edge.name)}, at {edge.listen}: {error}"
                fix = f'say where it listens as seen from here: {_KEY}.edges.{edge.server}.listen = "HOST:PORT"'
                raise FaultProxyError(what, where=self._told.address, fix=fix) from error
            self.proxy.note_question(edge.name, len(end.question))
            if not is_met_within(
                lambda edge=edge, before=before_bytes: self._crossed(edge) > before,  # type: ignore[misc]  # as it is now
                deadline_s=COUNTED_WITHIN_S,
                clock=clock,
            ):
                raise self._uncounted()

    def _check_it_answers(self) -> None:
        try:
            self.proxy.version()
        except FaultProxyError as error:
            fix = f"start it, or say where it is ({_KEY}.address); curl {self._told.address}/version answers by itself"
            raise FaultProxyError(
                f"the Toxiproxy does not answer: {error.what}", where=self._told.address, fix=fix
            ) from error

    def _crossed(self, edge: Edge) -> int:
        try:
            return self.proxy.crossed_bytes(edge.name)
        except FaultProxyError as error:  # without a flag for metrics there is no such page
            raise self._uncounted() from error

    def _uncounted(self) -> FaultProxyError:
        what = "the Toxiproxy does not count what crosses it, so that no fault on it could be shown to have been met"
        return FaultProxyError(what, where=self._told.address, fix="start it with -proxy-metrics")

    def _wrong(self, name: str, edge: ToxiproxyEdge, shown: dict[str, Shown]) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the proxy of an edge, and how to mend it."""
        api, proxy = self._told.address, shown.get(edge.proxy)
        if proxy is None:
            known = ", ".join(sorted(shown)) or "none"
            yield (
                f"there is no proxy {edge.proxy} for {name}",
                f"make it there, or name another one; there are: {known}",
            )
            return
        if not proxy.is_enabled:
            enabled = json.dumps({"enabled": True})
            yield f"the proxy {edge.proxy} is disabled", f"curl -X POST -d '{enabled}' {api}/proxies/{edge.proxy}"
        for toxic in self.proxy.toxics(edge.proxy):
            what = f"the proxy {edge.proxy} has a toxic, {toxic.name} ({toxic.kind})"
            yield what, f"curl -X DELETE {api}/proxies/{edge.proxy}/toxics/{toxic.name}"
        for key, said in (("listen", self._listen(edge, proxy)), ("upstream", self._upstream(edge, proxy))):
            host = said.rpartition(":")[0]
            if not self._system.may_reach(host):
                what = f"the proxy {edge.proxy} says {key} {said}, and {host} is not said to be yours"
                yield (
                    what,
                    f'add it to allowed_hosts, or say how it is reached: {_KEY}.edges.{name}.{key} = "HOST:PORT"',
                )

    def _from_here(self, said: str) -> str:
        """Return an address that a proxy says as it is seen from here: its own machine is that of its Toxiproxy."""
        host, _, port = said.rpartition(":")
        return f"{self.proxy.api.host}:{port}" if host in (*_ANY_HOST, *_HERE) else said

    def _listen(self, edge: ToxiproxyEdge, proxy: Shown) -> str:
        return edge.listen or self._from_here(proxy.listen)

    def _upstream(self, edge: ToxiproxyEdge, proxy: Shown) -> str:
        return edge.upstream or self._from_here(proxy.upstream)

    def _edge(self, name: str, edge: ToxiproxyEdge, proxy: Shown) -> Edge:
        listen = address_of(self._listen(edge, proxy))
        return Edge(SUBJECT, name, listen, client_address=listen)

    def _end(self, name: str, edge: ToxiproxyEdge, proxy: Shown, within_s: float) -> ExternalService:
        upstream = address_of(self._upstream(edge, proxy))
        return ExternalService(name, upstream, COMPONENTS[edge.kind or name].probe, within_s)
