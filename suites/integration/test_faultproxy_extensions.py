"""What our fault proxy can do beyond Toxiproxy, on real connections."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import time

import asyncpg
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from harness.stack.components.postgres import DATABASE, USER
from suites.support.faultproxy import (
    DEADLINE_S,
    Road,
    address_of,
    how_it_ended,
    is_silent,
    read_exactly,
    started,
    wait_until,
)
from suites.support.servers import start_postgres, start_redis

# Long enough that a proxy that wanted to send would have.
QUIET_S = 0.1


@pytest.fixture(scope="module")
def ours():
    with started("ours") as running:
        yield running


@pytest.fixture
def road(ours):
    with Road(ours) as road:
        yield road


def is_hit(road) -> bool:
    """Open a connection that a `limit_data` of 0 bytes, if it applies, closes at the first byte."""
    client, upstream = road.travel()
    upstream.sendall(b"x")
    return client.recv(1) == b""


class TestSchedule:
    """`when`."""

    @pytest.mark.parametrize(
        ("when", "hits"),
        [
            ({"first": 2}, [True, True, False, False, False, False]),
            ({"skip": 2}, [False, False, True, True, True, True]),
            ({"every": 3}, [False, False, True, False, False, True]),
            ({"skip": 1, "first": 2}, [False, True, True, False, False, False]),
            ({"skip": 1, "every": 2, "first": 4}, [False, False, True, False, True, False]),
            ({}, [True] * 6),
        ],
    )
    def test_selects_connections_by_their_place(self, road, when, hits):
        """The first N, all but the first N, every Nth, counted from the toxic on."""
        road.travel()
        road.poison("limit_data", when=when, bytes=0)

        assert [is_hit(road) for _ in hits] == hits

    def test_spares_connections_from_before_when_it_counts(self, road):
        """A connection that was there first has no place in the count."""
        client, upstream = road.travel()
        road.poison("limit_data", when={"first": 1}, bytes=0)
        upstream.sendall(b"x")

        assert client.recv(1) == b"x"
        assert is_hit(road)

    def test_flaps(self, road):
        """On, off, on: data is held, passes, is held again."""
        client, upstream = road.travel()
        road.poison("bandwidth", when={"on_ms": 400, "off_ms": 400}, rate=0)

        upstream.sendall(b"1")
        assert is_silent(client, QUIET_S)
        assert client.recv(1) == b"1"  # released as the off part begins
        upstream.sendall(b"2")
        assert not is_silent(client, QUIET_S)
        assert client.recv(1) == b"2"
        wait_until(lambda: kinds(road).count("toxic_on") == 1, "it is on again")
        upstream.sendall(b"3")
        assert is_silent(client, QUIET_S)

    def test_expires(self, road):
        """The toxic is gone after its time, and what it held arrives."""
        client, upstream = road.travel()
        road.poison("bandwidth", when={"lasts_ms": 300}, rate=0)
        started_s = time.monotonic()
        upstream.sendall(b"held")

        assert client.recv(4) == b"held"
        assert time.monotonic() - started_s > 0.2
        assert road.server.must("GET", "/proxies/road/toxics") == []
        assert kinds(road)[-2:] == ["toxic_expired", "toxic_removed"]

    def test_is_shown_and_changed_like_a_field(self, road):
        """Shown only if it is given; a PATCH replaces it as a whole, or leaves it."""
        plain = road.server.must("GET", road.poison("noop", name="plain"))
        toxic = road.poison("noop", when={"first": 2, "every": 1})

        changed = road.server.must("PATCH", toxic, {"when": {"lasts_ms": 60_000}})
        kept = road.server.must("PATCH", toxic, {"toxicity": 0.5})
        cleared = road.server.must("PATCH", toxic, {"when": {}})

        assert "when" not in plain
        assert changed["when"] == kept["when"] == {"lasts_ms": 60_000}
        assert "when" not in cleared

    @pytest.mark.parametrize(
        "when", [{"first": -1}, {"on_ms": 5}, {"off_ms": 5}, {"first": 1.5}, [], {"lasts_ms": 10**12}]
    )
    def test_refuses_what_cannot_work(self, road, when):
        """With a 400, and nothing is created."""
        answer = road.server.ask("POST", "/proxies/road/toxics", {"type": "noop", "when": when})

        assert answer.status == 400
        assert road.server.must("GET", "/proxies/road/toxics") == []

    def test_is_unknown_in_strict_mode(self):
        """As in the original, which ignores fields it does not know."""
        with started("strict") as strict, Road(strict) as road:
            assert "when" not in strict.must("GET", road.poison("noop", when={"first": 1}))


class TestConnectBlackhole:
    """`connect_blackhole`."""

    def test_lets_connects_time_out_until_healed(self, road):
        """A connect hangs, an open connection lives on, and after healing the one that hung gets in by itself."""
        client, upstream = road.travel()
        toxic = road.poison("connect_blackhole")

        with socket.socket() as knocking:
            knocking.setblocking(False)
            knocking.connect_ex(road.address)
            assert not is_connected(knocking, 2 * QUIET_S)
            client.sendall(b"alive")
            assert upstream.recv(5) == b"alive"

            road.heal(toxic)
            assert is_connected(knocking, DEADLINE_S)

        client, upstream = road.travel()
        client.sendall(b"new")
        upstream.recv(3)

    def test_keeps_its_times(self, road):
        """It flaps and expires like any toxic."""
        road.poison("connect_blackhole", when={"lasts_ms": 200})
        with socket.socket() as knocking:
            knocking.setblocking(False)
            knocking.connect_ex(road.address)
            assert not is_connected(knocking, 0.1)
            assert is_connected(knocking, DEADLINE_S)

    def test_survives_disabling(self, road):
        """A proxy that is enabled again is as deaf as before."""
        road.poison("connect_blackhole")
        road.server.must("PATCH", "/proxies/road", {"enabled": False})
        road.server.must("PATCH", "/proxies/road", {"enabled": True})
        with socket.socket() as knocking:
            knocking.setblocking(False)
            knocking.connect_ex(road.address)

            assert not is_connected(knocking, QUIET_S)


class TestStaleConnections:
    """`stale_connections`."""

    @pytest.mark.parametrize("stream", ["upstream", "downstream"])
    def test_silences_what_was_open_and_lets_new_connections_pass(self, road, stream):
        """One direction is lost on the old connection, nothing on the new one; the old one ends with the toxic."""
        client, upstream = road.travel()
        toxic = road.poison("stale_connections", stream=stream)
        sender, listener = (client, upstream) if stream == "upstream" else (upstream, client)

        sender.sendall(b"lost")
        assert is_silent(listener, QUIET_S)
        listener.sendall(b"kept")
        assert sender.recv(4) == b"kept"
        new_client, new_upstream = road.travel()
        for one, other in ((new_client, new_upstream), (new_upstream, new_client)):
            one.sendall(b"new")
            assert other.recv(3) == b"new"

        road.heal(toxic)
        assert how_it_ended(client) == "fin"
        new_client.sendall(b"still")
        assert new_upstream.recv(5) == b"still"


def is_connected(knocking: socket.socket, within_s: float) -> bool:
    """Tell whether a connect that was begun succeeds in time."""
    writable = select.select([], [knocking], [], within_s)[1]
    return bool(writable) and knocking.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


class TestConnectionLimit:
    """`connection_limit`."""

    def test_turns_away_who_is_too_many_and_lets_in_again(self, road):
        """Two may be open; the third is closed at once; when one leaves, the next gets in."""
        road.poison("connection_limit", connections=2)
        (client, upstream), _ = road.travel(), road.travel()

        assert how_it_ended(road.connect()) == "fin"
        client.close()
        upstream.close()
        wait_until(lambda: kinds(road).count("connection_closed") == 1, "one has left")
        third, upstream = road.travel()
        third.sendall(b"in")
        assert upstream.recv(2) == b"in"
        assert kinds(road).count("toxic_hit") == 1

    def test_of_zero_lets_nobody_in(self, road):
        """The default."""
        road.poison("connection_limit")

        assert how_it_ended(road.connect()) == "fin"


class TestDropReply:
    """`drop_reply`."""

    def test_lets_the_request_through_and_resets_instead_of_the_reply(self, road):
        """The server has done its work, the client gets a reset."""
        road.poison("drop_reply")
        client, upstream = road.travel()
        client.sendall(b"INCR")
        assert upstream.recv(4) == b"INCR"

        upstream.sendall(b"1")

        assert how_it_ended(client) == "reset"
        assert how_it_ended(upstream) == "reset"

    def test_lets_a_greeting_pass_and_idle_connections_live(self, road):
        """So many bytes arrive before anything is dropped."""
        road.poison("drop_reply", pass_bytes=5)
        client, upstream = road.travel()
        upstream.sendall(b"hello")

        assert client.recv(5) == b"hello"
        assert is_silent(client, QUIET_S)
        upstream.sendall(b"lost")
        assert how_it_ended(client) == "reset"

    def test_waits_from_the_first_lost_byte_whatever_follows(self, road):
        """More lost bytes do not postpone the reset."""
        road.poison("drop_reply", timeout=400)
        client, upstream = road.travel()
        started_s = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while is_silent(client, 0.1):
                upstream.sendall(b"x")

        assert how_it_ended(client) == "reset"
        assert 0.4 <= time.monotonic() - started_s < 1.5

    def test_removal_spares_who_lost_nothing(self, road):
        """And resets who did."""
        toxic = road.poison("drop_reply", timeout=60_000)
        (spared, upstream), (struck, other) = road.travel(), road.travel()
        other.sendall(b"lost")
        assert is_silent(struck, QUIET_S)

        road.heal(toxic)

        assert how_it_ended(struck) == "reset"
        upstream.sendall(b"alive")
        assert spared.recv(5) == b"alive"


class TestMaxAge:
    """`max_age`."""

    @pytest.mark.parametrize("ending", ["close", "reset"])
    @pytest.mark.parametrize("stream", ["upstream", "downstream"])
    def test_ends_a_connection_that_is_in_use(self, road, stream, ending):
        """Whoever speaks, and however much; every byte until then arrives, and no connection ends sooner."""
        road.poison("max_age", stream, age=400, ending=ending)
        started_s = time.monotonic()
        client, upstream = road.travel()
        said = 0
        with contextlib.suppress(ConnectionError):
            while echoed(client, upstream):
                said += 1

        assert 0.4 <= time.monotonic() - started_s < 1.4
        assert said > 3
        expected = {"close": {"fin"}, "reset": {"reset", "fin"}}[ending]  # a reset is read once
        assert {how_it_ended(client), how_it_ended(upstream)} <= expected

    def test_resets_both_sides(self, road):
        """With the ending `reset`."""
        road.poison("max_age", age=100, ending="reset")
        client, upstream = road.travel()

        assert (how_it_ended(client), how_it_ended(upstream)) == ("reset", "reset")

    def test_counts_from_the_connect(self, road):
        """A connection that is older ends at once, also in mid-answer; a younger one at its own time."""
        old = road.travel()
        assert is_silent(old[0], 0.3)
        young = road.travel()
        old[1].sendall(b"answ")
        assert old[0].recv(4) == b"answ"
        started_s = time.monotonic()
        road.poison("max_age", age=300)

        assert how_it_ended(old[0]) == "fin"
        assert time.monotonic() - started_s < 0.25
        assert how_it_ended(young[0]) == "fin"
        assert time.monotonic() - started_s >= 0.25

    def test_follows_a_change_and_spares_who_outlives_it(self, road):
        """Counted from the same moment; once it is gone, connections live on."""
        toxic = road.poison("max_age", age=60_000)
        (first, _), (second, upstream) = road.travel(), road.travel()
        road.change(toxic, age=200)
        assert how_it_ended(first) == "fin"
        assert how_it_ended(second) == "fin"
        third, upstream = road.travel()
        road.heal(toxic)

        assert is_silent(third, 0.3)
        upstream.sendall(b"alive")
        assert third.recv(5) == b"alive"

    @pytest.mark.parametrize("attributes", [{"age": -1}, {"ending": "fin"}, {"age": 10**9}])
    def test_refuses_what_no_connection_has(self, road, attributes):
        """With a 400."""
        body = {"type": "max_age", "attributes": attributes}

        assert road.server.ask("POST", "/proxies/road/toxics", body).status == 400


def echoed(client: socket.socket, upstream: socket.socket) -> bool:
    """Send a word each way, with a moment between; tell whether both have arrived."""
    client.sendall(b"ping")
    if upstream.recv(4) != b"ping":
        return False
    upstream.sendall(b"pong")
    return client.recv(4) == b"pong" and is_silent(upstream, 0.02)


class TestLatencyDistribution:
    """`latency_distribution`; the shapes themselves are in the unit suite."""

    def test_delays_by_its_table(self, road):
        """A table of one value is a constant."""
        client, upstream = road.travel()
        road.poison("latency_distribution", distribution="table", percentiles=[[100, 200]])
        started_s = time.monotonic()
        upstream.sendall(b"late")

        assert client.recv(4) == b"late"
        assert 0.2 <= time.monotonic() - started_s < 1.2

    @pytest.mark.parametrize(
        "attributes",
        [
            {},
            {"median": 5},
            {"median": 5, "p99": 4},
            {"median": 5, "p99": 10, "distribution": "even"},
            {"distribution": "table"},
            {"distribution": "table", "percentiles": [[50, 1], [50, 2]]},
            {"distribution": "table", "percentiles": [[50, 5], [60, 2]]},
            {"distribution": "table", "percentiles": [[101, 5]]},
            {"distribution": "table", "percentiles": [5]},
            {"distribution": "table", "percentiles": [["a", 5]]},
            {"distribution": 5},
        ],
    )
    def test_refuses_what_no_distribution_has(self, road, attributes):
        """With a 400."""
        body = {"type": "latency_distribution", "attributes": attributes}

        assert road.server.ask("POST", "/proxies/road/toxics", body).status == 400


class TestSharedBandwidth:
    """`shared_bandwidth`."""

    def test_is_one_wire_for_all_connections(self, road):
        """Two times 20 KB at 100 KB/s take 400 ms, where each alone would take 200."""
        pairs = [road.travel(), road.travel()]
        road.poison("shared_bandwidth", rate=100)
        started_s = time.monotonic()
        for _, upstream in pairs:
            upstream.sendall(b"x" * 20_000)
        for client, _ in pairs:
            assert len(read_exactly(client, 20_000)) == 20_000

        assert 0.39 <= time.monotonic() - started_s < 1.4


class TestRedisError:
    """`redis_error`: what is sent to Redis, and what a real one and a real client make of it."""

    def test_exchanges_the_command_for_one_that_fails(self, road):
        """Writes are exchanged, reads and handshakes pass, however the bytes are cut."""
        road.poison("redis_error", "upstream", error="READONLY")
        client, upstream = road.travel()
        for part in (b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r", b"\nSET\r\n$1\r\na\r", b"\n$4\r\nlo"):
            client.sendall(part)
        assert read_exactly(upstream, 20) == b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
        client.sendall(b"st\r\n*1\r\n$4\r\nPING\r\n")
        client.shutdown(socket.SHUT_WR)
        rest = read_exactly(upstream, 10_000)

        assert rest.startswith(b"*4\r\n$4\r\nEVAL\r\n")
        assert b"READONLY You can't write against a read only replica." in rest
        assert rest.endswith(b"*1\r\n$4\r\nPING\r\n")
        assert b"lost" not in rest

    @pytest.mark.parametrize(
        "sent",
        [
            pytest.param(b"\x16\x03\x01\x02\x00\x01\n\x0b\r\nGET /", id="a ClientHello with line ends in it"),
            pytest.param(b"\x00\r\nSET a b\r\n", id="binary"),
            pytest.param(b"*x\r\n$3\r\nSET\r\n", id="no number of words"),
            pytest.param(b"*2\r\n:3\r\nSET\r\n", id="no length of a word"),
            pytest.param(b"*2\r\n$-1\r\nSET\r\n", id="a negative length"),
            pytest.param(b"*0\r\n*-1\r\n\r\n", id="commands without words"),
            pytest.param(b"*1\r\n$999\r\n" + b"x" * 999 + b"\r\n", id="a name that no command has"),
        ],
    )
    def test_passes_what_is_no_command(self, road, sent):
        """Untouched, to the byte, and not as a hit; a client that speaks TLS is heard by the server."""
        toxic = road.poison("redis_error", "upstream")
        client, upstream = road.travel()
        client.sendall(sent)

        assert read_exactly(upstream, len(sent)) == sent
        assert hits(road, toxic) == 0

    @pytest.mark.parametrize("nothing", [b"*0\r\n", b"*-1\r\n", b"\r\n", b"*1\r\n$0\r\n\r\n"])
    @pytest.mark.parametrize("is_cut", [False, True])
    def test_goes_on_behind_commands_without_words(self, road, nothing, is_cut):
        """Redis skips them, so what follows is a command like any other, and what came before has ended."""
        road.poison("redis_error", "upstream", error="READONLY")
        client, upstream = road.travel()
        write, read = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n", b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
        sent = write + nothing + read + nothing + write
        for part in [bytes([byte]) for byte in sent] if is_cut else [sent]:
            client.sendall(part)
        client.shutdown(socket.SHUT_WR)

        said = read_exactly(upstream, 10_000)

        assert said.count(b"EVAL") == 2
        assert nothing + read + nothing in said
        assert b"SET" not in said

    def test_answers_in_the_place_of_a_server_without_scripts(self, road):
        """Nothing of the command, and no EVAL, reaches a server that would not know it."""
        road.poison("redis_error", "upstream", error="OOM", answered_by="proxy")
        client, upstream = road.travel()
        for _ in range(2):
            client.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n")
            answer = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
            assert read_exactly(client, len(answer)) == answer
        client.sendall(b"*1\r\n$4\r\nPING\r\n")

        assert read_exactly(upstream, 14) == b"*1\r\n$4\r\nPING\r\n"

    def test_makes_a_real_redis_answer_with_the_error(self, ours, redis_port):
        """Through redis-py, pipeline included: the error where it belongs, in order, and gone when healed."""
        upstream = f"127.0.0.1:{redis_port}"
        shown = ours.must("POST", "/proxies", {"name": "redis", "listen": "127.0.0.1:0", "upstream": upstream})
        host, port = address_of(shown["listen"])
        try:
            once = Retry(NoBackoff(), 0)  # by default redis-py waits for a server that is loading
            with contextlib.closing(redis.Redis(host, port, socket_timeout=DEADLINE_S, retry=once)) as client:
                client.set("a", "1")
                toxic = {"type": "redis_error", "attributes": {"error": "OOM"}}
                path = f"/proxies/redis/toxics/{ours.must('POST', '/proxies/redis/toxics', toxic)['name']}"
                with pytest.raises(redis.exceptions.OutOfMemoryError):
                    client.set("a", "2")
                pipeline = client.pipeline(transaction=False).get("a").incr("a").get("a")
                first, second, third = pipeline.execute(raise_on_error=False)
                ours.must("PATCH", path, {"attributes": {"error": "LOADING"}})
                with pytest.raises(redis.exceptions.BusyLoadingError):
                    client.get("a")
                ours.must("PATCH", path, {"attributes": {"error": "MISCONF no", "commands": "get"}})
                with pytest.raises(redis.exceptions.ResponseError, match="MISCONF no"):
                    client.get("a")
                ours.must("DELETE", path)
                healed = client.get("a")
        finally:
            ours.must("DELETE", "/proxies/redis")

        assert (first, third, healed) == (b"1", b"1", b"1")
        assert isinstance(second, redis.exceptions.OutOfMemoryError)


@pytest.fixture(scope="module")
def redis_port():
    with start_redis() as port:
        yield port


def pg_message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4) + body


class PostgresRoad:
    """A proxy in front of a real Postgres, with one `postgres_error` at a time."""

    def __init__(self, server, port: int) -> None:
        self._server = server
        shown = server.must(
            "POST", "/proxies", {"name": "pg", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{port}"}
        )
        self._address = address_of(shown["listen"])

    def via_proxy(self, database: str = "dbname") -> dict[str, object]:
        """Return what a client connects with; `database` is its word for that."""
        host, port = self._address
        return {"host": host, "port": port, "user": USER, database: DATABASE}

    def poison(self, **attributes: object) -> None:
        self._server.must("POST", "/proxies/pg/toxics", {"type": "postgres_error", "attributes": attributes})

    def change(self, **attributes: object) -> None:
        self._server.must("PATCH", "/proxies/pg/toxics/postgres_error_upstream", {"attributes": attributes})

    def heal(self) -> None:
        self._server.must("DELETE", "/proxies/pg/toxics/postgres_error_upstream")


@pytest.fixture(scope="module")
def postgres_port():
    with start_postgres() as port:
        yield port


@pytest.fixture
def postgres(ours, postgres_port):
    yield PostgresRoad(ours, postgres_port)
    ours.must("DELETE", "/proxies/pg")


INSERT = "INSERT INTO t VALUES (1)"
PG_STARTUP = (16).to_bytes(4) + (196608).to_bytes(4) + b"user\0a\0\0"
PG_SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)
PG_SYNC = pg_message(b"S", b"")


class TestPostgresError:
    """`postgres_error`: what is sent to PostgreSQL, and what a real one and two real clients make of it."""

    def test_makes_statements_of_psycopg_fail(self, postgres):
        """As the client's own exceptions, in simple and extended protocol; the transaction goes on as it should."""
        with psycopg.connect(**postgres.via_proxy()) as connection:
            connection.execute("CREATE TEMPORARY TABLE t (n int)")
            connection.commit()
            postgres.poison(sqlstate="40001", statements="insert update")

            for arguments in [None, (1,)]:
                with pytest.raises(psycopg.errors.SerializationFailure, match="injected by the fault proxy"):
                    connection.execute("INSERT INTO t VALUES (%s)" if arguments else INSERT, arguments)
                with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                    connection.execute("SELECT 1")
                connection.rollback()
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)

            postgres.change(sqlstate="25006", statements="select")
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                connection.execute("SELECT 1")
            connection.rollback()
            postgres.heal()
            connection.execute(INSERT)
            assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]

    def test_makes_a_batch_of_psycopg_fail(self, postgres):
        """In pipeline mode too the error comes where it belongs, and the session lives on."""
        with psycopg.connect(**postgres.via_proxy(), autocommit=True) as connection:
            postgres.poison(sqlstate="40P01", statements="select")
            with pytest.raises(psycopg.errors.DeadlockDetected), connection.pipeline():
                connection.execute("SELECT %s", (1,))
            postgres.heal()

            assert connection.execute("SELECT %s", (2,)).fetchone() == (2,)

    async def test_makes_statements_of_asyncpg_fail(self, postgres):
        """Which prepares each statement and waits for the server in the middle of it."""
        connection = await asyncpg.connect(**postgres.via_proxy("database"), command_timeout=DEADLINE_S)
        try:
            postgres.poison(sqlstate="40001")
            for _ in range(2):
                with pytest.raises(asyncpg.SerializationError, match="injected by the fault proxy"):
                    await connection.fetchval("SELECT $1::int", 1)
            postgres.heal()

            assert await connection.fetchval("SELECT $1::int", 2) == 2
        finally:
            await connection.close()

    def test_refuses_sessions_of_psycopg(self, postgres):
        """With the message of a server that has its fill; who is in stays in."""
        with psycopg.connect(**postgres.via_proxy()) as connection:
            postgres.poison(sqlstate="53300", at="startup", message="sorry, too many clients already")
            with pytest.raises(psycopg.OperationalError, match="FATAL:  sorry, too many clients already"):
                psycopg.connect(**postgres.via_proxy())

            assert connection.execute("SELECT 1").fetchone() == (1,)
            postgres.heal()
            psycopg.connect(**postgres.via_proxy()).close()

    def test_exchanges_a_statement_for_one_that_fails(self, road):
        """A simple query becomes one that raises; transaction control passes."""
        road.poison("postgres_error", "upstream", sqlstate="40P01", message="it's off")
        client, upstream = road.travel()
        begin, select = pg_message(b"Q", b"BEGIN\0"), pg_message(b"Q", b"select 1\0")
        client.sendall(PG_STARTUP + begin + select + pg_message(b"X", b""))
        client.shutdown(socket.SHUT_WR)

        said = read_exactly(upstream, 10_000)

        assert said.startswith(PG_STARTUP + begin + b"Q")
        assert b"ERRCODE = '40P01', MESSAGE = 'it''s off'" in said
        assert b"select 1" not in said
        assert said.endswith(pg_message(b"X", b""))

    def test_exchanges_a_batch_when_it_ends(self, road):
        """Parse, Bind, Execute, Sync become one query that raises, in one answer; the next batch too."""
        road.poison("postgres_error", "upstream")
        client, upstream = road.travel()
        batch = pg_message(b"P", b"\0select $1\0\0\0") + pg_message(b"B", b"\0\0") + pg_message(b"E", b"\0\0\0\0\0")
        batch += (close := pg_message(b"C", b"S\0"))
        client.sendall(PG_STARTUP)
        for byte in batch + PG_SYNC + batch + PG_SYNC:
            client.sendall(bytes([byte]))
        client.shutdown(socket.SHUT_WR)

        said = read_exactly(upstream, 10_000).removeprefix(PG_STARTUP)

        assert said.count(b"RAISE EXCEPTION") == 2
        assert not any(part in said for part in (b"select", close, PG_SYNC))

    def test_answers_a_client_that_waits_in_the_middle(self, road):
        """After Flush the error comes from the proxy, and Sync goes to the server."""
        road.poison("postgres_error", "upstream", sqlstate="57014")
        client, upstream = road.travel()
        client.sendall(PG_STARTUP + pg_message(b"P", b"\0select 1\0\0\0") + pg_message(b"H", b""))
        assert read_exactly(upstream, len(PG_STARTUP)) == PG_STARTUP
        assert b"C57014\0" in client.recv(1000)

        client.sendall(PG_SYNC)

        assert read_exactly(upstream, len(PG_SYNC)) == PG_SYNC

    def test_strikes_only_the_statements_asked_for(self, road):
        """By their first word."""
        road.poison("postgres_error", "upstream", statements="insert update")
        client, upstream = road.travel()
        select = pg_message(b"Q", b"SELECT 1\0")
        client.sendall(PG_STARTUP + select + pg_message(b"Q", b"INSERT INTO t\0"))
        client.shutdown(socket.SHUT_WR)

        said = read_exactly(upstream, 10_000)

        assert said.startswith(PG_STARTUP + select)
        assert b"INSERT" not in said

    @pytest.mark.parametrize(
        "before",
        ["/* traceparent='00-a' */ ", "/* a /* nested */ one */", "-- a line\n\t-- and one more\n", " ;(", "/**/--\n("],
    )
    def test_finds_a_statement_behind_comments(self, road, before):
        """Tools of tracing put them first; in both protocols, however the bytes are cut."""
        road.poison("postgres_error", "upstream", statements="insert")
        client, upstream = road.travel()
        statement = before.encode() + b"insert into t\0"
        simple = pg_message(b"Q", statement)
        batch = pg_message(b"P", b"\0" + statement + b"\0\0") + PG_SYNC
        for byte in PG_STARTUP + simple + batch:
            client.sendall(bytes([byte]))
        client.shutdown(socket.SHUT_WR)

        said = read_exactly(upstream, 10_000)

        assert said.count(b"RAISE EXCEPTION") == 2
        assert b"insert" not in said

    def test_finds_a_statement_behind_a_long_comment(self, road):
        """Of kilobytes, as those are that tell a trace, a route and a user."""
        road.poison("postgres_error", "upstream", statements="insert")
        client, upstream = road.travel()
        client.sendall(PG_STARTUP + pg_message(b"Q", b"/*" + b"x" * 5000 + b"*/insert into t\0"))
        client.shutdown(socket.SHUT_WR)

        assert b"RAISE EXCEPTION" in read_exactly(upstream, 10_000)

    def test_knows_statements_that_were_prepared_under_it(self, road):
        """They run again by their names alone: that of an insert fails, that of a select and closing it do not."""
        toxic = road.poison("postgres_error", "upstream", statements="update")
        client, upstream = road.travel()
        prepare = b"".join(
            pg_message(b"P", name + b"\0" + text + b"\0\0\0") + PG_SYNC
            for name, text in [(b"i", b"insert into t"), (b"s", b"select 1")]
        )
        client.sendall(PG_STARTUP + prepare)
        assert read_exactly(upstream, len(PG_STARTUP + prepare)) == PG_STARTUP + prepare
        road.change(toxic, statements="insert")
        run_select, run_insert = (pg_message(b"B", b"\0" + name + b"\0\0\0\0\0") + PG_SYNC for name in (b"s", b"i"))
        close = pg_message(b"C", b"Si\0") + PG_SYNC
        client.sendall(run_select + run_insert + close)
        client.shutdown(socket.SHUT_WR)

        said = read_exactly(upstream, 10_000)

        assert said.startswith(run_select + b"Q")
        assert said.endswith(b"END $fault$\0" + close)
        assert run_insert not in said

    def test_refuses_sessions(self, road):
        """At startup, after declining encryption; sessions that are open go on."""
        open_client, open_upstream = road.travel()
        road.poison("postgres_error", "upstream", sqlstate="53300", at="startup")
        client, upstream = road.travel()
        client.sendall(PG_SSL_REQUEST)
        assert client.recv(1) == b"N"

        client.sendall(PG_STARTUP)

        assert b"SFATAL\0" in read_exactly(client, 10_000)
        assert read_exactly(upstream, 10) == b""
        open_client.sendall(pg_message(b"Q", b"select 1\0"))
        assert read_exactly(open_upstream, 14) == pg_message(b"Q", b"select 1\0")

    def test_passes_what_is_not_postgres(self, road):
        """TLS, for example."""
        road.poison("postgres_error", "upstream")
        client, upstream = road.travel()
        client.sendall(b"\x16\x03\x01\x02\x00 hello")

        assert read_exactly(upstream, 11) == b"\x16\x03\x01\x02\x00 hello"[:11]


