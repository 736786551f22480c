"""Other libraries' pools on a real PostgreSQL, held to what every pool must keep."""

from __future__ import annotations

from itertools import count

import pytest

from fixtures.peers.pools import AsyncpgPool, PsycopgPool
from suites.contract.core.pool import PoolContract

NAMES = (f"peer-{number}" for number in count())


class Peer(PoolContract):
    """P1 to P7 of one library; in the application's name the server counts those of one test."""

    __test__ = False

    @pytest.fixture
    async def offer(self, postgres_port):
        offer = self.peer(postgres_port, next(NAMES))
        yield offer
        await offer.end()


class TestPsycopgPool(Peer):
    """psycopg_pool's."""

    __test__ = True
    peer = PsycopgPool


class TestAsyncpgPool(Peer):
    """asyncpg's own."""

    __test__ = True
    peer = AsyncpgPool
