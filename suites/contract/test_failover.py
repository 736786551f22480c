"""A standby takes a component's place: what clients see of it, and what is lost with the one that died."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager

import psycopg
import pytest
from redis import Redis

from harness.clock import SystemClock, is_met_within
from harness.errors import FaultError
from harness.faults.data import failover
from harness.faults.injection import injected
from harness.faults.ledger import read_ledger
from harness.spec.faults import Blackhole, Down, Failover
from harness.spec.system import Part
from harness.stack.backends.choice import standing
from harness.stack.blueprint import Blueprint
from harness.stack.components.postgres import DATABASE, USER
from harness.stack.ready import wait_until_ready
from harness.testing import check_action
from suites.support.servers import workspace_for
from suites.support.stack import DUMMY

CLOCK = SystemClock()
ONE = DUMMY.model_copy(update={"replicas": 1})


@contextmanager
def following(backend, folder, **standbys):
    """Run a stack of one replica and these components, each with a standby."""
    system = ONE.model_copy(update={"components": {name: Part() for name in standbys}}).with_standbys(standbys)
    with (
        workspace_for(folder) as workspace,
        standing(backend, Blueprint(system=system, seed=1), workspace=workspace, clock=CLOCK) as stack,
    ):
        yield stack
        copies = [path.name for path in workspace.work.glob("*.rdb")]
        assert not copies, "a Redis that starts anew would have what its replica was sent"


def door(stack, name):
    return next(edge.listen for edge in stack.edges if edge.name == name)


def redis_at(address):
    return Redis(host=address.host, port=address.port, socket_timeout=5, decode_responses=True)


def postgres_at(address):
    return psycopg.connect(host=address.host, port=address.port, user=USER, dbname=DATABASE, autocommit=True)


def items(address):
    with postgres_at(address) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM items ORDER BY name")]


def write(address, name):
    with postgres_at(address) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS items (name text)")
        connection.execute("INSERT INTO items VALUES (%s)", [name])


def has_received(stack, name):
    """Tell whether the standby of a component has all that was written."""
    standby = stack.standbys[name]
    position, primary = standby.replication.position, stack.services[name].direct
    return is_met_within(lambda: position(standby.service.direct) >= position(primary), deadline_s=10, clock=CLOCK)


def is_closed(connection):
    """Tell whether the other side has ended a connection that nobody wrote to."""
    connection.settimeout(5)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_an_orderly_handover_loses_nothing_and_is_a_fault_like_every_other(backend, ledger, tmp_path):
    """What was written a moment before is there, under the component's own name and through the same doors."""
    with following(backend, tmp_path, redis="asynchronous", postgres="asynchronous") as stack:
        former = {name: stack.services[name].direct for name in ("redis", "postgres")}
        cache, store = (door(stack, f"replica-1.{name}") for name in former)
        with redis_at(cache) as client, socket.create_connection((cache.host, cache.port)) as held:
            client.set("last", "word")
            check_action(Failover(kind="failover", target="redis", how="planned"), stack, ledger, CLOCK)
            assert is_closed(held)
            assert client.get("last") == "word"
        write(store, "last")
        check_action(Failover(kind="failover", target="postgres", how="planned"), stack, ledger, CLOCK)

        assert items(store) == ["last"]
        write(store, "next")
        assert all(stack.services[name].direct != at for name, at in former.items())
        assert not [name for name in stack.services if name.endswith("-standby")]
        assert not read_ledger(ledger.path).left or {e.kind for e in read_ledger(ledger.path).left} == {"process"}
        with pytest.raises(FaultError, match=r"no component with a standby called 'redis'[\s\S]*targets here: none"):
            check_action(Failover(kind="failover", target="redis"), stack, ledger, CLOCK)


def test_a_crash_loses_what_was_not_replicated_and_nothing_that_a_standby_had_to_have(backend, ledger, tmp_path):
    """The standbys are cut off before: Redis acknowledges what its own has not got, and a commit waits for its one."""
    with following(backend, tmp_path, redis="asynchronous", postgres="synchronous") as stack:
        cache, store = door(stack, "replica-1.redis"), door(stack, "replica-1.postgres")
        with redis_at(cache) as client:
            client.set("kept", "1")
        write(store, "kept")
        assert has_received(stack, "redis")
        cut = [Down(kind="down", target=f"{name}-standby.{name}") for name in ("redis", "postgres")]
        with (
            injected(cut[0], into=stack, ledger=ledger, clock=CLOCK),
            injected(cut[1], fault_id="fault-2", into=stack, ledger=ledger, clock=CLOCK),
        ):
            standbys = [standby.service for standby in stack.standbys.values()]
            is_seen = is_met_within(lambda: not any(each.is_ready() for each in standbys), deadline_s=10, clock=CLOCK)
            assert is_seen, "a standby that follows nobody is taken for a good one"
            with redis_at(cache) as client:
                assert client.set("lost", "x" * 1000)
            acknowledged, writer = unacknowledged(store, "never acknowledged")
            redis_fails = Failover(kind="failover", target="redis", takes="300ms")
            postgres_fails = Failover(kind="failover", target="postgres", takes="300ms")
            with injected(redis_fails, into=stack, ledger=ledger, clock=CLOCK) as injection:
                told = injection.observe()
            with injected(postgres_fails, into=stack, ledger=ledger, clock=CLOCK) as injection:
                also_told = injection.observe()
            writer.join(timeout=10)

        assert told.is_delivered
        assert "redis was replaced by redis-standby in " in told.seen
        assert behind_bytes(told) >= 1000
        assert also_told.is_delivered
        with redis_at(cache) as client:
            assert client.mget("kept", "lost") == ["1", None]
        assert acknowledged == []
        assert items(store) == ["kept"]


