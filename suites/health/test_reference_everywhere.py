"""What holds for every route and every loop of the service, those that will be added included."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from fixtures.reference.app import create_app
from suites.support.replicas import quick_settings, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TELLS_OF_ITSELF = {
    "/health/live",
    "/health/circuit-breakers",
    "/health/circuit-breakers/trace",
    "/health/queries",
    "/metrics",
    "/openapi.json",
}
"""What this process can say without asking anything, so that it says it while all else is gone."""
LOOKS_AROUND = {"/health/ready", "/health/dlq", "/health/queries/{statement}/advice"}
NOT_PAID_FOR = TELLS_OF_ITSELF | LOOKS_AROUND
BODIES = {
    ("put", "/items/{item}"): {"value": "x"},
    ("post", "/tasks"): {"kind": "import", "items": [{"item": 1, "value": "x"}]},
}
QUERIES = {("get", "/search"): {"text": "seeded"}}
VALUES = {"{item}": "1", "{task}": "0" * 32}


def operations(app) -> list[tuple[str, str]]:
    """Return each method and path that a client may ask for, as the service publishes them."""
    paths = app.openapi()["paths"]
    return [(method, path) for path, methods in paths.items() for method in methods if path not in NOT_PAID_FOR]


async def test_every_route_takes_from_the_bucket_of_its_client(world):
    """With a bucket of one each is served once, and over the rate then: there is no way around the limit."""
    client = await world.replica(limiter={"rate_per_s": 0.001, "burst": 1})
    offered = operations(client.app)

    seen = {}
    for method, path in offered:
        told = {"json": BODIES[method, path]} if (method, path) in BODIES else {"params": QUERIES.get((method, path))}
        place = path
        for name, value in VALUES.items():
            place = place.replace(name, value)
        payer = {"x-client-key": f"{method} {path}"}
        answers = [await client.request(method, place, headers=payer, **told) for _ in range(2)]
        seen[method, path] = (answers[0].status_code < 405, answers[1].status_code)

    assert len(offered) >= 5
    assert seen == dict.fromkeys(offered, (True, 429))


@pytest.mark.parametrize("path", sorted(TELLS_OF_ITSELF))
async def test_what_tells_of_the_process_itself_asks_no_dependency(world, path):
    """Redis and Postgres refuse every connection: it is answered as if nothing was."""
    client = await world.replica()
    await world.redis.cut()
    await world.postgres.cut()

    assert [(await client.get(path)).status_code for _ in range(3)] == [200] * 3


class Slammed:
    """A port that accepts each connection and closes it at once.

    Attributes:
        accepted: How often, count.
    """

    def __init__(self) -> None:
        self.port, self.accepted = 0, 0
        self.is_knocked_at = asyncio.Event()

    def _accept(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.is_knocked_at.set()
        writer.transport.abort()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._accept, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield


WATCHED_S = 2.0
KNOCKS_PER_S = 5.0
"""At each dependency: the one that listens to Redis, and the pool of Postgres, pause for a fifth of a second."""
KNOCKS_AT_ONCE = 10
"""Of what a breaker lets through before it rests. A loop that does not pause knocks thousands of times."""
RESTS = {"failures": 1, "min_failure_rate": 0.0, "recovery_s": 60.0, "recovery_max_s": 60.0}


async def test_no_loop_of_a_replica_knocks_without_a_pause(servers):
    """Signing, listening, paying, and seeing to the schema, while both dependencies close each connection at once."""
    redis, postgres = Slammed(), Slammed()
    clock = asyncio.get_running_loop().time
    async with redis.listening(), postgres.listening():
        settings = quick_settings(redis.port, postgres.port, breaker=RESTS)
        app = create_app(settings)
        async with serving(app) as client:
            async with asyncio.timeout(30):
                await redis.is_knocked_at.wait()
                await postgres.is_knocked_at.wait()
            app.state.parts.debts.owe("1", None)  # so that there is something to be paid as well
            before, began_s = (redis.accepted, postgres.accepted), clock()
            while clock() < began_s + WATCHED_S:
                assert (await client.get("/health/live")).status_code == 200
                await asyncio.sleep(0.05)  # the passing of time is what the bound is about
            lasted_s = clock() - began_s
            seen = (redis.accepted - before[0], postgres.accepted - before[1])

    assert min(seen) >= 1
    assert max(seen) <= KNOCKS_PER_S * lasted_s + KNOCKS_AT_ONCE
