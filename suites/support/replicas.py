"""Replicas of the reference service in this process, before real servers that can be cut off."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
from prometheus_client.parser import text_string_to_metric_families

from fixtures.reference.app import create_app
from fixtures.reference.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AsyncExitStack

    from fastapi import FastAPI

    from fixtures.reference.parts import Design, Parts
    from suites.support.relay import Relay

# Quick to recover, and patient with a crowded machine: an outage is a refused connection here, never a slow one.
QUICK = {
    "breaker": {"recovery_s": 0.05, "recovery_max_s": 0.1, "window_s": 30.0},
    "redis": {"timeout_s": 2.0},
    "postgres": {"timeout_s": 10.0},
    "pool": {"connect_timeout_s": 5.0},
    "health_timeout_s": 2.0,
    "request_timeout_s": 30.0,
}


def quick_settings(redis: int, postgres: int, /, **settings: object) -> Settings:
    """Return settings of a replica that recovers quickly, and finds its dependencies at these ports.

    A group that is given is merged into the quick one.
    """
    told = {"redis": {"port": redis}, "postgres": {"port": postgres}}
    merged: dict[str, object] = {**QUICK, **settings}
    for group in ("redis", "postgres", "breaker"):
        merged[group] = {**QUICK[group], **told.get(group, {}), **settings.get(group, {})}
    return Settings(**merged)


class World:
    """Replicas, a client for each, and the relays to their dependencies."""

    def __init__(self, redis: Relay, postgres: Relay, stack: AsyncExitStack) -> None:
        self.redis, self.postgres, self._stack = redis, postgres, stack

    async def replica(
        self, name: str = "replica-1", *, design: Design | None = None, **settings: object
    ) -> httpx.AsyncClient:
        """Start one in this process and wait until it is ready; it is stopped with the world."""
        app, client = await self.started(design=design, replica=name, **settings)
        await until(lambda: is_ready(app, client))
        return client

    async def started(self, *, design: Design | None = None, **settings: object) -> tuple[FastAPI, httpx.AsyncClient]:
        """Start one, of the core's own classes or of others, and wait for nothing; return it and a client of it."""
        app = create_app(quick_settings(self.redis.port, self.postgres.port, **settings), design)
        return app, await self._stack.enter_async_context(serving(app))


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Start an application in this process; yield a client of it."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://replica") as client,
    ):
        client.app = app  # so that a test may look inside
        yield client


async def is_ready(app: FastAPI, client: httpx.AsyncClient) -> bool:
    """Tell whether it says that it is ready, and hears the news."""
    parts: Parts = app.state.parts
    return (await client.get("/health/ready")).status_code == 200 and parts.bus.is_listening


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float = 100.0) -> None:
    """Poll a condition until it holds."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.01)


async def put(client: httpx.AsyncClient, item: int, value: str, **headers: str) -> httpx.Response:
    """Write an item."""
    return await client.put(f"/items/{item}", json={"value": value}, headers=headers)


def series(text: str) -> dict[str, float]:
    """Return a metrics page as values by name and labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {f"{each.name}{sorted(each.labels.values())}": each.value for each in samples}


async def series_of(client: httpx.AsyncClient) -> dict[str, float]:
    """Ask a replica for its metrics, in a way that changes none of those on compression."""
    return series((await client.get("/metrics", headers={"accept-encoding": "identity"})).text)