def test_a_death_is_noticed_late_and_by_then_nobody_is_there(embedded_backend, ledger, tmp_path):
    """From the crash until the standby is promoted no question is answered; its end waits for no notice."""
    with following(embedded_backend, tmp_path, postgres="asynchronous") as stack:
        store = door(stack, "replica-1.postgres")
        write(store, "kept")
        assert has_received(stack, "postgres")
        with injected(Down(kind="down", target="postgres-standby.postgres"), into=stack, ledger=ledger, clock=CLOCK):
            write(store, "lost")
            began_s = CLOCK.now()
            fault = Failover(kind="failover", target="postgres", takes="10min")
            with injected(fault, fault_id="fault-2", into=stack, ledger=ledger, clock=CLOCK) as injection:
                injection.proceed()
                assert not stack.services["postgres"].is_alive()
                with pytest.raises(psycopg.OperationalError):
                    postgres_at(store)
        assert CLOCK.now() - began_s < 30
        assert items(store) == ["kept"]


def test_a_handover_that_does_not_end_is_no_orderly_one(embedded_backend, ledger, tmp_path, monkeypatch):
    """A primary that waits for a standby that hears nothing is killed in the end, and the dose says so."""
    monkeypatch.setattr(failover, "ENDS_WITHIN_S", 0.3)
    with following(embedded_backend, tmp_path, redis="asynchronous") as stack:
        cache = door(stack, "replica-1.redis")
        with redis_at(cache) as client:
            client.set("kept", "1")
        assert has_received(stack, "redis")
        deaf = Blackhole(kind="blackhole", target="redis-standby.redis")
        with injected(deaf, into=stack, ledger=ledger, clock=CLOCK):
            with redis_at(cache) as client:
                client.set("lost", "1")
            fault = Failover(kind="failover", target="redis", how="planned")
            with injected(fault, fault_id="fault-2", into=stack, ledger=ledger, clock=CLOCK) as injection:
                dose = injection.observe()

        assert not dose.is_delivered
        assert "takes a write there" in dose.seen
        assert dose.seen.startswith("redis (killed, since it did not end) handed over to redis-standby in ")
        with redis_at(cache) as client:
            assert client.mget("kept", "lost") == ["1", None]


def test_a_path_that_leads_to_the_former_server_is_no_failover(embedded_backend, ledger, tmp_path):
    """Back on its feet it takes writes as well, which the new one will never have: the fault has failed, and says so."""
    with following(embedded_backend, tmp_path, redis="asynchronous") as stack:
        (edge,) = stack.edges_into("redis")
        former, fault = stack.services["redis"], Failover(kind="failover", target="redis", takes="0s")
        with pytest.raises(
            FaultError, match=f"not there for every client[^`]*replica-1.redis leads to {former.direct}"
        ):
            with injected(fault, into=stack, ledger=ledger, clock=CLOCK) as injection:
                assert injection.observe().is_delivered
                former.start()
                wait_until_ready([former], clock=CLOCK)
                stack.proxy.lead(edge.name, former.direct)
                assert not injection.observe().is_delivered
        former.stop()


def unacknowledged(address, name):
    """Write in a thread of its own; return what is acknowledged of it, and the thread."""
    acknowledged, began = [], threading.Event()

    def writes():
        try:
            with postgres_at(address) as connection:
                began.set()
                connection.execute("INSERT INTO items VALUES (%s)", [name])
                acknowledged.append(name)
        except psycopg.Error:
            began.set()

    writer = threading.Thread(target=writes)
    writer.start()
    assert began.wait(10)
    return acknowledged, writer


def behind_bytes(dose):
    """Return how far behind the dose says that the standby was."""
    return int(dose.seen.partition(" bytes behind")[0].rpartition(" ")[2])


@pytest.fixture
def embedded_backend():
    """What is about the action alone need not be seen twice."""
    return "embedded"
