"""The store against a real Postgres, one that is away, one that never answers, and callers who go away."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import asyncpg
import pytest

from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.breaker import Breaker, BreakerPolicy, CircuitOpen, DependencyFailed, State
from fixtures.reference.core.pool import Pool, PoolPolicy
from fixtures.reference.core.pool.postgres import PostgresDriver
from fixtures.reference.core.store import Item, Store, StorePolicy
from fixtures.reference.core.store._store import RECONNECT_S, SCHEMA_LOCK
from suites.support.dice import dice_of
from suites.support.relay import Relay

NAMES = iter(f"store_{number}" for number in range(1000))
PATIENT_S = 10.0  # what is not asked about must not time out on a crowded machine


@pytest.fixture
async def admin(postgres_port):
    """A session of the superuser, on no database of ours."""
    connection = await asyncpg.connect(host="127.0.0.1", port=postgres_port, user="postgres", database="postgres")
    yield connection
    await connection.close()


@pytest.fixture
async def database(admin):
    """A database of this test alone."""
    name = next(NAMES)
    await admin.execute(f"CREATE DATABASE {name}")
    yield name
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def made(postgres_port, database):
    """Make stores on that database; all are closed in the end."""
    stores = []

    def make(
        *,
        failures: int = 5,
        least: int = 0,
        most: int = 10,
        connect_timeout_s: float = PATIENT_S,
        watch=lambda connection: connection,
        **chosen: object,
    ) -> Store:
        breaker = Breaker("postgres", BreakerPolicy(failures=failures), clock=MonotonicClock(), random=Random(1))
        policy = {
            "host": "127.0.0.1",
            "port": postgres_port,
            "user": "postgres",
            "password": "",
            "database": database,
            "ssl": "disable",
            "op_timeout_s": PATIENT_S,
        }
        policy = StorePolicy(**{**policy, **chosen})
        lending = PoolPolicy(
            max_connections=most,
            min_idle=least,
            acquire_timeout_s=PATIENT_S,
            connect_timeout_s=connect_timeout_s,
            close_timeout_s=PATIENT_S,  # one that is cut, because it does not go in time, is still seen by the server
        )
        driver = PostgresDriver(policy.options())
        pool = Pool("postgres", driver, lending, clock=MonotonicClock(), random=Random(1))
        stores.append(Store(policy, pool=pool, breaker=breaker, watch=watch))
        return stores[-1]

    yield make
    for store in stores:
        await store.close(within_s=0)


@pytest.fixture
def frozen_port():
    """A port where the kernel accepts, and nothing ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        yield frozen.getsockname()[1]


async def prepared(store: Store, seed_items: int = 3) -> Store:
    async with asyncio.timeout(PATIENT_S):
        await store.prepare(seed_items=seed_items)
    return store


async def until(condition) -> None:
    async with asyncio.timeout(PATIENT_S):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in the server
            await asyncio.sleep(0.01)


async def sessions(admin, database) -> int:
    """Return how many connections of clients the server sees; a worker of autovacuum has a session there too."""
    return await admin.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'", database
    )


def sleeping(seconds: float):
    return lambda connection: connection.execute(f"SELECT pg_sleep({seconds})")


async def test_store_holds_the_seeded_items_and_no_others(made):
    """Items 0, 1 and 2 of three, each of version 1."""
    store = await prepared(made())

    held = [await store.read(number) for number in range(-1, 4)]

    assert held == [None, *(Item(number, f"seeded {number}", 1) for number in range(3)), None]


async def test_store_gives_each_write_the_next_version(made):
    """A new item begins at 1; the answer is what a read then finds."""
    store = await prepared(made())

    written = [await store.write(number, value) for number, value in [(1, "a"), (1, "b"), (9, "c")]]

    assert written == [Item(1, "a", 2), Item(1, "b", 3), Item(9, "c", 1)]
    assert [await store.read(number) for number in (1, 9)] == written[1:]


async def test_store_gives_concurrent_writes_of_one_item_versions_of_their_own(made):
    """Forty writes of two replicas become forty versions, and the last of them is what is read."""
    one, two = await prepared(made()), await prepared(made())

    written = await asyncio.gather(*(store.write(0, f"{n}") for n in range(20) for store in (one, two)))

    assert sorted(item.version for item in written) == list(range(2, 42))
    assert await one.read(0) == max(written, key=lambda item: item.version)


