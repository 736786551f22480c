"""Faults of data: what clients of the server see of each, and who can undo it when nobody else is alive."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

import psycopg
import pytest
import redis
from psycopg.errors import LockNotAvailable, ReadOnlySqlTransaction
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from harness.clock import SystemClock, is_met_within
from harness.errors import FaultError
from harness.faults import postgres_server
from harness.faults.action import Site
from harness.faults.healing import heal
from harness.faults.injection import action_for, injected
from harness.faults.ledger import read_ledger
from harness.spec.faults import Connections, Evict, Flush, Full, Lock, LongTransaction, PauseClients, ReadOnly
from harness.stack.components.postgres import DATABASE, USER
from harness.stack.ready import wait_until_ready
from suites.support.servers import PROJECT

CLOCK = SystemClock()
FLUSH = Flush(kind="flush", target="redis")
NO_ANSWERS = PauseClients.model_validate({"kind": "pause-clients", "target": "redis", "for": "2s"})
NO_WRITES = PauseClients(kind="pause-clients", target="redis", blocks="writes")


def client(stack, within_s=5.0):
    """Return a client that asks once, at the server's own address."""
    at = stack.services["redis"].direct
    return Redis(
        host=at.host, port=at.port, socket_timeout=within_s, retry=Retry(NoBackoff(), 0), decode_responses=True
    )


@pytest.fixture
def keys(stack):
    """Three keys, on a Redis of which nobody has asked anything else."""
    with client(stack) as asking:
        asking.flushall()
        asking.mset({"a": 1, "b": 2, "c": 3})
        yield asking
        asking.flushall()


@contextmanager
def left_alone(fault, stack, ledger):
    """Do a fault, and be dead from then on: what held it is closed, as the kernel does, and nothing is undone."""
    action = action_for(fault, Site("fault-1", stack, CLOCK))
    action.begin(ledger)
    for holder in held_by(action):
        holder.close()
    try:
        yield
    finally:
        action.end(ledger)


def held_by(action):
    """Return what the harness's own process holds of a fault."""
    return [held for held in [getattr(action, "_holder", None), *getattr(action, "_held", [])] if held is not None]


def is_answered(asking, *words):
    """Tell whether there is an answer in time; the connection is another one afterwards if there is not."""
    try:
        asking.execute_command(*words)
    except redis.TimeoutError:
        return False
    return True


def test_a_flush_takes_every_key_and_is_told_from_one_that_does_not(stack, ledger, keys):
    """Keys that come back afterwards do not hide it; one that is there from before does."""
    with injected(FLUSH, into=stack, ledger=ledger, clock=CLOCK) as injection:
        assert keys.dbsize() == 0
        keys.set("a", "loaded anew")
        assert injection.observe().seen == ", ".join(
            f"replica-{number}.redis has none of the 3 keys from before" for number in (1, 2)
        )
        keys.set("readiness-fault-1", "there all the time")
        dose = injection.observe()

    assert not dose.is_delivered
    assert "replica-1.redis still has what was there before" in dose.seen
    assert injection.crossed_bytes == 0, "these questions came by no edge"


def test_a_pause_of_everything_lets_not_one_answer_through(stack, ledger):
    """It is held in pieces of a quarter of a second: between two of them nobody is answered either."""
    answers, is_over = [], threading.Event()

    def asks():
        with client(stack) as asking:
            while not is_over.is_set():
                asking.ping()
                answers.append(time.monotonic())

    asking = [threading.Thread(target=asks) for _ in range(3)]
    for each in asking:
        each.start()
    assert is_met_within(lambda: len(answers) > 30, deadline_s=10, clock=CLOCK)
    with injected(NO_ANSWERS, into=stack, ledger=ledger, clock=CLOCK) as injection:
        began_s, before = time.monotonic(), len(answers)
        assert injection.observe().is_delivered
        meanwhile = answers[before:]
    assert is_met_within(lambda: len(answers) > before + 30, deadline_s=10, clock=CLOCK)
    is_over.set()
    for each in asking:
        each.join()

    # What was answered before the pause may be noted after it, once a client.
    assert len(meanwhile) <= len(asking), [at_s - began_s for at_s in meanwhile]
    assert not read_ledger(ledger.path).left


