"""The whole service with a defect in it, before a real Redis and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from itertools import count
from random import Random
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from fixtures.defects import installed
from fixtures.reference.core.cache import Source
from fixtures.reference.documents import document_of, key_of
from fixtures.reference.parts import Design, build
from harness.clock import FakeClock
from suites.support.relay import Relay
from suites.support.replicas import World, quick_settings, until

if TYPE_CHECKING:
    from fixtures.reference.parts import Parts

NEW_ITEMS = count(10_000)
PATIENT_S = 30.0  # a slow machine is no outage


class Replicas:
    """Whole replicas of the service, on one clock that tests step; items are read and written as its routes do.

    Attributes:
        clock: Of all that they decide themselves; Redis goes by its own.
    """

    def __init__(self, redis_port: int, postgres_port: int, stack: AsyncExitStack) -> None:
        self.clock = FakeClock(1000.0)
        self._redis_port, self._postgres_port, self._stack = redis_port, postgres_port, stack

    async def start(self, name: str, defect: str = "", **settings: object) -> tuple[Parts, Relay]:
        """Start one with a way of its own to Redis; it hears the news, has signed, and has seen its schema."""
        relay = await self._stack.enter_async_context(Relay(self._redis_port))
        told = quick_settings(
            relay.port, self._postgres_port, replica=name, seed_items=0, redis={"timeout_s": PATIENT_S}, **settings
        )
        parts = build(told, installed(defect, Design()), clock=self.clock, random=Random(name))
        parts.start()
        self._stack.push_async_callback(parts.close)

        async def has_started() -> bool:
            return parts.store.is_prepared and parts.bus.is_listening and parts.watermark.signed > 0

        await until(has_started)
        await parts.shared.look_at_the_time()  # what is of the moment of the very first signature is not believed
        return parts, relay

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, for the replicas and for Redis, which goes by its own."""
        await asyncio.sleep(seconds)
        self.clock.advance(seconds)

    async def write(self, parts: Parts, item: int, value: str) -> None:
        """Write an item; it is acknowledged when this returns."""

        async def commit():
            return document_of(await parts.store.write(item, value))

        await parts.cache.write(key_of("", item), commit)

    async def held(self, parts: Parts, item: int) -> str | None:
        """Return an item's value once it is held in memory, where their clock lets it not grow old.

        What was seconds underway on a busy machine is as old as Redis says, and not held at first.
        """

        async def is_held() -> bool:
            return (await parts.cache.get(key_of("", item))).source is Source.L1

        await until(is_held)
        return await self.read(parts, item)

    async def read(self, parts: Parts, item: int) -> str | None:
        """Return an item's value; None if there is no such item."""
        document = (await parts.cache.get(key_of("", item))).document
        return json.loads(document.body)["value"] if document.exists else None


@pytest.fixture
async def redis(redis_port):
    """A client past all parts of the core; Redis is emptied before the test."""
    async with Redis(port=redis_port) as client:
        await client.flushall()
        yield client


@pytest.fixture
async def replicas(redis, redis_port, postgres_port):
    """Replicas over an emptied Redis."""
    async with AsyncExitStack() as stack:
        yield Replicas(redis_port, postgres_port, stack)


@pytest.fixture
async def world(redis, redis_port, postgres_port):
    """Replicas that are asked over HTTP, and the ways to their dependencies, which can be cut."""
    async with Relay(redis_port) as to_redis, Relay(postgres_port) as to_postgres, AsyncExitStack() as stack:
        yield World(to_redis, to_postgres, stack)


@pytest.fixture
def item():
    """An item that no other test knows."""
    return next(NEW_ITEMS)
