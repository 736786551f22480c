"""Tasks of the reference service: submitted to a replica, done by a worker of its own, and what became of the others."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import asynccontextmanager

import pytest

from fixtures.reference.core.deadletter import Failure
from suites.support.replicas import put, series_of, until
from suites.support.servers import PROJECT


def items(*numbers: int, value: str = "imported"):
    return {"kind": "import", "items": [{"item": number, "value": f"{value} {number}"} for number in numbers]}


@asynccontextmanager
async def worker(world, log, **variables):
    """Run the worker as it runs in production; killed in the end if it still runs."""
    told = {"redis_port": world.redis.port, "postgres_port": world.postgres.port, **variables}
    environment = {**os.environ, **{f"REFERENCE_{name.upper()}": str(value) for name, value in told.items()}}
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fixtures.reference.work", cwd=PROJECT, env=environment, stderr=stderr
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_task_is_done_by_a_worker_and_its_items_are_read(world, tmp_path):
    """202 with a place to ask; queued until a worker comes, then done, with what it wrote; the worker ends at SIGTERM."""
    client = await world.replica()
    accepted = await client.post("/tasks", json=items(2100, 2101))
    place = accepted.headers["location"]
    assert (accepted.status_code, accepted.json()["is_new"]) == (202, True)
    assert re.fullmatch("/tasks/[0-9a-f]{32}", place)
    waiting = (await client.get(place)).json()
    assert (waiting["state"], waiting["kind"], waiting["attempts"], waiting["written"]) == ("queued", "import", 0, None)

    async with worker(world, tmp_path / "log") as process:

        async def is_done() -> bool:
            return (await client.get(place)).json()["state"] == "done"

        await until(is_done)
        process.terminate()
        async with asyncio.timeout(20):
            assert await process.wait() == 0

    assert (await client.get(place)).json()["written"] == 2
    for item in (2100, 2101):
        assert (await client.get(f"/items/{item}")).json()["value"] == f"imported {item}"
    assert '"event": "stopped"' in (tmp_path / "log").read_text()


async def test_task_writes_items_of_the_tenant_that_asked(world, tmp_path):
    """And of nobody else."""
    client = await world.replica()
    place = (await client.post("/tasks", json=items(2102), headers={"x-tenant": "acme"})).headers["location"]

    async with worker(world, tmp_path / "log"):

        async def is_done() -> bool:
            return (await client.get(place)).json()["state"] == "done"

        await until(is_done)

    assert (await client.get("/items/2102", headers={"x-tenant": "acme"})).json()["value"] == "imported 2102"
    assert (await client.get("/items/2102")).status_code == 404


async def test_copy_is_tried_until_what_it_copies_is_there(world, tmp_path):
    """It was submitted too early: it rests, and is done when a client has written the other item."""
    client = await world.replica()
    place = (await client.post("/tasks", json={"kind": "copy", "source": 2104, "target": 2105})).headers["location"]

    async def is_(state: str) -> bool:
        return (await client.get(place)).json()["state"] == state

    async with worker(world, tmp_path / "log", worker_max_attempts=1000, worker_backoff_max_s=0.1):
        await until(lambda: is_("resting"))
        await put(client, 2104, "written late")
        await until(lambda: is_("done"))

    assert (await client.get("/items/2105")).json() == {"id": 2105, "value": "written late", "version": 1}
    known = (await client.get(place)).json()
    assert (known["written"], known["error"]) == (1, "")
    assert 0 < known["took_s"] < 100


async def test_copy_of_what_is_never_there_is_a_dead_letter(world, tmp_path):
    """After as many attempts as are declared, with its reason, and without effect."""
    client = await world.replica()
    told = {"kind": "copy", "source": 2106, "target": 2107}
    place = (await client.post("/tasks", json=told, headers={"x-tenant": "acme"})).headers["location"]

    async def is_dead() -> bool:
        return (await client.get(place)).json()["state"] == "dead"

    async with worker(world, tmp_path / "log", worker_max_attempts=3, worker_backoff_s=0.01):
        await until(is_dead)

    known = (await client.get(place)).json()
    assert (known["attempts"], known["error"], known["written"]) == (3, "NoSuchItem", None)
    assert (await client.get("/health/dlq")).json()["by_error"] == {"NoSuchItem": 1}
    assert (await client.get("/items/2107", headers={"x-tenant": "acme"})).status_code == 404


async def test_idempotency_key_puts_a_task_there_once(world):
    """The same again is the same task; another one with its key is refused; another tenant's key is another."""
    client = await world.replica()

    async def submitted(told, **headers: str):
        return await client.post("/tasks", json=told, headers={"idempotency-key": "once", **headers})

    first, again = await submitted(items(1)), await submitted(items(1))
    other, elsewhere = await submitted(items(2)), await submitted(items(2), **{"x-tenant": "acme"})

    assert (first.json()["is_new"], again.json()["is_new"]) == (True, False)
    assert first.json()["task"] == again.json()["task"]
    assert (other.status_code, elsewhere.status_code, elsewhere.json()["is_new"]) == (409, 202, True)
    without = [(await client.post("/tasks", json=items(1))).json()["task"] for _ in range(2)]
    assert len({*without, first.json()["task"]}) == 3


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({"kind": "other", "items": [{"item": 1, "value": "x"}]}, id="another kind"),
        pytest.param({"kind": "import", "items": []}, id="nothing to do"),
        pytest.param({"kind": "import", "source": 1, "target": 2}, id="what another kind does"),
        pytest.param({"kind": "copy", "source": 1, "target": -2}, id="no such number to copy to"),
        pytest.param({"kind": "import", "items": [{"item": -1, "value": "x"}]}, id="no such number"),
        pytest.param({"kind": "import", "items": [{"item": 1.5, "value": "x"}]}, id="no whole number"),
        pytest.param({"kind": "import", "items": [{"item": "1", "value": "x"}]}, id="text"),
        pytest.param({"kind": "import", "items": [{"item": True, "value": "x"}]}, id="no number"),
        pytest.param({"kind": "import", "items": [{"item": 1, "value": "\x00"}]}, id="what Postgres cannot hold"),
        pytest.param(items(*range(1001)), id="too much"),
    ],
)
async def test_task_that_makes_no_sense_is_refused_before_it_is_queued(world, told):
    """It would only become a dead letter."""
    client = await world.replica()

    assert (await client.post("/tasks", json=told)).status_code == 422
    assert (await client.app.state.parts.queue.depth()).new == 0


