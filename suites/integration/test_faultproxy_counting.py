"""What is counted: connections once, and bytes to the byte, by the kernel where it does (Linux) or by us."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

import pytest

from harness.faultproxy import endpoint
from harness.faultproxy.counting import CLOSED, is_counted_by_kernel, read_bytes
from harness.faultproxy.metrics import proxy_metrics
from harness.faultproxy.program import Program
from harness.faultproxy.registry import Registry, Wish
from harness.faultproxy.toxic import Toxic
from harness.faultproxy.toxics.bandwidth import Bandwidth
from harness.faultproxy.toxics.noop import Noop
from harness.faultproxy.wire import Fields
from suites.support.faultproxy import DEADLINE_S, address_of, reset_now, wait_until

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what it has counted")


@pytest.fixture
def pair():
    """Both ends of a TCP connection."""
    with contextlib.ExitStack() as leaving:
        listener = leaving.enter_context(socket.create_server(("127.0.0.1", 0)))
        sender = leaving.enter_context(socket.create_connection(listener.getsockname(), timeout=DEADLINE_S))
        reader = leaving.enter_context(listener.accept()[0])
        reader.settimeout(DEADLINE_S)
        yield sender, reader


@on_linux
def test_kernel_is_asked_whether_it_counts():
    """It does, on every Linux that people run this on."""
    assert is_counted_by_kernel()


@on_linux
def test_kernel_counts_what_was_read_not_what_has_arrived(pair):
    """Bytes that wait in the kernel do not count yet, and an end is not a byte, read or not."""
    sender, reader = pair
    assert read_bytes(reader, is_ended=False) == 0
    sender.sendall(b"12345")
    reader.recv(2)
    assert read_bytes(reader, is_ended=False) == 2
    sender.close()
    wait_until(lambda: reader.recv(9, socket.MSG_PEEK) == b"345", "all of it is there")

    assert read_bytes(reader, is_ended=False) == 2
    reader.recv(3)
    assert read_bytes(reader, is_ended=False) == 5
    assert reader.recv(1) == b""
    assert read_bytes(reader, is_ended=True) == 5


@on_linux
def test_kernel_remembers_after_a_reset(pair):
    """What was read before it; that it was a reset is for its reader to say."""
    sender, reader = pair
    sender.sendall(b"12345")
    reader.recv(5)
    reset_now(sender)
    with pytest.raises(ConnectionResetError):
        reader.recv(1)

    assert read_bytes(reader, is_ended=False, is_broken=True) == 5


@on_linux
def test_kernel_counts_no_end_as_a_byte_once_both_have_ended(pair):
    """Read or not; after a reset, which closes a socket as well, every byte is one."""
    sender, reader = pair
    sender.sendall(b"12345")
    reader.recv(5)
    reader.shutdown(socket.SHUT_WR)
    assert sender.recv(1) == b""
    sender.close()
    wait_until(lambda: tcp_state(reader) == CLOSED, "both have ended")

    assert read_bytes(reader, is_ended=False) == 5


@on_linux
def test_kernel_counts_each_byte_before_a_reset_that_nobody_has_read(pair):
    """Asked for its counts, a socket keeps its error for whoever reads it next."""
    sender, reader = pair
    sender.sendall(b"12345")
    reader.recv(5)
    reset_now(sender)
    wait_until(lambda: tcp_state(reader) == CLOSED, "the reset is there")

    assert read_bytes(reader, is_ended=False) == 5
    with pytest.raises(ConnectionResetError):
        reader.recv(1)


def tcp_state(peer) -> int:
    return peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


@pytest.fixture(params=[pytest.param(True, marks=on_linux), False], ids=["kernel", "us"])
async def proxied(request, monkeypatch):
    """A proxy in this process, counting one way or the other; its listening address and the upstream behind it."""
    monkeypatch.setattr(endpoint, "is_counted_by_kernel", lambda: request.param)
    registry = Registry(Program())
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        upstream.setblocking(False)
        address = "{}:{}".format(*upstream.getsockname())
        yield await registry.create(Wish("a", "127.0.0.1:0", address, is_enabled=True, toxics=())), upstream
        registry.stop()
        await moment(lambda: not registry.get("a").connections)


async def moment(condition) -> None:
    """Let the loop run until `condition` holds."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            await asyncio.sleep(0.001)
            if condition():
                return


async def travel(proxied):
    """Connect through the proxy; return the client's end, the server's, and the connection."""
    proxy, upstream = proxied
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setblocking(False)
    await loop.sock_connect(client, address_of(proxy.listen))
    server, _ = await loop.sock_accept(upstream)
    server.setblocking(False)
    await moment(lambda: proxy.connections)
    return client, server, next(iter(proxy.connections))


async def test_nothing_of_ours_runs_for_a_byte(proxied):
    """Without toxics, what arrives is handed to the other side's transport itself, where the kernel counts."""
    client, server, connection = await travel(proxied)
    with client, server:
        writes = (connection.server.transport.write, connection.client.transport.write)

        are_direct = (connection.client.data_received, connection.server.data_received) == writes
        assert are_direct == endpoint.is_counted_by_kernel()


async def test_a_connection_counts_once_when_it_opens(proxied, monkeypatch):
    """A limit of two lets two in, however closely they follow each other."""
    proxy, _ = proxied
    seen = []
    monkeypatch.setattr(proxy.program.events, "note", lambda kind, **_: seen.append((kind, proxy.open_count)))
    client, server, _ = await travel(proxied)
    with client, server:
        assert seen == [("connection_opened", 1)]
        assert proxy.open_count == 1