async def test_store_writes_once_for_each_key_and_keeps_what_came_after(made):
    """Said again it is not done again: the answer is the item as it is by then, whichever replica is asked (K1)."""
    one, two = await prepared(made()), await prepared(made())

    assert await one.write_once("a", 1, "first") == Item(1, "first", 2)
    assert await one.write_once("a", 1, "first") == Item(1, "first", 2)
    later = await two.write(1, "later")
    assert await two.write_once("a", 1, "first") == later
    assert await two.write_once("b", 9, "another") == Item(9, "another", 1)

    assert [await one.read(number) for number in (1, 9)] == [Item(1, "later", 3), Item(9, "another", 1)]


async def test_store_writes_once_though_many_say_it_at_the_same_time(made):
    """Forty calls over two replicas, one key: one version, which all are told (K1)."""
    one, two = await prepared(made()), await prepared(made())

    told = await asyncio.gather(*(store.write_once("a", 7, "x") for _ in range(20) for store in (one, two)))

    assert told == [Item(7, "x", 1)] * 40
    assert await one.read(7) == Item(7, "x", 1)


async def test_store_notes_no_key_of_a_write_that_was_not_made(made):
    """Key and item are one transaction: what Postgres refuses may be said again."""
    store = await prepared(made())
    with pytest.raises(asyncpg.CharacterNotInRepertoireError):
        await store.write_once("a", 7, "\0")

    assert await store.write_once("a", 7, "x") == Item(7, "x", 1)


async def test_store_lets_go_of_keys_that_are_a_month_old_a_few_at_a_time(made, database, postgres_port):
    """Ten at each write, those of yesterday never; a key that was let go of is a new one."""
    store = await prepared(made())
    for number in range(15):
        await store.write_once(f"old {number}", number, "x")
    await store.write_once("young", 99, "x")
    async with looking_into(postgres_port, database) as look:
        await look.execute("UPDATE written SET at = at - interval '31 days' WHERE key LIKE 'old %'")
        await look.execute("UPDATE written SET at = at - interval '29 days' WHERE key = 'young'")
        counted = []
        for number in range(3):
            await store.write_once(f"new {number}", number, "y")
            counted.append(await look.fetchval("SELECT count(*) FROM written"))

    assert counted == [7, 3, 4]
    assert (await store.write_once("young", 99, "z")).version == 1
    assert (await store.write_once("old 14", 14, "z")).version == 2


@asynccontextmanager
async def looking_into(port: int, database: str):
    connection = await asyncpg.connect(host="127.0.0.1", port=port, user="postgres", database=database, ssl=False)
    yield connection
    await connection.close()


async def test_store_keeps_what_was_written_when_it_is_prepared_again(made):
    """A restart seeds what is missing and touches nothing else."""
    await (await prepared(made(), seed_items=1)).write(0, "mine")

    again = await prepared(made(), seed_items=2)

    assert [await again.read(number) for number in (0, 1)] == [Item(0, "mine", 2), Item(1, "seeded 1", 1)]


