"""The reference service as it runs in production: a process of its own under uvicorn."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from suites.support.replicas import until
from suites.support.servers import PROJECT, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

APP = "fixtures.reference.app:create_app"


class Served:
    """One process, a client of it, and what it logs.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, process: asyncio.subprocess.Process, port: int, client: httpx.AsyncClient, log: Path) -> None:
        self.port, self.client = port, client
        self._process, self._log = process, log

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()

    def stop(self) -> None:
        """Ask it to end, as an orchestrator does."""
        self._process.send_signal(signal.SIGTERM)

    async def ended(self, *, within_s: float = 10.0) -> int:
        """Wait for its end; return its exit code."""
        async with asyncio.timeout(within_s):
            return await self._process.wait()

    def log(self) -> str:
        """Return what it has written to stderr."""
        return self._log.read_text()

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Return the events that it has logged, of this name if one is given."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in lines if name in {"", line["event"]}]

    async def has_logged(self, phase: str) -> bool:
        """Tell whether this phase of its start has an outcome."""
        return phase in {event["phase"] for event in self.events("start")}

    async def has_heard_the_news(self) -> bool:
        """Tell whether it is told of other replicas' writes, the last phase of a start where all is well."""
        return await self.has_logged("news")

    async def is_closing(self) -> bool:
        """Tell whether its server has answered every request and waits for the application to end."""
        return bool(self.events("Waiting for application shutdown."))

    async def is_answering(self, path: str = "/health/live", status: int = 200) -> bool:
        """Tell whether it answers so."""
        try:
            return (await self.client.get(path)).status_code == status
        except httpx.TransportError:
            return False


@asynccontextmanager
async def served(
    folder: Path, redis: int, postgres: int, *, wait_for: str = "/health/ready", app: str = APP, **variables: object
) -> AsyncIterator[Served]:
    """Run the service until it answers `wait_for`; it is killed in the end if it still runs."""
    port = free_port()
    log = folder / f"{app.rpartition(':')[0]}-{port}.log"
    told = {"redis_port": redis, "postgres_port": postgres, **variables}
    environment = {**os.environ, **{f"REFERENCE_{name.upper()}": str(value) for name, value in told.items()}}
    command = ["-m", "uvicorn", app, "--factory", "--port", str(port), "--no-access-log"]
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=PROJECT, env=environment, stderr=stderr
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            replica = Served(process, port, client, log)
            await until(lambda: replica.is_answering(wait_for), within_s=150.0)
            yield replica
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