@pytest.mark.parametrize("ending", ["fin", "reset", "cut"])
async def test_bytes_are_counted_to_the_byte(proxied, ending):
    """Before a toxic, under it and after it; while the connection is open, and however it ends."""
    proxy, _ = proxied
    loop = asyncio.get_running_loop()
    client, server, _ = await travel(proxied)
    toxic = Toxic("t", "noop", "upstream", Noop())
    with client, server:
        for number, act in enumerate((None, proxy.add_toxic, proxy.remove_toxic), start=1):
            if act:
                act(toxic)
            await loop.sock_sendall(client, b"12345")
            await loop.sock_recv(server, 5)
            await loop.sock_sendall(server, b"123")
            await loop.sock_recv(client, 3)
            assert moved_bytes(proxy, "upstream") == (5 * number, 5 * number)
            assert moved_bytes(proxy, "downstream") == (3 * number, 3 * number)

        {"fin": client.close, "reset": lambda: reset_now(client), "cut": proxy.cut_connections}[ending]()
        server.close()
        await moment(lambda: not proxy.connections)

    assert moved_bytes(proxy, "upstream") == (15, 15)
    assert moved_bytes(proxy, "downstream") == (9, 9)


def moved_bytes(proxy, stream: str) -> tuple[int, int]:
    """Return what was received and sent on the road that the proxy is now."""
    return proxy.program.tally.moved_bytes(proxy.road, stream)


async def test_what_never_left_was_never_sent(proxied):
    """Held for good, then dropped: received and not sent, also once both sides have ended, which nobody has read."""
    proxy, _ = proxied
    loop = asyncio.get_running_loop()
    client, server, connection = await travel(proxied)
    proxy.add_toxic(Toxic("t", "bandwidth", "downstream", Bandwidth(rate=0)))
    with client, server:
        await loop.sock_sendall(server, b"12345")
        await moment(lambda: moved_bytes(proxy, "downstream") == (5, 0))
        server.close()
        client.shutdown(socket.SHUT_WR)
        await moment(lambda: connection.link("upstream").is_finished)
        for _ in range(20):  # the kernels' last words
            await asyncio.sleep(0.005)
            assert moved_bytes(proxy, "downstream") == (5, 0)

        proxy.cut_connections()
        await moment(lambda: not proxy.connections)

    assert moved_bytes(proxy, "downstream") == (5, 0)
    assert moved_bytes(proxy, "upstream") == (0, 0)


async def test_what_is_dropped_was_received_and_not_sent(proxied):
    """Whatever still comes for a receiver that is gone."""
    proxy, _ = proxied
    loop = asyncio.get_running_loop()
    client, server, connection = await travel(proxied)
    with client, server:
        await loop.sock_sendall(server, b"12345")
        await loop.sock_recv(client, 5)
        connection.link("downstream").abandon()
        await loop.sock_sendall(server, b"678")

        await moment(lambda: moved_bytes(proxy, "downstream") == (8, 5))


async def test_early_bytes_count_once(proxied):
    """A server that greets before its client is taken in, with a toxic on its way and without."""
    proxy, upstream = proxied
    loop = asyncio.get_running_loop()
    for number, act in enumerate((lambda _: None, proxy.add_toxic), start=1):
        act(Toxic("t", "noop", "downstream", Noop()))
        client = socket.socket()
        client.setblocking(False)
        await loop.sock_connect(client, address_of(proxy.listen))
        server, _ = await loop.sock_accept(upstream)
        with client, server:
            server.sendall(b"hello")
            assert await loop.sock_recv(client, 5) == b"hello"
            assert moved_bytes(proxy, "downstream") == (5 * number, 5 * number)


async def test_counts_stand_where_they_were_made(proxied):
    """A proxy that leads elsewhere, listens elsewhere or is deleted takes none along and none away."""
    proxy, _ = proxied
    registry = Registry(proxy.program)
    loop = asyncio.get_running_loop()
    toxic = Toxic("t", "noop", "upstream", Noop())
    proxy.add_toxic(toxic)
    client, server, _ = await travel(proxied)
    with client, server:
        await loop.sock_sendall(client, b"12345")
        await loop.sock_recv(server, 5)
        before = counts(proxy.program)
        registry._proxies["a"] = proxy

        await registry.update("a", Fields({"upstream": "127.0.0.1:1"}, "Proxy"))
        assert counts(proxy.program) >= before
        registry.delete("a")
        assert counts(proxy.program) >= before
        await moment(lambda: not proxy.connections)
        assert counts(proxy.program) >= before

    assert any(line.startswith("toxiproxy_proxy_sent_bytes_total") and line.endswith(" 5") for line in before)
    assert any(line.startswith("toxiproxy_toxic_hits_total") and line.endswith(" 1") for line in before)
    again = await registry.create(Wish("a", "127.0.0.1:0", "127.0.0.1:1", is_enabled=True, toxics=()))
    again.add_toxic(Toxic("t", "noop", "upstream", Noop()))
    assert counts(proxy.program) >= before
    registry.stop()


def counts(program) -> set[str]:
    """Return the samples of all counters that are not zero."""
    lines = proxy_metrics([], program.tally).splitlines()
    return {line for line in lines if not line.startswith("#") and not line.endswith(" 0")}
