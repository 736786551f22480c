"""What the reference service does around every request: its id, its time, its size, and whose it is."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager

import asyncpg
import psutil
import pytest

from suites.support.replicas import put, series_of, until
from suites.support.served import served

RAW = {"accept-encoding": "identity"}
GZIP = {"accept-encoding": "gzip"}


async def test_request_id_is_the_clients_or_a_new_one(world):
    """A sane one comes back; without one, or with one that could forge a log line, there is a new one each time."""
    client = await world.replica()

    async def answered(*told: str) -> str:
        headers = [("x-request-id", each) for each in told]
        return (await client.get("/health/live", headers=headers)).headers["x-request-id"]

    assert await answered("a-1_B.2") == "a-1_B.2"
    assert await answered("a" * 64) == "a" * 64
    fresh = [
        await answered(),
        await answered(),
        await answered("a" * 65),
        await answered('x" "event": "forged'),
        await answered(""),
    ]
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in fresh)
    assert len(set(fresh)) == len(fresh)


async def test_each_request_is_a_log_line_if_that_is_wanted(world, capfd):
    """Method, template, status, duration and id; nothing of what was written, and no address."""
    client = await world.replica("logging", log_requests=True)
    capfd.readouterr()

    await put(client, 60, "a value of nobody's business", **{"x-request-id": "wanted-1"})
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    (line,) = [line for line in lines if line["event"] == "request"]
    assert {key: line[key] for key in ("replica", "level", "request_id", "method", "route", "status")} == {
        "replica": "logging",
        "level": "info",
        "request_id": "wanted-1",
        "method": "PUT",
        "route": "/items/{item}",
        "status": 200,
    }
    assert 0 < line["took_s"] < 10
    assert "business" not in json.dumps(lines)
    assert "127.0.0.1" not in json.dumps(line)


async def test_no_request_is_a_log_line_otherwise(world, capfd):
    """At thousands a second the lines would be the load."""
    client = await world.replica()
    capfd.readouterr()

    await client.get("/items/60")

    assert "request" not in [json.loads(line)["event"] for line in capfd.readouterr().err.splitlines()]


async def test_what_is_logged_on_a_request_has_its_id(world, capfd, monkeypatch):
    """An unexpected error can be found by the id that its client was told; the next request has another."""
    client = await world.replica()

    def mistake(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("fixtures.reference.items.answer", mistake)
    capfd.readouterr()
    told = [(await client.get("/items/61")).headers["x-request-id"] for _ in range(2)]
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    assert [line["request_id"] for line in lines if line["event"] == "unexpected error"] == told


@pytest.mark.parametrize(
    ("plain_bytes", "is_compressed"), [pytest.param(1023, False, id="below"), pytest.param(1024, True, id="at 1 KiB")]
)
async def test_answers_are_compressed_from_one_kib_on(world, plain_bytes, is_compressed):
    """For those who take gzip, at the byte; what is unpacked is what the others get."""
    client = await world.replica()
    frame_bytes = len('{"id": 62, "value": "", "version": 1}')
    await put(client, 62, "v" * (plain_bytes - frame_bytes))
    version = (await client.get("/items/62", headers=RAW)).json()["version"]
    assert version < 10

    plain = await client.get("/items/62", headers=RAW)
    packed = await client.get("/items/62", headers=GZIP)

    assert len(plain.content) == plain_bytes
    assert "content-encoding" not in plain.headers
    assert packed.headers.get("content-encoding") == ("gzip" if is_compressed else None)
    assert packed.json() == plain.json()
    assert (int(packed.headers["content-length"]) < plain_bytes) == is_compressed
    assert packed.headers.get("vary") == ("Accept-Encoding" if is_compressed else None)


async def test_size_from_which_answers_are_compressed_is_a_setting(world):
    """With a minimum of one byte even the shortest answer is; with one above it, it is not."""
    small, large = await world.replica(gzip_min_bytes=1), await world.replica(gzip_min_bytes=10_000)
    await put(small, 69, "v" * 2000)

    assert (await small.get("/health/live", headers=GZIP)).headers["content-encoding"] == "gzip"
    assert "content-encoding" not in (await large.get("/items/69", headers=GZIP)).headers


async def test_request_that_takes_too_long_is_ended_and_counted(world):
    """A read from a silent Postgres ends with the request's own time, though Postgres may take longer."""
    client = await world.replica(request_timeout_s=0.3)
    before = (await series_of(client)).get("reference_errors_total['timeout']", 0)  # a crowded machine starts slowly
    world.postgres.silence()
    clock = asyncio.get_running_loop().time
    began_s = clock()

    answer = await client.get("/items/1910")

    assert (answer.status_code, answer.json()["retry_after_s"], answer.headers["retry-after"]) == (503, 1.0, "1")
    assert 0.3 <= clock() - began_s < 2.0
    seen = await series_of(client)
    assert seen["reference_errors_total['timeout']"] == before + 1
    assert seen["reference_request_seconds_count['/items/{item}', '5xx', 'GET']"] == 1
    assert seen["reference_requests_in_flight[]"] == 1