def test_a_pause_of_writes_keeps_writers_alone_waiting(stack, ledger, keys):
    """Until its end, by which they are answered."""
    with client(stack, within_s=0.3) as impatient:
        with injected(NO_WRITES, into=stack, ledger=ledger, clock=CLOCK):
            assert impatient.get("a") == "1"
            assert not is_answered(impatient, "SET", "a", "2")
        assert is_answered(impatient, "SET", "a", "3")


@pytest.mark.parametrize("fault", [NO_ANSWERS, NO_WRITES], ids=str)
def test_a_pause_is_over_by_its_ledger_alone(stack, ledger, fault):
    """The harness is dead; what it held goes with it, and what it did not hold is in the ledger."""
    with left_alone(fault, stack, ledger), client(stack) as asking:
        (entry,) = read_ledger(ledger.path).left
        assert heal(read_ledger(ledger.path)) == [f"healed {entry}"]
        assert is_answered(asking, "SET", "a", "2")


def test_a_restart_ends_a_pause_and_the_next_server_is_left_alone(stack, ledger):
    """One of the same address that pauses its clients does so for reasons of its own."""
    service = stack.services["redis"]
    with left_alone(NO_WRITES, stack, ledger):
        service.restart()
        wait_until_ready([service], clock=CLOCK)
        with client(stack, within_s=0.3) as asking:
            asking.client_pause(60_000, all=False)
            assert heal(read_ledger(ledger.path)) == []
            assert not is_answered(asking, "SET", "a", "2")
            asking.client_unpause()
    assert not read_ledger(ledger.path).left


def test_a_redis_that_is_gone_has_nothing_to_undo(stack, ledger):
    """Its pause went with it; healing what nobody keeps is no error."""
    service = stack.services["redis"]
    with left_alone(NO_WRITES, stack, ledger):
        service.kill()
        lines = heal(read_ledger(ledger.path))
        service.start()
        wait_until_ready([service], clock=CLOCK)

    assert lines == []


def test_a_redis_that_stays_silent_is_told(stack, ledger):
    """Frozen by somebody else: neither healed nor gone, so that the ledger keeps it."""
    service = stack.services["redis"]
    with left_alone(NO_WRITES, stack, ledger):
        service.pause()
        try:
            with pytest.raises(FaultError, match="Redis does not do as it is told"):
                heal(read_ledger(ledger.path))
            assert read_ledger(ledger.path).left
        finally:
            service.resume()
            wait_until_ready([service], clock=CLOCK)


@pytest.mark.parametrize("fault", [FLUSH, NO_ANSWERS], ids=str)
def test_a_component_of_another_kind_is_no_target(stack, ledger, fault):
    """The error says what could be hit."""
    with pytest.raises(FaultError, match=r"there is no redis called 'postgres'[\s\S]*targets here: redis"):
        with injected(fault.model_copy(update={"target": "postgres"}), into=stack, ledger=ledger, clock=CLOCK):
            pass


def test_a_frozen_redis_is_no_paused_one(stack, ledger):
    """Both are silent; one that is well refuses what is no command."""
    service = stack.services["redis"]
    with injected(NO_ANSWERS, into=stack, ledger=ledger, clock=CLOCK) as injection:
        service.pause()
        dose = injection.observe()
        service.resume()
        wait_until_ready([service], clock=CLOCK)

    assert not dose.is_delivered
    assert "does not answer" in dose.seen


READ_ONLY = ReadOnly(kind="read-only", target="postgres")
NO_CONNECTIONS = Connections(kind="connections", target="postgres")


def lock(blocks="everything", table="things"):
    return Lock(kind="lock", target="postgres", table=table, blocks=blocks)


