"""A real Redis and a real Postgres for the tests of this folder, and replicas before them."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from redis import Redis

from suites.support.relay import Relay
from suites.support.replicas import World
from suites.support.servers import postgres_of_the_session, redis_of_the_session


@pytest.fixture(scope="session")
def servers():
    """Ports of a Redis and a Postgres that this session shares; tests use items of their own."""
    with redis_of_the_session() as redis, postgres_of_the_session() as postgres:
        yield redis, postgres


@pytest.fixture
async def world(servers):
    """A fresh world with an empty Redis; items are those of the session's Postgres."""
    with Redis(port=servers[0]) as client:
        client.flushall()
    redis, postgres = (Relay(port) for port in servers)
    async with redis, postgres, AsyncExitStack() as stack:
        yield World(redis, postgres, stack)
