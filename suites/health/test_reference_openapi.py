"""What the reference service publishes of itself, held to what it does by Schemathesis, as anybody would run it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from suites.support.served import served

WRITTEN_HERE = {
    "/items/{item}": {"get", "put"},
    "/search": {"get"},
    "/tasks": {"post"},
    "/tasks/{task}": {"get"},
    "/health/live": {"get"},
    "/health/ready": {"get"},
    "/health/circuit-breakers": {"get"},
    "/health/circuit-breakers/trace": {"get"},
    "/health/dlq": {"get"},
    "/health/queries": {"get"},
    "/health/queries/{statement}/advice": {"post"},
    "/metrics": {"get"},
}
"""Every operation: one that is not published is not tested either."""

EXAMPLES = 10  # of each operation, beside those that are derived from its schema one by one


async def test_schemathesis_finds_nothing(servers, tmp_path):
    """No answer is a surprise: statuses, types, headers and bodies are those published, nonsense is refused, sense is not."""
    async with served(tmp_path, *servers) as replica:
        published = (await replica.client.get("/openapi.json")).json()
        said = await run_by_others(f"http://127.0.0.1:{replica.port}/openapi.json", tmp_path)

    assert "`/live`" in published["info"]["description"]  # a WebSocket, which OpenAPI has no words for
    assert {path: set(operations) for path, operations in published["paths"].items()} == WRITTEN_HERE
    assert said.returncode == 0, said.stdout
    counted = json.loads((tmp_path / "report.json").read_text())
    assert counted["operations"]["tested"] == sum(len(operations) for operations in WRITTEN_HERE.values()), counted


async def run_by_others(url: str, folder) -> subprocess.CompletedProcess[str]:
    """Run Schemathesis beside the service's client; return what it said."""
    options = ["--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--seed", "1", "--no-color"]
    options += ["--suppress-health-check", "all"]  # on a crowded machine to make an example is slow
    report = ["--report", "json", "--report-json-path", str(folder / "report.json")]
    command = [sys.executable, "-m", "schemathesis.cli", "run", url, *options, *report]
    return await asyncio.to_thread(subprocess.run, command, cwd=folder, capture_output=True, text=True, check=False)
