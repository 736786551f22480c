"""Faults of the network, done by the fault proxy: `down` and `latency`."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from harness.clock import SystemClock, is_met_within
from harness.errors import FaultError
from harness.stack.proxy import Toxic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.faults.ledger import Entry, Ledger
    from harness.spec.fault import Down, Latency
    from harness.stack.service import Edge
    from harness.stack.stack import Stack

LOOKS = 3
"""Round trips whose median is the dose: one slow moment of a busy machine is not a wrong dose."""

LOW_TOLERANCE = (0.002, 0.05)
"""A dose may be this much too small: 2 ms or 5 %, whichever is more; the proxy's timers are that exact."""

HIGH_TOLERANCE = (0.050, 0.10)
"""And this much too large: our own question also waits for a busy machine, which is no fault of the dose."""


COUNTED_WITHIN_S = 2.0


class DownAction:
    """`down`: every edge into the target refuses connections and drops open ones."""

    def __init__(self, fault: Down, edges: Sequence[Edge], stack: Stack) -> None:
        self._fault = fault
        self._edges = edges
        self._stack = stack
        self._noted: list[tuple[Edge, Entry]] = []

    def begin(self, ledger: Ledger) -> None:
        """Disable each edge's proxy."""
        for edge in self._edges:
            self._noted.append((edge, ledger.note("disabled", edge.name, edge=edge.name, **_api(self._stack))))
            self._stack.proxy.disable(edge.name)

    def observe(self) -> tuple[bool, str]:
        """See that a new connection is refused on every edge."""
        seen = [(edge, _is_refused(self._stack, edge)) for edge in self._edges]
        said = ", ".join(f"{edge.name} {'refuses' if refused else 'still answers'}" for edge, refused in seen)
        return all(refused for _, refused in seen), said

    def crossed_bytes(self) -> None:
        """Nothing crosses what refuses."""

    def end(self, ledger: Ledger) -> None:
        """Enable each edge's proxy again, and see that it answers."""
        for edge, entry in self._noted:
            self._stack.proxy.enable(edge.name)
            if not self._stack.proxy.is_enabled(edge.name):
                raise _still_there(self._fault, edge)
            ledger.strike(entry)


class LatencyAction:
    """`latency`: every answer on the edges into the target arrives later."""

    def __init__(self, fault: Latency, edges: Sequence[Edge], stack: Stack) -> None:
        self._fault = fault
        self._edges = edges
        self._stack = stack
        self._noted: list[tuple[Edge, Entry]] = []
        self._name = f"readiness-latency-{fault.target}"

    def begin(self, ledger: Ledger) -> None:
        """Add a toxic to each edge."""
        for edge in self._edges:
            entry = ledger.note("toxic", edge.name, edge=edge.name, toxic=self._name, **_api(self._stack))
            self._noted.append((edge, entry))
            self._stack.proxy.add(Toxic(edge.name, self._name, "latency", latency_attributes(self._fault)))

    def observe(self) -> tuple[bool, str]:
        """Ask a question through every edge, and compare the time it takes with the dose that was asked for."""
        asked_bytes = sum(LOOKS * len(self._stack.services[edge.server].question) for edge in self._edges)
        until_bytes = self.crossed_bytes() + asked_bytes
        seen = list(zip(self._edges, _together(self._added_s, self._edges), strict=True))
        self._settle(until_bytes)
        said = ", ".join(f"{edge.name} +{added_s * 1000:.0f} ms" for edge, added_s in seen)
        return all(self._is_dose(added_s) for _, added_s in seen), f"{said} (asked: {self._fault})"

    def crossed_bytes(self) -> int:
        """Return what clients sent through all its edges so far."""
        return sum(self._stack.proxy.crossed_bytes(edge.name) for edge in self._edges)

    def end(self, ledger: Ledger) -> None:
        """Remove the toxics, and see that they are gone."""
        for edge, entry in self._noted:
            self._stack.proxy.remove(edge.name, self._name)
            if self._name in self._stack.proxy.toxics(edge.name):
                raise _still_there(self._fault, edge)
            ledger.strike(entry)

    def _settle(self, until_bytes: int) -> None:
        """Wait until our own questions are counted, which Toxiproxy does a little after a connection's end.

        Raises:
            FaultError: If they never are: a proxy that does not count proves no traffic.
        """
        is_counted = is_met_within(
            lambda: self.crossed_bytes() >= until_bytes, deadline_s=COUNTED_WITHIN_S, clock=SystemClock()
        )
        if not is_counted:
            fix = "see proxy.log: it must run with -proxy-metrics"
            raise FaultError("the fault proxy does not count what crosses it", where=str(self._fault), fix=fix)

    def _added_s(self, edge: Edge) -> float:
        """Return by how much the edge slows a conversation down: its round trip less the direct one, in seconds."""
        service = self._stack.services[edge.server]
        through = [service.round_trip_s(edge.listen) for _ in range(LOOKS)]
        direct = [service.round_trip_s(service.direct) for _ in range(LOOKS)]
        return statistics.median(through) - statistics.median(direct)

    def _is_dose(self, added_s: float) -> bool:
        asked = self._fault
        low = asked.delay - asked.jitter - max(LOW_TOLERANCE[0], LOW_TOLERANCE[1] * asked.delay)
        high = asked.delay + asked.jitter + max(HIGH_TOLERANCE[0], HIGH_TOLERANCE[1] * asked.delay)
        return low <= added_s <= high


def latency_attributes(fault: Latency) -> dict[str, int]:
    """Return Toxiproxy's attributes, whole milliseconds.

    Source: Toxiproxy 2.12 README, "Toxics", latency.
    """
    return {"latency": round(fault.delay * 1000), "jitter": round(fault.jitter * 1000)}


def _together(look: Callable[[Edge], float], edges: Sequence[Edge]) -> list[float]:
    """Look at all edges at the same time: each look takes several doses."""
    with ThreadPoolExecutor(len(edges)) as pool:
        return list(pool.map(look, edges))


def _is_refused(stack: Stack, edge: Edge) -> bool:
    """Tell whether the edge lets nobody through.

    A published port of a container is answered by the engine, which accepts, finds nobody and closes: that is a refusal
    as well, where the proxy itself says that it does not listen.
    """
    try:
        stack.services[edge.server].round_trip_s(edge.listen)
    except TimeoutError:
        return False
    except ConnectionError:
        return not stack.proxy.is_enabled(edge.name)
    return False


def _api(stack: Stack) -> dict[str, str | int]:
    return {"api_host": stack.proxy.api.host, "api_port": stack.proxy.api.port}


def _still_there(fault: Down | Latency, edge: Edge) -> FaultError:
    return FaultError(f"the fault `{fault}` is still there", where=edge.name, fix="run `readiness heal`; see proxy.log")
