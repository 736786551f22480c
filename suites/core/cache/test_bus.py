"""The replica's ear, where the client of Redis does not end when it is told to."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from fixtures.reference.core.cache import Bus


class Ear:
    """A subscriber that hears nothing, and goes on with one of its calls when that is cancelled.

    As redis-py does on Python before 3.12, if it is told in the moment when its writing is done.
    """

    def __init__(self, deaf: str) -> None:
        self.deaf, self.reached = deaf, asyncio.Event()
        self.is_closed = False

    async def _call(self, name: str) -> None:
        if name == self.deaf:
            self.reached.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    async def subscribe(self, _channel: str) -> None:
        await self._call("subscribe")

    async def get_message(self, *, timeout: float) -> None:  # noqa: ASYNC109 - the client's own signature
        assert timeout > 0
        await self._call("get_message")

    async def ping(self) -> None:
        await self._call("ping")

    async def aclose(self) -> None:
        self.is_closed = True


class Link:
    """A link whose subscriber is this one, the first time; a second time is one too many."""

    def __init__(self, ear: Ear) -> None:
        self.ears = [ear]

    def listen(self) -> Ear:
        return self.ears.pop()


@pytest.mark.parametrize("deaf", ["subscribe", "get_message", "ping"])
async def test_bus_ends_when_it_is_told_to_whatever_the_client_does(deaf):
    """A bus that goes on listening would keep its replica from ever stopping."""
    ear = Ear(deaf)
    bus = Bus(Link(ear), on_news=lambda _key, _version: None, on_gap=lambda: None)
    listening = asyncio.create_task(bus.listen_forever())
    await ear.reached.wait()

    listening.cancel()
    await asyncio.wait([listening], timeout=5)

    assert listening.cancelled()
    assert ear.is_closed