def session(stack, **options):
    """Return a session as a service has one, at the server's own address."""
    at = stack.services["postgres"].direct
    waits = options.pop("waits", "200ms")
    return psycopg.connect(
        host=at.host, port=at.port, user=USER, dbname=DATABASE, autocommit=True,
        options=f"-c lock_timeout={waits}", **options,
    )  # fmt: skip


@pytest.fixture
def things(stack):
    """A table with three rows, and a session that was open before any fault, as a pool's are."""
    with session(stack) as pooled:
        pooled.execute("DROP TABLE IF EXISTS things")
        pooled.execute("CREATE TABLE things AS SELECT generate_series(1, 3) AS id, '' AS name")
        yield pooled


READ, CHANGE, ADD = "SELECT * FROM things", "UPDATE things SET name = 'x' WHERE id = 2", "INSERT INTO things VALUES (4)"


def refusal(asking, statement):
    """Return the error that a statement meets, or None."""
    try:
        asking.execute(statement)
    except psycopg.Error as error:
        return type(error)
    return None


def test_a_read_only_server_refuses_writes_on_old_and_on_new_connections(stack, ledger, things):
    """A pool's session that was open before refuses as well, and takes writes again at the end, without a new start."""
    with injected(READ_ONLY, into=stack, ledger=ledger, clock=CLOCK) as injection, session(stack) as new:
        assert [refusal(each, CHANGE) for each in (things, new)] == [ReadOnlySqlTransaction] * 2
        assert [refusal(each, READ) for each in (things, new)] == [None, None]
        seen = injection.observe().seen

    assert seen == "replica-1.postgres refuses a write (25006), replica-2.postgres refuses a write (25006)"
    with session(stack) as later:
        assert [refusal(each, CHANGE) for each in (things, later)] == [None, None]


def test_what_was_set_before_a_fault_is_set_after_it(stack, ledger, things):
    """Somebody's own setting is put back where it was: into the file that ALTER SYSTEM writes."""
    setting = "SELECT setting FROM pg_file_settings WHERE name = 'default_transaction_read_only'"
    things.execute("ALTER SYSTEM SET default_transaction_read_only = off")
    with injected(READ_ONLY, into=stack, ledger=ledger, clock=CLOCK):
        assert things.execute(setting).fetchall() == [("on",)]
    assert things.execute(setting).fetchall() == [("off",)]

    things.execute("ALTER SYSTEM RESET default_transaction_read_only")
    with injected(READ_ONLY, into=stack, ledger=ledger, clock=CLOCK):
        pass
    assert things.execute(setting).fetchall() == []


def test_a_server_that_was_restarted_is_still_read_only_until_it_is_healed(stack, ledger, things):
    """Its configuration outlives its process, and so does the entry that undoes it."""
    service = stack.services["postgres"]
    with left_alone(READ_ONLY, stack, ledger):
        service.restart()
        wait_until_ready([service], clock=CLOCK)
        with session(stack) as asking:
            assert refusal(asking, CHANGE) is ReadOnlySqlTransaction
            (entry,) = read_ledger(ledger.path).left
            assert heal(read_ledger(ledger.path)) == [f"healed {entry}"]
            assert refusal(asking, CHANGE) is None


@pytest.mark.parametrize(
    ("blocks", "refused"),
    [
        pytest.param("everything", {READ, CHANGE, ADD}, id="everything"),
        pytest.param("writes", {CHANGE, ADD}, id="writes"),
        pytest.param("rows", {CHANGE}, id="rows that are there"),
    ],
)
def test_a_lock_keeps_waiting_what_it_says_and_nothing_else(stack, ledger, things, blocks, refused):
    """And that goes on when the lock ends, which it does by its ledger alone, whoever holds the connection."""
    with injected(lock(blocks), into=stack, ledger=ledger, clock=CLOCK):
        assert {each for each in (READ, CHANGE, ADD) if refusal(things, each) is LockNotAvailable} == refused
        (entry,) = read_ledger(ledger.path).left
        assert heal(read_ledger(ledger.path)) == [f"healed {entry}"]
        assert [refusal(things, each) for each in (READ, CHANGE, ADD)] == [None] * 3
        assert heal(read_ledger(ledger.path)) == []