async def test_store_prepares_beside_no_other_replica(made, admin, database, postgres_port):
    """Two that create one table at once collide in the catalogue: it waits for the lock that another holds."""
    other = await asyncpg.connect(host="127.0.0.1", port=postgres_port, user="postgres", database=database)
    await other.execute("SELECT pg_advisory_lock($1)", SCHEMA_LOCK)
    store = made()
    preparing = asyncio.create_task(prepared(store))

    await until(lambda: admin.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"))
    assert not store.is_prepared
    await other.close()

    await preparing
    assert store.is_prepared


async def test_store_tries_until_postgres_is_there(made, postgres_port):
    """Refused connections end nothing: it pauses between them, and is prepared as soon as one is accepted."""
    relay = Relay(postgres_port)
    store, clock = made(port=relay.port), asyncio.get_running_loop().time
    began_s = clock()
    preparing = asyncio.create_task(prepared(store))

    await relay.mend()
    relay.upstream = 1  # it accepts and hangs up: a server that is starting
    await until(lambda: asyncio.sleep(0, relay.accepted >= 3))
    took_s = clock() - began_s
    assert (store.is_prepared, preparing.done()) == (False, False)
    assert took_s >= 0.4  # two pauses
    relay.upstream = postgres_port

    await preparing
    assert await store.read(0) == Item(0, "seeded 0", 1)
    await store.close(within_s=1)
    await relay.cut()


async def test_store_tries_until_it_is_let_in(made, admin, database):
    """A server whose connections are all taken answers, and is not there for this store yet."""
    crowded = f"crowded_{database}"
    await admin.execute(f"CREATE ROLE {crowded} LOGIN CONNECTION LIMIT 0")
    store = made(user=crowded)
    preparing = asyncio.create_task(prepared(store))

    await asyncio.wait([preparing], timeout=2 * RECONNECT_S)
    assert not preparing.done()
    await admin.execute(f"ALTER ROLE {crowded} SUPERUSER CONNECTION LIMIT -1")

    await preparing
    assert store.is_prepared


async def test_store_keeps_one_pool_however_often_it_tries(made, admin, database, postgres_port):
    """While the schema is locked each try times out; connections do not pile up on the server."""
    other = await asyncpg.connect(host="127.0.0.1", port=postgres_port, user="postgres", database=database)
    await other.execute("SELECT pg_advisory_lock($1)", SCHEMA_LOCK)
    store = made(op_timeout_s=0.05, least=1, most=1)
    preparing = asyncio.create_task(store.prepare(seed_items=1))
    tries: set[str] = set()
    seen: set[int] = set()

    async def has_tried_often() -> bool:
        seen.add(await sessions(admin, database))
        tries.update(
            await admin.fetchval(
                "SELECT array_agg(pid || query_start::text) FROM pg_stat_activity"
                " WHERE datname = $1 AND pid <> $2 AND query LIKE '%advisory%'",
                database,
                other.get_server_pid(),
            )
            or []
        )
        return len(tries) >= 6

    await until(has_tried_often)

    assert max(seen) == 2  # its own, and the one that holds the lock: one that is closed counts until the server let go
    await other.close()
    preparing.cancel()
    await asyncio.wait([preparing])


async def test_store_lets_be_watched_what_requests_ask_and_nothing_else(made):
    """Read, write and search go through what watches; seeing to the schema, pings and what is lent do not."""
    asked = []

    class Watch:
        def __init__(self, connection) -> None:
            self._connection = connection

        def __getattr__(self, name):
            asked.append(name)
            return getattr(self._connection, name)

    store = await prepared(made(watch=Watch))
    await store.ping()
    assert await store.lend(lambda connection: connection.fetchval("SELECT 7")) == 7
    assert asked == []

    assert (await store.read(1)).value == "seeded 1"
    assert (await store.write(1, "a")).version == 2
    assert [item.value for item in await store.search("a", limit=1)] == ["a"]
    assert asked == ["fetchrow", "fetchval", "fetch"]


async def test_store_lends_a_connection_past_the_breaker(made, frozen_port):
    """An open circuit does not keep a person from asking; what cannot be asked is said, and is no failure of requests."""
    store = await prepared(made())
    store.breaker.force_open()
    assert await store.lend(lambda connection: connection.fetchval("SELECT 7")) == 7

    away = made(port=frozen_port, connect_timeout_s=0.1)
    away.pool.open()
    with pytest.raises(DependencyFailed):
        await away.lend(lambda connection: connection.fetchval("SELECT 7"))
    assert away.breaker.recent() == (0, 0)


async def test_store_serves_nothing_before_it_has_a_connection(made):
    """It says so as it says that Postgres is away, and its breaker hears of it."""
    store = made()

    with pytest.raises(DependencyFailed):
        await store.read(0)
    with pytest.raises(DependencyFailed):
        await store.ping()

    assert store.breaker.recent() == (1, 1)
    assert not store.is_prepared


async def test_store_gives_up_on_all_steps_together(made):
    """One budget for waiting and asking: what the driver itself would allow each of them does not count."""
    store = await prepared(made())
    store._policy = replace(store._policy, op_timeout_s=0.1)  # the driver still has ten seconds for each command

    async with asyncio.timeout(5):
        with pytest.raises(DependencyFailed):
            await store._run(sleeping(30))

    assert store.breaker.recent() == (1, 1)


async def test_store_waits_for_a_connection_no_longer_than_for_an_answer(made):
    """With its one connection busy a further call is refused after the budget, and it is Postgres that is blamed."""
    store = await prepared(made(most=1))
    busy = asyncio.create_task(store._run(sleeping(30)))
    await asyncio.sleep(0)
    store._policy = replace(store._policy, op_timeout_s=0.1)

    async with asyncio.timeout(5):
        with pytest.raises(DependencyFailed) as refused:
            await store.write(0, "late")

    assert refused.value.dependency == "postgres"
    busy.cancel()
    await asyncio.wait([busy])


async def test_store_takes_a_pool_that_has_none_to_lend_for_postgres_being_away(made):
    """Connections that hang are the usual cause: the caller is told so, and the breaker hears of it."""
    store = await prepared(made(most=1))
    store.pool.policy = replace(store.pool.policy, acquire_timeout_s=0.05)

    async with store.pool.loan():
        with pytest.raises(DependencyFailed, match="PoolTimeout"):
            await store.read(0)

    assert store.breaker.recent() == (1, 1)
    assert await store.read(0) == Item(0, "seeded 0", 1)


async def test_store_connects_within_its_time(made, frozen_port):
    """A server that accepts and never answers holds up no more than one connection's time, again and again."""
    store = made(port=frozen_port, connect_timeout_s=0.05, least=1)
    preparing = asyncio.create_task(store.prepare(seed_items=1))

    await asyncio.wait([preparing], timeout=0.3)

    assert not preparing.done()
    assert not store.is_prepared
    preparing.cancel()
    await asyncio.wait([preparing])


async def test_store_opens_no_more_connections_than_it_may(made, admin, database):
    """Thirty reads at once share three, as the server counts them, and all are answered (P1)."""
    store = await prepared(made(most=3))

    reads = asyncio.gather(*(store._run(sleeping(0.02)) for _ in range(30)))
    counts = []
    while not reads.done():
        counts.append(await sessions(admin, database))
        await asyncio.sleep(0)

    await reads
    assert max(counts) == 3


async def test_store_is_whole_after_callers_went_away(made):
    """After a storm of cancelled calls all connections are there again, and the breaker heard nothing of it (P2)."""
    store, dice = await prepared(made(least=2, most=2)), dice_of(5)

    async def goes_away() -> None:
        call = asyncio.create_task(store._run(sleeping(0.01)))
        await asyncio.sleep(dice.random() * 0.02)
        call.cancel()
        await asyncio.wait([call])

    await asyncio.gather(*(goes_away() for _ in range(60)))

    assert await asyncio.gather(*(store.read(0) for _ in range(2))) == [Item(0, "seeded 0", 1)] * 2
    assert store.breaker.recent()[0] == 0


async def test_store_takes_an_answer_to_a_statement_for_an_answer(made):
    """An error of a statement is the caller's, and proves that Postgres is there: ten of them open nothing."""
    store = await prepared(made())

    for _ in range(10):
        with pytest.raises(asyncpg.CharacterNotInRepertoireError):
            await store.write(0, "\0")

    assert store.breaker.state is State.CLOSED
    assert store.breaker.recent()[0] == 0


@pytest.mark.parametrize("code", ["53100", "25006"])
async def test_store_reads_on_where_postgres_can_keep_no_write(made, postgres_port, database, code):
    """Its disk is full, or it takes no write: each is refused as one that was not made, and no read is."""
    store = await prepared(made(failures=1))
    admin = await asyncpg.connect(host="127.0.0.1", port=postgres_port, user="postgres", database=database)
    refusing = f"BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'; END"
    await admin.execute(f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ {refusing} $$")
    await admin.execute("CREATE TRIGGER refuses BEFORE INSERT OR UPDATE ON items EXECUTE FUNCTION refuse()")
    await admin.close()

    for _ in range(3):
        with pytest.raises(DependencyFailed) as refused:
            await store.write(1, "new")
        assert not refused.value.may_have_acted
    assert (await store.read(1)).value == "seeded 1"
    assert store.breaker.state is State.CLOSED


async def test_store_says_when_a_write_may_have_been_made(made, admin, database):
    """Its session was ended while it ran: Postgres is blamed, and it is not known whether the write is there."""
    store = await prepared(made(most=1))
    write = asyncio.create_task(store._run(sleeping(30)))
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1 AND query LIKE '%sleep%'"

    await until(lambda: admin.fetchval(ended, database))
    with pytest.raises(DependencyFailed) as failed:
        await write

    assert failed.value.may_have_acted
    assert store.breaker.recent() == (1, 1)


async def test_store_blames_postgres_where_its_operator_intervenes(made, admin, database):
    """A statement that was cancelled on the server says nothing of the caller, as one that met a shutdown."""
    store = await prepared(made(most=1))
    asked = asyncio.create_task(store._run(sleeping(30)))
    cut = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE datname = $1 AND query LIKE '%sleep%'"

    await until(lambda: admin.fetchval(cut, database))
    with pytest.raises(DependencyFailed):
        await asked

    assert store.breaker.recent() == (1, 1)


async def test_store_asks_nothing_while_its_breaker_rests(made):
    """A refusal says that nothing was done, and when to ask again; a ping asks all the same."""
    store = await prepared(made(failures=1))
    store.breaker.failed(store.breaker.admit())

    with pytest.raises(CircuitOpen) as refused:
        await store.write(0, "not made")

    assert refused.value.retry_after_s > 0
    assert store.breaker.state is State.OPEN
    await store.ping()
    store.breaker.reset()
    assert await store.read(0) == Item(0, "seeded 0", 1)


async def test_a_ping_of_the_store_leaves_its_breaker_alone(made):
    """Whether it is answered or not: a look at health is not the traffic that the breaker judges."""
    store = await prepared(made())

    await store.ping()
    await store.close(within_s=1)
    with pytest.raises(DependencyFailed) as failed:
        await store.ping()

    assert not failed.value.may_have_acted
    assert store.breaker.recent() == (0, 0)


async def test_store_closes_in_its_time_though_a_connection_is_busy(made, postgres_port):
    """What is under way after it is ended by force, and no connection is left."""
    relay = Relay(postgres_port)
    await relay.mend()
    store = await prepared(made(port=relay.port))
    busy = asyncio.create_task(store._run(sleeping(30)))
    await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await store.close(within_s=0.05)

    with pytest.raises(DependencyFailed):
        await busy
    await until(lambda: asyncio.sleep(0, relay.open_count == 0))
    await relay.cut()


async def test_store_that_has_no_time_to_close_leaves_no_connection(made, postgres_port):
    """Without a moment to wait its connections are closed by force, the idle ones too."""
    relay = Relay(postgres_port)
    await relay.mend()
    store = await prepared(made(port=relay.port))
    assert relay.open_count == 1

    await store.close(within_s=0)

    await until(lambda: asyncio.sleep(0, relay.open_count == 0))
    await relay.cut()


async def test_store_lets_what_is_under_way_finish_when_it_closes(made):
    """A write that was accepted is answered."""
    store = await prepared(made())
    write = asyncio.create_task(store._run(sleeping(0.05)))
    await asyncio.sleep(0)

    await store.close(within_s=PATIENT_S)

    await write


async def test_store_that_never_connected_closes(made):
    """A replica that is stopped while it waits for Postgres stops."""
    await made().close(within_s=0)


def test_policy_of_a_store_tells_the_driver_each_value_under_its_own_name():
    """Two that are swapped would both be numbers that make sense."""
    policy = StorePolicy(
        host="h",
        port=1,
        user="u",
        password="p",  # noqa: S106 - made up
        database="d",
        ssl="require",
        op_timeout_s=3,
    )

    assert policy.options() == {
        "host": "h",
        "port": 1,
        "user": "u",
        "password": "p",
        "database": "d",
        "ssl": "require",
        "command_timeout": 3,
    }