async def test_whole_number_is_one_however_it_is_written(world):
    """JSON has one kind of number: clients that write 5.0 mean 5, and the published schema says that both will do."""
    client = await world.replica()
    new = '{"kind": "import", "items": [{"item": 5.0, "value": "x"}]}'

    accepted = await client.post("/tasks", content=new, headers={"content-type": "application/json"})

    assert accepted.status_code == 202


async def test_tasks_are_limited_and_need_redis(world):
    """Submitting pays like a write; an unknown task is 404; without Redis both are 503, and nothing is accepted."""
    client = await world.replica(limiter={"rate_per_s": 0.001, "burst": 2}, replicas=1)
    key = {"x-client-key": "importer"}
    assert (await client.get(f"/tasks/{'0' * 32}", headers=key)).status_code == 404
    assert (await client.post("/tasks", json=items(1), headers=key)).status_code == 202
    assert (await client.post("/tasks", json=items(1), headers=key)).status_code == 429

    await world.redis.cut()

    assert (await client.post("/tasks", json=items(1))).status_code == 503
    assert (await client.get(f"/tasks/{'0' * 32}")).status_code == 503


async def test_an_import_pays_for_each_of_its_items(world):
    """Three of five tokens are gone with three items; three more are too many then, and two are not."""
    client = await world.replica(limiter={"rate_per_s": 0.001, "burst": 5})

    answers = [(await client.post("/tasks", json=items(*range(count)))).status_code for count in (3, 3, 2, 1)]

    assert answers == [202, 429, 202, 429]


@pytest.mark.parametrize("limit", ["limiter", "tenant"])
async def test_an_import_of_more_than_a_bucket_holds_takes_all_of_it(world, limit):
    """Of a client, or of its tenant: it is served when the bucket is full, and leaves nothing."""
    client = await world.replica(**{limit: {"rate_per_s": 0.001, "burst": 5}})

    answers = [
        (await client.post("/tasks", json=items(*range(count)), headers={"x-tenant": "acme"})).status_code
        for count in (20, 1)
    ]

    assert answers == [202, 429]


@pytest.mark.parametrize(
    ("letters", "level", "said"),
    [
        pytest.param(0, "calm", "", id="none"),
        pytest.param(9, "calm", "", id="nine"),
        pytest.param(10, "look", "10 of 10 died of TimeoutError: find its cause", id="ten"),
        pytest.param(50, "act", "50 of 50 died of TimeoutError: stop what feeds this queue", id="fifty"),
    ],
)
async def test_dead_letters_are_counted_and_something_is_recommended(world, letters, level, said):
    """From ten on a look, from fifty on an act, with the kind of error that most of them died of."""
    client = await world.replica(limiter={"rate_per_s": 0.001, "burst": 100})
    parts = client.app.state.parts
    for number in range(letters):
        await parts.queue.submit("import", b"%d" % number)
    for taken in await parts.queue.take("undertaker", letters) if letters else []:
        record = parts.queue.record_of(taken.task)
        assert await parts.letters.move(taken.held, Failure(error="TimeoutError", attempts=5), record=record)

    answer = await client.get("/health/dlq")

    told = answer.json()
    assert (answer.status_code, told["level"], told["entries"]) == (200, level, letters)
    assert told["since_the_beginning"]["moved"] == letters
    assert told["by_error"] == ({"TimeoutError": letters} if letters else {})
    assert (told["recommendations"] != []) == (level != "calm")
    assert all(each.startswith(said) for each in told["recommendations"])


async def test_dead_letters_without_redis_are_unknown(world):
    """Not none: 503, and counted as Redis' doing."""
    client = await world.replica()
    await world.redis.cut()

    assert (await client.get("/health/dlq")).status_code == 503
    assert (await series_of(client))["reference_errors_total['redis']"] == 1