def test_a_lock_of_another_size_is_noticed(stack, ledger, things):
    """One that lets reads through is not one that blocks everything, nor the other way round."""
    for asked, there in (("everything", "writes"), ("writes", "everything"), ("rows", "everything")):
        with injected(lock(asked), into=stack, ledger=ledger, clock=CLOCK) as injection:
            assert injection.observe().is_delivered
            for held in held_by(injection.action):
                held.rollback()
                held.execute(
                    "LOCK TABLE things IN " + {"writes": "SHARE", "everything": "ACCESS EXCLUSIVE"}[there] + " MODE"
                )
            assert not injection.observe().is_delivered, (asked, there)


def test_a_lock_dies_with_the_process_that_holds_it(stack, ledger, things):
    """Its connection ends with it, and the server ends the transaction before anybody heals."""
    holder = [sys.executable, "-c", HOLDS, *(str(part) for part in vars_of(stack.services["postgres"].direct))]
    with subprocess.Popen(holder, stdout=subprocess.PIPE, cwd=PROJECT) as process:
        process.stdout.readline()
        assert refusal(things, READ) is LockNotAvailable
        process.kill()
        process.wait()
        assert is_met_within(lambda: refusal(things, READ) is None, deadline_s=5, clock=CLOCK)


HOLDS = """
import sys, time
from harness.faults.postgres_server import session_name, stranger
from harness.stack.service import Address
held = stranger(Address(sys.argv[1], int(sys.argv[2])), session_name("fault-1", "killed"))
held.execute("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")
print("held", flush=True)
time.sleep(60)
"""


def vars_of(address):
    return address.host, address.port


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param(lock(table="nothing"), r'relation "nothing" does not exist', id="no such table"),
        pytest.param(lock("rows", table="empty"), "has no row to lock", id="no row"),
    ],
)
def test_a_lock_of_what_is_not_there_is_told(stack, ledger, things, fault, said):
    """An error that says what was wanted, and no session is left of it."""
    things.execute("CREATE TABLE IF NOT EXISTS empty (id int)")
    with pytest.raises(FaultError, match=said):
        with injected(fault, into=stack, ledger=ledger, clock=CLOCK):
            pass

    assert things.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^readiness-'"
    ).fetchone() == (0,)
    assert not read_ledger(ledger.path).left


def test_a_lock_that_is_not_granted_in_time_is_told(stack, ledger, things, monkeypatch):
    """Somebody has held the table for longer than a transaction of the service would."""
    monkeypatch.setattr("harness.faults.data.lock.GRANTED_WITHIN_S", 0.2)
    with session(stack) as other, other.transaction():
        other.execute(READ)
        with pytest.raises(FaultError, match="was not granted: canceling statement due to lock timeout"):
            with injected(lock(), into=stack, ledger=ledger, clock=CLOCK):
                pass
    assert refusal(things, READ) is None


@pytest.mark.parametrize("leaving", [0, 2])
def test_so_many_connections_are_left_as_is_said(stack, ledger, things, leaving):
    """What is open stays open; the administrator's reserved ones count, for the service is one."""
    fault = NO_CONNECTIONS.model_copy(update={"leaving": leaving})
    with injected(fault, into=stack, ledger=ledger, clock=CLOCK) as injection, ExitStack() as more:
        for _ in range(leaving):
            more.enter_context(session(stack))
        with pytest.raises(psycopg.OperationalError, match="too many clients"):
            session(stack)
        assert refusal(things, READ) is None
        dose = injection.observe()

    assert dose.is_delivered
    assert dose.seen.count("refuses (53300)") == 2
    session(stack).close()


def test_connections_are_given_back_by_the_ledger_alone(stack, ledger, things):
    """Though not one is left: it is told as a replica is, which has places of its own."""
    with injected(NO_CONNECTIONS, into=stack, ledger=ledger, clock=CLOCK) as injection:
        (entry,) = read_ledger(ledger.path).left
        assert heal(read_ledger(ledger.path)) == [f"healed {entry}"]
        session(stack).close()
        assert not injection.observe().is_delivered


