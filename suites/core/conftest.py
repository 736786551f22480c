"""A real Redis and a real PostgreSQL for the tests of this folder."""

from __future__ import annotations

from random import Random

import pytest

from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.breaker import Breaker, BreakerPolicy
from fixtures.reference.core.redis_link import RedisLink, RedisLinkPolicy
from suites.support.servers import free_port, postgres_of_the_session, redis_of_the_session


@pytest.fixture(scope="session")
def redis_port():
    """The port of a Redis that this session shares; tests use keys of their own."""
    with redis_of_the_session() as port:
        yield port


@pytest.fixture(scope="session")
def postgres_port():
    """The port of a PostgreSQL that this session shares; tests use tables and names of their own."""
    with postgres_of_the_session() as port:
        yield port


PATIENT_S = 30.0
"""What a call of Redis may take where that is not what is asked about: a slow machine is no outage."""


@pytest.fixture
async def linked(redis_port):
    """Make links to Redis, or to a port that nothing listens on; all are closed in the end."""
    links = []

    def make(
        *, port: int = redis_port, op_timeout_s: float = PATIENT_S, kind=RedisLink, connections: int = 64
    ) -> RedisLink:
        breaker = Breaker("redis", BreakerPolicy(), clock=MonotonicClock(), random=Random(1))
        policy = RedisLinkPolicy(host="127.0.0.1", port=port, op_timeout_s=op_timeout_s, connections=connections)
        links.append(kind(policy, breaker=breaker))
        return links[-1]

    yield make
    for link in links:
        await link.close()


@pytest.fixture
def dead_port():
    """A port that refuses connections."""
    return free_port()