class TestHttpError:
    """`http_error`."""

    def test_answers_in_the_servers_place(self, road):
        """The server hears nothing of it, and the connection goes on."""
        toxic = road.poison("http_error", "upstream", status=429, retry_after=7, body="slow down")
        client, upstream = road.travel()
        for _ in range(2):
            client.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-")
            client.sendall(b"Length: 4\r\n\r\nbo")
            client.sendall(b"dy")
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert (answer.status, answer.headers["Retry-After"], answer.read()) == (429, "7", b"slow down")
            answer.close()

        road.heal(toxic)
        client.sendall(b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n")

        assert read_exactly(upstream, 28) == b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n"

    def test_lets_other_paths_pass(self, road):
        """Byte by byte as they came, body included."""
        road.poison("http_error", "upstream", path_prefix="/api")
        client, upstream = road.travel()
        request = b"PUT /health HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
        for byte in request:
            client.sendall(bytes([byte]))
        assert read_exactly(upstream, len(request)) == request

        client.sendall(b"GET /api/x HTTP/1.1\r\nHost: x\r\n\r\n")

        assert client.recv(1000).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert is_silent(upstream, QUIET_S)

    def test_has_no_body_for_head(self, road):
        """Its length is told, as for GET, and nothing comes behind the head."""
        road.poison("http_error", "upstream", body="slow down")
        client, _ = road.travel()
        for _ in range(2):
            client.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)

            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nContent-Length: 9\r\n" in head
            assert is_silent(client, QUIET_S)

    @pytest.mark.parametrize(
        ("request_head", "connection", "ending"),
        [
            (b"GET / HTTP/1.0\r\n\r\n", "close", "fin"),
            (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "close", "fin"),
            (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "keep-alive", "open"),
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", None, "open"),
        ],
    )
    def test_ends_the_connection_where_the_client_wants_it(self, road, request_head, connection, ending):
        """By its version and its header Connection, and says so; a client that waits for the end is not left waiting."""
        road.poison("http_error", "upstream", body="slow down")
        client, _ = road.travel()
        client.sendall(request_head)
        answer = http.client.HTTPResponse(client)
        answer.begin()

        assert (answer.status, answer.headers["Connection"], answer.read()) == (503, connection, b"slow down")
        client.settimeout(DEADLINE_S if ending == "fin" else QUIET_S)
        assert how_it_ended(client) == ending

    def test_answers_a_client_that_holds_its_body_back(self, road):
        """`Expect: 100-continue` is answered at once; what comes all the same is dropped, and the end is in order."""
        road.poison("http_error", "upstream", status=429, body="slow down")
        client, upstream = road.travel()
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert (answer.status, answer.headers["Connection"], answer.read()) == (429, "close", b"slow down")

        client.sendall(b"the bodyGET / HTTP/1.1\r\n\r\n")

        assert how_it_ended(client) == "fin"
        assert read_exactly(upstream, 10) == b""

    def test_of_a_last_answer_lets_go_when_healed(self, road):
        """What had its last answer ends; it does not come back to a server that never heard of it."""
        toxic = road.poison("http_error", "upstream")
        client, upstream = road.travel()
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(10).startswith(b"HTTP/1.1 5")

        road.heal(toxic)

        assert how_it_ended(client) == "fin"
        assert read_exactly(upstream, 10) == b""

    @pytest.mark.parametrize("offer", [b"h2c", b"websocket"])
    def test_answers_a_request_that_offers_another_protocol(self, road, offer):
        """Its body is its body, and the next request on the connection is answered as well."""
        road.poison("http_error", "upstream", path_prefix="/api")
        client, upstream = road.travel()
        head = b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nContent-Length: 4\r\n\r\n" % offer
        passing = b"POST /health HTTP/1.1\r\n" + head + b"body"
        client.sendall(passing)
        assert read_exactly(upstream, len(passing)) == passing

        client.sendall(b"POST /api HTTP/1.1\r\n" + head + b"body")
        answer = http.client.HTTPResponse(client)
        answer.begin()

        assert answer.status == 503
        assert is_silent(upstream, QUIET_S)

    @pytest.mark.parametrize(
        ("status", "header", "value"),
        [
            (401, "WWW-Authenticate", 'Basic realm="fault proxy"'),
            (405, "Allow", ""),
            (407, "Proxy-Authenticate", 'Basic realm="fault proxy"'),
            (426, "Upgrade", "HTTP/2.0"),
            (204, "Content-Length", None),
            (205, "Content-Length", "0"),
            (304, "Content-Length", None),
        ],
    )
    def test_says_what_a_status_must_come_with(self, road, status, header, value):
        """As RFC 9110 asks for each, and no body where there must be none."""
        road.poison("http_error", "upstream", status=status, body="x" * (status >= 400))
        client, _ = road.travel()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = http.client.HTTPResponse(client)
        answer.begin()

        assert (answer.status, answer.headers[header], answer.read()) == (status, value, b"x" * (status >= 400))

    @pytest.mark.parametrize(
        ("target", "is_struck"), [(b"http://h:1/api/x?y", True), (b"http://h/other", False), (b"http://h", False)]
    )
    def test_knows_a_path_behind_a_host(self, road, target, is_struck):
        """As clients of an HTTP proxy send it."""
        road.poison("http_error", "upstream", path_prefix="/api")
        client, upstream = road.travel()
        client.sendall(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % target)

        assert (client if is_struck else upstream).recv(4) == (b"HTTP" if is_struck else b"GET ")

    def test_passes_a_tunnel(self, road):
        """What follows CONNECT is another protocol."""
        road.poison("http_error", "upstream")
        client, upstream = road.travel()
        client.sendall(b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n\x16\x03GET / HTTP/1.1\r\n\r\n")

        assert upstream.recv(7) == b"CONNECT"

    def test_passes_what_is_not_http(self, road):
        """TLS, for example."""
        road.poison("http_error", "upstream")
        client, upstream = road.travel()
        client.sendall(b"\x16\x03\x01\x02\x00 hello")

        assert read_exactly(upstream, 11) == b"\x16\x03\x01\x02\x00 hello"[:11]


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("redis_error", {"error": " "}),
        ("redis_error", {"error": "a\nb"}),
        ("redis_error", {"answered_by": "nobody"}),
        ("postgres_error", {"sqlstate": "00000"}),
        ("postgres_error", {"sqlstate": "4000"}),
        ("postgres_error", {"at": "end"}),
        ("postgres_error", {"message": "$fault$"}),
        ("http_error", {"status": 100}),
        ("http_error", {"status": 999}),
        ("http_error", {"retry_after": -1}),
    ],
)
def test_protocol_toxics_refuse_what_no_server_says(road, kind, attributes):
    """With a 400."""
    assert road.server.ask("POST", "/proxies/road/toxics", {"type": kind, "attributes": attributes}).status == 400