def test_a_stranger_that_has_lost_a_connection_is_noticed(stack, ledger, things):
    """One is enough to let the service in."""
    with injected(NO_CONNECTIONS, into=stack, ledger=ledger, clock=CLOCK) as injection:
        held_by(injection.action)[0].close()
        assert is_met_within(lambda: not injection.observe().is_delivered, deadline_s=5, clock=CLOCK)


@pytest.mark.parametrize("fault", [READ_ONLY, lock()], ids=str)
def test_another_cluster_at_the_same_address_is_left_alone(stack, ledger, things, fault):
    """The entry names one that is gone: what is there by now is somebody else's."""
    with injected(fault, into=stack, ledger=ledger, clock=CLOCK):
        text = ledger.path.read_text()
        cluster = read_ledger(ledger.path).left[0].facts["cluster"]
        old = ledger.path.with_name("old.jsonl")
        old.write_text(text.replace(cluster, "1"))
        assert heal(read_ledger(old)) == []
        assert refusal(things, CHANGE) in {ReadOnlySqlTransaction, LockNotAvailable}
    assert refusal(things, CHANGE) is None


def test_no_session_of_anybody_else_is_ended(stack, ledger, things):
    """A ledger cannot ask for it."""
    facts = postgres_server.facts_of(stack.services["postgres"].direct)
    ledger.note("postgres-sessions", "postgres", application="shop", **facts)

    with session(stack, application_name="shop") as shop:
        with pytest.raises(FaultError, match="which no run opens"):
            heal(read_ledger(ledger.path))
        assert refusal(shop, READ) is None


@pytest.mark.parametrize("run_id", ["r", "a-run-of-a-name-that-is-longer-than-a-session-may-be-called-" + "x" * 40])
def test_the_sessions_of_two_faults_have_two_names(run_id):
    """Also where the run's id is cut off, as PostgreSQL would."""
    names = {postgres_server.session_name(f"fault-{number}", run_id) for number in (1, 2, 12)}

    assert len(names) == 3
    assert all(name.startswith("readiness-fault-") and len(name) <= 63 for name in names)


def test_a_postgres_that_is_gone_has_nothing_to_undo_and_one_that_comes_back_has(stack, ledger, things):
    """One that is frozen is told. One that is dead when a fault ends is told by the run, whose entry stays: it is as it was."""
    service = stack.services["postgres"]
    action = action_for(READ_ONLY, Site("fault-1", stack, CLOCK))
    action.begin(ledger)
    service.pause()
    try:
        with pytest.raises(FaultError, match="PostgreSQL is there, and does not answer"):
            heal(read_ledger(ledger.path))
    finally:
        service.resume()
    service.kill()
    assert heal(read_ledger(ledger.path)) == []
    with pytest.raises(FaultError, match="PostgreSQL does not do as it is told"):
        action.end(ledger)
    service.start()
    wait_until_ready([service], clock=CLOCK)
    assert len(heal(read_ledger(ledger.path))) == 1
    with session(stack) as asking:
        assert refusal(asking, CHANGE) is None


NO_ROOM = Full(kind="full", target="redis")
LITTLE_ROOM = Evict(kind="evict", target="redis", keep="30%")
BIG = "x" * 1000


@pytest.fixture
def loaded(keys):
    """Two thousand keys of a thousand bytes: the connections of a few clients weigh little beside them."""
    keys.mset({f"key-{number}": BIG for number in range(2000)})
    return keys


def bound_of(asking):
    return asking.config_get("maxmemory*")


