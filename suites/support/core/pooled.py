"""A server without sockets for pools in simulated time, and its driver: it counts as a real one counts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from fixtures.reference.core.pool import Condition


@dataclass(eq=False)
class Wire:
    """One connection, as both ends see it.

    Attributes:
        condition: What its client knows of it.
        answers: Whether the server still answers on it; a client finds out only by asking.
    """

    number: int
    condition: Condition = Condition.CLEAN
    answers: bool = True
    is_cut: bool = False
    checks: int = 0


@dataclass
class Server:
    """Connections of one server, and how long it takes for what; seconds.

    Attributes:
        delays: Of the first attempts to connect, instead of `connect_s`.
        counted: What it counts as connections: from the first knock until it has let go.
        most: The largest count ever.
        knocks: Attempts to connect.
        goodbyes: How each connection ended, in order: its number, and whether it was cut.
    """

    delays: list[float] = field(default_factory=list)
    connect_s: float = 0.01
    close_s: float = 0.005
    check_s: float = 0.002
    is_up: bool = True
    counted: int = 0
    most: int = 0
    knocks: list[float] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    goodbyes: list[tuple[int, bool]] = field(default_factory=list)

    def restart(self) -> None:
        """Drop all connections; their clients do not know yet."""
        for wire in self.wires:
            wire.answers = False

    def hang_up(self) -> None:
        """Drop all connections, and say so."""
        for wire in self.wires:
            if wire.answers:
                wire.answers, wire.condition = False, Condition.LOST

    # The driver.

    async def connect(self) -> Wire:
        self.knocks.append(asyncio.get_running_loop().time())
        self._count(1)
        try:
            await asyncio.sleep(self.delays.pop(0) if self.delays else self.connect_s)
            if not self.is_up:
                raise ConnectionRefusedError("it is down")  # noqa: TRY301 - as a socket would
        except BaseException:
            self._count(-1)
            raise
        self.wires.append(Wire(len(self.wires)))
        return self.wires[-1]

    async def check(self, wire: Wire) -> None:
        wire.checks += 1
        await asyncio.sleep(self.check_s)
        if not (wire.answers and self.is_up):
            raise ConnectionResetError("no answer")

    async def close(self, wire: Wire) -> None:
        await asyncio.sleep(self.close_s)
        self._end(wire, cut=False)

    def terminate(self, wire: Wire) -> None:
        self._end(wire, cut=True)

    def condition(self, wire: Wire) -> Condition:
        return wire.condition

    def _end(self, wire: Wire, *, cut: bool) -> None:
        if wire.is_cut:
            return
        wire.is_cut = True
        self.goodbyes.append((wire.number, cut))
        self._count(-1)

    def _count(self, by: int) -> None:
        self.counted += by
        self.most = max(self.most, self.counted)