async def test_write_that_takes_too_long_goes_on_behind_its_answer(world):
    """503 says that it may have happened; when Postgres speaks again, it has, and it is what is read."""
    client = await world.replica(request_timeout_s=0.3)
    world.postgres.silence()
    assert (await put(client, 64, "late")).status_code == 503
    await world.postgres.mend()

    async def is_there() -> bool:
        return (await client.get("/items/64")).json().get("value") == "late"

    await until(is_there)


async def test_time_out_of_our_own_making_is_not_taken_for_the_requests(world, capfd, monkeypatch):
    """A TimeoutError that escapes is a mistake like any other: 500, and logged."""
    client = await world.replica()

    def mistake(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr("fixtures.reference.items.answer", mistake)

    assert (await client.get("/items/65")).status_code == 500
    assert "unexpected error" in capfd.readouterr().err


async def test_client_that_does_not_send_its_body_is_told_so(servers, tmp_path):
    """Half a body and then nothing: 408 within the request's time, its connection closed, no error of ours."""
    ours = "reference_errors_total['timeout']"
    async with served(tmp_path, *servers, request_timeout_s=1.0) as replica:
        before = await series_of(replica.client)  # on a busy machine a look at its readiness may have taken too long
        reader, writer = await asyncio.open_connection("127.0.0.1", replica.port)
        writer.write(
            b"PUT /items/66 HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{"
        )
        async with asyncio.timeout(30):
            answer = await reader.read()
        writer.close()
        seen = await series_of(replica.client)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert seen.get(ours, 0) == before.get(ours, 0)


async def test_tenants_have_items_of_their_own(world):
    """The same number is another item for each, at every level and on every replica; without a tenant it is a third."""
    one, two = await world.replica("one"), await world.replica("two")
    wanted = {"": "nobody's", "acme": "of acme", "umbrella": "of umbrella"}
    for tenant, value in wanted.items():
        assert (await put(one, 67, value, **of(tenant))).status_code == 200

    for client in (one, two, two):
        for tenant, value in wanted.items():
            assert (await client.get("/items/67", headers=of(tenant))).json()["value"] == value
    assert (await two.get("/items/67", headers=of("initech"))).status_code == 404


def of(tenant: str) -> dict[str, str]:
    return {"x-tenant": tenant} if tenant else {}


async def test_write_of_one_tenant_tells_other_replicas_of_nothing_else(world):
    """News of a tenant's write reaches that tenant's item, and leaves the others' where they are."""
    one, two = await world.replica("one"), await world.replica("two")
    for tenant in ("acme", "umbrella"):
        await put(one, 68, "first", **of(tenant))
        assert (await two.get("/items/68", headers=of(tenant))).json()["value"] == "first"

    await put(one, 68, "second", **of("acme"))

    async def is_heard() -> bool:
        return (await two.get("/items/68", headers=of("acme"))).json()["value"] == "second"

    await until(is_heard)
    other = await two.get("/items/68", headers=of("umbrella"))
    assert (other.json()["value"], other.headers["x-cache"]) == ("first", "l1")


async def test_all_clients_of_a_tenant_share_its_limit(world):
    """Three clients of one tenant with a bucket of two: the third is refused; another tenant and no tenant are not."""
    client = await world.replica(tenant={"rate_per_s": 0.001, "burst": 2})

    async def asked(tenant: str, name: str) -> int:
        return (await client.get("/items/1", headers={**of(tenant), "x-client-key": name})).status_code

    assert [await asked("shared", name) for name in ("a", "b", "c")] == [404, 404, 429]
    assert await asked("other", "c") == 404
    assert [await asked("", name) for name in ("a", "b", "c")] == [200] * 3
    decided = {name: value for name, value in (await series_of(client)).items() if "limiter_decisions" in name}
    assert decided["reference_limiter_decisions_total['admitted', 'tenant']"] == 3
    assert decided["reference_limiter_decisions_total['rejected', 'tenant']"] == 1


async def test_clients_of_two_tenants_do_not_share_a_bucket(world):
    """The same client key under another tenant, or under none, is another client; a tenant's bucket is no client's."""
    client = await world.replica(limiter={"rate_per_s": 0.001, "burst": 1})

    async def asked(**headers: str) -> int:
        return (await client.get("/items/1", headers=headers)).status_code

    key = {"x-client-key": "same"}
    assert await asked(**key, **of("left")) == 404
    assert await asked(**key, **of("left")) == 429
    assert await asked(**key, **of("right")) == 404
    assert await asked(**key) == 200
    assert await asked(**{"x-client-key": "@left"}) == 200


@pytest.mark.parametrize("tenant", ["Acme", "a/b", "-a", "a" * 33, "", "a:b"])
async def test_name_of_a_tenant_that_could_be_mistaken_is_refused(world, tenant):
    """No name can hold what separates it from an item or a client in a key; the longest that is taken has 32."""
    client = await world.replica()

    assert (await client.get("/items/1", headers={"x-tenant": tenant})).status_code == 422
    assert (await client.get("/items/1", headers={"x-tenant": "a" * 32})).status_code == 404


@pytest.mark.parametrize(
    "headers", [{}, {"x-tenant": "library"}, {"x-client-key": "k" * 100}, [("x-tenant", "library"), ("x-tenant", "A")]]
)
async def test_item_is_answered_alike_however_it_is_written(world, headers):
    """Digits are read beside FastAPI, a sign or a space by FastAPI: the answer, its headers and its series are the same."""
    client = await world.replica()
    await put(client, 7, "of nobody")
    await put(client, 7, "of the library", **of("library"))

    async def answered(path: str) -> tuple[object, ...]:
        answer = await client.get(path, headers=headers)
        kept = {name: value for name, value in answer.headers.items() if name not in {"x-request-id", "date"}}
        return answer.status_code, answer.json(), kept

    plain, odd = await answered("/items/7"), await answered("/items/%2B7")
    assert plain == odd
    assert plain[0] == 200
    assert plain[1]["value"] == ("of the library" if "x-tenant" in dict(headers) else "of nobody")
    assert (await answered("/items/8"))[:2] == (await answered("/items/%2B8"))[:2]
    assert not [name for name in await series_of(client) if "unmatched" in name]


async def test_search_finds_what_values_contain(world):
    """In either case, by number, at most as many as asked for, for this tenant only; LIKE's own characters are plain."""
    client = await world.replica()
    for item, value in [(3, "Blue whale"), (1, "a BLUEberry"), (2, "100% blue_ink"), (4, "red")]:
        await put(client, item, value, **of("library"))
    await put(client, 1, "blue", **of("elsewhere"))

    async def found(**told: object) -> list[int]:
        answer = await client.get("/search", params=told, headers=of("library"))
        assert answer.status_code == 200
        return [item["id"] for item in answer.json()["items"]]

    assert await found(text="blue") == [1, 2, 3]
    assert await found(text="blue", limit=2) == [1, 2]
    assert await found(text="0%") == [2]
    assert await found(text="e_i") == [2]
    assert await found(text="l%e") == []
    assert await found(text="\\") == []
    answer = await client.get("/search", params={"text": "red"}, headers=of("library"))
    assert answer.json() == {"items": [{"id": 4, "value": "red", "version": 1}]}


async def test_search_is_limited_and_needs_postgres(world):
    """It pays like a read, and without Postgres it is refused as one: no cache could answer it."""
    client = await world.replica(limiter={"rate_per_s": 0.001, "burst": 1})
    key = {"x-client-key": "searcher"}
    assert (await client.get("/search?text=seeded", headers=key)).status_code == 200
    assert (await client.get("/search?text=seeded", headers=key)).status_code == 429

    await world.postgres.cut()

    assert (await client.get("/search?text=seeded", headers={"x-client-key": "another"})).status_code == 503


@pytest.mark.parametrize("query", ["", "text=", "text=" + "a" * 101, "text=a&limit=0", "text=a&limit=101", "text=%00"])
async def test_search_for_nonsense_is_refused(world, query):
    """Nothing, too much, or what Postgres cannot hold."""
    client = await world.replica()

    assert (await client.get(f"/search?{query}")).status_code == 422


@asynccontextmanager
async def world_of_old_items(postgres: int):
    """A database of its own, with the table as it was before there were tenants."""
    here = {"host": "127.0.0.1", "port": postgres, "user": "postgres"}
    connection = await asyncpg.connect(**here, database="postgres")
    await connection.execute("CREATE DATABASE before_tenants")
    await connection.close()
    connection = await asyncpg.connect(**here, database="before_tenants")
    await connection.execute("CREATE TABLE items (id bigint PRIMARY KEY, value text NOT NULL, version bigint NOT NULL)")
    await connection.execute("INSERT INTO items VALUES (7, 'old', 3)")
    await connection.close()
    yield "before_tenants"


async def test_items_from_before_there_were_tenants_are_those_of_none(world, servers):
    """A table without the column is adopted at the start: its items are read, and a tenant's are others."""
    async with world_of_old_items(servers[1]) as database:
        client = await world.replica(postgres={"database": database})

        old = await client.get("/items/7")
        assert (old.json()["value"], old.json()["version"]) == ("old", 3)
        assert (await put(client, 7, "new")).json()["version"] == 4
        assert (await client.get("/items/7", headers=of("acme"))).status_code == 404
        assert (await put(client, 7, "own", **of("acme"))).json()["version"] == 1


async def test_liveness_takes_less_than_ten_milliseconds(servers, tmp_path):
    """Of a core, in a real process, so that a crowded machine is not taken for a slow service.

    That it waits for nothing besides is held by `test_liveness_asks_no_dependency`.
    """
    asked = 300
    async with served(tmp_path, *servers) as replica:
        process = psutil.Process(replica.pid)
        before = process.cpu_times()
        for _ in range(asked):
            assert (await replica.client.get("/health/live")).status_code == 200
        after = process.cpu_times()

    assert (after.user + after.system - before.user - before.system) / asked < 0.010


async def test_no_answer_says_what_it_runs_on(world):
    """Unknown routes and methods are answered in the service's own form."""
    client = await world.replica()

    nowhere, wrong = await client.get("/nowhere"), await client.delete("/items/1")

    assert (nowhere.status_code, nowhere.json()) == (404, {"error": "not found"})
    assert (wrong.status_code, wrong.json()) == (405, {"error": "method not allowed"})
    assert wrong.headers["allow"] == "GET, PUT"