def test_a_redis_with_little_room_drops_what_is_too_much(stack, ledger, loaded):
    """Down to its share, by the policy that was asked for; afterwards it keeps all that comes."""
    was = bound_of(loaded)
    with injected(LITTLE_ROOM, into=stack, ledger=ledger, clock=CLOCK) as injection:
        assert injection.observe().is_delivered
        assert 0.15 * 2000 < loaded.dbsize() < 0.45 * 2000
        assert bound_of(loaded)["maxmemory-policy"] == "allkeys-lru"
        for first in range(0, 2000, 20):  # a few at a time: what waits to be read takes room as well
            loaded.mset({f"more-{number}": BIG for number in range(first, first + 20)})
        assert loaded.dbsize() < 0.6 * 2000, "what comes drives out what is there, and is not refused"

    assert bound_of(loaded) == was
    before = loaded.dbsize()
    loaded.mset({f"later-{number}": BIG for number in range(2000)})
    assert loaded.dbsize() == before + 2000


def test_a_redis_that_has_dropped_nothing_is_no_dose(stack, ledger, keys):
    """It is empty: nothing is too much. Nor is another bound the one that was asked for."""
    keys.flushall()
    with injected(LITTLE_ROOM, into=stack, ledger=ledger, clock=CLOCK) as injection:
        keys.config_set("maxmemory", 0)
        keys.mset({f"key-{number}": BIG for number in range(100)})
        dose = injection.observe()
    assert not dose.is_delivered
    assert "has dropped 0 keys" in dose.seen


def test_a_full_redis_refuses_writes_and_answers_reads(stack, ledger, loaded):
    """It drops nothing for them."""
    was = bound_of(loaded)
    with injected(NO_ROOM, into=stack, ledger=ledger, clock=CLOCK) as injection:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            loaded.set("more", BIG)
        assert loaded.get("key-1") == BIG
        assert injection.observe().seen.startswith("replica-1.redis says -OOM command not allowed")
        loaded.config_set("maxmemory", 0)
        assert not injection.observe().is_delivered

    assert bound_of(loaded) == was
    assert loaded.dbsize() == 2003


@pytest.mark.parametrize("fault", [NO_ROOM, LITTLE_ROOM], ids=str)
def test_room_is_given_back_by_the_ledger_alone_as_it_was(stack, ledger, loaded, fault):
    """Somebody's own bound is put back, not the one that Redis has when nobody says anything."""
    loaded.config_set("maxmemory", 50_000_000)
    loaded.config_set("maxmemory-policy", "volatile-ttl")
    was = bound_of(loaded)
    try:
        with left_alone(fault, stack, ledger):
            assert bound_of(loaded) != was
            (entry,) = read_ledger(ledger.path).left
            assert heal(read_ledger(ledger.path)) == [f"healed {entry}"]
            assert bound_of(loaded) == was
    finally:
        loaded.config_set("maxmemory", 0)
        loaded.config_set("maxmemory-policy", "noeviction")


def test_a_redis_that_was_started_anew_keeps_its_own_bound(stack, ledger, loaded):
    """What was set is gone with the one that it was set of; the fault's own end finds nothing to undo either."""
    service = stack.services["redis"]
    with left_alone(NO_ROOM, stack, ledger):
        service.restart()
        wait_until_ready([service], clock=CLOCK)
        with client(stack) as asking:
            asking.config_set("maxmemory", 60_000_000)
            assert heal(read_ledger(ledger.path)) == []
    with client(stack) as asking:
        assert bound_of(asking)["maxmemory"] == "60000000"
        asking.config_set("maxmemory", 0)
    assert not read_ledger(ledger.path).left


def test_a_long_transaction_holds_up_a_migration_and_nobody_else(stack, ledger, things):
    """It is seen by its session, its lock and its snapshot; one that has ended its transaction is none."""
    fault = LongTransaction(kind="long-transaction", target="postgres", table="things")
    with injected(fault, into=stack, ledger=ledger, clock=CLOCK) as injection:
        assert refusal(things, "ALTER TABLE things ADD COLUMN more int") is LockNotAvailable
        assert [refusal(things, each) for each in (READ, CHANGE, ADD)] == [None] * 3
        assert "shows a transaction idle for" in injection.observe().seen
        held_by(injection.action)[0].rollback()
        assert not injection.observe().is_delivered

    assert refusal(things, "ALTER TABLE things ADD COLUMN more int") is None