@pytest.mark.parametrize("kind", ["redis_error", "postgres_error", "http_error"])
def test_protocol_toxics_belong_upstream(road, kind):
    """They read requests: that is their default stream, and any other is refused."""
    path = "/proxies/road/toxics"

    assert road.server.must("POST", path, {"type": kind})["stream"] == "upstream"
    assert road.server.ask("POST", path, {"type": kind, "name": "n", "stream": "downstream"}).status == 400


@pytest.mark.parametrize(
    "kind",
    [
        "connect_blackhole",
        "connection_limit",
        "drop_reply",
        "http_error",
        "latency_distribution",
        "max_age",
        "postgres_error",
        "redis_error",
        "shared_bandwidth",
        "stale_connections",
    ],
)
def test_strict_mode_knows_no_extension(strict, kind):
    """An invalid type, as for the original."""
    answer = strict.ask("POST", "/proxies/here/toxics", {"type": kind})

    assert (answer.status, answer.json["error"]) == (400, "invalid toxic type")


@pytest.fixture(scope="module")
def strict():
    with started("strict") as running:
        running.must("POST", "/proxies", {"name": "here", "upstream": "127.0.0.1:1", "listen": "127.0.0.1:0"})
        yield running


def hits(road, toxic: str) -> int:
    """Remove a toxic; return how often it has acted."""
    road.heal(toxic)
    events = [event for event in road.server.must("GET", "/events")["events"] if event["kind"] == "toxic_removed"]
    return events[-1]["hits"]


def kinds(road) -> list[str]:
    """Return the kinds of events about this road's proxy since it was created."""
    events = [event for event in road.server.must("GET", "/events")["events"] if event["proxy"] == road.name]
    latest = max(place for place, event in enumerate(events) if event["kind"] == "proxy_started")
    return [event["kind"] for event in events[latest:]]
