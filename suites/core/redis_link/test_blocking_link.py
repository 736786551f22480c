"""The link for threads against a real Redis, a frozen one, and connections that die."""

from __future__ import annotations

import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from random import Random
from select import select

import pytest
from redis import Redis

from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.breaker import Breaker, BreakerPolicy, CircuitOpen, DependencyFailed, Unavailable
from fixtures.reference.core.redis_link import BlockingRedisLink, RedisLinkPolicy, Script

ECHO = Script("return ARGV[1]")
WRONG = Script("return redis.call('NO SUCH COMMAND')")

BUDGET_S = 1.0
"""Of a call that is never answered: so long that two of them and a busy moment cannot be mistaken for each other."""


@contextmanager
def link_to(port: int, *, op_timeout_s: float = 5.0, connections: int = 4):
    breaker = Breaker("redis", BreakerPolicy(), clock=MonotonicClock(), random=Random(1))
    policy = RedisLinkPolicy(host="127.0.0.1", port=port, op_timeout_s=op_timeout_s, connections=connections)
    with closing(BlockingRedisLink(policy, breaker=breaker)) as link:
        yield link


@contextmanager
def silent_server():
    """A server that accepts and never answers; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:  # the kernel accepts for it, and nothing reads
        yield server.getsockname()[1]


def test_blocking_link_answers_threads_each_with_its_own_reply(redis_port):
    """Sixteen threads on four connections: every reply belongs to its request, and no more connections are made (P3)."""
    with link_to(redis_port) as link, ThreadPoolExecutor(16) as threads:
        asked = [f"ask-{number}" for number in range(400)]
        replies = list(threads.map(lambda word: link.run(ECHO, [], [word]), asked))

        assert replies == [word.encode() for word in asked]
        assert 1 <= len(link._idle) <= 4
        assert link.breaker.admitted == 400


def test_blocking_link_keeps_its_connection_for_the_next_call(redis_port):
    """One thread, one connection, however many calls."""
    with link_to(redis_port) as link:
        link.run(ECHO, [], ["first"])
        (first,) = link._idle
        link.run(ECHO, [], ["second"])

        assert link._idle == [first]


def test_blocking_link_gives_up_after_its_budget():
    """A server that never answers costs one budget for all steps of a call together."""
    with silent_server() as port, link_to(port, op_timeout_s=BUDGET_S) as link:
        began_s = time.monotonic()
        with pytest.raises(DependencyFailed, match="TimeoutError"):
            link.run(ECHO, [], ["x"])
        took_s = time.monotonic() - began_s

        assert BUDGET_S <= took_s < 2 * BUDGET_S
        assert link.breaker.recent() == (1, 1)
        assert link._idle == []


def test_blocking_link_counts_waiting_for_a_connection_as_well():
    """Four threads on one connection to a server that never answers: each gives up after one budget, not after four."""
    with silent_server() as port, link_to(port, op_timeout_s=BUDGET_S, connections=1) as link:
        began_s = time.monotonic()
        with ThreadPoolExecutor(4) as threads:
            calls = [threads.submit(link.run, ECHO, [], ["x"]) for _ in range(4)]
        took_s = time.monotonic() - began_s

        assert all(isinstance(call.exception(), DependencyFailed) for call in calls)
        assert BUDGET_S <= took_s < 2 * BUDGET_S


def test_blocking_link_gives_connections_back_after_failures(redis_port):
    """Ten failed calls leave room for as many connections as before."""
    with silent_server() as port, link_to(port, op_timeout_s=0.01, connections=2) as link:
        for _ in range(5):
            with pytest.raises(DependencyFailed):
                link.run(ECHO, [], ["x"])
        assert link._room._value == 2


def test_blocking_link_rests_a_dead_redis(dead_port):
    """Five refusals open the breaker; the sixth call is not made."""
    with link_to(dead_port) as link:
        for _ in range(5):
            with pytest.raises(DependencyFailed):
                link.run(ECHO, [], ["x"])

        with pytest.raises(CircuitOpen):
            link.run(ECHO, [], ["x"])
        assert (link.breaker.admitted, link.breaker.rejected) == (5, 1)


def test_blocking_link_takes_an_error_reply_for_an_answer(redis_port):
    """A mistake in a script is told as one, does not speak against Redis, and leaves the connection usable."""
    with link_to(redis_port) as link:
        link.run(ECHO, [], ["before"])
        (first,) = link._idle
        for _ in range(6):
            with pytest.raises(Unavailable, match="ResponseError"):
                link.run(WRONG, [], [])

        assert link.breaker.recent()[0] == 0
        assert link._idle == [first]
        assert link.run(ECHO, [], ["after"]) == b"after"


def test_blocking_link_makes_its_scripts_known_again_after_redis_forgot_them(redis_port):
    """After SCRIPT FLUSH, as after a restart, a call works as if nothing had happened."""
    with link_to(redis_port) as link:
        link.run(ECHO, [], ["before"])
        with Redis(port=redis_port) as administrator:
            administrator.script_flush()

        assert link.run(ECHO, [], ["after"]) == b"after"
        assert link.breaker.recent()[0] == 0


def test_blocking_link_connects_again_where_the_server_hung_up(redis_port):
    """Connections that died while they lay idle are replaced without a failed call, as after a restart of Redis (P5)."""
    with link_to(redis_port) as link, link_to(redis_port) as other:
        link.run(ECHO, [], ["before"])
        (idle,) = link._idle
        host, port = idle._sock.getsockname()
        with Redis(port=redis_port) as administrator:
            assert administrator.client_kill_filter(addr=f"{host}:{port}") == 1
        assert select([idle._sock], [], [], 10)[0]  # the end of the server's side has arrived

        assert link.run(ECHO, [], ["after"]) == b"after"
        assert link.breaker.recent()[0] == 0
        assert other.run(ECHO, [], ["other"]) == b"other"


def test_blocking_link_never_reads_a_reply_that_came_too_late():
    """The reply of a call that was given up is not the answer to the next one (C8)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        late = threading.Event()

        def serve() -> None:
            first, _ = server.accept()
            with first:
                first.recv(4096)
                late.wait(10)
                first.sendall(b"$4\r\nlate\r\n")
                second, _ = server.accept()
                with second:
                    second.recv(4096)
                    second.sendall(b"$4\r\nnext\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with link_to(server.getsockname()[1], op_timeout_s=0.1) as link:
            with pytest.raises(DependencyFailed):
                link.run(ECHO, [], ["x"])
            late.set()
            link._policy = RedisLinkPolicy(host="127.0.0.1", port=server.getsockname()[1], op_timeout_s=5.0)
            assert link.run(ECHO, [], ["y"]) == b"next"
        thread.join(10)


def test_blocking_link_shares_no_connection_with_a_forked_process(redis_port):
    """After a fork, as by a pre-forking server, both processes read their own replies only."""
    with link_to(redis_port) as link:
        link.run(ECHO, [], ["before"])
        pid = os.fork()
        if pid == 0:  # the child reports by its exit code, and runs nothing of pytest
            try:
                replies = [link.run(ECHO, [], [f"child-{number}"]) for number in range(50)]
                os._exit(0 if replies == [f"child-{number}".encode() for number in range(50)] else 1)
            except BaseException:  # noqa: BLE001 - the exit code says so
                os._exit(2)
        replies = [link.run(ECHO, [], [f"parent-{number}"]) for number in range(50)]
        _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert replies == [f"parent-{number}".encode() for number in range(50)]


def test_blocking_link_keeps_nothing_open_once_closed(redis_port):
    """A call that is under way when the link closes closes its connection as it ends."""
    with link_to(redis_port) as link:
        link.run(ECHO, [], ["x"])
        with link._lent(time.monotonic() + 5) as connection:
            link.close()
            assert connection.is_connected

        assert not connection.is_connected
        assert link._idle == []
